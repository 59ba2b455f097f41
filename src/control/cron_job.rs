//! CronJob: a job at each time of a schedule.
//!
//! Source: `pkg/controller/cronjob` of Kubernetes 1.36. [`schedule`] reads what Kubernetes accepts;
//! the times themselves are found by a library. A job's name is made from the minute that it is
//! for, so that one minute never gets two.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::kind;
use super::write::Reporter;
use super::{Controller, Outcome, field, job, seconds_after, trigger, write};
use crate::k8s::{Change, Cluster, Object, ObjectKey, resources};

mod schedule;

use schedule::Schedule;

pub(super) const CONTROLLER: Controller = Controller {
    name: NAME,
    triggers,
    reconcile,
};

const NAME: &str = "cronjob-controller";
const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// Source: `mostRecentScheduleTime`: more missed times than this are worth a warning.
const MISSED_MAX: usize = 100;

#[derive(Deserialize)]
struct Wire {
    spec: Spec,
    #[serde(default)]
    status: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    schedule: String,
    time_zone: Option<String>,
    starting_deadline_seconds: Option<i64>,
    #[serde(default)]
    concurrency_policy: String,
    #[serde(default)]
    suspend: bool,
    successful_jobs_history_limit: Option<i64>,
    failed_jobs_history_limit: Option<i64>,
    job_template: Value,
}

fn triggers(_cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    trigger::itself(change, &resources::CRON_JOBS, keys);
    if change.object.key.resource == resources::JOBS {
        trigger::controller(change, &kind::CRON_JOB, keys);
    }
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, now: Timestamp) -> Outcome {
    let Some(object) = cluster.get(key).filter(|cron| !cron.is_terminating()) else {
        return Outcome::default();
    };
    let Ok(Wire { spec, mut status }) = object.typed() else {
        return Outcome::default();
    };
    if !status.is_object() {
        status = json!({});
    }
    let mut jobs: Vec<Job> = cluster
        .owned_by(&object.uid)
        .filter(|job| job.key.resource == resources::JOBS)
        .filter(|job| {
            job.controller()
                .is_some_and(|owner| owner.uid == object.uid)
        })
        .map(Job::read)
        .collect();
    jobs.sort_by_key(|job| (job.object.created, job.object.key.clone()));
    let mut run = Run {
        object,
        wanted: status.clone(),
        spec,
        jobs,
        now,
        outcome: Outcome::default(),
    };
    run.note_finished(&status);
    run.clean_up();
    run.start_due(&status);
    let wanted = std::mem::take(&mut run.wanted);
    run.outcome
        .ops
        .extend(write::status(object, &status, &wanted));
    run.outcome
}

struct Job<'a> {
    object: &'a Arc<Object>,
    json: Value,
    /// `Complete` or `Failed`.
    end: Option<&'static str>,
}

impl<'a> Job<'a> {
    fn read(object: &'a Arc<Object>) -> Self {
        let json = object.json();
        let end = job::finished(field::tree(&json, "/status")).map(|(kind, _)| {
            if kind == "Complete" {
                "Complete"
            } else {
                "Failed"
            }
        });
        Self { object, json, end }
    }

    fn reference(&self) -> Value {
        json!({
            "apiVersion": kind::JOB.api_version,
            "kind": kind::JOB.name,
            "name": self.object.name(),
            "namespace": self.object.namespace(),
            "uid": self.object.uid.0,
            "resourceVersion": self.object.revision.to_string(),
        })
    }
}

struct Run<'a> {
    object: &'a Arc<Object>,
    spec: Spec,
    /// The oldest first.
    jobs: Vec<Job<'a>>,
    wanted: Value,
    now: Timestamp,
    outcome: Outcome,
}

impl<'a> Run<'a> {
    fn tell(&mut self, is_warning: bool, reason: &'static str, message: String) {
        let report = Reporter {
            name: NAME,
            object: self.object,
            kind: &kind::CRON_JOB,
        };
        self.outcome.ops.push(if is_warning {
            report.warning(reason, message)
        } else {
            report.normal(reason, message)
        });
    }

    /// Keeps `status.active` and `lastSuccessfulTime`. References keep the revision they were made
    /// with, so that a job's progress does not change its cron job.
    fn note_finished(&mut self, before: &Value) {
        let known = field::list(before, "/active");
        let is_known = |job: &Job<'_>| {
            known
                .iter()
                .find(|entry| field::text(entry, "/uid") == job.object.uid.0)
        };
        let mut active = Vec::new();
        let mut told = Vec::new();
        for job in &self.jobs {
            match (job.end, is_known(job)) {
                (None, Some(entry)) => active.push(entry.clone()),
                (None, None) => active.push(job.reference()),
                (Some(end), Some(_)) => told.push(format!(
                    "Saw completed job: {}, condition: {end}",
                    job.object.name()
                )),
                (Some(_), None) => {}
            }
        }
        let successes = self.jobs.iter().filter(|job| job.end == Some("Complete"));
        let latest = successes
            .map(|job| field::text(&job.json, "/status/completionTime").to_owned())
            .filter(|time| !time.is_empty())
            .max();
        if let Some(latest) = latest
            && latest.as_str() > field::text(before, "/lastSuccessfulTime")
        {
            field::put(&mut self.wanted, "lastSuccessfulTime", latest.into());
        }
        for message in told {
            self.tell(false, "SawCompletedJob", message);
        }
        if let Some(fields) = self.wanted.as_object_mut() {
            if active.is_empty() {
                fields.remove("active");
            } else {
                fields.insert("active".to_owned(), active.into());
            }
        }
    }

    /// Deletes the oldest finished jobs beyond the history limits.
    fn clean_up(&mut self) {
        let limits = [
            ("Complete", self.spec.successful_jobs_history_limit, 3),
            ("Failed", self.spec.failed_jobs_history_limit, 1),
        ];
        for (end, limit, default) in limits {
            let limit = usize::try_from(limit.unwrap_or(default)).unwrap_or_default();
            let ended: Vec<&Arc<Object>> = self
                .jobs
                .iter()
                .filter(|job| job.end == Some(end) && !job.object.is_terminating())
                .map(|job| job.object)
                .collect();
            let surplus = ended.len().saturating_sub(limit);
            for job in ended.into_iter().take(surplus) {
                self.outcome.ops.push(write::delete(job));
                let message = format!("Deleted job {}", job.name());
                self.tell(false, "SuccessfulDelete", message);
            }
        }
    }

    fn start_due(&mut self, before: &Value) {
        if self.spec.suspend {
            return;
        }
        let zone = self.spec.time_zone.as_deref();
        // The API server refuses what cannot be read; what it let in starts nothing.
        let Ok(schedule) = Schedule::parse(&self.spec.schedule, zone) else {
            return;
        };
        let last = field::text(before, "/lastScheduleTime").parse::<Timestamp>();
        let mut earliest = last.ok().or(self.object.created).unwrap_or(self.now);
        if let Some(seconds) = self.spec.starting_deadline_seconds {
            earliest = earliest.max(seconds_after(self.now, -seconds));
        }
        let (due, missed) = schedule.latest_between(earliest, self.now, MISSED_MAX);
        if let Some(next) = schedule.next_after(self.now) {
            self.outcome.look_again(next);
        }
        let Some(due) = due else {
            return;
        };
        if missed > MISSED_MAX {
            let message = format!(
                "too many missed start times: {missed}. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            );
            self.tell(true, "TooManyMissedTimes", message);
        }
        if let Some(seconds) = self.spec.starting_deadline_seconds
            && seconds_after(due, seconds) < self.now
        {
            return;
        }
        self.start(due);
    }

    fn start(&mut self, due: Timestamp) {
        let name = format!("{}-{}", self.object.name(), due.as_second() / 60);
        if self.jobs.iter().any(|job| job.object.name() == name) {
            field::put(&mut self.wanted, "lastScheduleTime", write::time(due));
            return;
        }
        let running: Vec<&'a Arc<Object>> = self
            .jobs
            .iter()
            .filter(|job| job.end.is_none())
            .map(|job| job.object)
            .collect();
        match self.spec.concurrency_policy.as_str() {
            "Forbid" if !running.is_empty() => {
                // The time stays due: it starts when the running job has ended.
                return;
            }
            "Replace" => {
                for job in running.into_iter().filter(|job| !job.is_terminating()) {
                    self.outcome.ops.push(write::delete(job));
                    let message = format!("Deleted job {}", job.name());
                    self.tell(false, "SuccessfulDelete", message);
                }
            }
            _ => {}
        }
        let job = self.job(&name, due);
        let namespace = self.object.namespace();
        self.outcome
            .ops
            .push(write::create(resources::JOBS, namespace, job));
        self.tell(false, "SuccessfulCreate", format!("Created job {name}"));
        field::put(&mut self.wanted, "lastScheduleTime", write::time(due));
    }

    fn job(&self, name: &str, due: Timestamp) -> Value {
        let template = &self.spec.job_template;
        let mut metadata = json!({
            "name": name,
            "namespace": self.object.namespace(),
            "annotations": {},
            "ownerReferences": [write::controller_reference(self.object, &kind::CRON_JOB)],
        });
        for part in ["labels", "annotations"] {
            let value = field::tree(template, &format!("/metadata/{part}"));
            if !value.is_null() {
                field::put(&mut metadata, part, value.clone());
            }
        }
        let stamp = json!({"annotations": {SCHEDULED_AT: write::time(due)}});
        json_patch::merge(&mut metadata, &stamp);
        json!({
            "apiVersion": kind::JOB.api_version,
            "kind": kind::JOB.name,
            "metadata": metadata,
            "spec": field::tree(template, "/spec"),
        })
    }
}

#[cfg(test)]
mod tests;
