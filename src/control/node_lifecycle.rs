//! Node lifecycle: a node that stops answering becomes `Unknown`, is tainted, and its pods are no
//! longer ready.
//!
//! Source: `pkg/controller/nodelifecycle` of Kubernetes 1.36. A node is heard of by its lease or by
//! the heartbeat in its `Ready` condition. Where all nodes of the cluster are down at once, it is
//! the view that is cut off rather than they: nothing is evicted then, as upstream when every zone
//! is fully disrupted. Eviction is not rate-limited by zone.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::condition::{self, Condition};
use super::kind;
use super::write::Reporter;
use super::{BURST, Controller, Outcome, field, pod, seconds_after, trigger, write};
use crate::k8s::columns::NodeReady;
use crate::k8s::taint::{NOT_READY, UNREACHABLE, UNSCHEDULABLE};
use crate::k8s::{Change, ChangeKind, Cluster, Object, ObjectKey, resources};

pub(super) const CONTROLLER: Controller = Controller {
    name: NAME,
    triggers,
    reconcile,
};

const NAME: &str = "node-controller";
const LEASES: &str = "kube-node-lease";
/// `--node-monitor-grace-period`.
const GRACE_S: i64 = 40;
/// `--node-startup-grace-period`.
const STARTUP_GRACE_S: i64 = 60;

/// Conditions that a kubelet posts.
const POSTED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// Condition, status, taint. Source: `nodeConditionToTaintKeyStatusMap`.
const CONDITION_TAINTS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    (
        "MemoryPressure",
        "True",
        "node.kubernetes.io/memory-pressure",
    ),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    (
        "NetworkUnavailable",
        "True",
        "node.kubernetes.io/network-unavailable",
    ),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

fn triggers(cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    trigger::itself(change, &resources::NODES, keys);
    let object = &change.object;
    // With the first node that answers, or the last that does, the others' taints change.
    let was_ready = change.previous.as_ref().is_some_and(|old| is_ready(old));
    if was_ready != (change.kind != ChangeKind::Deleted && is_ready(object))
        && is_all_down(cluster, object)
    {
        keys.extend(cluster.nodes().map(|node| node.key.clone()));
    }
    // A renewal needs no look: the one that is due anyway will find it.
    if object.key.resource == resources::LEASES
        && object.namespace() == LEASES
        && change.kind != ChangeKind::Modified
    {
        keys.push(ObjectKey::cluster_scoped(resources::NODES, object.name()));
    }
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(node) = cluster.get(key).filter(|node| !node.is_terminating()) else {
        return outcome;
    };
    let json = node.json();
    let status = field::tree(&json, "/status");
    let known = field::list(status, "/conditions");
    let mut conditions = known.to_vec();
    watch(cluster, node, &mut conditions, now, &mut outcome);
    if conditions != known {
        let mut wanted = status.clone();
        if !wanted.is_object() {
            wanted = json!({});
        }
        field::put(&mut wanted, "conditions", conditions.clone().into());
        outcome.ops.extend(write::status(node, status, &wanted));
    }
    taint(cluster, node, (&json, &conditions), now, &mut outcome);
    if ready_status(&conditions) == "Unknown" {
        mark_pods_not_ready(cluster, node, now, &mut outcome);
    }
    outcome
}

fn ready_status(conditions: &[Value]) -> &str {
    condition::find(conditions, "Ready").map_or("", |entry| field::text(entry, "/status"))
}

/// Turns the conditions of a node that has not been heard of for too long.
fn watch(
    cluster: &Cluster,
    node: &Arc<Object>,
    conditions: &mut Vec<Value>,
    now: Timestamp,
    outcome: &mut Outcome,
) {
    let lease = cluster.find(&resources::LEASES, LEASES, node.name());
    let renewed = lease.and_then(|lease| {
        let json = lease.json();
        field::text(&json, "/spec/renewTime")
            .parse::<Timestamp>()
            .ok()
    });
    let ready = condition::find(conditions, "Ready");
    let heartbeat = ready.and_then(|entry| {
        field::text(entry, "/lastHeartbeatTime")
            .parse::<Timestamp>()
            .ok()
    });
    if ready.is_some() && lease.is_none() {
        // Leases do not survive a restart of the control plane: the time without one begins with
        // the first look, as upstream's does with the first observation.
        outcome.ops.push(first_observation(node, now));
        return;
    }
    let deadline = if ready.is_none() && renewed.is_none() {
        seconds_after(node.created.unwrap_or(now), STARTUP_GRACE_S)
    } else {
        let heard = renewed.max(heartbeat).or(node.created).unwrap_or(now);
        seconds_after(heard, GRACE_S)
    };
    if now <= deadline {
        outcome.look_again(seconds_after(deadline, 1));
        return;
    }
    let was_ready = ready_status(conditions) == "True";
    for kind in POSTED {
        silence(conditions, kind, node, now);
    }
    if was_ready {
        let report = Reporter {
            name: NAME,
            object: node,
            kind: &kind::NODE,
        };
        let message = format!("Node {} status is now: NodeNotReady", node.name());
        outcome.ops.push(report.normal("NodeNotReady", message));
    }
}

fn first_observation(node: &Object, now: Timestamp) -> crate::k8s::Op {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": node.name(),
            "namespace": LEASES,
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Node", "name": node.name(), "uid": node.uid.0,
            }],
        },
        "spec": {
            "holderIdentity": node.name(),
            "leaseDurationSeconds": GRACE_S,
            "renewTime": format!("{now:.6}"),
        },
    });
    write::create(resources::LEASES, LEASES, lease)
}

/// One condition becomes `Unknown`; its heartbeat stays as it was.
fn silence(conditions: &mut Vec<Value>, kind: &str, node: &Object, now: Timestamp) {
    let turned = |entry: &mut Value| {
        field::put(entry, "status", json!("Unknown"));
        field::put(entry, "lastTransitionTime", write::time(now));
    };
    let old = conditions
        .iter_mut()
        .find(|entry| field::text(entry, "/type") == kind);
    if let Some(entry) = old {
        if field::text(entry, "/status") != "Unknown" {
            turned(entry);
            field::put(entry, "reason", json!("NodeStatusUnknown"));
            let message = "Kubelet stopped posting node status.";
            field::put(entry, "message", json!(message));
        }
        return;
    }
    let mut entry = json!({
        "type": kind,
        "lastHeartbeatTime": write::time(node.created.unwrap_or(now)),
        "reason": "NodeStatusNeverUpdated",
        "message": "Kubelet never posted node status.",
    });
    turned(&mut entry);
    conditions.push(entry);
}

/// Keeps the taints that follow from conditions, others as they are.
fn taint(
    cluster: &Cluster,
    node: &Object,
    (json, conditions): (&Value, &[Value]),
    now: Timestamp,
    outcome: &mut Outcome,
) {
    let current = field::list(json, "/spec/taints");
    let mut wanted: Vec<(&str, &str)> = CONDITION_TAINTS
        .iter()
        .filter(|(kind, status, _)| {
            condition::find(conditions, kind)
                .is_some_and(|entry| field::text(entry, "/status") == *status)
        })
        .map(|(_, _, key)| (*key, "NoSchedule"))
        .collect();
    if ready_status(conditions).is_empty() {
        // Source: the admission plugin `TaintNodesByCondition`, for a node that is new.
        wanted.push((NOT_READY, "NoSchedule"));
    }
    if field::flag(json, "/spec/unschedulable") {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let evicting = match ready_status(conditions) {
        "False" => Some(NOT_READY),
        "Unknown" => Some(UNREACHABLE),
        _ => None,
    };
    if let Some(key) = evicting.filter(|_| !is_all_down(cluster, node)) {
        wanted.push((key, "NoExecute"));
    }
    let identity = |taint: &Value| {
        let key = field::text(taint, "/key").to_owned();
        (key, field::text(taint, "/effect").to_owned())
    };
    let mut taints: Vec<Value> = current
        .iter()
        .filter(|taint| {
            let (key, effect) = identity(taint);
            !is_ours(&key, &effect) || wanted.contains(&(&key, &effect))
        })
        .cloned()
        .collect();
    for (key, effect) in wanted {
        if !taints
            .iter()
            .any(|taint| identity(taint) == (key.to_owned(), effect.to_owned()))
        {
            taints.push(json!({"key": key, "effect": effect, "timeAdded": write::time(now)}));
        }
    }
    if taints != current {
        outcome
            .ops
            .push(write::merge(node, json!({"spec": {"taints": taints}})));
    }
}

fn is_ours(key: &str, effect: &str) -> bool {
    match effect {
        "NoSchedule" => {
            key == UNSCHEDULABLE || CONDITION_TAINTS.iter().any(|(_, _, own)| *own == key)
        }
        "NoExecute" => key == NOT_READY || key == UNREACHABLE,
        _ => false,
    }
}

/// Whether no other node is ready either.
fn is_all_down(cluster: &Cluster, node: &Object) -> bool {
    !cluster
        .nodes()
        .any(|other| other.uid != node.uid && is_ready(other))
}

fn is_ready(node: &Object) -> bool {
    node.node()
        .is_some_and(|columns| columns.ready == NodeReady::True)
}

/// Source: `MarkPodsNotReady`.
fn mark_pods_not_ready(cluster: &Cluster, node: &Object, now: Timestamp, outcome: &mut Outcome) {
    let ready = cluster
        .pods_on(node.name())
        .filter(|pod| pod::is_ready(pod));
    for pod in ready.take(BURST) {
        let json = pod.json();
        let status = field::tree(&json, "/status");
        let mut wanted = status.clone();
        let mut conditions = field::list(status, "/conditions").to_vec();
        let condition = Condition {
            kind: "Ready",
            status: "False",
            reason: "",
            message: "",
        };
        condition::set_in_place(&mut conditions, condition, None, now);
        field::put(&mut wanted, "conditions", conditions.into());
        outcome.ops.extend(write::status(pod, status, &wanted));
        let report = Reporter {
            name: NAME,
            object: pod,
            kind: &kind::POD,
        };
        outcome
            .ops
            .push(report.warning("NodeNotReady", "Node is not ready".to_owned()));
    }
}

#[cfg(test)]
mod tests;
