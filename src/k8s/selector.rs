//! Label selectors as they stand in objects: `matchLabels` and `matchExpressions`.
//!
//! Source: the reference page of `LabelSelector` (meta/v1): all requirements must hold; an absent
//! selector matches nothing, an empty one everything. The text form of list requests
//! (`app=web,tier!=db`) is the API server's.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::key::Name;
use super::object::Labels;

/// An empty selector matches every object; use `Option` for an absent one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    pub match_labels: BTreeMap<Name, Name>,
    pub match_expressions: Vec<LabelRequirement>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
pub struct LabelRequirement {
    pub key: Name,
    pub operator: LabelOperator,
    #[serde(default)]
    pub values: Vec<Name>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
pub enum LabelOperator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl LabelSelector {
    pub fn matches(&self, labels: &Labels) -> bool {
        self.match_labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
            && self
                .match_expressions
                .iter()
                .all(|requirement| requirement.matches(labels))
    }

    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// The label keys that decide.
    pub fn keys(&self) -> impl Iterator<Item = &Name> {
        let expressions = self.match_expressions.iter().map(|entry| &entry.key);
        self.match_labels.keys().chain(expressions)
    }
}

impl LabelRequirement {
    /// `NotIn` holds for objects without the key too.
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            LabelOperator::In => value.is_some_and(|value| self.values.contains(value)),
            LabelOperator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            LabelOperator::Exists => value.is_some(),
            LabelOperator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(selector: serde_json::Value, expected: bool) {
        let selector: LabelSelector = serde_json::from_value(selector).unwrap();
        let labels: Labels = [("app", "web"), ("tier", "front")]
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        assert_eq!(selector.matches(&labels), expected, "{selector:?}");
    }

    #[test]
    fn all_requirements_must_hold() {
        check(json!({}), true);
        check(json!({"matchLabels": {"app": "web"}}), true);
        check(
            json!({"matchLabels": {"app": "web", "tier": "back"}}),
            false,
        );
        let expression = |operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": "app", "operator": operator, "values": values}]});
        check(expression("In", &["web", "api"]), true);
        check(expression("In", &["api"]), false);
        check(expression("NotIn", &["web"]), false);
        check(expression("NotIn", &["api"]), true);
        check(expression("Exists", &[]), true);
        check(expression("DoesNotExist", &[]), false);
        check(
            json!({"matchExpressions": [{"key": "gone", "operator": "NotIn", "values": ["x"]}]}),
            true,
        );
    }
}
