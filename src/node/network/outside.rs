//! Leads what pods send outside to a socket of ours, by one rule in the node's own namespace.
//!
//! TCP connections to anything but the pods' and the services' addresses are redirected to a port
//! of the node, where the program reads whom they were meant for and connects there from the
//! machine. The rule is written over netlink: the program `nft` is not needed, only the kernel's
//! part of it. The machine's own network is not touched.
//!
//! Source: `linux/netfilter/nf_tables.h` and `nfnetlink.h`; all numbers below are theirs.

use std::io;
use std::net::Ipv4Addr;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with,
};

const TABLE: &str = "bayplan";
const CHAIN: &str = "outside";

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const DELETE_TABLE: u16 = SUBSYSTEM << 8 | 2;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;

const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

const NESTED: u16 = 1 << 15;
const FAMILY_IPV4: u8 = 2;
const REGISTER: u32 = 1;
/// Before routing, at the place of address translation.
const HOOK_PREROUTING: u32 = 0;
const PRIORITY_DSTNAT: i32 = -100;
const ACCEPT: u32 = 1;
const NETWORK_HEADER: u32 = 1;
/// The destination address in an IPv4 header.
const DESTINATION_OFFSET: u32 = 16;
const META_PROTOCOL: u32 = 16;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const TCP: u8 = 6;

/// Writes the rule into the namespace of this thread, in the place of an earlier one.
pub(super) fn redirect(kept: &[(Ipv4Addr, u8)], port: u16) -> io::Result<()> {
    let named = |attribute: u16, text: &str| attribute_of(attribute, &text_of(text));
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
        expressions.extend(outside_of(*base, *prefix));
    }
    expressions.extend([
        expression("meta", &[number(1, REGISTER), number(2, META_PROTOCOL)]),
        compare(EQUAL, &[TCP]),
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

/// Goes on only where the destination is not in this range.
fn outside_of(base: Ipv4Addr, prefix: u8) -> [Vec<u8>; 3] {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    [
        expression(
            "payload",
            &[
                number(1, REGISTER),
                number(2, NETWORK_HEADER),
                number(3, DESTINATION_OFFSET),
                number(4, 4),
            ],
        ),
        expression(
            "bitwise",
            &[
                number(1, REGISTER),
                number(2, REGISTER),
                number(3, 4),
                value(4, &mask.to_be_bytes()),
                value(5, &[0; 4]),
            ],
        ),
        compare(NOT_EQUAL, &(u32::from(base) & mask).to_be_bytes()),
    ]
}

fn compare(how: u32, with: &[u8]) -> Vec<u8> {
    expression(
        "cmp",
        &[number(1, REGISTER), number(2, how), value(3, with)],
    )
}

fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    nested(1, &[attribute_of(1, &text_of(name)), nested(2, data)])
}

fn number(attribute: u16, number: u32) -> Vec<u8> {
    attribute_of(attribute, &number.to_be_bytes())
}

fn value(attribute: u16, bytes: &[u8]) -> Vec<u8> {
    nested(attribute, &[attribute_of(1, bytes)])
}

fn nested(attribute: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute_of(attribute | NESTED, &parts.concat())
}

fn text_of(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// Length, kind, content, and zeros up to a multiple of four.
fn attribute_of(kind: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 4).unwrap_or(u16::MAX);
    let mut bytes = Vec::with_capacity(usize::from(length) + 3);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message(kind: u16, flags: u16, content: &[u8]) -> Vec<u8> {
    framed(kind, REQUEST | ACKNOWLEDGE | flags, FAMILY_IPV4, 0, content)
}

/// A netlink header, the header of netfilter's messages, and what follows.
fn framed(kind: u16, flags: u16, family: u8, resource: u16, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 20).unwrap_or(u32::MAX);
    let mut bytes = Vec::new();
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // Answers are counted, not told apart.
    bytes.extend([0; 8]);
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(content);
    bytes
}

/// Sends messages as one batch, which is carried out as a whole or not at all.
fn carry_out(messages: &[Vec<u8>]) -> io::Result<()> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::NETFILTER),
    )?;
    bind(&socket, &SocketAddrNetlink::new(0, 0))?;
    let mut batch = framed(BATCH_BEGIN, REQUEST, 0, SUBSYSTEM, &[]);
    batch.extend(messages.concat());
    batch.extend(framed(BATCH_END, REQUEST, 0, SUBSYSTEM, &[]));
    sendto(
        &socket,
        &batch,
        SendFlags::empty(),
        &SocketAddrNetlink::new(0, 0),
    )?;
    let mut answered = 0;
    let mut buffer = vec![0; 16 << 10];
    while answered < messages.len() {
        let (length, _) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        let mut rest = buffer.get(..length).unwrap_or_default();
        while let Some((error, after)) = read_answer(rest) {
            if error != 0 {
                return Err(io::Error::from_raw_os_error(-error));
            }
            answered += 1;
            rest = after;
        }
    }
    Ok(())
}

/// The error number of the first answer, and what follows it.
fn read_answer(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?);
    let error = i32::from_ne_bytes(bytes.get(16..20)?.try_into().ok()?);
    let length = usize::try_from(length).ok()?.next_multiple_of(4);
    Some((error, bytes.get(length..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_count_themselves() {
        assert_eq!(
            attribute_of(7, &text_of("nat")),
            [8_u16.to_ne_bytes(), 7_u16.to_ne_bytes()]
                .concat()
                .into_iter()
                .chain(*b"nat\0")
                .collect::<Vec<u8>>()
        );
        assert_eq!(attribute_of(1, &[6]).len(), 8);
        assert_eq!(value(3, &[6]).len(), 12);
    }
}
