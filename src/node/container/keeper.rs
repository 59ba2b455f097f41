//! The second life of a shim: it keeps a container that runs, its log and those who attach to it,
//! and writes how it ended.
//!
//! What makes a container fills memory that nobody needs while it runs. So whoever made one begins
//! the program anew, as the same process: what is awaited of its children, its place and its mounts
//! stay, its memory is empty. What it had open comes along through a socket at its standard input.
//! There is such a process for each container of a machine: it has one thread, and must make and
//! load nothing before a container's end that is not needed for keeping it.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;

use libcontainer::container::Container;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::execv;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::attach::{self, Audience, Ear};
use super::handover::{self, Charge, Streams};
use super::log::{Stream, Writer};
use super::{Exit, Folder, Input, Order, SHIM_COMMAND, ending};
use crate::serve::nodes::channel;
use crate::stdx::clock;

/// The step of the hidden command that this is.
pub const KEEP: &str = "--keep";

/// A buffer grows to a chunk only where a container writes much: most say little, and there is one
/// for each.
const FIRST_BYTES: usize = 4 << 10;
const CHUNK_BYTES: usize = 256 << 10;

/// Goes on as a keeper. Does not return, except where the program cannot be begun anew: then it
/// keeps the container as it is.
pub fn begin(folder: &Path, charge: Charge) -> ExitCode {
    let _failed = begin_anew(folder, &charge);
    // What it holds open would never be seen to end.
    let _given = handover::take(rustix::stdio::stdin());
    finish(&Folder::new(folder.to_path_buf()), charge)
}

fn begin_anew(folder: &Path, charge: &Charge) -> io::Result<Infallible> {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(io::Error::other);
    let arguments = [
        text(b"bayplan")?,
        text(SHIM_COMMAND.as_bytes())?,
        text(KEEP.as_bytes())?,
        text(folder.as_os_str().as_bytes())?,
    ];
    rustix::stdio::dup2_stdin(handover::give(charge)?)?;
    // What the old life handles would end the new one.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGHUP);
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGQUIT);
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    Ok(execv(c"/proc/self/exe", &arguments)?)
}

/// Entry point of the hidden command with [`KEEP`].
pub fn run(folder: &Path) -> ExitCode {
    let folder = Folder::new(folder.to_path_buf());
    match handover::take(rustix::stdio::stdin()) {
        Ok(charge) => finish(&folder, charge),
        Err(error) => ending::tell(&folder, &give_up(&folder, &error.into())),
    }
}

fn finish(folder: &Folder, charge: Charge) -> ExitCode {
    let Charge {
        pid,
        alive,
        joining,
        streams,
    } = charge;
    // Held until how it ended is written: its end is what the kubelet waits for.
    let _until_it_is_told = alive;
    let kept = keep(folder, pid, joining, streams);
    let exit = kept.unwrap_or_else(|error| give_up(folder, &error));
    ending::tell(folder, &exit)
}

/// What is kept by nobody must not run.
fn give_up(folder: &Folder, error: &anyhow::Error) -> Exit {
    if let Ok(mut container) = folder.order().and_then(|order| container(&order)) {
        let _as_far_as_it_goes = container.delete(true);
    }
    ending::refusal(error)
}

fn container(order: &Order) -> io::Result<Container> {
    Container::load(order.state.join(&order.id)).map_err(io::Error::other)
}

fn keep(
    folder: &Folder,
    pid: i32,
    joining: UnixListener,
    streams: Streams,
) -> anyhow::Result<Exit> {
    let order = folder.order()?;
    let (outputs, ear) = apart(streams, &order)?;
    let mut listening = Listening {
        log: Writer::open(&order.log)?,
        audience: Audience::default(),
        ear,
        joining,
        outputs,
        buffer: vec![0; FIRST_BYTES],
    };
    let process = Pid::from_raw(pid).ok_or_else(|| io::Error::other("no process"))?;
    let ended = pidfd_open(process, PidfdFlags::empty())?;
    while !listening.round(Some(ended.as_fd()))? {}
    let code = ending::wait(pid)?;
    let at = clock::now();
    ending::kill_rest(&order.id);
    while !listening.outputs.is_empty() {
        listening.round(None)?;
    }
    listening.audience.dismiss();
    let exit = Exit {
        code,
        out_of_memory: ending::ran_out_of_memory(&order.id),
        at,
        error: None,
        message: ending::message(&order, code),
    };
    container(&order)?.delete(true)?;
    Ok(exit)
}

fn apart(streams: Streams, order: &Order) -> io::Result<(Vec<Output>, Ear)> {
    let output = |name, channel, from| Output {
        channel,
        from,
        stream: Stream::new(name),
    };
    Ok(match streams {
        Streams::Terminal(terminal) => {
            let reads = order.input != Input::None;
            let stdin = reads.then(|| terminal.try_clone()).transpose()?;
            let outputs = vec![output("stdout", channel::STDOUT, terminal.try_clone()?)];
            (outputs, Ear::new(order, stdin, Some(terminal)))
        }
        Streams::Pipes {
            stdin,
            stdout,
            stderr,
        } => {
            let outputs = vec![
                output("stdout", channel::STDOUT, stdout),
                output("stderr", channel::STDERR, stderr),
            ];
            (outputs, Ear::new(order, stdin, None))
        }
    })
}

/// A stream that the container says something on.
struct Output {
    channel: u8,
    from: File,
    stream: Stream,
}

/// All that happens while a container runs, but its end.
struct Listening {
    log: Writer,
    audience: Audience,
    ear: Ear,
    joining: UnixListener,
    /// Those that have not ended.
    outputs: Vec<Output>,
    buffer: Vec<u8>,
}

impl Listening {
    /// Waits until something happens, and takes it in; says whether it was the end that was waited for, too.
    fn round(&mut self, end: Option<BorrowedFd>) -> io::Result<bool> {
        let ready = self.wait(end)?;
        let is = |n: usize| ready.get(n).is_some_and(|flags| !flags.is_empty());
        if is(0) {
            // Nobody can be let in who has left again.
            let _left_again = attach::welcome(&self.joining, &self.audience, &self.ear);
        }
        let mut outputs = std::mem::take(&mut self.outputs);
        let mut n = 0;
        outputs.retain_mut(|output| {
            n += 1;
            !is(n) || self.hear(output)
        });
        self.outputs = outputs;
        Ok(is(n + 1))
    }

    /// What is ready: who comes, the outputs, the end.
    fn wait(&self, end: Option<BorrowedFd>) -> io::Result<Vec<PollFlags>> {
        let mut all = vec![PollFd::new(&self.joining, PollFlags::IN)];
        let outputs = self.outputs.iter();
        all.extend(outputs.map(|output| PollFd::new(&output.from, PollFlags::IN)));
        all.extend(end.iter().map(|end| PollFd::new(end, PollFlags::IN)));
        loop {
            match poll(&mut all, None) {
                Ok(_) => return Ok(all.iter().map(PollFd::revents).collect()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes in what is there of a stream; says whether it goes on.
    fn hear(&mut self, output: &mut Output) -> bool {
        let length = match output.from.read(&mut self.buffer) {
            Ok(length) if length > 0 => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            // A terminal whose other side is closed is an error, not an end.
            Ok(_) | Err(_) => {
                let _lost = self.log.end(&output.stream);
                return false;
            }
        };
        let said = self.buffer.get(..length).unwrap_or_default();
        self.audience.tell(output.channel, said);
        // A full disk loses lines, never the container.
        let _lost = self.log.take(&mut output.stream, said);
        if length == self.buffer.len() && length < CHUNK_BYTES {
            self.buffer = vec![0; CHUNK_BYTES.min(2 * length)];
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use rustix::pipe::pipe;

    use super::*;

    #[test]
    fn all_that_is_said_is_kept_and_who_attaches_hears_it() {
        let folder = tempfile::tempdir().unwrap();
        let (log, path) = (folder.path().join("0.log"), folder.path().join("it"));
        let ((stdout, says), (stderr, warns)) = (pipe().unwrap(), pipe().unwrap());
        let (mut says, mut warns) = (File::from(says), File::from(warns));
        let streams = Streams::Pipes {
            stdin: None,
            stdout: stdout.into(),
            stderr: stderr.into(),
        };
        let order = Order::of(folder.path());
        let (outputs, ear) = apart(streams, &order).unwrap();
        let mut listening = Listening {
            log: Writer::open(&log).unwrap(),
            audience: Audience::default(),
            ear,
            joining: UnixListener::bind(&path).unwrap(),
            outputs,
            buffer: vec![0; 4],
        };
        let mut attached = UnixStream::connect(path).unwrap();
        assert!(!listening.round(None).unwrap());
        says.write_all(b"a line longer than the buffer\nbeg")
            .unwrap();
        warns.write_all(b"careful\n").unwrap();
        says.write_all(b"un").unwrap();
        drop((says, warns));
        // Ready whenever it is asked: the end does not keep the rest from being heard.
        let (end, other) = pipe().unwrap();
        drop(other);
        while !listening.outputs.is_empty() {
            assert!(listening.round(Some(end.as_fd())).unwrap());
        }
        listening.audience.dismiss();
        let text = fs::read_to_string(log).unwrap();
        let lines = text.lines().filter_map(|line| line.split_once("Z "));
        let mut lines: Vec<&str> = lines.map(|(_, line)| line).collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "stderr F careful",
                "stdout F a line longer than the buffer",
                "stdout P begun",
            ]
        );
        let mut heard = [Vec::new(), Vec::new()];
        while let Some((channel, said)) =
            crate::node::container::frames::read(&mut attached).unwrap()
        {
            match channel {
                channel::STDOUT => heard[0].extend(said),
                channel::STDERR => heard[1].extend(said),
                _ => break,
            }
        }
        assert_eq!(heard[0], b"a line longer than the buffer\nbegun");
        assert_eq!(heard[1], b"careful\n");
    }
}
