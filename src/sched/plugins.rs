//! kube-scheduler's default plugins, and one of our own ([`gpu_share`]): one file each, with the
//! predicate or score, upstream's reason texts and tests.
//!
//! They are plain functions over a node, the pod's compiled specification and, where a plugin looks
//! at more than one node, state prepared once a cycle. [`super::framework`] calls them in order.

pub mod gpu_share;
pub mod image_locality;
pub mod inter_pod_affinity;
pub mod node_affinity;
pub mod node_name;
pub mod node_ports;
pub mod node_resources_balanced_allocation;
pub mod node_resources_fit;
pub mod node_unschedulable;
pub mod node_volume_limits;
pub mod pod_topology_spread;
pub mod taint_toleration;
pub mod volume_binding;
pub mod volume_restrictions;
pub mod volume_zone;
