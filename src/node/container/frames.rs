//! How this program's own processes speak of a container's streams: frames over a unix socket.
//!
//! ```text
//! length (4 bytes, big-endian) │ channel (1 byte) │ what was said
//! ```
//!
//! Channels are those of Kubernetes' remote command protocol ([`channel`]), so that the API server
//! hands frames on as they are. This side is synchronous: its processes hold one container each.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::serve::nodes::channel;

const LENGTH: usize = 4;
/// The length and the channel.
const HEAD: usize = LENGTH + 1;
const CHUNK: usize = 32 << 10;
/// No peer of ours says more at once.
const FRAME_BYTES_MAX: usize = 8 << 20;
/// A stream that somebody left open is given up when it has been silent for so long after the end
/// of the command.
const SILENCE: Duration = Duration::from_millis(200);

/// The writing half of a conversation; frames of several threads do not mix.
#[derive(Clone)]
pub struct Voice(Arc<Mutex<UnixStream>>);

impl Voice {
    pub fn new(socket: UnixStream) -> Self {
        Self(Arc::new(Mutex::new(socket)))
    }

    pub fn say(&self, channel: u8, bytes: &[u8]) -> io::Result<()> {
        let mut frame = vec![0; HEAD];
        frame.extend_from_slice(bytes);
        self.put(channel, &mut frame)
    }

    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Ends the conversation for both.
    pub fn hang_up(&self) {
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _gone_already = socket.shutdown(Shutdown::Both);
    }

    /// Writes a frame whose first bytes are room for its head.
    fn put(&self, channel: u8, frame: &mut [u8]) -> io::Result<()> {
        let length = u32::try_from(frame.len() - HEAD + 1).map_err(io::Error::other)?;
        if let Some((head, rest)) = frame.split_first_chunk_mut::<LENGTH>() {
            *head = length.to_be_bytes();
            if let Some(first) = rest.first_mut() {
                *first = channel;
            }
        }
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        socket.write_all(frame)
    }
}

/// The next frame; none at the end of the conversation.
pub fn read(from: &mut impl Read) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut length = [0; LENGTH];
    match from.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_be_bytes(length) as usize;
    if !(1..=FRAME_BYTES_MAX).contains(&length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut channel = [0];
    from.read_exact(&mut channel)?;
    let [channel] = channel;
    let mut bytes = vec![0; length - 1];
    from.read_exact(&mut bytes)?;
    Ok(Some((channel, bytes)))
}

/// A terminal's size, as kubectl sends it: `{"Width":80,"Height":24}`.
pub fn resize(terminal: &File, message: &[u8]) {
    let Ok(size) = serde_json::from_slice::<serde_json::Value>(message) else {
        return;
    };
    let number = |name: &str| {
        let number = size.get(name).and_then(serde_json::Value::as_u64);
        number.and_then(|number| u16::try_from(number).ok())
    };
    if let (Some(columns), Some(rows)) = (number("Width"), number("Height")) {
        let size = rustix::termios::Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let _a_terminal_that_is_gone = rustix::termios::tcsetwinsize(terminal, size);
    }
}

/// Threads that tell what a command says, until its streams end.
pub struct Pumps {
    voice: Voice,
    progress: SyncSender<()>,
    seen: Receiver<()>,
    busy: Vec<Arc<AtomicBool>>,
}

impl Pumps {
    pub fn new(voice: Voice) -> Self {
        let (progress, seen) = sync_channel(1);
        Self {
            voice,
            progress,
            seen,
            busy: Vec::new(),
        }
    }

    pub fn add(&mut self, channel: u8, mut from: File) {
        let (voice, progress) = (self.voice.clone(), self.progress.clone());
        let busy = Arc::new(AtomicBool::new(false));
        self.busy.push(Arc::clone(&busy));
        std::thread::spawn(move || {
            let mut frame = vec![0; HEAD + CHUNK];
            loop {
                let length = match frame.get_mut(HEAD..).map(|room| from.read(room)) {
                    // A terminal whose other side is closed is an error, not an end.
                    Some(Ok(0) | Err(_)) | None => return,
                    Some(Ok(length)) => length,
                };
                busy.store(true, Ordering::Release);
                let said = frame.get_mut(..HEAD + length).unwrap_or_default();
                if voice.put(channel, said).is_err() {
                    return;
                }
                busy.store(false, Ordering::Release);
                let _one_is_enough = progress.try_send(());
            }
        });
    }

    /// Call when the command has ended: returns when all was told. What it left running may hold
    /// its streams open; they are not waited for once they are silent.
    pub fn finish(self) {
        drop(self.progress);
        loop {
            match self.seen.recv_timeout(SILENCE) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    let slow = self.busy.iter().any(|busy| busy.load(Ordering::Acquire));
                    if !slow {
                        return;
                    }
                }
            }
        }
    }
}

/// Whether a message closes the channel of standard input.
pub fn closes_stdin(channel: u8, message: &[u8]) -> bool {
    channel == self::channel::CLOSE && message == [self::channel::STDIN]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_and_a_lie_about_lengths_is_refused() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let voice = Voice::new(ours);
        voice.say(channel::STDOUT, b"hello").unwrap();
        voice.say(channel::STATUS, b"").unwrap();
        drop(voice);
        assert_eq!(
            read(&mut theirs).unwrap(),
            Some((channel::STDOUT, b"hello".to_vec()))
        );
        assert_eq!(read(&mut theirs).unwrap(), Some((channel::STATUS, vec![])));
        assert_eq!(read(&mut theirs).unwrap(), None);
        let mut lie: &[u8] = &[0xff, 0, 0, 0, 1];
        assert!(read(&mut lie).is_err());
    }

    #[test]
    fn what_is_left_open_and_silent_is_not_waited_for() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut pumps = Pumps::new(Voice::new(ours));
        let (from, to) = rustix::pipe::pipe().unwrap();
        pumps.add(channel::STDOUT, File::from(from));
        let mut held = File::from(to);
        held.write_all(b"last words").unwrap();
        pumps.finish();
        let (_, said) = read(&mut theirs).unwrap().unwrap();
        assert_eq!(said, b"last words");
    }
}
