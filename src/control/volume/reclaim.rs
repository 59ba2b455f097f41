//! One volume: free, bound, or what is left of it once its claim is gone.

use jiff::Timestamp;
use serde_json::json;

use super::super::{Controller, Outcome, field, trigger, write};
use super::{PROVISIONED_BY, PROVISIONER, claim_of};
use crate::k8s::{Change, Cluster, ObjectKey, resources};

pub(in super::super) const CONTROLLER: Controller = Controller {
    name: super::claim::NAME,
    triggers,
    reconcile,
};

const PROTECTION: &str = "kubernetes.io/pv-protection";

fn triggers(_cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    trigger::itself(change, &resources::PERSISTENT_VOLUMES, keys);
    if change.object.key.resource == resources::PERSISTENT_VOLUME_CLAIMS {
        let json = change.object.json();
        let volume = field::text(&json, "/spec/volumeName");
        if !volume.is_empty() {
            keys.push(ObjectKey::cluster_scoped(
                resources::PERSISTENT_VOLUMES,
                volume,
            ));
        }
    }
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, _now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(object) = cluster.get(key) else {
        return outcome;
    };
    let json = object.json();
    let is_reserved = !field::text(&json, "/spec/claimRef/uid").is_empty();
    let claim = claim_of(cluster, &json);
    let phase = match claim {
        _ if !is_reserved => "Available",
        None => "Released",
        Some(claim) => {
            let names = claim.json();
            if field::text(&names, "/spec/volumeName") == object.name() {
                "Bound"
            } else {
                "Available"
            }
        }
    };
    if object.is_terminating() {
        let is_protected = object.finalizers.iter().any(|name| name == PROTECTION);
        if is_protected && phase != "Bound" {
            let patch = write::without_finalizer(object, PROTECTION);
            outcome.ops.push(write::merge(object, patch));
        }
        return outcome;
    }
    let status = field::tree(&json, "/status");
    let wanted = json!({ "phase": phase });
    outcome.ops.extend(write::status(object, status, &wanted));
    let is_ours = field::annotation(&json, PROVISIONED_BY) == Some(PROVISIONER);
    let is_spent = field::text(&json, "/spec/persistentVolumeReclaimPolicy") == "Delete";
    if phase == "Released" && is_ours && is_spent {
        outcome.ops.push(write::delete(object));
    }
    outcome
}
