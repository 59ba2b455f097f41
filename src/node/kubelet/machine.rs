//! What this machine has, as its Node says it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::k8s::lab::{RACK_LABEL, RUNTIME_LABEL};
use crate::k8s::quantity::Quantity;

/// How pods run here, as the node's label says.
const RUNTIME: &str = "container";
const PODS_MAX: u32 = 110;
/// Kept for the machine itself.
const MEMORY_RESERVED: u64 = 256 << 20;
const VERSION: &str = "v1.36.2";

/// Ranges of pod addresses for local nodes, apart from those of simulated ones.
pub fn ranges() -> impl Iterator<Item = String> {
    (0..=255).map(|third| format!("10.88.{third}.0/24"))
}

/// The node as it is registered; a reserved one takes only pods that tolerate its taint, and one
/// that is not alone on its machine has a rack of its own, so that a rack can be cut off.
pub fn node(name: &str, range: &str, is_reserved: bool, is_alone: bool) -> Value {
    let taint = json!({"key": RUNTIME_LABEL, "value": RUNTIME, "effect": "NoSchedule"});
    let taints: Vec<Value> = is_reserved.then_some(taint).into_iter().collect();
    let mut labels = json!({
        RUNTIME_LABEL: RUNTIME,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture(),
    });
    // A zone in which nothing may run would hold every even spread over zones at one pod a zone.
    if !is_reserved && let Some(labels) = labels.as_object_mut() {
        for level in ["region", "zone"] {
            labels.insert(format!("topology.kubernetes.io/{level}"), json!("local"));
        }
    }
    if !is_alone && let Some(labels) = labels.as_object_mut() {
        labels.insert(RACK_LABEL.to_owned(), json!(name));
    }
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"podCIDR": range, "podCIDRs": [range], "taints": taints},
    })
}

/// The status, as a patch of what the kubelet owns. So many nodes share the machine evenly.
pub fn status(name: &str, address: IpAddr, share: u32, now: Timestamp) -> Value {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let milli = i64::try_from(processors * 1000).unwrap_or(i64::MAX) / i64::from(share);
    let memory = memory_bytes() / u64::from(share);
    let disk = disk_bytes() / u64::from(share);
    let reserved = MEMORY_RESERVED / u64::from(share);
    let condition = |kind: &str, state: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": state, "reason": reason, "message": message,
            "lastHeartbeatTime": format!("{now:.0}"),
        })
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let resources = |memory: u64| {
        json!({
            "cpu": Quantity::from_milli(milli).to_string(),
            "memory": format!("{}Ki", memory >> 10),
            "pods": PODS_MAX.to_string(),
            "ephemeral-storage": format!("{}Ki", disk >> 10),
        })
    };
    json!({"status": {
        "capacity": resources(memory),
        "allocatable": resources(memory.saturating_sub(reserved)),
        "addresses": [
            {"type": "InternalIP", "address": address.to_string()},
            {"type": "Hostname", "address": name},
        ],
        "conditions": [
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        ],
        "nodeInfo": {
            "architecture": architecture(),
            "operatingSystem": "linux",
            "kernelVersion": kernel.trim(),
            "osImage": os_name(),
            "containerRuntimeVersion": "libcontainer://0.7",
            "kubeletVersion": VERSION,
            "kubeProxyVersion": VERSION,
            "bootID": fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim(),
            "machineID": fs::read_to_string("/etc/machine-id").unwrap_or_default().trim(),
            "systemUUID": "",
        },
    }})
}

pub fn lease(name: &str, now: Timestamp) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": 40,
            "renewTime": format!("{now:.6}"),
        },
    })
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn memory_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

fn disk_bytes() -> u64 {
    rustix::fs::statvfs("/").map_or(0, |found| found.f_blocks * found.f_frsize)
}

fn os_name() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"').to_owned()
}

/// The address that this machine would be reached at; nothing is sent.
pub fn address() -> IpAddr {
    let found = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    found.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}
