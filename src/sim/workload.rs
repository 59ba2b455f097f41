//! The fleet and the application of a simulation: small, and with one of everything.

use serde_json::{Value, json};

use super::Simulation;
use crate::k8s::{Resource, lab, resources};

/// Machines in each of the pools, one pool a rack.
pub const MACHINES: u32 = 3;
/// Rack and zone.
const RACKS: [(&str, &str); 4] = [("r1", "za"), ("r2", "za"), ("r3", "zb"), ("r4", "zc")];
/// Deployment and replicas.
pub const DEPLOYMENTS: [(&str, u32); 5] = [
    ("web", 8),
    ("cart", 5),
    ("search", 6),
    ("auth", 3),
    ("lone", 1),
];
pub const NAMESPACE: &str = "default";

impl Simulation {
    /// Four racks in three zones, twelve machines.
    pub(super) fn create_fleet(&mut self) {
        for (rack, zone) in RACKS {
            let pool = json!({
                "apiVersion": lab::API_VERSION, "kind": lab::NODE_POOL,
                "metadata": {"name": rack},
                "spec": {
                    "count": MACHINES, "region": "sim", "zone": zone, "rack": rack,
                    "machineType": {"name": "m", "capacity":
                        {"cpu": "4", "memory": "16Gi", "pods": "20"}},
                },
            });
            let response = self.create(&resources::NODE_POOLS, "", &pool);
            assert!(response.is_success(), "pool {rack}: {}", response.value());
        }
    }

    pub(super) fn create_workload(&mut self) {
        for (name, replicas) in DEPLOYMENTS {
            let response = self.create(
                &resources::DEPLOYMENTS,
                NAMESPACE,
                &deployment(name, replicas),
            );
            assert!(
                response.is_success(),
                "deployment {name}: {}",
                response.value()
            );
        }
        for (resource, object) in others() {
            let response = self.create(&resource, NAMESPACE, &object);
            assert!(response.is_success(), "{resource}: {}", response.value());
        }
    }
}

/// A stateful set, a daemon set, a job and a bare pod that ends.
fn others() -> [(Resource, Value); 4] {
    let template = |name: &str, restart: &str| {
        json!({
            "metadata": {"labels": {"app": name}},
            "spec": {
                "restartPolicy": restart,
                "terminationGracePeriodSeconds": 10,
                "containers": [{"name": "app", "image": format!("{name}:1"),
                    "resources": {"requests": {"cpu": "200m", "memory": "256Mi"}}}],
            },
        })
    };
    let selector = |name: &str| json!({"matchLabels": {"app": name}});
    let object = |group: &str, kind: &str, name: &str, spec: Value| {
        json!({"apiVersion": group, "kind": kind,
            "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec})
    };
    let db = json!({"replicas": 3, "serviceName": "db", "selector": selector("db"),
        "template": template("db", "Always")});
    let agent = json!({"selector": selector("agent"), "template": template("agent", "Always")});
    let batch = json!({"completions": 4, "parallelism": 2, "backoffLimit": 1_000,
        "template": template("batch", "OnFailure")});
    let once = template("once", "Never");
    [
        (
            resources::STATEFUL_SETS,
            object("apps/v1", "StatefulSet", "db", db),
        ),
        (
            resources::DAEMON_SETS,
            object("apps/v1", "DaemonSet", "agent", agent),
        ),
        (resources::JOBS, object("batch/v1", "Job", "batch", batch)),
        (
            resources::PODS,
            object(
                "v1",
                "Pod",
                "once",
                once.get("spec").cloned().unwrap_or_default(),
            ),
        ),
    ]
}

fn deployment(name: &str, replicas: u32) -> Value {
    let labels = json!({"app": name});
    let sidecar = json!({"name": "proxy", "image": "proxy:1", "restartPolicy": "Always",
        "resources": {"requests": {"cpu": "50m"}}});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 10,
                    // Lost machines are given up sooner than after the usual five minutes.
                    "tolerations": [
                        {"key": "node.kubernetes.io/unreachable", "operator": "Exists",
                         "effect": "NoExecute", "tolerationSeconds": 30},
                        {"key": "node.kubernetes.io/not-ready", "operator": "Exists",
                         "effect": "NoExecute", "tolerationSeconds": 30},
                    ],
                    "topologySpreadConstraints": [{
                        "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone",
                        "whenUnsatisfiable": "ScheduleAnyway",
                        "labelSelector": {"matchLabels": labels},
                    }],
                    "initContainers": [sidecar],
                    "containers": [{
                        "name": "app", "image": format!("{name}:1"),
                        "readinessProbe": {"tcpSocket": {"port": 80}, "initialDelaySeconds": 1},
                        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
                    }],
                },
            },
        },
    })
}
