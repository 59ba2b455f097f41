//! Input at and beyond the edge of what the API admits: bounded work, no overflow, no panic.

use std::sync::Arc;

use serde_json::{Value, json};

use super::scene::Scene;
use crate::k8s::{Object, resources};
use crate::sched::fast::{Fast, Fate, Preempting};
use crate::sched::{Configuration, Snapshot};

fn requesting(cpu: &str) -> Value {
    json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}]})
}

#[test]
fn nodes_that_offer_nothing_or_less_take_no_pod() {
    let node = |name: &str, allocatable: Value| json!({"metadata": {"name": name}, "status": {"allocatable": allocatable}});
    let huge = "9223372036854775807";
    let scene = Scene::default()
        .and(resources::NODES, json!({"metadata": {"name": "bare"}}))
        .and(
            resources::NODES,
            node("zero", json!({"cpu": "0", "memory": "0", "pods": "0"})),
        )
        .and(
            resources::NODES,
            node(
                "negative",
                json!({"cpu": "-5", "memory": "-1Gi", "pods": "-3"}),
            ),
        )
        .and(
            resources::NODES,
            node("huge", json!({"cpu": huge, "memory": huge, "pods": huge})),
        )
        .running("p", "negative", json!({}), requesting(huge))
        .running("q", "huge", json!({}), requesting(huge))
        .running("r", "huge", json!({}), requesting(huge));
    for cpu in ["1", "0", huge] {
        let explanation = scene.explain(json!({}), requesting(cpu));
        for name in ["bare", "zero", "negative"] {
            assert!(
                !explanation.best.iter().any(|best| best == name),
                "{name} {cpu}"
            );
        }
        assert!(!explanation.nodes.is_empty());
    }
    let snapshot = Snapshot::of(&scene.0);
    let json = json!({"metadata": {"namespace": "a", "name": "new"}, "spec": requesting("1")});
    let pod = Arc::new(Object::from_json(resources::PODS, &json).unwrap());
    snapshot.nearest_misses(&pod).unwrap();
    assert!(snapshot.room_for(&pod, 10).count <= 10);
}

#[test]
fn five_hundred_taints_and_a_hundred_constraints_are_only_long() {
    let taints: Vec<Value> = (0..500)
        .map(|number| json!({"key": format!("t{number}"), "effect": "PreferNoSchedule"}))
        .collect();
    let mut scene = Scene::default();
    for number in 0..20 {
        scene = scene.and(
            resources::NODES,
            json!({"metadata": {"name": format!("n{number}"), "labels": {"zone": format!("z{}", number % 3)}},
                   "spec": {"taints": taints},
                   "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}}),
        );
    }
    let constraints: Vec<Value> = (0..100)
        .map(|number| {
            let soft = number % 2 == 0;
            json!({"maxSkew": i32::MAX, "topologyKey": if number % 3 == 0 { "zone" } else { "none" },
                   "whenUnsatisfiable": if soft { "ScheduleAnyway" } else { "DoNotSchedule" },
                   "labelSelector": {}, "minDomains": if soft { Value::Null } else { json!(i32::MAX) }})
        })
        .collect();
    let terms: Vec<Value> = (0..100)
        .map(|_| {
            json!({"weight": i32::MAX, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {}}})
        })
        .collect();
    let mut spec = requesting("1");
    spec["topologySpreadConstraints"] = json!(constraints);
    spec["affinity"] =
        json!({"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}});
    let explanation = scene.explain(json!({}), spec.clone());
    assert_eq!(explanation.nodes.len(), 20);
    spec["topologySpreadConstraints"] = json!([]);
    let mut snapshot = Snapshot::of(&scene.0);
    let json = json!({"metadata": {"namespace": "a", "name": "new"}, "spec": spec});
    let pod = Arc::new(Object::from_json(resources::PODS, &json).unwrap());
    let subject = snapshot.subject(&pod).unwrap();
    let fate = Fast::default().decide(&snapshot, &subject, 1, Preempting::Yes);
    assert!(matches!(fate, Fate::Node(_)), "{fate:?}");
}

#[test]
fn an_unreadable_pod_is_refused_by_name() {
    let refused = |spec: Value| {
        let json = json!({"metadata": {"namespace": "a", "name": "odd"}, "spec": spec});
        let Ok(object) = Object::from_json(resources::PODS, &json) else {
            return true;
        };
        let error = Snapshot::default().explain(&Arc::new(object)).err();
        error.is_some_and(|error| error.to_string().contains("`a/odd`"))
    };
    assert!(refused(requesting("a lot")));
    assert!(refused(json!({"affinity": {"nodeAffinity":
        {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1_u64 << 40}]}}})));
    assert!(refused(
        json!({"topologySpreadConstraints": [{"maxSkew": "1"}]})
    ));
    assert!(!refused(requesting("1")));
}

#[test]
fn weights_beyond_the_index_go_the_reference_way() {
    let text = json!({"apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "profiles": [{"schedulerName": "default-scheduler", "plugins": {"score": {
            "disabled": [{"name": "NodeResourcesFit"}],
            "enabled": [{"name": "NodeResourcesFit", "weight": 20_000_000}]}}}]});
    let scene = Scene::with_nodes(&[("n1", json!({})), ("n2", json!({}))]).running(
        "p",
        "n1",
        json!({}),
        requesting("2"),
    );
    let Ok(configuration) = Configuration::parse(&text.to_string()) else {
        // Refused by name is as good.
        return;
    };
    let mut snapshot = Snapshot::with(&scene.0, configuration);
    let json = json!({"metadata": {"namespace": "a", "name": "new"}, "spec": requesting("1")});
    let pod = Arc::new(Object::from_json(resources::PODS, &json).unwrap());
    let subject = snapshot.subject(&pod).unwrap();
    let mut fast = Fast::default();
    assert!(fast.best(&snapshot, &subject).is_none());
    let fate = fast.decide(&snapshot, &subject, 0, Preempting::No);
    assert!(matches!(fate, Fate::Node(node) if snapshot.node_name(node) == "n2"));
}
