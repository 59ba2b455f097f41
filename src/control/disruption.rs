//! `PodDisruptionBudget`: how many of its pods may be disrupted now.
//!
//! Source: `pkg/controller/disruption` of Kubernetes 1.36. The API server writes into
//! `disruptedPods` when it lets an eviction through; an entry stays until the pod is seen to go, at
//! most two minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::condition::{self, Condition};
use super::field::{self, Rounding};
use super::kind;
use super::write::Reporter;
use super::{Controller, Outcome, pod, seconds_after, trigger, write};
use crate::k8s::{
    Change, ChangeKind, Cluster, Object, ObjectKey, OwnerRef, Resource, Uid, resources,
};

pub(super) const CONTROLLER: Controller = Controller {
    name: NAME,
    triggers,
    reconcile,
};

const NAME: &str = "disruption-controller";
/// Source: `DeletionTimeout`.
const DISRUPTED_S: i64 = 120;

/// Kinds with a scale, which tell how many pods they are meant to have.
static SCALED: [(&str, Resource); 4] = [
    ("Deployment", resources::DEPLOYMENTS),
    ("ReplicaSet", resources::REPLICA_SETS),
    ("StatefulSet", resources::STATEFUL_SETS),
    ("ReplicationController", resources::REPLICATION_CONTROLLERS),
];

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Value,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    min_available: Option<Value>,
    max_unavailable: Option<Value>,
}

fn triggers(cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    trigger::itself(change, &resources::POD_DISRUPTION_BUDGETS, keys);
    let object = &change.object;
    if object.key.resource == resources::PODS && trigger::pod_turned(change) {
        let relabelled = change
            .previous
            .as_ref()
            .filter(|old| old.labels != object.labels);
        for pod in [object].into_iter().chain(relabelled) {
            let budgets = trigger::selecting(cluster, &resources::POD_DISRUPTION_BUDGETS, pod);
            keys.extend(budgets.map(|budget| budget.key.clone()));
        }
    }
    // How many pods a workload is meant to have stands in its specification.
    let is_scaled = SCALED
        .iter()
        .any(|(_, resource)| *resource == object.key.resource);
    let respecified = change
        .previous
        .as_ref()
        .is_none_or(|old| old.generation != object.generation);
    if is_scaled && (respecified || change.kind != ChangeKind::Modified) {
        let budgets = cluster.list_in(&resources::POD_DISRUPTION_BUDGETS, object.namespace());
        keys.extend(budgets.map(|budget| budget.key.clone()));
    }
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(budget) = cluster.get(key) else {
        return outcome;
    };
    let Ok(Wire { spec, mut status }) = budget.typed::<Wire>() else {
        return outcome;
    };
    if !status.is_object() {
        status = json!({});
    }
    let pods: Vec<&Arc<Object>> = match budget.selector() {
        // An empty selector selects all pods of the namespace, an absent one none.
        Some(selector) => cluster.pods_selected(budget.namespace(), selector),
        None => Vec::new(),
    };
    let disrupted = disrupted(&status, &pods, now, &mut outcome);
    let counted = expected(cluster, &spec, &pods);
    let healthy = pods
        .iter()
        .filter(|pod| !pod.is_terminating() && !disrupted.contains_key(pod.name()))
        .filter(|pod| pod::is_ready(pod))
        .count();
    let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
    let mut conditions = field::list(&status, "/conditions").to_vec();
    let mut wanted = status.clone();
    match counted {
        Ok((expected, desired)) => {
            let allowed = if expected <= 0 {
                0
            } else {
                (healthy - desired).max(0)
            };
            judge(&mut conditions, allowed, (budget.generation, now));
            for (name, count) in [
                ("currentHealthy", healthy),
                ("desiredHealthy", desired),
                ("expectedPods", expected),
                ("disruptionsAllowed", allowed),
            ] {
                field::put(&mut wanted, name, count.into());
            }
        }
        Err(message) => {
            fail_safe(budget, &message, &mut conditions, (&mut outcome, now));
            field::put(&mut wanted, "disruptionsAllowed", 0.into());
            for name in ["currentHealthy", "desiredHealthy", "expectedPods"] {
                let known = field::count(&wanted, &format!("/{name}"));
                field::put(&mut wanted, name, known.into());
            }
        }
    }
    field::put(&mut wanted, "observedGeneration", budget.generation.into());
    field::put(&mut wanted, "conditions", conditions.into());
    if let Some(fields) = wanted.as_object_mut() {
        fields.remove("disruptedPods");
        if !disrupted.is_empty() {
            fields.insert("disruptedPods".to_owned(), disrupted.into());
        }
    }
    outcome.ops.extend(write::status(budget, &status, &wanted));
    outcome
}

/// Evictions under way: those of pods that are still there and not yet terminating.
fn disrupted(
    status: &Value,
    pods: &[&Arc<Object>],
    now: Timestamp,
    outcome: &mut Outcome,
) -> Map<String, Value> {
    let mut kept = Map::new();
    let entries = field::tree(status, "/disruptedPods").as_object();
    for (name, since) in entries.into_iter().flatten() {
        let is_here = pods
            .iter()
            .any(|pod| pod.name() == name && !pod.is_terminating());
        let Some(since_time) = since.as_str().and_then(|time| time.parse().ok()) else {
            continue;
        };
        let until = seconds_after(since_time, DISRUPTED_S);
        if is_here && until > now {
            outcome.look_again(until);
            kept.insert(name.clone(), since.clone());
        }
    }
    kept
}

/// How many pods there should be, and how many of them healthy. Source: `getExpectedPodCount`.
fn expected(cluster: &Cluster, spec: &Spec, pods: &[&Arc<Object>]) -> Result<(i64, i64), String> {
    let count = || i64::try_from(pods.len()).unwrap_or(i64::MAX);
    if let Some(limit) = &spec.max_unavailable {
        let expected = scale(cluster, pods)?;
        let unavailable = field::scaled(limit, expected, Rounding::Up)
            .ok_or_else(|| format!("invalid value for IntOrString: {limit}"))?;
        return Ok((expected, (expected - unavailable).max(0)));
    }
    match &spec.min_available {
        Some(limit) if limit.is_number() => Ok((count(), limit.as_i64().unwrap_or_default())),
        Some(limit) => {
            let expected = scale(cluster, pods)?;
            let desired = field::scaled(limit, expected, Rounding::Up)
                .ok_or_else(|| format!("invalid value for IntOrString: {limit}"))?;
            Ok((expected, desired))
        }
        None => Ok((count(), 0)),
    }
}

/// The sum of the replicas of everything that controls these pods; unmanaged ones do not count.
fn scale(cluster: &Cluster, pods: &[&Arc<Object>]) -> Result<i64, String> {
    let mut controllers: BTreeSet<&Uid> = BTreeSet::new();
    let mut replicas: BTreeMap<Uid, i64> = BTreeMap::new();
    for pod in pods {
        let Some(owner) = pod.controller() else {
            continue;
        };
        if controllers.insert(&owner.uid) {
            let (uid, count) = scale_of(cluster, pod.namespace(), owner)?;
            replicas.insert(uid, count);
        }
    }
    Ok(replicas.values().sum())
}

/// A replica set of a deployment counts as the deployment.
fn scale_of(cluster: &Cluster, namespace: &str, owner: &OwnerRef) -> Result<(Uid, i64), String> {
    let resource = SCALED
        .iter()
        .find(|(kind, _)| owner.kind == *kind)
        .map(|(_, resource)| resource)
        .ok_or_else(|| {
            format!(
                "{}s.{} does not implement the scale subresource",
                owner.kind.to_lowercase(),
                owner.api_version.split('/').next().unwrap_or_default()
            )
        })?;
    let object = cluster
        .find(resource, namespace, &owner.name)
        .filter(|object| object.uid == owner.uid);
    let Some(object) = object else {
        return Ok((owner.uid.clone(), 0));
    };
    if *resource == resources::REPLICA_SETS
        && let Some(deployment) = object.controller()
        && deployment.kind == "Deployment"
    {
        return scale_of(cluster, namespace, deployment);
    }
    let count = field::integer(&object.json(), "/spec/replicas").unwrap_or(1);
    Ok((object.uid.clone(), count))
}

fn judge(conditions: &mut Vec<Value>, allowed: i64, (generation, now): (i64, Timestamp)) {
    let (status, reason) = if allowed > 0 {
        ("True", "SufficientPods")
    } else {
        ("False", "InsufficientPods")
    };
    let condition = Condition {
        kind: "DisruptionAllowed",
        status,
        reason,
        message: "",
    };
    set(conditions, condition, generation, now);
}

/// Conditions of meta/v1 always have a message.
fn set(conditions: &mut Vec<Value>, condition: Condition<'_>, generation: i64, now: Timestamp) {
    condition::set_in_place(conditions, condition, Some(generation), now);
    for entry in conditions.iter_mut() {
        if entry.get("message").is_none() {
            field::put(entry, "message", json!(""));
        }
    }
}

/// Nothing may be disrupted where nobody can say how many there should be.
fn fail_safe(
    budget: &Object,
    message: &str,
    conditions: &mut Vec<Value>,
    (outcome, now): (&mut Outcome, Timestamp),
) {
    let known = condition::find(conditions, "DisruptionAllowed")
        .is_some_and(|entry| field::text(entry, "/message") == message);
    if !known {
        let report = Reporter {
            name: "controllermanager",
            object: budget,
            kind: &kind::DISRUPTION_BUDGET,
        };
        let text = format!("Failed to calculate the number of expected pods: {message}");
        let event = report.warning("CalculateExpectedPodCountFailed", text);
        outcome.ops.push(event);
    }
    let condition = Condition {
        kind: "DisruptionAllowed",
        status: "False",
        reason: "SyncFailed",
        message,
    };
    set(conditions, condition, budget.generation, now);
}

#[cfg(test)]
mod tests {
    use super::super::harness::Bench;
    use super::*;
    use crate::k8s::build::{self, Draft};

    const ALL: [Controller; 1] = [CONTROLLER];

    fn web(name: &str) -> Draft {
        build::pod(name)
            .label("app", "web")
            .owner("ReplicaSet", "web-1")
            .node("n1")
    }

    fn fleet(budget: Draft, ready: usize, sick: usize) -> Bench {
        let mut objects = vec![
            budget,
            build::deployment("web").replicas(10),
            build::replica_set("web-1")
                .owner("Deployment", "web")
                .replicas(10),
        ];
        objects.extend((0..ready).map(|n| web(&format!("ready-{n}"))));
        objects.extend((0..sick).map(|n| web(&format!("sick-{n}")).not_ready()));
        let mut bench = Bench::new(&ALL, &objects);
        bench.settle();
        bench
    }

    /// `(currentHealthy, desiredHealthy, expectedPods, disruptionsAllowed)`.
    #[track_caller]
    fn check(budget: Draft, ready: usize, sick: usize, expected: [i64; 4]) {
        let bench = fleet(budget, ready, sick);
        let status = bench.find(&resources::POD_DISRUPTION_BUDGETS, "web")["status"].clone();
        let names = [
            "currentHealthy",
            "desiredHealthy",
            "expectedPods",
            "disruptionsAllowed",
        ];
        assert_eq!(names.map(|name| status[name].as_i64().unwrap()), expected);
        let reason = if expected[3] > 0 {
            "SufficientPods"
        } else {
            "InsufficientPods"
        };
        assert_eq!(status["conditions"][0]["reason"], reason);
    }

    #[test]
    fn allowance_follows_the_budget() {
        let budget = || build::budget("web");
        check(budget().min_available("8"), 10, 0, [10, 8, 10, 2]);
        check(budget().min_available("8"), 7, 3, [7, 8, 10, 0]);
        check(budget().min_available("75%"), 10, 0, [10, 8, 10, 2]);
        check(budget().max_unavailable("1"), 10, 0, [10, 9, 10, 1]);
        check(budget().max_unavailable("25%"), 9, 0, [9, 7, 10, 2]);
        check(budget().max_unavailable("1"), 0, 0, [0, 0, 0, 0]);
    }

    #[test]
    fn evictions_under_way_count_until_the_pod_goes() {
        let mut bench = fleet(build::budget("web").min_available("8"), 10, 0);
        let patch = json!({"status": {"disruptedPods": {
            "ready-0": "2026-01-01T01:00:00Z", "gone": "2026-01-01T01:00:00Z"}}});
        bench.edit(&resources::POD_DISRUPTION_BUDGETS, "web", &patch);
        bench.settle();
        let status =
            |bench: &Bench| bench.find(&resources::POD_DISRUPTION_BUDGETS, "web")["status"].clone();
        assert_eq!(status(&bench)["disruptionsAllowed"], 1);
        assert_eq!(
            status(&bench)["disruptedPods"].as_object().unwrap().len(),
            1
        );
        bench.advance(121);
        assert_eq!(status(&bench)["disruptionsAllowed"], 2);
    }

    #[test]
    fn unknown_scale_allows_nothing() {
        let pod = build::pod("a")
            .label("app", "web")
            .owner("DaemonSet", "agent")
            .node("n1");
        let budget = build::budget("web").max_unavailable("1");
        let mut bench = Bench::new(&ALL, &[budget, pod]);
        bench.settle();
        let status = bench.find(&resources::POD_DISRUPTION_BUDGETS, "web")["status"].clone();
        assert_eq!(status["conditions"][0]["reason"], "SyncFailed");
        assert_eq!(bench.reasons(), ["CalculateExpectedPodCountFailed"]);
    }
}
