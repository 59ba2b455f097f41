//! What stands behind a service: its pods, ready or not, and where they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::k8s::status::{self, Health};
use crate::k8s::{Cluster, LabelSelector, Name, Object, ObjectError, ObjectKey, resources};

#[derive(Clone, PartialEq, Debug)]
pub struct Service {
    pub key: ObjectKey,
    pub created: Option<Timestamp>,
    /// `ClusterIP`, `Headless`, `NodePort`, `LoadBalancer`, `ExternalName`.
    pub kind: Name,
    pub address: Name,
    pub external: Name,
    /// `80→8080/TCP`.
    pub ports: Vec<String>,
    pub selector: Option<LabelSelector>,
    /// `None` without a selector: somebody else writes its endpoints.
    pub endpoints: Option<Vec<Endpoint>>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Endpoint {
    pub pod: ObjectKey,
    pub ip: Name,
    pub node: Name,
    pub zone: Name,
    pub ready: bool,
    pub word: Name,
}

/// Ready endpoints and all, in one zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Share {
    pub ready: usize,
    pub all: usize,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Wire {
    spec: Spec,
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(rename = "type")]
    kind: Name,
    #[serde(rename = "clusterIP")]
    cluster_ip: Name,
    external_name: Name,
    #[serde(rename = "externalIPs")]
    external_ips: Vec<Name>,
    publish_not_ready_addresses: bool,
    ports: Vec<PortWire>,
    selector: BTreeMap<Name, Name>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PortWire {
    #[serde(rename = "port")]
    number: u32,
    #[serde(rename = "targetPort")]
    target: serde_json::Value,
    #[serde(rename = "nodePort")]
    on_node: u32,
    protocol: Name,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    load_balancer: LoadBalancer,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LoadBalancer {
    ingress: Vec<Ingress>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Ingress {
    ip: Name,
    hostname: Name,
}

impl Service {
    pub fn of(cluster: &Cluster, object: &Object) -> Result<Self, ObjectError> {
        let Wire { spec, status } = object.typed()?;
        let headless = spec.cluster_ip == "None";
        let kind = if headless {
            Name::new_static("Headless")
        } else if spec.kind.is_empty() {
            Name::new_static("ClusterIP")
        } else {
            spec.kind.clone()
        };
        let ingress = status.load_balancer.ingress.iter().map(|entry| {
            if entry.ip.is_empty() {
                entry.hostname.clone()
            } else {
                entry.ip.clone()
            }
        });
        let selector = (!spec.selector.is_empty())
            .then(|| serde_json::from_value(json!({"matchLabels": spec.selector})).ok())
            .flatten();
        let external: Vec<Name> = ingress.chain(spec.external_ips.iter().cloned()).collect();
        Ok(Self {
            key: object.key.clone(),
            created: object.created,
            address: if kind == "ExternalName" {
                spec.external_name.clone()
            } else if headless {
                Name::default()
            } else {
                spec.cluster_ip.clone()
            },
            external: Name::from(external.join(",")),
            ports: spec.ports.iter().map(PortWire::text).collect(),
            endpoints: selector
                .as_ref()
                .map(|selector| endpoints(cluster, object, &spec, selector)),
            selector,
            kind,
        })
    }

    pub fn share(&self) -> Share {
        let endpoints = self.endpoints.as_deref().unwrap_or_default();
        Share {
            ready: endpoints.iter().filter(|endpoint| endpoint.ready).count(),
            all: endpoints.len(),
        }
    }

    /// By zone, in the order of their names; pods without a place are in no zone.
    pub fn zones(&self) -> BTreeMap<Name, Share> {
        let mut zones: BTreeMap<Name, Share> = BTreeMap::new();
        for endpoint in self.endpoints.iter().flatten() {
            if endpoint.node.is_empty() {
                continue;
            }
            let share = zones.entry(endpoint.zone.clone()).or_default();
            share.all += 1;
            share.ready += usize::from(endpoint.ready);
        }
        zones
    }

    pub fn health(&self) -> Health {
        let share = self.share();
        match (&self.endpoints, share.ready, share.all) {
            (None, ..) => Health::Done,
            (Some(_), 0, _) => Health::Bad,
            (Some(_), ready, all) if ready < all => Health::Partly,
            _ => Health::Good,
        }
    }

    /// The name that finds it from every pod.
    pub fn dns_name(&self) -> String {
        format!("{}.{}.svc", self.key.name, self.key.namespace)
    }
}

impl PortWire {
    fn text(&self) -> String {
        let protocol = if self.protocol.is_empty() {
            "TCP"
        } else {
            &self.protocol
        };
        let target = match &self.target {
            serde_json::Value::Number(number)
                if number.as_u64() != Some(u64::from(self.number)) =>
            {
                format!("→{number}")
            }
            serde_json::Value::String(name) if !name.is_empty() => format!("→{name}"),
            _ => String::new(),
        };
        let node = if self.on_node > 0 {
            format!(" node {}", self.on_node)
        } else {
            String::new()
        };
        format!("{}{target}/{protocol}{node}", self.number)
    }
}

fn endpoints(
    cluster: &Cluster,
    service: &Object,
    spec: &Spec,
    selector: &LabelSelector,
) -> Vec<Endpoint> {
    cluster
        .list_in(&resources::PODS, service.namespace())
        .filter(|pod| selector.matches(&pod.labels))
        .filter_map(|pod| endpoint(cluster, pod, spec.publish_not_ready_addresses))
        .collect()
}

/// Finished and terminating pods do not answer.
fn endpoint(cluster: &Cluster, object: &Arc<Object>, publish_not_ready: bool) -> Option<Endpoint> {
    let pod = object.pod()?;
    if pod.is_finished() {
        return None;
    }
    let status = status::of_pod(object)?;
    let node = pod.node.clone().unwrap_or_default();
    let zone = cluster
        .find(&resources::NODES, "", &node)
        .and_then(|node| node.labels.get("topology.kubernetes.io/zone"))
        .cloned()
        .unwrap_or_default();
    let serves = pod.ready || publish_not_ready && !pod.ip.is_empty();
    Some(Endpoint {
        pod: object.key.clone(),
        ip: pod.ip.clone(),
        node,
        zone,
        ready: serves && !object.is_terminating(),
        word: status.word,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build;

    #[test]
    fn endpoints_are_counted_by_zone() {
        let service = build::object(resources::SERVICES, "v1", "Service", "cart").with(&json!({
            "spec": {"clusterIP": "10.96.0.7", "selector": {"app": "cart"},
                     "ports": [{"port": 80, "targetPort": 8080}, {"port": 443, "targetPort": "tls", "nodePort": 30443}]}}));
        let pod = |name: &str, node: &str| build::pod(name).label("app", "cart").node(node);
        let drafts = [
            service.clone(),
            build::node("n1").zone("a"),
            build::node("n2").zone("b"),
            pod("cart-1", "n1"),
            pod("cart-2", "n2"),
            pod("cart-3", "n2").not_ready(),
            pod("cart-4", "n2").phase("Succeeded"),
            build::pod("other").label("app", "auth").node("n1"),
        ];
        let cluster = build::cluster(&drafts);
        let found = Service::of(&cluster, &service.build()).unwrap();
        assert_eq!(found.ports, ["80→8080/TCP", "443→tls/TCP node 30443"]);
        assert_eq!(found.share(), Share { ready: 2, all: 3 });
        let zones: Vec<(Name, usize, usize)> = found
            .zones()
            .into_iter()
            .map(|(zone, share)| (zone, share.ready, share.all))
            .collect();
        assert_eq!(zones, [("a".into(), 1, 1), ("b".into(), 1, 2)]);
        assert_eq!(found.health(), Health::Partly);
    }
}
