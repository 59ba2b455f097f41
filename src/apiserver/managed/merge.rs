//! Merging, comparing and pruning JSON trees along a schema's list and map types.

use serde_json::{Map, Value};

use super::fields::{FieldSet, PathElement, Shape, item_schema, path_element, shape};
use crate::k8s::schema::Schema;

/// `config` laid over `live`: maps by key, associative lists by item, everything else as a whole.
pub(super) fn merge(live: &Value, config: &Value, schema: &Schema) -> Value {
    match (shape(live, schema), shape(config, schema)) {
        (Shape::Fields(old), Shape::Fields(new)) => {
            let mut merged = old.clone();
            for (name, value) in new {
                let merged_value = match (old.get(name), schema.field(name)) {
                    (Some(before), Some(field)) => merge(before, value, field),
                    (Some(before), None) => merge(before, value, &Schema::default()),
                    (None, _) => value.clone(),
                };
                merged.insert(name.clone(), merged_value);
            }
            Value::Object(merged)
        }
        (Shape::Items(old), Shape::Items(new)) => Value::Array(merge_items(old, new, schema)),
        _ => config.clone(),
    }
}

/// Applied items in their order, merged with their old selves; the others keep their places after
/// the item that they followed.
fn merge_items(old: &[Value], new: &[Value], schema: &Schema) -> Vec<Value> {
    let any = Schema::default();
    let items = item_schema(schema).unwrap_or(&any);
    let names: Vec<PathElement> = new.iter().map(|item| path_element(item, schema)).collect();
    let mut merged: Vec<Value> = Vec::with_capacity(old.len().max(new.len()));
    let mut upcoming = new.iter().zip(&names).peekable();
    for before in old {
        let name = path_element(before, schema);
        if !names.contains(&name) {
            merged.push(before.clone());
            continue;
        }
        while let Some((item, element)) = upcoming.peek().copied() {
            let reached = *element == name;
            let known = old
                .iter()
                .any(|other| path_element(other, schema) == *element);
            if !reached && known {
                break;
            }
            upcoming.next();
            merged.push(if reached {
                merge(before, item, items)
            } else {
                item.clone()
            });
            if reached {
                break;
            }
        }
    }
    for (item, element) in upcoming {
        let before = old
            .iter()
            .find(|other| path_element(other, schema) == *element);
        merged.push(before.map_or_else(|| item.clone(), |before| merge(before, item, items)));
    }
    merged
}

/// The fields whose values differ, in either direction.
pub(super) fn changed(before: &Value, after: &Value, schema: &Schema) -> FieldSet {
    if before == after {
        return FieldSet::default();
    }
    match (shape(before, schema), shape(after, schema)) {
        (Shape::Fields(old), Shape::Fields(new)) => changed_fields(old, new, schema),
        (Shape::Items(old), Shape::Items(new)) => changed_items(old, new, schema),
        _ => FieldSet::of(before, schema).plus(&FieldSet::of(after, schema)),
    }
}

fn changed_fields(old: &Map<String, Value>, new: &Map<String, Value>, schema: &Schema) -> FieldSet {
    let any = Schema::default();
    let mut set = FieldSet::default();
    for name in old
        .keys()
        .chain(new.keys().filter(|name| !old.contains_key(*name)))
    {
        let field = schema.field(name).unwrap_or(&any);
        let child = match (old.get(name), new.get(name)) {
            (Some(before), Some(after)) => changed(before, after, field),
            (Some(value), None) | (None, Some(value)) => FieldSet::of(value, field),
            (None, None) => FieldSet::default(),
        };
        set.insert(PathElement::Field(name.clone()), child);
    }
    set
}

fn changed_items(old: &[Value], new: &[Value], schema: &Schema) -> FieldSet {
    let any = Schema::default();
    let items = item_schema(schema).unwrap_or(&any);
    let mut set = FieldSet::default();
    let find = |list: &[Value], element: &PathElement| {
        list.iter()
            .find(|item| path_element(item, schema) == *element)
            .cloned()
    };
    for item in old {
        let element = path_element(item, schema);
        let child = match find(new, &element) {
            Some(after) => changed(item, &after, items),
            None => FieldSet::of(item, items).plus(&FieldSet::leaf()),
        };
        set.insert(element, child);
    }
    for item in new {
        let element = path_element(item, schema);
        if find(old, &element).is_none() {
            set.insert(element, FieldSet::of(item, items).plus(&FieldSet::leaf()));
        }
    }
    set
}

/// Takes what its owner applied `before` out of `value`, except what somebody still owns (`kept`).
///
/// A field of the schema or an item in which nothing is kept goes as a whole, with the defaults that
/// the server filled in below it and that nobody owns.
/// Source: `prune` of structured-merge-diff's `merge/update.go`, which counts the named fields above
/// an owned one as members (`EnsureNamedFieldsAreMembers`).
pub(super) fn prune(value: &mut Value, before: &FieldSet, kept: &FieldSet, schema: &Schema) {
    let any = Schema::default();
    match value {
        Value::Object(map) => {
            let names: Vec<String> = map.keys().cloned().collect();
            for name in names {
                let element = PathElement::Field(name.clone());
                let Some(gone) = before.get(&element) else {
                    continue;
                };
                let named = schema.field(&name);
                let is_gone = gone.is_member() || named.is_some();
                let field = named.unwrap_or(&any);
                let child = map.get_mut(&name);
                if child.is_some_and(|child| {
                    prune_below(child, is_gone, gone, kept.get(&element), field)
                }) {
                    map.remove(&name);
                }
            }
        }
        Value::Array(items) if !before.is_empty() => {
            let item_type = item_schema(schema).unwrap_or(&any);
            items.retain_mut(|item| {
                let element = path_element(item, schema);
                let Some(gone) = before.get(&element) else {
                    return true;
                };
                !prune_below(item, gone.is_member(), gone, kept.get(&element), item_type)
            });
        }
        _ => {}
    }
}

/// Prunes one field or item and says whether it is itself to go.
fn prune_below(
    value: &mut Value,
    is_gone: bool,
    before: &FieldSet,
    kept: Option<&FieldSet>,
    schema: &Schema,
) -> bool {
    let kept = match kept.filter(|kept| !kept.is_empty()) {
        Some(kept) => kept,
        None if is_gone => return true,
        None => &FieldSet::default(),
    };
    if matches!(shape(value, schema), Shape::Leaf) {
        return false;
    }
    let had_content = !is_hollow(value);
    prune(value, before, kept, schema);
    // An empty map or list stays where somebody applied an empty one.
    had_content && is_hollow(value) && !kept.is_member()
}

fn is_hollow(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
