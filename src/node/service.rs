//! Services for this node's pods: addresses that lead to endpoints, and names that lead to addresses.
//!
//! ```text
//!   watches ─► Table ─► plan: what is listened on ─► Proxy: sockets in the node's namespace
//!                 └───► names: what a question is answered ◄─ NameServer at the cluster's address
//! ```
//!
//! The table, the plan and the answers are values and pure functions. Addresses of services are
//! local to the node's own namespace, whose sockets hand connections on to pods; the machine's own
//! network is never changed.

pub mod follow;
pub mod links;
pub mod name_server;
pub mod names;
pub mod plan;
mod proxy;
pub mod resolv_conf;
pub mod table;

use std::net::Ipv4Addr;

/// Addresses of services. Source: the API server's default `--service-cluster-ip-range`.
pub const RANGE: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 96, 0, 0), 16);
/// Where pods ask for names, as kubeadm chooses it.
pub const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// The kubelet's default `--cluster-domain`.
pub const DOMAIN: &str = "cluster.local";
