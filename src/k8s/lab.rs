//! The objects of our own API group, `lab.bayplan.dev/v1alpha1`: machines that only exist in an
//! embedded cluster, and what befalls them.
//!
//! Both kinds are cluster-scoped. A [`NodePoolSpec`] is reconciled into Node objects; while an
//! [`OutageSpec`] exists, the node agent of every machine that it selects does not answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::key::Name;
use super::object::Object;
use super::resource_list::Quantities;
use super::taint::Taint;

pub const API_VERSION: &str = "lab.bayplan.dev/v1alpha1";
pub const NODE_POOL: &str = "NodePool";
pub const OUTAGE: &str = "Outage";

/// The rack and power labels that a pool puts on its nodes, beside Kubernetes' own.
pub const RACK_LABEL: &str = "topology.bayplan.dev/rack";
pub const POWER_LABEL: &str = "topology.bayplan.dev/power";
/// `simulated` on every node that a pool made.
pub const RUNTIME_LABEL: &str = "bayplan.dev/runtime";
pub const RUNTIME_SIMULATED: &str = "simulated";

/// Whether a node of an embedded cluster is a machine that there really is. Other clusters' nodes
/// carry no word about it: there all are.
pub fn is_real(node: &Object) -> bool {
    let runtime = node.labels.get(RUNTIME_LABEL);
    runtime.is_some_and(|runtime| runtime != RUNTIME_SIMULATED)
}

/// Machines of one kind in one place.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodePoolSpec {
    pub count: u32,
    /// Nodes are called `<prefix>-h01`, `<prefix>-h02`, …; the pool's own name when empty.
    #[serde(skip_serializing_if = "Name::is_empty")]
    pub name_prefix: Name,
    pub machine_type: MachineType,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<Name, Name>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
    #[serde(skip_serializing_if = "Name::is_empty")]
    pub region: Name,
    #[serde(skip_serializing_if = "Name::is_empty")]
    pub zone: Name,
    #[serde(skip_serializing_if = "Name::is_empty")]
    pub rack: Name,
    #[serde(skip_serializing_if = "Name::is_empty")]
    pub power: Name,
}

/// A machine's shape.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineType {
    /// The value of `node.kubernetes.io/instance-type`.
    #[serde(skip_serializing_if = "Name::is_empty")]
    pub name: Name,
    /// `cpu`, `memory`, `ephemeral-storage`, `pods` and extended resources.
    pub capacity: Quantities,
    /// What the machine keeps for itself; allocatable is the capacity without it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub reserved: Quantities,
    /// `amd64` when empty.
    #[serde(skip_serializing_if = "Name::is_empty")]
    pub architecture: Name,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodePoolStatus {
    pub nodes: u32,
    pub ready: u32,
}

/// Machines that do not answer while the object exists. An outage without a selector and without
/// names concerns nobody.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutageSpec {
    /// Nodes that carry all of these labels; none when empty.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<Name, Name>,
    /// Nodes by name, in addition.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Name>,
    pub mode: OutageMode,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum OutageMode {
    /// The machine is off: its containers are gone, and start anew when it returns.
    #[default]
    PowerOff,
    /// The machine runs on, and nobody hears of it.
    Partition,
}

impl OutageSpec {
    pub fn concerns(&self, node: &Object) -> bool {
        let selected = !self.node_selector.is_empty()
            && self
                .node_selector
                .iter()
                .all(|(key, value)| node.labels.get(key) == Some(value));
        selected || self.nodes.iter().any(|name| name == node.name())
    }
}

/// `spec` of an object of this group; the default where it is missing or not of this shape.
pub fn spec<T: Default + serde::de::DeserializeOwned>(object: &Object) -> T {
    #[derive(Deserialize)]
    #[serde(bound = "T: Default + serde::de::DeserializeOwned")]
    struct Wire<T> {
        #[serde(default)]
        spec: T,
    }
    object
        .typed::<Wire<T>>()
        .map(|wire| wire.spec)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::k8s::build;

    #[test]
    fn outage_concerns_nodes_by_labels_or_by_name() {
        let read = |spec| -> OutageSpec { serde_json::from_value(spec).unwrap() };
        let node = build::node("n1").rack("a01").zone("a").build();
        let rack = read(json!({"nodeSelector": {"topology.bayplan.dev/rack": "a01"}}));
        assert!(rack.concerns(&node) && rack.mode == OutageMode::PowerOff);
        let other = read(json!({"nodeSelector": {"topology.bayplan.dev/rack": "a01",
            "topology.kubernetes.io/zone": "b"}}));
        assert!(!other.concerns(&node));
        assert!(read(json!({"nodes": ["n1"], "mode": "Partition"})).concerns(&node));
        assert!(!OutageSpec::default().concerns(&node));
    }
}
