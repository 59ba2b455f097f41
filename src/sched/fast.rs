//! Decisions from what was kept of earlier ones: identical to [`super::framework`]'s, at a cost that
//! follows what changed and not the number of nodes.
//!
//! For every template an [`index::Index`] keeps all nodes sorted into buckets; the snapshot's log
//! tells which nodes to look at again. Pods whose decision is not covered (claims, a node asked for
//! by name, unusual profiles) go the reference way. Property tests hold the two together.

mod column;
mod contributions;
mod counter;
mod index;
mod local;
mod mold;
mod plan;
mod preempt;
mod seats;
mod weigh;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use self::index::{Columns, Index};
use self::local::Local;
use self::mold::Molds;
use super::configuration::Profile;
use super::explain::{Decision, decide};
use super::framework::{self, Subject};
use super::log::Event;
use super::placement::pick;
use super::plugins::node_affinity;
use super::preemption::{Candidate, PreemptionOutcome};
use super::snapshot::{NodeId, Snapshot};
use super::template::TemplateId;
use super::verdict::{Plugin, Reason, Refusal, summary};

/// Indexes kept at a time, by nodes times templates: about 40 bytes each.
const KEPT_NODES_MAX: usize = 4_000_000;

/// What becomes of a pod.
#[derive(Clone, Debug)]
pub enum Fate {
    Node(NodeId),
    Refused(Box<RefusedPod>),
}

#[derive(Clone, Debug)]
pub struct RefusedPod {
    /// kube-scheduler's text without preemption's part.
    pub fit_message: String,
    /// The whole text.
    pub message: String,
    pub refused_by: BTreeSet<Plugin>,
    pub preemption: PreemptionOutcome,
    /// Why the pod may not preempt.
    pub ineligible: bool,
    pub candidate: Option<Candidate>,
}

/// Whether a refused pod may look for victims.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preempting {
    Yes,
    No,
}

/// The kept indexes. A clone starts empty: what is kept can always be computed anew.
#[derive(Debug, Default)]
pub struct Fast {
    columns: Columns,
    /// How far the columns have followed the snapshot's log.
    position: u64,
    /// The numbering of nodes and templates that all of this is about.
    ids: u64,
    indexes: FxHashMap<IndexKey, Index>,
    molds: Molds,
    dry_runs: preempt::DryRuns,
    tick: u64,
}

/// A template under a profile.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IndexKey {
    template: TemplateId,
    profile: usize,
}

impl Clone for Fast {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Fast {
    /// Decides; the seed chooses among equally good nodes.
    pub fn decide(
        &mut self,
        snapshot: &Snapshot,
        subject: &Subject,
        seed: u64,
        preempting: Preempting,
    ) -> Fate {
        let profile = snapshot.profile(&subject.object);
        if !is_covered(profile, subject) || shares_promised(snapshot, profile, subject) {
            return reference(snapshot, subject, seed, preempting);
        }
        if let Ok(Some(names)) = node_affinity::pre_filter(&subject.template.spec) {
            return among(snapshot, subject, &names, seed, preempting);
        }
        let key = self.catch_up(snapshot, profile, subject);
        let Some(index) = self.indexes.get_mut(&key) else {
            return reference(snapshot, subject, seed, preempting);
        };
        if nominated_bear(snapshot, profile, subject, index) {
            return reference(snapshot, subject, seed, preempting);
        }
        let own = snapshot.nominations().node_of(&subject.object.key);
        if let Some(node) = own.and_then(|name| snapshot.node_id(name)) {
            // Only the pod itself is not in its own way there.
            index.refresh_for(snapshot, profile, subject, node);
        }
        if let Some(best) = index.best(profile) {
            let number = seed.checked_rem(best.count as u64).unwrap_or(0);
            let number = usize::try_from(number).unwrap_or(0);
            if let Some(node) = index.pick(&best, number) {
                return Fate::Node(node);
            }
        }
        let index = &*index;
        let mut refused = refusals(snapshot, profile, subject, index);
        if preempting == Preempting::Yes && profile.preempts {
            let mut run = preempt::Run {
                snapshot,
                profile,
                subject,
                index,
                key,
                seed,
            };
            run.preempt(&mut self.dry_runs, &mut refused);
        }
        Fate::Refused(Box::new(refused))
    }

    /// All best nodes, unsorted; for tests. `None`: the reference decides.
    pub fn best(&mut self, snapshot: &Snapshot, subject: &Subject) -> Option<Vec<NodeId>> {
        let profile = snapshot.profile(&subject.object);
        if !is_covered(profile, subject)
            || !snapshot.nominations().is_empty()
            || !matches!(node_affinity::pre_filter(&subject.template.spec), Ok(None))
        {
            return None;
        }
        let key = self.catch_up(snapshot, profile, subject);
        let index = self.indexes.get(&key)?;
        Some(
            index
                .best(profile)
                .map_or_else(Vec::new, |best| index.all(&best)),
        )
    }

    /// Brings the template's index up to date, building it where needed.
    fn catch_up(&mut self, snapshot: &Snapshot, profile: &Profile, subject: &Subject) -> IndexKey {
        self.follow_places(snapshot);
        self.tick += 1;
        let profiles = &snapshot.configuration().profiles;
        let key = IndexKey {
            template: subject.id,
            profile: profiles
                .iter()
                .position(|entry| entry.scheduler == profile.scheduler)
                .unwrap_or(0),
        };
        let tick = self.tick;
        if let Some(index) = self.indexes.get_mut(&key) {
            index.used = tick;
            if index
                .catch_up(snapshot, profile, subject, &self.columns)
                .is_ok()
            {
                return key;
            }
            self.indexes.remove(&key);
        }
        self.evict(snapshot.node_count());
        let profile = (profile, key.profile);
        let mut index = self
            .molds
            .cast(snapshot, profile, subject, &mut self.columns);
        index.used = tick;
        self.indexes.insert(key, index);
        key
    }

    /// Takes changed labels into the columns.
    fn follow_places(&mut self, snapshot: &Snapshot) {
        let log = snapshot.log();
        let is_renumbered = self.ids != snapshot.generations().ids;
        if let Some(events) = log.since(self.position).filter(|_| !is_renumbered) {
            for event in events {
                if let Event::Place(id) = event {
                    #[expect(clippy::iter_over_hash_type, reason = "every column is treated alike")]
                    for (key, column) in &mut self.columns {
                        column.set(key, id, snapshot.node(id));
                    }
                }
            }
        } else {
            self.columns.clear();
            self.indexes.clear();
            self.molds.clear();
            self.dry_runs.clear();
        }
        self.position = log.end();
        self.ids = snapshot.generations().ids;
    }

    /// Drops the index that was not used for longest when there are too many.
    fn evict(&mut self, node_count: usize) {
        let count_max = (KEPT_NODES_MAX / node_count.max(1)).clamp(8, 4096);
        if self.indexes.len() < count_max {
            return;
        }
        let oldest = self
            .indexes
            .iter()
            .min_by_key(|(key, index)| (index.used, **key))
            .map(|(key, _)| *key);
        if let Some(key) = oldest {
            self.indexes.remove(&key);
            self.dry_runs.remove(&key);
        }
    }
}

/// A pod that can only go to certain nodes, as pods of daemon sets: only those are looked at.
fn among(
    snapshot: &Snapshot,
    subject: &Subject,
    names: &BTreeSet<crate::k8s::Name>,
    seed: u64,
    preempting: Preempting,
) -> Fate {
    let profile = snapshot.profile(&subject.object);
    let Ok(prepared) = framework::prepare(snapshot, profile, subject) else {
        return reference(snapshot, subject, seed, preempting);
    };
    let is_feasible = |id: &NodeId| {
        snapshot.node(*id).is_some_and(|node| {
            framework::verdict(snapshot, profile, subject, &prepared, node).is_none()
        })
    };
    let feasible: Vec<NodeId> = names
        .iter()
        .filter_map(|name| snapshot.node_id(name))
        .filter(is_feasible)
        .collect();
    let best = match feasible.as_slice() {
        [] | [_] => feasible,
        _ => framework::score(snapshot, profile, subject, &feasible).best(),
    };
    match pick(&best, seed) {
        Some(node) => Fate::Node(node),
        None => reference(snapshot, subject, seed, preempting),
    }
}

/// Upstream's order of filters; the first refusal is the one that is told.
static ORDER: LazyLock<Vec<Plugin>> = LazyLock::new(|| Profile::with_gpu_share("").filters);

/// Whether an index can say everything about such a pod under such a profile.
fn is_covered(profile: &Profile, subject: &Subject) -> bool {
    let mut order = ORDER.iter();
    let in_order = profile
        .filters
        .iter()
        .all(|plugin| order.any(|known| known == plugin));
    let spec = &subject.template.spec;
    in_order
        && Local::is_small(profile)
        && profile.fit.ignored_resources.is_empty()
        && profile.fit.ignored_resource_groups.is_empty()
        && spec.volumes.is_empty()
        && subject.node_name.is_none()
        && spec.requests.wanted.scalars.len() <= local::SCALARS_MAX
}

/// Whether GPUs are at stake while pods are promised nodes: which devices those would get is found
/// out by putting them there in thought, which an index does not do.
fn shares_promised(snapshot: &Snapshot, profile: &Profile, subject: &Subject) -> bool {
    subject.template.spec.gpu.is_some()
        && !snapshot.nominations().is_empty()
        && profile.filters_with(Plugin::GpuShare)
}

/// Whether pods that are nominated anywhere bear on more than their own nodes' free resources; the
/// index does not count that.
fn nominated_bear(
    snapshot: &Snapshot,
    profile: &Profile,
    subject: &Subject,
    index: &mut Index,
) -> bool {
    snapshot
        .nominations()
        .templates()
        .filter(|(_, other)| other.spec.priority >= subject.priority())
        .any(|(id, other)| index.is_touched_by(profile, &subject.template, id, other))
}

/// The summary of refusals over all nodes.
fn refusals(
    snapshot: &Snapshot,
    profile: &Profile,
    subject: &Subject,
    index: &Index,
) -> RefusedPod {
    let spec = &subject.template.spec;
    let mut refusals: Vec<(Refusal, usize)> = Vec::new();
    let sorted: BTreeMap<local::Out, usize> = index.seats.outs().collect();
    for (out, count) in sorted {
        refusals.push((out.refusal(spec), count));
    }
    for bucket in index.seats.buckets.iter().filter(|bucket| bucket.len > 0) {
        if let Some(barrier) = index.barrier(profile, bucket) {
            refusals.push((barrier.refusal(), bucket.len));
        }
    }
    let reasons = refusals.iter().flat_map(|(refusal, count)| {
        refusal
            .reasons
            .iter()
            .flat_map(|reason: &Reason| std::iter::repeat_n(reason, *count))
    });
    let fit_message = summary(snapshot.node_count(), reasons);
    RefusedPod {
        message: fit_message.clone(),
        fit_message,
        refused_by: refusals.iter().map(|(refusal, _)| refusal.plugin).collect(),
        preemption: PreemptionOutcome::NotTried,
        ineligible: false,
        candidate: None,
    }
}

/// The reference's decision as a fate.
fn reference(snapshot: &Snapshot, subject: &Subject, seed: u64, preempting: Preempting) -> Fate {
    let decision: Decision = decide(snapshot, subject);
    if let Some(node) = pick(&decision.best, seed) {
        return Fate::Node(node);
    }
    let rejected_by = decision.rejection.iter().map(|entry| entry.refusal.plugin);
    let refused_by = decision
        .refusals
        .iter()
        .flatten()
        .map(|refusal| refusal.plugin)
        .chain(rejected_by)
        .collect();
    let candidate = match preempting {
        Preempting::Yes => pick(&decision.preemption.best, seed)
            .and_then(|node| decision.preemption.candidate(node))
            .cloned(),
        Preempting::No => None,
    };
    Fate::Refused(Box::new(RefusedPod {
        fit_message: decision.fit_message,
        message: decision.message,
        refused_by,
        ineligible: decision.preemption.ineligible.is_some(),
        preemption: decision.preemption.outcome,
        candidate,
    }))
}
