//! Outage: how many nodes it concerns. The machines themselves are the node agent's business.

use jiff::Timestamp;
use serde_json::json;

use super::super::{Controller, Outcome, field, trigger, write};
use crate::k8s::lab::{self, OutageSpec};
use crate::k8s::{Change, ChangeKind, Cluster, ObjectKey, resources};

pub(in super::super) const CONTROLLER: Controller = Controller {
    name: "outage-controller",
    triggers,
    reconcile,
};

fn triggers(cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    trigger::itself(change, &resources::OUTAGES, keys);
    let relabelled = change
        .previous
        .as_ref()
        .is_some_and(|old| old.labels != change.object.labels);
    if change.object.key.resource == resources::NODES
        && (change.kind != ChangeKind::Modified || relabelled)
    {
        keys.extend(
            cluster
                .list(&resources::OUTAGES)
                .map(|outage| outage.key.clone()),
        );
    }
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, _now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(outage) = cluster.get(key) else {
        return outcome;
    };
    let spec: OutageSpec = lab::spec(outage);
    let matched = cluster.nodes().filter(|node| spec.concerns(node)).count();
    let json = outage.json();
    let wanted = json!({ "matchedNodes": matched });
    outcome.ops.extend(write::status(
        outage,
        field::tree(&json, "/status"),
        &wanted,
    ));
    outcome
}
