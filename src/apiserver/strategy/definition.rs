//! Custom resource definitions: accepted names and conditions, given at once.
//!
//! Upstream's naming and establishing controllers do this a moment later; here the definition
//! comes to life in the write that creates it, so that `kubectl apply` of a definition and its
//! objects in one go never races.

use serde_json::{Value, json};

use super::super::tree;
use super::super::write::Writing;
use crate::k8s::resources;

pub(super) fn prepare(writing: &mut Writing, object: &mut Value, old: Option<&Value>) {
    let clash = clash(writing, object);
    let names = object.pointer("/spec/names").cloned().unwrap_or_default();
    let stored: Vec<Value> = tree::entries(object, "/spec/versions")
        .iter()
        .filter(|version| version.get("storage") == Some(&json!(true)))
        .filter_map(|version| version.get("name").cloned())
        .collect();
    let mut versions: Vec<Value> = old
        .map(|old| tree::entries(old, "/status/storedVersions").to_vec())
        .unwrap_or_default();
    for version in stored {
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    let now = writing.timestamp();
    let condition = |kind: &str, status: bool, reason: &str, message: &str| {
        let status = if status { "True" } else { "False" };
        let since = old
            .map(|old| tree::entries(old, "/status/conditions"))
            .unwrap_or_default()
            .iter()
            .find(|known| {
                known.get("type").and_then(Value::as_str) == Some(kind)
                    && known.get("status").and_then(Value::as_str) == Some(status)
            })
            .and_then(|known| known.get("lastTransitionTime"))
            .cloned()
            .unwrap_or_else(|| now.clone());
        json!({
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": since,
        })
    };
    let conditions = match &clash {
        None => json!([
            condition("NamesAccepted", true, "NoConflicts", "no conflicts found"),
            condition(
                "Established",
                true,
                "InitialNamesAccepted",
                "the initial names have been accepted"
            ),
        ]),
        Some(message) => json!([
            condition("NamesAccepted", false, "KindConflict", message),
            condition(
                "Established",
                false,
                "NotAccepted",
                "not all names are accepted"
            ),
        ]),
    };
    if let Some(root) = object.as_object_mut() {
        root.insert(
            "status".into(),
            json!({
                "acceptedNames": if clash.is_none() { names } else { json!({"plural": "", "kind": ""}) },
                "conditions": conditions,
                "storedVersions": versions,
            }),
        );
    }
}

/// Another definition of the same group with the same kind.
fn clash(writing: &Writing, object: &Value) -> Option<String> {
    let group = tree::text(object, "/spec/group");
    let kind = tree::text(object, "/spec/names/kind");
    let name = tree::text(object, "/metadata/name");
    writing
        .store
        .cluster()
        .list(&resources::CUSTOM_RESOURCE_DEFINITIONS)
        .filter(|other| other.name() != name)
        .map(|other| other.json())
        .any(|other| {
            tree::text(&other, "/spec/group") == group
                && tree::text(&other, "/spec/names/kind") == kind
        })
        .then(|| format!("\"{kind}\" is already in use"))
}
