//! Taint eviction: pods leave nodes with a `NoExecute` taint that they do not tolerate, or once the
//! time for which they tolerate it is over.
//!
//! Source: `pkg/controller/tainteviction` of Kubernetes 1.36. The time counts from the moment the
//! taint was added, which stands in the taint; finished pods are left where they are.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::condition::{self, Condition};
use super::kind;
use super::write::Reporter;
use super::{Controller, Outcome, field, pod, seconds_after, trigger, write};
use crate::k8s::taint::{Taint, TaintEffect, Toleration};
use crate::k8s::{Change, ChangeKind, Cluster, Object, ObjectKey, resources};

pub(super) const CONTROLLER: Controller = Controller {
    name: NAME,
    triggers,
    reconcile,
};

const NAME: &str = "taint-eviction-controller";

fn triggers(cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    let object = &change.object;
    if object.key.resource == resources::PODS {
        if trigger::pod_turned(change) && evicting_taints(cluster, object).next().is_some() {
            keys.push(object.key.clone());
        }
    } else if object.key.resource == resources::NODES && change.kind != ChangeKind::Deleted {
        let before = change.previous.as_ref().and_then(|old| old.node());
        let turned = before.map(|node| &node.taints) != object.node().map(|node| &node.taints);
        if turned && object.node().is_some_and(|node| !node.taints.is_empty()) {
            keys.extend(cluster.pods_on(object.name()).map(|pod| pod.key.clone()));
        }
    }
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(pod) = cluster.get(key).filter(|pod| pod::is_active(pod)) else {
        return outcome;
    };
    if evicting_taints(cluster, pod).next().is_none() {
        return outcome;
    }
    let Some(deadline) = deadline(cluster, pod, now) else {
        return outcome;
    };
    if deadline > now {
        outcome.look_again(deadline);
        return outcome;
    }
    let json = pod.json();
    let status = field::tree(&json, "/status");
    let mut wanted = status.clone();
    if !wanted.is_object() {
        wanted = json!({});
    }
    let mut conditions = field::list(status, "/conditions").to_vec();
    let condition = Condition {
        kind: "DisruptionTarget",
        status: "True",
        reason: "DeletionByTaintManager",
        message: "Taint manager: deleting due to NoExecute taint",
    };
    condition::set_in_place(&mut conditions, condition, None, now);
    field::put(&mut wanted, "conditions", conditions.into());
    let report = Reporter {
        name: NAME,
        object: pod,
        kind: &kind::POD,
    };
    let message = format!(
        "Marking for deletion Pod {}/{}",
        pod.namespace(),
        pod.name()
    );
    outcome
        .ops
        .push(report.normal("TaintManagerEviction", message));
    outcome.ops.extend(write::status(pod, status, &wanted));
    outcome.ops.push(write::delete(pod));
    outcome
}

/// The `NoExecute` taints of a pod's node.
fn evicting_taints<'a>(cluster: &'a Cluster, pod: &Object) -> impl Iterator<Item = &'a Taint> {
    pod.pod()
        .and_then(|columns| columns.node.as_ref())
        .and_then(|node| cluster.find(&resources::NODES, "", node))
        .and_then(|node| node.node())
        .into_iter()
        .flat_map(|columns| columns.taints.iter())
        .filter(|taint| taint.effect == TaintEffect::NoExecute)
}

/// When the pod has to leave; `None` if it tolerates everything for ever.
fn deadline(cluster: &Cluster, pod: &Object, now: Timestamp) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct PodWire {
        spec: PodSpec,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct PodSpec {
        tolerations: Vec<Toleration>,
    }
    #[derive(Deserialize)]
    struct NodeWire {
        spec: NodeSpec,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct NodeSpec {
        taints: Vec<TimedTaint>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct TimedTaint {
        #[serde(flatten)]
        taint: Taint,
        time_added: Option<Timestamp>,
    }
    let node = pod.pod()?.node.as_ref()?;
    let node: NodeWire = cluster.find(&resources::NODES, "", node)?.typed().ok()?;
    let pod: PodWire = pod.typed().ok()?;
    let mut deadline: Option<Timestamp> = None;
    for timed in &node.spec.taints {
        if timed.taint.effect != TaintEffect::NoExecute {
            continue;
        }
        let mut tolerating = pod
            .spec
            .tolerations
            .iter()
            .filter(|toleration| toleration.tolerates(&timed.taint))
            .peekable();
        if tolerating.peek().is_none() {
            return Some(now);
        }
        let seconds = tolerating
            .filter_map(|toleration| toleration.toleration_seconds)
            .min();
        if let Some(seconds) = seconds {
            let added = timed.time_added.unwrap_or(now);
            let until = seconds_after(added, seconds.max(0));
            deadline = Some(deadline.map_or(until, |earlier| earlier.min(until)));
        }
    }
    deadline
}
