//! What may happen next: pods are made in ascending order, removed and replaced in descending
//! order, and unless the set is `Parallel` one at a time.
//!
//! Source: `stateful_set_control.go` of Kubernetes 1.36.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::super::field::{self, Rounding};
use super::super::pod::{self, Availability};
use super::super::{BURST, write};
use super::{Set, identity, is_running_and_ready};
use crate::k8s::columns::PodColumns;
use crate::k8s::{Object, resources};

impl<'a> Set<'a> {
    /// One round: make what is missing, remove what is too many, replace what is old.
    pub(super) fn step(&mut self) {
        for ordinal in self.ordinals() {
            if self.outcome.ops.len() >= BURST || self.fill(ordinal).is_break() {
                return;
            }
        }
        if self.condemn().is_break() {
            return;
        }
        if self.is_rolling() {
            self.replace_oldest();
        }
    }

    fn is_ordered(&self) -> bool {
        self.spec.pod_management_policy != "Parallel"
    }

    /// Stops an ordered set, lets a parallel one go on.
    fn wait(&self) -> ControlFlow<()> {
        if self.is_ordered() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn is_available(&self, pod: &Object) -> bool {
        let min_ready_s = self.spec.min_ready_seconds;
        pod::availability(pod, min_ready_s, self.now) == Availability::Available
    }

    /// Sees to one ordinal. Source: `processReplica`.
    fn fill(&mut self, ordinal: i64) -> ControlFlow<()> {
        let Some(pod) = self.pods.get(&ordinal).copied() else {
            self.create(ordinal);
            return self.wait();
        };
        let is_finished = pod.pod().is_some_and(PodColumns::is_finished);
        if is_finished && !pod.is_terminating() {
            let message = format!(
                "StatefulSet {}/{} is recreating failed Pod {}",
                self.object.namespace(),
                self.object.name(),
                pod.name()
            );
            let event = self.report().warning("RecreatingFailedPod", message);
            self.outcome.ops.push(event);
            self.outcome.ops.push(write::delete(pod));
            return ControlFlow::Break(());
        }
        self.create_claims(ordinal);
        if pod.is_terminating() || !is_running_and_ready(pod) || !self.is_available(pod) {
            return self.wait();
        }
        ControlFlow::Continue(())
    }

    fn create(&mut self, ordinal: i64) {
        self.create_claims(ordinal);
        let partition =
            self.spec.ordinals.start + self.spec.update_strategy.rolling_update.partition;
        let revision = if self.is_rolling() && ordinal < partition {
            self.current.clone()
        } else {
            self.update.clone()
        };
        let pod = self.pod(ordinal, &revision);
        let namespace = self.object.namespace();
        let event = self.told("SuccessfulCreate", "create", ordinal);
        self.outcome
            .ops
            .push(write::create(resources::PODS, namespace, pod));
        self.outcome.ops.push(event);
    }

    /// Removes pods beyond the wanted ones, the highest ordinal first. Source: `processCondemned`.
    fn condemn(&mut self) -> ControlFlow<()> {
        let wanted = self.ordinals();
        let condemned: Vec<(i64, &'a Arc<Object>)> = self
            .pods
            .iter()
            .rev()
            .filter(|(ordinal, _)| !wanted.contains(*ordinal))
            .map(|(ordinal, pod)| (*ordinal, *pod))
            .collect();
        let first_unhealthy = self.first_unhealthy();
        for (ordinal, pod) in condemned {
            if pod.is_terminating() {
                if self.is_ordered() {
                    return ControlFlow::Break(());
                }
                continue;
            }
            let healthy = is_running_and_ready(pod) && self.is_available(pod);
            if !healthy && self.is_ordered() && first_unhealthy != Some(ordinal) {
                return ControlFlow::Break(());
            }
            self.delete(ordinal, pod);
            if self.is_ordered() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// The lowest wanted, then the lowest other ordinal that is not healthy.
    fn first_unhealthy(&self) -> Option<i64> {
        let wanted = self.ordinals();
        let unhealthy = |(ordinal, pod): (&i64, &&Arc<Object>)| {
            (!is_running_and_ready(pod) || pod.is_terminating()).then_some(*ordinal)
        };
        let inside = self.pods.iter().filter(|(n, _)| wanted.contains(*n));
        let outside = self.pods.iter().filter(|(n, _)| !wanted.contains(*n));
        inside.chain(outside).find_map(unhealthy)
    }

    /// Deletes the highest ordinal above the partition that is not of the update revision, once all
    /// above it are healthy.
    fn replace_oldest(&mut self) {
        let partition = self.spec.update_strategy.rolling_update.partition;
        let first = self.spec.ordinals.start + partition;
        let limit = self.max_unavailable();
        if limit > 1 {
            self.replace_several(first, limit);
            return;
        }
        for ordinal in (first..self.ordinals().end).rev() {
            let Some(pod) = self.pods.get(&ordinal).copied() else {
                return;
            };
            if Self::revision_of(pod) != self.update.name && !pod.is_terminating() {
                self.delete(ordinal, pod);
                return;
            }
            if pod.is_terminating() || !is_running_and_ready(pod) || !self.is_available(pod) {
                return;
            }
        }
    }

    /// How many pods of an update may be down at once; one, unless the set says more.
    fn max_unavailable(&self) -> i64 {
        let stated = &self.spec.update_strategy.rolling_update.max_unavailable;
        stated
            .as_ref()
            .and_then(|limit| field::scaled(limit, self.replicas(), Rounding::Up))
            .unwrap_or(1)
    }

    /// Deletes old pods, the highest ordinal first, as long as fewer than `limit` are unavailable.
    fn replace_several(&mut self, first: i64, limit: i64) {
        let ordinals = self.ordinals();
        let is_up = |pod: &Arc<Object>| {
            !pod.is_terminating() && is_running_and_ready(pod) && self.is_available(pod)
        };
        let down = ordinals
            .clone()
            .filter(|ordinal| !self.pods.get(ordinal).is_some_and(|pod| is_up(pod)))
            .count();
        let room = usize::try_from(limit)
            .unwrap_or_default()
            .saturating_sub(down);
        let old: Vec<(i64, &'a Arc<Object>)> = (first..ordinals.end)
            .rev()
            .filter_map(|ordinal| Some((ordinal, *self.pods.get(&ordinal)?)))
            .filter(|(_, pod)| !pod.is_terminating() && Self::revision_of(pod) != self.update.name)
            .take(room)
            .collect();
        for (ordinal, pod) in old {
            self.delete(ordinal, pod);
        }
    }

    fn delete(&mut self, ordinal: i64, pod: &Arc<Object>) {
        let event = self.told("SuccessfulDelete", "delete", ordinal);
        self.outcome.ops.push(write::delete(pod));
        self.outcome.ops.push(event);
    }

    fn told(&self, reason: &'static str, verb: &str, ordinal: i64) -> crate::k8s::Op {
        let message = format!(
            "{verb} Pod {} in StatefulSet {} successful",
            identity::pod_name(self.object, ordinal),
            self.object.name()
        );
        self.report().normal(reason, message)
    }
}
