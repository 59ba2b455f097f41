//! Tests of stateful sets: order, identity, updates, claims.

use super::super::garbage_collector;
use super::super::harness::{Bench, check_order_independent};
use super::*;
use crate::k8s::Propagation;
use crate::k8s::build::{self, Draft};

const ALL: [Controller; 2] = [CONTROLLER, garbage_collector::CONTROLLER];

fn set(replicas: u32) -> Draft {
    build::stateful_set("db").replicas(replicas).with(&json!({
        "metadata": {"generation": 1},
        "spec": {
            "serviceName": "db",
            "podManagementPolicy": "OrderedReady",
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "revisionHistoryLimit": 2,
            "template": {
                "metadata": {"labels": {"app": "db"}},
                "spec": {
                    "containers": [{"name": "app", "image": "db:1"}],
                    "volumes": [{"name": "tmp", "emptyDir": {}}],
                },
            },
            "volumeClaimTemplates": [{
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }],
        },
    }))
}

fn set_image(bench: &mut Bench, image: &str) {
    let containers = json!([{"name": "app", "image": image}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    bench.edit(&resources::STATEFUL_SETS, "db", &patch);
}

/// Pods that are not on their way out.
fn names(bench: &Bench) -> Vec<String> {
    bench
        .pods()
        .iter()
        .map(|pod| pod.name().to_owned())
        .collect()
}

fn images(bench: &Bench) -> Vec<String> {
    bench
        .pods()
        .iter()
        .map(|pod| pod.pod().unwrap().containers[0].image.to_string())
        .collect()
}

fn start(bench: &mut Bench, name: &str) {
    let pod = bench
        .cluster
        .find(&resources::PODS, "default", name)
        .unwrap()
        .clone();
    bench.start(&pod, "n1");
    bench.settle();
}

#[test]
fn pods_come_one_after_the_other_with_their_identity() {
    let mut bench = Bench::new(&ALL, &[set(3)]);
    bench.settle();
    assert_eq!(names(&bench), ["db-0"]);
    start(&mut bench, "db-0");
    assert_eq!(names(&bench), ["db-0", "db-1"]);
    bench.run_pods("n1");
    assert_eq!(names(&bench), ["db-0", "db-1", "db-2"]);
    let pod = bench.find(&resources::PODS, "db-1");
    let labels = &pod["metadata"]["labels"];
    assert_eq!(labels["statefulset.kubernetes.io/pod-name"], "db-1");
    assert_eq!(labels["apps.kubernetes.io/pod-index"], "1");
    assert_eq!(
        (&pod["spec"]["hostname"], &pod["spec"]["subdomain"]),
        (&json!("db-1"), &json!("db"))
    );
    let volumes = &pod["spec"]["volumes"];
    assert_eq!(
        volumes[0]["persistentVolumeClaim"]["claimName"],
        "data-db-1"
    );
    assert_eq!(volumes[1]["name"], "tmp");
    assert_eq!(
        bench.names(&resources::PERSISTENT_VOLUME_CLAIMS),
        ["data-db-0", "data-db-1", "data-db-2"]
    );
    let claim = bench.find(&resources::PERSISTENT_VOLUME_CLAIMS, "data-db-0");
    assert_eq!(claim["metadata"]["labels"], json!({"app": "db"}));
    let status = bench.find(&resources::STATEFUL_SETS, "db")["status"].clone();
    let revision = bench.names(&resources::CONTROLLER_REVISIONS).remove(0);
    assert_eq!(
        status,
        json!({"observedGeneration": 1, "replicas": 3, "readyReplicas": 3, "availableReplicas": 3,
            "currentReplicas": 3, "updatedReplicas": 3, "currentRevision": revision,
            "updateRevision": revision, "collisionCount": 0})
    );
    assert_eq!(labels[REVISION_LABEL], *revision);
}

#[test]
fn parallel_set_starts_all_at_once() {
    let parallel = set(3).with(&json!({"spec": {"podManagementPolicy": "Parallel"}}));
    let mut bench = Bench::new(&ALL, &[parallel]);
    bench.settle();
    assert_eq!(names(&bench).len(), 3);
}

#[test]
fn scaling_down_removes_the_highest_first_and_keeps_claims() {
    let mut bench = Bench::new(&ALL, &[set(3)]);
    bench.run_pods("n1");
    bench.edit(
        &resources::STATEFUL_SETS,
        "db",
        &json!({"spec": {"replicas": 1}}),
    );
    bench.settle();
    assert_eq!(names(&bench), ["db-0", "db-1"]);
    bench.run_pods("n1");
    assert_eq!(names(&bench), ["db-0"]);
    assert_eq!(bench.cluster.count(&resources::PERSISTENT_VOLUME_CLAIMS), 3);
}

#[test]
fn retention_policy_deletes_claims_with_pods_and_with_the_set() {
    let policy = json!({"whenDeleted": "Delete", "whenScaled": "Delete"});
    let volatile = set(3).with(&json!({"spec": {"persistentVolumeClaimRetentionPolicy": policy}}));
    let mut bench = Bench::new(&ALL, &[volatile]);
    bench.run_pods("n1");
    bench.edit(
        &resources::STATEFUL_SETS,
        "db",
        &json!({"spec": {"replicas": 1}}),
    );
    bench.run_pods("n1");
    assert_eq!(
        bench.names(&resources::PERSISTENT_VOLUME_CLAIMS),
        ["data-db-0"]
    );
    bench.delete(&resources::STATEFUL_SETS, "db", Propagation::Background);
    bench.run_pods("n1");
    assert_eq!(bench.cluster.count(&resources::PERSISTENT_VOLUME_CLAIMS), 0);
}

#[test]
fn update_goes_from_the_highest_to_the_partition() {
    let mut bench = Bench::new(&ALL, &[set(3)]);
    bench.run_pods("n1");
    let partition = json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 1}}}});
    bench.edit(&resources::STATEFUL_SETS, "db", &partition);
    set_image(&mut bench, "db:2");
    bench.settle();
    assert_eq!(
        names(&bench),
        ["db-0", "db-1"],
        "the last one is being replaced"
    );
    bench.run_pods("n1");
    assert_eq!(images(&bench), ["db:1", "db:2", "db:2"]);
    let status = bench.find(&resources::STATEFUL_SETS, "db")["status"].clone();
    assert_eq!(
        (&status["currentReplicas"], &status["updatedReplicas"]),
        (&json!(1), &json!(2))
    );
    assert_ne!(status["currentRevision"], status["updateRevision"]);
    // A pod below the partition comes back as it was.
    bench.delete(&resources::PODS, "db-0", Propagation::Background);
    bench.run_pods("n1");
    assert_eq!(images(&bench), ["db:1", "db:2", "db:2"]);
    let partition = json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}});
    bench.edit(&resources::STATEFUL_SETS, "db", &partition);
    bench.run_pods("n1");
    assert_eq!(images(&bench), ["db:2"; 3]);
    let status = bench.find(&resources::STATEFUL_SETS, "db")["status"].clone();
    assert_eq!(status["currentRevision"], status["updateRevision"]);
}

#[test]
fn revisions_come_back_and_old_ones_go() {
    let mut bench = Bench::new(&ALL, &[set(1)]);
    for image in ["db:2", "db:3", "db:4", "db:1"] {
        bench.run_pods("n1");
        set_image(&mut bench, image);
    }
    bench.run_pods("n1");
    let mut numbers: Vec<i64> = bench
        .all(&resources::CONTROLLER_REVISIONS)
        .iter()
        .map(|revision| revision.json()["revision"].as_i64().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [3, 4, 5]);
    assert_eq!(images(&bench), ["db:1"]);
}

#[test]
fn failed_pod_is_recreated() {
    let mut bench = Bench::new(&ALL, &[set(2)]);
    bench.run_pods("n1");
    let pod = bench.pods().remove(0);
    bench.finish(&pod, "Failed");
    bench.run_pods("n1");
    assert_eq!(names(&bench), ["db-0", "db-1"]);
    assert!(bench.reasons().contains(&"RecreatingFailedPod"));
}

#[test]
fn ends_the_same_in_any_order() {
    check_order_independent(&ALL, &[set(3)], |bench| {
        bench.run_pods("n1");
        set_image(bench, "db:2");
        bench.edit(
            &resources::STATEFUL_SETS,
            "db",
            &json!({"spec": {"replicas": 2}}),
        );
        bench.run_pods("n1");
    });
}

#[test]
fn an_update_may_take_down_as_many_as_the_set_allows() {
    let mut bench = Bench::new(&ALL, &[set(5)]);
    bench.run_pods("n1");
    let limit = json!({"spec": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": "40%"}}}});
    bench.edit(&resources::STATEFUL_SETS, "db", &limit);
    set_image(&mut bench, "db:2");
    bench.settle();
    assert_eq!(names(&bench), ["db-0", "db-1", "db-2"]);
    bench.run_pods("n1");
    assert_eq!(images(&bench), vec!["db:2"; 5]);
}
