//! The end of a pod: graceful stop after its deletion, and the last word to the API server.

use jiff::{SignedDuration, Timestamp};

use super::super::delay;
use super::{Action, Visit};
use crate::k8s::{Object, Op, Preconditions, Propagation};

/// Containers have been told to stop.
#[derive(Clone, Debug)]
pub struct Stopping {
    /// When the last one is gone.
    at: Timestamp,
    /// It did not go within its grace period.
    killed: bool,
}

/// Kubernetes' default `terminationGracePeriodSeconds`.
const GRACE_SECONDS: i64 = 30;
/// A deletion that had no effect is asked for again.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// Removes the pod's object: its containers are gone.
pub fn delete(object: &Object) -> Op {
    Op::Delete {
        key: object.key.clone(),
        if_match: Preconditions {
            uid: Some(object.uid.clone()),
            revision: None,
        },
        propagation: Propagation::Background,
        grace_period_s: Some(0),
    }
}

impl Visit<'_> {
    pub(super) fn next_of_stopping(&self) -> (Timestamp, Action) {
        if let Some(asked_at) = self.life.deleted_at {
            return (asked_at + ASK_AGAIN, Action::Vanish);
        }
        let is_running = (0..self.pod.spec.slots()).any(|slot| self.is_running(slot));
        // What ran when the power went is not running any more, whatever the status says.
        if !is_running || self.has_lost_instances() {
            return (self.now, Action::Vanish);
        }
        match &self.life.stopping {
            None => (self.now, Action::BeginStop),
            Some(stopping) => (stopping.at, Action::FinishStop),
        }
    }

    fn is_running(&self, slot: usize) -> bool {
        self.pod
            .status
            .container(slot)
            .is_some_and(|status| status.state.is_running())
    }

    pub(super) fn begin_stop(&mut self) {
        let metadata = &self.pod.metadata;
        let grace = metadata
            .deletion_grace_period_seconds
            .unwrap_or(GRACE_SECONDS);
        let grace = SignedDuration::from_secs(grace.clamp(0, 86_400));
        let mut longest = SignedDuration::ZERO;
        let mut names = Vec::new();
        for slot in 0..self.pod.spec.slots() {
            let Some(container) = self
                .pod
                .spec
                .container(slot)
                .filter(|_| self.is_running(slot))
            else {
                continue;
            };
            let hook = SignedDuration::from_secs(container.pre_stop_seconds().clamp(0, 86_400));
            let stop = self.draw(&format!("{}/stop", container.name), delay::STOP);
            longest = longest.max(hook + stop);
            names.push((slot, container.name.clone()));
        }
        for (slot, name) in names {
            self.normal_of(slot, "Killing", format!("Stopping container {name}"));
        }
        self.life.starting = None;
        self.life.stopping = Some(Stopping {
            at: self.now + longest.min(grace),
            killed: longest > grace,
        });
    }

    pub(super) fn finish_stop(&mut self, at: Timestamp) {
        let killed = self
            .life
            .stopping
            .as_ref()
            .is_some_and(|stopping| stopping.killed);
        // A server ends cleanly when told to; a batch process dies of the signal.
        let (exit_code, reason) = if killed {
            (137, "Error")
        } else if self.pod.spec.restarts_always() {
            (0, "Completed")
        } else {
            (143, "Error")
        };
        for slot in 0..self.pod.spec.slots() {
            if self.is_running(slot) {
                self.terminate(slot, at, exit_code, reason.into());
            }
        }
        self.vanish();
    }

    pub(super) fn vanish(&mut self) {
        self.life.deleted_at = Some(self.now);
        self.machine.release(&self.object.uid);
        self.vanished = true;
    }

    /// Sidecars are stopped when the last container has ended for good.
    pub(super) fn stop_idle_sidecars(&mut self) {
        if !self.pod.is_over() {
            return;
        }
        let inits = self.pod.spec.init_containers.len();
        for slot in (0..inits).rev() {
            if self.is_running(slot) {
                let name = self.pod.spec.container(slot).map(|it| it.name.clone());
                self.normal_of(
                    slot,
                    "Killing",
                    format!("Stopping container {}", name.unwrap_or_default()),
                );
                self.terminate(slot, self.now, 0, "Completed".into());
            }
        }
    }
}
