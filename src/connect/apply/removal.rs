//! What a manifest no longer says: the deletions of a patch.

use serde_json::{Map, Value, json};

use crate::k8s::facts;
use crate::k8s::schema::Schema;

use super::text;

/// How a patch is merged by the server.
#[derive(Clone, Copy)]
pub enum Merge {
    /// Lists of a built-in kind are merged by their keys.
    Strategic(&'static Schema),
    /// Lists are replaced whole.
    Json,
}

impl Merge {
    pub fn for_kind(object: &Value) -> Self {
        let api_version = text(object, "/apiVersion");
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        facts::definition_of(group, version, text(object, "/kind"))
            .and_then(facts::definition)
            .map_or(Self::Json, Self::Strategic)
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Strategic(_) => "application/strategic-merge-patch+json",
            Self::Json => "application/merge-patch+json",
        }
    }

    /// Everything that is wanted, and the removal of what was applied last and is not wanted now.
    pub fn patch(self, last: &Value, wanted: &Value) -> Value {
        let mut patch = wanted.clone();
        let schema = match self {
            Self::Strategic(schema) => Some(schema),
            Self::Json => None,
        };
        if let (Value::Object(last), Value::Object(patch)) = (last, &mut patch) {
            remove_fields(schema, last, patch);
        }
        patch
    }
}

fn remove_fields(
    schema: Option<&Schema>,
    last: &Map<String, Value>,
    patch: &mut Map<String, Value>,
) {
    for (key, before) in last {
        let field = schema.and_then(|schema| schema.field(key));
        match (before, patch.get_mut(key)) {
            (_, None) => {
                patch.insert(key.clone(), Value::Null);
            }
            (Value::Object(before), Some(Value::Object(now))) => {
                remove_fields(field.map(Schema::resolved), before, now);
            }
            (Value::Array(before), Some(Value::Array(now))) => {
                if let Some(field) = field {
                    remove_elements(field, before, now);
                }
            }
            _ => {}
        }
    }
}

/// Elements of a list that is merged by a key. Other lists are replaced whole.
fn remove_elements(field: &Schema, last: &[Value], now: &mut Vec<Value>) {
    let key = field.merge_key.as_str();
    if key.is_empty() || !field.patch_strategies().any(|strategy| strategy == "merge") {
        return;
    }
    let element = field.items.as_deref().map(Schema::resolved);
    for before in last {
        let Some(value) = before.get(key) else {
            continue;
        };
        let kept = now.iter_mut().find(|entry| entry.get(key) == Some(value));
        match (before, kept) {
            (Value::Object(before), Some(Value::Object(kept))) => {
                remove_fields(element, before, kept);
            }
            (_, None) => now.push(json!({key: value, "$patch": "delete"})),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: (&str, &str), last: &Value, wanted: &Value, expected: &Value) {
        let head = json!({"apiVersion": kind.0, "kind": kind.1});
        assert_eq!(Merge::for_kind(&head).patch(last, wanted), *expected);
    }

    #[test]
    fn fields_that_are_no_longer_said_are_removed() {
        check(
            ("example.org/v1", "Thing"),
            &json!({"spec": {"a": 1, "b": {"c": 1}}, "list": [1, 2]}),
            &json!({"spec": {"b": {}}, "list": [1]}),
            &json!({"spec": {"a": null, "b": {"c": null}}, "list": [1]}),
        );
    }

    #[test]
    fn elements_of_keyed_lists_are_removed_by_their_key() {
        check(
            ("v1", "Pod"),
            &json!({"spec": {"containers": [{"name": "app", "tty": true}, {"name": "ship"}]}}),
            &json!({"spec": {"containers": [{"name": "app"}]}}),
            &json!({"spec": {"containers": [
                {"name": "app", "tty": null}, {"name": "ship", "$patch": "delete"}]}}),
        );
    }

    #[test]
    fn nothing_is_removed_when_nothing_is_remembered() {
        let wanted = json!({"spec": {"replicas": 3}});
        check(("apps/v1", "Deployment"), &Value::Null, &wanted, &wanted);
    }
}
