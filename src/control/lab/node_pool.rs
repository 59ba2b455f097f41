//! `NodePool`: so many machines of one shape in one place, as Node objects.
//!
//! A pool owns its nodes; deleting it deletes them. Scaling down takes the highest numbers first
//! and asks nobody: cordoning and draining before is the user's business. Conditions, versions and
//! images of a node are posted by its agent; the pool says what the machine is.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::{BURST, Controller, Outcome, field, trigger, write};
use crate::k8s::columns::NodeReady;
use crate::k8s::lab::{self, MachineType, NodePoolSpec, NodePoolStatus};
use crate::k8s::quantity::Quantity;
use crate::k8s::resource_list::Quantities;
use crate::k8s::taint::NOT_READY;
use crate::k8s::{Change, ChangeKind, Cluster, Name, Object, ObjectKey, resources};

pub(in super::super) const CONTROLLER: Controller = Controller {
    name: "node-pool-controller",
    triggers,
    reconcile,
};

/// Pod ranges are the /24s of 10.244.0.0 to 10.255.255.0, then those of 10.128.0.0 to 10.243.255.0:
/// the usual pod network first, and room for 32,768 machines.
const FIRST_RANGE: u32 = 0x0af4_0000;
const LOW_RANGE: u32 = 0x0a80_0000;
const END_RANGE: u32 = 0x0b00_0000;

fn triggers(cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    trigger::itself(change, &resources::NODE_POOLS, keys);
    if change.object.key.resource != resources::NODES {
        return;
    }
    // A heartbeat of a machine is no news to its pool; there is one every few minutes of each.
    if change.previous.as_ref().is_some_and(|old| {
        change.kind == ChangeKind::Modified
            && (old.node(), &old.labels, &old.owners, old.deleted)
                == (
                    change.object.node(),
                    &change.object.labels,
                    &change.object.owners,
                    change.object.deleted,
                )
    }) {
        return;
    }
    let owners = change.object.owners.iter();
    for owner in owners.filter(|owner| owner.kind == lab::NODE_POOL) {
        let key = ObjectKey::cluster_scoped(resources::NODE_POOLS, &owner.name);
        if cluster.get(&key).is_some() {
            keys.push(key);
        }
    }
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, _now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(pool) = cluster.get(key) else {
        return outcome;
    };
    let spec: NodePoolSpec = lab::spec(pool);
    let nodes: Vec<&Arc<Object>> = cluster
        .owned_by(&pool.uid)
        .filter(|object| object.key.resource == resources::NODES)
        .collect();
    if !pool.is_terminating() {
        let prefix = if spec.name_prefix.is_empty() {
            pool.name()
        } else {
            &spec.name_prefix
        };
        let wanted: Vec<String> = (1..=spec.count)
            .map(|number| format!("{prefix}-h{number:02}"))
            .collect();
        remove_surplus(&nodes, &wanted, &mut outcome);
        add_missing(cluster, (pool, &spec), &wanted, &mut outcome);
        for node in &nodes {
            keep_shape(node, &spec, &mut outcome);
        }
    }
    let ready = nodes.iter().filter(|node| {
        node.node()
            .is_some_and(|columns| columns.ready == NodeReady::True)
    });
    let status = NodePoolStatus {
        nodes: count(nodes.len()),
        ready: count(ready.count()),
    };
    let json = pool.json();
    let wanted = json!({"nodes": status.nodes, "ready": status.ready});
    outcome
        .ops
        .extend(write::status(pool, field::tree(&json, "/status"), &wanted));
    outcome
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn remove_surplus(nodes: &[&Arc<Object>], wanted: &[String], outcome: &mut Outcome) {
    let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    let mut surplus: Vec<&Arc<Object>> = nodes
        .iter()
        .copied()
        .filter(|node| !wanted.contains(node.name()) && !node.is_terminating())
        .collect();
    surplus.sort_by_key(|node| std::cmp::Reverse((node.name().len(), node.key.name.clone())));
    let deletions = surplus.into_iter().take(BURST);
    outcome
        .ops
        .extend(deletions.map(|node| write::delete(node)));
}

fn add_missing(
    cluster: &Cluster,
    (pool, spec): (&Object, &NodePoolSpec),
    wanted: &[String],
    outcome: &mut Outcome,
) {
    let missing: Vec<&String> = wanted
        .iter()
        .filter(|name| cluster.find(&resources::NODES, "", name).is_none())
        .take(BURST)
        .collect();
    if missing.is_empty() {
        return;
    }
    let used: BTreeSet<&str> = cluster
        .nodes()
        .filter_map(|node| node.node())
        .map(|node| node.pod_cidr.as_str())
        .collect();
    let free = ranges().filter(|range| !used.contains(range_text(*range).as_str()));
    for (name, range) in missing.into_iter().zip(free) {
        let node = node(name, range, pool, spec);
        outcome.ops.push(write::create(resources::NODES, "", node));
    }
}

fn ranges() -> impl Iterator<Item = u32> {
    (FIRST_RANGE..END_RANGE)
        .chain(LOW_RANGE..FIRST_RANGE)
        .step_by(256)
}

fn range_text(range: u32) -> String {
    format!("{}/24", core::net::Ipv4Addr::from(range))
}

/// The machine's own address, in 10.0.0.0/9 and as unique as its pod range.
fn machine_address(range: u32) -> String {
    let index = (range.wrapping_sub(FIRST_RANGE) & 0x007f_ffff) >> 8;
    // No address ends in 0, 1 or 255: networks, gateways and broadcasts usually do.
    let (high, low) = (index / 250 + 1, index % 250 + 2);
    core::net::Ipv4Addr::from(0x0a00_0000 | (high << 8) | low).to_string()
}

fn node(name: &str, range: u32, pool: &Object, spec: &NodePoolSpec) -> Value {
    let pod_range = range_text(range);
    let mut taints: Vec<Value> = spec.taints.iter().map(|taint| json!(taint)).collect();
    // Until its agent has reported for the first time.
    taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
    let mut status = shape(&spec.machine_type);
    field::put(
        &mut status,
        "addresses",
        json!([
            {"type": "InternalIP", "address": machine_address(range)},
            {"type": "Hostname", "address": name},
        ]),
    );
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": labels(name, spec),
            "ownerReferences": [{
                "apiVersion": lab::API_VERSION,
                "kind": lab::NODE_POOL,
                "name": pool.name(),
                "uid": pool.uid.0,
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
        "spec": {"podCIDR": pod_range, "podCIDRs": [pod_range], "taints": taints},
        "status": status,
    })
}

fn labels(name: &str, spec: &NodePoolSpec) -> Map<String, Value> {
    let machine = &spec.machine_type;
    let given = spec
        .labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    let own = [
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/arch", architecture(machine)),
        ("kubernetes.io/os", "linux"),
        ("node.kubernetes.io/instance-type", machine.name.as_str()),
        ("topology.kubernetes.io/region", spec.region.as_str()),
        ("topology.kubernetes.io/zone", spec.zone.as_str()),
        (lab::RACK_LABEL, spec.rack.as_str()),
        (lab::POWER_LABEL, spec.power.as_str()),
        (lab::RUNTIME_LABEL, lab::RUNTIME_SIMULATED),
    ];
    given
        .chain(own.into_iter().filter(|(_, value)| !value.is_empty()))
        .map(|(key, value)| (key.to_owned(), json!(value)))
        .collect()
}

fn architecture(machine: &MachineType) -> &str {
    if machine.architecture.is_empty() {
        "amd64"
    } else {
        &machine.architecture
    }
}

/// Capacity, and what of it pods may have.
fn shape(machine: &MachineType) -> Value {
    let mut capacity = machine.capacity.clone();
    // A kubelet always says how many pods it takes; 110 is its default.
    capacity
        .entry(Name::new_static("pods"))
        .or_insert_with(|| Quantity::from_units(110));
    let allocatable: Quantities = capacity
        .iter()
        .map(|(name, amount)| {
            let reserved = machine.reserved.get(name).copied().unwrap_or_default();
            (name.clone(), amount.minus(reserved))
        })
        .collect();
    json!({"capacity": capacity, "allocatable": allocatable})
}

/// Labels and shape follow the pool also after a node was made.
fn keep_shape(node: &Object, spec: &NodePoolSpec, outcome: &mut Outcome) {
    let mut missing = Map::new();
    for (key, value) in labels(node.name(), spec) {
        if node.labels.get(&key).map(Name::as_str) != value.as_str() {
            missing.insert(key, value);
        }
    }
    if !missing.is_empty() {
        let patch = json!({"metadata": {"labels": missing}});
        outcome.ops.push(write::merge(node, patch));
    }
    let json = node.json();
    let part = |status: &Value| {
        json!({
            "capacity": status.get("capacity"),
            "allocatable": status.get("allocatable"),
        })
    };
    let status = field::tree(&json, "/status");
    let current = part(status);
    let wanted = part(&shape(&spec.machine_type));
    outcome.ops.extend(write::status(node, &current, &wanted));
}

#[cfg(test)]
mod tests {
    use super::super::super::harness::{Bench, check_order_independent};
    use super::super::outage;
    use super::*;
    use crate::k8s::Resource;
    use crate::k8s::build::{self, Draft};

    const ALL: [Controller; 2] = [CONTROLLER, outage::CONTROLLER];

    fn lab_object(resource: Resource, kind: &str, name: &str, spec: &Value) -> Draft {
        build::object(resource, lab::API_VERSION, kind, &format!("/{name}"))
            .with(&json!({"spec": spec}))
    }

    fn pool(name: &str, count: u32) -> Draft {
        let spec = json!({
            "count": count,
            "namePrefix": name,
            "region": "eu", "zone": "eu-a", "rack": "a01", "power": "p1",
            "labels": {"team": "infra"},
            "taints": [{"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}],
            "machineType": {
                "name": "balanced-16",
                "capacity": {"cpu": "16", "memory": "64Gi", "nvidia.com/gpu": 4},
                "reserved": {"cpu": "500m", "memory": "1Gi"},
            },
        });
        lab_object(resources::NODE_POOLS, lab::NODE_POOL, name, &spec)
    }

    #[test]
    fn pool_becomes_nodes() {
        let mut bench = Bench::new(&ALL, &[pool("a01", 2)]);
        bench.settle();
        assert_eq!(bench.names(&resources::NODES), ["a01-h01", "a01-h02"]);
        let node = bench.find(&resources::NODES, "/a01-h02");
        assert_eq!(
            node["metadata"]["labels"],
            json!({
                "team": "infra",
                "kubernetes.io/hostname": "a01-h02",
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/os": "linux",
                "node.kubernetes.io/instance-type": "balanced-16",
                "topology.kubernetes.io/region": "eu",
                "topology.kubernetes.io/zone": "eu-a",
                "topology.bayplan.dev/rack": "a01",
                "topology.bayplan.dev/power": "p1",
                "bayplan.dev/runtime": "simulated",
            })
        );
        assert_eq!(node["spec"]["podCIDR"], "10.244.1.0/24");
        assert_eq!(node["status"]["addresses"][0]["address"], "10.0.1.3");
        assert_eq!(
            node["status"]["allocatable"],
            json!({"cpu": "15500m", "memory": "63Gi", "nvidia.com/gpu": "4", "pods": "110"})
        );
        assert_eq!(node["spec"]["taints"][0]["key"], "dedicated");
        let pool = bench.find(&resources::NODE_POOLS, "/a01");
        assert_eq!(pool["status"], json!({"nodes": 2, "ready": 0}));
    }

    #[test]
    fn ranges_and_addresses_never_collide() {
        let mut bench = Bench::new(&ALL, &[pool("a", 700), pool("b", 700)]);
        bench.settle();
        bench.edit(
            &resources::NODE_POOLS,
            "/a",
            &json!({"spec": {"count": 100}}),
        );
        bench.settle();
        bench.edit(
            &resources::NODE_POOLS,
            "/b",
            &json!({"spec": {"count": 1000}}),
        );
        bench.settle();
        let nodes = bench.all(&resources::NODES);
        assert_eq!(nodes.len(), 1100);
        let distinct = |value: fn(&Object) -> Name| {
            nodes
                .iter()
                .map(|node| value(node))
                .collect::<BTreeSet<Name>>()
                .len()
        };
        assert_eq!(distinct(|node| node.node().unwrap().pod_cidr.clone()), 1100);
        assert_eq!(
            distinct(|node| node.node().unwrap().internal_ip.clone()),
            1100
        );
        assert_eq!(
            ranges().map(machine_address).collect::<BTreeSet<_>>().len(),
            32_768
        );
    }

    #[test]
    fn scaling_down_removes_the_highest_numbers() {
        let mut bench = Bench::new(&ALL, &[pool("a", 12)]);
        bench.settle();
        bench.edit(&resources::NODE_POOLS, "/a", &json!({"spec": {"count": 9}}));
        bench.settle();
        assert_eq!(bench.names(&resources::NODES).last().unwrap(), "a-h09");
        bench.edit(
            &resources::NODE_POOLS,
            "/a",
            &json!({"spec": {"zone": "eu-b"}}),
        );
        bench.settle();
        assert!(
            bench
                .all(&resources::NODES)
                .iter()
                .all(|node| { node.labels.get("topology.kubernetes.io/zone").unwrap() == "eu-b" })
        );
    }

    #[test]
    fn outage_counts_the_nodes_that_it_concerns() {
        let spec =
            json!({"nodeSelector": {"topology.bayplan.dev/rack": "a01"}, "mode": "PowerOff"});
        let outage = lab_object(resources::OUTAGES, lab::OUTAGE, "rack", &spec);
        let mut bench = Bench::new(&ALL, &[pool("a", 3), outage, build::node("other")]);
        bench.settle();
        assert_eq!(
            bench.find(&resources::OUTAGES, "/rack")["status"],
            json!({"matchedNodes": 3})
        );
    }

    #[test]
    fn ends_the_same_in_any_order() {
        check_order_independent(&ALL, &[pool("a", 3)], |bench| {
            bench.settle();
            bench.edit(&resources::NODE_POOLS, "/a", &json!({"spec": {"count": 2}}));
        });
    }
}
