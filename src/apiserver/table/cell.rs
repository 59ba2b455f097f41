//! What cells of many kinds have in common.

use jiff::Timestamp;
use serde_json::Value;

use super::super::subresource::scale;
use super::super::tree;
use crate::k8s::Object;
use crate::k8s::selector::LabelSelector;
use crate::stdx::humanize;

pub(super) const NONE: &str = "<none>";
pub(super) const UNSET: &str = "<unset>";

/// One object, to be printed now.
pub(super) struct Row<'a> {
    pub object: &'a Object,
    pub tree: &'a Value,
    pub now: Timestamp,
}

impl Row<'_> {
    pub(super) fn name(&self) -> Value {
        self.object.name().into()
    }

    pub(super) fn age(&self) -> Value {
        humanize::age_of(self.object.created, self.now).into()
    }

    /// How long ago the time at a pointer was; `missing` where there is none.
    pub(super) fn since(&self, pointer: &str, missing: &str) -> Value {
        match self.time(pointer) {
            Some(time) => humanize::age(time, self.now).into(),
            None => missing.into(),
        }
    }

    pub(super) fn time(&self, pointer: &str) -> Option<Timestamp> {
        self.text(pointer).parse().ok()
    }

    pub(super) fn text(&self, pointer: &str) -> &str {
        tree::text(self.tree, pointer)
    }

    /// The text at a pointer, or `missing`.
    pub(super) fn text_or(&self, pointer: &str, missing: &str) -> Value {
        match self.text(pointer) {
            "" => missing.into(),
            text => text.into(),
        }
    }

    pub(super) fn number(&self, pointer: &str) -> i64 {
        self.tree
            .pointer(pointer)
            .and_then(Value::as_i64)
            .unwrap_or_default()
    }

    /// An int-or-string, or `missing`.
    pub(super) fn shown(&self, pointer: &str, missing: &str) -> Value {
        match self.tree.pointer(pointer) {
            Some(Value::String(text)) => text.clone().into(),
            Some(Value::Null) | None => missing.into(),
            Some(other) => other.to_string().into(),
        }
    }

    pub(super) fn entries(&self, pointer: &str) -> &[Value] {
        tree::entries(self.tree, pointer)
    }

    /// Names and images of the template's containers.
    pub(super) fn containers(&self, pointer: &str) -> (Value, Value) {
        let containers = self.entries(pointer);
        let field = |name: &str| {
            let values: Vec<&str> = containers
                .iter()
                .map(|container| {
                    container
                        .get(name)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                })
                .collect();
            Value::from(values.join(","))
        };
        (field("name"), field("image"))
    }

    /// A label selector as text.
    pub(super) fn selector(&self, pointer: &str) -> Value {
        let Some(selector) = self.tree.pointer(pointer) else {
            return NONE.into();
        };
        match serde_json::from_value::<LabelSelector>(selector.clone()) {
            Ok(selector) if selector.is_empty() => NONE.into(),
            Ok(selector) => scale::shown(&selector).into(),
            Err(_) => NONE.into(),
        }
    }

    /// A plain map of labels as text.
    pub(super) fn labels(&self, pointer: &str) -> Value {
        let Some(map) = self.tree.pointer(pointer).and_then(Value::as_object) else {
            return NONE.into();
        };
        if map.is_empty() {
            return NONE.into();
        }
        let terms: Vec<String> = map
            .iter()
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect();
        terms.join(",").into()
    }

    pub(super) fn count(&self, pointer: &str) -> usize {
        match self.tree.pointer(pointer) {
            Some(Value::Object(map)) => map.len(),
            Some(Value::Array(list)) => list.len(),
            _ => 0,
        }
    }
}

/// The texts of a field in a list of maps, joined.
pub(super) fn joined(entries: &[Value], field: &str) -> String {
    let values: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry.get(field).and_then(Value::as_str))
        .collect();
    values.join(",")
}

/// Empty text as `<none>`.
pub(super) fn or_none(text: String) -> Value {
    if text.is_empty() {
        NONE.into()
    } else {
        text.into()
    }
}
