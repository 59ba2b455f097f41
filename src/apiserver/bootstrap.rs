//! What a new cluster holds before anybody asks: namespaces, roles, priority classes, the
//! `kubernetes` service.

use serde_json::{Value, json};

use super::execute::execute;
use super::registry::Registry;
use super::status::Status;
use super::write::WriteContext;
use crate::k8s::{Name, Op, Resource, facts, resources};
use crate::store::Store;

/// Creates what is missing of the objects of a new cluster; may be called at every start.
pub fn seed(
    store: &mut Store,
    registry: &Registry,
    context: &mut WriteContext,
) -> Result<(), Status> {
    for (resource, namespace, object) in objects() {
        let op = Op::Create {
            resource,
            namespace,
            object,
        };
        execute(store, registry, op, "apiserver", context)?;
    }
    Ok(())
}

fn objects() -> impl Iterator<Item = (Resource, Name, Value)> {
    let namespaces = ["default", "kube-system", "kube-public", "kube-node-lease"]
        .into_iter()
        .map(|name| {
            let object = json!({
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name},
            });
            (resources::NAMESPACES, Name::default(), object)
        });
    let built_in = facts::bootstrap_objects().into_iter().filter_map(|object| {
        let resource = match object.get("kind").and_then(Value::as_str)? {
            "ClusterRole" => resources::CLUSTER_ROLES,
            "ClusterRoleBinding" => resources::CLUSTER_ROLE_BINDINGS,
            "PriorityClass" => resources::PRIORITY_CLASSES,
            _ => return None,
        };
        Some((resource, Name::default(), object))
    });
    namespaces.chain(built_in).chain([
        (
            resources::SERVICES,
            Name::new_static("default"),
            kubernetes_service(),
        ),
        (
            resources::STORAGE_CLASSES,
            Name::default(),
            default_storage_class(),
        ),
    ])
}

/// The class that claims get which name none; the volume controller provisions for it.
fn default_storage_class() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "standard",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "bayplan.dev/local-path",
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    })
}

/// The API server's own service has the first address of the range.
fn kubernetes_service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": "10.96.0.1",
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
        },
    })
}
