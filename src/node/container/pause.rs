//! The first process of a pod whose containers share their processes (`shareProcessNamespace`).
//!
//! It does nothing but care for the dead, and its end is the end of all others. Containers see it,
//! and one that may trace processes may take it over: it has nothing that could be taken, neither
//! files nor a network nor rights, and who may not trace does not even read it.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{self, SigSet};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal,
    set_dumpable_behavior, wait,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use serde::{Deserialize, Serialize};

use super::{PAUSE_COMMAND, get, put, start_ticks};

/// The step of the hidden command that cares for the dead.
pub const KEEP: &str = "--keep";

#[derive(Serialize, Deserialize)]
struct Kept {
    pid: i32,
    start_ticks: u64,
}

/// Starts one, which goes on when this process ends; its number.
pub fn start(folder: &Path) -> io::Result<i32> {
    let said = Command::new("/proc/self/exe")
        .arg(PAUSE_COMMAND)
        .arg(folder)
        .stdin(Stdio::null())
        .output()?;
    let kept: Option<Kept> = get(&folder.join("pause.json")).ok();
    match kept {
        Some(kept) if said.status.success() => Ok(kept.pid),
        _ => {
            let why = String::from_utf8_lossy(&said.stderr).trim().to_owned();
            Err(io::Error::other(format!("the pod's first process: {why}")))
        }
    }
}

pub fn is_alive(folder: &Path) -> bool {
    let kept: Option<Kept> = get(&folder.join("pause.json")).ok();
    kept.is_some_and(|kept| start_ticks(kept.pid) == Some(kept.start_ticks))
}

/// Ends it, and with it whatever else still runs in its namespace.
pub fn end(folder: &Path) {
    let path = folder.join("pause.json");
    let Ok(kept) = get::<Kept>(&path) else {
        return;
    };
    let handle = Pid::from_raw(kept.pid).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
    if let Some(Ok(handle)) = handle
        && start_ticks(kept.pid) == Some(kept.start_ticks)
    {
        let _gone_meanwhile = pidfd_send_signal(&handle, Signal::KILL);
    }
    let _best_effort = fs::remove_file(path);
}

/// Entry point of the hidden command: leaves the process behind in a new namespace.
pub fn detach(folder: &Path) -> io::Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    unshare(CloneFlags::CLONE_NEWPID)?;
    let mut child = Command::new("/proc/self/exe")
        .arg(PAUSE_COMMAND)
        .arg(KEEP)
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let Some(start_ticks) = start_ticks(pid) else {
        return Err(child.wait().map_or_else(
            |error| error,
            |status| io::Error::other(format!("it ended with {status}")),
        ));
    };
    put(&folder.join("pause.json"), &Kept { pid, start_ticks })?;
    Ok(ExitCode::SUCCESS)
}

/// Entry point of the hidden command with [`KEEP`]: cares for the dead until it is killed.
pub fn run(folder: &Path) -> io::Result<ExitCode> {
    let mut deaths = SigSet::empty();
    deaths.add(signal::Signal::SIGCHLD);
    // A signal that is held back waits, so that none is missed between the looks.
    deaths.thread_block()?;
    strip(folder)?;
    loop {
        while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
        deaths.wait()?;
    }
}

/// Takes everything away from this process that it does not need, which is everything.
fn strip(folder: &Path) -> io::Result<()> {
    let others = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    unshare(others)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    mount("empty", folder, "tmpfs", flags, c"size=4k")?;
    std::env::set_current_dir(folder)?;
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, none)?)
}
