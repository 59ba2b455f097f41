//! Namespaces: the finalizer that lets the namespace controller empty them, and the name as a
//! label.

use serde_json::{Value, json};

use super::super::tree;

const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(super) fn prepare(object: &mut Value) {
    label(object);
    if let Some(spec) = tree::object(object, "spec") {
        spec.insert("finalizers".into(), json!(["kubernetes"]));
    }
    if let Some(status) = tree::object(object, "status") {
        status.insert("phase".into(), json!("Active"));
    }
}

/// `spec.finalizers` is changed through `finalize` and only by taking entries away; a plain update
/// that repeats what it read changes nothing.
pub(super) fn prepare_update(old: &Value, object: &mut Value) {
    label(object);
    if object.get("spec").is_none() {
        tree::carry(old, object, "spec");
    }
}

fn label(object: &mut Value) {
    let name = tree::text(object, "/metadata/name").to_owned();
    if let Some(metadata) = tree::object(object, "metadata")
        && let Some(labels) = metadata
            .entry("labels")
            .or_insert_with(|| json!({}))
            .as_object_mut()
    {
        labels.insert(NAME_LABEL.into(), name.into());
    }
}
