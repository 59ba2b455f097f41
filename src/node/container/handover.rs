//! A container that runs, given from one process to the next: its files go through a socket.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

/// More than a note is long.
const NOTE_BYTES_MAX: usize = 1024;
/// As many as there are [`Part`]s.
const FILES_MAX: usize = 5;

/// A container that runs, and what whoever keeps it needs of it.
pub struct Charge {
    /// Its first process.
    pub pid: i32,
    /// What the kubelet sees the keeper's end by.
    pub alive: OwnedFd,
    /// Where those who attach come.
    pub joining: UnixListener,
    pub streams: Streams,
}

/// This side of a container's streams.
pub enum Streams {
    Terminal(File),
    Pipes {
        stdin: Option<File>,
        stdout: File,
        stderr: File,
    },
}

/// What the files are that come along, in their order.
#[derive(Serialize, Deserialize)]
struct Note {
    pid: i32,
    parts: Vec<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    Alive,
    Joining,
    Terminal,
    Stdin,
    Stdout,
    Stderr,
}

/// All of it, to be taken from this socket.
pub fn give(charge: &Charge) -> io::Result<UnixStream> {
    let mut parts = vec![Part::Alive, Part::Joining];
    let mut files = vec![charge.alive.as_fd(), charge.joining.as_fd()];
    let mut add = |part, file| {
        parts.push(part);
        files.push(file);
    };
    match &charge.streams {
        Streams::Terminal(terminal) => add(Part::Terminal, terminal.as_fd()),
        Streams::Pipes {
            stdin,
            stdout,
            stderr,
        } => {
            add(Part::Stdout, stdout.as_fd());
            add(Part::Stderr, stderr.as_fd());
            if let Some(stdin) = stdin {
                add(Part::Stdin, stdin.as_fd());
            }
        }
    }
    let note = serde_json::to_vec(&Note {
        pid: charge.pid,
        parts,
    })?;
    let (to, from) = UnixStream::pair()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
    let mut with_it = SendAncillaryBuffer::new(&mut space);
    if !with_it.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::Error::other("too many files"));
    }
    sendmsg(
        &to,
        &[IoSlice::new(&note)],
        &mut with_it,
        SendFlags::empty(),
    )?;
    Ok(from)
}

/// What was given.
pub fn take(from: impl AsFd) -> io::Result<Charge> {
    let mut note = [0; NOTE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
    let mut with_it = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        from,
        &mut [IoSliceMut::new(&mut note)],
        &mut with_it,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let files = with_it.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => files.collect(),
        _ => Vec::new(),
    });
    let note: Note = serde_json::from_slice(note.get(..received.bytes).unwrap_or_default())?;
    let mut given: Vec<(Part, OwnedFd)> = note.parts.into_iter().zip(files).collect();
    let mut find = |part: Part| {
        let at = given.iter().position(|(it, _)| *it == part);
        at.map(|at| given.swap_remove(at).1)
    };
    let missing = || io::Error::other("a file of the container was not given");
    let alive = find(Part::Alive).ok_or_else(missing)?;
    let joining = UnixListener::from(find(Part::Joining).ok_or_else(missing)?);
    let streams = match find(Part::Terminal) {
        Some(terminal) => Streams::Terminal(terminal.into()),
        None => Streams::Pipes {
            stdin: find(Part::Stdin).map(File::from),
            stdout: find(Part::Stdout).ok_or_else(missing)?.into(),
            stderr: find(Part::Stderr).ok_or_else(missing)?.into(),
        },
    };
    Ok(Charge {
        pid: note.pid,
        alive,
        joining,
        streams,
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use rustix::pipe::pipe;

    use super::*;

    fn charge(streams: Streams) -> Charge {
        let folder = tempfile::tempdir().unwrap();
        Charge {
            pid: 2,
            alive: file().1.into(),
            joining: UnixListener::bind(folder.path().join("it")).unwrap(),
            streams,
        }
    }

    fn file() -> (File, File) {
        let (read, write) = pipe().unwrap();
        (read.into(), write.into())
    }

    #[test]
    fn each_stream_is_taken_as_what_it_was_given() {
        let ((mut ours, stdin), (stdout, mut says), (stderr, mut warns)) = (file(), file(), file());
        let given = charge(Streams::Pipes {
            stdin: Some(stdin),
            stdout,
            stderr,
        });
        let socket = give(&given).unwrap();
        drop(given);
        let taken = take(&socket).unwrap();
        assert_eq!(taken.pid, 2);
        assert!(taken.joining.local_addr().unwrap().as_pathname().is_some());
        let Streams::Pipes {
            stdin: Some(mut stdin),
            mut stdout,
            mut stderr,
        } = taken.streams
        else {
            panic!("other streams");
        };
        let mut said = String::new();
        says.write_all(b"out").unwrap();
        warns.write_all(b"err").unwrap();
        stdin.write_all(b"in").unwrap();
        drop((says, warns, stdin));
        stdout.read_to_string(&mut said).unwrap();
        stderr.read_to_string(&mut said).unwrap();
        // Its end comes: nobody else holds what was given.
        ours.read_to_string(&mut said).unwrap();
        assert_eq!(said, "outerrin");
    }

    #[test]
    fn a_terminal_stands_for_all_streams() {
        let (terminal, _) = file();
        let given = charge(Streams::Terminal(terminal));
        let taken = take(give(&given).unwrap()).unwrap();
        assert!(matches!(taken.streams, Streams::Terminal(_)));
        let (socket, other) = UnixStream::pair().unwrap();
        drop(other);
        assert!(take(socket).is_err());
    }
}
