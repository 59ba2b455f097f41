//! Validation of objects, with upstream's messages.

use serde_json::Value;

use super::registry::ResourceType;
use super::status::Cause;
use super::write::Writing;

pub(super) fn of_new(
    writing: &Writing,
    resource_type: &ResourceType,
    object: &Value,
) -> Vec<Cause> {
    let _ = (writing, resource_type, object);
    Vec::new()
}

pub(super) fn of_update(
    writing: &Writing,
    resource_type: &ResourceType,
    old: &Value,
    object: &Value,
) -> Vec<Cause> {
    let _ = (writing, resource_type, old, object);
    Vec::new()
}

pub(super) fn of_status(resource_type: &ResourceType, old: &Value, object: &Value) -> Vec<Cause> {
    let _ = (resource_type, old, object);
    Vec::new()
}
