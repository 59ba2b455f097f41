//! The kernel's `nf_tables` over netlink: the program `nft` is not needed.
//!
//! Attributes and messages as bytes, and the few expressions that rules here are made of. What they
//! say stands in [`super::outside`] and [`super::filter`].
//!
//! Source: `linux/netfilter/nf_tables.h` and `nfnetlink.h`; all numbers below are theirs.

use std::io;
use std::net::Ipv4Addr;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with,
};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
pub(super) const NEW_TABLE: u16 = SUBSYSTEM << 8;
pub(super) const DELETE_TABLE: u16 = SUBSYSTEM << 8 | 2;
pub(super) const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
pub(super) const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;

const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
pub(super) const CREATE: u16 = 0x400;
pub(super) const APPEND: u16 = 0x800;

const NESTED: u16 = 1 << 15;
const FAMILY_IPV4: u8 = 2;
pub(super) const REGISTER: u32 = 1;
const VERDICT_REGISTER: u32 = 0;
pub(super) const DROP: u32 = 0;
pub(super) const ACCEPT: u32 = 1;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
/// Addresses in an IPv4 header.
pub(super) const SOURCE: u32 = 12;
pub(super) const DESTINATION: u32 = 16;
/// The destination port in the headers of TCP, UDP and SCTP.
const PORT_OFFSET: u32 = 2;
pub(super) const META_PROTOCOL: u32 = 16;
pub(super) const META_INPUT: u32 = 4;
pub(super) const META_OUTPUT: u32 = 5;
const CT_STATE: u32 = 0;
/// Of connections that are there, and of what belongs to them.
const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
pub(super) const EQUAL: u32 = 0;
pub(super) const NOT_EQUAL: u32 = 1;
const AT_MOST: u32 = 3;
const AT_LEAST: u32 = 5;

/// Goes on only where an address of the packet is in a range, or is not.
pub(super) fn address(at: u32, base: Ipv4Addr, prefix: u8, how: u32) -> Vec<u8> {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    [
        payload(NETWORK_HEADER, at, 4),
        masked(mask.to_be_bytes()),
        compare(how, &(u32::from(base) & mask).to_be_bytes()),
    ]
    .concat()
}

/// Goes on only where the packet is of this protocol.
pub(super) fn protocol(number: u8) -> Vec<u8> {
    [meta(META_PROTOCOL), compare(EQUAL, &[number])].concat()
}

/// Goes on only where the packet is sent to one of these ports.
pub(super) fn ports(first: u16, last: u16) -> Vec<u8> {
    [
        payload(TRANSPORT_HEADER, PORT_OFFSET, 2),
        compare(AT_LEAST, &first.to_be_bytes()),
        compare(AT_MOST, &last.to_be_bytes()),
    ]
    .concat()
}

/// Goes on only where the packet belongs to what was allowed before.
pub(super) fn follows() -> Vec<u8> {
    [
        expression("ct", &[number(1, REGISTER), number(2, CT_STATE)]),
        masked(ESTABLISHED_OR_RELATED.to_ne_bytes()),
        compare(NOT_EQUAL, &[0; 4]),
    ]
    .concat()
}

pub(super) fn verdict(code: u32) -> Vec<u8> {
    let verdict = nested(2, &[number(1, code)]);
    expression(
        "immediate",
        &[number(1, VERDICT_REGISTER), nested(2, &[verdict])],
    )
}

pub(super) fn meta(key: u32) -> Vec<u8> {
    expression("meta", &[number(1, REGISTER), number(2, key)])
}

fn payload(header: u32, offset: u32, length: u32) -> Vec<u8> {
    expression(
        "payload",
        &[
            number(1, REGISTER),
            number(2, header),
            number(3, offset),
            number(4, length),
        ],
    )
}

fn masked(mask: [u8; 4]) -> Vec<u8> {
    expression(
        "bitwise",
        &[
            number(1, REGISTER),
            number(2, REGISTER),
            number(3, 4),
            value(4, &mask),
            value(5, &[0; 4]),
        ],
    )
}

pub(super) fn named(attribute: u16, text: &str) -> Vec<u8> {
    attribute_of(attribute, &text_of(text))
}

pub(super) fn compare(how: u32, with: &[u8]) -> Vec<u8> {
    expression(
        "cmp",
        &[number(1, REGISTER), number(2, how), value(3, with)],
    )
}

pub(super) fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    nested(1, &[attribute_of(1, &text_of(name)), nested(2, data)])
}

pub(super) fn number(attribute: u16, number: u32) -> Vec<u8> {
    attribute_of(attribute, &number.to_be_bytes())
}

pub(super) fn value(attribute: u16, bytes: &[u8]) -> Vec<u8> {
    nested(attribute, &[attribute_of(1, bytes)])
}

pub(super) fn nested(attribute: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute_of(attribute | NESTED, &parts.concat())
}

pub(super) fn text_of(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// Length, kind, content, and zeros up to a multiple of four.
pub(super) fn attribute_of(kind: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 4).unwrap_or(u16::MAX);
    let mut bytes = Vec::with_capacity(usize::from(length) + 3);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub(super) fn message(kind: u16, flags: u16, content: &[u8]) -> Vec<u8> {
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
pub(super) fn carry_out(messages: &[Vec<u8>]) -> io::Result<()> {
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
