//! Services and their endpoints, as far as addresses and names need them.
//!
//! A value: clones share everything, so that whoever answers questions holds one while the next is
//! made.

use std::net::Ipv4Addr;
use std::sync::Arc;

use imbl::OrdMap;
use k8s_openapi::api::core::v1::Service as ServiceObject;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ObjectMeta;

use crate::k8s::Name;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Kubernetes' default `sessionAffinityConfig.clientIP.timeoutSeconds`.
const AFFINITY_SECONDS: u32 = 10_800;

/// Which service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub namespace: Name,
    pub name: Name,
}

#[derive(Clone, Debug)]
pub struct Service {
    pub uid: Name,
    pub kind: Kind,
    pub ports: Vec<ServicePort>,
    /// How long a client keeps its endpoint, if it does.
    pub affinity_seconds: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Cluster(Ipv4Addr),
    Headless,
    /// Another name for something outside.
    External(Name),
}

#[derive(Clone, Debug)]
pub struct ServicePort {
    pub name: Name,
    pub number: u16,
    pub protocol: Protocol,
    pub node_port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
    /// SCTP: named, never carried.
    Other,
}

/// Endpoints with the same ports.
#[derive(Clone, Debug)]
pub struct Slice {
    pub ports: Vec<EndpointPort>,
    pub endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug)]
pub struct EndpointPort {
    pub name: Name,
    pub number: u16,
    pub protocol: Protocol,
}

#[derive(Clone, Debug)]
pub struct Endpoint {
    pub address: Ipv4Addr,
    pub hostname: Option<Name>,
    pub node: Option<Name>,
    pub ready: bool,
    /// Would answer, although it is about to end.
    pub serving: bool,
}

/// By the service's key and the slice's name.
type Slices = OrdMap<(Key, Name), Arc<Slice>>;

#[derive(Clone, Debug, Default)]
pub struct Table {
    services: OrdMap<Key, Arc<Service>>,
    slices: Slices,
}

impl Protocol {
    pub fn of(text: &str) -> Self {
        match text {
            "" | "TCP" => Self::Tcp,
            "UDP" => Self::Udp,
            _ => Self::Other,
        }
    }
}

impl Table {
    pub fn services(&self) -> impl Iterator<Item = (&Key, &Service)> {
        self.services
            .iter()
            .map(|(key, service)| (key, service.as_ref()))
    }

    pub fn service(&self, key: &Key) -> Option<&Service> {
        self.services.get(key).map(Arc::as_ref)
    }

    pub fn has_namespace(&self, namespace: &str) -> bool {
        let first = Key::new(namespace, "");
        self.services
            .range(first..)
            .next()
            .is_some_and(|(key, _)| key.namespace == namespace)
    }

    /// The slices of a service.
    pub fn slices<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = &'a Slice> {
        self.slices
            .range((key.clone(), Name::default())..)
            .take_while(move |((service, _), _)| service == key)
            .map(|(_, slice)| slice.as_ref())
    }

    /// All slices with their service.
    pub fn all_slices(&self) -> impl Iterator<Item = (&Key, &Slice)> {
        self.slices
            .iter()
            .map(|((key, _), slice)| (key, slice.as_ref()))
    }

    pub fn forget_services(&mut self) {
        self.services.clear();
    }

    pub fn forget_slices(&mut self) {
        self.slices.clear();
    }

    pub fn put_service(&mut self, object: &ServiceObject) {
        let key = Key::of(&object.metadata);
        match read_service(object) {
            Some(service) => self.services.insert(key, Arc::new(service)),
            None => self.services.remove(&key),
        };
    }

    pub fn remove_service(&mut self, object: &ServiceObject) {
        self.services.remove(&Key::of(&object.metadata));
    }

    pub fn put_slice(&mut self, object: &EndpointSlice) {
        if let Some(key) = slice_key(object)
            && object.address_type == "IPv4"
        {
            self.slices.insert(key, Arc::new(read_slice(object)));
        }
    }

    pub fn remove_slice(&mut self, object: &EndpointSlice) {
        if let Some(key) = slice_key(object) {
            self.slices.remove(&key);
        }
    }
}

impl Key {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: Name::new(namespace),
            name: Name::new(name),
        }
    }

    fn of(metadata: &ObjectMeta) -> Self {
        Self::new(
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default(),
        )
    }
}

fn slice_key(object: &EndpointSlice) -> Option<(Key, Name)> {
    let metadata = &object.metadata;
    let service = metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    let namespace = metadata.namespace.as_deref()?;
    let own = Name::new(metadata.name.as_deref()?);
    Some((Key::new(namespace, service), own))
}

fn read_service(object: &ServiceObject) -> Option<Service> {
    let spec = object.spec.as_ref()?;
    let address = spec.cluster_ip.as_deref().unwrap_or_default();
    let kind = match (spec.type_.as_deref(), address) {
        (Some("ExternalName"), _) => Kind::External(Name::new(spec.external_name.as_deref()?)),
        (_, "None") => Kind::Headless,
        (_, address) => Kind::Cluster(address.parse().ok()?),
    };
    let ports = spec.ports.iter().flatten().map(|port| {
        Some(ServicePort {
            name: Name::new(port.name.as_deref().unwrap_or_default()),
            number: u16::try_from(port.port).ok()?,
            protocol: Protocol::of(port.protocol.as_deref().unwrap_or_default()),
            node_port: port.node_port.and_then(|it| u16::try_from(it).ok()),
        })
    });
    let is_sticky = spec.session_affinity.as_deref() == Some("ClientIP");
    let asked = spec
        .session_affinity_config
        .as_ref()
        .and_then(|it| it.client_ip.as_ref()?.timeout_seconds);
    let asked = asked.and_then(|seconds| u32::try_from(seconds).ok());
    Some(Service {
        uid: Name::new(object.metadata.uid.as_deref().unwrap_or_default()),
        kind,
        ports: ports.flatten().collect(),
        affinity_seconds: is_sticky.then(|| asked.unwrap_or(AFFINITY_SECONDS)),
    })
}

/// An unknown condition is read as upstream's consumers do: ready and serving unless denied.
fn read_slice(object: &EndpointSlice) -> Slice {
    let ports = object.ports.iter().flatten().map(|port| {
        Some(EndpointPort {
            name: Name::new(port.name.as_deref().unwrap_or_default()),
            number: u16::try_from(port.port?).ok()?,
            protocol: Protocol::of(port.protocol.as_deref().unwrap_or_default()),
        })
    });
    let endpoints = object.endpoints.iter().flatten().map(|endpoint| {
        let conditions = endpoint.conditions.as_ref();
        let ready = conditions.and_then(|it| it.ready).unwrap_or(true);
        Some(Endpoint {
            address: endpoint.addresses.first()?.parse().ok()?,
            hostname: endpoint.hostname.as_deref().map(Name::new),
            node: endpoint.node_name.as_deref().map(Name::new),
            ready,
            serving: conditions.and_then(|it| it.serving).unwrap_or(ready),
        })
    });
    Slice {
        ports: ports.flatten().collect(),
        endpoints: endpoints.flatten().collect(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub fn table(services: &[Value], slices: &[Value]) -> Table {
        let mut table = Table::default();
        for service in services {
            table.put_service(&serde_json::from_value(service.clone()).unwrap());
        }
        for slice in slices {
            table.put_slice(&serde_json::from_value(slice.clone()).unwrap());
        }
        table
    }

    pub fn service(name: &str, spec: &Value) -> Value {
        json!({"metadata": {"name": name, "namespace": "shop", "uid": name}, "spec": spec})
    }

    /// Endpoints as (address, node, hostname, ready).
    pub fn slice(service: &str, endpoints: &[(&str, &str, Option<&str>, bool)]) -> Value {
        let endpoints: Vec<Value> = endpoints
            .iter()
            .map(|(address, node, hostname, ready)| {
                json!({"addresses": [address], "nodeName": node, "hostname": hostname,
                       "conditions": {"ready": ready, "serving": ready}})
            })
            .collect();
        json!({
            "metadata": {"name": format!("{service}-x"), "namespace": "shop",
                         "labels": {SERVICE_NAME: service}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": endpoints,
        })
    }

    #[test]
    fn slices_belong_to_the_service_that_they_name() {
        let cluster = json!({"clusterIP": "10.96.0.7", "ports": [{"port": 80}]});
        let mut table = table(
            &[service("cart", &cluster), service("cart-db", &cluster)],
            &[
                slice("cart", &[("10.88.0.2", "here", None, true)]),
                slice("cart-db", &[("10.88.0.3", "here", None, true)]),
            ],
        );
        let cart = Key::new("shop", "cart");
        let addresses = |table: &Table| -> Vec<String> {
            table
                .slices(&cart)
                .flat_map(|slice| &slice.endpoints)
                .map(|it| it.address.to_string())
                .collect()
        };
        assert_eq!(addresses(&table), ["10.88.0.2"]);
        assert!(table.has_namespace("shop") && !table.has_namespace("sho"));
        let gone = serde_json::from_value(slice("cart", &[])).unwrap();
        table.remove_slice(&gone);
        assert!(addresses(&table).is_empty());
    }
}
