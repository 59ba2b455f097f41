//! `PodTopologySpread`: keep matching pods evenly spread over the values of a node label.
//!
//! This is the straightforward computation over all nodes, once a cycle; [`crate::sched::fast`] keeps
//! the same numbers incrementally.

use rustc_hash::FxHashMap;

use super::{node_affinity, taint_toleration};
use crate::k8s::Name;
use crate::sched::configuration::{DefaultSpread, Profile};
use crate::sched::framework::Subject;
use crate::sched::node_info::{NodeInfo, PodEntry};
use crate::sched::selector::Selector;
use crate::sched::snapshot::Snapshot;
use crate::sched::spec::{PodSpec, SpreadConstraint};
use crate::sched::surroundings::{ControllerSelector, Surroundings};
use crate::sched::template::{ControllerKind, Template};
use crate::sched::verdict::{Plugin, Refusal};

pub const REASON: &str = "node(s) didn't match pod topology spread constraints";
pub const REASON_MISSING_LABEL: &str =
    "node(s) didn't match pod topology spread constraints (missing required label)";

pub const HOSTNAME: &str = "kubernetes.io/hostname";
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// A constraint made ready for one pod.
#[derive(Clone, PartialEq, Debug)]
pub struct Constraint {
    pub key: Name,
    pub max_skew: i64,
    pub min_domains: i64,
    /// `None` matches no pod.
    pub selector: Option<Selector>,
    pub honors_affinity: bool,
    pub honors_taints: bool,
}

impl Constraint {
    fn of(constraint: &SpreadConstraint, template: &Template) -> Self {
        Self {
            key: constraint.key.clone(),
            max_skew: constraint.max_skew,
            min_domains: constraint.min_domains,
            selector: constraint.selector_for(&template.labels),
            honors_affinity: constraint.honors_affinity,
            honors_taints: constraint.honors_taints,
        }
    }

    pub fn selects(&self, template: &Template) -> bool {
        self.selector
            .as_ref()
            .is_some_and(|selector| selector.matches(&template.labels))
    }

    /// Whether pods of `other` count for a pod of `template` when nodes are counted. Quirk: an empty
    /// selector counts nothing, though it selects everything.
    pub fn counts(&self, template: &Template, other: &Template) -> bool {
        self.selector
            .as_ref()
            .is_some_and(|selector| !selector.is_empty())
            && template.namespace == other.namespace
            && self.selects(other)
    }

    /// Node inclusion policies.
    pub fn includes(&self, spec: &PodSpec, node: &NodeInfo) -> bool {
        (!self.honors_affinity || node_affinity::matches(spec, node))
            && (!self.honors_taints
                || taint_toleration::untolerated(&spec.tolerations, &node.taints)
                    .next()
                    .is_none())
    }
}

/// The pod's `DoNotSchedule` constraints, or the profile's for pods that state none.
pub fn hard_constraints(
    template: &Template,
    profile: &Profile,
    surroundings: &Surroundings,
) -> Vec<Constraint> {
    constraints(template, profile, surroundings, true).constraints
}

/// The pod's wishes.
pub fn soft_constraints(
    template: &Template,
    profile: &Profile,
    surroundings: &Surroundings,
) -> SoftConstraints {
    constraints(template, profile, surroundings, false)
}

/// `ScheduleAnyway` constraints and whether candidates without their keys are left out.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SoftConstraints {
    pub constraints: Vec<Constraint>,
    pub requires_all_keys: bool,
}

fn constraints(
    template: &Template,
    profile: &Profile,
    surroundings: &Surroundings,
    hard: bool,
) -> SoftConstraints {
    if template.spec.states_spread {
        let own = template.spec.spread.iter();
        return SoftConstraints {
            constraints: own
                .filter(|constraint| constraint.hard == hard)
                .map(|constraint| Constraint::of(constraint, template))
                .collect(),
            requires_all_keys: true,
        };
    }
    let (defaults, requires_all_keys) = match &profile.spread {
        DefaultSpread::System if hard => return SoftConstraints::default(),
        DefaultSpread::System => (system_defaults(), false),
        DefaultSpread::List(list) => (list.clone(), true),
    };
    let defaults: Vec<_> = defaults
        .into_iter()
        .filter(|constraint| constraint.hard == hard)
        .collect();
    if defaults.is_empty() {
        return SoftConstraints::default();
    }
    let Some(selector) = default_selector(template, surroundings) else {
        return SoftConstraints::default();
    };
    SoftConstraints {
        constraints: defaults
            .iter()
            .map(|constraint| Constraint {
                selector: Some(selector.clone()),
                ..Constraint::of(constraint, template)
            })
            .collect(),
        requires_all_keys,
    }
}

fn system_defaults() -> Vec<SpreadConstraint> {
    [(HOSTNAME, 3), (ZONE, 5)]
        .map(|(key, max_skew)| SpreadConstraint {
            max_skew,
            key: Name::new_static(key),
            hard: false,
            selector: None,
            min_domains: 1,
            honors_affinity: true,
            honors_taints: false,
            match_label_keys: Box::new([]),
        })
        .to_vec()
}

/// What the pod's services and controller select; `None` when that is nothing in particular.
pub fn default_selector(template: &Template, surroundings: &Surroundings) -> Option<Selector> {
    let mut labels: std::collections::BTreeMap<Name, Name> = std::collections::BTreeMap::new();
    for service in surroundings.services_in(&template.namespace) {
        let selects = service
            .iter()
            .all(|(key, value)| template.labels.get(key) == Some(value));
        if selects {
            labels.extend(
                service
                    .iter()
                    .map(|(key, value)| (key.clone(), value.clone())),
            );
        }
    }
    let controller = controller_selector(template, surroundings);
    if let Some(ControllerSelector::Equal(own)) = controller {
        labels.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    let mut selector = Selector::equal_to(&labels);
    if let Some(ControllerSelector::Selector(own)) = controller {
        selector = selector.and(own);
    }
    (!selector.is_empty()).then_some(selector)
}

fn controller_selector<'a>(
    template: &Template,
    surroundings: &'a Surroundings,
) -> Option<&'a ControllerSelector> {
    let (kind, name): &(ControllerKind, Name) = template.controller.as_ref()?;
    surroundings
        .controllers
        .get(&(*kind, template.namespace.clone(), name.clone()))
        .map(|selector| &**selector)
}

/// Counts for the `DoNotSchedule` constraints.
#[derive(Clone, Debug)]
pub struct HardSpread {
    constraints: Vec<HardConstraint>,
}

#[derive(Clone, Debug)]
struct HardConstraint {
    constraint: Constraint,
    selects_itself: bool,
    counts: FxHashMap<Name, i64>,
}

/// Remembers for each template whether something holds.
#[derive(Default, Debug)]
pub(crate) struct Memo(Vec<Option<bool>>);

impl Memo {
    pub fn get(&mut self, entry: &PodEntry, holds: impl FnOnce(&Template) -> bool) -> bool {
        let index = entry.id.index();
        if index >= self.0.len() {
            self.0.resize(index + 1, None);
        }
        match self.0.get_mut(index) {
            Some(Some(known)) => *known,
            Some(place) => *place.insert(holds(&entry.template)),
            None => holds(&entry.template),
        }
    }
}

/// Live pods of a node that count for the constraint.
fn count(constraint: &Constraint, template: &Template, node: &NodeInfo, memo: &mut Memo) -> i64 {
    let matching = node.pods.iter().filter(|entry| {
        !entry.is_terminating() && memo.get(entry, |other| constraint.counts(template, other))
    });
    i64::try_from(matching.count()).unwrap_or(i64::MAX)
}

fn has_all_keys<'a>(node: &NodeInfo, mut keys: impl Iterator<Item = &'a Name>) -> bool {
    keys.all(|key| node.labels.get(key).is_some())
}

/// `None`: no hard constraint, the filter is skipped.
pub fn pre_filter(snapshot: &Snapshot, profile: &Profile, subject: &Subject) -> Option<HardSpread> {
    let template = &subject.template;
    let constraints = hard_constraints(template, profile, snapshot.surroundings());
    if constraints.is_empty() {
        return None;
    }
    let mut memos: Vec<Memo> = constraints.iter().map(|_| Memo::default()).collect();
    let mut constraints: Vec<HardConstraint> = constraints
        .into_iter()
        .map(|constraint| HardConstraint {
            selects_itself: constraint.selects(template),
            constraint,
            counts: FxHashMap::default(),
        })
        .collect();
    let keys: Vec<Name> = constraints
        .iter()
        .map(|entry| entry.constraint.key.clone())
        .collect();
    for node in snapshot.nodes() {
        if !has_all_keys(node, keys.iter()) {
            continue;
        }
        for (entry, memo) in constraints.iter_mut().zip(&mut memos) {
            let constraint = &entry.constraint;
            if !constraint.includes(&template.spec, node) {
                continue;
            }
            if let Some(value) = node.labels.get(&constraint.key) {
                *entry.counts.entry(value.clone()).or_default() +=
                    count(constraint, template, node, memo);
            }
        }
    }
    Some(HardSpread { constraints })
}

impl HardSpread {
    /// A pod comes to (+1) or leaves (-1) a node in thought.
    ///
    /// Quirk: upstream looks neither at the pod's deletion time nor at empty selectors here.
    pub fn shift(&mut self, subject: &Subject, entry: &PodEntry, node: &NodeInfo, delta: i64) {
        let template = &subject.template;
        if entry.template.namespace != template.namespace
            || !has_all_keys(
                node,
                self.constraints.iter().map(|entry| &entry.constraint.key),
            )
        {
            return;
        }
        for hard in &mut self.constraints {
            let constraint = &hard.constraint;
            if !constraint.selects(&entry.template) || !constraint.includes(&template.spec, node) {
                continue;
            }
            if let Some(value) = node.labels.get(&constraint.key) {
                *hard.counts.entry(value.clone()).or_default() += delta;
            }
        }
    }

    pub fn filter(&self, node: &NodeInfo) -> Option<Refusal> {
        for hard in &self.constraints {
            let constraint = &hard.constraint;
            let Some(value) = node.labels.get(&constraint.key) else {
                return Some(Refusal::unresolvable(
                    Plugin::PodTopologySpread,
                    REASON_MISSING_LABEL,
                ));
            };
            let domains = i64::try_from(hard.counts.len()).unwrap_or(i64::MAX);
            let min = if domains < constraint.min_domains {
                0
            } else {
                hard.counts.values().copied().min().unwrap_or(0)
            };
            let there = hard.counts.get(value).copied().unwrap_or(0);
            if there + i64::from(hard.selects_itself) - min > constraint.max_skew {
                return Some(Refusal::resolvable(Plugin::PodTopologySpread, REASON));
            }
        }
        None
    }
}

/// Counts and weights for the `ScheduleAnyway` constraints.
#[derive(Debug)]
pub struct SoftSpread {
    constraints: Vec<SoftConstraint>,
    requires_all_keys: bool,
    memos: std::cell::RefCell<Vec<Memo>>,
}

#[derive(Debug)]
struct SoftConstraint {
    constraint: Constraint,
    weight: f64,
    /// By value, for values that candidates have; unused for hostnames.
    counts: FxHashMap<Name, i64>,
}

/// `None`: no wishes, the score is skipped.
pub fn pre_score(
    snapshot: &Snapshot,
    profile: &Profile,
    subject: &Subject,
    candidates: &[&NodeInfo],
) -> Option<SoftSpread> {
    let template = &subject.template;
    let soft = soft_constraints(template, profile, snapshot.surroundings());
    if soft.constraints.is_empty() {
        return None;
    }
    let keys: Vec<Name> = soft
        .constraints
        .iter()
        .map(|constraint| constraint.key.clone())
        .collect();
    let is_ignored = |node: &NodeInfo| soft.requires_all_keys && !has_all_keys(node, keys.iter());
    let counted: Vec<&&NodeInfo> = candidates.iter().filter(|node| !is_ignored(node)).collect();
    let mut memos: Vec<Memo> = keys.iter().map(|_| Memo::default()).collect();
    let mut constraints: Vec<SoftConstraint> = Vec::with_capacity(keys.len());
    for constraint in soft.constraints {
        let is_hostname = constraint.key == HOSTNAME;
        let mut counts = FxHashMap::default();
        if !is_hostname {
            for node in &counted {
                // Quirk: with the system's defaults, candidates without the label make a domain of
                // the empty value.
                let value = node.labels.get(&constraint.key).cloned();
                counts.insert(value.unwrap_or_default(), 0);
            }
        }
        let size = if is_hostname {
            counted.len()
        } else {
            counts.len()
        };
        constraints.push(SoftConstraint {
            constraint,
            weight: domain_weight(size),
            counts,
        });
    }
    for node in snapshot.nodes().filter(|node| !is_ignored(node)) {
        for (entry, memo) in constraints.iter_mut().zip(&mut memos) {
            if entry.constraint.key == HOSTNAME || !entry.constraint.includes(&template.spec, node)
            {
                continue;
            }
            let value = node.labels.get(&entry.constraint.key).cloned();
            if let Some(total) = entry.counts.get_mut(&value.unwrap_or_default()) {
                *total += count(&entry.constraint, template, node, memo);
            }
        }
    }
    Some(SoftSpread {
        constraints,
        requires_all_keys: soft.requires_all_keys,
        memos: std::cell::RefCell::new(memos),
    })
}

/// How much a constraint weighs with this many domains.
pub fn domain_weight(size: usize) -> f64 {
    (size as f64 + 2.0).ln()
}

/// One constraint's part of the raw score.
pub fn part(count: i64, max_skew: i64, weight: f64) -> f64 {
    count as f64 * weight + (max_skew - 1) as f64
}

impl SoftSpread {
    /// `None`: the candidate lacks a key and is left out.
    pub fn score(&self, subject: &Subject, node: &NodeInfo) -> Option<i64> {
        let keys = self.constraints.iter().map(|entry| &entry.constraint.key);
        if self.requires_all_keys && !has_all_keys(node, keys) {
            return None;
        }
        let mut memos = self.memos.borrow_mut();
        let mut total = 0.0;
        for (entry, memo) in self.constraints.iter().zip(memos.iter_mut()) {
            let constraint = &entry.constraint;
            let Some(value) = node.labels.get(&constraint.key) else {
                continue;
            };
            let there = if constraint.key == HOSTNAME {
                count(constraint, &subject.template, node, memo)
            } else {
                entry.counts.get(value).copied().unwrap_or(0)
            };
            total += part(there, constraint.max_skew, entry.weight);
        }
        Some(super::node_resources_fit::round(total))
    }
}

/// Few matching pods score high; candidates that were left out score nothing.
pub fn normalize(raw: &[Option<i64>]) -> Vec<i64> {
    let known = || raw.iter().flatten().copied();
    let min = known().min().unwrap_or(0);
    let max = known().max().unwrap_or(0);
    raw.iter()
        .map(|score| match score {
            None => 0,
            Some(score) => normalized(*score, min, max),
        })
        .collect()
}

pub fn normalized(raw: i64, min: i64, max: i64) -> i64 {
    if max == 0 {
        100
    } else {
        100 * (max + min - raw) / max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_emptiest_domain_scores_highest() {
        assert_eq!(normalize(&[Some(2), Some(4), None]), [100, 50, 0]);
        assert_eq!(normalize(&[Some(0), Some(0)]), [100, 100]);
        assert_eq!(normalize(&[None, None]), [0, 0]);
    }
}
