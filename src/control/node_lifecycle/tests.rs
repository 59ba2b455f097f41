//! Tests of node lifecycle and taint eviction together.

use super::super::harness::Bench;
use super::super::taint_eviction;
use super::*;
use crate::k8s::build::{self, Draft};

const ALL: [Controller; 2] = [CONTROLLER, taint_eviction::CONTROLLER];

fn node(name: &str) -> Draft {
    build::node(name).created("2026-01-01T00:59:00Z")
}

fn lease(node: &str, renewed: &str) -> Draft {
    build::object(
        resources::LEASES,
        "coordination.k8s.io/v1",
        "Lease",
        &format!("kube-node-lease/{node}"),
    )
    .with(&json!({"spec": {"renewTime": renewed}}))
}

const NEVER_STALE: &str = "2027-01-01T00:00:00.000000Z";

fn tolerant(name: &str, seconds: Option<i64>) -> Draft {
    let toleration = json!({"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute",
        "tolerationSeconds": seconds});
    build::pod(name)
        .with(&json!({"spec": {"tolerations": [toleration]}}))
        .node("n1")
}

fn taints(bench: &Bench, node: &str) -> Vec<(String, String)> {
    let node = bench.find(&resources::NODES, &format!("/{node}"));
    field::list(&node, "/spec/taints")
        .iter()
        .map(|taint| {
            let text = |path| field::text(taint, path).to_owned();
            (text("/key"), text("/effect"))
        })
        .collect()
}

fn ready(bench: &Bench, node: &str) -> Value {
    let node = bench.find(&resources::NODES, &format!("/{node}"));
    condition::find(field::list(&node, "/status/conditions"), "Ready")
        .cloned()
        .unwrap_or_default()
}

#[test]
fn silent_node_becomes_unknown_and_its_pods_leave_in_time() {
    let objects = [
        node("n1"),
        node("n2"),
        lease("n1", "2026-01-01T01:00:00.000000Z"),
        lease("n2", NEVER_STALE),
        tolerant("five-minutes", Some(300)),
        tolerant("for-ever", None),
        build::pod("not-at-all").node("n1"),
    ];
    let mut bench = Bench::new(&ALL, &objects);
    bench.advance(39);
    assert_eq!(ready(&bench, "n1")["status"], "True");
    bench.advance(3);
    let entry = ready(&bench, "n1");
    assert_eq!(entry["status"], "Unknown");
    assert_eq!(entry["reason"], "NodeStatusUnknown");
    assert_eq!(entry["message"], "Kubelet stopped posting node status.");
    assert_eq!(ready(&bench, "n2")["status"], "True");
    let expected = [(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")];
    assert_eq!(
        taints(&bench, "n1"),
        expected.map(|(key, effect)| (key.into(), effect.into()))
    );
    assert!(bench.reasons().contains(&"NodeNotReady"));
    assert!(bench.reasons().contains(&"TaintManagerEviction"));
    let names = |bench: &Bench| -> Vec<String> {
        bench
            .pods()
            .iter()
            .map(|pod| pod.name().to_owned())
            .collect()
    };
    assert_eq!(names(&bench), ["five-minutes", "for-ever"]);
    assert!(bench.pods().iter().all(|pod| !pod.pod().unwrap().ready));
    bench.advance(297);
    assert_eq!(names(&bench), ["five-minutes", "for-ever"]);
    bench.advance(3);
    assert_eq!(names(&bench), ["for-ever"]);
    let evicted = bench.find(&resources::PODS, "five-minutes");
    let condition = condition::find(
        field::list(&evicted, "/status/conditions"),
        "DisruptionTarget",
    );
    assert_eq!(condition.unwrap()["reason"], "DeletionByTaintManager");
}

#[test]
fn node_that_answers_again_loses_its_taints() {
    let objects = [
        node("n1"),
        node("n2"),
        lease("n1", "2026-01-01T01:00:00.000000Z"),
        lease("n2", NEVER_STALE),
        tolerant("patient", Some(300)),
    ];
    let mut bench = Bench::new(&ALL, &objects);
    bench.advance(100);
    assert_eq!(taints(&bench, "n1").len(), 2);
    bench.put(&lease("n1", NEVER_STALE));
    bench.edit(
        &resources::NODES,
        "/n1",
        &json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
    );
    bench.advance(1000);
    assert_eq!(taints(&bench, "n1"), []);
    assert_eq!(bench.pods().len(), 1);
}

#[test]
fn nothing_is_evicted_when_every_node_is_silent() {
    let objects = [
        node("n1"),
        lease("n1", "2026-01-01T01:00:00.000000Z"),
        tolerant("patient", Some(10)),
    ];
    let mut bench = Bench::new(&ALL, &objects);
    bench.advance(200);
    assert_eq!(
        taints(&bench, "n1"),
        [(UNREACHABLE.into(), "NoSchedule".into())]
    );
    assert_eq!(bench.pods().len(), 1);
    bench.put(&node("n2"));
    bench.put(&lease("n2", NEVER_STALE));
    bench.advance(30);
    assert_eq!(taints(&bench, "n1").len(), 2);
    assert!(bench.pods().is_empty());
}

#[test]
fn node_without_a_lease_is_observed_from_now_on() {
    let stale = node("n1").with(&json!({"status": {"conditions": [
        {"type": "Ready", "status": "True", "lastHeartbeatTime": "2025-12-31T00:00:00Z"}]}}));
    let mut bench = Bench::new(&ALL, &[stale]);
    bench.settle();
    assert_eq!(ready(&bench, "n1")["status"], "True");
    assert_eq!(bench.names(&resources::LEASES), ["n1"]);
    bench.advance(45);
    assert_eq!(ready(&bench, "n1")["status"], "Unknown");
}

#[test]
fn new_node_is_tainted_until_it_is_ready() {
    let new = node("n1").with(&json!({"status": {"conditions": null}}));
    let mut bench = Bench::new(&ALL, &[new]);
    bench.settle();
    assert_eq!(
        taints(&bench, "n1"),
        [(NOT_READY.into(), "NoSchedule".into())]
    );
    bench.advance(5);
    assert_eq!(ready(&bench, "n1")["reason"], "NodeStatusNeverUpdated");
}

#[test]
fn cordon_is_a_taint_and_foreign_taints_stay() {
    let cordoned = node("n1")
        .taint("dedicated", "gpu", "NoSchedule")
        .with(&json!({"spec": {"unschedulable": true}}));
    let mut bench = Bench::new(&ALL, &[cordoned, lease("n1", NEVER_STALE)]);
    bench.settle();
    let keys = |bench: &Bench| -> Vec<String> {
        taints(bench, "n1")
            .into_iter()
            .map(|(key, _)| key)
            .collect()
    };
    assert_eq!(keys(&bench), ["dedicated", UNSCHEDULABLE]);
    bench.edit(
        &resources::NODES,
        "/n1",
        &json!({"spec": {"unschedulable": null}}),
    );
    bench.settle();
    assert_eq!(keys(&bench), ["dedicated"]);
}
