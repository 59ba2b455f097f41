//! How a container ended: waited for, and told to the kubelet.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, pidfd_open, pidfd_send_signal, waitpid,
};

use super::log::{Query, Reader};
use super::{Exit, Folder, Order, put};
use crate::stdx::clock;

/// The kubelet reads no more of a termination message.
const MESSAGE_BYTES_MAX: usize = 4096;
/// The same where the log speaks instead (`pkg/kubelet/container`).
const FALLBACK_LINES_MAX: usize = 80;
const FALLBACK_BYTES_MAX: usize = 2048;
/// The kernel needs a moment to end a killed process.
const KILLED: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};
const KILL_ROUNDS_MAX: u32 = 100;

/// Writes it where the kubelet looks.
pub fn tell(folder: &Folder, exit: &Exit) -> ExitCode {
    match put(&folder.path().join("exit.json"), exit) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "how the container ended cannot be written");
            ExitCode::FAILURE
        }
    }
}

/// What containerd says of a command that is not there is a start error with code 128.
pub fn refusal(error: &anyhow::Error) -> Exit {
    Exit {
        code: 128,
        out_of_memory: false,
        at: clock::now(),
        error: Some(format!("{error:#}")),
        message: String::new(),
    }
}

/// Waits for the container's first process, which is a child of this one.
pub fn wait(pid: i32) -> io::Result<i32> {
    loop {
        match waitpid(Pid::from_raw(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(code_of(status)),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Where a container has no processes of its own, those that it started outlive its first one, and
/// would hold its log open.
pub fn kill_rest(id: &str) {
    let group = super::cgroups::of(id);
    let lists = [
        format!("/sys/fs/cgroup/pids/{group}/cgroup.procs"),
        format!("/sys/fs/cgroup/{group}/cgroup.procs"),
    ];
    // Those that are killed may have started others meanwhile.
    for _round in 0..KILL_ROUNDS_MAX {
        let texts = lists.iter().map(fs::read_to_string);
        let text: String = texts.filter_map(Result::ok).collect();
        let left = text.lines().filter_map(|line| line.parse().ok());
        let left = left.filter_map(Pid::from_raw);
        let left = left.filter_map(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let left: Vec<_> = left.collect();
        if left.is_empty() {
            return;
        }
        for process in &left {
            let _gone_meanwhile = pidfd_send_signal(process, Signal::KILL);
        }
        for process in &left {
            let _ended_or_stuck = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&KILLED));
        }
    }
}

fn code_of(status: WaitStatus) -> i32 {
    let killed = status.terminating_signal().map(|signal| 128 + signal);
    status.exit_status().or(killed).unwrap_or(255)
}

/// Whether the kernel killed something of this container for memory, on v1 and v2 machines.
pub fn ran_out_of_memory(id: &str) -> bool {
    let counts = [
        format!(
            "/sys/fs/cgroup/memory/{}/memory.oom_control",
            super::cgroups::of(id)
        ),
        format!("/sys/fs/cgroup/{}/memory.events", super::cgroups::of(id)),
    ];
    counts.iter().any(|path| {
        fs::read_to_string(path).is_ok_and(|text| {
            text.lines()
                .filter_map(|line| line.strip_prefix("oom_kill "))
                .any(|count| count.trim() != "0")
        })
    })
}

/// What the pod's status says of its end.
pub fn message(order: &Order, code: i32) -> String {
    let path = order.termination_log.as_deref();
    let bytes = path
        .and_then(|path| fs::read(path).ok())
        .unwrap_or_default();
    if bytes.is_empty() && order.falls_back_to_log && code != 0 {
        return last_lines(&order.log);
    }
    let end = bytes.len().saturating_sub(MESSAGE_BYTES_MAX);
    String::from_utf8_lossy(bytes.get(end..).unwrap_or_default()).into_owned()
}

fn last_lines(log: &Path) -> String {
    let query = Query {
        tail: Some(FALLBACK_LINES_MAX),
        ..Query::default()
    };
    let said = Reader::open(log, query).and_then(|mut reader| reader.backlog());
    let said = said.unwrap_or_default();
    let end = said.len().saturating_sub(FALLBACK_BYTES_MAX);
    String::from_utf8_lossy(said.get(end..).unwrap_or_default()).into_owned()
}
