//! Many services, spread so widely that every rack holds pods of nearly as many as it holds pods.

use std::sync::Arc;

use bayplan::k8s::{Cluster, Object, Resource, resources};
use serde_json::{Value, json};

pub const PODS_EACH: usize = 20;
pub const NODES_A_RACK: usize = 49;
const NAMESPACES: usize = 24;
/// Every so many services have a Service.
pub const SERVED: usize = 5;

/// All of it as one value.
pub fn fleet(nodes: usize, pods: usize) -> Cluster {
    let mut cluster = Cluster::default();
    each(nodes, pods, &mut |resource, json| {
        let object = Object::from_json(resource, &json).unwrap();
        cluster.insert(&Arc::new(object));
    });
    cluster
}

/// Services of twenty pods each, dealt out over the machines so that a rack has pods of many.
pub fn each(nodes: usize, pods: usize, put: &mut impl FnMut(Resource, Value)) {
    for number in 0..NAMESPACES {
        let name = namespace(number);
        let labels = json!({"kubernetes.io/metadata.name": name});
        let json = json!({"metadata": {"name": name, "uid": name, "labels": labels}});
        put(resources::NAMESPACES, json);
    }
    for number in 0..nodes {
        put(resources::NODES, node(number));
    }
    for service in 0..pods / PODS_EACH {
        put(resources::REPLICA_SETS, replica_set(service));
        if service % SERVED == 0 {
            let name = format!("service-{service}");
            let json = json!({
                "metadata": {"name": name, "namespace": namespace(service), "uid": name},
                "spec": {"selector": {"app": name}},
            });
            put(resources::SERVICES, json);
        }
        for replica in 0..PODS_EACH {
            // A step that is prime to the number of machines: neighbours are far apart.
            let at = (service * PODS_EACH + replica) * 1_237 % nodes;
            put(resources::PODS, pod(service, replica, at));
        }
    }
}

pub fn machine(number: usize) -> String {
    format!("m-{number:05}")
}

pub fn namespace(service: usize) -> String {
    format!("team-{:02}", service % NAMESPACES)
}

pub fn node(number: usize) -> Value {
    let name = machine(number);
    let rack = number / NODES_A_RACK;
    let room = json!({"cpu": "32", "memory": "128Gi", "pods": "110"});
    json!({
        "metadata": {"name": name, "uid": name, "labels": {
            "kubernetes.io/hostname": name,
            "topology.kubernetes.io/zone": format!("z-{}", rack % 3),
            "topology.bayplan.dev/rack": format!("r-{rack}"),
        }},
        "status": {"capacity": room, "allocatable": room},
    })
}

fn replica_set(service: usize) -> Value {
    let name = format!("service-{service}-6c9f8");
    json!({
        "metadata": {"name": name, "namespace": namespace(service), "uid": name},
        "spec": {"replicas": PODS_EACH, "selector": {"matchLabels": labels(service)}},
    })
}

pub fn labels(service: usize) -> Value {
    json!({"app": format!("service-{service}"), "pod-template-hash": "6c9f8"})
}

pub fn pod(service: usize, replica: usize, at: usize) -> Value {
    let set = format!("service-{service}-6c9f8");
    let name = format!("{set}-{replica:02}");
    let (cpu, memory) = match service % 4 {
        0 => ("250m", "512Mi"),
        1 => ("500m", "2Gi"),
        2 => ("1", "3Gi"),
        _ => ("2", "8Gi"),
    };
    json!({
        "metadata": {"name": name, "namespace": namespace(service), "uid": name, "labels": labels(service),
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": set, "controller": true}],
            "annotations": {"padding": "x".repeat(4_500)}},
        "spec": {"nodeName": machine(at), "schedulerName": "default-scheduler",
            "containers": [
                {"name": "app", "image": format!("registry.example.org/{service}:1"),
                    "resources": {"requests": {"cpu": cpu, "memory": memory}}},
                {"name": "proxy", "image": "registry.example.org/proxy:1",
                    "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}},
            ]},
        "status": {"phase": "Running"},
    })
}
