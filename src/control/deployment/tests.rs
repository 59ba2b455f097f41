//! Tests of deployments with their replica sets.

use serde_json::{Value, json};

use super::super::harness::{Bench, check_order_independent};
use super::super::replica_set;
use super::*;
use crate::k8s::build::{self, Draft};

const ALL: [Controller; 2] = [CONTROLLER, replica_set::CONTROLLER];

fn web(replicas: u32) -> Draft {
    build::deployment("web").replicas(replicas).with(&json!({
        "metadata": {"generation": 1, "annotations": {"team": "shop"}},
        "spec": {
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": 600,
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "app", "image": "app:1"}]},
            },
        },
    }))
}

fn set_image(bench: &mut Bench, image: &str) {
    let patch =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}});
    bench.edit(&resources::DEPLOYMENTS, "web", &patch);
}

fn deployment(bench: &Bench) -> Value {
    bench.find(&resources::DEPLOYMENTS, "web")
}

fn condition(bench: &Bench, kind: &str) -> (String, String) {
    let deployment = deployment(bench);
    let entry = deployment["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["type"] == kind)
        .cloned()
        .unwrap_or_default();
    (
        entry["status"].as_str().unwrap_or("").to_owned(),
        entry["reason"].as_str().unwrap_or("").to_owned(),
    )
}

/// `(revision, size)` of each set, by revision.
fn sets(bench: &Bench) -> Vec<(String, i64)> {
    let mut sets: Vec<(String, i64)> = bench
        .all(&resources::REPLICA_SETS)
        .iter()
        .map(|set| {
            let json = set.json();
            let revision = json["metadata"]["annotations"][REVISION]
                .as_str()
                .unwrap()
                .to_owned();
            (revision, json["spec"]["replicas"].as_i64().unwrap())
        })
        .collect();
    sets.sort();
    sets
}

#[test]
fn new_deployment_becomes_available() {
    let mut bench = Bench::new(&ALL, &[web(3)]);
    bench.settle();
    assert_eq!(
        condition(&bench, "Available").1,
        "MinimumReplicasUnavailable"
    );
    bench.run_pods("n1");
    let deployment = deployment(&bench);
    assert_eq!(deployment["metadata"]["annotations"][REVISION], "1");
    let status = &deployment["status"];
    for name in [
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
    ] {
        assert_eq!(status[name], 3, "{name}");
    }
    assert_eq!(status.get("unavailableReplicas"), None);
    assert_eq!(
        condition(&bench, "Available"),
        ("True".into(), "MinimumReplicasAvailable".into())
    );
    assert_eq!(
        condition(&bench, "Progressing"),
        ("True".into(), "NewReplicaSetAvailable".into())
    );
    let set = bench.all(&resources::REPLICA_SETS).remove(0);
    let hash = set.labels.get(TEMPLATE_HASH).unwrap().clone();
    assert_eq!(set.name(), format!("web-{hash}"));
    let json = set.json();
    assert_eq!(
        json["spec"]["selector"]["matchLabels"],
        json!({"app": "web", TEMPLATE_HASH: hash})
    );
    assert_eq!(json["metadata"]["annotations"]["team"], "shop");
    assert_eq!(json["metadata"]["annotations"][DESIRED_REPLICAS], "3");
    assert_eq!(json["metadata"]["annotations"][MAX_REPLICAS], "4");
    assert!(
        bench
            .pods()
            .iter()
            .all(|pod| pod.labels.get(TEMPLATE_HASH) == Some(&hash))
    );
    assert!(
        bench
            .events
            .iter()
            .any(|event| event.message == format!("Scaled up replica set web-{hash} from 0 to 3"))
    );
}

#[test]
fn rolling_update_stays_within_surge_and_availability() {
    let mut bench = Bench::new(&ALL, &[web(8)]);
    bench.run_pods("n1");
    set_image(&mut bench, "app:2");
    for _ in 0..40 {
        bench.settle();
        let pods = bench.pods();
        let ready = pods.iter().filter(|pod| pod.pod().unwrap().ready).count();
        assert!(pods.len() <= 10, "{} pods", pods.len());
        assert!(ready >= 6, "{ready} ready");
        let Some(waiting) = pods.into_iter().find(|pod| !pod.pod().unwrap().ready) else {
            break;
        };
        bench.start(&waiting, "n1");
    }
    bench.run_pods("n1");
    assert_eq!(sets(&bench), [("1".into(), 0), ("2".into(), 8)]);
    assert_eq!(deployment(&bench)["metadata"]["annotations"][REVISION], "2");
    assert_eq!(condition(&bench, "Progressing").1, "NewReplicaSetAvailable");
}

#[test]
fn going_back_to_an_old_template_reuses_its_set() {
    let mut bench = Bench::new(&ALL, &[web(2)]);
    bench.run_pods("n1");
    set_image(&mut bench, "app:2");
    bench.run_pods("n1");
    set_image(&mut bench, "app:1");
    bench.run_pods("n1");
    assert_eq!(sets(&bench), [("2".into(), 0), ("3".into(), 2)]);
    let history: Vec<Value> = bench
        .all(&resources::REPLICA_SETS)
        .iter()
        .map(|set| set.json()["metadata"]["annotations"][REVISION_HISTORY].clone())
        .filter(|history| !history.is_null())
        .collect();
    assert_eq!(history, ["1"]);
}

#[test]
fn old_sets_are_kept_up_to_the_limit() {
    let mut bench = Bench::new(&ALL, &[web(1)]);
    for image in ["app:2", "app:3", "app:4", "app:5"] {
        bench.run_pods("n1");
        set_image(&mut bench, image);
    }
    bench.run_pods("n1");
    let revisions: Vec<String> = sets(&bench)
        .into_iter()
        .map(|(revision, _)| revision)
        .collect();
    assert_eq!(revisions, ["3", "4", "5"]);
}

#[test]
fn recreate_waits_until_the_old_pods_are_gone() {
    let recreate =
        web(2).with(&json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}}));
    let mut bench = Bench::new(&ALL, &[recreate]);
    bench.run_pods("n1");
    set_image(&mut bench, "app:2");
    bench.settle();
    assert_eq!(
        bench.all(&resources::PODS).len(),
        2,
        "terminating, and no new ones yet"
    );
    assert!(bench.pods().is_empty());
    bench.run_pods("n1");
    assert_eq!(sets(&bench), [("1".into(), 0), ("2".into(), 2)]);
    assert_eq!(bench.pods().len(), 2);
}

#[test]
fn scaling_during_a_rollout_keeps_proportions() {
    // Upstream's documented example: 10 replicas, maxSurge 3, maxUnavailable 2, a broken image,
    // then 15 replicas: the sets go from 8 and 5 to 11 and 7.
    let strategy =
        json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}}});
    let mut bench = Bench::new(&ALL, &[web(10).with(&strategy)]);
    bench.run_pods("n1");
    set_image(&mut bench, "broken:1");
    bench.settle();
    assert_eq!(sets(&bench), [("1".into(), 8), ("2".into(), 5)]);
    bench.edit(
        &resources::DEPLOYMENTS,
        "web",
        &json!({"spec": {"replicas": 15}}),
    );
    bench.settle();
    assert_eq!(sets(&bench), [("1".into(), 11), ("2".into(), 7)]);
}

#[test]
fn scaling_changes_the_only_set() {
    let mut bench = Bench::new(&ALL, &[web(3)]);
    bench.run_pods("n1");
    for replicas in [5, 0, 2] {
        bench.edit(
            &resources::DEPLOYMENTS,
            "web",
            &json!({"spec": {"replicas": replicas}}),
        );
        bench.run_pods("n1");
        assert_eq!(bench.pods().len(), replicas);
    }
    assert_eq!(sets(&bench), [("1".into(), 2)]);
    assert_eq!(deployment(&bench)["status"]["availableReplicas"], 2);
}

#[test]
fn paused_deployment_scales_but_does_not_roll() {
    let mut bench = Bench::new(&ALL, &[web(2)]);
    bench.run_pods("n1");
    bench.edit(
        &resources::DEPLOYMENTS,
        "web",
        &json!({"spec": {"paused": true}}),
    );
    set_image(&mut bench, "app:2");
    bench.edit(
        &resources::DEPLOYMENTS,
        "web",
        &json!({"spec": {"replicas": 4}}),
    );
    bench.run_pods("n1");
    assert_eq!(sets(&bench), [("1".into(), 4)]);
    assert_eq!(
        condition(&bench, "Progressing"),
        ("Unknown".into(), "DeploymentPaused".into())
    );
    bench.edit(
        &resources::DEPLOYMENTS,
        "web",
        &json!({"spec": {"paused": false}}),
    );
    bench.run_pods("n1");
    assert_eq!(sets(&bench), [("1".into(), 0), ("2".into(), 4)]);
}

#[test]
fn rollout_without_progress_times_out() {
    let mut bench = Bench::new(&ALL, &[web(2)]);
    bench.run_pods("n1");
    set_image(&mut bench, "broken:1");
    bench.settle();
    assert_eq!(condition(&bench, "Progressing").1, "ReplicaSetUpdated");
    bench.advance(599);
    assert_eq!(condition(&bench, "Progressing").0, "True");
    bench.advance(3);
    assert_eq!(
        condition(&bench, "Progressing"),
        ("False".into(), "ProgressDeadlineExceeded".into())
    );
    bench.run_pods("n1");
    assert_eq!(
        condition(&bench, "Progressing"),
        ("True".into(), "NewReplicaSetAvailable".into())
    );
}

#[test]
fn name_collision_is_counted_and_avoided() {
    let mut bench = Bench::new(&ALL, &[web(1)]);
    bench.settle();
    let set = bench.all(&resources::REPLICA_SETS).remove(0);
    let squatter = build::replica_set(set.name())
        .with(&json!({"spec": {"replicas": 0, "template": {}, "selector": {"matchLabels": {"app": "other"}}}}));
    let mut bench = Bench::new(&ALL, &[web(1), squatter]);
    bench.run_pods("n1");
    assert_eq!(deployment(&bench)["status"]["collisionCount"], 1);
    assert_eq!(deployment(&bench)["status"]["availableReplicas"], 1);
}

#[test]
fn empty_selector_is_refused_with_a_warning() {
    let all = web(1).with(&json!({"spec": {"selector": {"matchLabels": null}}}));
    let mut bench = Bench::new(&ALL, &[all]);
    bench.settle();
    assert_eq!(bench.reasons(), ["SelectingAll"]);
    assert!(bench.pods().is_empty());
}

#[test]
fn ends_the_same_in_any_order() {
    check_order_independent(&ALL, &[web(5)], |bench| {
        bench.run_pods("n1");
        set_image(bench, "app:2");
        bench.settle();
        bench.edit(
            &resources::DEPLOYMENTS,
            "web",
            &json!({"spec": {"replicas": 7}}),
        );
        bench.run_pods("n1");
    });
}
