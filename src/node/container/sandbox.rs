//! What the containers of a pod share beside its network: the name of the machine that they see,
//! System V's and POSIX's ways to speak to each other, and their processes where the pod says so.
//!
//! Each shared namespace is a file in the pod's folder that the kernel keeps it by, so that it lives
//! as long as the pod and not as long as one of its containers. Only a namespace of processes needs
//! a process ([`super::pause`]).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::PodSpec;
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};

use super::pause;

/// What containerd gives a pod for `/dev/shm`.
const MEMORY_OPTIONS: &std::ffi::CStr = c"mode=1777,size=65536k";
const MACHINE_MEMORY: &str = "/dev/shm";

/// Where the namespaces of a pod are; none: the machine's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sandbox {
    pub hostname: String,
    pub network: Option<PathBuf>,
    pub ipc: Option<PathBuf>,
    pub uts: Option<PathBuf>,
    pub pids: Pids,
    /// What its containers see as `/dev/shm`.
    pub memory: PathBuf,
}

/// Whose processes a container sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pids {
    #[default]
    Own,
    /// The pod's, by this namespace.
    Shared(PathBuf),
    Machine,
}

/// Makes what is not there yet of what the pod asks for. `network` is its own one's place. Blocking.
pub fn ensure(
    pod: &Path,
    spec: &PodSpec,
    hostname: String,
    network: PathBuf,
) -> io::Result<Sandbox> {
    let is = |asked: Option<bool>| asked == Some(true);
    let folder = folder(pod);
    fs::create_dir_all(&folder)?;
    let at = |kind: &str| folder.join(kind);
    // As with containerd, a pod on the machine's network has the machine's name.
    let uts = (!is(spec.host_network)).then(|| at("uts"));
    let ipc = (!is(spec.host_ipc)).then(|| at("ipc"));
    if let Some(uts) = uts.as_deref().filter(|path| !is_namespace(path)) {
        make(uts, CloneFlags::CLONE_NEWUTS, "uts", &hostname)?;
    }
    let mut memory = PathBuf::from(MACHINE_MEMORY);
    if let Some(ipc) = ipc.as_deref() {
        memory = at("shm");
        if !is_namespace(ipc) {
            make(ipc, CloneFlags::CLONE_NEWIPC, "ipc", "")?;
            fs::create_dir_all(&memory)?;
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            mount("shm", &memory, "tmpfs", flags, MEMORY_OPTIONS)?;
        }
    }
    let pids = if is(spec.host_pid) {
        Pids::Machine
    } else if is(spec.share_process_namespace) {
        let path = at("pid");
        if !pause::is_alive(&folder) {
            let _of_a_dead_one = unmount(&path, UnmountFlags::DETACH);
            let pid = pause::start(&folder)?;
            File::create(&path)?;
            mount_bind(format!("/proc/{pid}/ns/pid"), &path)?;
        }
        Pids::Shared(path)
    } else {
        Pids::Own
    };
    Ok(Sandbox {
        hostname,
        network: (!is(spec.host_network)).then_some(network),
        ipc,
        uts,
        pids,
        memory,
    })
}

/// Lets go of all of it. Its containers have ended.
pub fn remove(pod: &Path) {
    let folder = folder(pod);
    pause::end(&folder);
    for kind in ["uts", "ipc", "pid", "shm"] {
        let _not_every_pod_has_it = unmount(folder.join(kind), UnmountFlags::DETACH);
    }
}

fn folder(pod: &Path) -> PathBuf {
    pod.join("sandbox")
}

/// Whether a file stands for a namespace.
pub fn is_namespace(path: &Path) -> bool {
    const NSFS: i64 = 0x6e73_6673;
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type == NSFS)
}

/// A thread makes the namespace, and leaves it in its file.
fn make(path: &Path, flag: CloneFlags, kind: &'static str, hostname: &str) -> io::Result<()> {
    File::create(path)?;
    let (target, name) = (path.to_path_buf(), hostname.to_owned());
    let thread = std::thread::spawn(move || -> io::Result<()> {
        unshare(flag)?;
        if !name.is_empty() {
            rustix::system::sethostname(name.as_bytes())?;
        }
        Ok(mount_bind(format!("/proc/thread-self/ns/{kind}"), &target)?)
    });
    thread
        .join()
        .unwrap_or_else(|_panic| Err(io::Error::other("the thread that makes a namespace died")))
}
