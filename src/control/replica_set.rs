//! ReplicaSet and `ReplicationController`: as many pods of a template as `spec.replicas` says.
//!
//! Source: `pkg/controller/replicaset` of Kubernetes 1.36; a replication controller is the same
//! loop with a plain map as its selector. Pods are counted from their header columns; only when
//! some have to go are the bytes of those in question looked at for their deletion cost.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::claim::{self, Claimed};
use super::condition;
use super::kind::{self, Kind};
use super::pod::{self, Availability};
use super::write::Reporter;
use super::{BURST, Controller, Outcome, naming, trigger, write};
use crate::k8s::{Change, Cluster, LabelSelector, Name, Object, ObjectKey, resources};

mod victims;

pub(super) const CONTROLLER: Controller = Controller {
    name: "replicaset-controller",
    triggers: |cluster, change, keys| {
        trigger::pod_owner(cluster, change, &kind::REPLICA_SET, keys);
    },
    reconcile: |cluster, key, now| reconcile(cluster, key, now, &REPLICA_SETS),
};

pub(super) const REPLICATION_CONTROLLER: Controller = Controller {
    name: "replication-controller",
    triggers: replication_controller_triggers,
    reconcile: |cluster, key, now| reconcile(cluster, key, now, &REPLICATION_CONTROLLERS),
};

struct Flavour {
    kind: &'static Kind,
    reporter: &'static str,
    /// Replica sets say how many pods are on their way out.
    counts_terminating: bool,
}

const REPLICA_SETS: Flavour = Flavour {
    kind: &kind::REPLICA_SET,
    reporter: "replicaset-controller",
    counts_terminating: true,
};

const REPLICATION_CONTROLLERS: Flavour = Flavour {
    kind: &kind::REPLICATION_CONTROLLER,
    reporter: "replication-controller",
    counts_terminating: false,
};

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Value,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    replicas: Option<i64>,
    min_ready_seconds: i64,
    template: Value,
}

fn replication_controller_triggers(cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    trigger::pod_owner(cluster, change, &kind::REPLICATION_CONTROLLER, keys);
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, now: Timestamp, flavour: &Flavour) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(owner) = cluster.get(key) else {
        return outcome;
    };
    let (Some(selector), Ok(Wire { spec, status })) = (owner.selector(), owner.typed()) else {
        return outcome;
    };
    let candidates = || pod::candidates(cluster, owner);
    let Claimed { objects: pods, ops } = claim::claim(
        owner,
        flavour.kind,
        selector,
        candidates().filter(|pod| pod::is_active(pod)),
    );
    outcome.ops = ops;
    if !owner.is_terminating() {
        let replicas = Replicas {
            cluster,
            owner,
            flavour,
            now,
        };
        replicas.scale(&spec, &pods, &mut outcome);
    }
    let mut wanted = counts(owner, &spec, &pods, now, &mut outcome);
    if flavour.counts_terminating {
        let leaving = pod::controlled(cluster, &owner.uid)
            .filter(|pod| pod::is_terminating(pod))
            .count();
        super::field::put(&mut wanted, "terminatingReplicas", leaving.into());
    }
    keep_conditions(&status, &mut wanted);
    outcome.ops.extend(write::status(owner, &status, &wanted));
    outcome
}

struct Replicas<'a> {
    cluster: &'a Cluster,
    owner: &'a Arc<Object>,
    flavour: &'a Flavour,
    now: Timestamp,
}

impl Replicas<'_> {
    fn scale(&self, spec: &Spec, pods: &[&Arc<Object>], outcome: &mut Outcome) {
        let desired = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or_default();
        if pods.len() < desired {
            let missing = (desired - pods.len()).min(BURST);
            for index in 0..missing {
                self.add(&spec.template, index, outcome);
            }
        } else if pods.len() > desired {
            let surplus = (pods.len() - desired).min(BURST);
            for victim in victims::choose(self.cluster, self.owner, pods, surplus, self.now) {
                outcome.ops.push(write::delete(victim));
                outcome.ops.push(self.report().normal(
                    "SuccessfulDelete",
                    format!("Deleted pod: {}", victim.name()),
                ));
            }
        }
    }

    fn add(&self, template: &Value, index: usize, outcome: &mut Outcome) {
        let name = naming::generated(self.cluster, &resources::PODS, self.owner, index);
        let pod = pod::from_template(template, self.owner, self.flavour.kind, &name);
        outcome
            .ops
            .push(write::create(resources::PODS, self.owner.namespace(), pod));
        outcome.ops.push(
            self.report()
                .normal("SuccessfulCreate", format!("Created pod: {name}")),
        );
    }

    fn report(&self) -> Reporter<'_> {
        Reporter {
            name: self.flavour.reporter,
            object: self.owner,
            kind: self.flavour.kind,
        }
    }
}

/// Source: `calculateStatus` in `replica_set_utils.go`.
fn counts(
    owner: &Object,
    spec: &Spec,
    pods: &[&Arc<Object>],
    now: Timestamp,
    outcome: &mut Outcome,
) -> Value {
    let labelled = template_selector(&spec.template);
    let mut fully_labelled = 0;
    let mut ready = 0;
    let mut available = 0;
    for pod in pods {
        fully_labelled += i64::from(labelled.matches(&pod.labels));
        ready += i64::from(pod::is_ready(pod));
        match pod::availability(pod, spec.min_ready_seconds, now) {
            Availability::NotReady => {}
            Availability::From(time) => outcome.look_again(time),
            Availability::Available => available += 1,
        }
    }
    let mut status = json!({
        "replicas": pods.len(),
        "observedGeneration": owner.generation,
    });
    for (name, count) in [
        ("fullyLabeledReplicas", fully_labelled),
        ("readyReplicas", ready),
        ("availableReplicas", available),
    ] {
        if count > 0 {
            super::field::put(&mut status, name, count.into());
        }
    }
    status
}

/// The labels of the template, all of which a pod must have to count as fully labelled.
fn template_selector(template: &Value) -> LabelSelector {
    let labels = super::field::tree(template, "/metadata/labels");
    LabelSelector {
        match_labels: labels
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((Name::new(key), Name::new(value.as_str()?))))
            .collect(),
        match_expressions: Vec::new(),
    }
}

/// A run that comes this far had nothing refused, so the `ReplicaFailure` condition goes.
fn keep_conditions(current: &Value, wanted: &mut Value) {
    let mut conditions = super::field::list(current, "/conditions").to_vec();
    condition::remove(&mut conditions, "ReplicaFailure");
    if !conditions.is_empty() {
        super::field::put(wanted, "conditions", conditions.into());
    }
}

#[cfg(test)]
mod tests;
