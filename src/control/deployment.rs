//! Deployment: a replica set for each revision of the template, and the way from one to the next.
//!
//! Source: `pkg/controller/deployment` of Kubernetes 1.36. One run takes one step (a scale-up or a
//! round of scale-downs) and writes the status that follows from the view; the change of a replica
//! set brings the next run.
//!
//! [`sets`] reads the replica sets and says which one is new; [`rolling`] and [`proportion`] decide
//! sizes; [`progress`] writes conditions and status.

use jiff::Timestamp;

use super::kind;
use super::write::Reporter;
use super::{Controller, Outcome, trigger, write};
use crate::k8s::{Change, Cluster, LabelSelector, ObjectKey, resources};

mod progress;
mod proportion;
mod rolling;
mod sets;

use sets::Rollout;

pub(super) const CONTROLLER: Controller = Controller {
    name: NAME,
    triggers,
    reconcile,
};

const NAME: &str = "deployment-controller";

const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
const TEMPLATE_HASH: &str = "pod-template-hash";

fn triggers(cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    trigger::itself(change, &resources::DEPLOYMENTS, keys);
    if change.object.key.resource == resources::REPLICA_SETS {
        trigger::controller(change, &kind::DEPLOYMENT, keys);
        trigger::adopters(cluster, change, &kind::DEPLOYMENT, keys);
    }
    // A recreating deployment waits until the last old pod is gone.
    if change.object.key.resource == resources::PODS
        && change.kind == crate::k8s::ChangeKind::Deleted
        && let Some(owner) = change.object.controller()
        && let Some(set) = cluster.find(
            &resources::REPLICA_SETS,
            change.object.namespace(),
            &owner.name,
        )
        && let Some(owner) = set.controller()
    {
        keys.push(write::beside(set, resources::DEPLOYMENTS, &owner.name));
    }
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, now: Timestamp) -> Outcome {
    let Some(object) = cluster.get(key) else {
        return Outcome::default();
    };
    let Some(mut rollout) = Rollout::read(cluster, object, now) else {
        return Outcome::default();
    };
    if object.selector().is_some_and(LabelSelector::is_empty) {
        return selects_everything(&rollout);
    }
    if object.is_terminating() {
        rollout.write_status();
        return rollout.outcome;
    }
    rollout.note_pause();
    if rollout.spec.paused || rollout.is_scaling_event() {
        rollout.find_new_set();
        rollout.scale_in_proportion();
        if rollout.spec.paused {
            rollout.clean_up();
        }
        rollout.write_status();
    } else if rollout.spec.strategy.is_recreate() {
        rollout.recreate();
    } else {
        rollout.roll();
    }
    rollout.outcome
}

fn selects_everything(rollout: &Rollout<'_>) -> Outcome {
    let report = Reporter {
        name: NAME,
        object: rollout.object,
        kind: &kind::DEPLOYMENT,
    };
    let mut status = rollout.status.clone();
    if rollout.observed_generation() >= rollout.object.generation {
        return Outcome::default();
    }
    super::field::put(
        &mut status,
        "observedGeneration",
        rollout.object.generation.into(),
    );
    let warning = report.warning(
        "SelectingAll",
        "This deployment is selecting all pods. A non-empty selector is required.".to_owned(),
    );
    Outcome {
        ops: [warning]
            .into_iter()
            .chain(write::status(rollout.object, &rollout.status, &status))
            .collect(),
        again_at: None,
    }
}

#[cfg(test)]
mod tests;
