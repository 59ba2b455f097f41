//! The volume plugins, rule by rule.

use serde_json::{Value, json};

use super::scene::Scene;
use crate::k8s::resources;
use crate::sched::plugins::{node_volume_limits, volume_binding, volume_zone};

const ZONE: &str = "topology.kubernetes.io/zone";

fn zones() -> Scene {
    Scene::with_nodes(&[
        ("n1", json!({ZONE: "z1"})),
        ("n2", json!({ZONE: "z2"})),
        ("n3", json!({})),
    ])
}

fn claim(class: &str, volume: &str) -> Value {
    let bound = if volume.is_empty() {
        json!({})
    } else {
        json!({"pv.kubernetes.io/bind-completed": "yes"})
    };
    json!({"metadata": {"namespace": "a", "name": "data", "uid": "c1", "annotations": bound},
           "spec": {"storageClassName": class, "volumeName": volume, "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "10Gi"}}}})
}

fn volume(name: &str, spec: &Value) -> Value {
    let mut json = json!({"metadata": {"name": name}, "status": {"phase": "Available"},
        "spec": {"capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"],
                 "storageClassName": "local", "csi": {"driver": "d", "volumeHandle": name}}});
    for (key, value) in spec.as_object().unwrap() {
        json["spec"][key] = value.clone();
    }
    json
}

fn class(name: &str, mode: &str, provisioner: &str) -> Value {
    json!({"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode})
}

fn in_zone(zone: &str) -> Value {
    json!({"required": {"nodeSelectorTerms": [{"matchExpressions":
        [{"key": ZONE, "operator": "In", "values": [zone]}]}]}})
}

fn pod() -> Value {
    json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]})
}

#[test]
fn immediate_claims_must_be_bound_before() {
    zones().check(pod(), &[("", "persistentvolumeclaim \"data\" not found")]);
    let waiting = zones()
        .and(
            resources::STORAGE_CLASSES,
            class("fast", "Immediate", "csi"),
        )
        .and(resources::PERSISTENT_VOLUME_CLAIMS, claim("fast", ""));
    waiting.check(pod(), &[("", volume_binding::REASON_IMMEDIATE)]);
    // A class that is not there binds immediately too.
    let missing = zones().and(resources::PERSISTENT_VOLUME_CLAIMS, claim("none", ""));
    missing.check(pod(), &[("", volume_binding::REASON_IMMEDIATE)]);
    let mut lost = claim("fast", "v");
    lost["status"] = json!({"phase": "Lost"});
    zones()
        .and(resources::PERSISTENT_VOLUME_CLAIMS, lost)
        .check(
            pod(),
            &[(
                "",
                "persistentvolumeclaim \"data\" bound to non-existent persistentvolume \"v\"",
            )],
        );
}

#[test]
fn bound_volumes_hold_the_pod_where_they_are() {
    let no = volume_binding::REASON_NODE;
    zones()
        .and(resources::PERSISTENT_VOLUME_CLAIMS, claim("local", "v"))
        .and(
            resources::PERSISTENT_VOLUMES,
            volume("v", &json!({"nodeAffinity": in_zone("z2")})),
        )
        .check(pod(), &[("n1", no), ("n2", ""), ("n3", no)]);
}

#[test]
fn waiting_claims_find_a_volume_or_are_provisioned_where_the_class_allows() {
    let no = volume_binding::REASON_BIND;
    let scene = |spec: &Value| {
        zones()
            .and(
                resources::STORAGE_CLASSES,
                class(
                    "local",
                    "WaitForFirstConsumer",
                    "kubernetes.io/no-provisioner",
                ),
            )
            .and(resources::PERSISTENT_VOLUME_CLAIMS, claim("local", ""))
            .and(resources::PERSISTENT_VOLUMES, volume("v", spec))
    };
    let none = [("n1", no), ("n2", no), ("n3", no)];
    scene(&json!({"nodeAffinity": in_zone("z1")}))
        .check(pod(), &[("n1", ""), ("n2", no), ("n3", no)]);
    scene(&json!({"capacity": {"storage": "9Gi"}})).check(pod(), &none);
    scene(&json!({"accessModes": ["ReadOnlyMany"]})).check(pod(), &none);
    scene(&json!({"volumeMode": "Block"})).check(pod(), &none);
    scene(&json!({"volumeAttributesClassName": "gold"})).check(pod(), &none);
    let reserved = |uid: &str| json!({"claimRef": {"namespace": "a", "name": "data", "uid": uid}});
    let all = [("n1", ""), ("n2", ""), ("n3", "")];
    scene(&reserved("c1")).check(pod(), &all);
    scene(&reserved("")).check(pod(), &all);
    // An earlier claim of the same name.
    scene(&reserved("c0")).check(pod(), &none);

    let mut provisioned = class("local", "WaitForFirstConsumer", "csi");
    provisioned["allowedTopologies"] =
        json!([{"matchLabelExpressions": [{"key": ZONE, "values": ["z2"]}]}]);
    zones()
        .and(resources::STORAGE_CLASSES, provisioned)
        .and(resources::PERSISTENT_VOLUME_CLAIMS, claim("local", ""))
        .check(pod(), &[("n1", no), ("n2", ""), ("n3", no)]);
}

#[test]
fn zone_labels_of_a_volume_are_sets_and_old_names_count() {
    let no = volume_zone::REASON;
    let scene = |key: &str, value: &str| {
        let mut labelled = volume("v", &json!({}));
        labelled["metadata"]["labels"] = json!({key: value});
        zones()
            .and(resources::PERSISTENT_VOLUME_CLAIMS, claim("local", "v"))
            .and(resources::PERSISTENT_VOLUMES, labelled)
    };
    // A node without any place is no obstacle.
    scene(ZONE, "z1").check(pod(), &[("n1", ""), ("n2", no), ("n3", "")]);
    scene(ZONE, "z1__z2").check(pod(), &[("n1", ""), ("n2", ""), ("n3", "")]);
    let old = "failure-domain.beta.kubernetes.io/zone";
    scene(old, "z2").check(pod(), &[("n1", no), ("n2", ""), ("n3", "")]);
    // What cannot be read says nothing.
    scene(ZONE, "z1__").check(pod(), &[("n1", ""), ("n2", ""), ("n3", "")]);
    scene("topology.kubernetes.io/region", "r").check(pod(), &[("n1", no), ("n2", no), ("n3", "")]);
}

#[test]
fn a_driver_attaches_so_many_volumes_to_a_node() {
    let limits = |count: u32| {
        json!({"metadata": {"name": "n1"},
               "spec": {"drivers": [{"name": "d", "nodeID": "n1", "allocatable": {"count": count}}]}})
    };
    let other = |handle: &str| {
        let mut claim = claim("local", "w");
        claim["metadata"]["name"] = json!("other");
        let spec = json!({"volumes":
            [{"name": "v", "persistentVolumeClaim": {"claimName": "other"}}]});
        zones()
            .and(resources::PERSISTENT_VOLUME_CLAIMS, claim)
            .and(
                resources::PERSISTENT_VOLUMES,
                volume(
                    "w",
                    &json!({"csi": {"driver": "d", "volumeHandle": handle}}),
                ),
            )
            .running("p", "n1", json!({}), spec)
            .and(
                resources::PERSISTENT_VOLUME_CLAIMS,
                self::claim("local", "v"),
            )
            .and(resources::PERSISTENT_VOLUMES, volume("v", &json!({})))
    };
    let no = node_volume_limits::REASON;
    let full = [("n1", no), ("n2", ""), ("n3", "")];
    let all = [("n1", ""), ("n2", ""), ("n3", "")];
    other("w")
        .and(resources::CSI_NODES, limits(1))
        .check(pod(), &full);
    other("w")
        .and(resources::CSI_NODES, limits(2))
        .check(pod(), &all);
    // The same volume is attached once.
    other("v")
        .and(resources::CSI_NODES, limits(1))
        .check(pod(), &all);
}

#[test]
fn in_tree_volumes_count_for_the_driver_that_took_them_over() {
    let limits = json!({"metadata": {"name": "n1"}, "spec": {"drivers":
        [{"name": "ebs.csi.aws.com", "nodeID": "n1", "allocatable": {"count": 1}}]}});
    let inline = json!({"volumes": [{"name": "v", "awsElasticBlockStore": {"volumeID": "vol-1"}}]});
    let scene = |id: &str| {
        zones()
            .and(resources::CSI_NODES, limits.clone())
            .running("p", "n1", json!({}), inline.clone())
            .and(resources::PERSISTENT_VOLUME_CLAIMS, claim("local", "v"))
            .and(
                resources::PERSISTENT_VOLUMES,
                volume(
                    "v",
                    &json!({"csi": null, "awsElasticBlockStore": {"volumeID": id}}),
                ),
            )
    };
    let no = node_volume_limits::REASON;
    scene("vol-2").check(pod(), &[("n1", no), ("n2", ""), ("n3", "")]);
    scene("aws://z1/vol-1").check(pod(), &[("n1", ""), ("n2", ""), ("n3", "")]);
}
