//! A job's pods: as many as may run at a time, fewer when it ends, none too early after a failure.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::super::{BURST, kind, naming, pod, seconds_after, write};
use super::{Run, index};
use crate::k8s::{Object, resources};

/// Source: `DefaultJobPodFailureBackOff` and `MaxJobPodFailureBackOff`.
const BACKOFF_FIRST_S: i64 = 10;
const BACKOFF_MAX_S: i64 = 600;

impl Run<'_> {
    pub(super) fn end_pods(&mut self) {
        let pods: Vec<&Arc<Object>> = self.active.iter().copied().take(BURST).collect();
        for pod in pods {
            self.delete(pod);
        }
    }

    pub(super) fn delete(&mut self, pod: &Object) {
        let event = self
            .report()
            .normal("SuccessfulDelete", format!("Deleted pod: {}", pod.name()));
        self.outcome.ops.push(write::delete(pod));
        self.outcome.ops.push(event);
    }

    /// Source: `manageJob`.
    pub(super) fn manage(&mut self) {
        let parallelism = usize::try_from(self.spec.parallelism.unwrap_or(1)).unwrap_or_default();
        let active = self.active.len();
        let wanted = match self.spec.completions {
            Some(completions) => {
                let left = usize::try_from(completions - self.succeeded).unwrap_or_default();
                left.saturating_sub(self.failed_indexes()).min(parallelism)
            }
            // Without a number of completions the first success stops the making of pods.
            None if self.succeeded > 0 => active.min(parallelism),
            None => parallelism,
        };
        if active > wanted {
            let mut surplus: Vec<&Arc<Object>> = self.active.clone();
            surplus.sort_by_key(|pod| {
                let is_assigned = pod.pod().is_some_and(|columns| columns.node.is_some());
                (
                    is_assigned,
                    pod::is_ready(pod),
                    std::cmp::Reverse(pod.created),
                    pod.key.clone(),
                )
            });
            for pod in surplus.into_iter().take((active - wanted).min(BURST)) {
                self.delete(pod);
            }
            return;
        }
        let mut held = active;
        // A failure policy judges pods that have ended, so it waits for them by default.
        let waits = match self.spec.pod_replacement_policy.as_str() {
            "" => self.spec.pod_failure_policy.is_some(),
            policy => policy == "Failed",
        };
        if waits {
            held += self.terminating;
        }
        let missing = wanted.saturating_sub(held).min(BURST);
        if missing == 0 {
            return;
        }
        if self.indexes.is_none()
            && let Some(until) = self.backs_off_until()
            && until > self.now
        {
            self.outcome.look_again(until);
            return;
        }
        self.create(missing);
    }

    /// After failures in a row new pods wait: 10 s, doubled with each, at most ten minutes.
    pub(super) fn backs_off_until(&self) -> Option<Timestamp> {
        let last = self.last_failure?;
        (self.failures_in_a_row > 0).then(|| seconds_after(last, backoff_s(self.failures_in_a_row)))
    }

    pub(super) fn create(&mut self, missing: usize) {
        if !self.is_indexed() {
            for n in 0..missing {
                let name = naming::generated(self.cluster, &resources::PODS, self.object, n);
                self.add(&name, None);
            }
            return;
        }
        let running: BTreeSet<i64> = self
            .active
            .iter()
            .filter_map(|pod| index::of(pod))
            .collect();
        let waits = |index: &i64| {
            let until = self.indexes.as_ref()?.waits_until(*index)?;
            (until > self.now).then_some(until)
        };
        let has_failed = |index: &i64| {
            let indexes = self.indexes.as_ref();
            indexes.is_some_and(|indexes| indexes.failed.contains(index))
        };
        let (late, free): (Vec<i64>, Vec<i64>) = (0..self.spec.completions.unwrap_or_default())
            .filter(|index| !self.done.contains(index) && !running.contains(index))
            .filter(|index| !has_failed(index))
            .partition(|index| waits(index).is_some());
        if let Some(soonest) = late.iter().filter_map(waits).min() {
            self.outcome.look_again(soonest);
        }
        let free = free.into_iter().take(missing);
        for (n, index) in free.enumerate() {
            let prefix = format!("{}-{index}-", self.object.name());
            let place = (prefix.as_str(), n);
            let name = naming::with_suffix(self.cluster, &resources::PODS, self.object, place);
            self.add(&name, Some(index));
        }
    }

    pub(super) fn add(&mut self, name: &str, index: Option<i64>) {
        let mut pod = pod::from_template(&self.spec.template, self.object, &kind::JOB, name);
        // The API server adds these to the template; older stored jobs lack them.
        let (uid, job) = (&self.object.uid.0, self.object.name());
        let labels = json!({"metadata": {"labels": {
            "batch.kubernetes.io/controller-uid": uid,
            "batch.kubernetes.io/job-name": job,
            "controller-uid": uid,
            "job-name": job,
        }}});
        json_patch::merge(&mut pod, &labels);
        if let Some(index) = index {
            index::mark(&mut pod, self.object.name(), index);
            if let Some(indexes) = &self.indexes {
                indexes.mark(&mut pod, index);
            }
        }
        let event = self
            .report()
            .normal("SuccessfulCreate", format!("Created pod: {name}"));
        let namespace = self.object.namespace();
        self.outcome
            .ops
            .push(write::create(resources::PODS, namespace, pod));
        self.outcome.ops.push(event);
    }
}

/// How long the next try waits after so many failures.
pub(super) fn backoff_s(failures: u32) -> i64 {
    let doublings = failures.saturating_sub(1).min(10);
    (BACKOFF_FIRST_S << doublings).min(BACKOFF_MAX_S)
}
