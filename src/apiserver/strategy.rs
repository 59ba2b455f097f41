//! What single kinds do beyond the generic verbs: fields they reset, allocate or keep.

mod definition;
mod job;
mod namespace;
mod pod;
mod service;

pub(super) use pod::quality as pod_quality;

use serde_json::{Value, json};

use super::registry::{Origin, ResourceType};
use super::request::ResourceTarget;
use super::status::Status;
use super::write::Writing;
use super::{delete, tree};
use crate::k8s::{Change, Object, Resource, resources};

/// Before admission: what a client may not decide about a new object, and what its kind fills in.
pub(super) fn prepare_create(
    writing: &mut Writing,
    resource_type: &ResourceType,
    object: &mut Value,
) -> Result<(), Status> {
    if resource_type.has_status()
        && !keeps_status(&resource_type.storage)
        && let Some(root) = object.as_object_mut()
    {
        root.remove("status");
    }
    if has_generation(resource_type) {
        tree::set_meta(object, "generation", 1);
    }
    match kind(resource_type) {
        Kind::Namespace => namespace::prepare(object),
        Kind::Pod => pod::prepare_create(object),
        Kind::Service => service::allocate(writing, object, None)?,
        Kind::Job => job::prepare_create(object),
        Kind::Definition => definition::prepare(writing, object, None),
        Kind::Secret => secret(object),
        Kind::Other => {}
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
    if status {
        return Ok(());
    }
    match kind(resource_type) {
        Kind::Namespace => namespace::prepare_update(old, object),
        Kind::Service => service::allocate(writing, object, Some(old))?,
        Kind::Definition => definition::prepare(writing, object, Some(old)),
        Kind::Secret => secret(object),
        _ => {}
    }
    Ok(())
}

enum Kind {
    Namespace,
    Pod,
    Service,
    Job,
    Definition,
    Secret,
    Other,
}

fn kind(resource_type: &ResourceType) -> Kind {
    match (resource_type.group.as_str(), resource_type.plural.as_str()) {
        ("", "namespaces") => Kind::Namespace,
        ("", "pods") => Kind::Pod,
        ("", "services") => Kind::Service,
        ("", "secrets") => Kind::Secret,
        ("batch", "jobs") => Kind::Job,
        ("apiextensions.k8s.io", "customresourcedefinitions") => Kind::Definition,
        _ => Kind::Other,
    }
}

/// Node agents register nodes with their status.
fn keeps_status(resource: &Resource) -> bool {
    *resource == resources::NODES
}

/// `stringData` is written only: it goes into `data`, encoded.
fn secret(object: &mut Value) {
    use base64::Engine;
    let Some(Value::Object(plain)) = object
        .as_object_mut()
        .and_then(|root| root.remove("stringData"))
    else {
        return;
    };
    if let Some(data) = tree::object(object, "data") {
        for (key, text) in plain {
            let encoded =
                base64::engine::general_purpose::STANDARD.encode(text.as_str().unwrap_or_default());
            data.insert(key, encoded.into());
        }
    }
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

pub(super) fn may_delete(resource_type: &ResourceType, object: &Object) -> Result<(), Status> {
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

/// Objects of a custom resource go with its definition.
pub(super) fn after_delete(writing: &mut Writing, change: &Change) {
    if change.object.key.resource != resources::CUSTOM_RESOURCE_DEFINITIONS {
        return;
    }
    let tree = change.object.json();
    let resource = Resource::new(
        tree::text(&tree, "/spec/group"),
        tree::text(&tree, "/spec/names/plural"),
    );
    let registry = writing.registry;
    let Some(resource_type) = registry.stored(&resource) else {
        return;
    };
    let keys: Vec<_> = writing
        .store
        .cluster()
        .list(&resource)
        .map(|object| object.key.clone())
        .collect();
    for key in keys {
        let target: ResourceTarget = delete::target_of(resource_type, &key);
        let options = delete::DeleteOptions::default();
        // One that is held by a finalizer stays behind without a type, as long as its finalizer
        // does; upstream holds the definition instead.
        let _ = delete::delete(writing, resource_type, &target, &options);
    }
}
