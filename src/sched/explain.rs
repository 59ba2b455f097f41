//! Why a pod goes where it goes, or nowhere: every node's verdict as data.

use std::sync::Arc;

use super::framework::{self, Prepared, Rejection, ScoreColumn, ScoreTable, Subject};
use super::preemption::{self, Preemption, PreemptionOutcome};
use super::snapshot::{NodeId, Snapshot};
use super::template::TemplateError;
use super::verdict::{Plugin, Refusal, summary};
use crate::k8s::columns::PodPhase;
use crate::k8s::{Name, Object, ObjectKey};

/// A decision with everything that led to it.
#[derive(Clone, Debug)]
pub struct Explanation {
    pub pod: ObjectKey,
    /// The profile it was decided by.
    pub scheduler: Name,
    /// A pre-filter refused the pod outright; then no node was looked at.
    pub rejection: Option<Rejection>,
    /// The only nodes that the pod's own terms leave in question; some may not exist.
    pub candidates: Option<Vec<Name>>,
    /// One a node, in the snapshot's order.
    pub nodes: Vec<NodeVerdict>,
    pub columns: Vec<ScoreColumn>,
    /// Nodes with the highest total, sorted by name. Empty: unschedulable.
    pub best: Vec<Name>,
    /// `0/N nodes are available: …`; empty when schedulable.
    pub fit_message: String,
    /// The whole text of the `FailedScheduling` event; empty when schedulable.
    pub message: String,
    pub preemption: PreemptionReport,
}

#[derive(Clone, Debug)]
pub struct NodeVerdict {
    pub node: Name,
    pub verdict: Verdict,
}

#[derive(Clone, Debug)]
pub enum Verdict {
    Feasible {
        /// One a column, before normalisation.
        raw: Vec<i64>,
        /// After normalisation, before the weight.
        normalized: Vec<i64>,
        total: i64,
    },
    Refused {
        refusal: Refusal,
        /// What other filters would have refused had they been asked.
        also: Vec<Refusal>,
    },
}

/// Preemption in names.
#[derive(Clone, Debug, Default)]
pub struct PreemptionReport {
    pub outcome: PreemptionOutcome,
    pub ineligible: Option<&'static str>,
    pub potential: Vec<Name>,
    pub candidates: Vec<CandidateReport>,
    pub rejected: Vec<(Name, Refusal)>,
    pub best: Vec<Name>,
}

#[derive(Clone, Debug)]
pub struct CandidateReport {
    pub node: Name,
    /// The most important first.
    pub victims: Vec<ObjectKey>,
    /// How many victims' budgets are violated.
    pub violations: usize,
}

impl Explanation {
    pub fn is_schedulable(&self) -> bool {
        !self.best.is_empty()
    }

    /// The nodes that would take the pod.
    pub fn feasible(&self) -> impl Iterator<Item = &Name> {
        self.nodes
            .iter()
            .filter(|node| matches!(node.verdict, Verdict::Feasible { .. }))
            .map(|node| &node.node)
    }
}

/// A decision with the ids that the scheduler acts on.
#[derive(Clone, Debug)]
pub struct Decision {
    pub rejection: Option<Rejection>,
    pub prepared: Option<Prepared>,
    /// One a node, in the order of the snapshot's nodes; empty after a rejection.
    pub refusals: Vec<Option<Refusal>>,
    pub scores: ScoreTable,
    pub best: Vec<NodeId>,
    pub fit_message: String,
    pub message: String,
    pub preemption: Preemption,
}

/// Decides by the reference path.
pub fn decide(snapshot: &Snapshot, subject: &Subject) -> Decision {
    let profile = snapshot.profile(&subject.object);
    let prepared = match framework::prepare(snapshot, profile, subject) {
        Ok(prepared) => prepared,
        Err(rejection) => return rejected(snapshot, rejection),
    };
    let refusals: Vec<Option<Refusal>> = snapshot
        .nodes()
        .map(|node| framework::verdict(snapshot, profile, subject, &prepared, node))
        .collect();
    let feasible: Vec<NodeId> = snapshot
        .numbered_nodes()
        .zip(&refusals)
        .filter(|(_, refusal)| refusal.is_none())
        .map(|((id, _), _)| id)
        .collect();
    let scores = framework::score(snapshot, profile, subject, &feasible);
    let best = scores.best();
    let mut decision = Decision {
        rejection: None,
        prepared: None,
        refusals,
        scores,
        best,
        fit_message: String::new(),
        message: String::new(),
        preemption: Preemption::default(),
    };
    if decision.best.is_empty() {
        let reasons = decision.refusals.iter().flatten();
        decision.fit_message = summary(
            snapshot.node_count(),
            reasons.flat_map(|refusal| &refusal.reasons),
        );
        if profile.preempts && subject.node_name.is_none() {
            decision.preemption =
                preemption::preempt(snapshot, profile, subject, &prepared, &decision.refusals);
        }
        decision.message = with_post_filter(&decision.fit_message, &decision.preemption.outcome);
    }
    decision.prepared = Some(prepared);
    decision
}

fn rejected(snapshot: &Snapshot, rejection: Rejection) -> Decision {
    let reasons = rejection.refusal.reasons.join(", ");
    let fit_message = format!(
        "0/{} nodes are available: {reasons}.",
        snapshot.node_count()
    );
    let outcome = if rejection.cut_short {
        PreemptionOutcome::Error("not found".to_owned())
    } else {
        PreemptionOutcome::Unschedulable(preemption::failure(snapshot.node_count(), &[]))
    };
    Decision {
        message: with_post_filter(&fit_message, &outcome),
        fit_message,
        rejection: Some(rejection),
        prepared: None,
        refusals: Vec::new(),
        scores: ScoreTable::default(),
        best: Vec::new(),
        preemption: Preemption {
            outcome,
            ..Preemption::default()
        },
    }
}

fn with_post_filter(fit_message: &str, outcome: &PreemptionOutcome) -> String {
    match outcome.message() {
        "" => fit_message.to_owned(),
        more => format!("{fit_message} {more}"),
    }
}

impl Snapshot {
    /// What the scheduler would decide about this pod now, and why. The pod may be bound already; it
    /// is then treated as if it still had to be scheduled, with itself in place.
    pub fn explain(&self, pod: &Arc<Object>) -> Result<Explanation, TemplateError> {
        let mut snapshot = self.clone();
        let subject = if pod
            .pod()
            .is_some_and(|columns| columns.phase == PodPhase::Pending)
        {
            snapshot.subject(pod)?
        } else {
            snapshot.fresh_subject(pod)?
        };
        Ok(snapshot.explain_subject(&subject))
    }

    /// The same for a pod that was read already.
    pub fn explain_subject(&self, subject: &Subject) -> Explanation {
        let decision = decide(self, subject);
        let profile = self.profile(&subject.object);
        let nodes = self.verdicts(subject, &decision);
        let mut best: Vec<Name> = decision.best.iter().map(|id| self.node_name(*id)).collect();
        best.sort_unstable();
        Explanation {
            pod: subject.object.key.clone(),
            scheduler: profile.scheduler.clone(),
            candidates: decision
                .prepared
                .as_ref()
                .and_then(|prepared| prepared.nodes.as_ref())
                .map(|names| names.iter().cloned().collect()),
            nodes,
            best,
            preemption: self.report(&decision.preemption),
            rejection: decision.rejection,
            columns: decision.scores.columns,
            fit_message: decision.fit_message,
            message: decision.message,
        }
    }

    fn verdicts(&self, subject: &Subject, decision: &Decision) -> Vec<NodeVerdict> {
        let profile = self.profile(&subject.object);
        let Some(prepared) = &decision.prepared else {
            return Vec::new();
        };
        let mut rows = decision.scores.rows.iter();
        let mut nodes = Vec::with_capacity(self.node_count());
        for (node, refusal) in self.nodes().zip(&decision.refusals) {
            let verdict = if let Some(refusal) = refusal {
                // Nodes outside the pre-filters' set are not filtered at all.
                let is_filtered = refusal.plugin != Plugin::Framework;
                let others = profile
                    .filters
                    .iter()
                    .filter(|plugin| is_filtered && **plugin != refusal.plugin)
                    .filter_map(|plugin| {
                        framework::filter_with(*plugin, self, profile, subject, prepared, node)
                    });
                Verdict::Refused {
                    refusal: refusal.clone(),
                    also: others.collect(),
                }
            } else if let Some(row) = rows.next() {
                Verdict::Feasible {
                    raw: row.raw.clone(),
                    normalized: row.normalized.clone(),
                    total: row.total,
                }
            } else {
                continue;
            };
            nodes.push(NodeVerdict {
                node: node.name.clone(),
                verdict,
            });
        }
        nodes
    }

    fn report(&self, preemption: &Preemption) -> PreemptionReport {
        let names = |ids: &[NodeId]| {
            let mut names: Vec<Name> = ids.iter().map(|id| self.node_name(*id)).collect();
            names.sort_unstable();
            names
        };
        PreemptionReport {
            outcome: preemption.outcome.clone(),
            ineligible: preemption.ineligible,
            potential: names(&preemption.potential),
            candidates: preemption
                .candidates
                .iter()
                .map(|candidate| CandidateReport {
                    node: self.node_name(candidate.node),
                    victims: candidate
                        .victims
                        .iter()
                        .map(|entry| entry.object.key.clone())
                        .collect(),
                    violations: candidate.violations,
                })
                .collect(),
            rejected: preemption
                .rejected
                .iter()
                .map(|(id, refusal)| (self.node_name(*id), refusal.clone()))
                .collect(),
            best: names(&preemption.best),
        }
    }
}
