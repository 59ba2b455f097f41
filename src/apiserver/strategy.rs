//! What single kinds do beyond the generic verbs: fields they reset, allocate or keep.

use serde_json::{Value, json};

use super::registry::{Origin, ResourceType};
use super::status::Status;
use super::tree;
use super::write::Writing;
use crate::k8s::{Change, Object, Resource, resources};

/// Before defaults: what a client may not decide about a new object.
pub(super) fn prepare_create(
    writing: &mut Writing,
    resource_type: &ResourceType,
    object: &mut Value,
) -> Result<(), Status> {
    let _ = writing;
    if resource_type.has_status()
        && !keeps_status(&resource_type.storage)
        && let Some(root) = object.as_object_mut()
    {
        root.remove("status");
    }
    if has_generation(resource_type) {
        tree::set_meta(object, "generation", 1);
    }
    Ok(())
}

pub(super) fn prepare_update(
    writing: &mut Writing,
    resource_type: &ResourceType,
    old: &Value,
    object: &mut Value,
    status: bool,
) -> Result<(), Status> {
    let _ = (writing, resource_type, old, object, status);
    Ok(())
}

/// Node agents register nodes with their status; a persistent volume's phase comes with it.
fn keeps_status(resource: &Resource) -> bool {
    *resource == resources::NODES
}

/// Kinds whose strategy sets `metadata.generation` upstream.
pub(super) fn has_generation(resource_type: &ResourceType) -> bool {
    if matches!(resource_type.origin, Origin::Custom | Origin::Lab) {
        return true;
    }
    matches!(
        (resource_type.group.as_str(), resource_type.plural.as_str()),
        ("", "pods" | "replicationcontrollers")
            | (
                "apps",
                "deployments" | "replicasets" | "statefulsets" | "daemonsets"
            )
            | ("batch", "jobs" | "cronjobs")
            | ("policy", "poddisruptionbudgets")
            | (
                "networking.k8s.io",
                "ingresses" | "networkpolicies" | "ingressclasses"
            )
            | ("discovery.k8s.io", "endpointslices")
            | ("scheduling.k8s.io", "priorityclasses")
            | ("apiextensions.k8s.io", "customresourcedefinitions")
            | ("flowcontrol.apiserver.k8s.io", _)
            | (
                "admissionregistration.k8s.io",
                "mutatingwebhookconfigurations"
                    | "validatingwebhookconfigurations"
                    | "validatingadmissionpolicies"
                    | "validatingadmissionpolicybindings"
            )
            | ("storage.k8s.io", "csidrivers")
    )
}

/// Whether something other than `metadata.finalizers` keeps a deleted object.
pub(super) fn holds_deletion(resource_type: &ResourceType, object: &Value) -> bool {
    resource_type.storage == resources::NAMESPACES
        && !tree::entries(object, "/spec/finalizers").is_empty()
}

/// What the beginning of a deletion changes in the object itself.
pub(super) fn on_deletion(resource_type: &ResourceType, object: &mut Value) {
    if resource_type.storage == resources::NAMESPACES
        && let Some(status) = tree::object(object, "status")
    {
        status.insert("phase".into(), json!("Terminating"));
    }
}

pub(super) fn may_delete(
    writing: &Writing,
    resource_type: &ResourceType,
    object: &Object,
) -> Result<(), Status> {
    let _ = writing;
    let protected = resource_type.storage == resources::NAMESPACES
        && matches!(object.name(), "default" | "kube-system" | "kube-public");
    if protected {
        return Err(Status::forbidden(
            &resource_type.resource(),
            object.name(),
            "this namespace may not be deleted",
        ));
    }
    Ok(())
}

pub(super) fn after_create(writing: &mut Writing, change: &Change) {
    let _ = (writing, change);
}

pub(super) fn after_delete(writing: &mut Writing, change: &Change) {
    let _ = (writing, change);
}
