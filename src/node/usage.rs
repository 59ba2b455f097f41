//! What this machine and its containers use, read from their cgroups.
//!
//! CPU is a rate: two readings and the time between them. Memory is the working set, what could not
//! be taken back at once, as the kubelet counts it. Cgroups v1 and v2; where there is neither, nothing
//! is told.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::container::cgroups;
use crate::serve::nodes::{Usage, Used};
use crate::stdx::clock;

/// How often is measured.
const PERIOD: Duration = Duration::from_secs(5);
/// A pod's uid at the beginning of a container's id.
const UID_LENGTH: usize = 36;

/// One reading: CPU time so far, and memory, of the machine and of each container.
#[derive(Clone, Debug)]
struct Reading {
    at: Timestamp,
    machine: Option<(u64, u64)>,
    containers: BTreeMap<String, (u64, u64)>,
}

/// Of what usage is told.
#[derive(Clone, Debug)]
pub enum Measured {
    Machine,
    /// One of several nodes of the machine: the pods that have a folder here are what it uses.
    Pods(PathBuf),
}

/// Measures from time to time, and keeps the last.
#[derive(Debug)]
pub struct Meter {
    root: PathBuf,
    measured: Measured,
    last: Mutex<Option<Reading>>,
    usage: Mutex<Option<Usage>>,
}

impl Meter {
    pub fn of(measured: Measured) -> Self {
        Self::new(Path::new("/sys/fs/cgroup"), measured)
    }

    fn new(root: &Path, measured: Measured) -> Self {
        Self {
            root: root.to_path_buf(),
            measured,
            last: Mutex::default(),
            usage: Mutex::default(),
        }
    }

    /// Measures for ever.
    pub async fn run(&self) {
        let mut period = tokio::time::interval(PERIOD);
        loop {
            period.tick().await;
            self.measure(clock::now());
        }
    }

    /// The last usage, once there were two readings.
    pub fn usage(&self) -> Option<Usage> {
        let usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        usage.clone()
    }

    fn measure(&self, now: Timestamp) {
        let reading = self.read(now);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.replace(reading.clone());
        drop(last);
        if let Some(before) = before {
            let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
            *usage = Some(between(&before, &reading));
        }
    }

    fn read(&self, now: Timestamp) -> Reading {
        let names = entries(&self.root.join("cpuacct/bayplan"))
            .or_else(|| entries(&self.root.join("bayplan")));
        let here = names.into_iter().flatten().filter(|id| self.is_here(id));
        let containers = here.filter_map(|id| {
            let group = cgroups::of(&id);
            Some((id, (self.cpu(&group)?, self.memory(&group)?)))
        });
        let containers: BTreeMap<String, (u64, u64)> = containers.collect();
        let machine = match self.measured {
            Measured::Machine => self.cpu("").zip(machine_memory()),
            Measured::Pods(_) => {
                let sum =
                    |(cpu, memory): (u64, u64), one: &(u64, u64)| (cpu + one.0, memory + one.1);
                Some(containers.values().fold((0, 0), sum))
            }
        };
        Reading {
            at: now,
            machine,
            containers,
        }
    }

    fn is_here(&self, id: &str) -> bool {
        match &self.measured {
            Measured::Machine => true,
            Measured::Pods(folder) => id
                .get(..UID_LENGTH)
                .is_some_and(|uid| folder.join(uid).is_dir()),
        }
    }

    /// Nanoseconds of CPU time so far.
    fn cpu(&self, group: &str) -> Option<u64> {
        let v1 = self.root.join("cpuacct").join(group).join("cpuacct.usage");
        if let Ok(text) = fs::read_to_string(v1) {
            return text.trim().parse().ok();
        }
        let v2 = self.root.join(group).join("cpu.stat");
        let micros = field(&fs::read_to_string(v2).ok()?, "usage_usec ")?;
        micros.checked_mul(1000)
    }

    fn memory(&self, group: &str) -> Option<u64> {
        let v1 = self.root.join("memory").join(group);
        let v2 = self.root.join(group);
        let (used, statistics, inactive) =
            if let Ok(used) = fs::read_to_string(v1.join("memory.usage_in_bytes")) {
                (used, v1.join("memory.stat"), "total_inactive_file ")
            } else {
                let used = fs::read_to_string(v2.join("memory.current")).ok()?;
                (used, v2.join("memory.stat"), "inactive_file ")
            };
        let used: u64 = used.trim().parse().ok()?;
        let inactive = field(&fs::read_to_string(statistics).ok()?, inactive);
        Some(used.saturating_sub(inactive.unwrap_or(0)))
    }
}

fn entries(folder: &Path) -> Option<Vec<String>> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    Some(
        folders
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect(),
    )
}

fn field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().trim_end_matches(" kB").parse().ok()
}

/// A machine's root has no count of its own on v2.
fn machine_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = |name| field(&text, name);
    let used = kib("MemTotal:")?.saturating_sub(kib("MemFree:")?);
    Some(used.saturating_sub(kib("Inactive(file):")?) * 1024)
}

fn between(before: &Reading, now: &Reading) -> Usage {
    let window = now.at.duration_since(before.at);
    let used = |(cpu_before, _): (u64, u64), (cpu, memory_bytes): (u64, u64)| Used {
        cpu_nanos: rate(cpu.saturating_sub(cpu_before), window),
        memory_bytes,
    };
    let mut pods: BTreeMap<String, BTreeMap<String, Used>> = BTreeMap::new();
    for (id, now) in &now.containers {
        // One that has just started has no rate yet.
        let Some(before) = before.containers.get(id) else {
            continue;
        };
        let Some((uid, container)) = parts(id) else {
            continue;
        };
        let of_pod = pods.entry(uid.to_owned()).or_default();
        of_pod.insert(container.to_owned(), used(*before, *now));
    }
    Usage {
        at: now.at,
        window,
        node: before
            .machine
            .zip(now.machine)
            .map(|(before, now)| used(before, now)),
        pods,
    }
}

/// Nanoseconds of CPU a second.
fn rate(nanos: u64, window: SignedDuration) -> u64 {
    let window = u64::try_from(window.as_millis()).unwrap_or(0).max(1);
    nanos.saturating_mul(1000) / window
}

/// A container's id is its pod's uid, its name, and how often it was started before.
fn parts(id: &str) -> Option<(&str, &str)> {
    let (uid, rest) = id.split_at_checked(UID_LENGTH)?;
    let (container, _attempt) = rest.strip_prefix('-')?.rsplit_once('-')?;
    Some((uid, container))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "a80521f1-f8a7-4485-b548-e0d04bb2cad0-log-shipper-2";

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn measured(root: &Path, more: impl Fn()) -> Used {
        let meter = Meter::new(root, Measured::Machine);
        meter.measure("2026-11-22T20:00:00Z".parse().unwrap());
        assert!(meter.usage().is_none(), "a rate of one reading");
        more();
        meter.measure("2026-11-22T20:00:05Z".parse().unwrap());
        let usage = meter.usage().unwrap();
        assert_eq!(usage.window, SignedDuration::from_secs(5));
        usage.pods["a80521f1-f8a7-4485-b548-e0d04bb2cad0"]["log-shipper"]
    }

    #[test]
    fn version_one() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let cpu = format!("cpuacct/bayplan/{ID}/cpuacct.usage");
        let memory = format!("memory/bayplan/{ID}");
        write(root, &cpu, "1000000000\n");
        write(
            root,
            &format!("{memory}/memory.usage_in_bytes"),
            "10485760\n",
        );
        write(
            root,
            &format!("{memory}/memory.stat"),
            "cache 9\ntotal_inactive_file 1048576\n",
        );
        let used = measured(root, || write(root, &cpu, "3500000000\n"));
        assert_eq!((used.cpu_nanos, used.memory_bytes), (500_000_000, 9 << 20));
    }

    #[test]
    fn version_two() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let group = format!("bayplan/{ID}");
        write(
            root,
            &format!("{group}/cpu.stat"),
            "usage_usec 1000000\nuser_usec 1\n",
        );
        write(root, &format!("{group}/memory.current"), "4194304\n");
        write(
            root,
            &format!("{group}/memory.stat"),
            "anon 1\ninactive_file 1048576\n",
        );
        let used = measured(root, || {
            write(root, &format!("{group}/cpu.stat"), "usage_usec 1050000\n");
        });
        assert_eq!((used.cpu_nanos, used.memory_bytes), (10_000_000, 3 << 20));
    }
}
