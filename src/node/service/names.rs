//! What the cluster's names lead to.
//!
//! Source: "Kubernetes DNS-Based Service Discovery" (the specification, version 1.1.0), and where it
//! leaves freedom `CoreDNS`' plugin `kubernetes`: endpoints without a hostname are called after their
//! address, headless services without endpoints do not exist, pods are called after their address
//! whether they exist or not. Beyond both, a text says of a name whose address nothing answers at that
//! it is a simulated machine's pod's.

use std::net::Ipv4Addr;

use super::plan::{Ground, place};
use super::table::{Endpoint, Key, Kind, Protocol, Service, Slice, Table};
use super::{DOMAIN, RANGE};
use crate::stdx::humanize::counted;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    Address,
    Service,
    Pointer,
    Text,
    /// Anything that the cluster has none of, such as IPv6 addresses.
    Other,
}

/// Data of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    Address(Ipv4Addr),
    Service { port: u16, target: String },
    Pointer(String),
    Alias(String),
    Text(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub name: String,
    pub data: Data,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With the addresses that the records' targets have.
    Records(Vec<Record>, Vec<Record>),
    /// The name exists, without such a record.
    Empty,
    /// There is no such name.
    Unknown,
    /// Somebody else's to answer.
    Elsewhere,
}

/// Answers a question about a name without its final dot. Case does not matter.
pub fn answer(table: &Table, ground: &Ground, name: &str, question: Question) -> Answer {
    let name = name.to_ascii_lowercase();
    if let Some(reversed) = name.strip_suffix(".in-addr.arpa") {
        return pointer(table, ground, &name, reversed, question);
    }
    if name == DOMAIN {
        return Answer::Empty;
    }
    let Some(rest) = name
        .strip_suffix(DOMAIN)
        .and_then(|rest| rest.strip_suffix('.'))
    else {
        return Answer::Elsewhere;
    };
    let labels: Vec<&str> = rest.rsplit('.').collect();
    let found = match labels.as_slice() {
        ["dns-version"] => Some(vec![Data::Text("1.1.0".to_owned())]),
        ["svc" | "pod"] => Some(Vec::new()),
        ["svc" | "pod", namespace] => table.has_namespace(namespace).then(Vec::new),
        ["pod", _, dashed] => from_dashes(dashed).map(|it| vec![Data::Address(it)]),
        ["svc", namespace, service, rest @ ..] => {
            let key = Key::new(namespace, service);
            let mut found = of_service(table, &key, rest, question);
            if let Some(data) = found.as_mut().filter(|_| question == Question::Text) {
                data.extend(mark(table, ground, &key, rest));
            }
            found
        }
        _ => None,
    };
    let Some(found) = found else {
        return Answer::Unknown;
    };
    let fits = |data: &Data| {
        matches!(
            (data, question),
            (Data::Address(_), Question::Address)
                | (Data::Service { .. }, Question::Service)
                | (Data::Text(_), Question::Text)
                | (Data::Alias(_), _)
        )
    };
    let answers: Vec<Record> = found
        .into_iter()
        .filter(fits)
        .map(|data| Record {
            name: name.clone(),
            data,
        })
        .collect();
    if answers.is_empty() {
        return Answer::Empty;
    }
    let targets = targets(table, ground, &answers);
    Answer::Records(answers, targets)
}

/// The service that a name is about, if it is about one.
pub fn service_of(name: &str) -> Option<Key> {
    let name = name.to_ascii_lowercase();
    let rest = name.strip_suffix(DOMAIN)?.strip_suffix(".svc.")?;
    let mut labels = rest.rsplit('.');
    let namespace = labels.next()?;
    Some(Key::new(namespace, labels.next()?))
}

/// All data below a service's name; none: there is no such name.
fn of_service(table: &Table, key: &Key, rest: &[&str], question: Question) -> Option<Vec<Data>> {
    let service = table.service(key)?;
    let own = format!("{}.{}.svc.{DOMAIN}", key.name, key.namespace);
    let ready = || {
        table.slices(key).flat_map(|slice| {
            let ready = slice.endpoints.iter().filter(|it| it.ready);
            ready.map(move |endpoint| (slice, endpoint))
        })
    };
    match (&service.kind, rest) {
        (Kind::External(name), []) => Some(vec![Data::Alias(
            name.trim_end_matches('.').to_ascii_lowercase(),
        )]),
        (Kind::Cluster(_), []) if question == Question::Service => Some(
            ports(service, None, None)
                .map(|port| at(port, &own))
                .collect(),
        ),
        (Kind::Cluster(address), []) => Some(vec![Data::Address(*address)]),
        (Kind::Headless, []) if question == Question::Service => {
            let all =
                ready().flat_map(|(slice, endpoint)| of_endpoint(slice, endpoint, None, &own));
            some(sorted(all.collect()))
        }
        (Kind::Headless, []) => some(sorted(
            ready()
                .map(|(_, endpoint)| Data::Address(endpoint.address))
                .collect(),
        )),
        (Kind::Cluster(_) | Kind::Headless, [protocol]) if protocol.starts_with('_') => {
            // The name stands above those of the ports.
            let protocol = protocol_of(protocol)?;
            let has = service.ports.iter().any(|it| it.protocol == protocol);
            has.then(Vec::new)
        }
        (Kind::Cluster(_), [protocol, port]) => {
            let (protocol, port) = (protocol_of(protocol)?, port.strip_prefix('_')?);
            some(
                ports(service, Some(port), Some(protocol))
                    .map(|port| at(port, &own))
                    .collect(),
            )
        }
        (Kind::Headless, [protocol, port]) => {
            let wanted = (port.strip_prefix('_')?, protocol_of(protocol)?);
            let all = ready()
                .flat_map(|(slice, endpoint)| of_endpoint(slice, endpoint, Some(wanted), &own));
            some(sorted(all.collect()))
        }
        (Kind::Cluster(_) | Kind::Headless, [hostname]) => some(sorted(
            ready()
                .filter(|(_, endpoint)| label(endpoint) == *hostname)
                .map(|(_, endpoint)| Data::Address(endpoint.address))
                .collect(),
        )),
        _ => None,
    }
}

/// What a service's name, or an endpoint's, leads to in vain; `rest` is what stands before the service.
fn mark(table: &Table, ground: &Ground, key: &Key, rest: &[&str]) -> Option<Data> {
    let hostname = match rest {
        [] => None,
        [hostname] => Some(*hostname),
        _ => return None,
    };
    let endpoints = table.slices(key).flat_map(|slice| &slice.endpoints);
    let asked = |it: &&Endpoint| it.ready && hostname.is_none_or(|name| label(it) == name);
    let asked: Vec<&Endpoint> = endpoints.filter(asked).collect();
    let far = asked.iter().filter(|it| place(it, ground).is_none());
    let far = far.count();
    (far > 0).then(|| {
        let all = counted(asked.len(), "endpoint is", "endpoints are");
        Data::Text(format!(
            "{far} of {all} unreachable: pods of simulated machines"
        ))
    })
}

/// Ports of a service, all or those of a name and protocol.
fn ports<'a>(
    service: &'a Service,
    name: Option<&'a str>,
    protocol: Option<Protocol>,
) -> impl Iterator<Item = u16> {
    let ports = service.ports.iter();
    ports
        .filter(move |it| name.is_none_or(|name| it.name == name))
        .filter(move |it| protocol.is_none_or(|protocol| it.protocol == protocol))
        .map(|it| it.number)
}

/// Where an endpoint's ports are found.
fn of_endpoint(
    slice: &Slice,
    endpoint: &Endpoint,
    wanted: Option<(&str, Protocol)>,
    service: &str,
) -> Vec<Data> {
    let target = format!("{}.{service}", label(endpoint));
    let ports = slice.ports.iter();
    ports
        .filter(|it| wanted.is_none_or(|wanted| (it.name.as_str(), it.protocol) == wanted))
        .map(|it| at(it.number, &target))
        .collect()
}

fn at(port: u16, target: &str) -> Data {
    Data::Service {
        port,
        target: target.to_owned(),
    }
}

/// A name without data does not exist, where that is `CoreDNS`' rule.
fn some(data: Vec<Data>) -> Option<Vec<Data>> {
    (!data.is_empty()).then_some(data)
}

/// In a steady order, each once.
fn sorted(mut data: Vec<Data>) -> Vec<Data> {
    data.sort_by_cached_key(|it| format!("{it:?}"));
    data.dedup();
    data
}

/// The addresses of what service records point at.
fn targets(table: &Table, ground: &Ground, answers: &[Record]) -> Vec<Record> {
    let mut all = Vec::new();
    for record in answers {
        if let Data::Service { target, .. } = &record.data
            && !all.iter().any(|known: &Record| known.name == *target)
            && let Answer::Records(addresses, _) = answer(table, ground, target, Question::Address)
        {
            all.extend(addresses);
        }
    }
    all
}

/// The first label of an endpoint's name.
fn label(endpoint: &Endpoint) -> String {
    match &endpoint.hostname {
        Some(hostname) => hostname.to_ascii_lowercase(),
        None => endpoint.address.to_string().replace('.', "-"),
    }
}

fn from_dashes(label: &str) -> Option<Ipv4Addr> {
    label.replace('-', ".").parse().ok()
}

fn protocol_of(label: &str) -> Option<Protocol> {
    match label {
        "_tcp" => Some(Protocol::Tcp),
        "_udp" => Some(Protocol::Udp),
        "_sctp" => Some(Protocol::Other),
        _ => None,
    }
}

/// The names of an address: services', or those that endpoints have in headless services.
fn pointer(
    table: &Table,
    ground: &Ground,
    name: &str,
    reversed: &str,
    question: Question,
) -> Answer {
    let mut labels: Vec<&str> = reversed.split('.').collect();
    labels.reverse();
    let Ok(address) = labels.join(".").parse::<Ipv4Addr>() else {
        return Answer::Elsewhere;
    };
    let services = table
        .services()
        .filter(|(_, service)| service.kind == Kind::Cluster(address))
        .map(|(key, _)| format!("{}.{}.svc.{DOMAIN}", key.name, key.namespace));
    let endpoints = table.all_slices().flat_map(|(key, slice)| {
        let is_headless = table
            .service(key)
            .is_some_and(|service| service.kind == Kind::Headless);
        let mine = slice
            .endpoints
            .iter()
            .filter(move |it| is_headless && it.ready && it.address == address);
        mine.map(move |it| format!("{}.{}.{}.svc.{DOMAIN}", label(it), key.name, key.namespace))
    });
    let answers: Vec<Record> = services
        .chain(endpoints)
        .map(|target| Record {
            name: name.to_owned(),
            data: Data::Pointer(target),
        })
        .collect();
    let (base, prefix) = RANGE;
    let is_ours = ground.pods.holds(address)
        || u32::from(address) >> (32 - prefix) == u32::from(base) >> (32 - prefix);
    match (answers.is_empty(), question) {
        (false, Question::Pointer) => Answer::Records(answers, Vec::new()),
        (false, _) => Answer::Empty,
        (true, _) if is_ours => Answer::Unknown,
        (true, _) => Answer::Elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::plan::tests::ground;
    use super::super::table::tests::{service, slice, table};
    use super::*;

    fn shop() -> Table {
        let ports = json!([{"name": "http", "port": 80, "protocol": "TCP"},
                           {"name": "stats", "port": 8125, "protocol": "UDP"}]);
        table(
            &[
                service("web", &json!({"clusterIP": "10.96.3.4", "ports": ports})),
                service(
                    "db",
                    &json!({"clusterIP": "None", "ports": [{"name": "http", "port": 80}]}),
                ),
                service("idle", &json!({"clusterIP": "None", "ports": []})),
                service(
                    "out",
                    &json!({"type": "ExternalName", "externalName": "Example.org"}),
                ),
            ],
            &[slice(
                "db",
                &[
                    ("10.88.0.2", "here", Some("db-0"), true),
                    ("10.244.7.9", "simulated", None, true),
                    ("10.88.0.4", "here", Some("db-2"), false),
                ],
            )],
        )
    }

    fn text(data: &Data) -> String {
        match data {
            Data::Address(address) => address.to_string(),
            Data::Service { port, target } => format!("{port} {target}"),
            Data::Pointer(name) | Data::Alias(name) => name.clone(),
            Data::Text(text) => text.clone(),
        }
    }

    #[track_caller]
    fn check(name: &str, question: Question, expected: &str) {
        let found = match answer(&shop(), &ground(), name, question) {
            Answer::Records(records, _) => {
                let texts: Vec<String> = records.iter().map(|it| text(&it.data)).collect();
                texts.join(", ")
            }
            other => format!("{other:?}"),
        };
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn services_have_addresses_and_ports() {
        use Question::{Address, Other, Service};
        check("web.shop.svc.cluster.local", Address, "10.96.3.4");
        check("WEB.Shop.svc.cluster.local", Address, "10.96.3.4");
        check("web.shop.svc.cluster.local", Other, "Empty");
        check(
            "_http._tcp.web.shop.svc.cluster.local",
            Service,
            "80 web.shop.svc.cluster.local",
        );
        check(
            "_stats._udp.web.shop.svc.cluster.local",
            Service,
            "8125 web.shop.svc.cluster.local",
        );
        check("_stats._tcp.web.shop.svc.cluster.local", Service, "Unknown");
        check("_http._tcp.web.shop.svc.cluster.local", Address, "Empty");
        check("_tcp.web.shop.svc.cluster.local", Service, "Empty");
        check("out.shop.svc.cluster.local", Address, "example.org");
        check("out.shop.svc.cluster.local", Other, "example.org");
    }

    #[test]
    fn headless_services_have_their_ready_endpoints() {
        use Question::{Address, Service};
        check(
            "db.shop.svc.cluster.local",
            Address,
            "10.244.7.9, 10.88.0.2",
        );
        check("db-0.db.shop.svc.cluster.local", Address, "10.88.0.2");
        check(
            "10-244-7-9.db.shop.svc.cluster.local",
            Address,
            "10.244.7.9",
        );
        check("db-2.db.shop.svc.cluster.local", Address, "Unknown");
        check(
            "_http._tcp.db.shop.svc.cluster.local",
            Service,
            "8080 10-244-7-9.db.shop.svc.cluster.local, 8080 db-0.db.shop.svc.cluster.local",
        );
        check("idle.shop.svc.cluster.local", Address, "Unknown");
    }

    #[test]
    fn pods_of_simulated_machines_are_marked() {
        use Question::Text;
        check(
            "db.shop.svc.cluster.local",
            Text,
            "1 of 2 endpoints are unreachable: pods of simulated machines",
        );
        check(
            "10-244-7-9.db.shop.svc.cluster.local",
            Text,
            "1 of 1 endpoint is unreachable: pods of simulated machines",
        );
        check("db-0.db.shop.svc.cluster.local", Text, "Empty");
        check("db-2.db.shop.svc.cluster.local", Text, "Unknown");
        check("web.shop.svc.cluster.local", Text, "Empty");
    }

    #[test]
    fn service_records_bring_their_targets_addresses() {
        let name = "_http._tcp.db.shop.svc.cluster.local";
        let Answer::Records(_, extra) = answer(&shop(), &ground(), name, Question::Service) else {
            panic!("no records");
        };
        let names: Vec<&str> = extra.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "10-244-7-9.db.shop.svc.cluster.local",
                "db-0.db.shop.svc.cluster.local"
            ]
        );
    }

    #[test]
    fn addresses_have_names() {
        use Question::{Address, Pointer};
        check(
            "4.3.96.10.in-addr.arpa",
            Pointer,
            "web.shop.svc.cluster.local",
        );
        check("4.3.96.10.in-addr.arpa", Address, "Empty");
        check(
            "2.0.88.10.in-addr.arpa",
            Pointer,
            "db-0.db.shop.svc.cluster.local",
        );
        check("9.0.88.10.in-addr.arpa", Pointer, "Unknown");
        check("9.9.96.10.in-addr.arpa", Pointer, "Unknown");
        check("8.8.8.8.in-addr.arpa", Pointer, "Elsewhere");
        check("96.10.in-addr.arpa", Pointer, "Elsewhere");
    }

    #[test]
    fn other_names_are_unknown_or_others() {
        use Question::{Address, Text};
        check("10-88-0-2.shop.pod.cluster.local", Address, "10.88.0.2");
        check("nonsense.shop.pod.cluster.local", Address, "Unknown");
        check("shop.svc.cluster.local", Address, "Empty");
        check("other.svc.cluster.local", Address, "Unknown");
        check("gone.shop.svc.cluster.local", Address, "Unknown");
        check("a.b.web.shop.svc.cluster.local", Address, "Unknown");
        check("cluster.local", Address, "Empty");
        check("dns-version.cluster.local", Text, "1.1.0");
        check("example.org", Address, "Elsewhere");
        check("notcluster.local", Address, "Elsewhere");
    }

    #[test]
    fn the_service_of_a_name_is_found() {
        assert_eq!(
            service_of("db-0.DB.shop.svc.cluster.local"),
            Some(Key::new("shop", "db"))
        );
        assert_eq!(service_of("shop.svc.cluster.local"), None);
        assert_eq!(service_of("example.org"), None);
    }
}
