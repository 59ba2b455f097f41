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
use super::{Controller, Outcome, field, trigger, write};
use crate::k8s::columns::{ContainerRole, ContainerState, PodPhase};
use crate::k8s::{Change, Cluster, Object, ObjectKey, resources};

mod finished;
mod index;
mod per_index;
mod pods;
mod policy;
mod verdict;

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
    reconcile: finished::remove,
};

const NAME: &str = "job-controller";

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

#[cfg(test)]
mod tests;
