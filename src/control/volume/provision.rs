//! Volumes on demand, in the shape of the local-path provisioner: a directory of the node that the
//! pod was scheduled to. Where the class does not wait for a pod the volume is not tied to a node.

use serde_json::{Value, json};

use super::super::{Outcome, field, write};
use super::claim::Claim;
use super::{PROVISIONED_BY, PROVISIONER};
use crate::k8s::resources;

const ROOT: &str = "/opt/local-path-provisioner";

pub(super) fn create(claim: &Claim<'_>, class: &Value, outcome: &mut Outcome) {
    let name = format!("pvc-{}", claim.object.uid);
    if claim
        .cluster
        .find(&resources::PERSISTENT_VOLUMES, "", &name)
        .is_some()
    {
        return;
    }
    let (namespace, own) = (claim.object.namespace(), claim.object.name());
    let policy = match field::text(class, "/reclaimPolicy") {
        "" => "Delete",
        policy => policy,
    };
    let mode = match field::text(claim.json, "/spec/volumeMode") {
        "" => "Filesystem",
        mode => mode,
    };
    let mut volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": field::tree(claim.json, "/spec/resources/requests/storage")},
            "accessModes": field::list(claim.json, "/spec/accessModes"),
            "claimRef": claim.reference(),
            "persistentVolumeReclaimPolicy": policy,
            "storageClassName": field::text(class, "/metadata/name"),
            "volumeMode": mode,
            "hostPath": {
                "path": format!("{ROOT}/{name}_{namespace}_{own}"),
                "type": "DirectoryOrCreate",
            },
        },
    });
    if let Some(node) = claim.selected_node() {
        let labels = claim
            .cluster
            .find(&resources::NODES, "", node)
            .and_then(|node| node.labels.get("kubernetes.io/hostname"));
        let host = labels.map_or(node, |host| host);
        let affinity = json!({"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [
            {"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": [host]},
            ]},
        ]}}}});
        json_patch::merge(&mut volume, &affinity);
    }
    outcome
        .ops
        .push(write::create(resources::PERSISTENT_VOLUMES, "", volume));
    let message = format!("Successfully provisioned volume {name}");
    outcome
        .ops
        .push(claim.report().normal("ProvisioningSucceeded", message));
}
