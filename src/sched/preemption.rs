//! `DefaultPreemption`: which pods of lower priority would have to go, and on which node.

use std::cmp::Reverse;

use super::configuration::Profile;
use super::framework::{self, Prepared, Subject};
use super::node_info::PodEntry;
use super::plugins::node_resources_fit;
use super::snapshot::{NodeId, Snapshot};
use super::surroundings::Budget;
use super::verdict::{Code, Plugin, Reason, Refusal, summary};
use crate::k8s::Name;
use crate::k8s::resource_list::ResourceList;

pub const NEVER: &str = "not eligible due to preemptionPolicy=Never.";
pub const TERMINATING: &str = "not eligible due to a terminating pod on the nominated node.";
pub const NO_VICTIMS: &str = "No preemption victims found for incoming pod";
pub const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";
/// `DynamicResources`' post-filter runs first and always adds this.
pub const NO_CLAIMS: &str = "no new claims to deallocate";

/// What preemption came to.
#[derive(Clone, Debug, Default)]
pub struct Preemption {
    pub outcome: PreemptionOutcome,
    /// Why the pod may not preempt at all.
    pub ineligible: Option<&'static str>,
    /// Nodes that were refused for something that removing pods may mend.
    pub potential: Vec<NodeId>,
    pub candidates: Vec<Candidate>,
    /// Potential nodes where removing pods does not help.
    pub rejected: Vec<(NodeId, Refusal)>,
    /// All candidates that no criterion tells apart from the best.
    pub best: Vec<NodeId>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PreemptionOutcome {
    /// A node can be nominated.
    Success,
    /// With the post-filters' text.
    Unschedulable(String),
    /// A post-filter failed, with this text.
    Error(String),
    /// Not tried: the pod is schedulable or the profile does not preempt.
    #[default]
    NotTried,
}

impl PreemptionOutcome {
    pub fn message(&self) -> &str {
        match self {
            Self::Unschedulable(message) | Self::Error(message) => message,
            Self::Success | Self::NotTried => "",
        }
    }
}

/// A node where preemption works.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub node: NodeId,
    /// The most important first.
    pub victims: Vec<PodEntry>,
    /// How many victims' budgets are violated.
    pub violations: usize,
}

impl Preemption {
    pub fn candidate(&self, node: NodeId) -> Option<&Candidate> {
        self.candidates
            .iter()
            .find(|candidate| candidate.node == node)
    }
}

/// Runs the dry run on every node that may be helped. `refusals` has one entry a node.
pub fn preempt(
    snapshot: &Snapshot,
    profile: &Profile,
    subject: &Subject,
    prepared: &Prepared,
    refusals: &[Option<Refusal>],
) -> Preemption {
    let mut preemption = Preemption::default();
    let mut prepared = prepared.clone();
    let is_potential = |refusal: &Refusal| refusal.code == Code::Unschedulable;
    preemption.potential = snapshot
        .numbered_nodes()
        .zip(refusals)
        .filter(|(_, refusal)| refusal.as_ref().is_some_and(is_potential))
        .map(|((id, _), _)| id)
        .collect();
    if let Some(reason) = ineligible(snapshot, subject, refusals) {
        preemption.ineligible = Some(reason);
        preemption.outcome =
            PreemptionOutcome::Unschedulable(format!("{NO_CLAIMS}, preemption: {reason}"));
        return preemption;
    }
    for &id in &preemption.potential {
        match select_victims(snapshot, profile, subject, &mut prepared, id) {
            Ok((victims, violations)) => preemption.candidates.push(Candidate {
                node: id,
                victims,
                violations,
            }),
            Err(refusal) => preemption.rejected.push((id, refusal)),
        }
    }
    preemption.best = best(preemption.candidates.iter().collect())
        .into_iter()
        .map(|candidate| candidate.node)
        .collect();
    preemption.outcome = if preemption.best.is_empty() {
        let text = failure(snapshot.node_count(), &preemption.rejected);
        PreemptionOutcome::Unschedulable(text)
    } else {
        PreemptionOutcome::Success
    };
    preemption
}

/// The post-filters' text when no node can be helped.
pub fn failure(node_count: usize, rejected: &[(NodeId, Refusal)]) -> String {
    let not_helpful = Reason::from(NOT_HELPFUL);
    let others = node_count.saturating_sub(rejected.len());
    let reasons = rejected
        .iter()
        .flat_map(|(_, refusal)| &refusal.reasons)
        .chain(std::iter::repeat_n(&not_helpful, others));
    let fit = summary(node_count, reasons);
    format!("{NO_CLAIMS}, preemption: {fit}")
}

fn ineligible(
    snapshot: &Snapshot,
    subject: &Subject,
    refusals: &[Option<Refusal>],
) -> Option<&'static str> {
    if subject.template.spec.never_preempts {
        return Some(NEVER);
    }
    let id = snapshot.node_id(subject.nominated_node.as_ref()?)?;
    let mut all = snapshot.numbered_nodes().zip(refusals);
    let refusal = all.find(|((known, _), _)| *known == id)?.1.as_ref();
    if refusal.is_some_and(|refusal| refusal.code == Code::UnschedulableAndUnresolvable) {
        return None;
    }
    has_leaving_pod(snapshot, subject, id).then_some(TERMINATING)
}

/// Whether a victim of an earlier preemption is still leaving the node.
pub fn has_leaving_pod(snapshot: &Snapshot, subject: &Subject, node: NodeId) -> bool {
    let is_leaving = |entry: &PodEntry| {
        entry.priority() < subject.priority() && entry.is_terminating() && entry.preempted
    };
    snapshot
        .node(node)
        .is_some_and(|node| node.pods.iter().any(is_leaving))
}

/// The victims on one node in order of importance, and how many of them violate a budget. What is
/// prepared is changed on the way and restored at the end.
pub fn select_victims(
    snapshot: &Snapshot,
    profile: &Profile,
    subject: &Subject,
    prepared: &mut Prepared,
    id: NodeId,
) -> Result<(Vec<PodEntry>, usize), Refusal> {
    let none = || Refusal::unresolvable(Plugin::Framework, NO_VICTIMS);
    let node = snapshot.node(id).ok_or_else(none)?;
    let is_lower = |entry: &&PodEntry| entry.priority() < subject.priority();
    let mut lower: Vec<PodEntry> = node.pods.iter().filter(is_lower).cloned().collect();
    if lower.is_empty() {
        return Err(none());
    }
    let mut emptier = node.clone();
    for entry in &lower {
        emptier.remove(entry.key());
        prepared.shift(subject, entry, node, -1);
    }
    let refusal = framework::filter_with_nominated(snapshot, profile, subject, prepared, &emptier);
    if let Some(refusal) = refusal {
        for entry in &lower {
            prepared.shift(subject, entry, node, 1);
        }
        return Err(refusal);
    }
    lower.sort_by_key(importance);
    let lower: Vec<&PodEntry> = lower.iter().collect();
    let (violating, others) = by_budget(snapshot, &lower);
    let mut victims = Vec::new();
    let mut violations = 0;
    let violating_count = violating.len();
    for (index, entry) in violating.into_iter().chain(others).enumerate() {
        emptier.add(entry.clone());
        prepared.shift(subject, entry, node, 1);
        let refusal =
            framework::filter_with_nominated(snapshot, profile, subject, prepared, &emptier);
        if refusal.is_some() {
            emptier.remove(entry.key());
            prepared.shift(subject, entry, node, -1);
            victims.push(entry.clone());
            violations += usize::from(index < violating_count);
        }
    }
    for entry in &victims {
        prepared.shift(subject, entry, node, 1);
    }
    victims.sort_by_key(importance);
    Ok((victims, violations))
}

/// The same for a pod that nothing but resources and the number of pods keeps from the node: plain
/// arithmetic in place of filters. `None`: it would not fit even alone, which
/// [`select_victims`] explains.
pub fn select_by_room(
    snapshot: &Snapshot,
    subject: &Subject,
    id: NodeId,
) -> Option<(Vec<PodEntry>, usize)> {
    let node = snapshot.node(id)?;
    let priority = subject.priority();
    let mut lower: Vec<&PodEntry> = node
        .pods
        .iter()
        .filter(|entry| entry.priority() < priority)
        .collect();
    if lower.is_empty() {
        return None;
    }
    let wanted = &subject.template.spec.requests.wanted;
    let mut used = node.requested.clone();
    for entry in &lower {
        used.subtract(&entry.template.spec.requests.charged);
    }
    let mut count = node.pods.len() - lower.len();
    // Pods that are promised the node count as if they were there.
    for entry in framework::nominated(snapshot, subject, node) {
        used.add(&entry.template.spec.requests.charged);
        count += 1;
    }
    let fits = |used: &ResourceList, count: usize| {
        i64::try_from(count).is_ok_and(|count| count < node.pod_limit)
            && node_resources_fit::has_room(wanted, used, &node.allocatable)
    };
    if !fits(&used, count) {
        return None;
    }
    lower.sort_by_key(|entry| importance(entry));
    let (violating, others) = by_budget(snapshot, &lower);
    let violating_count = violating.len();
    let mut victims: Vec<&PodEntry> = Vec::new();
    let mut violations = 0;
    for (index, entry) in violating.into_iter().chain(others).enumerate() {
        let charged = &entry.template.spec.requests.charged;
        used.add(charged);
        if fits(&used, count + 1) {
            count += 1;
        } else {
            used.subtract(charged);
            victims.push(entry);
            violations += usize::from(index < violating_count);
        }
    }
    victims.sort_by_key(|entry| importance(entry));
    Some((victims.into_iter().cloned().collect(), violations))
}

/// High priority first, then long runners.
fn importance(entry: &PodEntry) -> (Reverse<i32>, jiff::Timestamp) {
    (Reverse(entry.priority()), entry.started())
}

/// Splits pods, in their order, into those whose loss violates a budget and the others.
fn by_budget<'a>(
    snapshot: &Snapshot,
    pods: &[&'a PodEntry],
) -> (Vec<&'a PodEntry>, Vec<&'a PodEntry>) {
    let mut left: std::collections::BTreeMap<(Name, Name), i64> = std::collections::BTreeMap::new();
    if snapshot.surroundings().budgets.is_empty() {
        return (Vec::new(), pods.to_vec());
    }
    pods.iter().copied().partition(|entry| {
        let mut violates = false;
        if entry.object.labels.is_empty() {
            return false;
        }
        for (key, budget) in snapshot
            .surroundings()
            .budgets_in(&entry.template.namespace)
        {
            if !protects(budget, entry) {
                continue;
            }
            // Every budget is charged, also after one is exceeded.
            let allowed = left
                .entry(key.clone())
                .or_insert(budget.disruptions_allowed);
            *allowed -= 1;
            violates |= *allowed < 0;
        }
        violates
    })
}

fn protects(budget: &Budget, entry: &PodEntry) -> bool {
    budget
        .selector
        .as_ref()
        .is_some_and(|selector| selector.matches(&entry.object.labels))
        && !budget.disrupted_pods.contains(&entry.object.key.name)
}

/// Upstream's five criteria in order; the smallest is the best.
pub type Rank = (usize, i32, i64, usize, Reverse<Option<jiff::Timestamp>>);

impl Candidate {
    pub fn rank(&self) -> Rank {
        let weigh = |entry: &PodEntry| i64::from(entry.priority()) + (1_i64 << 31);
        let highest = self.victims.iter().map(PodEntry::priority).max();
        let longest = self
            .victims
            .iter()
            .filter(|entry| Some(entry.priority()) == highest)
            .map(PodEntry::started)
            .min();
        (
            self.violations,
            self.victims.first().map_or(i32::MIN, PodEntry::priority),
            self.victims.iter().map(weigh).sum::<i64>(),
            self.victims.len(),
            Reverse(longest),
        )
    }
}

/// All candidates that no criterion tells apart from the best.
pub fn best(mut left: Vec<&Candidate>) -> Vec<&Candidate> {
    if let Some(min) = left.iter().map(|candidate| candidate.rank()).min() {
        left.retain(|candidate| candidate.rank() == min);
    }
    left
}
