//! Admission: defaults and rules that look beyond the one object.

mod limits;
mod pod;
mod quota;

use serde_json::Value;

use super::registry::ResourceType;
use super::status::Status;
use super::tree;
use super::write::Writing;
use crate::k8s::resources;

/// `NamespaceLifecycle`: nothing is created in a namespace that is missing or going away.
pub(super) fn namespace_accepts(
    writing: &Writing,
    resource_type: &ResourceType,
    object: &Value,
) -> Result<(), Status> {
    if !resource_type.namespaced {
        return Ok(());
    }
    let namespace = tree::text(object, "/metadata/namespace");
    let Some(found) = writing
        .store
        .cluster()
        .find(&resources::NAMESPACES, "", namespace)
    else {
        return Err(Status::not_found(&resources::NAMESPACES, namespace));
    };
    if found.is_terminating() {
        let name = tree::text(object, "/metadata/name");
        let mut status = Status::forbidden(
            &resource_type.resource(),
            name,
            &format!(
                "unable to create new content in namespace {namespace} because it is being \
                 terminated"
            ),
        );
        if let Some(details) = &mut status.details {
            details.causes.push(super::Cause::of(
                "NamespaceTerminating",
                "metadata.namespace",
                format!("namespace {namespace} is being terminated"),
            ));
        }
        return Err(status);
    }
    Ok(())
}

/// Mutating admission of a new object.
pub(super) fn mutate(
    writing: &mut Writing,
    resource_type: &ResourceType,
    object: &mut Value,
) -> Result<(), Status> {
    if resource_type.storage == resources::PODS {
        limits::apply(writing, object);
        pod::mutate(writing, object)?;
    } else if resource_type.storage == resources::PERSISTENT_VOLUME_CLAIMS {
        default_storage_class(writing, object);
    }
    Ok(())
}

/// Mutating admission of a changed object.
pub(super) fn mutate_update(resource_type: &ResourceType, old: &Value, object: &mut Value) {
    if resource_type.storage == resources::PODS {
        pod::mutate_update(old, object);
    }
}

/// Validating admission of a new object.
pub(super) fn validate(
    writing: &mut Writing,
    resource_type: &ResourceType,
    object: &Value,
) -> Result<(), Status> {
    if resource_type.storage == resources::PODS {
        limits::check(writing, object)?;
    }
    quota::check(writing, resource_type, object)
}

/// `DefaultStorageClass`: the newest class that says it is the default.
fn default_storage_class(writing: &Writing, object: &mut Value) {
    const MARK: &str = "/metadata/annotations/storageclass.kubernetes.io~1is-default-class";
    if object
        .pointer("/spec/storageClassName")
        .is_some_and(Value::is_string)
    {
        return;
    }
    let class = writing
        .store
        .cluster()
        .list(&resources::STORAGE_CLASSES)
        .filter(|class| tree::text(&class.json(), MARK) == "true")
        .max_by_key(|class| (class.created, std::cmp::Reverse(class.key.name.clone())));
    if let Some(class) = class
        && let Some(spec) = tree::object(object, "spec")
    {
        spec.insert("storageClassName".into(), class.name().into());
    }
}
