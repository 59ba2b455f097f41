//! Label selectors and node selectors, compiled from their JSON form.
//!
//! Source: `LabelSelector` (meta/v1) and `NodeSelector` (core/v1). Matching is by value only; what a
//! *missing* selector means differs from place to place and is the caller's to know.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::k8s::Name;
use crate::k8s::object::Labels;

/// A conjunction of requirements; without any it matches everything.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Selector(Box<[Requirement]>);

/// One condition on one label.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Requirement {
    pub key: Name,
    pub condition: Condition,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Condition {
    In(Box<[Name]>),
    NotIn(Box<[Name]>),
    Exists,
    DoesNotExist,
    /// The label's value, read as an integer, is greater than this.
    Gt(Option<i64>),
    Lt(Option<i64>),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SelectorWire {
    match_labels: Option<BTreeMap<Name, Name>>,
    match_expressions: Option<Vec<ExpressionWire>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ExpressionWire {
    key: Name,
    operator: Name,
    values: Option<Vec<Name>>,
}

impl Selector {
    pub(super) fn of(wire: &SelectorWire) -> Self {
        let equal = Self::equal_to(wire.match_labels.iter().flatten());
        let expressions = wire.match_expressions.iter().flatten();
        equal.and(&Self(expressions.map(Requirement::of).collect()))
    }

    /// Every entry must be present with exactly this value.
    pub fn equal_to<'a>(labels: impl IntoIterator<Item = (&'a Name, &'a Name)>) -> Self {
        Self(
            labels
                .into_iter()
                .map(|(key, value)| Requirement {
                    key: key.clone(),
                    condition: Condition::In(Box::new([value.clone()])),
                })
                .collect(),
        )
    }

    /// Both must match.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().chain(&other.0).cloned().collect())
    }

    /// The labels that it reads.
    pub fn keys(&self) -> impl Iterator<Item = &Name> {
        self.0.iter().map(|requirement| &requirement.key)
    }

    /// Whether it has no requirement, and so matches everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.matches(labels))
    }

    /// Whether it accepts an object without any labels.
    pub fn matches_unlabelled(&self) -> bool {
        self.0.iter().all(|requirement| {
            matches!(
                requirement.condition,
                Condition::NotIn(_) | Condition::DoesNotExist
            )
        })
    }
}

impl Requirement {
    pub(super) fn of(wire: &ExpressionWire) -> Self {
        let values = wire.values.clone().unwrap_or_default();
        let bound = || match values.as_slice() {
            [value] => value.parse().ok(),
            _ => None,
        };
        let condition = match wire.operator.as_str() {
            "In" => Condition::In(values.into()),
            "NotIn" => Condition::NotIn(values.into()),
            "Exists" => Condition::Exists,
            "DoesNotExist" => Condition::DoesNotExist,
            "Gt" => Condition::Gt(bound()),
            "Lt" => Condition::Lt(bound()),
            // An unknown operator matches nothing; the API server refuses it on entry.
            _ => Condition::In(Box::new([])),
        };
        Self {
            key: wire.key.clone(),
            condition,
        }
    }

    fn matches(&self, labels: &Labels) -> bool {
        self.accepts(labels.get(&self.key))
    }

    pub(super) fn accepts(&self, value: Option<&Name>) -> bool {
        let number = || value.and_then(|text| text.parse::<i64>().ok());
        match &self.condition {
            Condition::In(values) => value.is_some_and(|value| values.contains(value)),
            Condition::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Condition::Exists => value.is_some(),
            Condition::DoesNotExist => value.is_none(),
            Condition::Gt(bound) => number().zip(*bound).is_some_and(|(x, y)| x > y),
            Condition::Lt(bound) => number().zip(*bound).is_some_and(|(x, y)| x < y),
        }
    }
}

/// One alternative of a node selector: all expressions on labels and all on fields.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct NodeTerm {
    expressions: Selector,
    fields: Box<[Requirement]>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodeTermWire {
    match_expressions: Option<Vec<ExpressionWire>>,
    match_fields: Option<Vec<ExpressionWire>>,
}

impl NodeTerm {
    pub(super) fn of(wire: &NodeTermWire) -> Self {
        let expressions = wire.match_expressions.iter().flatten();
        let fields = wire.match_fields.iter().flatten();
        Self {
            expressions: Selector(expressions.map(Requirement::of).collect()),
            fields: fields.map(Requirement::of).collect(),
        }
    }

    /// A term with neither expressions nor fields matches no node.
    pub fn is_empty(&self) -> bool {
        self.expressions.is_empty() && self.fields.is_empty()
    }

    pub fn matches(&self, name: &Name, labels: &Labels) -> bool {
        !self.is_empty()
            && self.expressions.matches(labels)
            && self.fields.iter().all(|field| {
                // The API knows one field and, for it, one value at a time.
                field.key == "metadata.name"
                    && match &field.condition {
                        Condition::In(values) | Condition::NotIn(values) => values.len() == 1,
                        _ => false,
                    }
                    && field.accepts(Some(name))
            })
    }

    /// The node names that `metadata.name In` fields leave open; `None` without such a field.
    pub fn node_names(&self) -> Option<Vec<&Name>> {
        let mut names: Option<Vec<&Name>> = None;
        for field in &self.fields {
            if let Condition::In(values) = &field.condition
                && field.key == "metadata.name"
            {
                names = Some(match names {
                    None => values.iter().collect(),
                    Some(earlier) => earlier
                        .into_iter()
                        .filter(|name| values.contains(name))
                        .collect(),
                });
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(selector: serde_json::Value, labels: &[(&str, &str)], expected: bool) {
        let selector = Selector::of(&serde_json::from_value(selector).unwrap());
        let labels = labels
            .iter()
            .map(|(key, value)| (Name::new(key), Name::new(value)))
            .collect();
        assert_eq!(selector.matches(&labels), expected);
    }

    #[test]
    fn operators_treat_missing_keys_as_the_api_says() {
        let expression = |operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": "a", "operator": operator, "values": values}]});
        check(json!({}), &[], true);
        check(json!({"matchLabels": {"a": "1"}}), &[("a", "1")], true);
        check(json!({"matchLabels": {"a": "1"}}), &[("a", "2")], false);
        check(expression("In", &["1", "2"]), &[("a", "2")], true);
        check(expression("In", &["1"]), &[], false);
        check(expression("NotIn", &["1"]), &[], true);
        check(expression("DoesNotExist", &[]), &[], true);
        check(expression("Exists", &[]), &[("a", "")], true);
        check(expression("Gt", &["3"]), &[("a", "4")], true);
        check(expression("Gt", &["3"]), &[("a", "x")], false);
        check(expression("Lt", &["3"]), &[("a", "-1")], true);
        check(expression("Gt", &["x"]), &[("a", "4")], false);
    }

    #[test]
    fn an_empty_node_term_matches_nothing() {
        assert!(!NodeTerm::default().matches(&"n1".into(), &Labels::default()));
    }
}
