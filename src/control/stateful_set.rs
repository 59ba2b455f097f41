//! StatefulSet: pods with an identity, one after the other.
//!
//! Source: `pkg/controller/statefulset` of Kubernetes 1.36. [`identity`] makes pods and claims of an
//! ordinal, [`plan`] decides what may happen next, [`claims`] follows the retention policy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::claim::{self, Claimed};
use super::history::{History, Revision};
use super::kind;
use super::pod::{self, Availability};
use super::write::Reporter;
use super::{Controller, Outcome, field, trigger, write};
use crate::k8s::columns::PodPhase;
use crate::k8s::{Change, Cluster, Object, ObjectKey, resources};

mod claims;
mod identity;
mod plan;

pub(super) const CONTROLLER: Controller = Controller {
    name: NAME,
    triggers,
    reconcile,
};

const NAME: &str = "statefulset-controller";
const REVISION_LABEL: &str = "controller-revision-hash";

#[derive(Deserialize)]
struct Wire {
    spec: Spec,
    #[serde(default)]
    status: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    replicas: Option<i64>,
    #[serde(default)]
    service_name: String,
    #[serde(default)]
    pod_management_policy: String,
    #[serde(default)]
    update_strategy: UpdateStrategy,
    #[serde(default)]
    min_ready_seconds: i64,
    revision_history_limit: Option<i64>,
    #[serde(default)]
    ordinals: Ordinals,
    #[serde(default)]
    volume_claim_templates: Vec<Value>,
    #[serde(default)]
    persistent_volume_claim_retention_policy: RetentionPolicy,
    #[serde(default)]
    selector: Value,
    template: Value,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct UpdateStrategy {
    #[serde(rename = "type")]
    kind: String,
    rolling_update: RollingUpdate,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RollingUpdate {
    partition: i64,
    max_unavailable: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Ordinals {
    start: i64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RetentionPolicy {
    when_deleted: String,
    when_scaled: String,
}

fn triggers(cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    trigger::pod_owner(cluster, change, &kind::STATEFUL_SET, keys);
    if change.object.key.resource == resources::CONTROLLER_REVISIONS {
        trigger::controller(change, &kind::STATEFUL_SET, keys);
    }
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(object) = cluster.get(key) else {
        return outcome;
    };
    let (Some(selector), Ok(Wire { spec, status })) = (object.selector(), object.typed()) else {
        return outcome;
    };
    let Claimed { objects, ops } = claim::claim(
        object,
        &kind::STATEFUL_SET,
        selector,
        pod::candidates(cluster, object).filter(|pod| identity::ordinal(object, pod).is_some()),
    );
    outcome.ops = ops;
    let collisions = field::integer(&status, "/collisionCount");
    let history = History::keep(
        cluster,
        (object, &kind::STATEFUL_SET, selector),
        (&spec.template, collisions),
        &mut outcome,
    );
    let Some(update) = history.revisions.last().cloned() else {
        return outcome;
    };
    let current = history
        .find(field::text(&status, "/currentRevision"))
        .cloned()
        .unwrap_or_else(|| update.clone());
    let pods = objects
        .into_iter()
        .filter_map(|pod| Some((identity::ordinal(object, pod)?, pod)))
        .collect();
    let mut set = Set {
        cluster,
        object,
        spec,
        pods,
        current,
        update,
        now,
        outcome,
    };
    set.keep_claims();
    let after = set.status(&status);
    if !object.is_terminating() {
        set.step();
    }
    let live: BTreeSet<String> = set
        .pods
        .values()
        .filter_map(|pod| pod.labels.get(REVISION_LABEL))
        .map(ToString::to_string)
        .chain([set.current.name.clone()])
        .collect();
    let limit = set.spec.revision_history_limit.unwrap_or(10);
    history.clean_up(limit, &live, &mut set.outcome);
    set.outcome
        .ops
        .extend(write::status(object, &status, &after));
    set.outcome
}

/// One run over one set.
struct Set<'a> {
    cluster: &'a Cluster,
    object: &'a Arc<Object>,
    spec: Spec,
    /// By ordinal.
    pods: BTreeMap<i64, &'a Arc<Object>>,
    current: Revision,
    update: Revision,
    now: Timestamp,
    outcome: Outcome,
}

impl Set<'_> {
    fn replicas(&self) -> i64 {
        self.spec.replicas.unwrap_or(1)
    }

    fn ordinals(&self) -> std::ops::Range<i64> {
        let start = self.spec.ordinals.start;
        start..start + self.replicas()
    }

    fn is_rolling(&self) -> bool {
        self.spec.update_strategy.kind != "OnDelete"
    }

    fn report(&self) -> Reporter<'_> {
        Reporter {
            name: NAME,
            object: self.object,
            kind: &kind::STATEFUL_SET,
        }
    }

    fn revision_of(pod: &Object) -> &str {
        pod.labels.get(REVISION_LABEL).map_or("", |name| name)
    }

    /// Source: `updateStatefulSet` (counts) and `completeRollingUpdate`.
    fn status(&mut self, before: &Value) -> Value {
        let mut ready = 0;
        let mut available = 0;
        let mut current = 0;
        let mut updated = 0;
        for pod in self.pods.values() {
            let running = is_running_and_ready(pod);
            ready += i64::from(running);
            if running {
                match pod::availability(pod, self.spec.min_ready_seconds, self.now) {
                    Availability::Available => available += 1,
                    Availability::From(time) => self.outcome.look_again(time),
                    Availability::NotReady => {}
                }
            }
            if !pod.is_terminating() {
                current += i64::from(Self::revision_of(pod) == self.current.name);
                updated += i64::from(Self::revision_of(pod) == self.update.name);
            }
        }
        let replicas = i64::try_from(self.pods.len()).unwrap_or(i64::MAX);
        let complete = self.is_rolling()
            && updated == self.replicas()
            && ready == self.replicas()
            && replicas == self.replicas();
        if complete {
            self.current = self.update.clone();
            current = updated;
        }
        let mut status = json!({
            "observedGeneration": self.object.generation,
            "replicas": replicas,
            "availableReplicas": available,
            "currentRevision": self.current.name,
            "updateRevision": self.update.name,
            "collisionCount": field::count(before, "/collisionCount"),
        });
        for (name, count) in [
            ("readyReplicas", ready),
            ("currentReplicas", current),
            ("updatedReplicas", updated),
        ] {
            if count > 0 {
                field::put(&mut status, name, count.into());
            }
        }
        let conditions = field::list(before, "/conditions");
        if !conditions.is_empty() {
            field::put(&mut status, "conditions", conditions.into());
        }
        status
    }
}

fn is_running_and_ready(pod: &Object) -> bool {
    pod.pod()
        .is_some_and(|columns| columns.phase == PodPhase::Running && columns.ready)
}

#[cfg(test)]
mod tests;
