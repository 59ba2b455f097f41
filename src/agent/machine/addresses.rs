//! The pod addresses of one machine, out of `spec.podCIDR`. One address is never held twice, and a
//! freed one is not given out again before the range has been walked through.

use core::net::Ipv4Addr;
use std::collections::BTreeMap;

use crate::k8s::{Name, Uid};

#[derive(Clone, Debug, Default)]
pub struct Addresses {
    range: Name,
    first: u32,
    size: u32,
    cursor: u32,
    held: BTreeMap<u32, Uid>,
}

impl Addresses {
    /// Takes over `10.1.2.0/24`; what is no IPv4 range leaves the machine without addresses.
    pub fn set_range(&mut self, range: &Name) {
        if self.range == *range {
            return;
        }
        self.range = range.clone();
        (self.first, self.size) = parse(range).unwrap_or_default();
        self.cursor = 0;
    }

    /// Notes an address that a pod has already.
    pub fn hold(&mut self, address: &str, uid: &Uid) {
        let Ok(address) = address.parse::<Ipv4Addr>() else {
            return;
        };
        let offset = address.to_bits().wrapping_sub(self.first);
        if offset < self.size {
            self.held.insert(offset, uid.clone());
            self.cursor = self.cursor.max(offset);
        }
    }

    pub fn release(&mut self, uid: &Uid) {
        self.held.retain(|_, holder| holder != uid);
    }

    /// A free address. `None`: the range is used up, or there is none.
    pub fn take(&mut self, uid: &Uid) -> Option<Ipv4Addr> {
        // The network's own address, the bridge's and the broadcast address are no pod's.
        let usable = self.size.checked_sub(3).filter(|usable| *usable > 0)?;
        let free = (0..usable)
            .map(|i| 2 + (self.cursor.saturating_sub(1) + i) % usable)
            .find(|offset| !self.held.contains_key(offset))?;
        self.held.insert(free, uid.clone());
        self.cursor = free;
        Some(Ipv4Addr::from_bits(self.first + free))
    }

    /// An address for the machine itself where nobody gave it one: one a pod range, out of
    /// 172.16.0.0/12.
    pub fn machine(&self) -> Option<Ipv4Addr> {
        (self.size > 0).then(|| {
            let number = (self.first >> 8) & 0x000f_ffff;
            Ipv4Addr::from_bits(0xac10_0000 | number)
        })
    }
}

fn parse(range: &str) -> Option<(u32, u32)> {
    let (address, bits) = range.split_once('/')?;
    let address: Ipv4Addr = address.parse().ok()?;
    let bits: u32 = bits.parse().ok().filter(|bits| (8..=30).contains(bits))?;
    let size = 1u32 << (32 - bits);
    Some((address.to_bits() & !(size - 1), size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(i: usize) -> Uid {
        Uid(format!("u{i}").into())
    }

    #[test]
    fn no_address_is_given_twice_until_it_is_released() {
        let mut addresses = Addresses::default();
        addresses.set_range(&"10.1.2.0/28".into());
        let given: Vec<_> = (0..20).map_while(|i| addresses.take(&uid(i))).collect();
        assert_eq!(given.len(), 13);
        assert_eq!(given[0], Ipv4Addr::new(10, 1, 2, 2));
        let mut distinct = given.clone();
        distinct.dedup();
        assert_eq!(distinct.len(), given.len());
        addresses.release(&uid(4));
        assert_eq!(addresses.take(&uid(99)), Some(given[4]));
        assert_eq!(addresses.take(&uid(100)), None);
    }

    #[test]
    fn a_held_address_is_not_given_out() {
        let mut addresses = Addresses::default();
        addresses.set_range(&"10.1.2.0/24".into());
        addresses.hold("10.1.2.2", &uid(0));
        assert_ne!(addresses.take(&uid(1)), Some(Ipv4Addr::new(10, 1, 2, 2)));
        assert_eq!(Addresses::default().take(&uid(1)), None);
    }
}
