//! DaemonSet: one pod on every node that it fits.
//!
//! Source: `pkg/controller/daemon` of Kubernetes 1.36. A pod is tied to its node by a node affinity
//! on `metadata.name`, and the scheduler binds it; [`fit`] says which nodes count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::claim::{self, Claimed};
use super::field::Rounding;
use super::history::{History, Revision};
use super::kind;
use super::pod::{self, Availability};
use super::write::Reporter;
use super::{BURST, Controller, Outcome, field, naming, trigger, write};
use crate::k8s::{Change, ChangeKind, Cluster, Name, Object, ObjectKey, Uid, resources};

mod fit;

use fit::{Fit, Placement};

pub(super) const CONTROLLER: Controller = Controller {
    name: NAME,
    triggers,
    reconcile,
};

const NAME: &str = "daemonset-controller";
const REVISION_LABEL: &str = "controller-revision-hash";

#[derive(Deserialize)]
struct Wire {
    spec: Spec,
    #[serde(default)]
    status: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    min_ready_seconds: i64,
    #[serde(default)]
    update_strategy: UpdateStrategy,
    revision_history_limit: Option<i64>,
    template: Value,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct UpdateStrategy {
    #[serde(rename = "type")]
    kind: String,
    rolling_update: RollingUpdate,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RollingUpdate {
    max_surge: Option<Value>,
    max_unavailable: Option<Value>,
}

fn triggers(cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    trigger::pod_owner(cluster, change, &kind::DAEMON_SET, keys);
    if change.object.key.resource == resources::CONTROLLER_REVISIONS {
        trigger::controller(change, &kind::DAEMON_SET, keys);
    }
    if change.object.key.resource == resources::NODES && node_turned(change) {
        let sets = cluster.list(&resources::DAEMON_SETS);
        keys.extend(sets.map(|set| set.key.clone()));
    }
}

/// Whether a node changed in what decides about daemon pods.
fn node_turned(change: &Change) -> bool {
    let (ChangeKind::Modified, Some(previous)) = (change.kind, &change.previous) else {
        return true;
    };
    let taints = |node: &Object| node.node().map(|columns| columns.taints.clone());
    previous.labels != change.object.labels || taints(previous) != taints(&change.object)
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(object) = cluster.get(key).filter(|set| !set.is_terminating()) else {
        return outcome;
    };
    let (Some(selector), Ok(Wire { spec, status })) = (object.selector(), object.typed()) else {
        return outcome;
    };
    let Claimed { objects, ops } = claim::claim(
        object,
        &kind::DAEMON_SET,
        selector,
        pod::candidates(cluster, object),
    );
    outcome.ops = ops;
    let collisions = field::integer(&status, "/collisionCount");
    let history = History::keep(
        cluster,
        (object, &kind::DAEMON_SET, selector),
        (&spec.template, collisions),
        &mut outcome,
    );
    let Some(update) = history.revisions.last().cloned() else {
        return outcome;
    };
    let mut by_node: BTreeMap<Name, Vec<&Arc<Object>>> = BTreeMap::new();
    for pod in &objects {
        if let Some(node) = fit::target(pod) {
            by_node.entry(node).or_default().push(pod);
        }
    }
    for pods in by_node.values_mut() {
        pods.sort_by_key(|pod| (pod.created, pod.key.clone()));
    }
    let fit = Fit::of(&spec.template);
    let mut set = Set {
        cluster,
        object,
        spec,
        fit,
        by_node,
        update,
        now,
        outcome,
    };
    let after = set.status(&status);
    if !set.manage() && set.spec.update_strategy.kind != "OnDelete" {
        set.roll();
    }
    let live: BTreeSet<String> = objects
        .iter()
        .filter_map(|pod| pod.labels.get(REVISION_LABEL))
        .map(ToString::to_string)
        .collect();
    let limit = set.spec.revision_history_limit.unwrap_or(10);
    history.clean_up(limit, &live, &mut set.outcome);
    set.outcome
        .ops
        .extend(write::status(object, &status, &after));
    set.outcome
}

/// Two pods of one daemon set on one node, during an update.
struct SurgePair {
    new: Uid,
    old: Uid,
    /// The old one has done its duty.
    is_over: bool,
}

impl SurgePair {
    fn keeps(&self, pod: &Uid) -> bool {
        self.new == *pod || (self.old == *pod && !self.is_over)
    }
}

struct Set<'a> {
    cluster: &'a Cluster,
    object: &'a Arc<Object>,
    spec: Spec,
    fit: Fit,
    /// The oldest first.
    by_node: BTreeMap<Name, Vec<&'a Arc<Object>>>,
    update: Revision,
    now: Timestamp,
    outcome: Outcome,
}

impl<'a> Set<'a> {
    fn report(&self) -> Reporter<'_> {
        Reporter {
            name: NAME,
            object: self.object,
            kind: &kind::DAEMON_SET,
        }
    }

    fn pods_on(&self, node: &Object) -> Vec<&'a Arc<Object>> {
        self.by_node.get(node.name()).cloned().unwrap_or_default()
    }

    /// Creates and deletes so that every node has what it should; whether something was done.
    /// Source: `podsShouldBeOnNode`.
    fn manage(&mut self) -> bool {
        let before = self.outcome.ops.len();
        let mut changes = 0;
        for node in self.cluster.nodes() {
            if changes >= BURST {
                break;
            }
            let pods = self.pods_on(node);
            let place = self.fit.place(node);
            if !place.may_continue {
                for pod in pods.iter().filter(|pod| !pod.is_terminating()) {
                    changes += 1;
                    self.delete(pod);
                }
            } else if pods.is_empty() {
                if place.should_run {
                    self.create(node, changes);
                    changes += 1;
                }
            } else {
                changes += self.keep_one(node, &pods);
            }
        }
        self.remove_stranded();
        self.outcome.ops.len() > before
    }

    /// Ends finished pods and all but the oldest of the running ones.
    fn keep_one(&mut self, node: &Object, pods: &[&'a Arc<Object>]) -> usize {
        let mut ended = 0;
        let pair = self.surge_pair(pods);
        let mut has_one = false;
        for pod in pods.iter().filter(|pod| !pod.is_terminating()) {
            let phase = pod.pod().map(|columns| columns.phase).unwrap_or_default();
            let (reason, word, verb) = match phase {
                crate::k8s::columns::PodPhase::Failed => ("FailedDaemonPod", "failed", "kill"),
                crate::k8s::columns::PodPhase::Succeeded => {
                    ("SucceededDaemonPod", "succeeded", "delete")
                }
                _ if pair.as_ref().is_some_and(|pair| pair.keeps(&pod.uid)) => continue,
                _ if pair.as_ref().is_some_and(|pair| pair.old == pod.uid) => {
                    ended += 1;
                    self.delete(pod);
                    continue;
                }
                _ if has_one => {
                    ended += 1;
                    self.delete(pod);
                    continue;
                }
                _ => {
                    has_one = true;
                    continue;
                }
            };
            let message = format!(
                "Found {word} daemon pod {}/{} on node {}, will try to {verb} it",
                pod.namespace(),
                pod.name(),
                node.name()
            );
            let event = if word == "failed" {
                self.report().warning(reason, message)
            } else {
                self.report().normal(reason, message)
            };
            self.outcome.ops.push(event);
            self.delete(pod);
            ended += 1;
        }
        ended
    }

    /// Pods that wait for a node which does not exist any more.
    fn remove_stranded(&mut self) {
        let stranded: Vec<&'a Arc<Object>> = self
            .by_node
            .iter()
            .filter(|(node, _)| self.cluster.find(&resources::NODES, "", node).is_none())
            .flat_map(|(_, pods)| pods.iter().copied())
            .filter(|pod| {
                !pod.is_terminating() && pod.pod().is_some_and(|columns| columns.node.is_none())
            })
            .collect();
        for pod in stranded {
            self.delete(pod);
        }
    }

    fn create(&mut self, node: &Object, index: usize) {
        let name = naming::generated(self.cluster, &resources::PODS, self.object, index);
        let template = &self.spec.template;
        let mut pod = pod::from_template(template, self.object, &kind::DAEMON_SET, &name);
        let labels = json!({"metadata": {"labels": {REVISION_LABEL: self.update.hash}}});
        json_patch::merge(&mut pod, &labels);
        fit::tie(&mut pod, node.name());
        let message = format!("Created pod: {name}");
        let event = self.report().normal("SuccessfulCreate", message);
        let namespace = self.object.namespace();
        self.outcome
            .ops
            .push(write::create(resources::PODS, namespace, pod));
        self.outcome.ops.push(event);
    }

    fn delete(&mut self, pod: &Arc<Object>) {
        let message = format!("Deleted pod: {}", pod.name());
        let event = self.report().normal("SuccessfulDelete", message);
        self.outcome.ops.push(write::delete(pod));
        self.outcome.ops.push(event);
    }

    fn is_updated(&self, pod: &Object) -> bool {
        pod.labels
            .get(REVISION_LABEL)
            .is_some_and(|hash| *hash == self.update.hash)
    }

    fn is_available(&self, pod: &Object) -> bool {
        let min_ready_s = self.spec.min_ready_seconds;
        pod::availability(pod, min_ready_s, self.now) == Availability::Available
    }

    fn max_surge(&self, desired: i64) -> i64 {
        let stated = &self.spec.update_strategy.rolling_update.max_surge;
        let stated = stated
            .as_ref()
            .filter(|_| self.spec.update_strategy.kind != "OnDelete");
        stated
            .and_then(|surge| field::scaled(surge, desired, Rounding::Up))
            .unwrap_or_default()
    }

    /// A new and an old pod side by side, which a surge allows. Source: the surge part of
    /// `podsShouldBeOnNode`.
    fn surge_pair(&self, pods: &[&'a Arc<Object>]) -> Option<SurgePair> {
        if self.max_surge(1) == 0 {
            return None;
        }
        let live = || pods.iter().filter(|pod| pod::is_active(pod));
        let new = live().find(|pod| self.is_updated(pod))?;
        let old = live().find(|pod| !self.is_updated(pod))?;
        Some(SurgePair {
            new: new.uid.clone(),
            old: old.uid.clone(),
            is_over: !pod::is_ready(old) || self.is_available(new),
        })
    }

    /// Makes new pods beside working old ones within `maxSurge`; [`Self::keep_one`] removes the old
    /// one when its successor is available. Source: the surge part of `rollingUpdate`.
    fn roll_surging(&mut self, surge: i64) {
        let mut waiting = 0;
        let mut needed = Vec::new();
        let mut candidates = Vec::new();
        for node in self.cluster.nodes() {
            if !self.fit.place(node).should_run {
                continue;
            }
            let pods = self.pods_on(node);
            let living = || pods.iter().filter(|pod| !pod.is_terminating());
            let new = living().find(|pod| self.is_updated(pod));
            let old = living().find(|pod| !self.is_updated(pod));
            match (new, old) {
                (Some(new), _) if !self.is_available(new) => waiting += 1,
                (None, Some(old)) if self.is_available(old) => candidates.push(node),
                (None, Some(_)) => needed.push(node),
                (Some(_), _) | (None, None) => {}
            }
        }
        let room = usize::try_from(surge - waiting).unwrap_or_default();
        let made = needed.into_iter().chain(candidates.into_iter().take(room));
        for (n, node) in made.take(BURST).enumerate() {
            self.create(node, n);
        }
    }

    /// Removes old pods within `maxUnavailable`, those that do not work first. Source:
    /// `rollingUpdate` in `update.go`.
    fn roll(&mut self) {
        let nodes = self.cluster.nodes();
        let wanted = nodes.filter(|node| self.fit.place(node).should_run).count();
        let surge = self.max_surge(i64::try_from(wanted).unwrap_or(i64::MAX));
        if surge > 0 {
            self.roll_surging(surge);
            return;
        }
        let mut desired = 0;
        let mut unavailable = 0;
        let mut broken = Vec::new();
        let mut working = Vec::new();
        for node in self.cluster.nodes() {
            if !self.fit.place(node).should_run {
                continue;
            }
            desired += 1;
            let pods = self.pods_on(node);
            let living = || pods.iter().filter(|pod| !pod.is_terminating());
            if let Some(new) = living().find(|pod| self.is_updated(pod)) {
                unavailable += i64::from(!self.is_available(new));
                continue;
            }
            match living().next() {
                Some(old) if self.is_available(old) => working.push(*old),
                Some(old) => {
                    unavailable += 1;
                    broken.push(*old);
                }
                None => unavailable += 1,
            }
        }
        let limit = self
            .spec
            .update_strategy
            .rolling_update
            .max_unavailable
            .as_ref();
        let limit = limit
            .and_then(|limit| field::scaled(limit, desired, Rounding::Up))
            .unwrap_or(1)
            .max(1);
        let room = usize::try_from(limit - unavailable).unwrap_or_default();
        for pod in broken
            .into_iter()
            .chain(working.into_iter().take(room))
            .take(BURST)
        {
            self.delete(pod);
        }
    }

    /// Source: `updateDaemonSetStatus`.
    fn status(&mut self, before: &Value) -> Value {
        let mut counts = Counts::default();
        for node in self.cluster.nodes() {
            let Placement { should_run, .. } = self.fit.place(node);
            let pods = self.pods_on(node);
            let first = pods.first().copied();
            match (should_run, first) {
                (true, pod) => {
                    counts.desired += 1;
                    let Some(pod) = pod else {
                        continue;
                    };
                    counts.current += 1;
                    counts.ready += i64::from(pod::is_ready(pod));
                    counts.updated += i64::from(self.is_updated(pod));
                    match pod::availability(pod, self.spec.min_ready_seconds, self.now) {
                        Availability::Available => counts.available += 1,
                        Availability::From(time) => self.outcome.look_again(time),
                        Availability::NotReady => {}
                    }
                }
                (false, Some(_)) => counts.misscheduled += 1,
                (false, None) => {}
            }
        }
        counts.json(self.object.generation, before)
    }
}

#[derive(Default)]
struct Counts {
    desired: i64,
    current: i64,
    misscheduled: i64,
    ready: i64,
    updated: i64,
    available: i64,
}

impl Counts {
    fn json(&self, generation: i64, before: &Value) -> Value {
        let mut status = json!({
            "observedGeneration": generation,
            "desiredNumberScheduled": self.desired,
            "currentNumberScheduled": self.current,
            "numberMisscheduled": self.misscheduled,
            "numberReady": self.ready,
        });
        for (name, count) in [
            ("updatedNumberScheduled", self.updated),
            ("numberAvailable", self.available),
            ("numberUnavailable", self.desired - self.available),
        ] {
            if count > 0 {
                field::put(&mut status, name, count.into());
            }
        }
        for name in ["collisionCount", "conditions"] {
            if let Some(value) = before.get(name) {
                field::put(&mut status, name, value.clone());
            }
        }
        status
    }
}

#[cfg(test)]
mod tests;
