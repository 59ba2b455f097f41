//! How few machines a cluster's workload needs, and the moves that free machines, as data.
//!
//! Two figures that are easily confused. *Needs* is what the workload takes packed anew from empty
//! (Borg's cell compaction): a bound on what may be hoped for. *Frees* is what moving pods achieves
//! that may be moved, within their budgets, from where they are now. Nothing is carried out here.

use serde::Serialize;

use super::outcome::WorkloadName;
use crate::k8s::Name;
use crate::sched::Snapshot;
use crate::sched::compaction::{TRIALS, compact};
use crate::sched::rebalance::{Goal, Options, Rebalance, Skew, rebalance};

/// What the workload needs, and what moves would save.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Need {
    pub machines: usize,
    /// The fewest machines that are known to do: the smallest of the next two, and of what the
    /// moves leave in use.
    pub needs: Option<usize>,
    /// Nine of ten trials needed no more.
    pub removed_at_random: Option<usize>,
    pub least_used_removed_first: Option<usize>,
    /// What each trial needed, ascending.
    pub trials: Vec<usize>,
    /// Pods that were packed; daemons come with their machine.
    pub pods: usize,
    /// Pods that find no place even on all machines, packed from empty.
    pub homeless: usize,
    /// Machines that run more than daemons, now and after the moves.
    pub in_use: usize,
    pub in_use_after: usize,
    /// Machines that the moves empty.
    pub frees: Vec<Name>,
    /// Capacity that lacks its counterpart to be of use, in machines.
    pub stranded: f64,
    pub stranded_after: f64,
    /// The service spread worst over zones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst_spread: Option<Spread>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst_spread_after: Option<Spread>,
    /// A wave begins when every pod of the last one is ready again.
    pub waves: Vec<Vec<PlannedMove>>,
    /// Pods in the way that may not be moved.
    pub fixed: Vec<FixedPods>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedMove {
    pub namespace: Name,
    pub pod: Name,
    pub from: Name,
    /// A place that will do: the scheduler decides when the time has come.
    pub to: Name,
    /// The disruption budget that allows it; absent where none covers the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Name>,
    /// An `emptyDir` volume whose contents are lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loses: Option<Name>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    pub workload: WorkloadName,
    pub replicas: usize,
    /// Replicas in the fullest domain minus those in the emptiest.
    pub skew: usize,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FixedPods {
    pub why: String,
    pub pods: usize,
}

impl Need {
    /// The same snapshot and seed give the same answer. With `empty_dirs`, pods are moved although
    /// that loses what they keep on their machine's disk.
    pub fn of(snapshot: &Snapshot, seed: u64, empty_dirs: bool) -> Self {
        let found = compact(snapshot, TRIALS, seed, &mut || true);
        let options = Options {
            empty_dirs,
            ..Options::default()
        };
        let proposal = rebalance(snapshot, &Goal::FreeMachines, options, &mut || true);
        let reasons = proposal.fixed_by_reason();
        let Rebalance { waves, gain, .. } = proposal;
        Self {
            machines: found.machines,
            needs: found.fewest().map(|fewest| fewest.min(gain.machines_after)),
            removed_at_random: found.percentile_90(),
            least_used_removed_first: found.least_used_first,
            pods: found.pods,
            homeless: found.homeless,
            trials: found.needed,
            in_use: gain.machines_before,
            in_use_after: gain.machines_after,
            frees: gain.freed,
            stranded: gain.stranded_before,
            stranded_after: gain.stranded_after,
            worst_spread: gain.skew_before.map(Spread::of),
            worst_spread_after: gain.skew_after.map(Spread::of),
            waves: waves
                .into_iter()
                .map(|wave| wave.into_iter().map(PlannedMove::of).collect())
                .collect(),
            fixed: reasons
                .into_iter()
                .map(|(why, pods)| FixedPods { why, pods })
                .collect(),
        }
    }

    /// `this workload needs 212 of your 312 machines`.
    pub fn sentence(&self) -> String {
        match self.needs {
            Some(needs) => format!(
                "this workload needs {needs} of your {} machines",
                self.machines
            ),
            None => "no trial was finished".to_owned(),
        }
    }
}

impl PlannedMove {
    fn of(step: crate::sched::rebalance::Move) -> Self {
        Self {
            namespace: step.pod.namespace,
            pod: step.pod.name,
            from: step.from,
            to: step.to,
            budget: step.budget,
            loses: step.loses,
        }
    }
}

impl Spread {
    fn of(skew: Skew) -> Self {
        Self {
            workload: WorkloadName {
                namespace: skew.namespace,
                kind: skew.kind,
                name: skew.name,
            },
            replicas: skew.replicas,
            skew: skew.skew,
        }
    }
}
