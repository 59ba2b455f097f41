//! Joining a running container's own streams: the shim's side, and how a kubelet reaches it.
//!
//! The shim listens on a socket in the container's folder and speaks [`frames`] on it.
//! Who attaches hears what the container says from then on, and speaks to it where it reads. One that
//! takes nothing for a while is let go, so that the container is not held up.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::exec::{SUCCESS, feed};
use super::frames::{self, Voice};
use super::{Folder, Input, Order};
use crate::serve::nodes::channel;

const SOCKET: &str = "attach.sock";
/// How long the container waits for one who listens.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether one who comes is going to speak, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    Listen,
    Speak,
}

/// Connects to a container's streams.
pub fn join(folder: &Folder, intent: Intent) -> io::Result<tokio::net::UnixStream> {
    // The kernel takes short paths only.
    let folder = File::open(folder.path())?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    let socket = UnixStream::connect(path)?;
    if intent == Intent::Speak {
        // An empty word says that more will come.
        Voice::new(socket.try_clone()?).say(channel::STDIN, &[])?;
    }
    socket.set_nonblocking(true)?;
    tokio::net::UnixStream::from_std(socket)
}

/// A socket for those who come. For a process of one thread.
pub fn listen(folder: &Path) -> io::Result<UnixListener> {
    std::env::set_current_dir(folder)?;
    let _left_by_a_refusal = std::fs::remove_file(SOCKET);
    let listener = UnixListener::bind(SOCKET);
    std::env::set_current_dir("/")?;
    let listener = listener?;
    // Who has left again before he was taken in must not be waited for.
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Everybody who listens to a container.
#[derive(Clone, Default)]
pub struct Audience(Arc<Mutex<Vec<Voice>>>);

impl Audience {
    fn all(&self) -> MutexGuard<'_, Vec<Voice>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everybody hears what the container said.
    pub fn tell(&self, channel: u8, bytes: &[u8]) {
        self.all().retain(|voice| {
            let told = voice.say(channel, bytes).is_ok();
            if !told {
                voice.hang_up();
            }
            told
        });
    }

    /// The container has ended.
    pub fn dismiss(&self) {
        self.tell(channel::STATUS, SUCCESS.as_bytes());
        self.all().clear();
    }

    fn leave(&self, gone: &Voice) {
        gone.hang_up();
        self.all().retain(|voice| !voice.is(gone));
    }
}

/// What is said to a container.
#[derive(Clone)]
pub struct Ear {
    stdin: Arc<Mutex<Option<File>>>,
    once: bool,
    terminal: Option<Arc<File>>,
}

impl Ear {
    pub fn new(order: &Order, stdin: Option<File>, terminal: Option<File>) -> Self {
        Self {
            stdin: Arc::new(Mutex::new(stdin)),
            once: order.input == Input::Once,
            terminal: terminal.map(Arc::new),
        }
    }

    fn stdin(&self) -> MutexGuard<'_, Option<File>> {
        self.stdin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what one says until he leaves.
    fn hear(&self, socket: &UnixStream) {
        let mut speaks = false;
        let mut reading = socket;
        while let Ok(Some((channel, message))) = frames::read(&mut reading) {
            match channel {
                channel::STDIN => {
                    speaks = true;
                    if !self.pass_on(socket, &message) {
                        break;
                    }
                }
                channel::RESIZE => {
                    if let Some(terminal) = &self.terminal {
                        frames::resize(terminal, &message);
                    }
                }
                _ if frames::closes_stdin(channel, &message) && self.once => *self.stdin() = None,
                _ => {}
            }
        }
        if speaks && self.once {
            *self.stdin() = None;
        }
    }

    /// Whether the conversation goes on.
    fn pass_on(&self, socket: &UnixStream, message: &[u8]) -> bool {
        let mut stdin = self.stdin();
        let Some(open) = stdin.as_mut() else {
            return true;
        };
        match feed(open, socket, message) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => false,
            Err(_nobody_reads) => {
                *stdin = None;
                true
            }
        }
    }
}

/// Takes in one who has come; he is listened to in a thread of his own until he leaves.
pub fn welcome(listener: &UnixListener, audience: &Audience, ear: &Ear) -> io::Result<()> {
    let (socket, _) = listener.accept()?;
    let writing = socket.try_clone()?;
    let _slower_is_fine = writing.set_write_timeout(Some(PATIENCE));
    let voice = Voice::new(writing);
    audience.all().push(voice.clone());
    let (audience, ear) = (audience.clone(), ear.clone());
    let heard = std::thread::Builder::new().spawn(move || {
        ear.hear(&socket);
        audience.leave(&voice);
    });
    heard.map(drop)
}
