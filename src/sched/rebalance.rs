//! Which running pods to move, and in what order, to free machines or to heal spread.
//!
//! A proposal, never an action: moves in waves, with what they gain. Every target passed the filters
//! of the pod's own scheduler profile at the moment of its wave, with the pods that leave in the same
//! wave still counted where they were; a wave evicts no more pods of a disruption budget than the
//! budget allows now, so the next wave starts when all pods of the last one are ready again. A real
//! move is an eviction, after which the controller's new pod goes where the scheduler decides then:
//! the target is a place that will do, not a promise.

mod free;
mod heal;
pub mod movable;
mod spread;
mod waves;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::framework;
use super::node_info::NodeInfo;
use super::snapshot::{NodeId, Snapshot};
use crate::k8s::{Name, Object, ObjectKey};
pub use movable::Fixed;
use movable::stays_with_its_node;
pub use spread::Skew;

/// What the moves are for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Goal {
    /// Empty as many machines as possible, the least used first.
    FreeMachines,
    /// Even out the replicas of each controller over the values of a node label.
    HealSpread { key: Name },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// At most so many pods are moved.
    pub moves_max: usize,
    /// At most so many machines are tried to be emptied.
    pub machines_tried_max: usize,
    /// Pods move although they keep things in `emptyDir` volumes on their machine's disk, and lose
    /// them, as `kubectl drain --delete-emptydir-data` wants it.
    pub empty_dirs: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            moves_max: 1000,
            machines_tried_max: 500,
            empty_dirs: false,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Move {
    pub pod: ObjectKey,
    pub from: Name,
    pub to: Name,
    /// The disruption budget that covers the pod and allows it to go in its wave.
    pub budget: Option<Name>,
    /// An `emptyDir` volume whose contents the move loses.
    pub loses: Option<Name>,
}

/// What a proposal changes, as numbers.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Gain {
    /// Machines that run more than what every machine runs.
    pub machines_before: usize,
    pub machines_after: usize,
    /// The machines that could go.
    pub freed: Vec<Name>,
    /// Free capacity on machines in use that the other of cpu and memory lacks to be of use, in
    /// machines.
    pub stranded_before: f64,
    pub stranded_after: f64,
    /// The controller whose replicas are spread worst over the label's values.
    pub skew_before: Option<Skew>,
    pub skew_after: Option<Skew>,
}

/// A proposal.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Rebalance {
    pub waves: Vec<Vec<Move>>,
    pub gain: Gain,
    /// Pods on machines that might have been freed, or of controllers that might have been evened
    /// out, which nothing may move.
    pub fixed: Vec<(ObjectKey, Fixed)>,
}

impl Rebalance {
    /// How many moves lose what their pod keeps on the machine's disk.
    pub fn losing(&self) -> usize {
        let moves = self.waves.iter().flatten();
        moves.filter(|step| step.loses.is_some()).count()
    }

    pub fn moves(&self) -> usize {
        self.waves.iter().map(Vec::len).sum()
    }

    /// How many pods stay for which reason, most of them first.
    pub fn fixed_by_reason(&self) -> Vec<(String, usize)> {
        let pods: BTreeMap<&ObjectKey, &Fixed> =
            self.fixed.iter().map(|(pod, why)| (pod, why)).collect();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for why in pods.into_values() {
            *counts.entry(why.to_string()).or_default() += 1;
        }
        let mut reasons: Vec<(String, usize)> = counts.into_iter().collect();
        reasons.sort_by_key(|(_, pods)| Reverse(*pods));
        reasons
    }
}

/// Over what machine loss is most often shared, for the gain of goals that name no label.
const ZONE: &str = "topology.kubernetes.io/zone";

/// Proposes moves. `go_on` is asked now and then; when it says no, what was found so far is the
/// proposal.
pub fn rebalance(
    snapshot: &Snapshot,
    goal: &Goal,
    options: Options,
    go_on: &mut dyn FnMut() -> bool,
) -> Rebalance {
    let mut fixed = Vec::new();
    let (wanted, key) = match goal {
        Goal::FreeMachines => (
            free::moves(snapshot, options, &mut fixed, go_on),
            Name::from(ZONE),
        ),
        Goal::HealSpread { key } => (
            heal::moves(snapshot, key, options, &mut fixed, go_on),
            key.clone(),
        ),
    };
    let is_whole = *goal == Goal::FreeMachines;
    let (waves, after) = waves::order(snapshot, wanted, is_whole);
    Rebalance {
        gain: gain(snapshot, &after, &key),
        waves: waves
            .into_iter()
            .map(|wave| wave.into_iter().map(Step::shown).collect())
            .collect(),
        fixed,
    }
}

/// A move with the pod itself.
#[derive(Clone, Debug)]
struct Step {
    pod: Arc<Object>,
    from: Name,
    to: Name,
    /// Known when its wave is.
    budget: Option<Name>,
}

impl Step {
    fn shown(self) -> Move {
        Move {
            loses: movable::local_volume(&self.pod),
            pod: self.pod.key.clone(),
            from: self.from,
            to: self.to,
            budget: self.budget,
        }
    }
}

fn gain(before: &Snapshot, after: &Snapshot, key: &Name) -> Gain {
    let used = |snapshot: &Snapshot| -> Vec<Name> {
        let nodes = snapshot.nodes().filter(|node| is_used(node));
        nodes.map(|node| node.name.clone()).collect()
    };
    let (used_before, used_after) = (used(before), used(after));
    let is_free = |name: &&Name| {
        let node = after.node_id(name).and_then(|id| after.node(id));
        node.is_some_and(|node| !is_used(node))
    };
    let mut freed: Vec<Name> = used_before.iter().filter(is_free).cloned().collect();
    freed.sort_unstable();
    Gain {
        machines_before: used_before.len(),
        machines_after: used_after.len(),
        freed,
        stranded_before: stranded(before),
        stranded_after: stranded(after),
        skew_before: spread::worst(before, key),
        skew_after: spread::worst(after, key),
    }
}

/// Whether the node runs a pod that would run elsewhere without it.
pub fn is_used(node: &NodeInfo) -> bool {
    node.pods
        .iter()
        .any(|entry| !stays_with_its_node(&entry.object))
}

fn stranded(snapshot: &Snapshot) -> f64 {
    let used = snapshot.nodes().filter(|node| is_used(node));
    used.map(|node| {
        let (cpu, memory) = shares(node);
        (cpu.clamp(0.0, 1.0) - memory.clamp(0.0, 1.0)).abs()
    })
    .sum()
}

/// The requested shares of cpu and memory.
fn shares(node: &NodeInfo) -> (f64, f64) {
    let share = |requested: i64, offered: i64| requested as f64 / offered.max(1) as f64;
    (
        share(node.requested.cpu_milli, node.allocatable.cpu_milli),
        share(node.requested.memory_bytes, node.allocatable.memory_bytes),
    )
}

fn fullness(node: &NodeInfo) -> f64 {
    let (cpu, memory) = shares(node);
    cpu.max(memory)
}

/// The first of these nodes that the filters of the pod's profile let pass.
fn first_feasible(
    snapshot: &mut Snapshot,
    pod: &Arc<Object>,
    nodes: impl IntoIterator<Item = NodeId>,
) -> Option<NodeId> {
    let subject = snapshot.fresh_subject(pod).ok()?;
    let profile = snapshot.profile(pod);
    let prepared = framework::prepare(snapshot, profile, &subject).ok()?;
    nodes.into_iter().find(|id| {
        snapshot.node(*id).is_some_and(|node| {
            framework::verdict(snapshot, profile, &subject, &prepared, node).is_none()
        })
    })
}

/// Counts the pod on a node of this snapshot.
fn put(snapshot: &mut Snapshot, pod: &Arc<Object>, node: NodeId) {
    if let Ok(subject) = snapshot.fresh_subject(pod) {
        snapshot.seat(&subject, node);
    }
}

#[cfg(test)]
mod tests;
