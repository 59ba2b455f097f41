//! The fleet of the losses' bench with what an incident brings: pods that wait, a rack whose pods
//! crash, a machine that does not answer, a service without a ready pod, a budget at its limit.

use std::collections::BTreeMap;
use std::sync::Arc;

use bayplan::k8s::body::Body;
use bayplan::k8s::{Name, Object, Resource, resources};
use bytes::Bytes;
use serde_json::{Value, json};

#[path = "../losses/fleet.rs"]
#[expect(dead_code, reason = "the losses' bench reads it as a cluster")]
mod fleet;

pub use fleet::{NODES_A_RACK, machine};
use fleet::{PODS_EACH, SERVED, each, labels, namespace, pod};

/// Whose pods crash.
const CRASHING_RACK: usize = 7;
/// All of its pods crash.
const DEAD_SERVICE: usize = 2 * SERVED;
const SILENT_NODE: usize = 10 * NODES_A_RACK;
pub const PENDING: usize = 40;

pub type Objects = BTreeMap<Resource, Vec<Arc<Object>>>;

/// Everything, as the console's feeds would bring it.
pub fn objects(nodes: usize, pods: usize) -> Objects {
    let mut bodies = Bodies::default();
    let mut objects = Objects::new();
    let mut put = |resource: Resource, json: Value| {
        let object = bodies.packed(resource.clone(), &json);
        objects.entry(resource).or_default().push(object);
    };
    each(nodes, pods, &mut |resource, json| {
        let json = completed(&resource, json, nodes);
        put(resource, json);
    });
    for service in 0..pods / PODS_EACH {
        put(resources::DEPLOYMENTS, deployment(service));
        if service % SERVED == 0 {
            put(resources::POD_DISRUPTION_BUDGETS, budget(service));
        }
    }
    for number in 0..PENDING {
        put(resources::PODS, pending(number));
    }
    objects
}

/// A pod that has come onto a machine, larger than any other.
pub fn newcomer(number: usize, node: usize, cpu_milli: i64) -> Arc<Object> {
    let mut json = pod(77, 0, node);
    let name = format!("service-77-6c9f8-new-{number}");
    json["metadata"]["name"] = name.clone().into();
    json["metadata"]["uid"] = name.into();
    json["spec"]["containers"][0]["resources"]["requests"]["cpu"] = format!("{cpu_milli}m").into();
    json["status"] = running();
    Bodies::default().packed(resources::PODS, &json)
}

fn completed(resource: &Resource, mut json: Value, nodes: usize) -> Value {
    json["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
    json["metadata"]["resourceVersion"] = "1".into();
    if *resource == resources::PODS {
        let on = |number: usize| json["spec"]["nodeName"] == machine(number).as_str();
        let first = CRASHING_RACK * NODES_A_RACK;
        let crashes = (first..(first + NODES_A_RACK).min(nodes)).any(on)
            || json["metadata"]["labels"] == labels(DEAD_SERVICE);
        json["status"] = if crashes { crashing() } else { running() };
    } else if *resource == resources::NODES {
        let is_silent = json["metadata"]["name"] == machine(SILENT_NODE).as_str();
        let status = if is_silent { "Unknown" } else { "True" };
        json["status"]["conditions"] = json!([{"type": "Ready", "status": status,
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    } else if *resource == resources::REPLICA_SETS {
        let name = json["metadata"]["name"].as_str().unwrap_or_default();
        let owner = name.trim_end_matches("-6c9f8").to_owned();
        json["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "Deployment",
            "name": owner, "uid": format!("deployment-{owner}"), "controller": true}]);
        json["metadata"]["labels"] = json["spec"]["selector"]["matchLabels"].clone();
        json["status"] = json!({"replicas": PODS_EACH, "readyReplicas": PODS_EACH});
    }
    json
}

fn running() -> Value {
    json!({"phase": "Running", "startTime": "2026-01-01T00:00:00Z",
    "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:10Z"}],
    "containerStatuses": [
        {"name": "app", "ready": true, "restartCount": 0, "state": {"running": {}}},
        {"name": "proxy", "ready": true, "restartCount": 0, "state": {"running": {}}},
    ]})
}

fn crashing() -> Value {
    json!({"phase": "Running", "startTime": "2026-01-01T00:00:00Z",
    "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:10Z"}],
    "containerStatuses": [
        {"name": "app", "ready": false, "restartCount": 7, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
        {"name": "proxy", "ready": true, "restartCount": 0, "state": {"running": {}}},
    ]})
}

fn deployment(service: usize) -> Value {
    let name = format!("service-{service}");
    let spec = pod(service, 0, 0)["spec"]["containers"].clone();
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace(service), "uid": format!("deployment-{name}"),
            "resourceVersion": "1", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"replicas": PODS_EACH, "selector": {"matchLabels": labels(service)},
            "template": {"metadata": {"labels": labels(service)}, "spec": {"containers": spec}}},
        "status": {"observedGeneration": 1, "replicas": PODS_EACH, "updatedReplicas": PODS_EACH,
            "readyReplicas": PODS_EACH, "availableReplicas": PODS_EACH},
    })
}

/// Only the first allows no disruption.
fn budget(service: usize) -> Value {
    let name = format!("service-{service}");
    json!({
        "metadata": {"name": name, "namespace": namespace(service), "uid": format!("budget-{name}"),
            "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"selector": {"matchLabels": {"app": name}},
            "maxUnavailable": if service == 0 { json!(0) } else { json!("25%") }},
        "status": {"disruptionsAllowed": 5, "expectedPods": PODS_EACH},
    })
}

/// One that no machine takes, for several reasons that could be done away with.
fn pending(number: usize) -> Value {
    let name = format!("report-{number:02}");
    let own = json!({"matchLabels": {"app": name}});
    json!({
        "metadata": {"name": name, "namespace": "team-00", "uid": name, "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": name}},
        "spec": {"schedulerName": "default-scheduler",
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule", "labelSelector": own}],
            "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": own}]}},
            "containers": [{"name": "app", "image": "registry.example.org/report:1",
                "resources": {"requests": {"cpu": "31900m", "memory": "120Gi"}}}]},
        "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient cpu."}]},
    })
}

/// Keeps objects as the console's feeds do: what differs from the first of a controller.
#[derive(Default)]
struct Bodies {
    first: BTreeMap<Name, Bytes>,
}

impl Bodies {
    fn packed(&mut self, resource: Resource, json: &Value) -> Arc<Object> {
        let mut object = Object::from_json(resource, json).unwrap();
        let text = object.bytes();
        let Some(owner) = object.controller().map(|owner| owner.uid.0.clone()) else {
            return Arc::new(object);
        };
        match self.first.get(&owner) {
            Some(first) => object.body = Body::like(first, text),
            None => {
                self.first.insert(owner, text);
            }
        }
        Arc::new(object)
    }
}
