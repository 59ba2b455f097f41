//! The scheduler as the control plane runs it: an incremental snapshot, the queue, one decision at a
//! time.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rustc_hash::FxHashMap;

use super::configuration::Configuration;
use super::cycle::{Cycle, CycleOutcome, Nomination, Victim};
use super::fast::{Fast, Fate, Preempting, RefusedPod};
use super::framework::{self, Subject};
use super::hints::Hint;
use super::plugins::volume_binding::waiting_claims;
use super::preemption::PreemptionOutcome;
use super::queue::{Queue, QueuedPod};
use super::snapshot::{NodeId, Snapshot};
use crate::k8s::columns::PodColumns;
use crate::k8s::{Change, ChangeKind, Cluster, Name, Object, ObjectKey, resources};
use crate::stdx::rng::Stream;

/// How long a decided binding may take before the pod is looked at again.
const ASSUMED_MAX_S: i64 = 30;

/// Queue and cache. Feed it every change of the cluster, in order; ask it for cycles.
#[derive(Clone, Debug)]
pub struct Scheduler {
    snapshot: Snapshot,
    queue: Queue,
    /// Pods that were assigned and are not seen bound yet.
    assumed: FxHashMap<ObjectKey, Assumed>,
    /// In the order of time; entries of pods that were bound meanwhile are skipped.
    expiries: VecDeque<(Timestamp, ObjectKey)>,
    fast: Fast,
    ties: Stream,
    is_synced: bool,
}

#[derive(Clone, Debug)]
struct Assumed {
    node: Name,
    until: Timestamp,
}

impl Scheduler {
    /// The seed breaks ties between equally good nodes.
    pub fn new(configuration: Configuration, seed: u64) -> Self {
        Self {
            snapshot: Snapshot::new(configuration),
            queue: Queue::default(),
            assumed: FxHashMap::default(),
            expiries: VecDeque::new(),
            fast: Fast::default(),
            ties: Stream::new(seed, "scheduler"),
            is_synced: false,
        }
    }

    /// Takes in a change. Before the first [`Self::next`] nothing needs to be observed: that call
    /// reads the whole cluster.
    pub fn observe(&mut self, change: &Change) {
        if !self.is_synced {
            return;
        }
        let labels = self.snapshot.generations().labels;
        if change.object.key.resource == resources::PODS {
            self.observe_pod(change);
        } else {
            self.snapshot.observe(change);
        }
        if self.queue.has_unschedulable() {
            let snapshot = &self.snapshot;
            let hint = Hint::of(change, snapshot);
            // Waiting pods were read without labels that matter now.
            let blind = snapshot.generations().labels != labels;
            self.queue.wake(
                |plugins| blind || hint.concerns(plugins),
                |pod| blind || hint.may_help(pod),
            );
        }
    }

    fn observe_pod(&mut self, change: &Change) {
        let object = &change.object;
        let columns = object.pod();
        let is_bound = columns.is_some_and(|pod| pod.node.is_some());
        let is_gone =
            change.kind == ChangeKind::Deleted || columns.is_none_or(PodColumns::is_finished);
        let is_new_life = change
            .previous
            .as_ref()
            .is_some_and(|previous| previous.uid != object.uid);
        let stays = |assumed: &Assumed| {
            is_bound
                && !is_gone
                && !is_new_life
                && columns.and_then(|pod| pod.node.as_ref()) == Some(&assumed.node)
        };
        // A pod that is bound where it was assumed is there already.
        if (is_bound || is_gone || is_new_life)
            && let Some(assumed) = self.assumed.remove(&object.key)
            && !stays(&assumed)
            && let Some(node) = self.snapshot.node_id(&assumed.node)
        {
            self.snapshot.forget(&object.key, node);
        }
        self.snapshot.observe(change);
        if self.assumed.contains_key(&object.key) {
            self.snapshot.withdraw_nomination(&object.key);
            return;
        }
        if !is_gone && self.wants(object) {
            self.queue.insert(object);
        } else {
            self.queue.remove(object);
        }
    }

    /// Whether the pod is ours to schedule; gated pods are, though not yet.
    fn wants(&self, pod: &Object) -> bool {
        pod.pod().is_some_and(|columns| {
            columns.node.is_none()
                && !columns.is_finished()
                && !pod.is_terminating()
                && self
                    .snapshot
                    .configuration()
                    .profile(&columns.scheduler)
                    .is_some()
        })
    }

    fn sync(&mut self, cluster: &Cluster) {
        let configuration = self.snapshot.configuration().clone();
        self.snapshot = Snapshot::with(cluster, configuration);
        self.queue = Queue::default();
        self.fast = Fast::default();
        for pod in cluster.pods() {
            if self.wants(pod) {
                self.queue.insert(pod);
            }
        }
        self.is_synced = true;
    }

    /// Decides about the next pod whose turn it is. An assigned pod counts on its node from now on.
    pub fn next(&mut self, cluster: &Cluster, now: Timestamp) -> Option<Cycle> {
        if !self.is_synced {
            self.sync(cluster);
        }
        self.expire_assumed(cluster, now);
        loop {
            let pod = self.queue.pop(now)?;
            match self.snapshot.subject(&pod.object) {
                Ok(subject) => return Some(self.schedule(pod, &subject, now)),
                // Unreadable pods cannot enter through the API server; one that did is left alone.
                Err(error) => self.queue.park(QueuedPod {
                    message: error.to_string().into(),
                    ..pod
                }),
            }
        }
    }

    fn schedule(&mut self, pod: QueuedPod, subject: &Subject, now: Timestamp) -> Cycle {
        let scheduler = self.snapshot.profile(&subject.object).scheduler.clone();
        let fate = if let Some(node) = self.promised(subject) {
            Fate::Node(node)
        } else {
            let seed = self.ties.next_u64();
            self.fast
                .decide(&self.snapshot, subject, seed, Preempting::Yes)
        };
        let outcome = match fate {
            Fate::Node(node) => self.assign(subject, node, now),
            Fate::Refused(refused) => self.refuse(pod, subject, *refused),
        };
        Cycle {
            pod: subject.object.key.clone(),
            uid: subject.object.uid.clone(),
            scheduler,
            outcome,
        }
    }

    /// The node that preemption made free for the pod is tried before all others.
    fn promised(&self, subject: &Subject) -> Option<NodeId> {
        let id = self.snapshot.node_id(subject.nominated_node.as_ref()?)?;
        let profile = self.snapshot.profile(&subject.object);
        let prepared = framework::prepare(&self.snapshot, profile, subject).ok()?;
        let node = self.snapshot.node(id)?;
        framework::verdict(&self.snapshot, profile, subject, &prepared, node)
            .is_none()
            .then_some(id)
    }

    fn assign(&mut self, subject: &Subject, node: NodeId, now: Timestamp) -> CycleOutcome {
        let name = self.snapshot.node_name(node);
        self.snapshot.withdraw_nomination(&subject.object.key);
        let devices = self.snapshot.seat(subject, node);
        let until = now
            .saturating_add(SignedDuration::from_secs(ASSUMED_MAX_S))
            .unwrap_or(Timestamp::MAX);
        let assumed = Assumed {
            node: name.clone(),
            until,
        };
        self.assumed.insert(subject.object.key.clone(), assumed);
        self.expiries.push_back((until, subject.object.key.clone()));
        CycleOutcome::Assigned {
            claims: waiting_claims(&self.snapshot, subject),
            devices,
            node: name,
        }
    }

    fn refuse(&mut self, pod: QueuedPod, subject: &Subject, refused: RefusedPod) -> CycleOutcome {
        let message: Arc<str> = refused.message.into();
        let mut victims = Vec::new();
        let nomination = match &refused.candidate {
            Some(candidate) => {
                victims.extend(candidate.victims.iter().map(|entry| Victim {
                    pod: entry.object.key.clone(),
                    uid: entry.object.uid.clone(),
                }));
                let name = self.snapshot.node_name(candidate.node);
                self.snapshot.nominate(subject.entry(), &name);
                Nomination::Set(name)
            }
            None if !refused.ineligible
                && matches!(refused.preemption, PreemptionOutcome::Unschedulable(_)) =>
            {
                self.snapshot.withdraw_nomination(&subject.object.key);
                Nomination::Clear
            }
            None => Nomination::Keep,
        };
        self.queue.park(QueuedPod {
            refused_by: refused.refused_by.clone(),
            message: Arc::clone(&message),
            template: Some(Arc::clone(&subject.template)),
            ..pod
        });
        CycleOutcome::Unschedulable {
            message,
            refused_by: refused.refused_by.into_iter().collect(),
            nomination,
            victims,
        }
    }

    /// Gives up on bindings that were never seen, and tries those pods again.
    fn expire_assumed(&mut self, cluster: &Cluster, now: Timestamp) {
        while let Some((until, key)) = self.expiries.pop_front_if(|(until, _)| *until <= now) {
            // Bound meanwhile, or assigned anew.
            let is_current = |assumed: &Assumed| assumed.until == until;
            if !self.assumed.get(&key).is_some_and(is_current) {
                continue;
            }
            if let Some(assumed) = self.assumed.remove(&key)
                && let Some(node) = self.snapshot.node_id(&assumed.node)
            {
                self.snapshot.forget(&key, node);
            }
            if let Some(pod) = cluster.get(&key).filter(|pod| self.wants(pod)) {
                self.queue.insert(pod);
            }
        }
    }

    /// When [`Self::next`] may have a cycle: the earliest possible time means now, `None` not before
    /// another change.
    pub fn next_wake(&self) -> Option<Timestamp> {
        if !self.is_synced {
            return Some(Timestamp::MIN);
        }
        let expiry = self.expiries.front().map(|(until, _)| *until);
        self.queue.next_wake().into_iter().chain(expiry).min()
    }

    /// The cluster as the scheduler sees it, assigned pods included.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Who waits, and why.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }
}
