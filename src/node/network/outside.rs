//! Leads what pods send outside to a socket of ours, by one rule in the node's own namespace.
//!
//! TCP connections to anything but the pods' and the services' addresses are redirected to a port
//! of the node, where the program reads whom they were meant for and connects there from the
//! machine. The machine's own network is not touched.

use std::io;
use std::net::Ipv4Addr;

use super::nf_tables::{
    ACCEPT, APPEND, CREATE, DELETE_TABLE, DESTINATION, NEW_CHAIN, NEW_RULE, NEW_TABLE, NOT_EQUAL,
    REGISTER, address, attribute_of, carry_out, expression, message, named, nested, number,
    protocol, value,
};

const TABLE: &str = "bayplan";
const CHAIN: &str = "outside";
/// Before routing, at the place of address translation.
const HOOK_PREROUTING: u32 = 0;
const PRIORITY_DSTNAT: i32 = -100;
const TCP: u8 = 6;

/// Writes the rule into the namespace of this thread, in the place of an earlier one.
pub(super) fn redirect(kept: &[(Ipv4Addr, u8)], port: u16) -> io::Result<()> {
    let table = named(1, TABLE);
    let hook = [
        attribute_of(1, &HOOK_PREROUTING.to_be_bytes()),
        attribute_of(2, &PRIORITY_DSTNAT.to_be_bytes()),
    ];
    let chain = [
        table.clone(),
        named(3, CHAIN),
        nested(4, &hook),
        attribute_of(5, &ACCEPT.to_be_bytes()),
        named(7, "nat"),
    ];
    let mut expressions: Vec<Vec<u8>> = Vec::new();
    for (base, prefix) in kept {
        expressions.push(address(DESTINATION, *base, *prefix, NOT_EQUAL));
    }
    expressions.extend([
        protocol(TCP),
        expression(
            "immediate",
            &[number(1, REGISTER), value(2, &port.to_be_bytes())],
        ),
        expression("redir", &[number(1, REGISTER)]),
    ]);
    let rule = [table.clone(), named(2, CHAIN), nested(4, &expressions)];
    // Deleting a table that is not there fails, creating one that is there does not.
    let messages = [
        message(NEW_TABLE, CREATE, &table),
        message(DELETE_TABLE, 0, &table),
        message(NEW_TABLE, CREATE, &table),
        message(NEW_CHAIN, CREATE, &chain.concat()),
        message(NEW_RULE, CREATE | APPEND, &rule.concat()),
    ];
    carry_out(&messages)
}
