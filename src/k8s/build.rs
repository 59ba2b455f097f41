//! Objects in one line, for tests, benchmarks and simulations: `pod("web").cpu("500m").node("n1")`.
//!
//! A builder says only what matters to its test; everything it writes is what the API server would
//! have stored (containers, conditions, owner references), and the object is parsed from JSON as
//! in the product. Uids are made from kind, namespace and name, so that an owner reference finds
//! its owner without being told. The product itself never builds objects with this.

use std::sync::Arc;

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::key::Resource;
use super::object::Object;
use super::resources;

/// An object under construction; `build` parses it.
#[derive(Clone, Debug)]
pub struct Draft {
    resource: Resource,
    json: Value,
}

/// A running, ready pod with one container; `shop/web-1` or `web-1` (namespace `default`).
pub fn pod(name: &str) -> Draft {
    let mut draft = object(resources::PODS, "v1", "Pod", name);
    draft.json["spec"] = json!({
        "schedulerName": "default-scheduler",
        "restartPolicy": "Always",
        "containers": [{"name": "app", "image": "app:1", "resources": {}}],
    });
    draft.json["status"] = json!({"phase": "Pending"});
    draft
}

/// A ready node with 16 cores, 64 Gi and room for 110 pods.
pub fn node(name: &str) -> Draft {
    let mut draft = object(resources::NODES, "v1", "Node", &format!("/{name}"));
    draft.json["spec"] = json!({});
    draft.json["status"] = json!({
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
    });
    draft
        .label("kubernetes.io/hostname", name)
        .cpu("16")
        .memory("64Gi")
        .pod_limit(110)
}

/// A deployment whose selector is `app: <name>`.
pub fn deployment(name: &str) -> Draft {
    workload(resources::DEPLOYMENTS, "apps/v1", "Deployment", name)
}

pub fn replica_set(name: &str) -> Draft {
    workload(resources::REPLICA_SETS, "apps/v1", "ReplicaSet", name)
}

pub fn stateful_set(name: &str) -> Draft {
    workload(resources::STATEFUL_SETS, "apps/v1", "StatefulSet", name)
}

pub fn daemon_set(name: &str) -> Draft {
    workload(resources::DAEMON_SETS, "apps/v1", "DaemonSet", name)
}

/// A pod disruption budget over `app: <name>`; say what it allows with [`Draft::min_available`] or
/// [`Draft::max_unavailable`].
pub fn budget(name: &str) -> Draft {
    workload(
        resources::POD_DISRUPTION_BUDGETS,
        "policy/v1",
        "PodDisruptionBudget",
        name,
    )
}

/// Any object: `"shop/web"`, `"web"` in namespace `default`, `"/web"` without a namespace.
pub fn object(resource: Resource, api_version: &str, kind: &str, name: &str) -> Draft {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    let mut metadata = json!({
        "name": name,
        "uid": uid(kind, namespace, name),
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-01T00:00:00Z",
    });
    if !namespace.is_empty() {
        metadata["namespace"] = namespace.into();
    }
    Draft {
        resource,
        json: json!({"apiVersion": api_version, "kind": kind, "metadata": metadata}),
    }
}

/// All the objects as one value.
pub fn cluster<'a>(objects: impl IntoIterator<Item = &'a Draft>) -> Cluster {
    let mut cluster = Cluster::default();
    for draft in objects {
        cluster.insert(&draft.build());
    }
    cluster
}

fn uid(kind: &str, namespace: &str, name: &str) -> String {
    format!("{kind}/{namespace}/{name}")
}

fn workload(resource: Resource, api_version: &str, kind: &str, name: &str) -> Draft {
    let mut draft = object(resource, api_version, kind, name);
    let app = draft.json["metadata"]["name"].clone();
    draft.json["spec"] = json!({"selector": {"matchLabels": {"app": app}}});
    draft
}

impl Draft {
    /// The parsed object. A draft that is not what its kind requires is a mistake in the test.
    #[expect(
        clippy::panic,
        reason = "a wrong draft is a bug of the test that wrote it"
    )]
    pub fn build(&self) -> Arc<Object> {
        match Object::from_json(self.resource.clone(), &self.json) {
            Ok(object) => Arc::new(object),
            Err(error) => panic!("{error}: {error:?} in {}", self.json),
        }
    }

    pub fn json(&self) -> &Value {
        &self.json
    }

    /// Merges `patch` into the object (RFC 7386).
    #[must_use]
    pub fn with(mut self, patch: &Value) -> Self {
        json_patch::merge(&mut self.json, patch);
        self
    }

    #[must_use]
    pub fn label(self, key: &str, value: &str) -> Self {
        self.with(&json!({"metadata": {"labels": {key: value}}}))
    }

    #[must_use]
    pub fn annotation(self, key: &str, value: &str) -> Self {
        self.with(&json!({"metadata": {"annotations": {key: value}}}))
    }

    #[must_use]
    pub fn revision(self, revision: u64) -> Self {
        self.with(&json!({"metadata": {"resourceVersion": revision.to_string()}}))
    }

    /// `2026-01-01T00:00:00Z`.
    #[must_use]
    pub fn created(self, time: &str) -> Self {
        self.with(&json!({"metadata": {"creationTimestamp": time}}))
    }

    #[must_use]
    pub fn terminating(self, time: &str) -> Self {
        self.with(&json!({"metadata": {"deletionTimestamp": time}}))
    }

    /// A controlling owner of this kind (`Node` has no namespace, all others this object's).
    #[must_use]
    pub fn owner(mut self, kind: &str, name: &str) -> Self {
        let namespace = self.json["metadata"]["namespace"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let (api_version, namespace) = match kind {
            "Node" => ("v1", ""),
            "ReplicationController" => ("v1", namespace.as_str()),
            "Job" | "CronJob" => ("batch/v1", namespace.as_str()),
            _ => ("apps/v1", namespace.as_str()),
        };
        self.json["metadata"]["ownerReferences"] = json!([{
            "apiVersion": api_version, "kind": kind, "name": name,
            "uid": uid(kind, namespace, name), "controller": true, "blockOwnerDeletion": true,
        }]);
        self
    }

    /// A pod's request, or a node's allocatable and capacity.
    #[must_use]
    pub fn cpu(self, quantity: &str) -> Self {
        self.amount("cpu", quantity)
    }

    /// A pod's request, or a node's allocatable and capacity.
    #[must_use]
    pub fn memory(self, quantity: &str) -> Self {
        self.amount("memory", quantity)
    }

    /// Any resource: a pod's request, or a node's allocatable and capacity.
    #[must_use]
    pub fn amount(mut self, resource: &str, quantity: &str) -> Self {
        if self.resource == resources::NODES {
            return self.with(&json!({"status": {
                "allocatable": {resource: quantity},
                "capacity": {resource: quantity},
            }}));
        }
        self.json["spec"]["containers"][0]["resources"]["requests"][resource] = quantity.into();
        self
    }

    #[must_use]
    pub fn limit(mut self, resource: &str, quantity: &str) -> Self {
        self.json["spec"]["containers"][0]["resources"]["limits"][resource] = quantity.into();
        self
    }

    #[must_use]
    pub fn image(mut self, image: &str) -> Self {
        self.json["spec"]["containers"][0]["image"] = image.into();
        self
    }

    /// Adds a sidecar: an init container that keeps running.
    #[must_use]
    pub fn sidecar(mut self, name: &str, cpu: &str, memory: &str) -> Self {
        let sidecar = json!({
            "name": name, "image": format!("{name}:1"), "restartPolicy": "Always",
            "resources": {"requests": {"cpu": cpu, "memory": memory}},
        });
        match self.json["spec"]["initContainers"].as_array_mut() {
            Some(containers) => containers.push(sidecar),
            None => self.json["spec"]["initContainers"] = json!([sidecar]),
        }
        self
    }

    /// Puts a pod on a node, running and ready.
    #[must_use]
    pub fn node(self, node: &str) -> Self {
        self.with(&json!({"spec": {"nodeName": node}})).running()
    }

    #[must_use]
    pub fn running(self) -> Self {
        self.with(&json!({"status": {"phase": "Running", "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:10Z"},
        ]}}))
    }

    /// A pod or node whose `Ready` condition is false.
    #[must_use]
    pub fn not_ready(self) -> Self {
        self.with(&json!({"status": {"conditions": [
            {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:10Z"},
        ]}}))
    }

    #[must_use]
    pub fn phase(self, phase: &str) -> Self {
        self.with(&json!({"status": {"phase": phase}}))
    }

    #[must_use]
    pub fn priority(self, priority: i32) -> Self {
        self.with(&json!({"spec": {"priority": priority}}))
    }

    #[must_use]
    pub fn replicas(self, replicas: u32) -> Self {
        self.with(&json!({"spec": {"replicas": replicas}}))
    }

    #[must_use]
    pub fn region(self, region: &str) -> Self {
        self.label("topology.kubernetes.io/region", region)
    }

    #[must_use]
    pub fn zone(self, zone: &str) -> Self {
        self.label("topology.kubernetes.io/zone", zone)
    }

    #[must_use]
    pub fn rack(self, rack: &str) -> Self {
        self.label("topology.bayplan.dev/rack", rack)
    }

    #[must_use]
    pub fn power(self, power: &str) -> Self {
        self.label("topology.bayplan.dev/power", power)
    }

    /// A node's room for pods.
    #[must_use]
    pub fn pod_limit(self, pods: u32) -> Self {
        self.amount("pods", &pods.to_string())
    }

    #[must_use]
    pub fn cordoned(self) -> Self {
        self.with(&json!({"spec": {"unschedulable": true}})).taint(
            "node.kubernetes.io/unschedulable",
            "",
            "NoSchedule",
        )
    }

    #[must_use]
    pub fn taint(mut self, key: &str, value: &str, effect: &str) -> Self {
        self.push(
            "taints",
            json!({"key": key, "value": value, "effect": effect}),
        );
        self
    }

    /// `operator: Exists` for an empty value, `Equal` otherwise.
    #[must_use]
    pub fn toleration(mut self, key: &str, value: &str, effect: &str) -> Self {
        let operator = if value.is_empty() { "Exists" } else { "Equal" };
        let mut entry = json!({"key": key, "operator": operator, "effect": effect});
        if !value.is_empty() {
            entry["value"] = value.into();
        }
        self.push("tolerations", entry);
        self
    }

    /// A topology spread constraint over `app: <app>`.
    #[must_use]
    pub fn spread(mut self, topology_key: &str, max_skew: u32, app: &str) -> Self {
        self.push(
            "topologySpreadConstraints",
            json!({
                "maxSkew": max_skew, "topologyKey": topology_key,
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app": app}},
            }),
        );
        self
    }

    /// `"2"` or `"50%"`.
    #[must_use]
    pub fn min_available(self, amount: &str) -> Self {
        self.with(&json!({"spec": {"minAvailable": int_or_string(amount)}}))
    }

    /// `"1"` or `"10%"`.
    #[must_use]
    pub fn max_unavailable(self, amount: &str) -> Self {
        self.with(&json!({"spec": {"maxUnavailable": int_or_string(amount)}}))
    }

    fn push(&mut self, list: &str, entry: Value) {
        match self.json["spec"][list].as_array_mut() {
            Some(entries) => entries.push(entry),
            None => self.json["spec"][list] = json!([entry]),
        }
    }
}

fn int_or_string(amount: &str) -> Value {
    amount
        .parse::<i64>()
        .map_or_else(|_error| amount.into(), Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::columns::{NodeReady, PodPhase};

    #[test]
    fn drafts_parse_into_what_they_say() {
        let web = pod("shop/web-1")
            .cpu("500m")
            .memory("1Gi")
            .sidecar("proxy", "100m", "64Mi")
            .owner("ReplicaSet", "web-abc")
            .node("n1")
            .build();
        let columns = web.pod().unwrap();
        assert_eq!(columns.requests.cpu_milli, 600);
        assert_eq!(columns.phase, PodPhase::Running);
        assert!(columns.ready);
        let cluster = cluster([&replica_set("shop/web-abc"), &pod("shop/web-1")]);
        let owner = web.controller().unwrap();
        let replica_set = cluster
            .find(&resources::REPLICA_SETS, "shop", "web-abc")
            .unwrap();
        assert_eq!(owner.uid, replica_set.uid);
        let node = node("n1").cpu("8").zone("a").cordoned().build();
        let columns = node.node().unwrap();
        assert_eq!(
            (columns.allocatable.cpu_milli, columns.pod_limit),
            (8000, 110)
        );
        assert!(columns.unschedulable && columns.ready == NodeReady::True);
        assert_eq!(columns.taints.len(), 1);
    }
}
