//! The terminal, lent to a process of a container until that ends.
//!
//! The connection is made while the screen still stands, so that a refusal is a message like any
//! other. Then the terminal's keys go to the process as they are, and its words to the terminal.
//! Standard input is read by a thread that can be told to stop: a read left behind would swallow
//! the console's next key.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{Api, AttachParams, AttachedProcess, TerminalSize};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::terminal::Terminal;
use crate::tui::effect::{Visit, VisitKind};
use crate::tui::notice::Notice;

/// A server that has not answered by then will not.
const PATIENCE: Duration = Duration::from_secs(10);
/// ctrl-], as in telnet: leaves, whatever the process makes of its keys.
const LEAVE: u8 = 0x1d;
/// What images with a shell at all have; further words would ask more of it than some understand.
const SHELL: &str = "sh";
const CHUNK: usize = 4096;

/// A process that waits for the terminal.
pub struct Guest {
    process: AttachedProcess,
    visit: Visit,
}

/// Whether the console goes on.
pub enum Parting {
    Ended(Notice),
    /// This process was asked to end meanwhile.
    Terminated,
}

/// Connects to the process, or says why not.
pub async fn invite(client: kube::Client, visit: Visit) -> Result<Guest, String> {
    let pods: Api<Pod> = Api::namespaced(client, &visit.pod.namespace);
    let parameters = AttachParams::default().container(visit.container.clone());
    let name = visit.pod.name.as_str();
    let connect = async {
        match visit.kind {
            VisitKind::Shell => {
                let parameters = parameters.stdin(true).stdout(true).stderr(false).tty(true);
                pods.exec(name, [SHELL], &parameters).await
            }
            VisitKind::Attach { stdin, terminal } => {
                let parameters = parameters.stdin(stdin).stdout(true);
                let parameters = parameters.stderr(!terminal).tty(terminal);
                pods.attach(name, &parameters).await
            }
        }
    };
    let failed = |why: &str| format!("container {} of pod {name}: {why}", visit.container);
    match tokio::time::timeout(PATIENCE, connect).await {
        Ok(Ok(process)) => Ok(Guest { process, visit }),
        Ok(Err(error)) => Err(failed(&error.to_string())),
        Err(_elapsed) => Err(failed("the server does not answer")),
    }
}

impl Guest {
    /// Gives it the terminal until it ends, or who sits there leaves. The caller has stopped
    /// reading keys, and takes the terminal back.
    pub async fn entertain(mut self, terminal: &mut Terminal) -> io::Result<Parting> {
        terminal.lend(&self.greeting())?;
        let mut keys = Keys::read()?;
        let mut heard = self.listen();
        let mut sizes = self.process.terminal_size();
        let mut stdin = self.process.stdin();
        let mut resized = signal(SignalKind::window_change())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        tell_size(&mut sizes);
        loop {
            tokio::select! {
                biased;
                _ = terminate.recv() => return Ok(Parting::Terminated),
                _ = hang_up.recv() => return Ok(Parting::Terminated),
                _ = resized.recv() => tell_size(&mut sizes),
                said = heard.recv() => match said {
                    Some(bytes) => terminal.pass_on(&bytes)?,
                    None => break,
                },
                typed = keys.pressed.recv() => {
                    let Some(mut bytes) = typed else {
                        return Ok(Parting::Terminated);
                    };
                    let leaves = bytes.iter().position(|byte| *byte == LEAVE);
                    bytes.truncate(leaves.unwrap_or(bytes.len()));
                    if let Some(open) = &mut stdin
                        && (open.write_all(&bytes).await.is_err() || open.flush().await.is_err())
                    {
                        stdin = None;
                    }
                    if leaves.is_some() {
                        return Ok(Parting::Ended(Notice::note(self.told("left"))));
                    }
                }
            }
        }
        let status = match self.process.take_status() {
            Some(status) => status.await,
            None => None,
        };
        Ok(Parting::Ended(self.outcome(status)))
    }

    fn greeting(&self) -> String {
        let Visit { pod, container, .. } = &self.visit;
        let what = match self.visit.kind {
            VisitKind::Shell => "shell in",
            VisitKind::Attach { .. } => "attached to",
        };
        format!("{what} {container} of {}; ctrl-] leaves\r\n", pod.name)
    }

    /// Both outputs, in one channel that holds them back while the terminal is slow.
    fn listen(&mut self) -> Receiver<Vec<u8>> {
        let (tell, heard) = channel(16);
        if let Some(output) = self.process.stdout() {
            tokio::spawn(copy(output, tell.clone()));
        }
        if let Some(errors) = self.process.stderr() {
            tokio::spawn(copy(errors, tell));
        }
        heard
    }

    fn told(&self, what: &str) -> String {
        let Visit { pod, container, .. } = &self.visit;
        format!("{what} container {container} of pod {}", pod.name)
    }

    fn outcome(&self, status: Option<Status>) -> Notice {
        let Some(status) = status else {
            return Notice::warning(self.told("the connection was lost to"));
        };
        if status.status.as_deref() == Some("Success") {
            return Notice::note(self.told("back from"));
        }
        let causes = status.details.and_then(|details| details.causes);
        let code = causes.and_then(|causes| causes.into_iter().next()?.message);
        if let (Some("NonZeroExitCode"), Some(code)) = (status.reason.as_deref(), code) {
            return Notice::note(self.told(&format!("exit code {code}: back from")));
        }
        let why = status.message.unwrap_or_default();
        Notice::failure(format!("{}: {why}", self.told("no shell in")))
    }
}

async fn copy(mut from: impl AsyncRead + Unpin, tell: Sender<Vec<u8>>) {
    let mut buffer = [0; CHUNK];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let said = buffer.get(..length).unwrap_or_default().to_vec();
        if tell.send(said).await.is_err() {
            return;
        }
    }
}

fn tell_size(sizes: &mut Option<futures::channel::mpsc::Sender<TerminalSize>>) {
    if let (Some(sizes), Ok((width, height))) = (sizes, Terminal::size()) {
        let _next_one_counts = sizes.try_send(TerminalSize { width, height });
    }
}

/// What is typed, until this is dropped.
struct Keys {
    pressed: Receiver<Vec<u8>>,
    _stop: OwnedFd,
}

impl Keys {
    fn read() -> io::Result<Self> {
        let (stopped, stop) = pipe_with(PipeFlags::CLOEXEC)?;
        let (tell, pressed) = channel(16);
        std::thread::spawn(move || {
            // Its end is seen by the receiver.
            let _terminal_is_gone = read_until(&stopped, &tell);
        });
        Ok(Self {
            pressed,
            _stop: stop,
        })
    }
}

fn read_until(stopped: &OwnedFd, tell: &Sender<Vec<u8>>) -> io::Result<()> {
    let stdin = rustix::stdio::stdin();
    let mut buffer = [0; CHUNK];
    loop {
        let mut both = [
            PollFd::new(&stdin, PollFlags::IN),
            PollFd::new(stopped, PollFlags::IN),
        ];
        match poll(&mut both, None) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result?,
        };
        let [keys, stopped] = &both;
        if !stopped.revents().is_empty() {
            return Ok(());
        }
        if keys.revents().is_empty() {
            continue;
        }
        let length = rustix::io::read(stdin, &mut buffer)?;
        let typed = buffer.get(..length).unwrap_or_default().to_vec();
        if length == 0 || tell.blocking_send(typed).is_err() {
            return Ok(());
        }
    }
}
