//! A cluster of a real one's size and shape, made once: fifty services a namespace or more, twenty
//! pods each, of two containers, padded to the size that pods have on real servers.

use std::path::Path;
use std::sync::Arc;

use bayplan::k8s::{Change, ChangeKind, Object, Revision, resources};
use bayplan::serve::journal::Journal;
use serde_json::{Value, json};

use crate::cluster;

const NAMESPACES: usize = 24;
const PODS_EACH: usize = 20;
const RACKS_A_ZONE: usize = 34;
/// Bytes of a pod as stored; the field managers' entries fill up what is missing.
const POD_BYTES: usize = 5_800;
/// Every so many services have a Service and a disruption budget.
const SERVED: usize = 5;

/// Leaves such a cluster in `folder`, where none is yet.
pub fn make(folder: &Path, nodes: usize, pods: usize) {
    let made = folder.join("made");
    if made.exists() {
        return;
    }
    let mut seed = cluster::fleet(nodes, RACKS_A_ZONE);
    seed.extend((0..NAMESPACES).map(|index| cluster::namespace(&namespace(index))));
    for index in 0..pods / PODS_EACH {
        seed.push(deployment(index));
        if index % SERVED == 0 {
            seed.push(service(index));
            seed.push(budget(index));
        }
    }
    cluster::grow(folder, seed, pods);
    pad(&folder.join("store.redb"));
    std::fs::write(made, "").unwrap();
}

fn namespace(index: usize) -> String {
    format!("team-{:02}", index % NAMESPACES)
}

fn name(index: usize) -> String {
    format!("service-{index:04}")
}

fn deployment(index: usize) -> Value {
    let labels = json!({
        "app.kubernetes.io/name": name(index), "app.kubernetes.io/part-of": namespace(index),
        "team": namespace(index),
    });
    let probe =
        |path: &str| json!({"httpGet": {"path": path, "port": "http"}, "periodSeconds": 10});
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let image = |name: &str| format!("registry.example.org/{}/{name}:2026.11.3", namespace(index));
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name(index), "namespace": namespace(index), "labels": labels},
        "spec": {
            "replicas": PODS_EACH,
            "selector": {"matchLabels": {"app.kubernetes.io/name": name(index)}},
            "template": {
                "metadata": {"labels": labels, "annotations": {
                    "prometheus.io/scrape": "true", "prometheus.io/port": "9090",
                    "checksum/config": "6f1ed002ab5595859014ebf0951522d9aa2f8a1cf4dd7f5a11c9f6ad5c4e0a3b",
                }},
                "spec": {
                    "containers": [
                        {"name": "app", "image": image("app"),
                            "ports": [{"name": "http", "containerPort": 8080}],
                            "env": [field("POD_NAME", "metadata.name"), field("POD_IP", "status.podIP"),
                                {"name": "LOG_LEVEL", "value": "info"}],
                            "readinessProbe": probe("/ready"), "livenessProbe": probe("/live"),
                            "resources": {"requests": {"cpu": "900m", "memory": "3Gi"}, "limits": {"memory": "3Gi"}}},
                        {"name": "proxy", "image": image("proxy"),
                            "ports": [{"name": "metrics", "containerPort": 9090}],
                            "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "256Mi"}}},
                    ],
                },
            },
        },
    })
}

fn service(index: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name(index), "namespace": namespace(index)},
        "spec": {"selector": {"app.kubernetes.io/name": name(index)}, "ports": [{"port": 80, "targetPort": "http"}]},
    })
}

fn budget(index: usize) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": name(index), "namespace": namespace(index)},
        "spec": {"minAvailable": "75%", "selector": {"matchLabels": {"app.kubernetes.io/name": name(index)}}},
    })
}

/// Gives every pod the entries of field managers that servers keep, up to the size that pods have.
fn pad(store: &Path) {
    let (mut journal, restored) = Journal::open(store).unwrap();
    let mut revision = restored.revision;
    let mut changes = Vec::new();
    for before in restored.objects {
        // Events of the making are gone after an hour on any server.
        let is_pod = before.key.resource == resources::PODS;
        if !is_pod && before.key.resource != resources::EVENTS {
            continue;
        }
        revision = revision.next();
        let object = if is_pod {
            padded(&before, revision)
        } else {
            Object {
                revision,
                ..Object::clone(&before)
            }
        };
        changes.push(Change {
            kind: if is_pod {
                ChangeKind::Modified
            } else {
                ChangeKind::Deleted
            },
            object: Arc::new(object),
            previous: Some(before),
        });
        if changes.len() == 5_000 {
            journal.commit(&changes).unwrap();
            changes.clear();
        }
    }
    journal.commit(&changes).unwrap();
}

fn padded(pod: &Object, revision: Revision) -> Object {
    let mut json = pod.json();
    json["metadata"]["resourceVersion"] = revision.to_string().into();
    let mut fields = serde_json::Map::new();
    let mut entries = |count: usize| {
        for index in fields.len()..count {
            fields.insert(
                format!("f:managed-field-number-{index:03}"),
                json!({".": {}, "f:value": {}}),
            );
        }
        json!([
            {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
                "time": "2026-11-01T00:00:00Z", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:metadata": fields}},
            {"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "subresource": "status",
                "time": "2026-11-01T00:00:00Z", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:status": {"f:phase": {}, "f:podIP": {}, "f:startTime": {}}}},
        ])
    };
    let each = r#""f:managed-field-number-000":{".":{},"f:value":{}},"#.len();
    json["metadata"]["managedFields"] = entries(0);
    let missing = POD_BYTES.saturating_sub(json.to_string().len());
    json["metadata"]["managedFields"] = entries(missing / each);
    Object::from_json(resources::PODS, &json).unwrap()
}
