//! Preemption for templates that no other pod bears on: dry runs are kept until their node changes.
//!
//! As upstream does, only so many candidates are looked for, from a place that the seed chooses.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::index::Index;
use super::seats::Standing;
use super::{IndexKey, RefusedPod};
use crate::sched::configuration::Profile;
use crate::sched::framework::{self, Prepared, Subject};
use crate::sched::preemption::{
    self, Candidate, NEVER, NO_CLAIMS, PreemptionOutcome, Rank, TERMINATING,
};
use crate::sched::snapshot::{NodeId, Snapshot};
use crate::sched::verdict::{Plugin, Refusal};

/// A kept dry run and the states that it holds for.
#[derive(Clone, Debug)]
struct DryRun {
    version: u64,
    budgets: u64,
    result: Arc<Outcome>,
}

#[derive(Debug)]
enum Outcome {
    Works(Rank, Candidate),
    Fails(Refusal),
}

impl Outcome {
    fn of(result: Result<Candidate, Refusal>) -> Arc<Self> {
        Arc::new(match result {
            Ok(candidate) => Self::Works(candidate.rank(), candidate),
            Err(refusal) => Self::Fails(refusal),
        })
    }
}

/// Dry runs by template and node.
#[derive(Debug, Default)]
pub struct DryRuns(FxHashMap<IndexKey, Vec<Option<DryRun>>>);

impl DryRuns {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn remove(&mut self, key: &IndexKey) {
        self.0.remove(key);
    }
}

/// What came of looking for victims.
#[derive(Default)]
struct Found {
    /// The best so far, and others as good.
    best: Vec<Arc<Outcome>>,
    rank: Option<Rank>,
    count: usize,
    is_any_clean: bool,
    rejected: Vec<(NodeId, Refusal)>,
}

impl Found {
    fn take(&mut self, node: NodeId, outcome: &Arc<Outcome>) {
        match &**outcome {
            Outcome::Fails(refusal) => self.rejected.push((node, refusal.clone())),
            Outcome::Works(rank, candidate) => {
                self.count += 1;
                self.is_any_clean |= candidate.violations == 0;
                if self.rank.as_ref().is_none_or(|best| rank < best) {
                    self.best.clear();
                    self.rank = Some(*rank);
                }
                if self.rank.as_ref() == Some(rank) {
                    self.best.push(Arc::clone(outcome));
                }
            }
        }
    }

    fn choose(&self, seed: u64) -> Option<Candidate> {
        let number = usize::try_from(seed.checked_rem(self.best.len() as u64)?).ok()?;
        match &**self.best.get(number)? {
            Outcome::Works(_, candidate) => Some(candidate.clone()),
            Outcome::Fails(_) => None,
        }
    }
}

pub struct Run<'a> {
    pub snapshot: &'a Snapshot,
    pub profile: &'a Profile,
    pub subject: &'a Subject,
    pub index: &'a Index,
    pub key: IndexKey,
    pub seed: u64,
}

impl Run<'_> {
    pub fn preempt(&mut self, dry_runs: &mut DryRuns, refused: &mut RefusedPod) {
        if let Some(reason) = self.ineligible() {
            refused.ineligible = true;
            refused.preemption =
                PreemptionOutcome::Unschedulable(format!("{NO_CLAIMS}, preemption: {reason}"));
        } else {
            let potential = self.potential();
            let found = self.candidates(&potential, dry_runs);
            refused.candidate = found.choose(self.seed);
            refused.preemption = if refused.candidate.is_some() {
                PreemptionOutcome::Success
            } else {
                let text = preemption::failure(self.snapshot.node_count(), &found.rejected);
                PreemptionOutcome::Unschedulable(text)
            };
        }
        let more = refused.preemption.message();
        if !more.is_empty() {
            refused.message = format!("{} {more}", refused.fit_message);
        }
    }

    fn ineligible(&self) -> Option<&'static str> {
        if self.subject.template.spec.never_preempts {
            return Some(NEVER);
        }
        let nominated = self.subject.nominated_node.as_ref()?;
        let node = self.snapshot.node_id(nominated)?;
        let is_resolvable = match self.index.seats.standing(node) {
            Standing::Out(out) => out.is_resolvable(),
            Standing::In { bucket } => {
                let bucket = self.index.seats.buckets.get(bucket as usize)?;
                self.index
                    .barrier(self.profile, bucket)
                    .is_none_or(super::weigh::Barrier::is_resolvable)
            }
            Standing::Absent => true,
        };
        (is_resolvable && preemption::has_leaving_pod(self.snapshot, self.subject, node))
            .then_some(TERMINATING)
    }

    /// Nodes that were refused for something that removing pods may mend.
    fn potential(&self) -> Vec<NodeId> {
        let resolvable: Vec<bool> = self
            .index
            .seats
            .buckets
            .iter()
            .map(|bucket| {
                let barrier = self.index.barrier(self.profile, bucket);
                barrier.is_some_and(super::weigh::Barrier::is_resolvable)
            })
            .collect();
        let is_potential = |standing: Standing| match standing {
            Standing::Out(out) => out.is_resolvable(),
            Standing::In { bucket } => resolvable.get(bucket as usize).copied().unwrap_or(false),
            Standing::Absent => false,
        };
        self.index
            .seats
            .standings()
            .filter(|(_, standing)| is_potential(*standing))
            .map(|(id, _)| id)
            .collect()
    }

    fn candidates(&self, potential: &[NodeId], dry_runs: &mut DryRuns) -> Found {
        let arguments = self.profile.preemption;
        let share = potential.len() * arguments.candidate_nodes_percentage_min / 100;
        let wanted = share
            .max(arguments.candidate_nodes_min)
            .min(potential.len());
        let start = self
            .seed
            .checked_rem(potential.len() as u64)
            .and_then(|start| usize::try_from(start).ok())
            .unwrap_or(0);
        let (before, after) = potential.split_at(start);
        let mut prepared = if self.index.is_alone() {
            None
        } else {
            framework::prepare(self.snapshot, self.profile, self.subject).ok()
        };
        let kept = dry_runs.0.entry(self.key).or_default();
        let mut found = Found::default();
        for &node in after.iter().chain(before) {
            let outcome = match &mut prepared {
                None => self.kept(node, kept),
                Some(prepared) => Outcome::of(self.dry_run(node, prepared)),
            };
            found.take(node, &outcome);
            if found.count >= wanted && found.is_any_clean {
                break;
            }
        }
        found
    }

    fn kept(&self, node: NodeId, kept: &mut Vec<Option<DryRun>>) -> Arc<Outcome> {
        let info = self.snapshot.node(node);
        let version = info.map_or(0, |info| info.version);
        let budgets = self.snapshot.generations().budgets;
        let is_promised = !self.snapshot.nominations().is_empty()
            && info.is_some_and(|info| self.snapshot.nominated_to(&info.name).next().is_some());
        if is_promised {
            return Outcome::of(self.dry_run_alone(node));
        }
        if let Some(Some(known)) = kept.get(node.index())
            && known.version == version
            && known.budgets == budgets
        {
            return Arc::clone(&known.result);
        }
        let result = Outcome::of(self.dry_run_alone(node));
        if kept.len() <= node.index() {
            kept.resize(node.index() + 1, None);
        }
        if let Some(place) = kept.get_mut(node.index()) {
            *place = Some(DryRun {
                version,
                budgets,
                result: Arc::clone(&result),
            });
        }
        result
    }

    /// Nothing but what pods on the node take, or are promised there, is in the way.
    fn dry_run_alone(&self, node: NodeId) -> Result<Candidate, Refusal> {
        let spec = &self.subject.template.spec;
        let needs_devices = spec.gpu.is_some() && self.profile.filters_with(Plugin::GpuShare);
        let by_room = if spec.ports.is_empty()
            && !needs_devices
            && self.profile.filters_with(Plugin::NodeResourcesFit)
        {
            preemption::select_by_room(self.snapshot, self.subject, node)
        } else {
            None
        };
        match by_room {
            Some((victims, violations)) => Ok(Candidate {
                node,
                victims,
                violations,
            }),
            None => self.dry_run(node, &mut Prepared::default()),
        }
    }

    fn dry_run(&self, node: NodeId, prepared: &mut Prepared) -> Result<Candidate, Refusal> {
        let (victims, violations) =
            preemption::select_victims(self.snapshot, self.profile, self.subject, prepared, node)?;
        Ok(Candidate {
            node,
            victims,
            violations,
        })
    }
}
