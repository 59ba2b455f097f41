//! Single rules of the published reference, each in the smallest cluster that shows it.

#![expect(
    clippy::needless_pass_by_value,
    reason = "rows are easier to read without references"
)]

use serde_json::{Value, json};

use super::scene::{Scene, owned, refusals};
use crate::k8s::resources;
use crate::sched::plugins::{node_affinity, pod_topology_spread};

const ZONE: &str = "topology.kubernetes.io/zone";

fn three() -> Scene {
    Scene::with_nodes(&[
        ("n1", json!({"disk": "ssd", "gen": "3", ZONE: "z1"})),
        ("n2", json!({"disk": "hdd", "gen": "x", ZONE: "z2"})),
        ("n3", json!({})),
    ])
}

fn required(terms: Value) -> Value {
    json!({"affinity": {"nodeAffinity":
        {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}})
}

fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
    json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]})
}

#[track_caller]
fn affinity(terms: Value, fitting: &[&str]) {
    let expected: Vec<(&str, &str)> = ["n1", "n2", "n3"]
        .into_iter()
        .map(|name| {
            let fits = fitting.contains(&name);
            (name, if fits { "" } else { node_affinity::REASON })
        })
        .collect();
    three().check(required(terms), &expected);
}

#[test]
fn node_affinity_operators() {
    affinity(json!([expression("disk", "In", &["ssd"])]), &["n1"]);
    affinity(
        json!([expression("disk", "NotIn", &["ssd"])]),
        &["n2", "n3"],
    );
    affinity(json!([expression("disk", "Exists", &[])]), &["n1", "n2"]);
    affinity(json!([expression("disk", "DoesNotExist", &[])]), &["n3"]);
    affinity(json!([expression("gen", "Gt", &["2"])]), &["n1"]);
    affinity(json!([expression("gen", "Lt", &["2"])]), &[]);
    affinity(json!([expression("gen", "Gt", &["two"])]), &[]);
}

#[test]
fn node_affinity_terms_are_alternatives_and_empty_ones_match_nothing() {
    let terms = json!([
        expression("disk", "In", &["ssd"]),
        expression("gen", "In", &["x"])
    ]);
    affinity(terms, &["n1", "n2"]);
    affinity(json!([{}]), &[]);
    affinity(json!([]), &[]);
    affinity(json!([{}, expression("disk", "In", &["hdd"])]), &["n2"]);
    let mut spec = required(json!([expression("disk", "Exists", &[])]));
    spec["nodeSelector"] = json!({"gen": "x"});
    let no = node_affinity::REASON;
    three().check(spec, &[("n1", no), ("n2", ""), ("n3", no)]);
}

#[test]
fn node_affinity_fields_name_the_only_nodes_looked_at() {
    let field = |operator: &str, name: &str| json!({"matchFields": [{"key": "metadata.name", "operator": operator, "values": [name]}]});
    let outside = crate::sched::framework::REASON_OUTSIDE;
    three().check(
        required(json!([field("In", "n1"), field("In", "gone")])),
        &[("n1", ""), ("n2", outside), ("n3", outside)],
    );
    affinity(json!([field("NotIn", "n1")]), &["n2", "n3"]);
    // One alternative without a name opens all nodes again.
    let mixed = json!([field("In", "n1"), expression("disk", "In", &["hdd"])]);
    affinity(mixed, &["n1", "n2"]);
    let both = json!([{"matchFields": [
        {"key": "metadata.name", "operator": "In", "values": ["n1"]},
        {"key": "metadata.name", "operator": "In", "values": ["n2"]}]}]);
    three().check(required(both), &[("", node_affinity::REASON_CONFLICT)]);
}

#[test]
fn gt_and_lt_tolerations_never_match() {
    let scene = Scene::default().and(
        resources::NODES,
        json!({"metadata": {"name": "n"},
               "spec": {"taints": [{"key": "level", "value": "5", "effect": "NoSchedule"}]},
               "status": {"allocatable": {"pods": "10"}}}),
    );
    let tolerating = |operator: &str, value: &str, effect: &str| {
        json!({"tolerations": [{"key": "level", "operator": operator, "value": value,
                                "effect": effect}]})
    };
    let no = "node(s) had untolerated taint(s)";
    scene.check(tolerating("Gt", "4", "NoSchedule"), &[("n", no)]);
    scene.check(tolerating("Lt", "6", ""), &[("n", no)]);
    scene.check(tolerating("Equal", "5", ""), &[("n", "")]);
    scene.check(tolerating("Equal", "5", "NoExecute"), &[("n", no)]);
    scene.check(
        json!({"tolerations": [{"operator": "Exists"}]}),
        &[("n", "")],
    );
}

#[test]
fn host_ports_conflict_by_address_protocol_and_port() {
    let ports = |port: u16, protocol: &str, address: &str| {
        json!({"containers": [{"name": "c", "ports":
            [{"containerPort": 1, "hostPort": port, "protocol": protocol, "hostIP": address}]}]})
    };
    let scene = Scene::with_nodes(&[("n", json!({}))]).running(
        "p",
        "n",
        json!({}),
        ports(80, "TCP", "10.0.0.1"),
    );
    let no = crate::sched::plugins::node_ports::REASON;
    scene.check(ports(80, "TCP", "10.0.0.1"), &[("n", no)]);
    scene.check(ports(80, "TCP", ""), &[("n", no)]);
    scene.check(ports(80, "", "0.0.0.0"), &[("n", no)]);
    scene.check(ports(80, "TCP", "::"), &[("n", "")]);
    scene.check(ports(80, "UDP", ""), &[("n", "")]);
    scene.check(ports(81, "TCP", ""), &[("n", "")]);
    // An ordinary init container holds no port, a sidecar does.
    let init = |restart: &str| {
        json!({"initContainers": [{"name": "i", "restartPolicy": restart,
            "ports": [{"containerPort": 1, "hostPort": 80}]}]})
    };
    scene.check(init(""), &[("n", "")]);
    scene.check(init("Always"), &[("n", no)]);
}

#[test]
fn requests_add_sidecars_overhead_and_pod_level_amounts() {
    let scene = Scene::with_nodes(&[("n", json!({}))]);
    let cpu = |amount: &str| json!({"requests": {"cpu": amount}});
    let no = "Insufficient cpu";
    // A sidecar before an ordinary init container adds to it: 3 + 2 > 4.
    let order = |first_is_sidecar: bool| {
        let sidecar = json!({"name": "s", "restartPolicy": "Always", "resources": cpu("2")});
        let init = json!({"name": "i", "resources": cpu("3")});
        let list = if first_is_sidecar {
            [sidecar, init]
        } else {
            [init, sidecar]
        };
        json!({"initContainers": list, "containers": [{"name": "c", "resources": cpu("1")}]})
    };
    scene.check(order(true), &[("n", no)]);
    scene.check(order(false), &[("n", "")]);
    let overhead = |amount: &str| json!({"containers": [{"name": "c", "resources": cpu("3")}], "overhead": {"cpu": amount}});
    scene.check(overhead("1"), &[("n", "")]);
    scene.check(overhead("1001m"), &[("n", no)]);
    // Pod-level requests replace what containers say, up or down.
    let level = |amount: &str| json!({"resources": cpu(amount), "containers": [{"name": "c", "resources": cpu("5")}]});
    scene.check(level("4"), &[("n", "")]);
    scene.check(level("4001m"), &[("n", no)]);
    // The exact sum is rounded up once.
    let parts = json!({"containers": [{"name": "c", "resources": cpu("1999.9m")},
                                      {"name": "d", "resources": cpu("2000.1m")}]});
    scene.check(parts, &[("n", "")]);
}

#[test]
fn spread_counts_domains_below_the_minimum_as_empty() {
    let spread = |skew: u32, extra: Value| {
        let mut constraint = json!({"maxSkew": skew, "topologyKey": ZONE,
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}});
        for (key, value) in extra.as_object().unwrap() {
            constraint[key] = value.clone();
        }
        json!({"topologySpreadConstraints": [constraint]})
    };
    let web = json!({"app": "web"});
    let scene = three().running("p1", "n1", web.clone(), json!({})).running(
        "p2",
        "n2",
        web.clone(),
        json!({}),
    );
    let check = |spec: Value, expected: &[(&str, &str)]| {
        assert_eq!(refusals(&scene.explain(web.clone(), spec)), owned(expected));
    };
    let (skew, missing) = (
        pod_topology_spread::REASON,
        pod_topology_spread::REASON_MISSING_LABEL,
    );
    check(
        spread(1, json!({})),
        &[("n1", ""), ("n2", ""), ("n3", missing)],
    );
    check(
        spread(1, json!({"minDomains": 3})),
        &[("n1", skew), ("n2", skew), ("n3", missing)],
    );
    // Without honoured affinity both zones count; with it the other zone is no domain.
    let mut honoured = spread(1, json!({}));
    honoured["nodeSelector"] = json!({"disk": "ssd"});
    let no = node_affinity::REASON;
    check(honoured, &[("n1", ""), ("n2", no), ("n3", no)]);
    // An empty selector counts nobody, but selects the pod itself.
    check(
        spread(1, json!({"labelSelector": {}})),
        &[("n1", ""), ("n2", ""), ("n3", missing)],
    );
    // Keys that the pod lacks are dropped; the pod's own value is required of the others.
    let keyed = spread(1, json!({"matchLabelKeys": ["version", "absent"]}));
    let versioned = json!({"app": "web", "version": "2"});
    let more = scene.explain(versioned, keyed);
    assert_eq!(more.best, ["n1", "n2"]);
}

#[test]
fn a_selector_that_accepts_no_labels_reaches_every_namespace() {
    let term = |selector: Value| {
        json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            [{"topologyKey": ZONE, "labelSelector": {}, "namespaceSelector": selector}]}}})
    };
    let scene = three()
        .and(
            resources::NAMESPACES,
            json!({"metadata": {"name": "b", "labels": {"team": "x"}}}),
        )
        .and(
            resources::PODS,
            json!({"metadata": {"namespace": "b", "name": "p"}, "spec": {"nodeName": "n1"},
                   "status": {"phase": "Running"}}),
        );
    let no = crate::sched::plugins::inter_pod_affinity::REASON_ANTI_AFFINITY;
    let not_in =
        json!({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["x"]}]});
    scene.check(term(not_in), &[("n1", no), ("n2", ""), ("n3", "")]);
    let in_y = json!({"matchLabels": {"team": "y"}});
    scene.check(term(in_y), &[("n1", ""), ("n2", ""), ("n3", "")]);
    scene.check(term(json!({})), &[("n1", no), ("n2", ""), ("n3", "")]);
}
