//! Tests of claims and volumes together.

use serde_json::json;

use super::super::harness::Bench;
use super::super::{Controller, write};
use super::*;
use crate::k8s::build::{self, Draft};
use crate::k8s::{ObjectKey, Propagation};

const ALL: [Controller; 2] = [CLAIMS, VOLUMES];

fn class(mode: &str, provisioner: &str) -> Draft {
    build::object(
        resources::STORAGE_CLASSES,
        "storage.k8s.io/v1",
        "StorageClass",
        "/standard",
    )
    .with(
        &json!({"provisioner": provisioner, "volumeBindingMode": mode, "reclaimPolicy": "Delete"}),
    )
}

fn claim(class: &str) -> Draft {
    build::object(
        resources::PERSISTENT_VOLUME_CLAIMS,
        "v1",
        "PersistentVolumeClaim",
        "data",
    )
    .with(&json!({
        "metadata": {"finalizers": ["kubernetes.io/pvc-protection"]},
        "spec": {"storageClassName": class, "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "5Gi"}}},
        "status": {"phase": "Pending"},
    }))
}

fn volume(name: &str, size: &str) -> Draft {
    build::object(
        resources::PERSISTENT_VOLUMES,
        "v1",
        "PersistentVolume",
        &format!("/{name}"),
    )
    .with(
        &json!({"spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"],
            "storageClassName": "", "persistentVolumeReclaimPolicy": "Retain"}}),
    )
}

fn status(bench: &Bench) -> Value {
    bench.find(&resources::PERSISTENT_VOLUME_CLAIMS, "data")["status"].clone()
}

fn phase(bench: &Bench, volume: &str) -> Value {
    bench.find(&resources::PERSISTENT_VOLUMES, &format!("/{volume}"))["status"]["phase"].clone()
}

#[test]
fn smallest_fitting_volume_is_bound_and_kept_afterwards() {
    let objects = [
        volume("small", "1Gi"),
        volume("large", "50Gi"),
        volume("fitting", "10Gi"),
        claim(""),
    ];
    let mut bench = Bench::new(&ALL, &objects);
    bench.settle();
    assert_eq!(
        status(&bench),
        json!({"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "10Gi"}})
    );
    assert_eq!(phase(&bench, "fitting"), "Bound");
    assert_eq!(phase(&bench, "large"), "Available");
    bench.delete(
        &resources::PERSISTENT_VOLUME_CLAIMS,
        "data",
        Propagation::Background,
    );
    bench.settle();
    assert_eq!(bench.cluster.count(&resources::PERSISTENT_VOLUME_CLAIMS), 0);
    assert_eq!(phase(&bench, "fitting"), "Released");
}

#[test]
fn immediate_class_provisions_at_once() {
    let mut bench = Bench::new(&ALL, &[class("Immediate", PROVISIONER), claim("standard")]);
    bench.settle();
    assert_eq!(status(&bench)["phase"], "Bound");
    assert_eq!(bench.reasons(), ["ProvisioningSucceeded"]);
    bench.delete(
        &resources::PERSISTENT_VOLUME_CLAIMS,
        "data",
        Propagation::Background,
    );
    bench.settle();
    assert_eq!(
        bench.cluster.count(&resources::PERSISTENT_VOLUMES),
        0,
        "the class deletes"
    );
}

#[test]
fn waiting_class_provisions_where_the_pod_goes() {
    let objects = [
        class("WaitForFirstConsumer", PROVISIONER),
        claim("standard"),
        build::node("n1"),
    ];
    let mut bench = Bench::new(&ALL, &objects);
    bench.settle();
    assert_eq!(status(&bench)["phase"], "Pending");
    assert_eq!(bench.cluster.count(&resources::PERSISTENT_VOLUMES), 0);
    let selected = json!({"metadata": {"annotations": {SELECTED_NODE: "n1"}}});
    bench.edit(&resources::PERSISTENT_VOLUME_CLAIMS, "data", &selected);
    bench.settle();
    assert_eq!(status(&bench)["phase"], "Bound");
    let volume = bench.all(&resources::PERSISTENT_VOLUMES).remove(0).json();
    let terms = &volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"];
    assert_eq!(terms[0]["matchExpressions"][0]["values"], json!(["n1"]));
    assert!(field::text(&volume, "/spec/hostPath/path").ends_with("_default_data"));
}

#[test]
fn foreign_provisioner_is_waited_for() {
    let objects = [class("Immediate", "example.com/disk"), claim("standard")];
    let mut bench = Bench::new(&ALL, &objects);
    bench.settle();
    assert_eq!(status(&bench)["phase"], "Pending");
    assert_eq!(bench.reasons(), ["ExternalProvisioning"]);
}

#[test]
fn claim_in_use_is_protected_and_lost_with_its_volume() {
    let user = build::pod("user")
        .with(&json!({"spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}}))
        .node("n1");
    let mut bench = Bench::new(&ALL, &[volume("disk", "10Gi"), claim(""), user]);
    bench.settle();
    let disk = ObjectKey::cluster_scoped(resources::PERSISTENT_VOLUMES, "disk");
    let disk = bench.cluster.get(&disk).unwrap().clone();
    bench.apply(write::delete(&disk));
    bench.settle();
    assert_eq!(status(&bench)["phase"], "Lost");
    assert_eq!(bench.reasons(), ["ClaimLost"]);
    bench.delete(
        &resources::PERSISTENT_VOLUME_CLAIMS,
        "data",
        Propagation::Background,
    );
    bench.settle();
    assert_eq!(bench.cluster.count(&resources::PERSISTENT_VOLUME_CLAIMS), 1);
    bench.delete(&resources::PODS, "user", Propagation::Background);
    bench.run_pods("n1");
    assert_eq!(bench.cluster.count(&resources::PERSISTENT_VOLUME_CLAIMS), 0);
}
