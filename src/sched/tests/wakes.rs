//! Which events wake which pods: one row a rule of upstream's hints.

#![expect(
    clippy::needless_pass_by_value,
    reason = "rows are easier to read without references"
)]

use std::sync::Arc;

use serde_json::{Value, json};

use crate::k8s::{Change, ChangeKind, Object, Resource, resources};
use crate::sched::hints::Hint;
use crate::sched::queue::{QueueState, QueuedPod};
use crate::sched::verdict::PluginSet;
use crate::sched::{Plugin, Snapshot};

fn object(resource: Resource, json: &Value) -> Arc<Object> {
    Arc::new(Object::from_json(resource, json).unwrap())
}

fn waiting(snapshot: &mut Snapshot, plugin: Plugin, spec: Value) -> QueuedPod {
    let json = json!({"metadata": {"namespace": "a", "name": "new", "labels": {"app": "web"}},
                      "spec": spec});
    let object = object(resources::PODS, &json);
    QueuedPod {
        template: Some(snapshot.subject(&object).unwrap().template),
        object,
        state: QueueState::Unschedulable,
        attempts: 1,
        tried: None,
        refused_by: [plugin].into(),
        message: "".into(),
        order: 0,
    }
}

#[track_caller]
fn wakes(plugin: Plugin, spec: Value, resource: Resource, states: [Value; 2], expected: bool) {
    let mut snapshot = Snapshot::default();
    let pod = waiting(&mut snapshot, plugin, spec);
    let [before, after] =
        states.map(|json| (!json.is_null()).then(|| object(resource.clone(), &json)));
    let change = match (before, after) {
        (Some(before), None) => Change {
            kind: ChangeKind::Deleted,
            object: Arc::clone(&before),
            previous: Some(before),
        },
        (before, Some(after)) => Change {
            kind: if before.is_some() {
                ChangeKind::Modified
            } else {
                ChangeKind::Added
            },
            object: after,
            previous: before,
        },
        (None, None) => return,
    };
    snapshot.observe(&change);
    let hint = Hint::of(&change, &snapshot);
    let woken = hint.concerns(PluginSet::of(&pod.refused_by)) && hint.may_help(&pod);
    assert_eq!(woken, expected, "{plugin:?} {change:?}");
}

fn node(labels: Value, taints: Value, cpu: &str) -> Value {
    json!({"metadata": {"name": "n", "labels": labels}, "spec": {"taints": taints},
           "status": {"allocatable": {"cpu": cpu, "pods": "10"}}})
}

fn other(labels: Value, spec: Value) -> Value {
    let mut json = json!({"metadata": {"namespace": "a", "name": "other", "labels": labels},
                          "spec": spec, "status": {"phase": "Running"}});
    json["spec"]["nodeName"] = json!("n");
    json
}

fn cpu(amount: &str) -> Value {
    json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": amount}}}]})
}

#[test]
fn nodes_wake_pods_that_they_now_suit() {
    let nodes = resources::NODES;
    let plain = || node(json!({}), json!([]), "4");
    let tainted = || {
        node(
            json!({}),
            json!([{"key": "k", "effect": "NoSchedule"}]),
            "4",
        )
    };
    let ssd = || node(json!({"disk": "ssd"}), json!([]), "4");
    let wanting = || json!({"nodeSelector": {"disk": "ssd"}});
    let rows = [
        (
            Plugin::TaintToleration,
            json!({}),
            [tainted(), plain()],
            true,
        ),
        (
            Plugin::TaintToleration,
            json!({}),
            [plain(), tainted()],
            false,
        ),
        (
            Plugin::TaintToleration,
            json!({}),
            [Value::Null, tainted()],
            false,
        ),
        (Plugin::NodeAffinity, wanting(), [plain(), ssd()], true),
        (Plugin::NodeAffinity, wanting(), [ssd(), ssd()], false),
        (
            Plugin::NodeAffinity,
            wanting(),
            [Value::Null, plain()],
            false,
        ),
        (
            Plugin::NodeResourcesFit,
            cpu("2"),
            [Value::Null, plain()],
            true,
        ),
        (
            Plugin::NodeResourcesFit,
            cpu("5"),
            [Value::Null, plain()],
            false,
        ),
        (
            Plugin::NodeResourcesFit,
            cpu("2"),
            [plain(), node(json!({}), json!([]), "8")],
            true,
        ),
        (Plugin::NodeResourcesFit, cpu("2"), [plain(), ssd()], false),
        (
            Plugin::NodeResourcesFit,
            cpu("2"),
            [plain(), Value::Null],
            false,
        ),
        (
            Plugin::PodTopologySpread,
            json!({}),
            [plain(), Value::Null],
            true,
        ),
    ];
    for (plugin, spec, states, expected) in rows {
        wakes(plugin, spec, nodes.clone(), states, expected);
    }
}

#[test]
fn pods_wake_those_that_wait_for_what_they_hold() {
    let port = |number: u32| json!({"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": number}]}]});
    let near = || {
        json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            [{"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "db"}}}]}}})
    };
    let apart = || {
        json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            [{"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "db"}}}]}}})
    };
    let spread = || {
        json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "db"}}}]})
    };
    let db = || other(json!({"app": "db"}), json!({}));
    let web = || other(json!({"app": "web"}), json!({}));
    let none = || Value::Null;
    let rows = [
        (
            Plugin::NodePorts,
            port(80),
            [other(json!({}), port(80)), none()],
            true,
        ),
        (
            Plugin::NodePorts,
            port(80),
            [other(json!({}), port(81)), none()],
            false,
        ),
        (Plugin::NodeResourcesFit, cpu("1"), [web(), none()], true),
        (Plugin::NodeResourcesFit, cpu("1"), [none(), web()], false),
        (
            Plugin::NodeResourcesFit,
            cpu("1"),
            [other(json!({}), cpu("2")), other(json!({}), cpu("1"))],
            true,
        ),
        (Plugin::InterPodAffinity, near(), [none(), db()], true),
        (Plugin::InterPodAffinity, near(), [none(), web()], false),
        (Plugin::InterPodAffinity, near(), [db(), none()], false),
        (Plugin::InterPodAffinity, apart(), [db(), none()], true),
        (Plugin::InterPodAffinity, apart(), [none(), db()], false),
        (Plugin::InterPodAffinity, apart(), [db(), web()], true),
        (Plugin::PodTopologySpread, spread(), [none(), db()], true),
        (Plugin::PodTopologySpread, spread(), [db(), none()], true),
        (Plugin::PodTopologySpread, spread(), [web(), none()], false),
        (Plugin::TaintToleration, json!({}), [web(), none()], false),
    ];
    for (plugin, spec, states, expected) in rows {
        wakes(plugin, spec, resources::PODS, states, expected);
    }
}

#[test]
fn storage_wakes_pods_with_claims() {
    let claiming =
        || json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]});
    let claim = |name: &str| json!({"metadata": {"namespace": "a", "name": name}});
    let claims = resources::PERSISTENT_VOLUME_CLAIMS;
    let binding = Plugin::VolumeBinding;
    wakes(
        binding,
        claiming(),
        claims.clone(),
        [Value::Null, claim("data")],
        true,
    );
    wakes(
        binding,
        claiming(),
        claims.clone(),
        [Value::Null, claim("more")],
        false,
    );
    wakes(
        Plugin::NodeResourcesFit,
        claiming(),
        claims,
        [Value::Null, claim("data")],
        false,
    );
    let limits = json!({"metadata": {"name": "n"}});
    wakes(
        Plugin::NodeVolumeLimits,
        claiming(),
        resources::CSI_NODES,
        [Value::Null, limits],
        true,
    );
}

/// A pod that was tried while there was no node: no plugin has refused it.
#[test]
fn the_first_node_wakes_a_pod_that_found_none() {
    for (resource, state, expected) in [
        (resources::NODES, node(json!({}), json!([]), "4"), true),
        (
            resources::CONFIG_MAPS,
            json!({"metadata": {"namespace": "a", "name": "settings"}}),
            false,
        ),
    ] {
        let mut snapshot = Snapshot::default();
        let mut pod = waiting(&mut snapshot, Plugin::NodeResourcesFit, json!({}));
        pod.refused_by = [].into();
        let change = Change {
            kind: ChangeKind::Added,
            object: object(resource, &state),
            previous: None,
        };
        snapshot.observe(&change);
        let hint = Hint::of(&change, &snapshot);
        let woken = hint.concerns(PluginSet::of(&pod.refused_by)) && hint.may_help(&pod);
        assert_eq!(woken, expected, "{change:?}");
    }
}
