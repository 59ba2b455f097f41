//! What turned between two states of an object, in words with from → to.
//!
//! Only turns that a person would tell a colleague are entries: a pod became ready, a node stopped
//! answering, somebody changed the replicas. Heartbeats and counters are not.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Deserialize;

use super::entry::{Entry, EntryKind, Tone, of_event};
use crate::k8s::columns::{NodeColumns, NodeReady, PodColumns};
use crate::k8s::status::{self, Health};
use crate::k8s::workload::{Rollout, Workload};
use crate::k8s::{Change, ChangeKind, Name, Object, resources};
use crate::stdx::humanize;

/// The entries that one live change makes. The first listing is not live: its objects did not
/// appear just now, and only their Event objects tell of times (see [`of_listed`]).
pub fn of_change(change: &Change, now: Timestamp) -> Vec<Entry> {
    let object = &*change.object;
    if object.key.resource.plural == "events" {
        let known = change.kind == ChangeKind::Deleted;
        return of_event(object).filter(|_| !known).into_iter().collect();
    }
    let teller = Teller { object, now };
    let mut entries = Vec::new();
    match (change.kind, change.previous.as_deref()) {
        (ChangeKind::Added, _) | (ChangeKind::Modified, None) => teller.added(&mut entries),
        (ChangeKind::Deleted, _) => teller.deleted(&mut entries),
        (ChangeKind::Modified, Some(before)) => teller.modified(before, &mut entries),
    }
    entries
}

/// The entry of an object that was there when the console came.
pub fn of_listed(object: &Object) -> Option<Entry> {
    if object.key.resource.plural == "events" {
        of_event(object)
    } else {
        None
    }
}

struct Teller<'a> {
    object: &'a Object,
    now: Timestamp,
}

impl Teller<'_> {
    fn entry(&self, kind: EntryKind, tone: Tone, what: &str, text: String) -> Entry {
        let node = if self.object.key.resource == resources::NODES {
            Some(self.object.key.name.clone())
        } else {
            self.object.pod().and_then(|pod| pod.node.clone())
        };
        Entry {
            at: self.now,
            kind,
            tone,
            about: self.object.key.clone(),
            node,
            what: Name::new(what),
            text,
            by: Name::default(),
            count: 1,
            event: None,
        }
    }

    /// Things that come and go by themselves are told by their owners' changes.
    fn is_told(&self) -> bool {
        !matches!(
            self.object.key.resource.plural.as_str(),
            "leases"
                | "endpointslices"
                | "endpoints"
                | "replicasets"
                | "controllerrevisions"
                | "csinodes"
        )
    }

    fn added(&self, entries: &mut Vec<Entry>) {
        if self.object.pod().is_some() || !self.is_told() {
            return;
        }
        let kind = if self.object.node().is_some() {
            EntryKind::State
        } else {
            EntryKind::Change
        };
        let mut entry = self.entry(kind, Tone::Plain, "created", "created".to_owned());
        entry.by = last_manager(self.object);
        entries.push(entry);
    }

    fn deleted(&self, entries: &mut Vec<Entry>) {
        if !self.is_told() {
            return;
        }
        let tone = if self.object.node().is_some() {
            Tone::Warning
        } else {
            Tone::Plain
        };
        entries.push(self.entry(EntryKind::State, tone, "gone", "deleted".to_owned()));
    }

    fn modified(&self, before: &Object, entries: &mut Vec<Entry>) {
        if !before.is_terminating() && self.object.is_terminating() {
            let text = "deletion asked for".to_owned();
            entries.push(self.entry(EntryKind::State, Tone::Plain, "terminating", text));
        }
        if let (Some(old), Some(new)) = (before.pod(), self.object.pod()) {
            self.pod(old, new, before, entries);
        } else if let (Some(old), Some(new)) = (before.node(), self.object.node()) {
            self.node(old, new, entries);
        } else if let (Ok(Some(old)), Ok(Some(new))) =
            (Workload::read(before), Workload::read(self.object))
        {
            // A replica set is its deployment's detail; both would say the same.
            let detail = self.object.key.resource == resources::REPLICA_SETS
                && self.object.controller().is_some();
            if !detail {
                self.workload(&old, &new, before, entries);
            }
        } else if self.object.generation > before.generation && self.is_told() {
            let mut entry = self.entry(
                EntryKind::Change,
                Tone::Plain,
                "changed",
                "specification changed".to_owned(),
            );
            entry.by = last_manager(self.object);
            entries.push(entry);
        }
    }

    fn pod(&self, old: &PodColumns, new: &PodColumns, before: &Object, entries: &mut Vec<Entry>) {
        if let (None, Some(node)) = (&old.node, &new.node) {
            let waited = self
                .object
                .created
                .map(|created| format!(" after {}", humanize::age(created, self.now)))
                .unwrap_or_default();
            let text = format!("assigned to {node}{waited}");
            entries.push(self.entry(EntryKind::Decision, Tone::Plain, "placed", text));
        }
        let was = status::pod_status(old, before.is_terminating());
        let is = status::pod_status(new, self.object.is_terminating());
        if new.ready && !old.ready {
            let text = match self.object.created {
                Some(created) if is.restarts == 0 => {
                    format!(
                        "ready, {} after it was created",
                        humanize::age(created, self.now)
                    )
                }
                _ => "ready again".to_owned(),
            };
            entries.push(self.entry(EntryKind::State, Tone::Good, "ready", text));
        } else if is.restarts > was.restarts {
            let text = format!("restarts {} → {}{}", was.restarts, is.restarts, end_of(new));
            entries.push(self.entry(EntryKind::State, Tone::Warning, "restarted", text));
        } else if was.word != is.word && is.health == Health::Bad {
            let text = format!("{} → {}{}", was.word, is.word, end_of(new));
            entries.push(self.entry(EntryKind::State, Tone::Bad, "failed", text));
        } else if old.ready && !new.ready && !self.object.is_terminating() {
            let text = format!("no longer ready ({})", is.word);
            entries.push(self.entry(EntryKind::State, Tone::Warning, "not ready", text));
        }
    }

    fn node(&self, old: &NodeColumns, new: &NodeColumns, entries: &mut Vec<Entry>) {
        if old.ready != new.ready {
            let (tone, what, text) = match new.ready {
                NodeReady::True => (Tone::Good, "ready", "NotReady → Ready"),
                NodeReady::False => (Tone::Bad, "not ready", "Ready → NotReady"),
                NodeReady::Unknown => (
                    Tone::Bad,
                    "not ready",
                    "Ready → NotReady: the node agent stopped posting its status",
                ),
            };
            entries.push(self.entry(EntryKind::State, tone, what, text.to_owned()));
        }
        if old.unschedulable != new.unschedulable {
            let (what, text) = if new.unschedulable {
                ("cordoned", "takes no new pods")
            } else {
                ("uncordoned", "takes pods again")
            };
            let mut entry = self.entry(EntryKind::Change, Tone::Plain, what, text.to_owned());
            entry.by = last_manager(self.object);
            entries.push(entry);
        }
    }

    fn workload(&self, old: &Workload, new: &Workload, before: &Object, entries: &mut Vec<Entry>) {
        if self.object.generation > before.generation {
            let mut entry = self.entry(
                EntryKind::Change,
                Tone::Plain,
                "changed",
                "specification changed".to_owned(),
            );
            entry.by = last_manager(self.object);
            let mut told = String::new();
            if old.scalable && old.desired != new.desired {
                entry.what = Name::new_static("scaled");
                let _ = write!(told, "replicas {} → {}", old.desired, new.desired);
            }
            for image in &new.images {
                let same =
                    |other: &&crate::k8s::workload::Image| other.container == image.container;
                let previous = old.images.iter().find(same);
                if let Some(previous) = previous.filter(|other| other.image != image.image) {
                    entry.what = Name::new_static("rolled out");
                    let separator = if told.is_empty() { "" } else { ", " };
                    let _ = write!(
                        told,
                        "{separator}{} {} → {}",
                        image.container,
                        previous.image,
                        tag_of(&previous.image, &image.image)
                    );
                }
            }
            if old.paused != new.paused {
                entry.what = Name::new_static(if new.paused { "paused" } else { "resumed" });
            }
            if !told.is_empty() {
                entry.text = told;
            }
            entries.push(entry);
        }
        if old.rollout == new.rollout {
            return;
        }
        let told = match &new.rollout {
            Rollout::Stuck { .. } | Rollout::Refused { .. } => {
                Some((Tone::Bad, "stuck", new.rollout.words()))
            }
            Rollout::Complete
                if matches!(
                    old.rollout,
                    Rollout::Retiring { .. } | Rollout::Updating { .. } | Rollout::Waiting { .. }
                ) =>
            {
                Some((
                    Tone::Good,
                    "available",
                    format!("{} of {} available", new.available, new.desired),
                ))
            }
            Rollout::Finished => Some((Tone::Good, "complete", new.detail.to_string())),
            _ => None,
        };
        if let Some((tone, what, text)) = told {
            entries.push(self.entry(EntryKind::State, tone, what, text));
        }
    }
}

/// The new image; only what differs where the repository stayed.
fn tag_of<'a>(old: &str, new: &'a str) -> &'a str {
    match (old.rsplit_once(':'), new.rsplit_once(':')) {
        (Some((before, _)), Some((after, tag))) if before == after => tag,
        _ => new,
    }
}

fn end_of(pod: &PodColumns) -> String {
    pod.containers
        .iter()
        .filter_map(|container| {
            let end = container.last_end.as_deref()?;
            Some((end.finished_at, container.name.clone(), end))
        })
        .max_by_key(|(at, _, _)| *at)
        .map(|(_, container, end)| {
            let reason = if end.reason.is_empty() {
                "ended"
            } else {
                end.reason.as_str()
            };
            format!(": {container} {reason}, exit code {}", end.exit_code)
        })
        .unwrap_or_default()
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ManagedWire {
    metadata: ManagedMetadata,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ManagedMetadata {
    managed_fields: Vec<ManagedEntry>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ManagedEntry {
    manager: Name,
    subresource: Name,
    time: Option<Timestamp>,
}

/// Who wrote the specification last, as far as the field managers tell.
pub fn last_manager(object: &Object) -> Name {
    let wire: ManagedWire = serde_json::from_slice(&object.bytes()).unwrap_or_default();
    wire.metadata
        .managed_fields
        .into_iter()
        .filter(|entry| entry.subresource != "status")
        .max_by_key(|entry| entry.time)
        .map(|entry| entry.manager)
        .unwrap_or_default()
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "rows of a table read better")]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::k8s::Resource;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[track_caller]
    fn check(resource: &Resource, before: &Value, after: &Value, expected: &[(&str, &str)]) {
        let parse = |json: &Value| Arc::new(Object::from_json(resource.clone(), json).unwrap());
        let change = Change {
            kind: ChangeKind::Modified,
            object: parse(after),
            previous: Some(parse(before)),
        };
        let entries = of_change(&change, at(30));
        let found: Vec<(&str, &str)> = entries
            .iter()
            .map(|entry| (entry.what.as_str(), entry.text.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    fn pod(node: Option<&str>, status: Value) -> Value {
        json!({"metadata": {"name": "cart-1", "namespace": "shop", "creationTimestamp": "1970-01-01T00:00:10Z"},
               "spec": {"nodeName": node, "containers": [{"name": "app"}]}, "status": status})
    }

    fn running(ready: bool, restarts: i64, state: Value) -> Value {
        json!({"phase": "Running",
               "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
               "containerStatuses": [{"name": "app", "ready": ready, "restartCount": restarts, "state": state,
                    "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}}]})
    }

    #[test]
    fn turns_in_a_pods_life_are_told() {
        let pods = &resources::PODS;
        let up = || json!({"running": {}});
        check(
            pods,
            &pod(None, json!({})),
            &pod(Some("n1"), json!({})),
            &[("placed", "assigned to n1 after 20s")],
        );
        check(
            pods,
            &pod(Some("n1"), json!({})),
            &pod(Some("n1"), running(true, 0, up())),
            &[("ready", "ready, 20s after it was created")],
        );
        check(
            pods,
            &pod(Some("n1"), running(true, 0, up())),
            &pod(Some("n1"), running(false, 1, up())),
            &[("restarted", "restarts 0 → 1: app Error, exit code 1")],
        );
        check(
            pods,
            &pod(Some("n1"), running(false, 1, up())),
            &pod(
                Some("n1"),
                running(false, 1, json!({"waiting": {"reason": "CrashLoopBackOff"}})),
            ),
            &[(
                "failed",
                "Running → CrashLoopBackOff: app Error, exit code 1",
            )],
        );
        check(
            pods,
            &pod(Some("n1"), running(true, 0, up())),
            &pod(Some("n1"), running(true, 0, up())),
            &[],
        );
    }

    #[test]
    fn nodes_and_workloads_are_told_from_to() {
        let node = |status: &str, cordoned: bool| {
            json!({"metadata": {"name": "n1"}, "spec": {"unschedulable": cordoned},
                   "status": {"conditions": [{"type": "Ready", "status": status}]}})
        };
        check(
            &resources::NODES,
            &node("True", false),
            &node("False", true),
            &[
                ("not ready", "Ready → NotReady"),
                ("cordoned", "takes no new pods"),
            ],
        );
        let deployment = |generation: i64, replicas: i64, tag: &str| {
            json!({"metadata": {"name": "cart", "namespace": "shop", "generation": generation,
                    "managedFields": [{"manager": "kubectl-edit", "time": "2026-01-01T00:00:00Z"}]},
                   "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"name": "app", "image": format!("cart:{tag}")}]}}},
                   "status": {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3}})
        };
        check(
            &resources::DEPLOYMENTS,
            &deployment(1, 3, "1.8"),
            &deployment(2, 3, "1.9"),
            &[("rolled out", "app cart:1.8 → 1.9")],
        );
        check(
            &resources::DEPLOYMENTS,
            &deployment(1, 2, "1.8"),
            &deployment(2, 3, "1.8"),
            &[("scaled", "replicas 2 → 3")],
        );
    }
}
