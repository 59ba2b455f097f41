//! Tests of daemon sets: fitting nodes, updates.

use super::super::harness::{Bench, check_order_independent};
use super::*;
use crate::k8s::Propagation;
use crate::k8s::build::{self, Draft};

const ALL: [Controller; 1] = [CONTROLLER];

fn agent() -> Draft {
    build::daemon_set("agent").with(&json!({
        "metadata": {"generation": 1},
        "spec": {
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {"containers": [{"name": "app", "image": "agent:1"}]},
            },
        },
    }))
}

fn set_image(bench: &mut Bench, image: &str) {
    let containers = json!([{"name": "app", "image": image}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    bench.edit(&resources::DAEMON_SETS, "agent", &patch);
}

/// Lets every pod run on the node that it is tied to.
fn run(bench: &mut Bench) {
    for _ in 0..20 {
        bench.settle();
        let mut moved = false;
        for pod in bench.all(&resources::PODS) {
            if pod.is_terminating() {
                bench.apply(write::delete_now(&pod));
                moved = true;
            } else if !pod.pod().unwrap().ready && !pod.pod().unwrap().is_finished() {
                let node = fit::target(&pod).unwrap();
                bench.start(&pod, &node);
                moved = true;
            }
        }
        if !moved {
            return;
        }
    }
    panic!("pods do not come to rest");
}

fn nodes(bench: &Bench) -> Vec<String> {
    let mut nodes: Vec<String> = bench
        .pods()
        .iter()
        .map(|pod| fit::target(pod).unwrap().to_string())
        .collect();
    nodes.sort();
    nodes
}

/// Node `n1` is plain; whether the set runs on this `n2`.
#[track_caller]
fn check(node: Draft, set: Draft, expected: bool) {
    let mut bench = Bench::new(&ALL, &[build::node("n1"), node, set]);
    run(&mut bench);
    assert_eq!(nodes(&bench).contains(&"n2".to_owned()), expected);
}

#[test]
fn every_fitting_node_gets_one_pod() {
    let node = || build::node("n2");
    let selecting = |spec: Value| agent().with(&json!({"spec": {"template": {"spec": spec}}}));
    check(node(), agent(), true);
    check(
        node().taint("dedicated", "gpu", "NoSchedule"),
        agent(),
        false,
    );
    check(
        node().taint("node.kubernetes.io/unreachable", "", "NoExecute"),
        agent(),
        true,
    );
    check(
        node().taint("node.kubernetes.io/unreachable", "", "NoSchedule"),
        agent(),
        false,
    );
    check(node().cordoned(), agent(), true);
    let anywhere = selecting(json!({"tolerations": [{"operator": "Exists"}]}));
    check(
        node().taint("dedicated", "gpu", "NoSchedule"),
        anywhere,
        true,
    );
    let disk = selecting(json!({"nodeSelector": {"disk": "ssd"}}));
    check(node(), disk.clone(), false);
    check(node().label("disk", "ssd"), disk, true);
    let affine = |operator: &str, values: &[&str]| {
        let terms = json!([{"matchExpressions": [{"key": "cores", "operator": operator, "values": values}]}]);
        selecting(json!({"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}}))
    };
    check(node().label("cores", "16"), affine("Gt", &["8"]), true);
    check(node().label("cores", "4"), affine("Gt", &["8"]), false);
    check(node().label("cores", "4"), affine("In", &["4", "8"]), true);
    check(node(), affine("DoesNotExist", &[]), true);
}

#[test]
fn pods_are_tied_to_their_node_and_tolerate_its_troubles() {
    let mut bench = Bench::new(&ALL, &[build::node("n1"), agent()]);
    run(&mut bench);
    let pod = bench.pods().remove(0).json();
    let terms = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        ["nodeSelectorTerms"];
    assert_eq!(
        *terms,
        json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}])
    );
    assert_eq!(pod["spec"]["tolerations"].as_array().unwrap().len(), 6);
    let status = bench.find(&resources::DAEMON_SETS, "agent")["status"].clone();
    assert_eq!(
        status,
        json!({"observedGeneration": 1, "desiredNumberScheduled": 1, "currentNumberScheduled": 1,
            "numberMisscheduled": 0, "numberReady": 1, "updatedNumberScheduled": 1, "numberAvailable": 1})
    );
}

#[test]
fn nodes_come_and_go() {
    let mut bench = Bench::new(&ALL, &[build::node("n1"), agent()]);
    run(&mut bench);
    bench.put(&build::node("n2"));
    run(&mut bench);
    assert_eq!(nodes(&bench), ["n1", "n2"]);
    bench.put(&build::node("n2").taint("dedicated", "gpu", "NoExecute"));
    run(&mut bench);
    assert_eq!(nodes(&bench), ["n1"]);
    let status = bench.find(&resources::DAEMON_SETS, "agent")["status"].clone();
    assert_eq!(status["desiredNumberScheduled"], 1);
}

#[test]
fn failed_and_doubled_pods_are_put_right() {
    let mut bench = Bench::new(&ALL, &[build::node("n1"), agent()]);
    run(&mut bench);
    let pod = bench.pods().remove(0);
    bench.finish(&pod, "Failed");
    bench.put(&build::pod("stray").label("app", "agent").node("n1"));
    run(&mut bench);
    assert_eq!(nodes(&bench), ["n1"]);
    assert!(bench.reasons().contains(&"FailedDaemonPod"));
}

#[test]
fn update_takes_one_node_at_a_time() {
    let fleet: Vec<Draft> = (1..=4)
        .map(|n| build::node(&format!("n{n}")))
        .chain([agent()])
        .collect();
    let mut bench = Bench::new(&ALL, &fleet);
    run(&mut bench);
    set_image(&mut bench, "agent:2");
    bench.settle();
    assert_eq!(bench.pods().len(), 3);
    run(&mut bench);
    assert!(
        bench
            .pods()
            .iter()
            .all(|pod| pod.pod().unwrap().containers[0].image == "agent:2")
    );
    assert_eq!(bench.pods().len(), 4);
    bench.delete(&resources::NODES, "/n4", Propagation::Background);
    bench.settle();
    assert_eq!(
        bench.find(&resources::DAEMON_SETS, "agent")["status"]["desiredNumberScheduled"],
        3
    );
}

#[test]
fn ends_the_same_in_any_order() {
    check_order_independent(
        &ALL,
        &[build::node("n1"), build::node("n2"), agent()],
        |bench| {
            run(bench);
            set_image(bench, "agent:2");
            run(bench);
        },
    );
}

#[test]
fn a_surge_makes_the_new_pod_before_the_old_one_goes() {
    let node = |name| build::node(name);
    let draft = agent().with(&json!({"spec": {
        "updateStrategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
    }}));
    let mut bench = Bench::new(&ALL, &[node("n1"), node("n2"), draft]);
    run(&mut bench);
    set_image(&mut bench, "agent:2");
    bench.settle();
    // One new pod stands beside an old one; nobody has been stopped.
    assert_eq!(bench.pods().len(), 3);
    assert!(bench.pods().iter().all(|pod| !pod.is_terminating()));
    run(&mut bench);
    assert_eq!(nodes(&bench), ["n1", "n2"]);
    let old = bench
        .pods()
        .iter()
        .filter(|pod| {
            field::list(&pod.json(), "/spec/containers")
                .iter()
                .any(|container| field::text(container, "/image") == "agent:1")
        })
        .count();
    assert_eq!(old, 0);
}
