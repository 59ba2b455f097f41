//! The controllers with their work queues, served in turn.

use jiff::Timestamp;

use crate::control::{self, Controller};
use crate::k8s::{Change, Cluster, ObjectKey};

use super::workqueue::WorkQueue;

/// One controller and what it has to look at.
#[derive(Clone)]
struct Desk {
    controller: Controller,
    queue: WorkQueue,
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
    pub fn new() -> Self {
        let desks = control::all().into_iter().map(|controller| Desk {
            controller,
            queue: WorkQueue::default(),
        });
        Self {
            desks: desks.collect(),
            turn: 0,
            concerned: Vec::new(),
        }
    }

    /// Queues what a change concerns; the cluster is the one after it.
    pub fn observe(&mut self, cluster: &Cluster, change: &Change) {
        for desk in &mut self.desks {
            (desk.controller.triggers)(cluster, change, &mut self.concerned);
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
