//! Patches: JSON patch, merge patch, strategic merge patch.
//!
//! A patch is applied to the current object and stored like an update.

mod strategic;

use serde_json::Value;

use super::decode::{APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH};
use super::registry::{Origin, ResourceType};
use super::request::{Request, ResourceTarget};
use super::status::Status;
use super::write::{Done, Writing};
use super::{convert, decode, tree, update};
use crate::k8s::Patch;

pub(super) fn request(
    writing: &mut Writing,
    resource_type: &ResourceType,
    target: &ResourceTarget,
    request: &Request,
) -> Result<Done, Status> {
    if request.content_type == APPLY_PATCH {
        return super::apply::request(writing, resource_type, target, request);
    }
    let patch = of_request(request)?;
    apply(
        writing,
        resource_type,
        target,
        &patch,
        &request.options.field_validation,
    )
}

/// Reads a patch by its media type.
pub(super) fn of_request(request: &Request) -> Result<Patch, Status> {
    let body = decode::json;
    match request.content_type.as_str() {
        JSON_PATCH => Ok(Patch::Json(body(&request.body)?)),
        MERGE_PATCH => Ok(Patch::Merge(body(&request.body)?)),
        STRATEGIC_PATCH => Ok(Patch::Strategic(body(&request.body)?)),
        _ => Err(Status::unsupported_media_type(&[
            JSON_PATCH,
            MERGE_PATCH,
            STRATEGIC_PATCH,
            APPLY_PATCH,
        ])),
    }
}

/// Patches the current object and stores the outcome.
pub(super) fn apply(
    writing: &mut Writing,
    resource_type: &ResourceType,
    target: &ResourceTarget,
    patch: &Patch,
    field_validation: &str,
) -> Result<Done, Status> {
    let current = writing.current(resource_type, target)?;
    let mut object = current.json();
    convert::to_served(resource_type, &mut object);
    patched(resource_type, &mut object, patch, &target.name)?;
    decode::check_kind(resource_type, &object)?;
    let mut object = decode::typed(writing, resource_type, object, field_validation)?;
    super::create::stamp_type(resource_type, &mut object);
    if tree::text(&object, "/metadata/name") != current.name() {
        return Err(Status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            tree::text(&object, "/metadata/name"),
            current.name()
        )));
    }
    update::store(writing, resource_type, target, &current, object).map(Done::Updated)
}

/// Applies a patch to a tree.
pub(super) fn patched(
    resource_type: &ResourceType,
    tree: &mut Value,
    patch: &Patch,
    name: &str,
) -> Result<(), Status> {
    match patch {
        Patch::Merge(patch) => {
            if !patch.is_object() {
                return Err(Status::bad_request(
                    "error decoding patch: json: cannot unmarshal array into Go value of type \
                     map[string]interface {}",
                ));
            }
            json_patch::merge(tree, patch);
            Ok(())
        }
        Patch::Json(patch) => {
            let operations: json_patch::Patch = serde_json::from_value(patch.clone())
                .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
            json_patch::patch(tree, &operations).map_err(|error| {
                Status::invalid(
                    &resource_type.group,
                    &resource_type.kind,
                    name,
                    vec![super::Cause::of(
                        "FieldValueInvalid",
                        "patch",
                        error.to_string(),
                    )],
                )
            })
        }
        Patch::Strategic(patch) => match (resource_type.origin, resource_type.schema()) {
            (Origin::Builtin, Some(schema)) => strategic::merge(schema, tree, patch),
            _ => Err(Status::new(
                415,
                "UnsupportedMediaType",
                format!(
                    "the body of the request was in an unknown format - accepted media types \
                     include: {JSON_PATCH}, {MERGE_PATCH}, {APPLY_PATCH}"
                ),
            )),
        },
    }
}
