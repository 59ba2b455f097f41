//! Field ownership: `metadata.managedFields` and server-side apply.
//!
//! Source: "Server-Side Apply" and the `FieldsV1` format (meta/v1). Who applies a configuration owns
//! the fields in it; a field of another owner is only changed by force; a field that its last owner
//! stops applying is removed. Pure functions over JSON trees and a [`Schema`].
//!
//! Start with [`apply`]; [`record_update`] keeps the books for every other kind of write.

mod fields;
mod merge;

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

pub use fields::FieldSet;

use crate::k8s::schema::Schema;

/// How a manager writes: the two operations that `managedFields` tells apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Operation {
    Apply,
    Update,
}

/// One entry of `metadata.managedFields`.
#[derive(Clone, PartialEq, Debug)]
pub struct Manager {
    pub name: String,
    pub operation: Operation,
    pub api_version: String,
    pub subresource: String,
    pub time: Option<Timestamp>,
    pub fields: FieldSet,
}

impl Manager {
    /// Source: `printManager` of `managedfields/internal/conflict.go`.
    fn shown(&self) -> String {
        let mut text = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            let _ = write!(text, " with subresource {:?}", self.subresource);
        }
        if self.operation == Operation::Update {
            let _ = write!(text, " using {}", self.api_version);
        }
        text
    }
}

/// Who writes, through which version and subresource, and when.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    pub manager: &'a str,
    pub api_version: &'a str,
    /// Empty: the object itself.
    pub subresource: &'a str,
    pub now: Timestamp,
}

/// A field that another manager owns with another value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// As messages name it: `"kubectl" with subresource "scale" using apps/v1`.
    pub manager: String,
    /// `.spec.replicas`, `.spec.template.spec.containers[name="app"].image`.
    pub field: String,
}

/// Merges `config` into `live` (an empty object when there is none) as the author's applied
/// configuration, and returns the object with its new `managedFields`.
///
/// Without `force`, the fields that other managers own with different values are returned instead.
pub fn apply(
    live: &Value,
    config: &Value,
    schema: &Schema,
    author: Author<'_>,
    force: bool,
) -> Result<Value, Vec<Conflict>> {
    let mut managers = managers(live);
    if managers.is_empty() && live.pointer("/metadata/uid").is_some() {
        managers.push(before_first_apply(live, schema, author));
    }
    let configured = FieldSet::of(config, schema);
    let applied = without_identity(configured.clone());
    let mut object = merge::merge(live, config, schema);

    let own = |manager: &Manager| {
        manager.operation == Operation::Apply
            && manager.name == author.manager
            && manager.subresource == author.subresource
    };
    let before = managers
        .iter()
        .find(|manager| own(manager))
        .map(|manager| manager.fields.clone());
    if let Some(before) = before {
        // The names and the type in the configuration are nobody's, and stay.
        let mut kept = configured;
        for other in managers.iter().filter(|manager| !own(manager)) {
            kept = kept.plus(&other.fields);
        }
        merge::prune(&mut object, &before, &kept, schema);
    }

    let changed = merge::changed(live, &object, schema);
    let mut conflicts = Vec::new();
    for other in managers.iter_mut().filter(|manager| !own(manager)) {
        let contested = other.fields.common(&changed);
        if contested.is_empty() {
            continue;
        }
        if force {
            other.fields = other.fields.minus(&contested);
        } else {
            conflicts.extend(contested.paths().into_iter().map(|field| Conflict {
                manager: other.shown(),
                field,
            }));
        }
    }
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    let unchanged = changed.is_empty();
    put(&mut managers, author, Operation::Apply, applied, unchanged);
    set_managers(&mut object, &managers);
    Ok(object)
}

/// Books a write that is no apply: what it changed belongs to the author from now on, and what it
/// removed belongs to nobody.
pub fn record_update(live: &Value, object: &mut Value, schema: &Schema, author: Author<'_>) {
    let mut managers = managers(live);
    let changed = without_identity(merge::changed(live, object, schema));
    if changed.is_empty() {
        set_managers(object, &managers);
        return;
    }
    let present = FieldSet::of(object, schema);
    let own = |manager: &Manager| {
        manager.operation == Operation::Update
            && manager.name == author.manager
            && manager.subresource == author.subresource
    };
    let mut mine = changed.common(&present);
    for manager in &mut managers {
        if own(manager) {
            mine = mine.plus(&manager.fields).common(&present);
        } else {
            manager.fields = manager.fields.minus(&changed);
        }
    }
    put(&mut managers, author, Operation::Update, mine, false);
    set_managers(object, &managers);
}

/// What was there before anybody applied belongs to one unnamed past, so that a first apply does not
/// silently take over what others wrote.
fn before_first_apply(live: &Value, schema: &Schema, author: Author<'_>) -> Manager {
    Manager {
        name: "before-first-apply".to_owned(),
        operation: Operation::Update,
        api_version: author.api_version.to_owned(),
        subresource: String::new(),
        time: Some(author.now),
        fields: without_identity(FieldSet::of(live, schema)).without("status"),
    }
}

/// Replaces the author's entry; its time stays where nothing changed, so that an apply of the same
/// configuration is no write.
fn put(
    managers: &mut Vec<Manager>,
    author: Author<'_>,
    operation: Operation,
    fields: FieldSet,
    unchanged: bool,
) {
    let position = managers.iter().position(|manager| {
        manager.operation == operation
            && manager.name == author.manager
            && manager.subresource == author.subresource
    });
    let previous = position.map(|index| managers.remove(index));
    let time = previous
        .filter(|previous| {
            unchanged && previous.fields == fields && previous.api_version == author.api_version
        })
        .and_then(|previous| previous.time)
        .unwrap_or(author.now);
    managers.push(Manager {
        name: author.manager.to_owned(),
        operation,
        api_version: author.api_version.to_owned(),
        subresource: author.subresource.to_owned(),
        time: Some(time),
        fields,
    });
    managers.retain(|manager| !manager.fields.is_empty());
    managers.sort_by(|left, right| {
        let order = |manager: &Manager| (manager.operation, manager.time, manager.name.clone());
        order(left).cmp(&order(right))
    });
}

/// The entries of an object's `metadata.managedFields`; malformed ones are left out.
pub fn managers(object: &Value) -> Vec<Manager> {
    let entries = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    entries.into_iter().flatten().filter_map(manager).collect()
}

fn manager(entry: &Value) -> Option<Manager> {
    let text = |field: &str| {
        entry
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Some(Manager {
        name: text("manager"),
        operation: match text("operation").as_str() {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        },
        api_version: text("apiVersion"),
        subresource: text("subresource"),
        time: text("time").parse().ok(),
        fields: FieldSet::parse(entry.get("fieldsV1")?),
    })
}

fn set_managers(object: &mut Value, managers: &[Manager]) {
    let entries: Vec<Value> = managers.iter().map(entry).collect();
    let Some(metadata) = object
        .as_object_mut()
        .map(|object| object.entry("metadata").or_insert_with(|| json!({})))
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    if entries.is_empty() {
        metadata.remove("managedFields");
    } else {
        metadata.insert("managedFields".to_owned(), Value::Array(entries));
    }
}

fn entry(manager: &Manager) -> Value {
    let mut entry = Map::new();
    entry.insert("apiVersion".to_owned(), json!(manager.api_version));
    entry.insert("fieldsType".to_owned(), json!("FieldsV1"));
    entry.insert("fieldsV1".to_owned(), manager.fields.json());
    entry.insert("manager".to_owned(), json!(manager.name));
    let operation = match manager.operation {
        Operation::Apply => "Apply",
        Operation::Update => "Update",
    };
    entry.insert("operation".to_owned(), json!(operation));
    if !manager.subresource.is_empty() {
        entry.insert("subresource".to_owned(), json!(manager.subresource));
    }
    if let Some(time) = manager.time {
        entry.insert("time".to_owned(), json!(format!("{time:.0}")));
    }
    Value::Object(entry)
}

/// Fields that say which object it is, or that the server alone writes, have no owner.
fn without_identity(fields: FieldSet) -> FieldSet {
    const UNOWNED: [&str; 10] = [
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "managedFields",
        "name",
        "namespace",
        "resourceVersion",
        "selfLink",
        "uid",
    ];
    fields
        .without("apiVersion")
        .without("kind")
        .without_in("metadata", &UNOWNED)
}

#[cfg(test)]
mod tests;
