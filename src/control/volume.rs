//! Claims and volumes: binding, provisioning, reclaiming, and protection of what is in use.
//!
//! Sources: `pkg/controller/volume/persistentvolume`, `pvcprotection` and `pvprotection` of
//! Kubernetes 1.36, and the local-path provisioner for the shape of what is provisioned. [`claim`]
//! looks at one claim, [`reclaim`] at one volume, [`provision`] makes volumes for classes of our
//! provisioner; those of another one wait for it.

mod claim;
mod provision;
mod reclaim;

pub(super) use claim::CONTROLLER as CLAIMS;
pub(super) use reclaim::CONTROLLER as VOLUMES;

use serde_json::Value;

use super::field;
use crate::k8s::{Cluster, Object, resources};

/// The provisioner whose volumes this cluster makes by itself.
const PROVISIONER: &str = "bayplan.dev/local-path";
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// The class of a claim or of a volume; the annotation is older than the field.
fn class(object: &Value) -> &str {
    field::annotation(object, "volume.beta.kubernetes.io/storage-class")
        .unwrap_or_else(|| field::text(object, "/spec/storageClassName"))
}

/// The claim that a volume is for.
fn claim_of<'a>(cluster: &'a Cluster, volume: &Value) -> Option<&'a std::sync::Arc<Object>> {
    let text = |name: &str| field::text(volume, &format!("/spec/claimRef/{name}"));
    let claim = cluster.find(
        &resources::PERSISTENT_VOLUME_CLAIMS,
        text("namespace"),
        text("name"),
    )?;
    let uid = text("uid");
    (uid.is_empty() || uid == claim.uid.0).then_some(claim)
}

/// The claims that a pod mounts, those of its ephemeral volumes too.
fn claims_of(pod: &Object) -> Vec<String> {
    let json = pod.json();
    field::list(&json, "/spec/volumes")
        .iter()
        .filter_map(|volume| {
            let claim = field::text(volume, "/persistentVolumeClaim/claimName");
            if !claim.is_empty() {
                return Some(claim.to_owned());
            }
            volume.get("ephemeral")?;
            Some(format!("{}-{}", pod.name(), field::text(volume, "/name")))
        })
        .collect()
}

#[cfg(test)]
mod tests;
