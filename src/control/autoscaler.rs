//! `HorizontalPodAutoscaler`: keeps a workload between its bounds, and says that there are no
//! metrics.
//!
//! Source: `pkg/controller/podautoscaler` of Kubernetes 1.36 (conditions, reasons, messages). This
//! cluster serves no metrics API yet, so the recommendation itself always fails, exactly as it does
//! upstream without a metrics server.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::condition::{self, Condition};
use super::kind;
use super::write::Reporter;
use super::{Controller, Outcome, field, trigger, write};
use crate::k8s::{Change, Cluster, Object, ObjectKey, Resource, resources};

pub(super) const CONTROLLER: Controller = Controller {
    name: NAME,
    triggers,
    reconcile,
};

const NAME: &str = "horizontal-pod-autoscaler";

static TARGETS: [(&str, Resource); 4] = [
    ("Deployment", resources::DEPLOYMENTS),
    ("ReplicaSet", resources::REPLICA_SETS),
    ("StatefulSet", resources::STATEFUL_SETS),
    ("ReplicationController", resources::REPLICATION_CONTROLLERS),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    scale_target_ref: Target,
    min_replicas: Option<i64>,
    max_replicas: i64,
    #[serde(default)]
    metrics: Vec<Value>,
}

#[derive(Deserialize)]
struct Target {
    kind: String,
    name: String,
}

fn triggers(cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    trigger::itself(change, &resources::HORIZONTAL_POD_AUTOSCALERS, keys);
    let is_target = TARGETS
        .iter()
        .any(|(_, resource)| *resource == change.object.key.resource);
    let respecified = change
        .previous
        .as_ref()
        .is_none_or(|old| old.generation != change.object.generation);
    if is_target && respecified {
        let scalers = cluster.list_in(
            &resources::HORIZONTAL_POD_AUTOSCALERS,
            change.object.namespace(),
        );
        keys.extend(scalers.map(|scaler| scaler.key.clone()));
    }
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, now: Timestamp) -> Outcome {
    #[derive(Deserialize)]
    struct Wire {
        spec: Spec,
        #[serde(default)]
        status: Value,
    }
    let Some(object) = cluster.get(key) else {
        return Outcome::default();
    };
    let Ok(Wire { spec, mut status }) = object.typed::<Wire>() else {
        return Outcome::default();
    };
    if !status.is_object() {
        status = json!({});
    }
    let mut run = Run {
        object,
        conditions: field::list(&status, "/conditions").to_vec(),
        now,
        outcome: Outcome::default(),
    };
    let target = TARGETS
        .iter()
        .find(|(kind, _)| spec.scale_target_ref.kind == *kind)
        .and_then(|(_, resource)| {
            cluster.find(resource, object.namespace(), &spec.scale_target_ref.name)
        });
    let (current, desired) = match target {
        Some(target) => run.scale(&spec, target),
        None => run.miss(&spec),
    };
    let mut wanted = status.clone();
    field::put(&mut wanted, "currentReplicas", current.into());
    field::put(&mut wanted, "desiredReplicas", desired.into());
    field::put(&mut wanted, "currentMetrics", Value::Null);
    field::put(&mut wanted, "conditions", run.conditions.into());
    run.outcome
        .ops
        .extend(write::status(object, &status, &wanted));
    run.outcome
}

struct Run<'a> {
    object: &'a Object,
    conditions: Vec<Value>,
    now: Timestamp,
    outcome: Outcome,
}

impl Run<'_> {
    fn report(&self) -> Reporter<'_> {
        Reporter {
            name: NAME,
            object: self.object,
            kind: &kind::AUTOSCALER,
        }
    }

    /// Sets a condition; whether its reason is new.
    fn judge(&mut self, kind: &str, status: &str, reason: &str, message: &str) -> bool {
        let is_news = condition::find(&self.conditions, kind)
            .is_none_or(|entry| field::text(entry, "/reason") != reason);
        let condition = Condition {
            kind,
            status,
            reason,
            message,
        };
        condition::set_in_place(&mut self.conditions, condition, None, self.now);
        is_news
    }

    fn miss(&mut self, spec: &Spec) -> (i64, i64) {
        let Target { kind, name } = &spec.scale_target_ref;
        let message = format!("{}s \"{name}\" not found", kind.to_lowercase());
        let text =
            format!("the HPA controller was unable to get the target's current scale: {message}");
        if self.judge("AbleToScale", "False", "FailedGetScale", &text) {
            let event = self.report().warning("FailedGetScale", message);
            self.outcome.ops.push(event);
        }
        (0, 0)
    }

    fn scale(&mut self, spec: &Spec, target: &Object) -> (i64, i64) {
        let json = target.json();
        let size = field::integer(&json, "/spec/replicas").unwrap_or(1);
        let message = "the HPA controller was able to get the target's current scale";
        self.judge("AbleToScale", "True", "SucceededGetScale", message);
        let minimum = spec.min_replicas.unwrap_or(1);
        let (desired, reason) = if size == 0 && minimum != 0 {
            let message = "scaling is disabled since the replica count of the target is zero";
            self.judge("ScalingActive", "False", "ScalingDisabled", message);
            return (size, 0);
        } else if size > spec.max_replicas {
            (
                spec.max_replicas,
                "Current number of replicas above Spec.MaxReplicas",
            )
        } else if size < minimum {
            (minimum, "Current number of replicas below Spec.MinReplicas")
        } else {
            self.lack_metrics(spec);
            return (size, size);
        };
        let patch = json!({"spec": {"replicas": desired}});
        self.outcome.ops.push(write::merge(target, patch));
        let message = format!("New size: {desired}; reason: {reason}");
        let event = self.report().normal("SuccessfulRescale", message);
        self.outcome.ops.push(event);
        let message =
            format!("the HPA controller was able to update the target scale to {desired}");
        self.judge("AbleToScale", "True", "SucceededRescale", &message);
        (size, desired)
    }

    fn lack_metrics(&mut self, spec: &Spec) {
        let first = spec.metrics.first();
        let resource = first.map_or("cpu", |metric| {
            let name = field::text(metric, "/resource/name");
            if name.is_empty() { "cpu" } else { name }
        });
        let cause = format!(
            "failed to get {resource} utilization: unable to get metrics for resource {resource}: \
             unable to fetch metrics from resource metrics API: the server could not find the \
             requested resource (get pods.metrics.k8s.io)"
        );
        let text = format!("the HPA was unable to compute the replica count: {cause}");
        if self.judge("ScalingActive", "False", "FailedGetResourceMetric", &text) {
            let event = self.report().warning("FailedGetResourceMetric", cause);
            self.outcome.ops.push(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::harness::Bench;
    use super::*;
    use crate::k8s::build;

    /// The size of the target afterwards, and the reason why it is not scaled.
    #[track_caller]
    fn check(replicas: u32, left: i64, reason: &str) {
        let scaler = build::object(
            resources::HORIZONTAL_POD_AUTOSCALERS,
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            "web",
        )
        .with(&json!({"spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 2, "maxReplicas": 5,
        }}));
        let mut bench = Bench::new(
            &[CONTROLLER],
            &[scaler, build::deployment("web").replicas(replicas)],
        );
        bench.settle();
        assert_eq!(
            bench.find(&resources::DEPLOYMENTS, "web")["spec"]["replicas"],
            left
        );
        let status = bench.find(&resources::HORIZONTAL_POD_AUTOSCALERS, "web")["status"].clone();
        let active = condition::find(field::list(&status, "/conditions"), "ScalingActive").unwrap();
        assert_eq!(active["reason"], reason);
        assert_eq!(status["currentReplicas"], left);
    }

    #[test]
    fn workload_is_kept_between_its_bounds() {
        check(9, 5, "FailedGetResourceMetric");
        check(1, 2, "FailedGetResourceMetric");
        check(3, 3, "FailedGetResourceMetric");
        check(0, 0, "ScalingDisabled");
    }
}
