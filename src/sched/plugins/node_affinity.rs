//! `NodeAffinity`: node selectors, required node affinity and weighted preferences.

use std::collections::BTreeSet;

use crate::k8s::Name;
use crate::sched::node_info::NodeInfo;
use crate::sched::selector::NodeTerm;
use crate::sched::spec::PodSpec;
use crate::sched::verdict::{Plugin, Refusal};

pub const REASON: &str = "node(s) didn't match Pod's node affinity/selector";
pub const REASON_CONFLICT: &str = "pod affinity terms conflict";

/// The only nodes that can match, when every alternative names nodes.
pub fn pre_filter(spec: &PodSpec) -> Result<Option<BTreeSet<Name>>, Refusal> {
    let Some(terms) = &spec.node_terms else {
        return Ok(None);
    };
    if terms.is_empty() {
        return Ok(None);
    }
    let mut names = BTreeSet::new();
    for term in terms {
        match term.node_names() {
            None => return Ok(None),
            Some(named) => names.extend(named.into_iter().cloned()),
        }
    }
    if names.is_empty() {
        return Err(Refusal::unresolvable(Plugin::NodeAffinity, REASON_CONFLICT));
    }
    Ok(Some(names))
}

pub fn filter(spec: &PodSpec, node: &NodeInfo) -> Option<Refusal> {
    (!matches(spec, node)).then(|| Refusal::unresolvable(Plugin::NodeAffinity, REASON))
}

/// Node selector and any required term.
pub fn matches(spec: &PodSpec, node: &NodeInfo) -> bool {
    spec.node_selector.matches(&node.labels)
        && spec
            .node_terms
            .as_ref()
            .is_none_or(|terms| any_matches(terms, node))
}

fn any_matches(terms: &[NodeTerm], node: &NodeInfo) -> bool {
    terms
        .iter()
        .any(|term| term.matches(&node.name, &node.labels))
}

/// The sum of the weights of preferred terms that match; `None` without preferred terms.
pub fn score(spec: &PodSpec, node: &NodeInfo) -> i64 {
    spec.preferred_nodes
        .iter()
        .filter(|(_, term)| term.matches(&node.name, &node.labels))
        .map(|(weight, _)| weight)
        .sum()
}
