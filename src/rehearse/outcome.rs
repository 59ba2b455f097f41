//! What came of a rehearsal, as data: by step and in total.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::need::Need;
use crate::k8s::Name;
use crate::topology::{Class, WorkloadKey};

/// Everything that came of a rehearsal.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// What was forked, as its user calls it.
    pub source: String,
    pub forked_at: Timestamp,
    pub seed: u64,
    /// Virtual seconds from the fork to the end.
    pub seconds: u64,
    /// Something fell below its target, or stays below it. See [`WorkloadEffect`].
    pub falls_below_target: bool,
    pub steps: Vec<StepOutcome>,
    pub total: Effects,
    pub before: Picture,
    pub after: Picture,
    /// Machines that hold no pods but daemons now, and held others before.
    pub emptied: Vec<Name>,
    /// How few machines the workload needs after all steps, where that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub need: Option<Need>,
    /// What the answer does not take into account.
    pub not_modelled: Vec<String>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepOutcome {
    pub step: String,
    /// Virtual seconds after the fork.
    pub began_s: u64,
    /// Until the last thing that happened because of it.
    pub took_s: u64,
    /// False: things were still happening when the step's time was over.
    pub settled: bool,
    /// What the step itself has to say: a drain that is held up, a pod nobody replaces.
    pub notes: Vec<String>,
    pub effects: Effects,
    pub after: Picture,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Effects {
    pub moved: Vec<Move>,
    /// New pods, those that replace others included.
    pub created: u64,
    /// Pods that were sent away or are gone.
    pub deleted: u64,
    /// Pods that wait at the end, and did not before.
    pub pending: Vec<Pending>,
    /// Pods on their way out that nothing takes away: their machine does not answer.
    pub stuck: u64,
    pub workloads: Vec<WorkloadEffect>,
    pub budgets: Vec<Breach>,
    pub quorums: Vec<Breach>,
    pub preempted: Vec<Departure>,
}

/// A pod that left, and the one that took its place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    pub workload: WorkloadName,
    pub pod: Name,
    pub from: Name,
    pub replacement: Name,
    pub to: Name,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Departure {
    pub workload: WorkloadName,
    pub pod: Name,
    pub from: Name,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    pub workload: WorkloadName,
    pub pod: Name,
    /// In the scheduler's words.
    pub why: String,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadName {
    pub namespace: Name,
    pub kind: Name,
    pub name: Name,
}

/// A service and its target: how many ready pods it asks for.
///
/// What it had not attained before is not counted against it: a deployment that is scaled up falls
/// below its target only if it loses pods, or is short of them in the end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadEffect {
    pub workload: WorkloadName,
    pub target: u32,
    pub ready_before: u32,
    pub ready_after: u32,
    pub lowest_ready: u32,
    /// Most pods missing at once.
    pub depth: u32,
    pub seconds_below: u64,
    /// The longest time in one piece.
    pub longest_below: u64,
    /// Pods short at the end beyond those that were missing at the fork.
    pub short: u32,
}

/// A disruption budget or a quorum that did not hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Breach {
    pub namespace: Name,
    pub name: Name,
    /// Healthy pods at the worst moment, and how many are needed.
    pub lowest: u32,
    pub needs: u32,
    /// Virtual seconds after the fork.
    pub from_s: u64,
    /// Absent: until the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_s: Option<u64>,
}

/// Capacity and the worst losses at one moment.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Picture {
    pub nodes: u32,
    pub ready: u32,
    pub cordoned: u32,
    pub pods: u32,
    pub pending: u32,
    /// Of the machines that are ready.
    pub allocatable_cpu_milli: i64,
    pub allocatable_memory_bytes: i64,
    pub requested_cpu_milli: i64,
    pub requested_memory_bytes: i64,
    pub worst: Vec<WorstLoss>,
}

/// The domain of a level whose loss would cost most.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorstLoss {
    pub level: Name,
    pub domain: Name,
    /// Pods that would have to go elsewhere.
    pub pods: u32,
    /// Services of two and more that would lose all ready replicas.
    pub services_lost: u32,
    /// Those that would lose half of them or more.
    pub services_halved: u32,
    pub budgets_broken: u32,
    pub quorums_broken: u32,
}

impl WorkloadEffect {
    /// It recovered within so many seconds each time, and lacks nothing.
    pub fn is_within(&self, seconds: u64) -> bool {
        self.longest_below <= seconds && self.short == 0
    }
}

impl WorkloadName {
    pub fn of(key: &WorkloadKey) -> Self {
        Self {
            namespace: key.namespace.clone(),
            kind: key.kind.clone(),
            name: key.name.clone(),
        }
    }
}

/// `shop/deploy/cart`.
impl std::fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind.as_str() {
            "Deployment" => "deploy".to_owned(),
            "StatefulSet" => "sts".to_owned(),
            "DaemonSet" => "ds".to_owned(),
            "ReplicaSet" => "rs".to_owned(),
            kind => kind.to_lowercase(),
        };
        write!(f, "{}/{kind}/{}", self.namespace, self.name)
    }
}

/// Whether a workload's target is asked after: jobs run again, daemons go with their machine.
pub fn has_target(class: Class) -> bool {
    matches!(class, Class::Service | Class::Bare)
}

impl Effects {
    /// Several steps as one. What is pending or stuck is what the last one left.
    pub fn total(steps: &[StepOutcome]) -> Self {
        let mut total = Self::default();
        let mut workloads: BTreeMap<WorkloadName, WorkloadEffect> = BTreeMap::new();
        for step in steps {
            let effects = &step.effects;
            total.moved.extend(effects.moved.iter().cloned());
            total.created += effects.created;
            total.deleted += effects.deleted;
            total.pending.clone_from(&effects.pending);
            total.stuck = effects.stuck;
            total.preempted.extend(effects.preempted.iter().cloned());
            merge(&mut total.budgets, &effects.budgets);
            merge(&mut total.quorums, &effects.quorums);
            // What a later step does not mention lacks nothing any more.
            for known in workloads.values_mut() {
                known.short = 0;
                known.ready_after = known.ready_after.max(known.target);
            }
            for effect in &effects.workloads {
                workloads
                    .entry(effect.workload.clone())
                    .and_modify(|known| known.then(effect))
                    .or_insert_with(|| effect.clone());
            }
        }
        total.workloads = workloads.into_values().collect();
        sort(&mut total.workloads);
        total
    }
}

impl WorkloadEffect {
    fn then(&mut self, later: &Self) {
        self.target = later.target;
        self.ready_after = later.ready_after;
        self.lowest_ready = self.lowest_ready.min(later.lowest_ready);
        self.depth = self.depth.max(later.depth);
        self.seconds_below += later.seconds_below;
        self.longest_below = self.longest_below.max(later.longest_below);
        self.short = later.short;
    }
}

/// The worst first.
pub fn sort(workloads: &mut [WorkloadEffect]) {
    workloads.sort_by(|left, right| {
        let badness = |effect: &WorkloadEffect| (effect.short, effect.depth, effect.seconds_below);
        badness(right)
            .cmp(&badness(left))
            .then_with(|| left.workload.cmp(&right.workload))
    });
}

/// A breach that a step leaves open goes on in the next.
fn merge(total: &mut Vec<Breach>, more: &[Breach]) {
    for breach in more {
        let open = total.iter_mut().find(|known| {
            known.until_s.is_none()
                && known.namespace == breach.namespace
                && known.name == breach.name
        });
        match open {
            Some(known) => {
                known.lowest = known.lowest.min(breach.lowest);
                known.until_s = breach.until_s;
            }
            None => total.push(breach.clone()),
        }
    }
}
