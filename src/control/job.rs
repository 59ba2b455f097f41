//! Job: pods that run to completion, so many at a time, so many in all.
//!
//! Source: `pkg/controller/job` of Kubernetes 1.36. Pods are counted without the tracking
//! finalizer: a count never falls below what the status already says, so that a pod which vanishes
//! after it was counted is not lost, but one that vanishes before is run again.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::condition::{self, Condition, Times};
use super::kind;
use super::pod;
use super::write::Reporter;
use super::{BURST, Controller, Outcome, field, naming, seconds_after, trigger, write};
use crate::k8s::columns::{ContainerRole, ContainerState, PodPhase};
use crate::k8s::{Change, Cluster, Object, ObjectKey, Op, Preconditions, Propagation, resources};

mod index;
mod per_index;
mod policy;

use per_index::Indexes;
use policy::{Failure, FailurePolicy, SuccessPolicy};

pub(super) const CONTROLLER: Controller = Controller {
    name: NAME,
    triggers,
    reconcile,
};

/// Deletes finished jobs after `ttlSecondsAfterFinished`.
pub(super) const TTL: Controller = Controller {
    name: "ttl-after-finished-controller",
    triggers: |_, change, keys| trigger::itself(change, &resources::JOBS, keys),
    reconcile: remove_finished,
};

const NAME: &str = "job-controller";
/// Source: `DefaultJobPodFailureBackOff` and `MaxJobPodFailureBackOff`.
const BACKOFF_FIRST_S: i64 = 10;
const BACKOFF_MAX_S: i64 = 600;

#[derive(Deserialize)]
struct Wire {
    spec: Spec,
    #[serde(default)]
    status: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    completions: Option<i64>,
    parallelism: Option<i64>,
    backoff_limit: Option<i64>,
    backoff_limit_per_index: Option<i64>,
    max_failed_indexes: Option<i64>,
    #[serde(default)]
    completion_mode: String,
    active_deadline_seconds: Option<i64>,
    ttl_seconds_after_finished: Option<i64>,
    #[serde(default)]
    suspend: bool,
    #[serde(default)]
    pod_replacement_policy: String,
    pod_failure_policy: Option<FailurePolicy>,
    success_policy: Option<SuccessPolicy>,
    template: Value,
}

fn triggers(_cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    trigger::itself(change, &resources::JOBS, keys);
    if change.object.key.resource == resources::PODS {
        trigger::controller(change, &kind::JOB, keys);
    }
}

/// When a job ended: the time of its `Complete` or `Failed` condition.
pub(super) fn finished(status: &Value) -> Option<(&str, Timestamp)> {
    let conditions = field::list(status, "/conditions");
    ["Complete", "Failed"].into_iter().find_map(|kind| {
        let entry = condition::find(conditions, kind)
            .filter(|entry| field::text(entry, "/status") == "True")?;
        let since = field::text(entry, "/lastTransitionTime").parse().ok()?;
        Some((kind, since))
    })
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, now: Timestamp) -> Outcome {
    let Some(object) = cluster.get(key).filter(|job| !job.is_terminating()) else {
        return Outcome::default();
    };
    let Ok(Wire { spec, mut status }) = object.typed() else {
        return Outcome::default();
    };
    if !status.is_object() {
        status = json!({});
    }
    if finished(&status).is_some() {
        return Outcome::default();
    }
    let run = Run::of(cluster, object, (&spec, &status), now);
    run.take(&status)
}

/// One run over one job.
struct Run<'a> {
    cluster: &'a Cluster,
    object: &'a Arc<Object>,
    spec: &'a Spec,
    now: Timestamp,
    active: Vec<&'a Arc<Object>>,
    terminating: usize,
    failed: i64,
    /// Why the pod failure policy ends the job.
    ruled_out: Option<String>,
    succeeded: i64,
    /// Indexes that are done, in `Indexed` mode.
    done: BTreeSet<i64>,
    /// Where each index has a limit of its own.
    indexes: Option<Indexes>,
    /// When the pods finished, failures in a row since the last success.
    failures_in_a_row: u32,
    last_failure: Option<Timestamp>,
    conditions: Vec<Value>,
    outcome: Outcome,
}

impl<'a> Run<'a> {
    fn of(
        cluster: &'a Cluster,
        object: &'a Arc<Object>,
        (spec, status): (&'a Spec, &Value),
        now: Timestamp,
    ) -> Self {
        let pods: Vec<&Arc<Object>> = pod::controlled(cluster, &object.uid).collect();
        let phase = |wanted: PodPhase| {
            pods.iter()
                .copied()
                .filter(move |pod| pod.pod().is_some_and(|columns| columns.phase == wanted))
        };
        let mut done = index::parse(field::text(status, "/completedIndexes"));
        done.extend(phase(PodPhase::Succeeded).filter_map(|pod| index::of(pod)));
        let is_indexed = spec.completion_mode == "Indexed";
        let seen = |name: &str| field::count(status, &format!("/{name}"));
        let count = |phase: usize| i64::try_from(phase).unwrap_or(i64::MAX);
        let succeeded = if is_indexed {
            count(done.len())
        } else {
            count(phase(PodPhase::Succeeded).count()).max(seen("succeeded"))
        };
        let last_success = phase(PodPhase::Succeeded)
            .filter_map(|pod| ended(pod))
            .max();
        let policy = spec.pod_failure_policy.as_ref();
        let judged: Vec<(&Arc<Object>, Failure)> = phase(PodPhase::Failed)
            .map(|pod| {
                let failure = policy.map_or(Failure::Counts, |policy| policy.judge(pod));
                (pod, failure)
            })
            .collect();
        let ruled_out = judged.iter().find_map(|(_, failure)| match failure {
            Failure::FailsJob(why) => Some(why.clone()),
            Failure::Counts | Failure::Ignored | Failure::FailsIndex => None,
        });
        let limit = spec.backoff_limit_per_index.filter(|_| is_indexed);
        let indexes = limit.map(|limit| {
            let mut indexes = Indexes::of(limit, status, &judged);
            indexes.failed.retain(|index| !done.contains(index));
            indexes
        });
        let counted: Vec<&Arc<Object>> = judged
            .into_iter()
            .filter(|(_, failure)| *failure != Failure::Ignored)
            .map(|(pod, _)| pod)
            .collect();
        let late: Vec<Timestamp> = counted
            .iter()
            .copied()
            .filter_map(|pod| ended(pod))
            .filter(|end| last_success.is_none_or(|success| *end > success))
            .collect();
        Self {
            cluster,
            object,
            spec,
            now,
            active: pods
                .iter()
                .copied()
                .filter(|pod| pod::is_active(pod))
                .collect(),
            terminating: pods.iter().filter(|pod| pod::is_terminating(pod)).count(),
            failed: count(counted.len()).max(seen("failed")),
            ruled_out,
            succeeded,
            done,
            indexes,
            failures_in_a_row: u32::try_from(late.len()).unwrap_or(u32::MAX),
            last_failure: late.into_iter().max(),
            conditions: field::list(status, "/conditions").to_vec(),
            outcome: Outcome::default(),
        }
    }

    fn take(mut self, before: &Value) -> Outcome {
        let started = if self.spec.suspend {
            None
        } else {
            let known = field::text(before, "/startTime").parse::<Timestamp>().ok();
            Some(known.unwrap_or(self.now))
        };
        let verdict = self.failure(started).or_else(|| self.success());
        let mut completed = None;
        if let Some(verdict) = verdict {
            self.end_pods();
            self.judge(verdict.interim, verdict.reason, &verdict.message);
            if self.terminating == 0 && self.active.is_empty() {
                self.judge(verdict.last, verdict.reason, &verdict.message);
                self.tell_end(&verdict);
                completed = (verdict.last == "Complete").then_some(self.now);
            }
        } else if self.spec.suspend {
            self.end_pods();
            self.suspend();
        } else {
            self.resume();
            self.manage();
        }
        let status = self.status(started, completed);
        self.outcome
            .ops
            .extend(write::status(self.object, before, &status));
        self.outcome
    }

    fn report(&self) -> Reporter<'_> {
        Reporter {
            name: NAME,
            object: self.object,
            kind: &kind::JOB,
        }
    }

    fn is_indexed(&self) -> bool {
        self.spec.completion_mode == "Indexed"
    }

    fn failure(&mut self, started: Option<Timestamp>) -> Option<Verdict> {
        let failed = |reason, message: &str| {
            Some(Verdict {
                interim: "FailureTarget",
                last: "Failed",
                reason,
                message: message.to_owned(),
            })
        };
        // A verdict stands while its pods are still ending.
        if let Some(entry) = condition::find(&self.conditions, "FailureTarget") {
            let reason = match field::text(entry, "/reason") {
                "DeadlineExceeded" => "DeadlineExceeded",
                "PodFailurePolicy" => "PodFailurePolicy",
                "MaxFailedIndexesExceeded" => "MaxFailedIndexesExceeded",
                "FailedIndexes" => "FailedIndexes",
                _ => "BackoffLimitExceeded",
            };
            let message = field::text(entry, "/message").to_owned();
            return failed(reason, &message);
        }
        if let Some(why) = self.ruled_out.clone() {
            return failed("PodFailurePolicy", &why);
        }
        let limit = self.spec.backoff_limit.unwrap_or(6);
        if self.failed > limit || self.restarts() > limit.max(0) && self.restarts_on_failure() {
            return failed(
                "BackoffLimitExceeded",
                "Job has reached the specified backoff limit",
            );
        }
        if let (Some(seconds), Some(started)) = (self.spec.active_deadline_seconds, started) {
            let deadline = seconds_after(started, seconds);
            if deadline <= self.now {
                return failed(
                    "DeadlineExceeded",
                    "Job was active longer than specified deadline",
                );
            }
            self.outcome.look_again(deadline);
        }
        let failures = i64::try_from(self.failed_indexes()).unwrap_or(i64::MAX);
        if self
            .spec
            .max_failed_indexes
            .is_some_and(|most| failures > most)
        {
            return failed(
                "MaxFailedIndexesExceeded",
                "Job has exceeded the specified maximal number of failed indexes",
            );
        }
        let asked = self.spec.completions.unwrap_or_default();
        if failures > 0 && failures.saturating_add(self.succeeded) >= asked {
            return failed("FailedIndexes", "Job has failed indexes");
        }
        None
    }

    fn failed_indexes(&self) -> usize {
        let indexes = self.indexes.as_ref();
        indexes.map_or(0, |indexes| indexes.failed.len())
    }

    fn restarts_on_failure(&self) -> bool {
        field::text(&self.spec.template, "/spec/restartPolicy") == "OnFailure"
    }

    /// Restarts of containers in pods that run on. Source: `pastBackoffLimitOnFailure`.
    fn restarts(&self) -> i64 {
        let restarts = self.active.iter().filter_map(|pod| pod.pod());
        restarts.map(|columns| i64::from(columns.restarts())).sum()
    }

    fn success(&self) -> Option<Verdict> {
        let policy = self.spec.success_policy.as_ref();
        if let Some(rule) = policy.and_then(|policy| policy.met(&self.done)) {
            return Some(Verdict {
                interim: "SuccessCriteriaMet",
                last: "Complete",
                reason: "SuccessPolicy",
                message: format!("Matched rules at index {rule}"),
            });
        }
        let is_done = match self.spec.completions {
            Some(completions) => self.succeeded >= completions,
            None => self.succeeded > 0 && self.active.is_empty(),
        };
        is_done.then(|| Verdict {
            interim: "SuccessCriteriaMet",
            last: "Complete",
            reason: "CompletionsReached",
            message: "Reached expected number of succeeded pods".to_owned(),
        })
    }

    fn judge(&mut self, kind: &str, reason: &str, message: &str) {
        let condition = Condition {
            kind,
            status: "True",
            reason,
            message,
        };
        condition::set(&mut self.conditions, condition, Times::Probe, self.now);
    }

    fn tell_end(&mut self, verdict: &Verdict) {
        let event = if verdict.last == "Complete" {
            self.report()
                .normal("Completed", "Job completed".to_owned())
        } else {
            self.report()
                .warning(verdict.reason, verdict.message.clone())
        };
        self.outcome.ops.push(event);
    }

    fn suspend(&mut self) {
        self.turn_suspended("True", "JobSuspended", "Job suspended", "Suspended");
    }

    fn resume(&mut self) {
        if condition::is_true(&self.conditions, "Suspended") {
            self.turn_suspended("False", "JobResumed", "Job resumed", "Resumed");
        }
    }

    fn turn_suspended(
        &mut self,
        status: &str,
        reason: &str,
        message: &'static str,
        event: &'static str,
    ) {
        let condition = Condition {
            kind: "Suspended",
            status,
            reason,
            message,
        };
        let is_news = condition::find(&self.conditions, "Suspended")
            .is_none_or(|entry| field::text(entry, "/status") != status);
        condition::set(&mut self.conditions, condition, Times::Probe, self.now);
        if is_news {
            let event = self.report().normal(event, message.to_owned());
            self.outcome.ops.push(event);
        }
    }

    fn end_pods(&mut self) {
        let pods: Vec<&Arc<Object>> = self.active.iter().copied().take(BURST).collect();
        for pod in pods {
            self.delete(pod);
        }
    }

    fn delete(&mut self, pod: &Object) {
        let event = self
            .report()
            .normal("SuccessfulDelete", format!("Deleted pod: {}", pod.name()));
        self.outcome.ops.push(write::delete(pod));
        self.outcome.ops.push(event);
    }

    /// Source: `manageJob`.
    fn manage(&mut self) {
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
    fn backs_off_until(&self) -> Option<Timestamp> {
        let last = self.last_failure?;
        (self.failures_in_a_row > 0).then(|| seconds_after(last, backoff_s(self.failures_in_a_row)))
    }

    fn create(&mut self, missing: usize) {
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

    fn add(&mut self, name: &str, index: Option<i64>) {
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

    fn status(&self, started: Option<Timestamp>, completed: Option<Timestamp>) -> Value {
        let ready = self.active.iter().filter(|pod| pod::is_ready(pod)).count();
        let mut status = json!({
            "ready": ready,
            "terminating": self.terminating,
            "uncountedTerminatedPods": {},
        });
        let active = i64::try_from(self.active.len()).unwrap_or(i64::MAX);
        for (name, count) in [
            ("active", active),
            ("succeeded", self.succeeded),
            ("failed", self.failed),
        ] {
            if count > 0 {
                field::put(&mut status, name, count.into());
            }
        }
        for (name, time) in [("startTime", started), ("completionTime", completed)] {
            if let Some(time) = time {
                field::put(&mut status, name, write::time(time));
            }
        }
        if self.is_indexed() && !self.done.is_empty() {
            field::put(
                &mut status,
                "completedIndexes",
                index::print(&self.done).into(),
            );
        }
        if let Some(indexes) = &self.indexes {
            let failed = index::print(&indexes.failed);
            field::put(&mut status, "failedIndexes", failed.into());
        }
        if !self.conditions.is_empty() {
            field::put(&mut status, "conditions", self.conditions.clone().into());
        }
        status
    }
}

/// How a job ends: the condition while pods are ending, and the last one.
struct Verdict {
    interim: &'static str,
    last: &'static str,
    reason: &'static str,
    message: String,
}

/// How long the next try waits after so many failures.
fn backoff_s(failures: u32) -> i64 {
    let doublings = failures.saturating_sub(1).min(10);
    (BACKOFF_FIRST_S << doublings).min(BACKOFF_MAX_S)
}

/// When the last container of a finished pod ended.
fn ended(pod: &Object) -> Option<Timestamp> {
    let containers = pod.pod()?.containers.iter();
    let ends = containers
        .filter(|container| container.role == ContainerRole::App)
        .filter_map(|container| match &container.state {
            ContainerState::Terminated(end) => end.finished_at,
            _ => None,
        });
    ends.max()
}

fn remove_finished(cluster: &Cluster, key: &ObjectKey, now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(job) = cluster.get(key).filter(|job| !job.is_terminating()) else {
        return outcome;
    };
    let Ok(Wire { spec, status }) = job.typed::<Wire>() else {
        return outcome;
    };
    let (Some(ttl), Some((_, end))) = (spec.ttl_seconds_after_finished, finished(&status)) else {
        return outcome;
    };
    let due = seconds_after(end, ttl);
    if due > now {
        outcome.look_again(due);
        return outcome;
    }
    outcome.ops.push(Op::Delete {
        key: key.clone(),
        if_match: Preconditions {
            uid: Some(job.uid.clone()),
            revision: None,
        },
        propagation: Propagation::Foreground,
        grace_period_s: None,
    });
    outcome
}

#[cfg(test)]
mod tests;
