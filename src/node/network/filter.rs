//! Lets into a pod and out of it only what network policies allow, by rules in the pod's own namespace.
//!
//! There packets still have the addresses that pods know each other by, whatever way they come.
//! Three things always pass: the pod's own loopback, what belongs to connections that were allowed,
//! and what comes from a node of this machine: probes must reach every pod. What comes through the
//! services' proxy comes from a node as well; the proxy asks [`crate::node::policy::Isolations`].

use std::io;
use std::net::Ipv4Addr;

use super::nf_tables::{
    ACCEPT, APPEND, CREATE, DELETE_TABLE, DESTINATION, DROP, EQUAL, META_INPUT, META_OUTPUT,
    NEW_CHAIN, NEW_RULE, NEW_TABLE, NOT_EQUAL, SOURCE, address, attribute_of, carry_out, compare,
    follows, message, meta, named, nested, ports, protocol, verdict,
};
use crate::node::policy::{Allow, Isolation};
use crate::node::service::table::Protocol;
use crate::node::service::{NAME_SERVER, RANGE};

const TABLE: &str = "bayplan-policy";
const HOOK_INPUT: u32 = 1;
const HOOK_OUTPUT: u32 = 3;
/// A namespace's loopback is its first link.
const LOOPBACK: u32 = 1;

/// Writes the rules into the namespace of this thread, in the place of earlier ones, all at once.
pub(super) fn isolate(isolation: &Isolation, gateways: &[Ipv4Addr]) -> io::Result<()> {
    let table = named(1, TABLE);
    let mut messages = vec![
        message(NEW_TABLE, CREATE, &table),
        message(DELETE_TABLE, 0, &table),
    ];
    if isolation.ingress.is_some() || isolation.egress.is_some() {
        messages.push(message(NEW_TABLE, CREATE, &table));
    }
    if let Some(allowed) = &isolation.ingress {
        let mut rules = vec![[meta(META_INPUT), compare(EQUAL, &LOOPBACK.to_ne_bytes())].concat()];
        rules.push(follows());
        let nodes = gateways.iter();
        rules.extend(nodes.map(|gateway| address(SOURCE, *gateway, 32, EQUAL)));
        rules.extend(allowed.iter().map(|allow| matched(allow, SOURCE)));
        chain(&mut messages, "ingress", HOOK_INPUT, rules);
    }
    if let Some(allowed) = &isolation.egress {
        let mut rules = vec![[meta(META_OUTPUT), compare(EQUAL, &LOOPBACK.to_ne_bytes())].concat()];
        rules.push(follows());
        // Whom a service leads to is the proxy's to judge; names are answered at once.
        let (base, prefix) = RANGE;
        let services = address(DESTINATION, base, prefix, EQUAL);
        rules.push([services, address(DESTINATION, NAME_SERVER, 32, NOT_EQUAL)].concat());
        rules.extend(allowed.iter().map(|allow| matched(allow, DESTINATION)));
        chain(&mut messages, "egress", HOOK_OUTPUT, rules);
    }
    carry_out(&messages)
}

/// A chain that accepts what one of the rules matches and drops all else.
fn chain(messages: &mut Vec<Vec<u8>>, name: &str, hook: u32, rules: Vec<Vec<u8>>) {
    let hook = [
        attribute_of(1, &hook.to_be_bytes()),
        attribute_of(2, &0_i32.to_be_bytes()),
    ];
    let chain = [
        named(1, TABLE),
        named(3, name),
        nested(4, &hook),
        attribute_of(5, &ACCEPT.to_be_bytes()),
        named(7, "filter"),
    ];
    messages.push(message(NEW_CHAIN, CREATE, &chain.concat()));
    let accepted = rules
        .into_iter()
        .map(|rule| [rule, verdict(ACCEPT)].concat());
    for rule in accepted.chain([verdict(DROP)]) {
        let rule = [named(1, TABLE), named(2, name), nested(4, &[rule])];
        messages.push(message(NEW_RULE, CREATE | APPEND, &rule.concat()));
    }
}

fn matched(allow: &Allow, at: u32) -> Vec<u8> {
    let peer = &allow.peer;
    let mut rule = address(at, peer.base, peer.prefix, EQUAL);
    for (base, prefix) in &peer.except {
        rule.extend(address(at, *base, *prefix, NOT_EQUAL));
    }
    if let Some((kind, first, last)) = allow.ports {
        rule.extend(protocol(match kind {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Other => 132,
        }));
        rule.extend(ports(first, last));
    }
    rule
}
