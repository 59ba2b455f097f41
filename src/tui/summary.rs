//! What is told of the whole cluster: pressure, problems.
//!
//! Computed away from the screen's thread, of one state of the cluster and dated by it; no key and
//! no frame waits for it. How many nodes and pods there are is read from the cache itself.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::k8s::Cluster;
use crate::topology::amounts::share;

use super::pages::pulse::examine::findings;
use super::pages::pulse::examine::shared::{Shared, shared};
use super::pages::pulse::finding::{Finding, Severity};

/// The figures are made anew at most this often.
pub const EVERY: SignedDuration = SignedDuration::from_millis(1_000);

/// Figures of the whole cluster.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Summary {
    /// Requested of allocatable, 0 to 1.
    pub cpu: f64,
    pub memory: f64,
    /// Everything that is wrong, ranked.
    pub findings: Arc<Vec<Finding>>,
    /// What failing pods share that the others do not.
    pub shared: Arc<Vec<Shared>>,
    pub problems: usize,
    /// The cache's version that this was read from, and when.
    pub version: u64,
    pub at: Option<Timestamp>,
}

/// The summary that is shown, and the one that was asked for last.
#[derive(Debug, Default)]
pub struct Summaries {
    pub shown: Summary,
    asked: Option<(u64, Timestamp)>,
    under_way: bool,
}

impl Summaries {
    /// Whether another one is due: the data is not what it was, or so much time has passed that
    /// waiting has grown into trouble.
    pub fn ask(&mut self, version: u64, unchanged: SignedDuration, now: Timestamp) -> bool {
        let due = self.asked.is_none_or(|(seen, at)| {
            let wait = if seen == version { unchanged } else { EVERY };
            now.duration_since(at) >= wait
        });
        if !due || self.under_way {
            return false;
        }
        self.asked = Some((version, now));
        self.under_way = true;
        true
    }

    pub fn take(&mut self, summary: Summary) {
        self.under_way = false;
        self.shown = summary;
    }

    /// When the next one is due because data has changed.
    pub fn next_wake(&self, version: u64) -> Option<Timestamp> {
        let (seen, at) = self.asked?;
        (seen != version && !self.under_way).then(|| at + EVERY)
    }
}

impl Summary {
    pub fn of(cluster: &Cluster, version: u64, now: Timestamp) -> Self {
        let mut allocatable = (0_i64, 0_i64);
        for node in cluster.nodes().filter_map(|object| object.node()) {
            allocatable.0 = allocatable.0.saturating_add(node.allocatable.cpu_milli);
            allocatable.1 = allocatable.1.saturating_add(node.allocatable.memory_bytes);
        }
        let mut requested = (0_i64, 0_i64);
        for pod in cluster.pods().filter_map(|object| object.pod()) {
            if pod.node.is_some() && !pod.is_finished() {
                requested.0 = requested.0.saturating_add(pod.requests.cpu_milli);
                requested.1 = requested.1.saturating_add(pod.requests.memory_bytes);
            }
        }
        let findings = findings(cluster, now);
        Self {
            cpu: share(requested.0, allocatable.0),
            memory: share(requested.1, allocatable.1),
            problems: findings
                .iter()
                .filter(|finding| finding.severity <= Severity::Serious)
                .count(),
            findings: Arc::new(findings),
            shared: Arc::new(shared(cluster, now)),
            version,
            at: Some(now),
        }
    }
}
