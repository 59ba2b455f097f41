//! Endpoints: the older form of EndpointSlice, one object a service.
//!
//! Source: `pkg/controller/endpoint` of Kubernetes 1.36: terminating pods are left out, addresses
//! are grouped by the ports they serve, and more than a thousand are cut off with an annotation.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::service_pods::{self, Port, Service};
use super::{Controller, Outcome, field, pod, trigger, write};
use crate::k8s::{Change, Cluster, Object, ObjectKey, resources};

pub(super) const CONTROLLER: Controller = Controller {
    name: "endpoint-controller",
    triggers,
    reconcile,
};

const ADDRESSES_MAX: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";

fn triggers(cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    service_pods::triggers(cluster, change, keys);
    let is_ours = change.object.labels.get(MANAGED_BY).is_some();
    if change.object.key.resource == resources::ENDPOINTS && is_ours {
        keys.push(write::beside(
            &change.object,
            resources::SERVICES,
            change.object.name(),
        ));
    }
    trigger::itself(change, &resources::SERVICES, keys);
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, _now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let existing = cluster.find(&resources::ENDPOINTS, &key.namespace, &key.name);
    let Some(service) = service_pods::read(cluster, key) else {
        // The object has no owner; it goes with its service, like upstream's.
        let is_ours = |object: &&std::sync::Arc<Object>| object.labels.get(MANAGED_BY).is_some();
        if let Some(object) = existing.filter(is_ours)
            && cluster.get(key).is_none()
        {
            outcome.ops.push(write::delete(object));
        }
        return outcome;
    };
    let (subsets, is_cut) = subsets(cluster, &service);
    let labels = labels(&service);
    let mut wanted = json!({"metadata": {"labels": labels}, "subsets": subsets});
    if is_cut {
        let annotations = json!({"labels": labels, "annotations": {OVER_CAPACITY: "truncated"}});
        field::put(&mut wanted, "metadata", annotations);
    }
    match existing {
        Some(object) => {
            let json = object.json();
            let current = json!({
                "metadata": {"labels": field::tree(&json, "/metadata/labels")},
                "subsets": field::list(&json, "/subsets"),
            });
            let had = field::annotation(&json, OVER_CAPACITY).is_some();
            let same = write::difference(
                &current,
                &json!({
                    "metadata": {"labels": labels}, "subsets": subsets,
                }),
            );
            if same.is_some() || had != is_cut {
                outcome.ops.push(write::merge(
                    object,
                    update(&json, subsets, &labels, is_cut),
                ));
            }
        }
        None => outcome.ops.push(write::create(
            resources::ENDPOINTS,
            &key.namespace,
            create(key, wanted),
        )),
    }
    outcome
}

fn update(json: &Value, subsets: Vec<Value>, labels: &Value, is_cut: bool) -> Value {
    let old = field::tree(json, "/metadata/labels");
    let mut metadata = json!({});
    if let Some(patch) = write::difference(old, labels) {
        field::put(&mut metadata, "labels", patch);
    }
    let note = if is_cut {
        json!("truncated")
    } else {
        Value::Null
    };
    field::put(&mut metadata, "annotations", json!({OVER_CAPACITY: note}));
    let subsets = if subsets.is_empty() {
        Value::Null
    } else {
        subsets.into()
    };
    json!({"metadata": metadata, "subsets": subsets})
}

fn create(key: &ObjectKey, mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata") {
        field::put(metadata, "name", json!(key.name));
        field::put(metadata, "namespace", json!(key.namespace));
    }
    field::put(&mut object, "apiVersion", json!("v1"));
    field::put(&mut object, "kind", json!("Endpoints"));
    if field::list(&object, "/subsets").is_empty()
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("subsets");
    }
    object
}

fn labels(service: &Service<'_>) -> Value {
    let mut labels = service.labels();
    labels.insert(MANAGED_BY.to_owned(), json!("endpoint-controller"));
    Value::Object(labels)
}

/// Addresses by the ports they serve, and whether some were cut off.
fn subsets(cluster: &Cluster, service: &Service<'_>) -> (Vec<Value>, bool) {
    let mut groups: BTreeMap<Vec<Port>, [Vec<Value>; 2]> = BTreeMap::new();
    let mut is_cut = false;
    for (index, pod) in service
        .pods(cluster)
        .filter(|pod| !pod.is_terminating())
        .enumerate()
    {
        if index == ADDRESSES_MAX {
            is_cut = true;
            break;
        }
        let ready = service.spec.publish_not_ready_addresses || pod::is_ready(pod);
        let [serving, waiting] = groups.entry(service.ports(pod)).or_default();
        if ready { serving } else { waiting }.push(address(pod));
    }
    let subsets = groups
        .into_iter()
        .map(|(ports, [serving, waiting])| {
            let mut subset = json!({});
            for (name, addresses) in [("addresses", serving), ("notReadyAddresses", waiting)] {
                if !addresses.is_empty() {
                    field::put(&mut subset, name, addresses.into());
                }
            }
            if !ports.is_empty() {
                field::put(&mut subset, "ports", ports.iter().map(port).collect());
            }
            subset
        })
        .collect();
    (subsets, is_cut)
}

fn address(pod: &Object) -> Value {
    let columns = pod.pod();
    let mut address = json!({
        "ip": columns.map_or("", |columns| columns.ip.as_str()),
        "targetRef": service_pods::reference(pod),
    });
    if let Some(node) = columns.and_then(|columns| columns.node.as_ref()) {
        field::put(&mut address, "nodeName", json!(node));
    }
    address
}

fn port(port: &Port) -> Value {
    let mut entry = json!({"port": port.number, "protocol": port.protocol});
    if !port.name.is_empty() {
        field::put(&mut entry, "name", json!(port.name));
    }
    if let Some(protocol) = &port.app_protocol {
        field::put(&mut entry, "appProtocol", json!(protocol));
    }
    entry
}
