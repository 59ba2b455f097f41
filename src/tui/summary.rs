//! The header's figures: fleet size, pressure, problems.

use jiff::Timestamp;

use crate::k8s::{Cluster, resources};
use crate::topology::amounts::share;

use super::pages::pulse::examine::findings;
use super::pages::pulse::finding::Severity;

/// Figures of the whole cluster.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Summary {
    pub nodes: usize,
    pub pods: usize,
    /// Requested of allocatable, 0 to 1.
    pub cpu: f64,
    pub memory: f64,
    pub problems: usize,
    /// The cache's version that this was read from, and when.
    pub version: u64,
    pub at: Option<Timestamp>,
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
        Self {
            nodes: cluster.count(&resources::NODES),
            pods: cluster.count(&resources::PODS),
            cpu: share(requested.0, allocatable.0),
            memory: share(requested.1, allocatable.1),
            problems: findings(cluster, now)
                .iter()
                .filter(|finding| finding.severity <= Severity::Serious)
                .count(),
            version,
            at: Some(now),
        }
    }
}
