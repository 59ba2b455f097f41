//! Tests of replica sets: counting, adopting, and who goes first.

use serde_json::json;

use super::super::harness::{Bench, check_order_independent};
use super::*;
use crate::k8s::build::{self, Draft};

const ALL: [Controller; 2] = [CONTROLLER, super::REPLICATION_CONTROLLER];

fn set(replicas: u32) -> Draft {
    build::replica_set("web").replicas(replicas).with(&json!({
        "metadata": {"generation": 1},
        "spec": {"template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        }},
    }))
}

fn status(bench: &Bench) -> Value {
    bench.find(&resources::REPLICA_SETS, "web")["status"].clone()
}

#[test]
fn missing_pods_are_created_from_the_template() {
    let mut bench = Bench::new(&ALL, &[set(3)]);
    bench.run_pods("n1");
    let pods = bench.pods();
    assert_eq!(pods.len(), 3);
    assert!(pods.iter().all(|pod| {
        pod.name().starts_with("web-")
            && pod.name().len() == 9
            && pod.controller().unwrap().name == "web"
            && pod.labels.get("app").unwrap() == "web"
    }));
    assert_eq!(bench.reasons(), ["SuccessfulCreate"; 3]);
    assert!(bench.events[0].message.starts_with("Created pod: web-"));
    assert_eq!(
        status(&bench),
        json!({"replicas": 3, "fullyLabeledReplicas": 3, "readyReplicas": 3,
            "availableReplicas": 3, "observedGeneration": 1, "terminatingReplicas": 0})
    );
}

#[test]
fn one_run_creates_at_most_a_burst() {
    let mut bench = Bench::new(&[], &[set(1200)]);
    let key = ObjectKey::new(resources::REPLICA_SETS, "default", "web");
    let outcome = (CONTROLLER.reconcile)(&bench.cluster, &key, bench.now);
    let creates = outcome
        .ops
        .iter()
        .filter(|op| matches!(op, crate::k8s::Op::Create { .. }));
    assert_eq!(creates.count(), BURST);
    bench = Bench::new(&ALL, &[set(1200)]);
    bench.settle();
    assert_eq!(bench.pods().len(), 1200);
}

#[test]
fn lost_pods_are_replaced_and_finished_ones_do_not_count() {
    let mut bench = Bench::new(&ALL, &[set(2)]);
    bench.run_pods("n1");
    let pod = bench.pods().remove(0);
    bench.finish(&pod, "Failed");
    bench.run_pods("n1");
    let running = bench
        .pods()
        .into_iter()
        .filter(|pod| pod::is_active(pod))
        .count();
    assert_eq!(running, 2);
}

#[test]
fn orphans_are_adopted_and_strangers_released() {
    let orphan = build::pod("stray").label("app", "web").node("n1");
    let foreign = build::pod("foreign")
        .label("app", "web")
        .owner("ReplicaSet", "other");
    let mut bench = Bench::new(&ALL, &[set(2), orphan, foreign]);
    bench.run_pods("n1");
    let owner = |name: &str| {
        bench.find(&resources::PODS, name)["metadata"]["ownerReferences"][0]["name"].clone()
    };
    assert_eq!(owner("stray"), "web");
    assert_eq!(owner("foreign"), "other");
    assert_eq!(bench.pods().len(), 3);
    bench.edit(
        &resources::PODS,
        "stray",
        &json!({"metadata": {"labels": {"app": "debug"}}}),
    );
    bench.run_pods("n1");
    assert_eq!(bench.pods().len(), 4);
    assert_eq!(
        bench.find(&resources::PODS, "stray")["metadata"]["ownerReferences"],
        json!([])
    );
}

#[test]
fn availability_waits_for_min_ready_seconds() {
    let slow = set(1).with(&json!({"spec": {"minReadySeconds": 10}}));
    let mut bench = Bench::new(&ALL, &[slow]);
    bench.run_pods("n1");
    assert_eq!(status(&bench)["readyReplicas"], 1);
    assert_eq!(status(&bench).get("availableReplicas"), None);
    bench.advance(10);
    assert_eq!(status(&bench)["availableReplicas"], 1);
}

type Trait = fn(Draft) -> Draft;

/// `(name, what it is like)`: the first is the one to go.
#[track_caller]
fn check_victim(pods: &[(&str, Trait)], expected: &str) {
    let pods: Vec<Draft> = pods
        .iter()
        .map(|(name, trait_of)| {
            trait_of(
                build::pod(name)
                    .label("app", "web")
                    .owner("ReplicaSet", "web")
                    .node(name),
            )
        })
        .collect();
    let kept = u32::try_from(pods.len()).unwrap() - 1;
    let mut objects = pods;
    objects.push(set(kept));
    let mut bench = Bench::new(&ALL, &objects);
    bench.settle();
    let leaving: Vec<String> = bench
        .all(&resources::PODS)
        .iter()
        .filter(|pod| pod.is_terminating())
        .map(|pod| pod.name().to_owned())
        .collect();
    // A pod without a node vanishes at once.
    let gone = bench.find(&resources::PODS, expected).is_null();
    assert!(leaving == [expected] || gone, "{leaving:?}");
}

#[test]
fn victims_are_chosen_in_upstreams_order() {
    let same: Trait = |pod| pod;
    let unbound: Trait = |pod| pod.with(&json!({"spec": {"nodeName": null}}));
    let pending: Trait = |pod| pod.phase("Pending");
    let sick: Trait = Draft::not_ready;
    let cheap: Trait = |pod| pod.annotation(victims_cost(), "-10");
    let crowded: Trait = |pod| pod.with(&json!({"spec": {"nodeName": "full"}}));
    let young: Trait = |pod| pod.created("2026-01-01T00:59:00Z");
    check_victim(&[("a", same), ("b", unbound), ("c", pending)], "b");
    check_victim(&[("a", same), ("b", sick), ("c", pending)], "c");
    check_victim(&[("a", cheap), ("b", sick)], "b");
    check_victim(
        &[("a", same), ("b", cheap), ("c", crowded), ("d", crowded)],
        "b",
    );
    check_victim(
        &[("a", same), ("b", same), ("c", crowded), ("d", crowded)],
        "c",
    );
    check_victim(&[("a", same), ("b", young)], "b");
}

fn victims_cost() -> &'static str {
    "controller.kubernetes.io/pod-deletion-cost"
}

#[test]
fn replication_controller_is_the_same_loop() {
    let controller = build::object(
        resources::REPLICATION_CONTROLLERS,
        "v1",
        "ReplicationController",
        "web",
    )
    .with(
        &json!({"spec": {"replicas": 2, "selector": {"app": "web"}, "template": {
            "metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}}}),
    );
    let mut bench = Bench::new(&ALL, &[controller]);
    bench.run_pods("n1");
    assert_eq!(bench.pods().len(), 2);
    let status = bench.find(&resources::REPLICATION_CONTROLLERS, "web")["status"].clone();
    assert_eq!(status["availableReplicas"], 2);
}

#[test]
fn ends_the_same_in_any_order() {
    check_order_independent(
        &ALL,
        &[set(4), build::pod("stray").label("app", "web")],
        |bench| {
            bench.run_pods("n1");
            bench.edit(
                &resources::REPLICA_SETS,
                "web",
                &json!({"spec": {"replicas": 2}}),
            );
            bench.run_pods("n1");
        },
    );
}

#[test]
fn five_thousand_pods_are_counted_without_decoding_them() {
    let mut objects: Vec<Draft> = (0..5000)
        .map(|n| {
            build::pod(&format!("web-{n:04}"))
                .label("app", "web")
                .owner("ReplicaSet", "web")
                .node("n1")
        })
        .collect();
    objects.push(set(5000));
    let mut bench = Bench::new(&[], &objects);
    // A pod whose bytes are no JSON would fail if anything decoded it.
    for pod in bench.all(&resources::PODS) {
        let mut blank = (*pod).clone();
        blank.body = bytes::Bytes::from_static(b"not JSON").into();
        bench.cluster.insert(&Arc::new(blank));
    }
    let key = ObjectKey::new(resources::REPLICA_SETS, "default", "web");
    let outcome = (CONTROLLER.reconcile)(&bench.cluster, &key, bench.now);
    assert_eq!(outcome.ops.len(), 1, "only the status is written");
}
