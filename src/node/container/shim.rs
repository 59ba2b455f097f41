//! The process that makes one container, and then becomes its [`keeper`].
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
use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, open, openat2};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::getpid;

use super::confined::Confined;
use super::handover::{Charge, Streams};
use super::log::Writer;
use super::{
    Folder, Input, Order, Started, attach, ending, get, keeper, put, start_ticks, terminal,
};
use crate::stdx::clock;

/// The step of the hidden command that makes the container.
pub const MAKE: &str = "--make";

/// Entry point of the hidden command with [`MAKE`]: makes the container of this folder and keeps it until
/// it has ended.
pub fn run(folder: &Path) -> ExitCode {
    let refuse = |error: anyhow::Error| {
        let folder = Folder::new(folder.to_path_buf());
        ending::tell(&folder, &ending::refusal(&error))
    };
    let _until_it_is_kept = match usual_signals() {
        Ok(kept) => kept,
        Err(error) => return refuse(error.into()),
    };
    let charge = match make(folder) {
        Ok(charge) => charge,
        Err(error) => return refuse(error),
    };
    keeper::begin(folder, charge)
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
        .arg(MAKE)
        .arg(folder)
        .process_group(0);
    command.spawn()?;
    Ok(ExitCode::SUCCESS)
}

fn make(path: &Path) -> anyhow::Result<Charge> {
    let folder = Folder::new(path.to_path_buf());
    let order = folder.order()?;
    mount_image(path, &order)?;
    // The runtime only enters it; containerd's makes it. What stands in the way, the runtime tells.
    let _in_the_way = make_working_folder(path);
    let alive = folder.hold()?;
    let joining = attach::listen(path)?;
    // It is there when the container is said to run.
    drop(Writer::open(&order.log)?);
    let (mut container, streams) = create(path, &order)?;
    match start(&folder, &mut container) {
        Ok(pid) => Ok(Charge {
            pid,
            alive,
            joining,
            streams,
        }),
        Err(error) => {
            let _gone_anyway = container.delete(true);
            Err(error)
        }
    }
}

/// The container's first process.
fn start(folder: &Folder, container: &mut Container) -> anyhow::Result<i32> {
    let pid = container
        .pid()
        .map(nix::unistd::Pid::as_raw)
        .ok_or_else(|| anyhow::anyhow!("the runtime made no process"))?;
    container.start()?;
    let started = Started {
        shim: getpid().as_raw_nonzero().get(),
        pid,
        start_ticks: start_ticks(pid).unwrap_or_default(),
        at: clock::now(),
    };
    put(&folder.path().join("started.json"), &started)?;
    Ok(pid)
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
        return Ok((container, Streams::Terminal(terminal)));
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
    let streams = Streams::Pipes {
        stdin,
        stdout: File::from(output),
        stderr: File::from(errors),
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
