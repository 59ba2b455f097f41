//! What a service sends its callers to: pods with addresses, and the ports they serve on.
//!
//! Shared by EndpointSlice and Endpoints. Pods are read from their columns; only a named target
//! port makes their bytes be looked at.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::trigger;
use crate::k8s::{Change, Cluster, LabelSelector, Name, Object, ObjectKey, resources};

const HEADLESS: &str = "service.kubernetes.io/headless";

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceSpec {
    #[serde(rename = "type")]
    pub kind: Name,
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Name,
    pub publish_not_ready_addresses: bool,
    pub ports: Vec<ServicePort>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServicePort {
    pub name: Name,
    #[serde(rename = "port")]
    pub number: i64,
    pub target_port: Value,
    pub protocol: Name,
    pub app_protocol: Option<Name>,
}

/// A port as endpoints have it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Port {
    pub name: Name,
    pub number: i64,
    pub protocol: Name,
    pub app_protocol: Option<Name>,
}

pub(super) struct Service<'a> {
    pub object: &'a Arc<Object>,
    pub spec: ServiceSpec,
    selector: &'a LabelSelector,
}

/// The service of this key, if its endpoints are ours to keep.
pub(super) fn read<'a>(cluster: &'a Cluster, key: &ObjectKey) -> Option<Service<'a>> {
    #[derive(Deserialize)]
    struct Wire {
        #[serde(default)]
        spec: ServiceSpec,
    }
    let object = cluster.get(key).filter(|object| !object.is_terminating())?;
    // Without a selector endpoints are the user's, or the API server's own.
    let selector = object.selector()?;
    let Wire { spec } = object.typed().ok()?;
    (spec.kind != "ExternalName").then_some(Service {
        object,
        spec,
        selector,
    })
}

impl Service<'_> {
    /// Its own labels, and whether it is headless: what is written of its endpoints carries both.
    pub fn labels(&self) -> Map<String, Value> {
        let own = self.object.labels.iter();
        let mut labels: Map<String, Value> = own
            .map(|(key, value)| (key.to_string(), json!(value)))
            .collect();
        if self.spec.cluster_ip == "None" {
            labels.insert(HEADLESS.to_owned(), json!(""));
        }
        labels
    }

    /// Pods of the service that have an address and are not finished, by name.
    pub fn pods<'a>(&'a self, cluster: &'a Cluster) -> impl Iterator<Item = &'a Arc<Object>> {
        let selected = cluster.pods_selected(self.object.namespace(), self.selector);
        selected.into_iter().filter(|pod| {
            pod.pod()
                .is_some_and(|columns| !columns.is_finished() && !columns.ip.is_empty())
        })
    }

    /// The name that a pod has in a headless service which it names as its subdomain. Only there
    /// it leads to anything, and reading it costs a look at the pod's bytes.
    pub fn hostname(&self, pod: &Object) -> Option<Name> {
        #[derive(Deserialize)]
        struct Wire {
            spec: Spec,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Spec {
            hostname: Name,
            subdomain: Name,
        }
        if self.spec.cluster_ip != "None" {
            return None;
        }
        let Wire { spec } = pod.typed().ok()?;
        let is_named = !spec.hostname.is_empty() && spec.subdomain == self.object.key.name;
        is_named.then_some(spec.hostname)
    }

    /// The ports of one pod; a named port that it does not have is left out.
    pub fn ports(&self, pod: &Object) -> Vec<Port> {
        let named = self
            .spec
            .ports
            .iter()
            .any(|port| port.target_port.is_string());
        let declared = if named {
            container_ports(pod)
        } else {
            Vec::new()
        };
        self.spec
            .ports
            .iter()
            .filter_map(|port| {
                let number = match &port.target_port {
                    Value::String(name) => declared
                        .iter()
                        .find(|own| own.name == *name && own.protocol() == port.protocol())
                        .map(|own| own.number)?,
                    Value::Number(number) => number.as_i64().filter(|number| *number > 0)?,
                    _ => port.number,
                };
                Some(Port {
                    name: port.name.clone(),
                    number,
                    protocol: Name::new(port.protocol()),
                    app_protocol: port.app_protocol.clone(),
                })
            })
            .collect()
    }
}

impl ServicePort {
    fn protocol(&self) -> &str {
        if self.protocol.is_empty() {
            "TCP"
        } else {
            &self.protocol
        }
    }
}

/// The pod behind an endpoint, as its `targetRef`.
pub(super) fn reference(pod: &Object) -> Value {
    json!({
        "kind": "Pod",
        "name": pod.name(),
        "namespace": pod.namespace(),
        "uid": pod.uid.0,
    })
}

#[derive(Deserialize)]
struct ContainerPort {
    #[serde(default)]
    name: Name,
    #[serde(rename = "containerPort")]
    number: i64,
    #[serde(default)]
    protocol: Name,
}

impl ContainerPort {
    fn protocol(&self) -> &str {
        if self.protocol.is_empty() {
            "TCP"
        } else {
            &self.protocol
        }
    }
}

fn container_ports(pod: &Object) -> Vec<ContainerPort> {
    #[derive(Deserialize)]
    struct Wire {
        spec: Spec,
    }
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Spec {
        containers: Vec<Container>,
        init_containers: Vec<Container>,
    }
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Container {
        ports: Vec<ContainerPort>,
        restart_policy: Name,
    }
    let Ok(Wire { spec }) = pod.typed() else {
        return Vec::new();
    };
    let sidecars = spec
        .init_containers
        .into_iter()
        .filter(|container| container.restart_policy == "Always");
    spec.containers
        .into_iter()
        .chain(sidecars)
        .flat_map(|container| container.ports)
        .collect()
}

/// Services that a change concerns: itself, or those that select the changed pod, before or after.
pub(super) fn triggers(cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    trigger::itself(change, &resources::SERVICES, keys);
    if change.object.key.resource != resources::PODS || !trigger::pod_turned(change) {
        return;
    }
    let relabelled = change
        .previous
        .as_ref()
        .filter(|old| old.labels != change.object.labels);
    for pod in [&change.object].into_iter().chain(relabelled) {
        let services = trigger::selecting(cluster, &resources::SERVICES, pod);
        keys.extend(services.map(|service| service.key.clone()));
    }
}
