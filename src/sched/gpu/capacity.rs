//! The GPUs of a whole cluster, node by node, for those who show capacity.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Annotations, device_count};
use crate::k8s::{Change, ChangeKind, Cluster, Name, Object};
use crate::sched::snapshot::Snapshot;

/// What one node's GPUs come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NodeGpus {
    pub devices: usize,
    pub idle_milli: i64,
    /// Idle, and of no use to any typical GPU pod among those that run or wait.
    pub unusable_milli: i64,
}

/// By node; nodes without GPUs are left out. Only pods on the others, and those that ask for GPUs,
/// are read.
pub fn capacity(cluster: &Cluster) -> BTreeMap<Name, NodeGpus> {
    let has_gpus = |node: &&Arc<Object>| {
        let columns = node.node();
        columns.is_some_and(|columns| device_count(&columns.allocatable) > 0)
    };
    let nodes: Vec<&Arc<Object>> = cluster.nodes().filter(has_gpus).collect();
    if nodes.is_empty() {
        return BTreeMap::new();
    }
    let names: BTreeSet<&Name> = nodes.iter().map(|node| &node.key.name).collect();
    let mut snapshot = Snapshot::default();
    let observe = |snapshot: &mut Snapshot, object: &Arc<Object>| {
        snapshot.observe(&Change {
            kind: ChangeKind::Added,
            object: Arc::clone(object),
            previous: None,
        });
    };
    for node in &nodes {
        observe(&mut snapshot, node);
    }
    let mut workload = super::Workload::default();
    for pod in cluster.pods() {
        let Some(columns) = pod.pod().filter(|columns| !columns.is_finished()) else {
            continue;
        };
        match &columns.node {
            Some(node) if names.contains(node) => observe(&mut snapshot, pod),
            None if may_ask(pod) => {
                if let Some(template) = snapshot.template_of(pod) {
                    workload.count(&template.spec, 1);
                }
            }
            _ => {}
        }
    }
    for entry in snapshot.nodes().flat_map(|node| &node.pods) {
        workload.count(&entry.template.spec, 1);
    }
    let typical = workload.typical();
    snapshot
        .nodes()
        .map(|node| {
            let gpus = NodeGpus {
                devices: node.gpus.len(),
                idle_milli: node.gpus.iter().map(|free| free.max(&0)).sum(),
                unusable_milli: typical.unusable(node),
            };
            (node.name.clone(), gpus)
        })
        .collect()
}

fn may_ask(pod: &Object) -> bool {
    pod.pod()
        .is_some_and(|columns| !columns.requests.scalars.is_empty())
        || Annotations::may_be_in(&pod.bytes())
}
