//! The local node: this machine as a node that runs pods as real containers.
//!
//! A kubelet of our own beside the simulated ones. It is a client of the cluster like any other
//! (it registers its node, renews its lease, watches the pods bound to it and writes their status),
//! and it has a face of its own that the API server forwards logs and exec to, as kubelets do.
//!
//! Isolation is not what this project exists for: containers are made by `libcontainer` in a process
//! of their own ([`container::shim`]), images come through `oci-client`.

pub mod able;
pub mod collect;
pub mod container;
pub mod face;
pub mod image;
pub mod kubelet;
pub mod leftover;
pub mod line;
pub mod logs;
pub mod network;
pub mod outage;
pub mod pod;
pub mod policy;
pub mod service;
pub mod usage;
