//! What must have come to be some time after the last fault.

use serde_json::Value;

use crate::k8s::columns::NodeReady;
use crate::k8s::{Cluster, Object, Resource, resources};

/// Which number must have become which.
const SETS: [(&Resource, &str, &str); 3] = [
    (
        &resources::STATEFUL_SETS,
        "/spec/replicas",
        "/status/availableReplicas",
    ),
    (
        &resources::DAEMON_SETS,
        "/status/desiredNumberScheduled",
        "/status/numberAvailable",
    ),
    (&resources::JOBS, "/spec/completions", "/status/succeeded"),
];

/// Everything that is still missing, in words; nothing when all is well.
pub fn missing(cluster: &Cluster) -> Vec<String> {
    let mut missing = Vec::new();
    for node in cluster.nodes() {
        let columns = node.node();
        if columns.is_none_or(|columns| columns.ready != NodeReady::True) {
            missing.push(format!("{} is not ready", node.key));
        }
        if columns.is_some_and(|columns| !columns.taints.is_empty()) {
            missing.push(format!("{} is tainted", node.key));
        }
    }
    for pool in cluster.list(&resources::NODE_POOLS) {
        let json = pool.json();
        if json.pointer("/spec/count") != json.pointer("/status/ready") {
            missing.push(format!("{} has not all its machines", pool.key));
        }
    }
    for deployment in cluster.list(&resources::DEPLOYMENTS) {
        missing.extend(unavailable(deployment));
    }
    for (resource, wanted, found) in SETS {
        for object in cluster.list(resource) {
            let json = object.json();
            let (wanted, found) = (json.pointer(wanted), json.pointer(found));
            if wanted.is_none() || wanted != found {
                let [wanted, found] = [wanted, found].map(|it| it.and_then(Value::as_u64));
                missing.push(format!("{} wants {wanted:?} and has {found:?}", object.key));
            }
        }
    }
    for pod in cluster.pods() {
        if pod.is_terminating() {
            missing.push(format!("{} is still terminating", pod.key));
        }
        let node = pod.pod().and_then(|pod| pod.node.as_ref());
        match node {
            None => missing.push(format!("{} has no node", pod.key)),
            Some(node) if cluster.find(&resources::NODES, "", node).is_none() => {
                missing.push(format!("{} is on {node}, which is gone", pod.key));
            }
            Some(_) => {}
        }
    }
    missing
}

fn unavailable(deployment: &Object) -> Option<String> {
    let json = deployment.json();
    let count = |pointer: &str| json.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let replicas = count("/spec/replicas");
    let state = (
        count("/status/replicas"),
        count("/status/updatedReplicas"),
        count("/status/availableReplicas"),
        count("/status/observedGeneration"),
    );
    let generation = u64::try_from(deployment.generation).unwrap_or_default();
    (state != (replicas, replicas, replicas, generation)).then(|| {
        format!(
            "{} wants {replicas} and has {} pods, {} updated, {} available",
            deployment.key, state.0, state.1, state.2
        )
    })
}
