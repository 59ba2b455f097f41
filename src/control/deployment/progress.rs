//! Status and conditions: how far a rollout is, and whether it has stopped moving.
//!
//! Source: `progress.go` and `calculateStatus` in `sync.go` of `pkg/controller/deployment`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::condition::{self, Condition, Times};
use super::super::{field, seconds_after, write};
use super::sets::{Rollout, Set};

impl Rollout<'_> {
    /// Notes that the deployment was paused or resumed, so that no deadline runs while it is
    /// paused. Source: `checkPausedConditions`.
    pub fn note_pause(&mut self) {
        if !self.has_deadline() {
            return;
        }
        let reason = condition::find(&self.conditions, "Progressing")
            .map_or("", |entry| field::text(entry, "/reason"));
        if reason == "ProgressDeadlineExceeded" {
            return;
        }
        let was_paused = reason == "DeploymentPaused";
        if self.spec.paused && !was_paused {
            self.set_progressing("Unknown", "DeploymentPaused", "Deployment is paused");
        } else if !self.spec.paused && was_paused {
            self.set_progressing("Unknown", "DeploymentResumed", "Deployment is resumed");
        }
    }

    /// Whether the newest revision is all there is. Source: `DeploymentComplete`, on the status in
    /// the view.
    pub fn is_complete(&self) -> bool {
        is_complete(self, &self.status)
    }

    /// Writes the status that follows from the sets, conditions of progress left as they are.
    pub fn write_status(&mut self) {
        let wanted = self.status();
        let op = write::status(self.object, &self.status, &wanted);
        self.outcome.ops.extend(op);
    }

    /// The same with the condition `Progressing`. Source: `syncRolloutStatus`.
    pub fn write_progress(&mut self) {
        let wanted = self.status();
        if !self.has_deadline() {
            condition::remove(&mut self.conditions, "Progressing");
        }
        let reason = condition::find(&self.conditions, "Progressing")
            .map_or("", |entry| field::text(entry, "/reason"));
        let settled = field::count(&wanted, "/replicas")
            == field::count(&wanted, "/updatedReplicas")
            && reason == "NewReplicaSetAvailable";
        if self.has_deadline() && !settled {
            self.judge(&wanted);
        }
        self.write_status();
    }

    fn judge(&mut self, wanted: &Value) {
        let subject = match &self.new {
            Some(new) => format!("ReplicaSet \"{}\"", new.name()),
            None => format!("Deployment \"{}\"", self.object.name()),
        };
        if is_complete(self, wanted) {
            let message = format!("{subject} has successfully progressed.");
            self.set_progressing("True", "NewReplicaSetAvailable", &message);
        } else if has_progressed(&self.status, wanted) {
            let message = format!("{subject} is progressing.");
            let condition = Condition {
                kind: "Progressing",
                status: "True",
                reason: "ReplicaSetUpdated",
                message: &message,
            };
            condition::replace(&mut self.conditions, condition, Times::Update, self.now);
        } else if let Some(deadline) = self.deadline() {
            if deadline < self.now {
                let message = format!("{subject} has timed out progressing.");
                self.set_progressing("False", "ProgressDeadlineExceeded", &message);
            } else {
                // Upstream compares whole seconds with "before": one more makes sure of it.
                self.outcome.look_again(seconds_after(deadline, 1));
            }
        }
        if let Some(deadline) = self.deadline()
            && deadline >= self.now
        {
            self.outcome.look_again(seconds_after(deadline, 1));
        }
    }

    /// When a rollout that does not move has failed; `None` once it is over or has failed.
    fn deadline(&self) -> Option<Timestamp> {
        let entry = condition::find(&self.conditions, "Progressing")?;
        if matches!(
            field::text(entry, "/reason"),
            "NewReplicaSetAvailable" | "ProgressDeadlineExceeded" | "DeploymentPaused"
        ) {
            return None;
        }
        let since: Timestamp = field::text(entry, "/lastUpdateTime").parse().ok()?;
        Some(seconds_after(since, self.spec.progress_deadline_seconds?))
    }

    /// Source: `calculateStatus`.
    fn status(&mut self) -> Value {
        let sum = |name: &str| -> i64 { self.all().map(|set| set.status(name)).sum() };
        let available = sum("availableReplicas");
        let total = sum("replicas");
        let updated = self.new.as_ref().map_or(0, |new| new.status("replicas"));
        let ready = sum("readyReplicas");
        let terminating = sum("terminatingReplicas");
        let unavailable = (self.total_size() - available).max(0);
        self.judge_availability(available);
        self.copy_failure();
        let mut status = json!({
            "observedGeneration": self.object.generation,
            "terminatingReplicas": terminating,
        });
        for (name, count) in [
            ("replicas", total),
            ("updatedReplicas", updated),
            ("readyReplicas", ready),
            ("availableReplicas", available),
            ("unavailableReplicas", unavailable),
        ] {
            if count > 0 {
                field::put(&mut status, name, count.into());
            }
        }
        if let Some(collisions) = self.collisions {
            field::put(&mut status, "collisionCount", collisions.into());
        }
        if !self.conditions.is_empty() {
            field::put(&mut status, "conditions", self.conditions.clone().into());
        }
        status
    }

    fn judge_availability(&mut self, available: i64) {
        let enough = available >= self.spec.replicas() - self.spec.max_unavailable();
        let condition = if enough {
            Condition {
                kind: "Available",
                status: "True",
                reason: "MinimumReplicasAvailable",
                message: "Deployment has minimum availability.",
            }
        } else {
            Condition {
                kind: "Available",
                status: "False",
                reason: "MinimumReplicasUnavailable",
                message: "Deployment does not have minimum availability.",
            }
        };
        condition::set(&mut self.conditions, condition, Times::Update, self.now);
    }

    /// A replica set that cannot create pods says why; so does its deployment.
    fn copy_failure(&mut self) {
        let failure = |set: &Set| {
            condition::find(
                field::list(&set.json, "/status/conditions"),
                "ReplicaFailure",
            )
            .filter(|entry| field::text(entry, "/status") == "True")
            .cloned()
        };
        let found = self
            .new
            .as_ref()
            .and_then(failure)
            .or_else(|| self.old.iter().find_map(failure));
        match found {
            Some(entry) => {
                let condition = Condition {
                    kind: "ReplicaFailure",
                    status: "True",
                    reason: field::text(&entry, "/reason"),
                    message: field::text(&entry, "/message"),
                };
                condition::set(&mut self.conditions, condition, Times::Update, self.now);
            }
            None => condition::remove(&mut self.conditions, "ReplicaFailure"),
        }
    }
}

fn is_complete(rollout: &Rollout<'_>, status: &Value) -> bool {
    let desired = rollout.spec.replicas();
    ["replicas", "updatedReplicas", "availableReplicas"]
        .iter()
        .all(|name| field::count(status, &format!("/{name}")) == desired)
        && field::count(status, "/observedGeneration") >= rollout.object.generation
}

/// Source: `DeploymentProgressing`.
fn has_progressed(before: &Value, after: &Value) -> bool {
    let of = |status: &Value, name: &str| field::count(status, &format!("/{name}"));
    let grew = |name: &str| of(after, name) > of(before, name);
    let old = |status: &Value| of(status, "replicas") - of(status, "updatedReplicas");
    grew("updatedReplicas")
        || old(after) < old(before)
        || grew("readyReplicas")
        || grew("availableReplicas")
}
