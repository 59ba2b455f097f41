//! Pods that nobody else will ever clean up.
//!
//! Source: `pkg/controller/podgc` of Kubernetes 1.36: pods of nodes that are gone, pods deleted
//! before they were scheduled, terminating pods of nodes marked out of service, and the oldest
//! finished pods above a threshold. Upstream waits 40 s for a missing node to appear in its caches;
//! a view has no cache, so nothing waits here.
//!
//! One rule is our own: a *simulated* machine is known to be off, so a pod that should have ended
//! on an unreachable one is removed a minute after its grace period. On other nodes such a pod
//! stays until somebody marks the node out of service, as upstream: it may still be running.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::condition::{self, Condition};
use super::{BURST, Controller, Outcome, field, seconds_after, trigger, write};
use crate::k8s::columns::{NodeColumns, PodColumns};
use crate::k8s::lab::{RUNTIME_LABEL, RUNTIME_SIMULATED};
use crate::k8s::taint::UNREACHABLE;
use crate::k8s::{Change, ChangeKind, Cluster, Object, ObjectKey, resources};

pub(super) const CONTROLLER: Controller = Controller {
    name: "pod-garbage-collector-controller",
    triggers,
    reconcile,
};

/// `--terminated-pod-gc-threshold`.
const FINISHED_MAX: usize = 12_500;
const SIMULATED_WAIT_S: i64 = 60;
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The key of all finished pods together.
fn finished() -> ObjectKey {
    ObjectKey::cluster_scoped(resources::PODS, "")
}

fn triggers(cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    let object = &change.object;
    if object.key.resource == resources::NODES {
        let old = change.previous.as_ref().and_then(|old| old.node());
        let turned = change.kind == ChangeKind::Deleted
            || old.map(|node| &node.taints) != object.node().map(|node| &node.taints);
        if turned {
            keys.extend(cluster.pods_on(object.name()).map(|pod| pod.key.clone()));
        }
        return;
    }
    if object.key.resource != resources::PODS || change.kind == ChangeKind::Deleted {
        return;
    }
    if trigger::pod_turned(change) {
        let is_finished = object.pod().is_some_and(PodColumns::is_finished);
        let is_stray = || {
            let node = object.pod().and_then(|pod| pod.node.as_ref());
            node.is_some_and(|node| cluster.find(&resources::NODES, "", node).is_none())
        };
        if object.is_terminating() || (change.kind == ChangeKind::Added && is_stray()) {
            keys.push(object.key.clone());
        }
        if is_finished && cluster.count(&resources::PODS) > FINISHED_MAX {
            keys.push(finished());
        }
    }
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    if *key == finished() {
        remove_oldest(cluster, &mut outcome);
        return outcome;
    }
    let Some(pod) = cluster.get(key) else {
        return outcome;
    };
    let Some(node) = pod.pod().and_then(|columns| columns.node.as_ref()) else {
        if pod.is_terminating() {
            outcome.ops.push(write::delete_now(pod));
        }
        return outcome;
    };
    let Some(node) = cluster.find(&resources::NODES, "", node) else {
        end(
            pod,
            ("DeletionByPodGC", "PodGC: node no longer exists"),
            now,
            &mut outcome,
        );
        return outcome;
    };
    let (Some(deleted), Some(columns)) = (pod.deleted, node.node()) else {
        return outcome;
    };
    if !has_taint(columns, UNREACHABLE) && !has_taint(columns, "node.kubernetes.io/not-ready") {
        return outcome;
    }
    if has_taint(columns, OUT_OF_SERVICE) {
        end(
            pod,
            ("DeletionByPodGC", "PodGC: node is out of service"),
            now,
            &mut outcome,
        );
    } else if has_taint(columns, UNREACHABLE) && is_simulated(node) {
        let due = seconds_after(deleted, SIMULATED_WAIT_S);
        if due <= now {
            let message = "PodGC: simulated node does not answer";
            end(pod, ("DeletionByPodGC", message), now, &mut outcome);
        } else {
            outcome.look_again(due);
        }
    }
    outcome
}

fn has_taint(node: &NodeColumns, key: &str) -> bool {
    node.taints.iter().any(|taint| taint.key == key)
}

fn is_simulated(node: &Object) -> bool {
    node.labels
        .get(RUNTIME_LABEL)
        .is_some_and(|runtime| runtime == RUNTIME_SIMULATED)
}

/// Says why in the pod's status, then removes it without waiting for its node.
fn end(
    pod: &Arc<Object>,
    (reason, message): (&'static str, &'static str),
    now: Timestamp,
    outcome: &mut Outcome,
) {
    let is_finished = pod.pod().is_some_and(PodColumns::is_finished);
    if !is_finished {
        let json = pod.json();
        let current = field::tree(&json, "/status").clone();
        let mut conditions = field::list(&current, "/conditions").to_vec();
        let condition = Condition {
            kind: "DisruptionTarget",
            status: "True",
            reason,
            message,
        };
        condition::set_in_place(&mut conditions, condition, None, now);
        let mut wanted = current.clone();
        if !wanted.is_object() {
            wanted = json!({});
        }
        field::put(&mut wanted, "phase", json!("Failed"));
        field::put(&mut wanted, "conditions", conditions.into());
        outcome.ops.extend(write::status(pod, &current, &wanted));
    }
    outcome.ops.push(write::delete_now(pod));
}

/// Above the threshold the oldest finished pods go, evicted ones first.
fn remove_oldest(cluster: &Cluster, outcome: &mut Outcome) {
    let mut finished: Vec<&Arc<Object>> = cluster
        .pods()
        .filter(|pod| pod.pod().is_some_and(PodColumns::is_finished))
        .filter(|pod| !pod.is_terminating())
        .collect();
    let surplus = finished.len().saturating_sub(FINISHED_MAX).min(BURST);
    if surplus == 0 {
        return;
    }
    finished.sort_by_key(|pod| {
        let evicted = pod.pod().is_some_and(|columns| columns.reason == "Evicted");
        (!evicted, pod.created, pod.key.clone())
    });
    outcome.ops.extend(
        finished
            .into_iter()
            .take(surplus)
            .map(|pod| write::delete_now(pod)),
    );
}

#[cfg(test)]
mod tests {
    use super::super::harness::Bench;
    use super::*;
    use crate::k8s::Propagation;
    use crate::k8s::build::{self, Draft};

    const ALL: [Controller; 1] = [CONTROLLER];

    fn down(node: Draft) -> Draft {
        node.taint(UNREACHABLE, "", "NoExecute")
    }

    #[test]
    fn pods_of_nodes_that_are_gone_go_too() {
        let objects = [
            build::node("n1"),
            build::pod("a").node("n1"),
            build::pod("b"),
        ];
        let mut bench = Bench::new(&ALL, &objects);
        bench.settle();
        bench.delete(&resources::NODES, "/n1", Propagation::Background);
        bench.settle();
        assert_eq!(bench.names(&resources::PODS), ["b"]);
    }

    /// How long a deleted pod stays on an unreachable node, in seconds after its grace period.
    #[track_caller]
    fn check(node: Draft, gone_after: Option<i64>) {
        let pod = build::pod("a")
            .node("n1")
            .terminating("2026-01-01T01:00:30Z");
        let mut bench = Bench::new(&ALL, &[node, pod]);
        bench.advance(30);
        let Some(seconds) = gone_after else {
            bench.advance(100_000);
            assert_eq!(bench.names(&resources::PODS), ["a"]);
            return;
        };
        if seconds > 0 {
            bench.advance(seconds - 1);
            assert_eq!(bench.names(&resources::PODS), ["a"]);
        }
        bench.advance(1);
        assert_eq!(bench.names(&resources::PODS), [""; 0]);
    }

    #[test]
    fn terminating_pods_of_dead_nodes_go_when_the_node_is_known_to_be_off() {
        let simulated = build::node("n1").label(RUNTIME_LABEL, RUNTIME_SIMULATED);
        check(down(simulated.clone()), Some(60));
        check(simulated, None);
        check(down(build::node("n1")), None);
        check(
            down(build::node("n1")).taint(OUT_OF_SERVICE, "nodeshutdown", "NoExecute"),
            Some(0),
        );
    }

    #[test]
    fn finished_pods_are_kept_up_to_the_threshold() {
        let objects: Vec<Draft> = (0..FINISHED_MAX + 3)
            .map(|n| {
                build::pod(&format!("p{n:05}"))
                    .phase("Succeeded")
                    .created(if n < 3 {
                        "2025-01-01T00:00:00Z"
                    } else {
                        "2026-01-01T00:00:00Z"
                    })
            })
            .collect();
        let mut bench = Bench::new(&ALL, &objects);
        bench.settle();
        let names = bench.names(&resources::PODS);
        assert_eq!((names.len(), names[0].as_str()), (FINISHED_MAX, "p00003"));
    }
}
