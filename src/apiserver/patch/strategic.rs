//! Strategic merge patch, driven by the marks in the schema facts.
//!
//! Source: "Strategic Merge Patch" of the Kubernetes community's API machinery documents and the
//! behaviour of `k8s.io/apimachinery/pkg/util/strategicpatch`: lists with a merge key merge entry
//! by entry, `$patch: delete|replace|merge`, `$retainKeys`, `$deleteFromPrimitiveList/<field>`,
//! `$setElementOrder/<field>`; null deletes.

use serde_json::{Map, Value};

use super::super::status::Status;
use crate::k8s::schema::Schema;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_PRIMITIVES: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Merges `patch` into `tree`, an object of this schema.
pub(in super::super) fn merge(
    schema: &Schema,
    tree: &mut Value,
    patch: &Value,
) -> Result<(), Status> {
    let Some(patch) = patch.as_object() else {
        return Err(Status::bad_request(
            "error decoding patch: json: cannot unmarshal into Go value of type \
             map[string]interface {}",
        ));
    };
    merge_map(Some(schema), tree, patch)
}

fn merge_map(
    schema: Option<&Schema>,
    tree: &mut Value,
    patch: &Map<String, Value>,
) -> Result<(), Status> {
    match patch.get(DIRECTIVE).and_then(Value::as_str) {
        Some("replace") => {
            let mut replacement = patch.clone();
            replacement.remove(DIRECTIVE);
            *tree = Value::Object(replacement);
            return Ok(());
        }
        Some("delete") => {
            *tree = Value::Object(Map::new());
            return Ok(());
        }
        Some("merge") | None => {}
        Some(other) => {
            return Err(Status::bad_request(format!(
                "Unknown patch type found: {other}"
            )));
        }
    }
    if !tree.is_object() {
        *tree = Value::Object(Map::new());
    }
    let Some(map) = tree.as_object_mut() else {
        return Ok(());
    };
    if let Some(kept) = patch.get(RETAIN_KEYS).and_then(Value::as_array) {
        map.retain(|key, _| kept.iter().any(|name| name.as_str() == Some(key)));
    }
    for (key, removed) in patch {
        if let Some(field) = key.strip_prefix(DELETE_PRIMITIVES)
            && let Some(removed) = removed.as_array()
            && let Some(list) = map.get_mut(field).and_then(Value::as_array_mut)
        {
            list.retain(|entry| !removed.contains(entry));
        }
    }
    for (key, value) in patch {
        if key.starts_with('$') {
            continue;
        }
        let field = schema.and_then(|schema| schema.field(key));
        let order = patch
            .get(&format!("{ORDER}{key}"))
            .and_then(Value::as_array)
            .map(Vec::as_slice);
        match value {
            Value::Null => {
                map.remove(key);
            }
            Value::Object(inner) if replaces(field) => {
                map.insert(key.clone(), Value::Object(plain(inner)));
            }
            Value::Object(inner) => {
                if inner.get(DIRECTIVE).and_then(Value::as_str) == Some("delete") {
                    map.remove(key);
                    continue;
                }
                let entry = map.entry(key.clone()).or_insert(Value::Null);
                merge_map(field, entry, inner)?;
            }
            Value::Array(entries) => {
                let merged = merge_list(field, map.remove(key), entries, order)?;
                map.insert(key.clone(), Value::Array(merged));
            }
            scalar => {
                map.insert(key.clone(), scalar.clone());
            }
        }
    }
    // An order for a list that the patch itself does not touch.
    for (key, order) in patch {
        if let Some(field) = key.strip_prefix(ORDER)
            && !patch.contains_key(field)
            && let Some(order) = order.as_array()
            && let Some(list) = map.get_mut(field).and_then(Value::as_array_mut)
        {
            let field = schema.and_then(|schema| schema.field(field));
            let taken = std::mem::take(list);
            *list = ordered(merge_key(field), taken, order);
        }
    }
    Ok(())
}

/// A field that is replaced as a whole, although it is a map.
fn replaces(field: Option<&Schema>) -> bool {
    field.is_some_and(|field| {
        field
            .patch_strategies()
            .any(|strategy| strategy == "replace")
    })
}

fn merge_key(field: Option<&Schema>) -> Option<&str> {
    field
        .map(|field| field.merge_key.as_str())
        .filter(|key| !key.is_empty())
}

fn merges(field: Option<&Schema>) -> bool {
    field.is_some_and(|field| field.patch_strategies().any(|strategy| strategy == "merge"))
}

fn merge_list(
    field: Option<&Schema>,
    current: Option<Value>,
    patch: &[Value],
    order: Option<&[Value]>,
) -> Result<Vec<Value>, Status> {
    let current = match current {
        Some(Value::Array(entries)) => entries,
        _ => Vec::new(),
    };
    if !merges(field) {
        return Ok(patch.to_vec());
    }
    let items = field.and_then(|field| field.resolved().items.as_deref());
    let Some(key) = merge_key(field) else {
        let mut merged = current;
        for entry in patch {
            if !merged.contains(entry) {
                merged.push(entry.clone());
            }
        }
        return Ok(match order {
            Some(order) => ordered(None, merged, order),
            None => merged,
        });
    };
    if patch
        .iter()
        .any(|entry| directive(entry) == Some("replace"))
    {
        return Ok(patch
            .iter()
            .filter(|entry| directive(entry) != Some("replace"))
            .cloned()
            .collect());
    }
    let mut merged = current;
    for entry in patch {
        let Some(entry_map) = entry.as_object() else {
            return Err(Status::bad_request(format!(
                "expected map for list with merge key {key}"
            )));
        };
        let Some(identity) = entry_map.get(key) else {
            return Err(Status::bad_request(format!(
                "map: {entry} does not contain declared merge key: {key}"
            )));
        };
        if directive(entry) == Some("delete") {
            merged.retain(|found| found.get(key) != Some(identity));
            continue;
        }
        if let Some(found) = merged
            .iter_mut()
            .find(|found| found.get(key) == Some(identity))
        {
            merge_map(items, found, entry_map)?;
        } else {
            let mut added = Value::Object(Map::new());
            merge_map(items, &mut added, entry_map)?;
            merged.push(added);
        }
    }
    Ok(match order {
        Some(order) => ordered(Some(key), merged, order),
        None => merged,
    })
}

fn directive(entry: &Value) -> Option<&str> {
    entry.get(DIRECTIVE).and_then(Value::as_str)
}

/// Entries named by the order come in that order; others keep their place relative to the entry
/// before them.
fn ordered(key: Option<&str>, list: Vec<Value>, order: &[Value]) -> Vec<Value> {
    let identity = |value: &Value| match key {
        Some(key) => value.get(key).cloned().unwrap_or_default(),
        None => value.clone(),
    };
    let rank = |value: &Value| {
        let own = identity(value);
        order.iter().position(|entry| identity(entry) == own)
    };
    let mut ranked: Vec<(usize, Value)> = Vec::with_capacity(list.len());
    let mut named: Vec<(usize, Value)> = Vec::new();
    let mut unnamed: Vec<(usize, Value)> = Vec::new();
    for (index, value) in list.into_iter().enumerate() {
        match rank(&value) {
            Some(rank) => named.push((rank, value)),
            None => unnamed.push((index, value)),
        }
    }
    named.sort_by_key(|(rank, _)| *rank);
    ranked.append(&mut named);
    for (index, value) in unnamed {
        let at = index.min(ranked.len());
        ranked.insert(at, (index, value));
    }
    ranked.into_iter().map(|(_, value)| value).collect()
}

/// A map without directives.
fn plain(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter()
        .filter(|(key, value)| !key.starts_with('$') && !value.is_null())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
