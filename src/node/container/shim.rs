//! The process that makes one container, keeps its log and waits for its end.
//!
//! It has one thread until the container runs: namespaces are entered by thread, and the runtime
//! forks. It never speaks to the cluster; its whole world is the container's [`Folder`].

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use nix::sched::{CloneFlags, unshare};
use oci_spec::runtime::Spec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, open, openat2};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, pidfd_open, pidfd_send_signal,
    waitpid,
};

use super::attach::{self, Audience, Ear};
use super::confined::Confined;
use super::log::{Query, Reader, Writer};
use super::{Exit, Folder, Input, Order, Started, get, put, start_ticks, terminal};
use crate::serve::nodes::channel;
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

/// Entry point of the hidden command, with `--keep`: keeps the container of this folder until it
/// has ended.
pub fn run(folder: &Path) -> ExitCode {
    let folder = Folder::new(folder.to_path_buf());
    let _until_the_end = match usual_signals() {
        Ok(kept) => kept,
        Err(error) => return finish(&folder, &refusal(&error.into())),
    };
    // Held until how it ended is written: its end is what the kubelet waits for.
    let _alive = fs::File::options()
        .read(true)
        .write(true)
        .open(folder.alive());
    match keep(&folder) {
        Ok(exit) => finish(&folder, &exit),
        Err(error) => finish(&folder, &refusal(&error)),
    }
}

/// A shim stands on its own: its parent ends at once, so that init adopts it. What the parent was
/// given open by whoever started it, such as a lock of a script, is not kept for the container's
/// life.
pub fn detach(folder: &Path) -> io::Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    let closed = SyscallType::default().create_syscall().close_range(0);
    closed.map_err(io::Error::other)?;
    let mut command = std::process::Command::new("/proc/self/exe");
    command
        .arg(super::SHIM_COMMAND)
        .arg("--keep")
        .arg(folder)
        .process_group(0);
    command.spawn()?;
    Ok(ExitCode::SUCCESS)
}

fn finish(folder: &Folder, exit: &Exit) -> ExitCode {
    match put(&folder.path().join("exit.json"), exit) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "how the container ended cannot be written");
            ExitCode::FAILURE
        }
    }
}

/// What containerd says of a command that is not there is a start error with code 128.
fn refusal(error: &anyhow::Error) -> Exit {
    Exit {
        code: 128,
        out_of_memory: false,
        at: clock::now(),
        error: Some(format!("{error:#}")),
        message: String::new(),
    }
}

fn keep(folder: &Folder) -> anyhow::Result<Exit> {
    let order = folder.order()?;
    let _alive = fs::File::options()
        .read(true)
        .write(true)
        .open(folder.alive())?;
    mount_image(folder.path(), &order)?;
    // The runtime only enters it; containerd's makes it. What stands in the way, the runtime tells.
    let _in_the_way = make_working_folder(folder.path());
    let joining = attach::listen(folder.path())?;
    let (mut container, streams) = create(folder.path(), &order)?;
    let pid = container
        .pid()
        .map(nix::unistd::Pid::as_raw)
        .ok_or_else(|| anyhow::anyhow!("the runtime made no process"))?;
    if let Err(error) = container.start() {
        let _gone_anyway = container.delete(true);
        return Err(error.into());
    }
    let started = Started {
        shim: getpid().as_raw_nonzero().get(),
        pid,
        start_ticks: start_ticks(pid).unwrap_or_default(),
        at: clock::now(),
    };
    put(&folder.path().join("started.json"), &started)?;
    let log = Writer::open(&order.log)?;
    let audience = Audience::default();
    let writers = streams
        .outputs
        .into_iter()
        .map(|(name, channel, from)| log.follow(name, audience.hearing(channel, from)));
    let writers: Vec<_> = writers.collect();
    let ear = Ear::new(&order, streams.stdin, streams.terminal);
    attach::welcome(joining, audience.clone(), ear);
    let code = wait(pid)?;
    let at = clock::now();
    kill_rest(&order.id);
    for writer in writers {
        let _wrote_all = writer.join();
    }
    audience.dismiss();
    let exit = Exit {
        code,
        out_of_memory: ran_out_of_memory(&order.id),
        at,
        error: None,
        message: message(&order, code),
    };
    container.delete(true)?;
    Ok(exit)
}

/// The image's layers and a writable one on top, seen by this process and its container alone.
fn mount_image(folder: &Path, order: &Order) -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    forget_other_pods(folder, order)?;
    // The kernel takes one page of options: layers are named relative to their folder.
    let base = order.layers.first().and_then(|layer| layer.parent());
    if let Some(base) = base {
        std::env::set_current_dir(base)?;
    }
    let mut lower: Vec<PathBuf> = order
        .layers
        .iter()
        .filter_map(|layer| layer.file_name().map(PathBuf::from))
        .collect();
    lower.reverse();
    let lower: Vec<String> = lower
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.join(":"),
        folder.join("upper").display(),
        folder.join("work").display()
    );
    let options = std::ffi::CString::new(options)?;
    mount(
        "overlay",
        folder.join("rootfs"),
        "overlay",
        MountFlags::empty(),
        options.as_c_str(),
    )?;
    std::env::set_current_dir("/")?;
    Ok(())
}

/// This side of a container's streams.
struct Streams {
    stdin: Option<File>,
    terminal: Option<File>,
    /// Their names in the log, their channels.
    outputs: Vec<(&'static str, u8, File)>,
}

/// The working folder, where the image has none. Links of the image lead inside it, not out.
fn make_working_folder(folder: &Path) -> io::Result<()> {
    let spec: Spec = get(&folder.join("config.json"))?;
    let Some(process) = spec.process() else {
        return Ok(());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(folder.join("rootfs"), flags, Mode::empty())?;
    let inside = |path: &Path| openat2(&root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT);
    let mut path = PathBuf::from("/");
    for part in process.cwd().components() {
        let parent = path.clone();
        path.push(part);
        match inside(&path) {
            Err(rustix::io::Errno::NOENT) => {
                mkdirat(
                    inside(&parent)?,
                    part.as_os_str(),
                    Mode::from_raw_mode(0o755),
                )?;
            }
            found => drop(found?),
        }
    }
    Ok(())
}

/// What is mounted for other pods (their networks, their volumes in memory) would otherwise be held
/// here for as long as this container lives.
fn forget_other_pods(folder: &Path, order: &Order) -> anyhow::Result<()> {
    let own = folder.parent().and_then(Path::parent);
    let (Some(node), Some(pod)) = (order.state.parent(), own) else {
        return Ok(());
    };
    let uid = pod.file_name().unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    for line in mounts.lines() {
        let target = line.split(' ').nth(4).unwrap_or_default();
        let target = Path::new(target);
        let is_other = target.strip_prefix(node).is_ok_and(|inside| {
            !inside.as_os_str().is_empty() && inside.iter().all(|part| part != uid)
        });
        if is_other {
            let _gone_with_another = unmount(target, UnmountFlags::DETACH);
        }
    }
    Ok(())
}

fn create(folder: &Path, order: &Order) -> anyhow::Result<(Container, Streams)> {
    fs::create_dir_all(&order.state)?;
    let spec: Spec = get(&folder.join("config.json"))?;
    let mut builder = ContainerBuilder::new(order.id.clone(), SyscallType::default())
        .with_root_path(order.state.clone())?
        .with_executor(Confined::by(&spec)?);
    if order.terminal {
        let (socket, listener) = terminal::listen(folder)?;
        let built = builder
            .with_console_socket(Some(socket.clone()))
            .validate_id()?
            .as_init(folder)
            .with_systemd(false)
            .with_detach(true)
            .build();
        let _gone = fs::remove_file(socket);
        let container = built?;
        let terminal = File::from(terminal::receive(&listener)?);
        let reads = order.input != Input::None;
        let stdin = reads.then(|| terminal.try_clone()).transpose()?;
        let output = terminal.try_clone()?;
        let streams = Streams {
            stdin,
            terminal: Some(terminal),
            outputs: vec![("stdout", channel::STDOUT, output)],
        };
        return Ok((container, streams));
    }
    let (output, stdout) = pipe_with(PipeFlags::CLOEXEC)?;
    let (errors, stderr) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut stdin = None;
    if order.input != Input::None {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        builder = builder.with_stdin(read);
        stdin = Some(File::from(write));
    }
    let container = builder
        .with_stdout(stdout)
        .with_stderr(stderr)
        .validate_id()?
        .as_init(folder)
        .with_systemd(false)
        .with_detach(false)
        .build()?;
    let streams = Streams {
        stdin,
        terminal: None,
        outputs: vec![
            ("stdout", channel::STDOUT, File::from(output)),
            ("stderr", channel::STDERR, File::from(errors)),
        ],
    };
    Ok((container, streams))
}

/// What this process ignores (a Rust program does broken pipes) its container would ignore too:
/// that goes through an exec, but a handler does not.
pub(super) fn usual_signals() -> io::Result<impl Drop> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let inside = runtime.enter();
    for kind in [
        SignalKind::pipe(),
        SignalKind::hangup(),
        SignalKind::interrupt(),
        SignalKind::quit(),
        SignalKind::terminate(),
    ] {
        drop(signal(kind)?);
    }
    drop(inside);
    Ok(runtime)
}

/// Waits for the container's first process, which is a child of this one.
pub(super) fn wait(pid: i32) -> io::Result<i32> {
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
fn kill_rest(id: &str) {
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
fn ran_out_of_memory(id: &str) -> bool {
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

fn message(order: &Order, code: i32) -> String {
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
