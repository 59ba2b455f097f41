//! Services: cluster addresses from 10.96.0.0/16 and node ports from 30000-32767.
//!
//! Source: `pkg/registry/core/service/{storage,ipallocator,portallocator}`. What is free is seen
//! from the services themselves, so nothing can leak.

use core::net::Ipv4Addr;
use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::status::{Cause, Status};
use super::super::tree;
use super::super::write::Writing;
use crate::k8s::resources;

const RANGE: [u8; 2] = [10, 96];
/// Small addresses are left to those who ask for one by name, as upstream's allocator does.
const DYNAMIC_FROM: u64 = 256;
const NODE_PORTS: std::ops::RangeInclusive<u64> = 30_000..=32_767;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Wire {
    spec: SpecWire,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SpecWire {
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    ports: Vec<PortWire>,
    health_check_node_port: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PortWire {
    node_port: Option<u64>,
}

/// Gives a service its addresses and ports, or keeps what it had.
pub(super) fn allocate(
    writing: &mut Writing,
    object: &mut Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    let kind = tree::text(object, "/spec/type").to_owned();
    if kind == "ExternalName" {
        if let Some(spec) = tree::object(object, "spec") {
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                spec.remove(field);
            }
        }
        return Ok(());
    }
    let taken = Taken::of(writing, object);
    cluster_ip(writing, object, old, &taken)?;
    node_ports(writing, object, old, &kind, &taken)
}

struct Taken {
    addresses: BTreeSet<String>,
    ports: BTreeSet<u64>,
}

impl Taken {
    fn of(writing: &Writing, object: &Value) -> Self {
        let own = (
            tree::text(object, "/metadata/namespace"),
            tree::text(object, "/metadata/name"),
        );
        let mut taken = Self {
            addresses: BTreeSet::new(),
            ports: BTreeSet::new(),
        };
        for service in writing.store.cluster().list(&resources::SERVICES) {
            if (service.namespace(), service.name()) == own {
                continue;
            }
            let Ok(Wire { spec }) = service.typed::<Wire>() else {
                continue;
            };
            taken.addresses.insert(spec.cluster_ip);
            taken
                .ports
                .extend(spec.ports.iter().filter_map(|port| port.node_port));
            taken.ports.extend(spec.health_check_node_port);
        }
        taken
    }
}

fn cluster_ip(
    writing: &mut Writing,
    object: &mut Value,
    old: Option<&Value>,
    taken: &Taken,
) -> Result<(), Status> {
    let mut address = tree::text(object, "/spec/clusterIP").to_owned();
    let kept = old.map(|old| tree::text(old, "/spec/clusterIP").to_owned());
    if address.is_empty()
        && let Some(kept) = kept.clone()
    {
        address = kept;
    }
    if address.is_empty() {
        address = free_address(writing, taken)?;
    } else if address != "None" && kept.as_deref() != Some(address.as_str()) {
        let problem = match address.parse::<Ipv4Addr>() {
            Ok(parsed) if !parsed.octets().starts_with(&RANGE) => Some(
                "failed to allocate IP {}: the provided IP is not in the valid range. The range \
                 of valid IPs is 10.96.0.0/16"
                    .replace("{}", &address),
            ),
            Ok(_) if taken.addresses.contains(&address) => Some(format!(
                "failed to allocate IP {address}: provided IP is already allocated"
            )),
            // Another family, or no address at all, is left as it is.
            Ok(_) | Err(_) => None,
        };
        if let Some(problem) = problem {
            let field = json!([address]);
            return Err(invalid(
                object,
                Cause::invalid("spec.clusterIPs", &field, &problem),
            ));
        }
    }
    let family = if address.contains(':') {
        "IPv6"
    } else {
        "IPv4"
    };
    if let Some(spec) = tree::object(object, "spec") {
        spec.insert("clusterIP".into(), json!(address));
        spec.insert("clusterIPs".into(), json!([address]));
        spec.insert("ipFamilies".into(), json!([family]));
        spec.insert("ipFamilyPolicy".into(), json!("SingleStack"));
    }
    Ok(())
}

fn free_address(writing: &mut Writing, taken: &Taken) -> Result<String, Status> {
    let size = 1_u64 << 16;
    let span = size - DYNAMIC_FROM - 1;
    let start = writing.ids.below(span);
    (0..span)
        .map(|step| DYNAMIC_FROM + (start + step) % span)
        .map(|index| {
            let [.., third, fourth] = u32::try_from(index).unwrap_or_default().to_be_bytes();
            let [first, second] = RANGE;
            Ipv4Addr::new(first, second, third, fourth).to_string()
        })
        .find(|address| !taken.addresses.contains(address))
        .ok_or_else(|| Status::internal("failed to allocate a serviceIP: range is full"))
}

fn node_ports(
    writing: &mut Writing,
    object: &mut Value,
    old: Option<&Value>,
    kind: &str,
    taken: &Taken,
) -> Result<(), Status> {
    let wanted = kind == "NodePort"
        || (kind == "LoadBalancer"
            && object.pointer("/spec/allocateLoadBalancerNodePorts") != Some(&json!(false)));
    let name = object.clone();
    let mut used = taken.ports.clone();
    let ports = object
        .pointer_mut("/spec/ports")
        .and_then(Value::as_array_mut);
    for (index, port) in ports.into_iter().flatten().enumerate() {
        let stated = port.get("nodePort").and_then(Value::as_u64).unwrap_or(0);
        let before = old.and_then(|old| same_port(old, port));
        let Some(map) = port.as_object_mut() else {
            continue;
        };
        if !wanted && kind != "LoadBalancer" {
            map.remove("nodePort");
            continue;
        }
        if stated != 0 {
            if before != Some(stated) && used.contains(&stated) {
                return Err(invalid(
                    &name,
                    Cause::invalid(
                        format!("spec.ports[{index}].nodePort"),
                        &json!(stated),
                        "provided port is already allocated",
                    ),
                ));
            }
            if !NODE_PORTS.contains(&stated) {
                return Err(invalid(
                    &name,
                    Cause::invalid(
                        format!("spec.ports[{index}].nodePort"),
                        &json!(stated),
                        "provided port is not in the valid range. The range of valid ports is \
                         30000-32767",
                    ),
                ));
            }
            used.insert(stated);
            continue;
        }
        if wanted {
            let port = match before {
                Some(before) => before,
                None => free_port(writing, &used)?,
            };
            used.insert(port);
            map.insert("nodePort".into(), json!(port));
        }
    }
    Ok(())
}

/// The node port that the same port had before.
fn same_port(old: &Value, port: &Value) -> Option<u64> {
    tree::entries(old, "/spec/ports")
        .iter()
        .find(|candidate| {
            candidate.get("port") == port.get("port")
                && candidate.get("protocol") == port.get("protocol")
        })?
        .get("nodePort")?
        .as_u64()
}

fn free_port(writing: &mut Writing, used: &BTreeSet<u64>) -> Result<u64, Status> {
    let span = NODE_PORTS.end() - NODE_PORTS.start() + 1;
    let start = writing.ids.below(span);
    (0..span)
        .map(|step| NODE_PORTS.start() + (start + step) % span)
        .find(|port| !used.contains(port))
        .ok_or_else(|| Status::internal("failed to allocate a nodePort: range is full"))
}

fn invalid(object: &Value, cause: Cause) -> Status {
    Status::invalid(
        "",
        "Service",
        tree::text(object, "/metadata/name"),
        vec![cause],
    )
}
