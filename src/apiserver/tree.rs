//! Small reads and writes in JSON trees of objects.

use serde_json::{Map, Value, json};

/// The text at a pointer; empty where there is none.
pub(super) fn text<'a>(tree: &'a Value, pointer: &str) -> &'a str {
    tree.pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The object at a key, made where it is missing or null. `None` where something else is in the
/// way.
pub(super) fn object<'a>(tree: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    let entry = tree
        .as_object_mut()?
        .entry(key)
        .or_insert_with(|| json!({}));
    if entry.is_null() {
        *entry = json!({});
    }
    entry.as_object_mut()
}

/// Sets `metadata.<key>`.
pub(super) fn set_meta(tree: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(metadata) = object(tree, "metadata") {
        metadata.insert(key.into(), value.into());
    }
}

pub(super) fn remove_meta(tree: &mut Value, key: &str) {
    if let Some(metadata) = tree.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove(key);
    }
}

/// Copies a field of the root from one tree to another, or removes it there.
pub(super) fn carry(from: &Value, to: &mut Value, key: &str) {
    let Some(root) = to.as_object_mut() else {
        return;
    };
    match from.get(key) {
        Some(value) => root.insert(key.into(), value.clone()),
        None => root.remove(key),
    };
}

/// The same for `metadata.<key>`.
pub(super) fn carry_meta(from: &Value, to: &mut Value, key: &str) {
    match from.pointer("/metadata").and_then(|meta| meta.get(key)) {
        Some(value) => set_meta(to, key, value.clone()),
        None => remove_meta(to, key),
    }
}

/// Sets a key of a map where it is missing or null.
pub(super) fn default(map: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    if map.get(key).is_none_or(Value::is_null) {
        map.insert(key.into(), value.into());
    }
}

/// The entries of an array at a pointer; none where it is missing.
pub(super) fn entries<'a>(tree: &'a Value, pointer: &str) -> &'a [Value] {
    tree.pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
