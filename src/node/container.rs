//! One container: its bundle, the process that keeps it, its log, and the way into it.
//!
//! ```text
//! kubelet ── writes folder ──► shim (own process, own mount namespace) ── libcontainer ──► container
//!    ▲                           │ overlay of the image's layers                             │
//!    │                           ▼                                                           │
//!    │ started, exit (files)    keeper (the same process, its memory empty)                  │
//!    └───────────────────────── log writer  ◄──────────── stdout, stderr ────────────────────┘
//!                               waits, then writes how it ended and is gone
//! ```
//!
//! The shim outlives the kubelet: after a restart, or a kill, the files of [`Folder`] tell what runs
//! and what ended meanwhile. All that the shim mounts is gone with its mount namespace.

pub mod attach;
pub mod bundle;
pub mod cgroups;
mod confined;
mod ending;
pub mod exec;
pub mod frames;
mod handover;
pub mod keeper;
pub mod log;
pub mod pause;
pub mod sandbox;
mod seccomp;
pub mod shim;
mod terminal;
mod user;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jiff::Timestamp;
use rustix::fs::{CWD, FileType, Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The hidden command that this binary re-executes itself with, to be a shim.
pub const SHIM_COMMAND: &str = "container-shim";
/// The same for a command in a running container.
pub const EXEC_COMMAND: &str = "container-exec";

/// The same for the first process of a pod whose containers see each other's.
pub const PAUSE_COMMAND: &str = "pod-pause";

/// What the shim is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Unique on this machine.
    pub id: String,
    /// Unpacked layers, the lowest first. The overlay's writable layer is in the container's folder.
    pub layers: Vec<PathBuf>,
    /// Where the log goes.
    pub log: PathBuf,
    /// Where the runtime keeps its own state.
    pub state: PathBuf,
    /// A file that the container can write, read when it has ended.
    pub termination_log: Option<PathBuf>,
    #[serde(default)]
    pub input: Input,
    #[serde(default)]
    pub terminal: bool,
    /// What it is stopped with, where its image says so: `SIGQUIT`, `QUIT`, `3`.
    #[serde(default)]
    pub stop_signal: Option<String>,
    /// Where its termination log is empty after a failure, the end of its log speaks.
    #[serde(default)]
    pub falls_back_to_log: bool,
}

#[cfg(test)]
impl Order {
    /// An order for a container that is not made.
    fn of(folder: &Path) -> Self {
        Self {
            id: "it".to_owned(),
            layers: Vec::new(),
            log: folder.join("0.log"),
            state: folder.join("state"),
            termination_log: None,
            input: Input::None,
            terminal: false,
            stop_signal: None,
            falls_back_to_log: false,
        }
    }
}

/// Whether a container reads what those who attach to it say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    #[default]
    None,
    Open,
    /// Until the first who speaks has left.
    Once,
}

/// What the shim says when the container runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    pub shim: i32,
    pub pid: i32,
    /// The kernel's start time of `pid`: a number that is used again belongs to somebody else.
    pub start_ticks: u64,
    pub at: Timestamp,
}

/// How it ended, or why it never started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// As the kubelet counts: 128 and the signal for a killed one.
    pub code: i32,
    pub out_of_memory: bool,
    pub at: Timestamp,
    /// Why the container could not be made or its command not be run.
    pub error: Option<String>,
    /// What it wrote to its termination log.
    pub message: String,
}

/// Where a run of a container keeps its log, in its pod's folder.
pub fn log_file(pod: &Path, container: &str, attempt: u32) -> PathBuf {
    logs_folder(pod, container).join(format!("{attempt}.log"))
}

/// The logs of all runs of a container.
pub fn logs_folder(pod: &Path, container: &str) -> PathBuf {
    pod.join("logs").join(container)
}

/// The runs of all containers of a pod.
pub fn runs_folder(pod: &Path) -> PathBuf {
    pod.join("containers")
}

/// A container's folder: how the kubelet and the shim speak to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder of one run of a container, in its pod's folder.
    pub fn of(pod: &Path, container: &str, attempt: u32) -> Self {
        Self(runs_folder(pod).join(format!("{container}-{attempt}")))
    }

    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A pipe whose other end the shim holds for as long as it keeps the container.
    pub fn alive(&self) -> PathBuf {
        self.0.join("alive")
    }

    /// The shim's end of that pipe.
    fn hold(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        Ok(open(self.alive(), flags, Mode::empty())?)
    }

    /// Writes what the shim needs: its order and the runtime's configuration.
    pub fn write(&self, order: &Order, spec: &oci_spec::runtime::Spec) -> io::Result<()> {
        for folder in ["rootfs", "upper", "work"] {
            fs::create_dir_all(self.0.join(folder))?;
        }
        let _left_by_a_refusal = fs::remove_file(self.alive());
        let (mode, kind) = (Mode::RUSR | Mode::WUSR, FileType::Fifo);
        rustix::fs::mknodat(CWD, self.alive(), kind, mode, 0)?;
        put(&self.0.join("config.json"), spec)?;
        put(&self.0.join("order.json"), order)
    }

    pub fn order(&self) -> io::Result<Order> {
        get(&self.0.join("order.json"))
    }

    /// Starts the shim; it goes on when this process ends.
    pub fn spawn(&self) -> io::Result<()> {
        let mut child = Command::new("/proc/self/exe")
            .arg(SHIM_COMMAND)
            .arg(&self.0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.0.join("shim.log"))?)
            .spawn()?;
        // The shim leaves a child of its own behind and ends at once.
        child.wait().map(drop)
    }

    pub fn started(&self) -> Option<Started> {
        get(&self.0.join("started.json")).ok()
    }

    pub fn exit(&self) -> Option<Exit> {
        get(&self.0.join("exit.json")).ok()
    }

    /// Sends a signal to the container's first process. One that is gone has had it.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(started) = self.started().filter(|_| self.exit().is_none()) else {
            return Ok(());
        };
        let Some(pid) = Pid::from_raw(started.pid) else {
            return Ok(());
        };
        let Ok(handle) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else {
            return Ok(());
        };
        if start_ticks(started.pid) != Some(started.start_ticks) {
            return Ok(());
        }
        match rustix::process::pidfd_send_signal(&handle, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What the container is stopped with.
    pub fn stop_signal(&self) -> Signal {
        let order = self.order().ok();
        let named = order.and_then(|order| order.stop_signal);
        named
            .and_then(|name| signal_of(&name))
            .unwrap_or(Signal::TERM)
    }

    /// Whether its shim is alive. A shim that died without a word (killed, out of memory) leaves
    /// neither an exit nor a process, and nobody at the other end of its pipe.
    pub fn is_kept(&self) -> bool {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let is_held = || {
            let pipe = open(self.alive(), flags, Mode::empty())?;
            rustix::io::read(&pipe, &mut [0])
        };
        self.started().is_some() && is_held() == Err(Errno::AGAIN)
    }
}

fn signal_of(name: &str) -> Option<Signal> {
    if let Ok(number) = name.parse() {
        return Signal::from_named_raw(number);
    }
    let name = name.to_ascii_uppercase();
    Some(match name.strip_prefix("SIG").unwrap_or(&name) {
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "QUIT" => Signal::QUIT,
        "ABRT" => Signal::ABORT,
        "KILL" => Signal::KILL,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        "ALRM" => Signal::ALARM,
        "TERM" => Signal::TERM,
        "WINCH" => Signal::WINCH,
        _ => return None,
    })
}

/// Writes whole or not at all.
fn put(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let next = path.with_extension("new");
    fs::write(&next, serde_json::to_vec(value)?)?;
    fs::rename(next, path)
}

fn get<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// Field 22 of `/proc/PID/stat`: clock ticks from boot to the process' start.
fn start_ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name stands in parentheses and may hold anything.
    let after = stat.rsplit_once(')')?.1;
    after.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_kept_while_its_shim_holds_the_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::new(folder.path().join("app-0"));
        assert!(!folder.is_kept());
        let order = Order::of(folder.path());
        folder
            .write(&order, &oci_spec::runtime::Spec::default())
            .unwrap();
        let started = Started {
            shim: 1,
            pid: 2,
            start_ticks: 3,
            at: Timestamp::UNIX_EPOCH,
        };
        put(&folder.path().join("started.json"), &started).unwrap();
        // The kubelet's own end does not count.
        let waits = open(
            folder.alive(),
            OFlags::RDONLY | OFlags::NONBLOCK,
            Mode::empty(),
        )
        .unwrap();
        assert!(!folder.is_kept());
        let held = folder.hold().unwrap();
        assert!(folder.is_kept());
        assert!(folder.is_kept());
        drop(held);
        assert!(!folder.is_kept());
        drop(waits);
    }
}
