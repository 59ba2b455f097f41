//! Several nodes on one machine, joined as machines in racks are: each has a port at a switch, and
//! packets between their pods go through it in VXLAN.
//!
//! ```text
//!   node 0's namespace            underlay's namespace           node 1's namespace
//!   bayplan0 ─ vx0 ┄ up0 ═══ veth ═══ n0 ─ switch0 ─ n1 ═══ veth ═══ up0 ┄ vx0 ─ bayplan0
//! ```
//!
//! Routes, neighbours and forwarding entries are fixed: who is where is known, so nothing is learned
//! and nothing floods. A node is cut off by taking its port at the switch down.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rtnetlink::packet_route::neighbour::{NeighbourFlags, NeighbourState};
use rtnetlink::packet_route::route::RouteType;
use rtnetlink::{
    Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, LinkVxlan, RouteMessageBuilder,
};

use super::{
    Network, NetworkError, Range, failed, index_of, inside, is_namespace, make_namespace, set_up,
    standing_in,
};

const SWITCH: &str = "switch0";
const UPLINK: &str = "up0";
const TUNNEL: &str = "vx0";
const TUNNEL_ID: u32 = 88;
/// RFC 7348, 8.2.
const TUNNEL_PORT: u16 = 4789;
/// Pods keep an Ethernet's 1500 bytes: the switch carries them with VXLAN's 50 around.
const SWITCH_MTU: u32 = 1_600;
const TUNNEL_MTU: u32 = 1_500;

/// The place of one node among several of this machine.
#[derive(Clone, Debug)]
pub struct Seat {
    /// The switch's namespace, a file.
    pub underlay: PathBuf,
    pub index: u8,
    /// The pods' ranges of all nodes, by their index.
    pub ranges: Vec<Range>,
}

impl Seat {
    /// Makes the switch, or finds it again. Blocking, and once for all nodes.
    pub fn prepare(underlay: &Path) -> Result<(), NetworkError> {
        if let Some(folder) = underlay.parent() {
            fs::create_dir_all(folder).map_err(|error| failed("the namespaces' folder", &error))?;
        }
        if !is_namespace(underlay) {
            make_namespace(underlay)?;
        }
        inside(underlay, |handle| async move {
            if index_of(&handle, SWITCH).await.is_ok() {
                return Ok(());
            }
            set_up(&handle, "lo").await?;
            let switch = LinkBridge::new(SWITCH).mtu(SWITCH_MTU).up().build();
            handle.link().add(switch).execute().await
        })
    }

    /// Puts the node's port up or down, if it has one by now. Blocking.
    pub fn connect(&self, is_up: bool) -> Result<(), NetworkError> {
        let port = self.port();
        inside(&self.underlay, move |handle| async move {
            let Ok(port) = index_of(&handle, &port).await else {
                return Ok(());
            };
            let link = LinkUnspec::new_with_index(port);
            let link = if is_up { link.up() } else { link.down() };
            handle.link().set(link.build()).execute().await
        })
    }

    fn port(&self) -> String {
        format!("n{}", self.index)
    }

    fn range(&self) -> Option<Range> {
        self.ranges.get(usize::from(self.index)).copied()
    }

    /// The other nodes: index and range.
    fn peers(&self) -> Vec<(u8, Range)> {
        let all = self.ranges.iter().enumerate();
        all.filter_map(|(index, range)| Some((u8::try_from(index).ok()?, *range)))
            .filter(|(index, _)| *index != self.index)
            .collect()
    }
}

impl Network {
    /// Joins the node to the others of this machine, or finds that it is, and knows the way to
    /// each. Blocking.
    pub fn join(&self, seat: &Seat) -> Result<(), NetworkError> {
        let node = self.node();
        let is_joined = inside(&node, |handle| async move {
            // The uplink goes with its switch, and the tunnel is what was made last.
            Ok(index_of(&handle, UPLINK).await.is_ok() && index_of(&handle, TUNNEL).await.is_ok())
        })?;
        if !is_joined {
            self.plug_in(seat)?;
        }
        // What arrives for a pod comes from the tunnel and goes to the bridge.
        standing_in(&node, || {
            fs::write("/proc/sys/net/ipv4/ip_forward", "1")
                .map_err(|error| failed("forwarding between nodes", &error))
        })?;
        let Some(own) = seat.range() else {
            return Ok(());
        };
        let peers = seat.peers();
        inside(&node, move |handle| async move {
            let tunnel = index_of(&handle, TUNNEL).await?;
            for (index, range) in peers {
                lead_to(&handle, tunnel, own, index, range).await?;
            }
            Ok(())
        })
    }

    /// A cable between the switch and the node, and the tunnel's end over it.
    fn plug_in(&self, seat: &Seat) -> Result<(), NetworkError> {
        let node = self.node();
        let namespace =
            File::open(&node).map_err(|error| failed("the node's namespace", &error))?;
        let port = seat.port();
        let inner = format!("u{}", seat.index);
        let there = inner.clone();
        inside(&seat.underlay, move |handle| async move {
            if let Ok(old) = index_of(&handle, &port).await {
                handle.link().del(old).execute().await?;
            }
            let pair = LinkVeth::new(&port, &there).build();
            handle.link().add(pair).execute().await?;
            let switch = index_of(&handle, SWITCH).await?;
            let port = index_of(&handle, &port).await?;
            let joined = LinkUnspec::new_with_index(port)
                .mtu(SWITCH_MTU)
                .controller(switch)
                .up()
                .build();
            handle.link().set(joined).execute().await?;
            let moved = LinkUnspec::new_with_index(index_of(&handle, &there).await?)
                .setns_by_fd(namespace.as_raw_fd())
                .build();
            handle.link().set(moved).execute().await
        })?;
        let own = seat.index;
        inside(&node, move |handle| async move {
            if let Ok(old) = index_of(&handle, TUNNEL).await {
                handle.link().del(old).execute().await?;
            }
            let uplink = index_of(&handle, &inner).await?;
            let named = LinkUnspec::new_with_index(uplink)
                .name(UPLINK)
                .mtu(SWITCH_MTU)
                .up()
                .build();
            handle.link().set(named).execute().await?;
            let address = IpAddr::V4(outer(own));
            handle.address().add(uplink, address, 24).execute().await?;
            let tunnel: LinkMessageBuilder<LinkVxlan> = LinkVxlan::new(TUNNEL, TUNNEL_ID);
            let tunnel = tunnel
                .local(outer(own))
                .port(TUNNEL_PORT)
                .learning(false)
                .address(hardware(own).to_vec())
                .mtu(TUNNEL_MTU)
                .up()
                .build();
            handle.link().add(tunnel).execute().await
        })
    }
}

/// Where a range is: behind the gateway of its node, which is at the other end of the tunnel.
async fn lead_to(
    handle: &Handle,
    tunnel: u32,
    own: Range,
    index: u8,
    range: Range,
) -> Result<(), rtnetlink::Error> {
    let gateway = range.gateway();
    let hardware = hardware(index);
    handle
        .neighbours()
        .add(tunnel, IpAddr::V4(gateway))
        .state(NeighbourState::Permanent)
        .link_layer_address(&hardware)
        .replace()
        .execute()
        .await?;
    handle
        .neighbours()
        .add_bridge(tunnel, &hardware)
        .destination(IpAddr::V4(outer(index)))
        .flags(NeighbourFlags::Own)
        .state(NeighbourState::Permanent)
        .kind(RouteType::Unspec)
        .replace()
        .execute()
        .await?;
    let (base, prefix) = range.parts();
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(base, prefix)
        .gateway(gateway)
        .output_interface(tunnel)
        .pref_source(own.gateway())
        .onlink()
        .build();
    handle.route().add(route).replace().execute().await
}

/// A node's address at the switch: link-local, so that no network of the machine is hidden.
fn outer(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(169, 254, 88, index.saturating_add(1))
}

/// The hardware address of a node's end of the tunnel, of the locally administered ones.
fn hardware(index: u8) -> [u8; 6] {
    [0x02, 0x58, 0, 0, 0, index.saturating_add(1)]
}
