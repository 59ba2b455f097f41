//! Node selectors: terms of label requirements, one of which must hold.
//!
//! Source: the reference page of `NodeSelector` (core/v1): a node is selected by any term, a term by
//! all of its requirements; an empty term selects nothing.

use serde::Deserialize;

use crate::k8s::{Name, Object};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodeSelector {
    node_selector_terms: Vec<Term>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Term {
    match_expressions: Vec<Requirement>,
    match_fields: Vec<Requirement>,
}

#[derive(Deserialize)]
struct Requirement {
    key: Name,
    operator: Name,
    #[serde(default)]
    values: Vec<Name>,
}

impl NodeSelector {
    pub fn matches(&self, node: &Object) -> bool {
        self.node_selector_terms
            .iter()
            .any(|term| term.matches(node))
    }
}

impl Term {
    /// An empty term matches nothing.
    fn matches(&self, node: &Object) -> bool {
        let is_empty = self.match_expressions.is_empty() && self.match_fields.is_empty();
        !is_empty
            && self
                .match_expressions
                .iter()
                .all(|requirement| requirement.matches(node.labels.get(&requirement.key)))
            && self.match_fields.iter().all(|requirement| {
                requirement.key == "metadata.name" && requirement.matches(Some(&node.key.name))
            })
    }
}

impl Requirement {
    fn matches(&self, value: Option<&Name>) -> bool {
        let compare = |is_past: fn(i64, i64) -> bool| {
            let number = value.and_then(|value| value.parse::<i64>().ok());
            let bound = self.values.first().and_then(|bound| bound.parse().ok());
            number
                .zip(bound)
                .is_some_and(|(number, bound)| is_past(number, bound))
        };
        match self.operator.as_str() {
            "In" => value.is_some_and(|value| self.values.contains(value)),
            "NotIn" => value.is_none_or(|value| !self.values.contains(value)),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "Gt" => compare(|number, bound| number > bound),
            "Lt" => compare(|number, bound| number < bound),
            _ => false,
        }
    }
}
