//! The runtime's configuration of one container, from its pod's specification and its image.
//!
//! Source: the OCI runtime specification 1.2; what the kubelet and containerd fill in by default
//! (capabilities, masked paths, devices, CPU shares and quota from requests and limits).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, PodSecurityContext, SecurityContext};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;
use oci_spec::image::ImageConfiguration;
use oci_spec::runtime::Spec;
use serde_json::{Value, json};

use super::sandbox::{Pids, Sandbox};
use super::{cgroups, confined, seccomp, user};
use crate::k8s::quantity::Quantity;

/// Containerd's default capabilities.
const CAPABILITIES: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];
/// The rest: what `ALL` and privileged containers have beside them.
const OTHER_CAPABILITIES: &[&str] = &[
    "CAP_AUDIT_CONTROL",
    "CAP_AUDIT_READ",
    "CAP_BLOCK_SUSPEND",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
    "CAP_DAC_READ_SEARCH",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_LEASE",
    "CAP_LINUX_IMMUTABLE",
    "CAP_MAC_ADMIN",
    "CAP_MAC_OVERRIDE",
    "CAP_NET_ADMIN",
    "CAP_NET_BROADCAST",
    "CAP_PERFMON",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_MODULE",
    "CAP_SYS_NICE",
    "CAP_SYS_PACCT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
];
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];
/// The scheduler's period for CPU limits, in microseconds.
const CPU_PERIOD: i64 = 100_000;
/// The kubelet's smallest shares and quota.
const SHARES_MIN: i64 = 2;
const SHARES_MAX: i64 = 262_144;
const QUOTA_MIN: i64 = 1_000;
/// The kubelet's `podPidsLimit` is unlimited by default; forks without end are not.
const PIDS_MAX: i64 = 4_096;

/// A folder or file of the machine that a container sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub source: PathBuf,
    pub target: String,
    pub read_only: bool,
}

/// What a container is made of.
pub struct Parts<'a> {
    pub id: &'a str,
    /// The pod as the kubelet's messages name it: `name_namespace(uid)`.
    pub pod: &'a str,
    pub container: &'a Container,
    pub image: &'a ImageConfiguration,
    /// The image's unpacked layers, the lowest first: its own accounts are in them.
    pub layers: &'a [PathBuf],
    pub rootfs: &'a Path,
    pub environment: &'a BTreeMap<String, String>,
    pub mounts: &'a [Mount],
    /// What the pod's containers share.
    pub sandbox: &'a Sandbox,
    /// Where the machine's own seccomp profiles are.
    pub profiles: &'a Path,
    /// The pod's security context, where the container's own says nothing.
    pub pod_security: Option<&'a PodSecurityContext>,
}

/// Why a container cannot be configured; the kubelet's `CreateContainerConfigError`.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("no command specified")]
    NoCommand,
    #[error("container has runAsNonRoot and image will run as root {0}")]
    Root(String),
    #[error("container's runAsUser breaks non-root policy {0}")]
    AsksForRoot(String),
    #[error(
        "container has runAsNonRoot and image has non-numeric user ({0}), cannot verify user is \
         non-root {1}"
    )]
    NamedUser(String, String),
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoAccount(String),
    #[error(transparent)]
    Seccomp(#[from] seccomp::SeccompError),
    #[error("the runtime does not take its configuration: {0}")]
    Refused(#[from] serde_json::Error),
}

/// Writes the configuration.
pub fn spec(parts: &Parts<'_>) -> Result<Spec, BundleError> {
    let arguments = arguments(parts)?;
    let identity = user::identity(parts)?;
    let security = parts.container.security_context.as_ref();
    let privileged = security.and_then(|it| it.privileged) == Some(true);
    let capabilities = capabilities(security, privileged);
    // An escalation is allowed unless it is forbidden, as in Kubernetes.
    let gains_nothing = security.and_then(|it| it.allow_privilege_escalation) == Some(false);
    let profile = seccomp::profile(security, parts.pod_security, &capabilities, parts.profiles)?;
    let held = if profile.is_some() && !gains_nothing {
        confined::widen(&capabilities)
    } else {
        capabilities.clone()
    };
    let mut environment: Vec<String> = parts
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if parts.container.tty == Some(true) && !parts.environment.contains_key("TERM") {
        environment.push("TERM=xterm".to_owned());
    }
    let image = parts.image.config().as_ref();
    let folder = image.and_then(|image| image.working_dir().clone());
    let folder = parts.container.working_dir.clone().or(folder);
    let folder = folder.filter(|folder| !folder.is_empty());
    let value = json!({
        "ociVersion": "1.2.0",
        // Refused where the name is the machine's.
        "hostname": parts.sandbox.uts.as_ref().map(|_| &parts.sandbox.hostname),
        "root": {
            "path": parts.rootfs,
            "readonly": security.and_then(|it| it.read_only_root_filesystem) == Some(true),
        },
        "process": {
            "terminal": parts.container.tty == Some(true),
            "user": {
                "uid": identity.user,
                "gid": identity.group,
                "additionalGids": identity.groups,
            },
            "args": arguments,
            "env": environment,
            "cwd": folder.unwrap_or_else(|| "/".to_owned()),
            "capabilities": {
                "bounding": capabilities,
                "effective": held,
                "permitted": held,
            },
            "noNewPrivileges": gains_nothing,
        },
        "mounts": mounts(parts, privileged),
        "linux": {
            "namespaces": namespaces(parts.sandbox),
            "seccomp": profile,
            "cgroupsPath": format!("/{}", cgroups::of(parts.id)),
            "resources": resources(parts.container, privileged),
            "maskedPaths": if privileged { &[] } else { MASKED },
            "readonlyPaths": if privileged { &[] } else { READ_ONLY },
        },
    });
    Ok(serde_json::from_value(value)?)
}

/// Kubernetes' `command` replaces the image's entry point and drops its arguments, `args` replaces
/// the arguments. `$(NAME)` stands for a variable of the container.
fn arguments(parts: &Parts<'_>) -> Result<Vec<String>, BundleError> {
    let image = parts.image.config().as_ref();
    let entry = image.and_then(|image| image.entrypoint().clone());
    let default = image.and_then(|image| image.cmd().clone());
    let container = parts.container;
    let (head, tail) = match (&container.command, &container.args) {
        (Some(command), args) => (command.clone(), args.clone().unwrap_or_default()),
        (None, Some(args)) => (entry.unwrap_or_default(), args.clone()),
        (None, None) => (entry.unwrap_or_default(), default.unwrap_or_default()),
    };
    let all: Vec<String> = head
        .iter()
        .chain(&tail)
        .map(|text| expand(text, parts.environment))
        .collect();
    if all.is_empty() {
        return Err(BundleError::NoCommand);
    }
    Ok(all)
}

/// Replaces `$(NAME)`; `$$` is a dollar; what is not known stays as it is.
pub fn expand(text: &str, environment: &BTreeMap<String, String>) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result += before;
        if let Some(after) = after.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some((name, after)) =
            after.strip_prefix('(').and_then(|it| it.split_once(')'))
        {
            match environment.get(name) {
                Some(value) => result += value,
                None => result.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            result.push('$');
            rest = after;
        }
    }
    result + rest
}

fn capabilities(security: Option<&SecurityContext>, privileged: bool) -> Vec<String> {
    let changes = security.and_then(|it| it.capabilities.as_ref());
    let full = |name: &String| {
        let name = name.to_ascii_uppercase();
        if name.starts_with("CAP_") {
            name
        } else {
            format!("CAP_{name}")
        }
    };
    let dropped: Vec<String> = changes
        .and_then(|it| it.drop.as_ref())
        .into_iter()
        .flatten()
        .map(full)
        .collect();
    let added: Vec<String> = changes
        .and_then(|it| it.add.as_ref())
        .into_iter()
        .flatten()
        .map(full)
        .collect();
    let is_all = |names: &[String]| names.iter().any(|name| name == "CAP_ALL");
    let every = CAPABILITIES.iter().chain(OTHER_CAPABILITIES);
    let usual: Vec<&str> = if privileged || is_all(&added) {
        every.copied().collect()
    } else {
        CAPABILITIES.to_vec()
    };
    let drops_all = is_all(&dropped) && !is_all(&added);
    let kept = usual
        .into_iter()
        .map(str::to_owned)
        .filter(|name| privileged || !(drops_all || dropped.contains(name)));
    let added = added.iter().filter(|name| *name != "CAP_ALL").cloned();
    let mut all: Vec<String> = kept.chain(added).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn namespaces(sandbox: &Sandbox) -> Vec<Value> {
    let mut all = vec![json!({"type": "mount"})];
    let shared = [
        ("network", &sandbox.network),
        ("ipc", &sandbox.ipc),
        ("uts", &sandbox.uts),
    ];
    for (kind, path) in shared {
        all.extend(path.iter().map(|path| json!({"type": kind, "path": path})));
    }
    match &sandbox.pids {
        Pids::Own => all.push(json!({"type": "pid"})),
        Pids::Shared(path) => all.push(json!({"type": "pid", "path": path})),
        Pids::Machine => {}
    }
    all
}

fn mounts(parts: &Parts<'_>, privileged: bool) -> Vec<Value> {
    let special = |target: &str, kind: &str, options: &[&str]| json!({"destination": target, "type": kind, "source": kind, "options": options});
    let sys: &[&str] = if privileged {
        &["nosuid", "noexec", "nodev"]
    } else {
        &["nosuid", "noexec", "nodev", "ro"]
    };
    let mut all = vec![
        special("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        special(
            "/dev",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        special(
            "/dev/pts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        json!({
            "destination": "/dev/shm", "type": "bind", "source": parts.sandbox.memory,
            "options": ["rbind", "rprivate", "rw", "nosuid", "noexec", "nodev"],
        }),
        special("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        special("/sys", "sysfs", sys),
    ];
    all.extend(parts.mounts.iter().map(|mount| {
        let access = if mount.read_only { "ro" } else { "rw" };
        json!({
            "destination": mount.target,
            "type": "bind",
            "source": mount.source,
            "options": ["rbind", "rprivate", access],
        })
    }));
    all
}

/// Requests become CPU shares, limits a quota and a most of memory, as the kubelet converts them.
fn resources(container: &Container, privileged: bool) -> Value {
    let asked = container.resources.as_ref();
    let find = |list: Option<&BTreeMap<String, WireQuantity>>, name: &str| {
        let text = &list?.get(name)?.0;
        Quantity::parse(text).ok()
    };
    let requests = asked.and_then(|it| it.requests.as_ref());
    let limits = asked.and_then(|it| it.limits.as_ref());
    let cpu_request = find(requests, "cpu").or_else(|| find(limits, "cpu"));
    let shares = cpu_request.map_or(SHARES_MIN, |cpu| {
        (cpu.milli() * 1024 / 1000).clamp(SHARES_MIN, SHARES_MAX)
    });
    let mut cpu = json!({"shares": shares});
    if let (Some(limit), Some(cpu)) = (find(limits, "cpu"), cpu.as_object_mut()) {
        let quota = (limit.milli() * CPU_PERIOD / 1000).max(QUOTA_MIN);
        cpu.insert("quota".to_owned(), json!(quota));
        cpu.insert("period".to_owned(), json!(CPU_PERIOD));
    }
    let mut all = json!({
        "cpu": cpu,
        "pids": {"limit": PIDS_MAX},
        "devices": [{"allow": privileged, "access": "rwm"}],
    });
    if let (Some(limit), Some(all)) = (find(limits, "memory"), all.as_object_mut()) {
        all.insert("memory".to_owned(), json!({"limit": limit.value()}));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec_of(container: Value, image: &Value) -> Result<Spec, BundleError> {
        let container: Container = serde_json::from_value(container).unwrap();
        let image: ImageConfiguration = serde_json::from_value(json!({
            "architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": []},
            "config": image,
        }))
        .unwrap();
        spec(&Parts {
            id: "one",
            pod: "cart-0_shop(1)",
            container: &container,
            image: &image,
            layers: &[],
            rootfs: Path::new("/run/one/rootfs"),
            environment: &BTreeMap::from([("NAME".to_owned(), "cart".to_owned())]),
            mounts: &[],
            sandbox: &Sandbox::default(),
            profiles: Path::new("/none"),
            pod_security: None,
        })
    }

    fn args(container: Value, image: &Value) -> Vec<String> {
        let spec = spec_of(container, image).unwrap();
        spec.process().as_ref().unwrap().args().clone().unwrap()
    }

    /// The table of "Define a Command and Arguments for a Container", Kubernetes documentation.
    #[test]
    fn commands_and_arguments_replace_as_documented() {
        let image = json!({"Entrypoint": ["/ep-1"], "Cmd": ["foo", "bar"]});
        assert_eq!(args(json!({"name": "a"}), &image), ["/ep-1", "foo", "bar"]);
        assert_eq!(
            args(json!({"name": "a", "command": ["/ep-2"]}), &image),
            ["/ep-2"]
        );
        assert_eq!(
            args(json!({"name": "a", "args": ["zoo"]}), &image),
            ["/ep-1", "zoo"]
        );
        let both = json!({"name": "a", "command": ["/ep-2"], "args": ["zoo"]});
        assert_eq!(args(both, &image), ["/ep-2", "zoo"]);
    }

    #[test]
    fn variables_are_expanded_and_dollars_escaped() {
        let environment = BTreeMap::from([("NAME".to_owned(), "cart".to_owned())]);
        let expand = |text: &str| expand(text, &environment);
        assert_eq!(expand("hello $(NAME)"), "hello cart");
        assert_eq!(expand("$$(NAME) $(OTHER) $5"), "$(NAME) $(OTHER) $5");
    }

    #[test]
    fn limits_become_quota_and_memory() {
        let container = json!({"name": "a", "command": ["x"], "resources": {
            "requests": {"cpu": "250m"}, "limits": {"cpu": "1500m", "memory": "64Mi"},
        }});
        let spec = spec_of(container, &json!({})).unwrap();
        let resources = spec.linux().as_ref().unwrap().resources().clone().unwrap();
        let cpu = resources.cpu().clone().unwrap();
        assert_eq!(cpu.shares(), Some(256));
        assert_eq!(cpu.quota(), Some(150_000));
        assert_eq!(resources.memory().unwrap().limit(), Some(64 << 20));
    }
}
