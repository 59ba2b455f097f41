//! A command in a running container: the process that keeps it, and how a kubelet starts one.
//!
//! ```text
//! kubelet ── socket, frames ──► keeper (own process, single thread) ── libcontainer ──► command
//! ```
//!
//! The keeper's standard input is the conversation. Its end is the command's: whoever closes it, by
//! intent or by dying, has the command and its process group killed.
//!
//! Statuses are written as the kubelet's remote command server writes them (`NonZeroExitCode`).

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use anyhow::Context;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use oci_spec::runtime::Spec;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group};
use serde_json::{Value, json};

use super::confined::Confined;
use super::frames::{self, Pumps, Voice};
use super::{EXEC_COMMAND, Folder, ending, get, put, shim, terminal};
use crate::serve::nodes::channel;

/// A pipe that can be written to takes so much without blocking.
const PIPE_BYTES: usize = 4096;

/// What is to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    pub command: Vec<String>,
    pub stdin: bool,
    pub terminal: bool,
}

/// Starts a command in the container of this folder; the other end of the conversation. To be
/// called inside the runtime.
pub fn start(folder: &Folder, ask: &Ask) -> io::Result<tokio::net::UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut command = tokio::process::Command::new("/proc/self/exe");
    command.arg(EXEC_COMMAND).arg(folder.path());
    if ask.stdin {
        command.arg("--stdin");
    }
    if ask.terminal {
        command.arg("--terminal");
    }
    command
        .arg("--")
        .args(&ask.command)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    // A child that nobody waits for is taken by the runtime.
    command.spawn()?;
    tokio::net::UnixStream::from_std(ours)
}

/// How a command ended, from the status that its keeper told: its code, or why it did not run.
pub fn ended(status: &[u8]) -> Result<i32, String> {
    let status: Value = serde_json::from_slice(status).map_err(|error| error.to_string())?;
    if status.get("status").and_then(Value::as_str) == Some("Success") {
        return Ok(0);
    }
    let code = status.pointer("/details/causes/0/message");
    let code = code.and_then(Value::as_str).and_then(|it| it.parse().ok());
    if status.get("reason").and_then(Value::as_str) == Some("NonZeroExitCode") {
        return Ok(code.unwrap_or(255));
    }
    let message = status.get("message").and_then(Value::as_str);
    Err(message.unwrap_or_default().to_owned())
}

/// Entry point of the hidden command: runs the command and tells what becomes of it.
pub fn run(folder: &Path, ask: &Ask) -> ExitCode {
    let Ok(socket) = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3) else {
        return ExitCode::FAILURE;
    };
    let socket = UnixStream::from(socket);
    let Ok(reading) = socket.try_clone() else {
        return ExitCode::FAILURE;
    };
    let voice = Voice::new(socket);
    let status = match keep(folder, ask, &voice, reading) {
        Ok(code) => status_of(&ask.command, code),
        Err(error) => failure(&format!("{error:#}")),
    };
    let told = voice.say(channel::STATUS, status.as_bytes());
    // What did not become a command would be left to the container's first process, which need not
    // care for the dead.
    while rustix::process::wait(WaitOptions::empty()).is_ok() {}
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(_nobody_listens) => ExitCode::FAILURE,
    }
}

/// How it is told that all went well.
pub(super) const SUCCESS: &str = r#"{"metadata":{},"status":"Success"}"#;

/// Source: `k8s.io/kubelet/pkg/cri/streaming/remotecommand/exec.go`.
fn status_of(command: &[String], code: i32) -> String {
    if code == 0 {
        return SUCCESS.to_owned();
    }
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!(
            "command terminated with non-zero exit code: error executing command [{}], exit code {code}",
            command.join(" ")
        ),
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
    .to_string()
}

fn failure(why: &str) -> String {
    // The runtime pads what it says.
    let why = why.replace('\0', "");
    let why = format!("error executing command in container: failed to exec in container: {why}");
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("Internal error occurred: {why}"),
        "reason": "InternalError",
        "details": {"causes": [{"message": why}]},
        "code": 500,
    })
    .to_string()
}

struct Started {
    pid: i32,
    stdin: Option<File>,
    /// The terminal's controlling side.
    terminal: Option<File>,
    outputs: Vec<(u8, File)>,
}

fn keep(folder: &Path, ask: &Ask, voice: &Voice, reading: UnixStream) -> anyhow::Result<i32> {
    let _until_the_end = shim::usual_signals()?;
    let started = begin(folder, ask)?;
    let mut pumps = Pumps::new(voice.clone());
    for (channel, from) in started.outputs {
        pumps.add(channel, from);
    }
    let pid = started.pid;
    let (stdin, terminal) = (started.stdin, started.terminal);
    std::thread::spawn(move || {
        let _conversation_over = listen(reading, stdin, terminal.as_ref());
        if let Some(pid) = Pid::from_raw(pid) {
            let _gone_already = kill_process_group(pid, Signal::KILL);
        }
        // Nobody is left to tell anything to.
        std::process::exit(0);
    });
    let code = ending::wait(pid)?;
    pumps.finish();
    Ok(code)
}

/// Takes what is said to the command until the conversation ends.
fn listen(
    mut socket: UnixStream,
    mut stdin: Option<File>,
    terminal: Option<&File>,
) -> io::Result<()> {
    while let Some((channel, message)) = frames::read(&mut socket)? {
        match channel {
            channel::STDIN => {
                let taken = stdin
                    .as_mut()
                    .map_or(Ok(()), |stdin| feed(stdin, &socket, &message));
                match taken {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
                        return Err(error);
                    }
                    // The command reads no more.
                    Err(_broken) => stdin = None,
                }
            }
            channel::RESIZE => {
                if let Some(terminal) = terminal {
                    frames::resize(terminal, &message);
                }
            }
            _ if frames::closes_stdin(channel, &message) => stdin = None,
            _ => {}
        }
    }
    Ok(())
}

/// Writes in portions that do not block, so that the end of the conversation is seen also when the
/// command reads nothing.
pub(super) fn feed(stdin: &mut File, socket: &UnixStream, bytes: &[u8]) -> io::Result<()> {
    for part in bytes.chunks(PIPE_BYTES) {
        let writable = stdin.as_fd();
        let mut both = [
            PollFd::new(&writable, PollFlags::OUT),
            PollFd::new(socket, PollFlags::RDHUP),
        ];
        loop {
            match poll(&mut both, None) {
                Err(rustix::io::Errno::INTR) => continue,
                result => result?,
            };
            let [stdin, socket] = &both;
            if socket
                .revents()
                .intersects(PollFlags::RDHUP | PollFlags::HUP)
            {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            if !stdin.revents().is_empty() {
                break;
            }
        }
        stdin.write_all(part)?;
    }
    Ok(())
}

fn begin(folder: &Path, ask: &Ask) -> anyhow::Result<Started> {
    let order = Folder::new(folder.to_path_buf()).order()?;
    let process = Leftover(folder.join(format!("exec-{}.json", std::process::id())));
    let described = process_of(folder, ask)?;
    put(&process.0, &described)?;
    let spec: Spec = get(&folder.join("config.json"))?;
    let builder = ContainerBuilder::new(order.id, SyscallType::default())
        .with_root_path(order.state)?
        .with_executor(Confined::by(&spec)?);
    if ask.terminal {
        let (socket, listener) = terminal::listen(folder)?;
        let pid = builder
            .with_console_socket(Some(socket.clone()))
            .as_tenant()
            .with_process(Some(process.0.clone()))
            .with_detach(true)
            .build();
        let _gone = fs::remove_file(&socket);
        let pid = pid?.as_raw();
        let terminal = File::from(terminal::receive(&listener)?);
        return Ok(Started {
            pid,
            stdin: if ask.stdin {
                Some(terminal.try_clone()?)
            } else {
                None
            },
            outputs: vec![(channel::STDOUT, terminal.try_clone()?)],
            terminal: Some(terminal),
        });
    }
    let (stdin, input) = if ask.stdin {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        (read, Some(File::from(write)))
    } else {
        (OwnedFd::from(File::open("/dev/null")?), None)
    };
    let (output, stdout) = pipe_with(PipeFlags::CLOEXEC)?;
    let (errors, stderr) = pipe_with(PipeFlags::CLOEXEC)?;
    let pid = builder
        .with_stdin(stdin)
        .with_stdout(stdout)
        .with_stderr(stderr)
        .as_tenant()
        .with_process(Some(process.0.clone()))
        .with_detach(false)
        .build()?;
    Ok(Started {
        pid: pid.as_raw(),
        stdin: input,
        terminal: None,
        outputs: vec![
            (channel::STDOUT, File::from(output)),
            (channel::STDERR, File::from(errors)),
        ],
    })
}

/// The container's own process with another command: its user, folder, variables and rights.
fn process_of(folder: &Path, ask: &Ask) -> anyhow::Result<Value> {
    let spec: Spec = get(&folder.join("config.json"))?;
    let process = spec.process().as_ref().context("it has no process")?;
    let mut process = serde_json::to_value(process)?;
    let fields = process.as_object_mut().context("it has no process")?;
    fields.insert("args".to_owned(), json!(ask.command));
    fields.insert("terminal".to_owned(), json!(ask.terminal));
    if ask.terminal
        && let Some(environment) = fields.get_mut("env").and_then(Value::as_array_mut)
    {
        // As containerd's CRI plugin does.
        environment.retain(|entry| !entry.as_str().is_some_and(|it| it.starts_with("TERM=")));
        environment.push(json!("TERM=xterm"));
    }
    Ok(process)
}

/// A file that is there only while something is started.
struct Leftover(PathBuf);

impl Drop for Leftover {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_tell_exit_codes_as_upstream() {
        let command = ["sh".to_owned(), "-c".to_owned(), "exit 3".to_owned()];
        let status = status_of(&command, 3);
        let told: Value = serde_json::from_str(&status).unwrap();
        assert_eq!(
            told["message"],
            "command terminated with non-zero exit code: error executing command [sh -c exit 3], \
             exit code 3"
        );
        assert_eq!(ended(status.as_bytes()), Ok(3));
        assert_eq!(ended(status_of(&command, 0).as_bytes()), Ok(0));
        let refused = failure("no such file\0\0");
        assert!(
            ended(refused.as_bytes())
                .unwrap_err()
                .ends_with("no such file")
        );
    }

    #[test]
    fn what_nobody_reads_does_not_hide_the_end_of_the_conversation() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (_kept, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let mut stdin = File::from(write);
        let closing = std::thread::spawn(move || drop(ours));
        let fed = feed(&mut stdin, &theirs, &vec![0; 1 << 20]);
        closing.join().unwrap();
        assert_eq!(fed.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}
