//! What is listened on for services, and where each connection may be led.
//!
//! A pure function of the table. Source: kube-proxy's rules: ready endpoints, or where none is
//! ready those that still serve while they end. A port without an endpoint that can be reached is
//! not listened on, so that the kernel refuses its connections at once.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use k8s_openapi::api::core::v1::Pod as PodObject;

use super::table::{Endpoint, Key, Kind, Protocol, ServicePort, Table};
use crate::k8s::Name;
use crate::node::network::Range;

/// Where this node stands.
#[derive(Clone, Debug)]
pub struct Ground {
    pub node: Name,
    /// The machine's own address, which pods of its network have too.
    pub machine: IpAddr,
    /// The addresses of this node's pods.
    pub pods: Range,
    /// All nodes of this machine, this one too.
    pub nodes: Vec<Name>,
    /// The addresses of their pods, which are all reached from this node's network.
    pub ranges: Vec<Range>,
    /// Where the machine's own ports lead to this node.
    pub loopback: Ipv4Addr,
    /// Where the API server listens on the machine, if it does.
    pub api: Option<SocketAddr>,
}

/// Whose network something happens in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Node,
    Machine,
}

/// A socket to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listen {
    pub place: Place,
    pub protocol: Protocol,
    pub at: SocketAddr,
}

/// A way to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    pub from: Place,
    pub to: SocketAddr,
}

/// What a socket is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The service, or the pod of a host port.
    pub owner: Key,
    /// Never empty.
    pub ways: Vec<Way>,
    pub affinity_seconds: Option<u32>,
}

pub type Plan = BTreeMap<Listen, Target>;

/// The ports of the machine that pods of this node ask for, by pod uid.
pub type HostPorts = BTreeMap<String, Vec<(Listen, Target)>>;

/// All sockets that the services of a table need here.
pub fn plan(table: &Table, ground: &Ground) -> Plan {
    let mut plan = Plan::new();
    for (key, service) in table.services() {
        let Kind::Cluster(address) = service.kind else {
            continue;
        };
        for port in &service.ports {
            let ways = ways(table, ground, key, port);
            if ways.is_empty() || port.protocol == Protocol::Other {
                continue;
            }
            let target = Target {
                owner: key.clone(),
                ways,
                affinity_seconds: service.affinity_seconds,
            };
            for listen in sockets(address, port, ground) {
                plan.insert(listen, target.clone());
            }
        }
    }
    plan
}

/// The ports of the machine that a pod asks for.
///
/// Meant difference: without a `hostIP` they open on the loopback only. A console on somebody's
/// machine does not offer its pods to the network unless it is told to.
pub fn host_ports(pod: &PodObject, address: IpAddr, loopback: Ipv4Addr) -> Vec<(Listen, Target)> {
    let metadata = &pod.metadata;
    let owner = Key::new(
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    );
    let spec = pod
        .spec
        .iter()
        .filter(|spec| spec.host_network != Some(true));
    let containers = spec.flat_map(|spec| {
        spec.containers
            .iter()
            .chain(spec.init_containers.iter().flatten())
    });
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    let opened = ports.filter_map(|port| {
        let outer = u16::try_from(port.host_port?).ok().filter(|it| *it != 0)?;
        let inner = u16::try_from(port.container_port).ok()?;
        let protocol = Protocol::of(port.protocol.as_deref().unwrap_or_default());
        let asked = port.host_ip.as_deref().filter(|it| !it.is_empty());
        let at = asked.map_or(Some(loopback.into()), |it| it.parse().ok())?;
        let listen = Listen {
            place: Place::Machine,
            protocol,
            at: SocketAddr::new(at, outer),
        };
        let way = Way {
            from: Place::Node,
            to: SocketAddr::new(address, inner),
        };
        let target = Target {
            owner: owner.clone(),
            ways: vec![way],
            affinity_seconds: None,
        };
        (protocol != Protocol::Other).then_some((listen, target))
    });
    opened.collect()
}

/// Whether an address is known as a pod's of a simulated node.
pub fn is_simulated(table: &Table, ground: &Ground, address: IpAddr) -> bool {
    let mut endpoints = table.all_slices().flat_map(|(_, slice)| &slice.endpoints);
    endpoints.any(|it| {
        IpAddr::V4(it.address) == address && it.node.is_some() && place(it, ground).is_none()
    })
}

/// Whether a service has ready endpoints, none of which can be reached from here.
pub fn is_out_of_reach(table: &Table, ground: &Ground, key: &Key) -> bool {
    let ready = || {
        table
            .slices(key)
            .flat_map(|slice| &slice.endpoints)
            .filter(|it| it.ready)
    };
    !is_api(key, ground)
        && ready().next().is_some()
        && !ready().any(|it| place(it, ground).is_some())
}

/// The service's own address, and for node ports the node's towards its pods and the machine's
/// loopback.
fn sockets(
    address: Ipv4Addr,
    port: &ServicePort,
    ground: &Ground,
) -> impl Iterator<Item = Listen> + use<> {
    let protocol = port.protocol;
    let listen = move |place, address: Ipv4Addr, number: u16| Listen {
        place,
        protocol,
        at: SocketAddr::from((address, number)),
    };
    let (gateway, loopback) = (ground.pods.gateway(), ground.loopback);
    let outer = port.node_port.into_iter().flat_map(move |number| {
        [
            listen(Place::Node, gateway, number),
            listen(Place::Machine, loopback, number),
        ]
    });
    std::iter::once(listen(Place::Node, address, port.number)).chain(outer)
}

fn ways(table: &Table, ground: &Ground, key: &Key, port: &ServicePort) -> Vec<Way> {
    if let Some(api) = ground.api.filter(|_| is_api(key, ground)) {
        return vec![Way {
            from: Place::Machine,
            to: api,
        }];
    }
    let collect = |wanted: fn(&Endpoint) -> bool| -> Vec<Way> {
        let mut all = Vec::new();
        for slice in table.slices(key) {
            let mut ports = slice.ports.iter();
            let Some(number) = ports
                .find(|it| it.name == port.name && it.protocol == port.protocol)
                .map(|it| it.number)
            else {
                continue;
            };
            let endpoints = slice.endpoints.iter().filter(|it| wanted(it));
            all.extend(endpoints.filter_map(|endpoint| {
                Some(Way {
                    from: place(endpoint, ground)?,
                    to: SocketAddr::from((endpoint.address, number)),
                })
            }));
        }
        all.sort_unstable();
        all.dedup();
        all
    };
    let ready = collect(|it| it.ready);
    if ready.is_empty() {
        return collect(|it| it.serving);
    }
    ready
}

/// Whose network an endpoint is connected to from; none: it cannot be reached.
///
/// Endpoints without a node are somebody's own, outside of the cluster.
pub fn place(endpoint: &Endpoint, ground: &Ground) -> Option<Place> {
    let address = IpAddr::V4(endpoint.address);
    match &endpoint.node {
        None => Some(Place::Machine),
        Some(node) if !ground.nodes.contains(node) => None,
        Some(_) if address == ground.machine => Some(Place::Machine),
        Some(_) => {
            let is_pod = ground.ranges.iter().any(|it| it.holds(endpoint.address));
            is_pod.then_some(Place::Node)
        }
    }
}

/// `kubernetes.default` has no endpoints here: it is the program's own server.
fn is_api(key: &Key, ground: &Ground) -> bool {
    ground.api.is_some() && key.namespace == "default" && key.name == "kubernetes"
}

#[cfg(test)]
pub mod tests {
    use serde_json::{Value, json};

    use super::super::table::tests::{service, slice, table};
    use super::*;

    pub fn ground() -> Ground {
        Ground {
            node: Name::new("here"),
            machine: IpAddr::from([192, 168, 1, 5]),
            pods: Range::parse("10.88.0.0/24").unwrap(),
            nodes: vec![Name::new("here"), Name::new("beside")],
            ranges: ["10.88.0.0/24", "10.88.1.0/24"]
                .map(|range| Range::parse(range).unwrap())
                .into(),
            loopback: Ipv4Addr::LOCALHOST,
            api: Some(SocketAddr::from(([127, 0, 0, 1], 6443))),
        }
    }

    fn lines(services: &[Value], slices: &[Value]) -> Vec<String> {
        let line = |(listen, target): (Listen, Target)| {
            let ways: Vec<String> = target
                .ways
                .iter()
                .map(|way| format!("{:?} {}", way.from, way.to))
                .collect();
            format!(
                "{:?} {:?} {} > {}",
                listen.place,
                listen.protocol,
                listen.at,
                ways.join(", ")
            )
        };
        plan(&table(services, slices), &ground())
            .into_iter()
            .map(line)
            .collect()
    }

    fn web(kind: &str) -> Value {
        let port =
            json!({"name": "http", "port": 80, "nodePort": (kind == "NodePort").then_some(30080)});
        service(
            "web",
            &json!({"type": kind, "clusterIP": "10.96.3.4", "ports": [port]}),
        )
    }

    #[test]
    fn connections_go_to_ready_pods_of_this_node() {
        let endpoints = [
            ("10.88.0.2", "here", None, true),
            ("10.88.0.3", "here", None, false),
            ("10.244.7.9", "simulated", None, true),
        ];
        assert_eq!(
            lines(&[web("ClusterIP")], &[slice("web", &endpoints)]),
            ["Node Tcp 10.96.3.4:80 > Node 10.88.0.2:8080"]
        );
    }

    #[test]
    fn pods_of_other_nodes_of_this_machine_are_reached_too() {
        let endpoints = [
            ("10.88.0.2", "here", None, true),
            ("10.88.1.2", "beside", None, true),
            ("10.88.1.3", "simulated", None, true),
        ];
        assert_eq!(
            lines(&[web("ClusterIP")], &[slice("web", &endpoints)]),
            ["Node Tcp 10.96.3.4:80 > Node 10.88.0.2:8080, Node 10.88.1.2:8080"]
        );
    }

    #[test]
    fn nothing_is_listened_on_when_nothing_can_be_reached() {
        let endpoints = [("10.244.7.9", "simulated", None, true)];
        let (services, slices) = ([web("ClusterIP")], [slice("web", &endpoints)]);
        assert!(lines(&services, &slices).is_empty());
        let key = Key::new("shop", "web");
        assert!(is_out_of_reach(&table(&services, &slices), &ground(), &key));
        let unready = [slice("web", &[("10.244.7.9", "simulated", None, false)])];
        assert!(!is_out_of_reach(
            &table(&services, &unready),
            &ground(),
            &key
        ));
    }

    #[test]
    fn pods_that_end_serve_when_no_other_does() {
        let mut ending = slice("web", &[("10.88.0.2", "here", None, false)]);
        ending["endpoints"][0]["conditions"]["serving"] = json!(true);
        assert_eq!(
            lines(&[web("ClusterIP")], &[ending]),
            ["Node Tcp 10.96.3.4:80 > Node 10.88.0.2:8080"]
        );
    }

    #[test]
    fn node_ports_open_towards_pods_and_on_the_loopback() {
        let endpoints = [("192.168.1.5", "here", None, true)];
        assert_eq!(
            lines(&[web("NodePort")], &[slice("web", &endpoints)]),
            [
                "Node Tcp 10.88.0.1:30080 > Machine 192.168.1.5:8080",
                "Node Tcp 10.96.3.4:80 > Machine 192.168.1.5:8080",
                "Machine Tcp 127.0.0.1:30080 > Machine 192.168.1.5:8080",
            ]
        );
    }

    #[test]
    fn host_ports_open_on_the_loopback_unless_an_address_is_named() {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"containers": [{"name": "app", "ports": [
                {"containerPort": 80, "hostPort": 8080},
                {"containerPort": 53, "hostPort": 53, "hostIP": "192.168.1.5", "protocol": "UDP"},
                {"containerPort": 9090},
            ]}]},
        }));
        let opened: Vec<String> = host_ports(
            &pod.unwrap(),
            IpAddr::from([10, 88, 0, 2]),
            Ipv4Addr::LOCALHOST,
        )
        .iter()
        .map(|(listen, target)| {
            format!(
                "{:?} {} > {}",
                listen.protocol, listen.at, target.ways[0].to
            )
        })
        .collect();
        assert_eq!(
            opened,
            [
                "Tcp 127.0.0.1:8080 > 10.88.0.2:80",
                "Udp 192.168.1.5:53 > 10.88.0.2:53"
            ]
        );
    }

    #[test]
    fn simulated_pods_are_known_by_their_endpoints() {
        let endpoints = [
            ("10.88.0.2", "here", None, true),
            ("10.244.7.9", "simulated", None, false),
        ];
        let table = table(&[web("ClusterIP")], &[slice("web", &endpoints)]);
        let is_simulated = |text: &str| is_simulated(&table, &ground(), text.parse().unwrap());
        assert!(is_simulated("10.244.7.9"));
        assert!(!is_simulated("10.88.0.2") && !is_simulated("192.0.2.7"));
    }

    #[test]
    fn the_api_server_needs_no_endpoints() {
        let mut api = service(
            "kubernetes",
            &json!({"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443}]}),
        );
        api["metadata"]["namespace"] = json!("default");
        assert_eq!(
            lines(&[api], &[]),
            ["Node Tcp 10.96.0.1:443 > Machine 127.0.0.1:6443"]
        );
    }
}
