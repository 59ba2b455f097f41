//! Variables that tell a container where its namespace's services are.
//!
//! Source: the kubelet's `getServiceEnvVarMap` and `envvars.FromServices`: the API server's service
//! always, the namespace's own unless `enableServiceLinks` is false.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::table::{Key, Kind, Protocol, Service, Table};

/// Which services a pod is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Api,
    Namespace,
}

/// All variables of a pod in this namespace.
pub fn variables(table: &Table, namespace: &str, told: Told) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let api = Key::new("default", "kubernetes");
    if let Some(service) = table.service(&api) {
        add(&mut all, &api, service);
    }
    if told == Told::Namespace {
        let own = table
            .services()
            .filter(|(key, _)| key.namespace == namespace);
        for (key, service) in own {
            add(&mut all, key, service);
        }
    }
    all
}

fn add(all: &mut BTreeMap<String, String>, key: &Key, service: &Service) {
    let Kind::Cluster(address) = service.kind else {
        return;
    };
    let name = upper(&key.name);
    let mut put = |variable: String, value: String| all.insert(variable, value);
    put(format!("{name}_SERVICE_HOST"), address.to_string());
    for (index, port) in service.ports.iter().enumerate() {
        let number = port.number;
        let url = url(port.protocol, address, number);
        if index == 0 {
            put(format!("{name}_SERVICE_PORT"), number.to_string());
            put(format!("{name}_PORT"), url.clone());
        }
        if !port.name.is_empty() {
            let variable = format!("{name}_SERVICE_PORT_{}", upper(&port.name));
            put(variable, number.to_string());
        }
        let protocol = protocol(port.protocol);
        let prefix = format!("{name}_PORT_{number}_{}", upper(protocol));
        put(prefix.clone(), url);
        put(format!("{prefix}_PROTO"), protocol.to_owned());
        put(format!("{prefix}_PORT"), number.to_string());
        put(format!("{prefix}_ADDR"), address.to_string());
    }
}

fn url(port: Protocol, address: Ipv4Addr, number: u16) -> String {
    format!("{}://{address}:{number}", protocol(port))
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Other => "sctp",
    }
}

fn upper(name: &str) -> String {
    name.replace('-', "_").to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::table::tests::{service, table};
    use super::*;

    /// The example of "Accessing the Service", Kubernetes documentation, with a named port.
    #[test]
    fn variables_are_named_as_documented() {
        let ports = json!([{"name": "client-port", "port": 6379, "protocol": "TCP"}]);
        let redis = service(
            "redis-primary",
            &json!({"clusterIP": "10.0.0.11", "ports": ports}),
        );
        let table = table(&[redis], &[]);
        let all = variables(&table, "shop", Told::Namespace);
        let lines: Vec<String> = all
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            lines,
            [
                "REDIS_PRIMARY_PORT=tcp://10.0.0.11:6379",
                "REDIS_PRIMARY_PORT_6379_TCP=tcp://10.0.0.11:6379",
                "REDIS_PRIMARY_PORT_6379_TCP_ADDR=10.0.0.11",
                "REDIS_PRIMARY_PORT_6379_TCP_PORT=6379",
                "REDIS_PRIMARY_PORT_6379_TCP_PROTO=tcp",
                "REDIS_PRIMARY_SERVICE_HOST=10.0.0.11",
                "REDIS_PRIMARY_SERVICE_PORT=6379",
                "REDIS_PRIMARY_SERVICE_PORT_CLIENT_PORT=6379",
            ]
        );
        assert!(variables(&table, "shop", Told::Api).is_empty());
        assert!(variables(&table, "other", Told::Namespace).is_empty());
    }
}
