//! Admission: defaults and rules that look beyond the one object.

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

pub(super) fn mutate(
    writing: &mut Writing,
    resource_type: &ResourceType,
    object: &mut Value,
) -> Result<(), Status> {
    let _ = (writing, resource_type, object);
    Ok(())
}

pub(super) fn mutate_update(
    writing: &mut Writing,
    resource_type: &ResourceType,
    old: &Value,
    object: &mut Value,
) -> Result<(), Status> {
    let _ = (writing, resource_type, old, object);
    Ok(())
}

pub(super) fn validate(
    writing: &Writing,
    resource_type: &ResourceType,
    object: &Value,
) -> Result<(), Status> {
    let _ = (writing, resource_type, object);
    Ok(())
}

pub(super) fn validate_update(
    writing: &Writing,
    resource_type: &ResourceType,
    old: &Value,
    object: &Value,
) -> Result<(), Status> {
    let _ = (writing, resource_type, old, object);
    Ok(())
}
