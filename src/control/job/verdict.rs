//! Whether a job is over, and how it ended.

use super::super::condition::{self, Condition, Times};
use super::super::{field, seconds_after};
use super::Run;
use jiff::Timestamp;

/// How a job ends: the condition while pods are ending, and the last one.
pub(super) struct Verdict {
    pub(super) interim: &'static str,
    pub(super) last: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Run<'_> {
    pub(super) fn failure(&mut self, started: Option<Timestamp>) -> Option<Verdict> {
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

    pub(super) fn failed_indexes(&self) -> usize {
        let indexes = self.indexes.as_ref();
        indexes.map_or(0, |indexes| indexes.failed.len())
    }

    pub(super) fn restarts_on_failure(&self) -> bool {
        field::text(&self.spec.template, "/spec/restartPolicy") == "OnFailure"
    }

    /// Restarts of containers in pods that run on. Source: `pastBackoffLimitOnFailure`.
    pub(super) fn restarts(&self) -> i64 {
        let restarts = self.active.iter().filter_map(|pod| pod.pod());
        restarts.map(|columns| i64::from(columns.restarts())).sum()
    }

    pub(super) fn success(&self) -> Option<Verdict> {
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

    pub(super) fn judge(&mut self, kind: &str, reason: &str, message: &str) {
        let condition = Condition {
            kind,
            status: "True",
            reason,
            message,
        };
        condition::set(&mut self.conditions, condition, Times::Probe, self.now);
    }

    pub(super) fn tell_end(&mut self, verdict: &Verdict) {
        let event = if verdict.last == "Complete" {
            self.report()
                .normal("Completed", "Job completed".to_owned())
        } else {
            self.report()
                .warning(verdict.reason, verdict.message.clone())
        };
        self.outcome.ops.push(event);
    }
}
