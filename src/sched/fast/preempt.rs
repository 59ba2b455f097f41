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
use crate::sched::preemption::{self, Candidate, NEVER, NO_CLAIMS, PreemptionOutcome, TERMINATING};
use crate::sched::snapshot::{NodeId, Snapshot};
use crate::sched::verdict::Refusal;

/// A kept dry run and the states that it holds for.
#[derive(Clone, Debug)]
struct DryRun {
    version: u64,
    budgets: u64,
    result: Arc<Result<Candidate, Refusal>>,
}

/// Dry runs by template and node.
#[derive(Debug, Default)]
pub struct DryRuns(FxHashMap<IndexKey, FxHashMap<NodeId, DryRun>>);

impl DryRuns {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn remove(&mut self, key: &IndexKey) {
        self.0.remove(key);
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
            let (candidates, rejected) = self.candidates(&potential, dry_runs);
            let found: Vec<&Candidate> = candidates
                .iter()
                .filter_map(|result| Result::as_ref(result).ok())
                .collect();
            let best = preemption::best(found);
            let number = self.seed.checked_rem(best.len() as u64);
            let chosen = number
                .and_then(|number| usize::try_from(number).ok())
                .and_then(|number| best.get(number));
            refused.candidate = chosen.map(|candidate| Candidate::clone(candidate));
            refused.preemption = if chosen.is_some() {
                PreemptionOutcome::Success
            } else {
                let text = preemption::failure(self.snapshot.node_count(), &rejected);
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

    #[expect(clippy::type_complexity, reason = "two lists, named by the caller")]
    fn candidates(
        &self,
        potential: &[NodeId],
        dry_runs: &mut DryRuns,
    ) -> (Vec<Arc<Result<Candidate, Refusal>>>, Vec<(NodeId, Refusal)>) {
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
        let mut found = Vec::new();
        let mut rejected = Vec::new();
        let mut is_any_clean = false;
        for &node in after.iter().chain(before) {
            let result = match &mut prepared {
                None => self.kept(node, dry_runs),
                Some(prepared) => Arc::new(self.dry_run(node, prepared)),
            };
            match &*result {
                Ok(candidate) => {
                    is_any_clean |= candidate.violations == 0;
                    found.push(Arc::clone(&result));
                    if found.len() >= wanted && is_any_clean {
                        break;
                    }
                }
                Err(refusal) => rejected.push((node, refusal.clone())),
            }
        }
        (found, rejected)
    }

    fn kept(&self, node: NodeId, dry_runs: &mut DryRuns) -> Arc<Result<Candidate, Refusal>> {
        let info = self.snapshot.node(node);
        let version = info.map_or(0, |info| info.version);
        let budgets = self.snapshot.generations().budgets;
        let is_promised =
            info.is_some_and(|info| self.snapshot.nominated_to(&info.name).next().is_some());
        let kept = dry_runs.0.entry(self.key).or_default();
        if let Some(known) = kept.get(&node)
            && known.version == version
            && known.budgets == budgets
            && !is_promised
        {
            return Arc::clone(&known.result);
        }
        let result = Arc::new(self.dry_run(node, &mut Prepared::default()));
        if !is_promised {
            kept.insert(
                node,
                DryRun {
                    version,
                    budgets,
                    result: Arc::clone(&result),
                },
            );
        }
        result
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
