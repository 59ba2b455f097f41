//! Update: of the whole object, or of its status alone.

use std::sync::Arc;

use serde_json::Value;

use super::create::{place, reject, stamp_type};
use super::registry::ResourceType;
use super::request::ResourceTarget;
use super::status::Status;
use super::write::{Writing, is_status};
use super::{Cause, admission, apply, delete, strategy, tree, validation};
use crate::k8s::{Object, Revision};
use crate::store::{Expect, Write};

/// Replaces an object with what a client sent.
pub(super) fn replace(
    writing: &mut Writing,
    resource_type: &ResourceType,
    target: &ResourceTarget,
    mut object: Value,
) -> Result<Arc<Object>, Status> {
    stamp_type(resource_type, &mut object);
    place(resource_type, target, &mut object)?;
    let current = writing.current(resource_type, target)?;
    store(writing, resource_type, target, &current, object)
}

/// Checks a new state against the current one and stores it, if anything differs.
pub(super) fn store(
    writing: &mut Writing,
    resource_type: &ResourceType,
    target: &ResourceTarget,
    current: &Arc<Object>,
    mut object: Value,
) -> Result<Arc<Object>, Status> {
    precondition(resource_type, current, &object)?;
    let old = current.json();
    keep_metadata(&old, &mut object);
    if is_status(target) {
        keep_all_but_status(&old, &mut object);
    } else if resource_type.has_status() {
        tree::carry(&old, &mut object, "status");
    }
    strategy::prepare_update(writing, resource_type, &old, &mut object, is_status(target))?;
    if target.subresource.is_empty() {
        admission::mutate_update(resource_type, &old, &mut object);
    }
    let causes = if is_status(target) {
        validation::of_status(resource_type, &object)
    } else {
        validation::of_update(resource_type, &old, &object)
    };
    reject(resource_type, current.name(), causes)?;
    bump_generation(resource_type, &old, &mut object);
    apply::record(writing, resource_type, &old, &mut object);
    if same(&old, &object) {
        return Ok(Arc::clone(current));
    }
    if delete::is_released(&object) {
        return delete::finish(writing, current, object);
    }
    let change = writing.commit(Write::Put {
        resource: resource_type.storage.clone(),
        object,
        expect: Expect::Revision(current.revision),
    })?;
    Ok(change.object)
}

fn precondition(
    resource_type: &ResourceType,
    current: &Object,
    object: &Value,
) -> Result<(), Status> {
    let resource = resource_type.resource();
    let uid = tree::text(object, "/metadata/uid");
    if !uid.is_empty() && uid != current.uid.0 {
        return Err(Status::conflict(
            &resource,
            current.name(),
            &format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                current.uid
            ),
        ));
    }
    let revision = tree::text(object, "/metadata/resourceVersion");
    if revision.is_empty() || revision == "0" {
        if needs_revision(resource_type) {
            return Err(Status::invalid(
                &resource_type.group,
                &resource_type.kind,
                current.name(),
                vec![Cause::invalid(
                    "metadata.resourceVersion",
                    &Value::from(0),
                    "must be specified for an update",
                )],
            ));
        }
        return Ok(());
    }
    match revision.parse().map(Revision) {
        Ok(stated) if stated == current.revision => Ok(()),
        Ok(_) => Err(Status::stale(&resource, current.name())),
        Err(_) => Err(Status::invalid(
            &resource_type.group,
            &resource_type.kind,
            current.name(),
            vec![Cause::invalid(
                "metadata.resourceVersion",
                &Value::from(revision),
                "must be specified for an update",
            )],
        )),
    }
}

/// Kinds whose strategy has `AllowUnconditionalUpdate` false upstream; custom resources too.
fn needs_revision(resource_type: &ResourceType) -> bool {
    resource_type.origin == super::registry::Origin::Custom
        || matches!(
            resource_type.plural.as_str(),
            "leases"
                | "poddisruptionbudgets"
                | "customresourcedefinitions"
                | "apiservices"
                | "endpointslices"
        )
}

/// What an update cannot change: identity, and the marks of deletion.
fn keep_metadata(old: &Value, object: &mut Value) {
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
        "generateName",
    ] {
        tree::carry_meta(old, object, field);
    }
    tree::remove_meta(object, "selfLink");
}

/// A status update carries status, labels and annotations are left alone with everything else.
fn keep_all_but_status(old: &Value, object: &mut Value) {
    let status = object.get("status").cloned();
    let managed = object.pointer("/metadata/managedFields").cloned();
    *object = old.clone();
    if let Some(root) = object.as_object_mut() {
        match status {
            Some(status) => root.insert("status".into(), status),
            None => root.remove("status"),
        };
    }
    if let Some(managed) = managed {
        tree::set_meta(object, "managedFields", managed);
    }
}

/// The generation counts changes of what is wanted: everything but metadata and status.
fn bump_generation(resource_type: &ResourceType, old: &Value, object: &mut Value) {
    if !strategy::has_generation(resource_type) {
        return;
    }
    let wanted_changed = wanted(old).ne(wanted(object));
    let deletion_began = old.pointer("/metadata/deletionTimestamp").is_none()
        && object.pointer("/metadata/deletionTimestamp").is_some();
    if wanted_changed || deletion_began {
        let generation = old
            .pointer("/metadata/generation")
            .and_then(Value::as_i64)
            .unwrap_or_default();
        tree::set_meta(object, "generation", generation + 1);
    }
}

fn wanted(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| !matches!(key.as_str(), "metadata" | "status"))
}

fn same(old: &Value, object: &Value) -> bool {
    old == object
}
