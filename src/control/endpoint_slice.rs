//! EndpointSlice: the addresses of a service's pods, in slices of at most a hundred.
//!
//! Source: `endpointslice/reconciler.go` of `k8s.io/endpointslice` 1.36. An endpoint stays in its
//! slice as long as it lives, so that one change touches one slice. The annotation of the last
//! change's trigger time is not kept: it would differ from run to run.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::kind;
use super::service_pods::{self, Port, Service};
use super::{Controller, Outcome, field, naming, pod, trigger, write};
use crate::k8s::{Change, Cluster, Name, Object, ObjectKey, resources};

pub(super) const CONTROLLER: Controller = Controller {
    name: "endpoint-slice-controller",
    triggers,
    reconcile,
};

const ENDPOINTS_PER_SLICE: usize = 100;
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const ZONE: &str = "topology.kubernetes.io/zone";

fn triggers(cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    service_pods::triggers(cluster, change, keys);
    if change.object.key.resource == resources::ENDPOINT_SLICES {
        trigger::controller(change, &kind::SERVICE, keys);
    }
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, _now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(service) = service_pods::read(cluster, key) else {
        return outcome;
    };
    let mut wanted: BTreeMap<Vec<Port>, Endpoints> = BTreeMap::new();
    for pod in service.pods(cluster) {
        wanted
            .entry(service.ports(pod))
            .or_default()
            .insert(pod.uid.0.clone(), endpoint(cluster, &service, pod));
    }
    let slices: Vec<&Arc<Object>> = cluster
        .owned_by(&service.object.uid)
        .filter(|slice| slice.key.resource == resources::ENDPOINT_SLICES)
        .filter(|slice| {
            slice
                .labels
                .get(MANAGED_BY)
                .is_some_and(|own| own == MANAGER)
        })
        .filter(|slice| !slice.is_terminating())
        .collect();
    let planner = Planner {
        cluster,
        service: &service,
        labels: labels(&service),
    };
    planner.plan(wanted, &slices, &mut outcome);
    outcome
}

/// Endpoints by the uid of their pod.
type Endpoints = BTreeMap<Name, Value>;

/// A slice that stays, with the endpoints that it is to have.
struct Kept<'a> {
    slice: &'a Arc<Object>,
    json: Value,
    ports: Vec<Port>,
    endpoints: Vec<Value>,
}

struct Planner<'a> {
    cluster: &'a Cluster,
    service: &'a Service<'a>,
    labels: Value,
}

impl Planner<'_> {
    fn plan(
        &self,
        mut wanted: BTreeMap<Vec<Port>, Endpoints>,
        slices: &[&Arc<Object>],
        outcome: &mut Outcome,
    ) {
        let mut kept: Vec<Kept<'_>> = Vec::new();
        let mut spare: Vec<&Arc<Object>> = Vec::new();
        for slice in slices {
            let json = slice.json();
            let ports = slice_ports(&json);
            match wanted.get_mut(&ports) {
                Some(group) => {
                    let endpoints = field::list(&json, "/endpoints")
                        .iter()
                        .filter_map(|old| group.remove(field::text(old, "/targetRef/uid")))
                        .collect();
                    kept.push(Kept {
                        slice,
                        json,
                        ports,
                        endpoints,
                    });
                }
                None => spare.push(slice),
            }
        }
        for (ports, group) in &mut wanted {
            let mut left = std::mem::take(group).into_values();
            for slice in kept.iter_mut().filter(|slice| slice.ports == *ports) {
                let room = ENDPOINTS_PER_SLICE.saturating_sub(slice.endpoints.len());
                slice.endpoints.extend(left.by_ref().take(room));
            }
            *group = left
                .enumerate()
                .map(|(index, endpoint)| (Name::new(format!("{index:08}")), endpoint))
                .collect();
        }
        let mut living = 0;
        for kept in kept {
            if kept.endpoints.is_empty() {
                spare.push(kept.slice);
            } else {
                living += 1;
                let content = (kept.ports.as_slice(), kept.endpoints.as_slice());
                self.update(kept.slice, &kept.json, content, outcome);
            }
        }
        let mut created = 0;
        for (ports, group) in wanted {
            let rest: Vec<Value> = group.into_values().collect();
            for chunk in rest.chunks(ENDPOINTS_PER_SLICE) {
                self.create(&ports, chunk, created, outcome);
                created += 1;
            }
        }
        self.keep_placeholder(spare, living + created, outcome);
    }

    /// A service without endpoints keeps one empty slice.
    fn keep_placeholder(&self, mut spare: Vec<&Arc<Object>>, living: usize, outcome: &mut Outcome) {
        if living == 0 {
            if spare.is_empty() {
                self.create(&[], &[], 0, outcome);
            } else {
                let slice = spare.remove(0);
                self.update(slice, &slice.json(), (&[], &[]), outcome);
            }
        }
        outcome
            .ops
            .extend(spare.into_iter().map(|slice| write::delete(slice)));
    }

    fn update(
        &self,
        slice: &Object,
        json: &Value,
        (ports, endpoints): (&[Port], &[Value]),
        outcome: &mut Outcome,
    ) {
        let part = |path: &str| field::tree(json, path).clone();
        let current = json!({
            "endpoints": field::list(json, "/endpoints"),
            "ports": field::list(json, "/ports"),
            "metadata": {"labels": part("/metadata/labels")},
        });
        let wanted = json!({
            "endpoints": endpoints,
            "ports": ports_json(ports),
            "metadata": {"labels": self.labels},
        });
        if let Some(patch) = write::difference(&current, &wanted) {
            outcome.ops.push(write::merge(slice, patch));
        }
    }

    fn create(&self, ports: &[Port], endpoints: &[Value], index: usize, outcome: &mut Outcome) {
        let service = self.service.object;
        let name = naming::generated(self.cluster, &resources::ENDPOINT_SLICES, service, index);
        let slice = json!({
            "apiVersion": kind::ENDPOINT_SLICE.api_version,
            "kind": kind::ENDPOINT_SLICE.name,
            "metadata": {
                "name": name,
                "generateName": format!("{}-", service.name()),
                "namespace": service.namespace(),
                "labels": self.labels,
                "ownerReferences": [write::controller_reference(service, &kind::SERVICE)],
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": ports_json(ports),
        });
        outcome.ops.push(write::create(
            resources::ENDPOINT_SLICES,
            service.namespace(),
            slice,
        ));
    }
}

fn endpoint(cluster: &Cluster, service: &Service<'_>, pod: &Object) -> Value {
    let serving = pod::is_ready(pod);
    let terminating = pod.is_terminating();
    let ready = service.spec.publish_not_ready_addresses || (serving && !terminating);
    let columns = pod.pod();
    let mut endpoint = json!({
        "addresses": [columns.map_or("", |columns| columns.ip.as_str())],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": service_pods::reference(pod),
    });
    if let Some(hostname) = service.hostname(pod) {
        field::put(&mut endpoint, "hostname", json!(hostname));
    }
    if let Some(node) = columns.and_then(|columns| columns.node.as_ref()) {
        field::put(&mut endpoint, "nodeName", json!(node));
        let zone = cluster
            .find(&resources::NODES, "", node)
            .and_then(|node| node.labels.get(ZONE));
        if let Some(zone) = zone {
            field::put(&mut endpoint, "zone", json!(zone));
        }
    }
    endpoint
}

/// The service's labels and ours. Source: `setEndpointSliceLabels`.
fn labels(service: &Service<'_>) -> Value {
    let mut labels = service.labels();
    labels.insert(SERVICE_NAME.to_owned(), json!(service.object.name()));
    labels.insert(MANAGED_BY.to_owned(), json!(MANAGER));
    Value::Object(labels)
}

fn ports_json(ports: &[Port]) -> Value {
    ports
        .iter()
        .map(|port| {
            let mut entry =
                json!({"name": port.name, "port": port.number, "protocol": port.protocol});
            if let Some(protocol) = &port.app_protocol {
                field::put(&mut entry, "appProtocol", json!(protocol));
            }
            entry
        })
        .collect()
}

fn slice_ports(slice: &Value) -> Vec<Port> {
    field::list(slice, "/ports")
        .iter()
        .map(|port| Port {
            name: Name::new(field::text(port, "/name")),
            number: field::count(port, "/port"),
            protocol: Name::new(field::text(port, "/protocol")),
            app_protocol: port
                .get("appProtocol")
                .and_then(Value::as_str)
                .map(Name::new),
        })
        .collect()
}

#[cfg(test)]
mod tests;
