//! Cells of services, their endpoints, and ingresses.

use serde_json::Value;

use super::super::Row;
use super::{items, joined, label_text, length, none_if_empty, number_at, text, text_at};

pub fn service_external_ip(row: &Row<'_>) -> Value {
    let external = joined(row.json.pointer("/spec/externalIPs"));
    let balancers: Vec<String> = items(row.json.pointer("/status/loadBalancer/ingress"))
        .map(|ingress| {
            let ip = text_at(ingress, "/ip");
            if ip.is_empty() {
                text_at(ingress, "/hostname")
            } else {
                ip
            }
        })
        .collect();
    Value::from(match text_at(row.json, "/spec/type").as_str() {
        "ExternalName" => text_at(row.json, "/spec/externalName"),
        "LoadBalancer" if !balancers.is_empty() || !external.is_empty() => {
            let both = [balancers.join(","), external];
            both.iter()
                .filter(|part| !part.is_empty())
                .cloned()
                .collect::<Vec<_>>()
                .join(",")
        }
        "LoadBalancer" => "<pending>".to_owned(),
        _ => none_if_empty(external),
    })
}

pub fn service_ports(row: &Row<'_>) -> Value {
    let ports: Vec<String> = items(row.json.pointer("/spec/ports"))
        .map(|port| {
            let number = text_at(port, "/port");
            let protocol = text_at(port, "/protocol");
            match number_at(port, "/nodePort") {
                0 => format!("{number}/{protocol}"),
                node_port => format!("{number}:{node_port}/{protocol}"),
            }
        })
        .collect();
    Value::from(none_if_empty(ports.join(",")))
}

pub fn service_selector(row: &Row<'_>) -> Value {
    Value::from(label_text(row.json.pointer("/spec/selector")))
}

/// The first three `address:port` pairs, and how many more there are.
pub fn endpoints(row: &Row<'_>) -> Value {
    let mut pairs = Vec::new();
    for subset in items(row.json.pointer("/subsets")) {
        let addresses = || items(subset.get("addresses")).map(|entry| text_at(entry, "/ip"));
        if length(subset.get("ports")) == 0 {
            pairs.extend(addresses());
        }
        for port in items(subset.get("ports")) {
            let number = text_at(port, "/port");
            pairs.extend(addresses().map(|address| format!("{address}:{number}")));
        }
    }
    Value::from(first_few(&pairs, ","))
}

fn first_few(parts: &[String], separator: &str) -> String {
    const SHOWN: usize = 3;
    let shown = parts
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(separator);
    match parts.len() {
        0 => "<none>".to_owned(),
        total if total > SHOWN => format!("{shown} + {} more...", total - SHOWN),
        _ => shown,
    }
}

pub fn slice_ports(row: &Row<'_>) -> Value {
    let ports: Vec<String> = items(row.json.pointer("/ports"))
        .map(|port| text_at(port, "/port"))
        .collect();
    Value::from(if ports.is_empty() {
        "<unset>".to_owned()
    } else {
        few(&ports)
    })
}

pub fn slice_endpoints(row: &Row<'_>) -> Value {
    let addresses: Vec<String> = items(row.json.pointer("/endpoints"))
        .flat_map(|endpoint| {
            items(endpoint.get("addresses"))
                .map(text)
                .collect::<Vec<_>>()
        })
        .collect();
    Value::from(if addresses.is_empty() {
        "<unset>".to_owned()
    } else {
        few(&addresses)
    })
}

fn few(parts: &[String]) -> String {
    first_few(parts, ",")
}

pub fn ingress_hosts(row: &Row<'_>) -> Value {
    let mut hosts: Vec<String> = items(row.json.pointer("/spec/rules"))
        .map(|rule| text_at(rule, "/host"))
        .filter(|host| !host.is_empty())
        .collect();
    hosts.dedup();
    Value::from(if hosts.is_empty() {
        "*".to_owned()
    } else {
        first_few(&hosts, ",")
    })
}

pub fn ingress_address(row: &Row<'_>) -> Value {
    let addresses: Vec<String> = items(row.json.pointer("/status/loadBalancer/ingress"))
        .map(|ingress| {
            let ip = text_at(ingress, "/ip");
            if ip.is_empty() {
                text_at(ingress, "/hostname")
            } else {
                ip
            }
        })
        .collect();
    Value::from(addresses.join(","))
}

pub fn ingress_ports(row: &Row<'_>) -> Value {
    let secure = length(row.json.pointer("/spec/tls")) > 0;
    Value::from(if secure { "80, 443" } else { "80" })
}

pub fn address_parent(row: &Row<'_>) -> Value {
    let part = |field: &str| text_at(row.json, &format!("/spec/parentRef/{field}"));
    let parts = [
        part("resource"),
        part("group"),
        part("namespace"),
        part("name"),
    ];
    let [resource, group, namespace, name] = parts;
    let resource = if group.is_empty() {
        resource
    } else {
        format!("{resource}.{group}")
    };
    let parts = [resource, namespace, name];
    let filled: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Value::from(filled.join("/"))
}
