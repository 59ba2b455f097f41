//! The controllers with their work queues, served in turn.

use jiff::{SignedDuration, Timestamp};

use crate::control::{self, Controller};
use crate::k8s::{Change, Cluster, ObjectKey, resources};

use super::workqueue::WorkQueue;

/// One controller and what it has to look at.
#[derive(Clone)]
struct Desk {
    controller: Controller,
    queue: WorkQueue,
    /// How long a change of a pod waits for others, to be looked at with them.
    batch: SignedDuration,
}

/// All of them, and whose turn it is.
#[derive(Clone)]
pub struct Controllers {
    desks: Vec<Desk>,
    turn: usize,
    /// Reused for the keys that a change concerns.
    concerned: Vec<ObjectKey>,
}

/// A key that is to be reconciled now.
pub struct Job {
    desk: usize,
    pub key: ObjectKey,
    pub controller: Controller,
}

impl Controllers {
    /// Every controller, each acting on what it sees at once.
    pub fn live() -> Self {
        Self::of(control::all(), SignedDuration::ZERO)
    }

    /// `endpoints_batch`: how long changes of pods are gathered before a service's endpoints are
    /// written, zero for not at all: kube-controller-manager's `--endpoint-updates-batch-period`
    /// and `--endpointslice-updates-batch-period`.
    pub fn of(controllers: Vec<Controller>, endpoints_batch: SignedDuration) -> Self {
        let desks = controllers.into_iter().map(|controller| Desk {
            controller,
            queue: WorkQueue::default(),
            batch: if controller.writes_endpoints() {
                endpoints_batch
            } else {
                SignedDuration::ZERO
            },
        });
        Self {
            desks: desks.collect(),
            turn: 0,
            concerned: Vec::new(),
        }
    }

    /// Queues what a change concerns; the cluster is the one after it.
    pub fn observe(&mut self, cluster: &Cluster, change: &Change, now: Timestamp) {
        let is_pod = change.object.key.resource == resources::PODS;
        for desk in &mut self.desks {
            (desk.controller.triggers)(cluster, change, &mut self.concerned);
            let waits = is_pod && !desk.batch.is_zero();
            for key in self.concerned.drain(..) {
                if waits {
                    let at = now.saturating_add(desk.batch).unwrap_or(Timestamp::MAX);
                    desk.queue.add_at(key, at);
                } else {
                    desk.queue.add(key);
                }
            }
        }
    }

    /// Queues what one of all objects of a cluster concerns when its controllers start.
    pub fn meet(&mut self, cluster: &Cluster, addition: &Change) {
        let is_pod = addition.object.key.resource == resources::PODS;
        for desk in &mut self.desks {
            if is_pod && !desk.controller.looks_after_pods() {
                continue;
            }
            (desk.controller.triggers)(cluster, addition, &mut self.concerned);
            for key in self.concerned.drain(..) {
                desk.queue.add(key);
            }
        }
    }

    /// The next key, one controller after the other, so that none starves the others.
    pub fn next(&mut self, now: Timestamp) -> Option<Job> {
        let count = self.desks.len();
        for offset in 0..count {
            let place = (self.turn + offset) % count;
            if let Some(desk) = self.desks.get_mut(place)
                && let Some(key) = desk.queue.pop(now)
            {
                self.turn = place + 1;
                return Some(Job {
                    desk: place,
                    key,
                    controller: desk.controller,
                });
            }
        }
        None
    }

    /// The key was dealt with; it may want to be looked at again.
    pub fn done(&mut self, job: Job, again_at: Option<Timestamp>) {
        if let Some(desk) = self.desks.get_mut(job.desk) {
            desk.queue.forget(&job.key);
            if let Some(at) = again_at {
                desk.queue.add_at(job.key, at);
            }
        }
    }

    /// Something that the key wanted was refused; look again, later each time.
    pub fn failed(&mut self, job: Job, now: Timestamp) {
        if let Some(desk) = self.desks.get_mut(job.desk) {
            desk.queue.retry(job.key, now);
        }
    }

    pub fn has_ready(&self, now: Timestamp) -> bool {
        self.desks.iter().any(|desk| desk.queue.has_ready(now))
    }

    pub fn next_wake(&self) -> Option<Timestamp> {
        self.desks
            .iter()
            .filter_map(|desk| desk.queue.next_wake())
            .min()
    }
}
