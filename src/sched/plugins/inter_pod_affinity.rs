//! `InterPodAffinity`: next to these pods, away from those, in both directions.
//!
//! This is the straightforward computation over all nodes, once a cycle; [`crate::sched::fast`] keeps
//! the same numbers incrementally.

use rustc_hash::FxHashMap;

use super::pod_topology_spread::Memo;
use crate::k8s::Name;
use crate::k8s::object::Labels;
use crate::sched::configuration::Profile;
use crate::sched::framework::Subject;
use crate::sched::node_info::{NodeInfo, PodEntry};
use crate::sched::snapshot::Snapshot;
use crate::sched::spec::PodTerm;
use crate::sched::surroundings::Surroundings;
use crate::sched::template::Template;
use crate::sched::verdict::{Plugin, Refusal};

pub const REASON_AFFINITY: &str = "node(s) didn't match pod affinity rules";
pub const REASON_ANTI_AFFINITY: &str = "node(s) didn't match pod anti-affinity rules";
pub const REASON_EXISTING: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

/// Topology key and value to how many terms touched it.
type Pairs = FxHashMap<Name, FxHashMap<Name, i64>>;

/// A term of the incoming pod, its namespaces resolved.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OwnTerm {
    pub term: PodTerm,
    /// `None`: pods of every namespace.
    namespaces: Option<Box<[Name]>>,
}

impl OwnTerm {
    /// Quirk: upstream adds the namespaces that the selector matches to the term but keeps the
    /// selector, and matches it against no labels later. A selector that accepts no labels therefore
    /// reaches pods of every namespace.
    pub fn of(term: &PodTerm, owner: &Template, surroundings: &Surroundings) -> Self {
        let namespaces = match &term.namespace_selector {
            Some(selector) if selector.matches_unlabelled() => None,
            Some(selector) => {
                let selected = surroundings
                    .namespaces
                    .iter()
                    .filter(|(_, labels)| selector.matches(labels))
                    .map(|(name, _)| name.clone());
                Some(term.namespaces.iter().cloned().chain(selected).collect())
            }
            None if term.namespaces.is_empty() => Some(Box::from([owner.namespace.clone()])),
            None => Some(term.namespaces.clone()),
        };
        Self {
            term: term.clone(),
            namespaces,
        }
    }

    pub fn matches(&self, other: &Template) -> bool {
        self.namespaces
            .as_ref()
            .is_none_or(|namespaces| namespaces.contains(&other.namespace))
            && selects(&self.term, other)
    }
}

fn selects(term: &PodTerm, other: &Template) -> bool {
    term.selector
        .as_ref()
        .is_some_and(|selector| selector.matches(&other.labels))
}

/// Whether an existing pod's term is about the incoming pod.
pub fn existing_term_matches(
    term: &PodTerm,
    owner: &Template,
    incoming: &Template,
    incoming_namespace: &Labels,
) -> bool {
    let by_name = if term.namespaces.is_empty() && term.namespace_selector.is_none() {
        owner.namespace == incoming.namespace
    } else {
        term.namespaces.contains(&incoming.namespace)
    };
    let by_selector = || {
        term.namespace_selector
            .as_ref()
            .is_some_and(|selector| selector.matches(incoming_namespace))
    };
    (by_name || by_selector()) && selects(term, incoming)
}

pub fn own_terms(terms: &[PodTerm], owner: &Template, surroundings: &Surroundings) -> Vec<OwnTerm> {
    terms
        .iter()
        .map(|term| OwnTerm::of(term, owner, surroundings))
        .collect()
}

/// What the filter needs of all other pods.
#[derive(Clone, Debug, Default)]
pub struct PodAffinity {
    affinity: Vec<OwnTerm>,
    anti_affinity: Vec<OwnTerm>,
    namespace_labels: Labels,
    affinity_counts: Pairs,
    anti_affinity_counts: Pairs,
    existing_counts: Pairs,
}

/// `None`: neither this pod nor any other has required terms that bear on it.
pub fn pre_filter(snapshot: &Snapshot, subject: &Subject) -> Option<PodAffinity> {
    let template = &subject.template;
    let surroundings = snapshot.surroundings();
    let mut state = PodAffinity {
        affinity: own_terms(&template.spec.affinity, template, surroundings),
        anti_affinity: own_terms(&template.spec.anti_affinity, template, surroundings),
        namespace_labels: surroundings.namespace_labels(&template.namespace),
        ..PodAffinity::default()
    };
    let has_own = !state.affinity.is_empty() || !state.anti_affinity.is_empty();
    let mut memo = Memo::default();
    for node in snapshot.nodes() {
        if !has_own && node.pods_with_affinity == 0 {
            continue;
        }
        for entry in &node.pods {
            let bears = memo.get(entry, |other| state.bears_on(template, other));
            if bears {
                state.shift(subject, entry, node, 1);
            }
        }
    }
    (has_own || !state.existing_counts.is_empty()).then_some(state)
}

impl PodAffinity {
    /// Whether pods of a template touch any count.
    fn bears_on(&self, template: &Template, other: &Template) -> bool {
        self.matches_all_own(other)
            || self.anti_affinity.iter().any(|term| term.matches(other))
            || other
                .spec
                .anti_affinity
                .iter()
                .any(|term| existing_term_matches(term, other, template, &self.namespace_labels))
    }

    fn matches_all_own(&self, other: &Template) -> bool {
        !self.affinity.is_empty() && self.affinity.iter().all(|term| term.matches(other))
    }

    /// A pod comes to (+1) or leaves (-1) a node.
    pub fn shift(&mut self, subject: &Subject, entry: &PodEntry, node: &NodeInfo, delta: i64) {
        let other = &entry.template;
        for term in &other.spec.anti_affinity {
            if existing_term_matches(term, other, &subject.template, &self.namespace_labels) {
                add(&mut self.existing_counts, &term.key, node, delta);
            }
        }
        if self.matches_all_own(other) {
            for own in &self.affinity {
                add(&mut self.affinity_counts, &own.term.key, node, delta);
            }
        }
        for own in &self.anti_affinity {
            if own.matches(other) {
                add(&mut self.anti_affinity_counts, &own.term.key, node, delta);
            }
        }
    }

    pub fn filter(&self, subject: &Subject, node: &NodeInfo) -> Option<Refusal> {
        if !self.satisfies_affinity(subject, node) {
            return Some(Refusal::unresolvable(
                Plugin::InterPodAffinity,
                REASON_AFFINITY,
            ));
        }
        let is_near = |own: &OwnTerm| touched(&self.anti_affinity_counts, &own.term.key, node);
        if self.anti_affinity.iter().any(is_near) {
            return Some(Refusal::resolvable(
                Plugin::InterPodAffinity,
                REASON_ANTI_AFFINITY,
            ));
        }
        let is_shunned = self
            .existing_counts
            .keys()
            .any(|key| touched(&self.existing_counts, key, node));
        is_shunned.then(|| Refusal::resolvable(Plugin::InterPodAffinity, REASON_EXISTING))
    }

    fn satisfies_affinity(&self, subject: &Subject, node: &NodeInfo) -> bool {
        let mut all_near = true;
        for own in &self.affinity {
            if node.labels.get(&own.term.key).is_none() {
                return false;
            }
            all_near &= touched(&self.affinity_counts, &own.term.key, node);
        }
        // The first pod of a group that wants to be together may go anywhere.
        all_near || (self.affinity_counts.is_empty() && self.matches_all_own(&subject.template))
    }
}

fn add(pairs: &mut Pairs, key: &Name, node: &NodeInfo, delta: i64) {
    let Some(value) = node.labels.get(key) else {
        return;
    };
    let values = pairs.entry(key.clone()).or_default();
    let count = values.entry(value.clone()).or_default();
    *count += delta;
    if *count == 0 {
        values.remove(value);
        if values.is_empty() {
            pairs.remove(key);
        }
    }
}

fn touched(pairs: &Pairs, key: &Name, node: &NodeInfo) -> bool {
    let count = node
        .labels
        .get(key)
        .and_then(|value| pairs.get(key)?.get(value));
    count.is_some_and(|count| *count > 0)
}

/// Sums of weights by topology key and value.
#[derive(Debug)]
pub struct PodPreferences(Pairs);

/// `None`: no term touched any place, the score is skipped.
pub fn pre_score(
    snapshot: &Snapshot,
    profile: &Profile,
    subject: &Subject,
) -> Option<PodPreferences> {
    let template = &subject.template;
    let surroundings = snapshot.surroundings();
    let own: Vec<(i64, OwnTerm)> = template
        .spec
        .preferred_pods
        .iter()
        .map(|(weight, term)| (*weight, OwnTerm::of(term, template, surroundings)))
        .collect();
    if own.is_empty() && profile.ignores_preferred_terms_of_existing_pods {
        return None;
    }
    let namespace_labels = surroundings.namespace_labels(&template.namespace);
    let mut effects: FxHashMap<u32, Vec<(Name, i64)>> = FxHashMap::default();
    let mut pairs = Pairs::default();
    for node in snapshot.nodes() {
        if own.is_empty() && node.pods_with_affinity == 0 {
            continue;
        }
        for entry in &node.pods {
            let effects = effects.entry(entry.id.0).or_insert_with(|| {
                preference_effects(profile, template, &own, &entry.template, &namespace_labels)
            });
            for (key, weight) in effects.iter() {
                if let Some(value) = node.labels.get(key) {
                    let values = pairs.entry(key.clone()).or_default();
                    *values.entry(value.clone()).or_default() += weight;
                }
            }
        }
    }
    (!pairs.is_empty()).then_some(PodPreferences(pairs))
}

/// What one pod of `other` adds at which topology keys for an incoming pod of `template`.
pub fn preference_effects(
    profile: &Profile,
    template: &Template,
    own: &[(i64, OwnTerm)],
    other: &Template,
    namespace_labels: &Labels,
) -> Vec<(Name, i64)> {
    let mut effects = Vec::new();
    // The argument spares only pods without preferences of their own, and then also hard affinity.
    if own.is_empty() && profile.ignores_preferred_terms_of_existing_pods {
        return effects;
    }
    for (weight, term) in own {
        if term.matches(other) {
            effects.push((term.term.key.clone(), *weight));
        }
    }
    let about_us = |term: &PodTerm| existing_term_matches(term, other, template, namespace_labels);
    if profile.hard_pod_affinity_weight > 0 {
        for term in other.spec.affinity.iter().filter(|term| about_us(term)) {
            effects.push((term.key.clone(), profile.hard_pod_affinity_weight));
        }
    }
    for (weight, term) in &other.spec.preferred_pods {
        if about_us(term) {
            effects.push((term.key.clone(), *weight));
        }
    }
    effects
}

impl PodPreferences {
    pub fn score(&self, node: &NodeInfo) -> i64 {
        let sum = |(key, values): (&Name, &FxHashMap<Name, i64>)| {
            let value = node.labels.get(key)?;
            values.get(value).copied()
        };
        #[expect(
            clippy::iter_over_hash_type,
            reason = "a sum does not depend on the order"
        )]
        let total = {
            let mut total = 0;
            for entry in &self.0 {
                total += sum(entry).unwrap_or(0);
            }
            total
        };
        total
    }
}

/// In exactly upstream's order of floating-point operations.
pub fn normalized(raw: i64, min: i64, max: i64) -> i64 {
    if max <= min {
        return 0;
    }
    let share = (raw - min) as f64 / (max - min) as f64;
    #[expect(clippy::cast_possible_truncation, reason = "0 to 100, truncated")]
    let score = (100.0 * share) as i64;
    score
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_truncated_between_the_extremes() {
        assert_eq!(normalized(-5, -5, 10), 0);
        assert_eq!(normalized(10, -5, 10), 100);
        assert_eq!(normalized(0, -5, 10), 33);
        assert_eq!(normalized(3, 3, 3), 0);
    }
}
