//! Create.

use std::sync::Arc;

use serde_json::Value;

use super::registry::ResourceType;
use super::request::ResourceTarget;
use super::status::Status;
use super::write::{Writing, is_status};
use super::{admission, strategy, tree, validation};
use crate::k8s::Object;
use crate::store::{Expect, Write};

/// Random characters after `generateName`, and how long the whole may be.
const SUFFIX: usize = 5;
const GENERATED_MAX: usize = 63;

/// Stores a new object.
pub(super) fn create(
    writing: &mut Writing,
    resource_type: &ResourceType,
    target: &ResourceTarget,
    mut object: Value,
) -> Result<Arc<Object>, Status> {
    debug_assert!(!is_status(target), "status is never created");
    stamp_type(resource_type, &mut object);
    place(resource_type, target, &mut object)?;
    let name = name(writing, &mut object)?;
    if writing
        .store
        .cluster()
        .find(
            &resource_type.storage,
            tree::text(&object, "/metadata/namespace"),
            &name,
        )
        .is_some()
    {
        return Err(Status::already_exists(&resource_type.resource(), &name));
    }
    admission::namespace_accepts(writing, resource_type, &object)?;
    clean_metadata(writing, &mut object);
    strategy::prepare_create(writing, resource_type, &mut object)?;
    admission::mutate(writing, resource_type, &mut object)?;
    let causes = validation::of_new(resource_type, &object);
    reject(resource_type, &name, causes)?;
    admission::validate(writing, resource_type, &object)?;
    let change = writing.commit(Write::Put {
        resource: resource_type.storage.clone(),
        object,
        expect: Expect::Absent,
    })?;
    Ok(change.object)
}

pub(super) fn reject(
    resource_type: &ResourceType,
    name: &str,
    causes: Vec<super::Cause>,
) -> Result<(), Status> {
    if causes.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(
        &resource_type.group,
        &resource_type.kind,
        name,
        causes,
    ))
}

/// `apiVersion` and `kind` of the stored form.
pub(super) fn stamp_type(resource_type: &ResourceType, object: &mut Value) {
    let version = if resource_type.storage.group.is_empty() {
        resource_type.storage_version.to_string()
    } else {
        format!(
            "{}/{}",
            resource_type.storage.group, resource_type.storage_version
        )
    };
    if let Some(root) = object.as_object_mut() {
        root.insert("apiVersion".into(), version.into());
        root.insert("kind".into(), resource_type.kind.as_str().into());
    }
}

/// Namespace and name of the address and of the object must agree.
pub(super) fn place(
    resource_type: &ResourceType,
    target: &ResourceTarget,
    object: &mut Value,
) -> Result<(), Status> {
    let stated = tree::text(object, "/metadata/namespace").to_owned();
    if !resource_type.namespaced {
        if !stated.is_empty() {
            tree::remove_meta(object, "namespace");
        }
    } else if target.namespace.is_empty() {
        return Err(Status::bad_request(
            "an empty namespace may not be set during creation",
        ));
    } else if stated.is_empty() {
        tree::set_meta(object, "namespace", target.namespace.as_str());
    } else if stated != target.namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let stated = tree::text(object, "/metadata/name").to_owned();
    if !target.name.is_empty() {
        if stated.is_empty() {
            tree::set_meta(object, "name", target.name.as_str());
        } else if stated != target.name {
            return Err(Status::bad_request(format!(
                "the name of the object ({stated}) does not match the name on the URL ({})",
                target.name
            )));
        }
    }
    Ok(())
}

fn name(writing: &mut Writing, object: &mut Value) -> Result<String, Status> {
    let stated = tree::text(object, "/metadata/name");
    if !stated.is_empty() {
        return Ok(stated.to_owned());
    }
    let prefix = tree::text(object, "/metadata/generateName");
    if prefix.is_empty() {
        let kind = tree::text(object, "/kind").to_owned();
        let group = tree::text(object, "/apiVersion")
            .split_once('/')
            .map_or("", |(group, _)| group)
            .to_owned();
        return Err(Status::invalid(
            &group,
            &kind,
            "",
            vec![super::Cause::required(
                "metadata.name",
                "name or generateName is required",
            )],
        ));
    }
    let kept: String = prefix.chars().take(GENERATED_MAX - SUFFIX).collect();
    let name = format!("{kept}{}", writing.ids.suffix(SUFFIX));
    tree::set_meta(object, "name", name.as_str());
    Ok(name)
}

/// What the server alone decides about a new object.
fn clean_metadata(writing: &mut Writing, object: &mut Value) {
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "resourceVersion",
        "generation",
    ] {
        tree::remove_meta(object, field);
    }
    let uid = writing.ids.uuid();
    tree::set_meta(object, "uid", uid);
    let now = writing.timestamp();
    tree::set_meta(object, "creationTimestamp", now);
}
