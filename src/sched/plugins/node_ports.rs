//! `NodePorts`: two pods cannot hold the same port of a node.
//!
//! Upstream's set of used ports is not reference counted, so that it forgets a port when one of two
//! holders leaves; no node admits two holders, and the set here is computed from the pods.

use crate::sched::node_info::NodeInfo;
use crate::sched::spec::HostPort;
use crate::sched::verdict::{Plugin, Refusal};

pub const REASON: &str = "node(s) didn't have free ports for the requested pod ports";

pub fn filter(wanted: &[HostPort], node: &NodeInfo) -> Option<Refusal> {
    let conflict = !wanted.is_empty()
        && node
            .pods
            .iter()
            .flat_map(|entry| &entry.template.spec.ports)
            .any(|used| wanted.iter().any(|port| conflicts(port, used)));
    conflict.then(|| Refusal::resolvable(Plugin::NodePorts, REASON))
}

/// `0.0.0.0` covers every address; `::` is an address like any other.
pub fn conflicts(one: &HostPort, other: &HostPort) -> bool {
    const ALL: &str = "0.0.0.0";
    one.port == other.port
        && one.protocol == other.protocol
        && (one.address == other.address || one.address == ALL || other.address == ALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(port: i32, protocol: &str, address: &str) -> HostPort {
        HostPort {
            port,
            protocol: protocol.into(),
            address: address.into(),
        }
    }

    #[test]
    fn the_wildcard_address_conflicts_with_every_other() {
        let wild = port(80, "TCP", "0.0.0.0");
        assert!(conflicts(&wild, &port(80, "TCP", "10.0.0.1")));
        assert!(conflicts(&port(80, "TCP", "::"), &wild));
        assert!(!conflicts(&wild, &port(80, "UDP", "0.0.0.0")));
        assert!(!conflicts(&wild, &port(81, "TCP", "0.0.0.0")));
        assert!(!conflicts(
            &port(80, "TCP", "::"),
            &port(80, "TCP", "10.0.0.1")
        ));
    }
}
