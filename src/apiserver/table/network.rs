//! Services, endpoints, ingresses, network policies.

use serde_json::Value;

use super::cell::{NONE, Row, UNSET, joined, or_none};

pub(super) fn service(row: &Row) -> Vec<Value> {
    vec![
        row.name(),
        row.text("/spec/type").into(),
        row.text_or("/spec/clusterIP", NONE),
        external_ip(row),
        ports(row),
        row.age(),
        row.labels("/spec/selector"),
    ]
}

fn external_ip(row: &Row) -> Value {
    let own: Vec<&str> = row
        .entries("/spec/externalIPs")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    match row.text("/spec/type") {
        "ExternalName" => row.text_or("/spec/externalName", NONE),
        "LoadBalancer" => {
            let mut addresses: Vec<&str> = row
                .entries("/status/loadBalancer/ingress")
                .iter()
                .filter_map(|entry| {
                    entry
                        .get("ip")
                        .or_else(|| entry.get("hostname"))
                        .and_then(Value::as_str)
                })
                .collect();
            addresses.extend(own);
            if addresses.is_empty() {
                "<pending>".into()
            } else {
                addresses.join(",").into()
            }
        }
        _ => or_none(own.join(",")),
    }
}

fn ports(row: &Row) -> Value {
    let texts: Vec<String> = row
        .entries("/spec/ports")
        .iter()
        .map(|port| {
            let number = |field: &str| port.get(field).and_then(Value::as_i64).unwrap_or_default();
            let protocol = port
                .get("protocol")
                .and_then(Value::as_str)
                .unwrap_or("TCP");
            match number("nodePort") {
                0 => format!("{}/{protocol}", number("port")),
                node => format!("{}:{node}/{protocol}", number("port")),
            }
        })
        .collect();
    or_none(texts.join(","))
}

pub(super) fn endpoints(row: &Row) -> Vec<Value> {
    const SHOWN: usize = 3;
    let mut all = Vec::new();
    for subset in row.entries("/subsets") {
        let list = |field: &str| {
            subset
                .get(field)
                .and_then(Value::as_array)
                .map_or(&[][..], Vec::as_slice)
        };
        for address in list("addresses") {
            let ip = address
                .get("ip")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if list("ports").is_empty() {
                all.push(ip.to_owned());
            }
            for port in list("ports") {
                let port = port.get("port").and_then(Value::as_i64).unwrap_or_default();
                all.push(format!("{ip}:{port}"));
            }
        }
    }
    let more = all.len().saturating_sub(SHOWN);
    let mut text = all
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(",");
    if more > 0 {
        text = format!("{text} + {more} more...");
    }
    vec![row.name(), or_none(text), row.age()]
}

pub(super) fn endpoint_slice(row: &Row) -> Vec<Value> {
    vec![
        row.name(),
        row.text("/addressType").into(),
        slice_ports(row),
        slice_endpoints(row),
        row.age(),
    ]
}

fn slice_ports(row: &Row) -> Value {
    let texts: Vec<String> = row
        .entries("/ports")
        .iter()
        .map(|port| match port.get("port").and_then(Value::as_i64) {
            Some(number) => number.to_string(),
            None => "*".to_owned(),
        })
        .collect();
    if texts.is_empty() {
        return UNSET.into();
    }
    capped(&texts)
}

fn slice_endpoints(row: &Row) -> Value {
    let texts: Vec<String> = row
        .entries("/endpoints")
        .iter()
        .filter_map(|endpoint| endpoint.get("addresses").and_then(Value::as_array))
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    if texts.is_empty() {
        return UNSET.into();
    }
    capped(&texts)
}

/// The first three, and how many more there are.
fn capped(texts: &[String]) -> Value {
    const SHOWN: usize = 3;
    let shown = texts.iter().take(SHOWN).cloned().collect::<Vec<_>>();
    let text = shown.join(",");
    match texts.len().saturating_sub(SHOWN) {
        0 => text.into(),
        more => format!("{text} + {more} more...").into(),
    }
}

pub(super) fn ingress(row: &Row) -> Vec<Value> {
    let hosts = joined(row.entries("/spec/rules"), "host");
    let addresses: Vec<&str> = row
        .entries("/status/loadBalancer/ingress")
        .iter()
        .filter_map(|entry| {
            entry
                .get("ip")
                .or_else(|| entry.get("hostname"))
                .and_then(Value::as_str)
        })
        .collect();
    let ports = if row.count("/spec/tls") > 0 {
        "80, 443"
    } else {
        "80"
    };
    vec![
        row.name(),
        row.text_or("/spec/ingressClassName", NONE),
        if hosts.is_empty() {
            "*".into()
        } else {
            hosts.into()
        },
        addresses.join(",").into(),
        ports.into(),
        row.age(),
    ]
}

pub(super) fn ingress_class(row: &Row) -> Vec<Value> {
    let parameters = match row.text("/spec/parameters/kind") {
        "" => NONE.to_owned(),
        kind => {
            let group = match row.text("/spec/parameters/apiGroup") {
                "" => String::new(),
                group => format!(".{group}"),
            };
            format!("{kind}{group}/{}", row.text("/spec/parameters/name"))
        }
    };
    vec![
        row.name(),
        row.text("/spec/controller").into(),
        parameters.into(),
        row.age(),
    ]
}

pub(super) fn network_policy(row: &Row) -> Vec<Value> {
    vec![row.name(), row.selector("/spec/podSelector"), row.age()]
}
