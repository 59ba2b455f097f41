//! The pods' network on this machine: one address a pod, reachable from every other without ports
//! being mapped.
//!
//! ```text
//!   node's namespace: bridge `bayplan0`, the gateway of the pods' range
//!        │ veth          │ veth
//!   pod's namespace   pod's namespace      eth0, lo, a default route to the gateway
//! ```
//!
//! Everything stands in namespaces of our own: the machine's network is not touched, and what a
//! crash leaves behind is one file a namespace. Several nodes of one machine are joined by
//! [`overlay`]. Namespaces are entered by thread, so that all work
//! on them is done by threads of its own and never by the runtime's.

mod door;
mod filter;
mod nf_tables;
mod outside;
mod overlay;

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::TryStreamExt;
use nix::sched::{CloneFlags, unshare};
use rtnetlink::packet_route::route::{RouteScope, RouteType};
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder};
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};
use tokio::net::TcpStream;

use super::policy::Isolation;

pub use door::Door;
pub use overlay::Seat;

/// Where a node's folder has its namespaces.
pub const NAMESPACES: &str = "netns";
const BRIDGE: &str = "bayplan0";
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// The kernel's table of what is local.
const LOCAL_TABLE: u32 = 255;

/// The network of one node.
#[derive(Clone, Debug)]
pub struct Network {
    /// Where namespaces are kept as files.
    folder: PathBuf,
    range: Range,
}

/// The addresses of a node's pods, as in `spec.podCIDR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    base: u32,
    prefix: u8,
}

#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("`{0}` is not a range of IPv4 addresses such as 10.244.3.0/24")]
    Range(String),
    #[error("no IP addresses available in range")]
    Full,
    #[error("{what}: {reason}")]
    Failed { what: &'static str, reason: String },
}

impl Range {
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let refused = || NetworkError::Range(text.to_owned());
        let (base, prefix) = text.split_once('/').ok_or_else(refused)?;
        let base: Ipv4Addr = base.parse().map_err(|_error| refused())?;
        let prefix: u8 = prefix.parse().map_err(|_error| refused())?;
        if !(8..=30).contains(&prefix) {
            return Err(refused());
        }
        let mask = u32::MAX << (32 - prefix);
        Ok(Self {
            base: u32::from(base) & mask,
            prefix,
        })
    }

    /// The first address is the gateway's.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.base + 1)
    }

    /// The range as its first address and the length of its prefix.
    pub fn parts(self) -> (Ipv4Addr, u8) {
        (Ipv4Addr::from(self.base), self.prefix)
    }

    pub fn holds(self, address: Ipv4Addr) -> bool {
        u32::from(address) >> (32 - self.prefix) == self.base >> (32 - self.prefix)
    }

    /// The lowest address that none of `taken` is.
    pub fn free(self, taken: &[IpAddr]) -> Option<Ipv4Addr> {
        let last = self.base | (u32::MAX >> self.prefix);
        (self.base + 2..last)
            .map(Ipv4Addr::from)
            .find(|address| !taken.contains(&IpAddr::V4(*address)))
    }
}

impl Network {
    /// Makes the node's own namespace with its bridge, or finds it again.
    pub fn open(folder: &Path, range: Range) -> Result<Self, NetworkError> {
        fs::create_dir_all(folder).map_err(|error| failed("the namespaces' folder", &error))?;
        let network = Self {
            folder: folder.to_path_buf(),
            range,
        };
        if !is_namespace(&network.node()) {
            make_namespace(&network.node())?;
        }
        inside(&network.node(), move |handle| async move {
            set_up(&handle, "lo").await?;
            // A program that was killed may have left it half made.
            if let Ok(bridge) = index_of(&handle, BRIDGE).await {
                let gateway = IpAddr::V4(range.gateway());
                let address = handle.address().add(bridge, gateway, range.prefix);
                return address.replace().execute().await;
            }
            let bridge = LinkBridge::new(BRIDGE).up().build();
            handle.link().add(bridge).execute().await?;
            let index = index_of(&handle, BRIDGE).await?;
            let gateway = IpAddr::V4(range.gateway());
            handle
                .address()
                .add(index, gateway, range.prefix)
                .execute()
                .await
        })?;
        Ok(network)
    }

    pub fn range(&self) -> Range {
        self.range
    }

    /// Makes a whole range local to the node: sockets may be bound to any of its addresses, and
    /// pods reach them through their gateway. Blocking.
    pub fn claim(&self, base: Ipv4Addr, prefix: u8) -> Result<(), NetworkError> {
        inside(&self.node(), move |handle| async move {
            let loopback = index_of(&handle, "lo").await?;
            let route = RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(base, prefix)
                .output_interface(loopback)
                .table_id(LOCAL_TABLE)
                .kind(RouteType::Local)
                .scope(RouteScope::Host)
                .build();
            // It may be there from an earlier life.
            handle.route().add(route).replace().execute().await
        })
    }

    /// A way to make sockets in the node's own namespace.
    pub fn door(&self) -> Result<Door, NetworkError> {
        Door::open(&self.node()).map_err(|error| failed("entering a namespace", &error))
    }

    /// Where a pod's namespace is.
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.folder.join(uid)
    }

    fn node(&self) -> PathBuf {
        self.folder.join("node")
    }

    /// Gives a pod its namespace with this address. Blocking.
    pub fn attach(&self, uid: &str, address: Ipv4Addr) -> Result<PathBuf, NetworkError> {
        let path = self.pod(uid);
        self.detach(uid)?;
        make_namespace(&path)?;
        // The name of a link has at most 15 characters.
        let link = format!("v{:08x}", u32::from(address));
        let inner = format!("p{:08x}", u32::from(address));
        let namespace = File::open(&path).map_err(|error| failed("the pod's namespace", &error))?;
        let (outer_name, inner_name) = (link, inner.clone());
        inside(&self.node(), move |handle| async move {
            let bridge = index_of(&handle, BRIDGE).await?;
            // What an earlier life of this address left behind.
            if let Ok(old) = index_of(&handle, &outer_name).await {
                handle.link().del(old).execute().await?;
            }
            let pair = LinkVeth::new(&outer_name, &inner_name).build();
            handle.link().add(pair).execute().await?;
            let outer = index_of(&handle, &outer_name).await?;
            let inner = index_of(&handle, &inner_name).await?;
            let joined = LinkUnspec::new_with_index(outer)
                .controller(bridge)
                .up()
                .build();
            handle.link().set(joined).execute().await?;
            let moved = LinkUnspec::new_with_index(inner)
                .setns_by_fd(namespace.as_raw_fd())
                .build();
            handle.link().set(moved).execute().await
        })?;
        let range = self.range;
        inside(&path, move |handle| async move {
            set_up(&handle, "lo").await?;
            let index = index_of(&handle, &inner).await?;
            let named = LinkUnspec::new_with_index(index).name("eth0").up().build();
            handle.link().set(named).execute().await?;
            handle
                .address()
                .add(index, IpAddr::V4(address), range.prefix)
                .execute()
                .await?;
            let route = RouteMessageBuilder::<Ipv4Addr>::new()
                .gateway(range.gateway())
                .build();
            handle.route().add(route).execute().await
        })?;
        Ok(path)
    }

    /// Takes a pod's namespace away; its links go with it. Not being there is fine.
    pub fn detach(&self, uid: &str) -> Result<(), NetworkError> {
        let path = self.pod(uid);
        if !path.exists() {
            return Ok(());
        }
        let _only_a_file = unmount(&path, UnmountFlags::DETACH);
        fs::remove_file(&path).map_err(|error| failed("the pod's namespace", &error))
    }

    /// Lets into a pod and out of it only what it is allowed; nodes have these gateways. Blocking.
    pub fn isolate(
        &self,
        uid: &str,
        isolation: &Isolation,
        gateways: &[Ipv4Addr],
    ) -> Result<(), NetworkError> {
        let path = self.pod(uid);
        if !is_namespace(&path) {
            return Ok(());
        }
        let (isolation, gateways) = (isolation.clone(), gateways.to_vec());
        standing_in(&path, move || {
            filter::isolate(&isolation, &gateways).map_err(|error| failed("a pod's rules", &error))
        })
    }

    /// Connects to a pod as a neighbour on the node would.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        connect(Some(self.node()), to).await
    }
}

/// Runs netlink requests in a namespace, on a thread that ends with them.
fn inside<F, W, T>(namespace: &Path, work: W) -> Result<T, NetworkError>
where
    W: FnOnce(Handle) -> F + Send + 'static,
    F: Future<Output = Result<T, rtnetlink::Error>>,
    T: Send + 'static,
{
    standing_in(namespace, move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(|error| failed("a thread's runtime", &error))?;
        runtime.block_on(async {
            let (connection, handle, _) =
                rtnetlink::new_connection().map_err(|error| failed("netlink", &error))?;
            tokio::spawn(connection);
            work(handle).await.map_err(|error| NetworkError::Failed {
                what: "setting up a link",
                reason: error.to_string(),
            })
        })
    })
}

/// Does something on a thread that stands in a namespace and ends with it.
fn standing_in<T: Send + 'static>(
    namespace: &Path,
    work: impl FnOnce() -> Result<T, NetworkError> + Send + 'static,
) -> Result<T, NetworkError> {
    let namespace = namespace.to_path_buf();
    let thread = std::thread::spawn(move || {
        enter(&namespace).map_err(|error| failed("entering a namespace", &error))?;
        work()
    });
    thread.join().unwrap_or_else(|_panic| {
        Err(NetworkError::Failed {
            what: "setting up a link",
            reason: "its thread died".to_owned(),
        })
    })
}

/// Takes every namespace away that stands in a folder; says how many there were. Only where nothing
/// runs in them any more.
pub fn clear(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_file());
    let gone = paths.filter(|path| {
        let was_namespace = is_namespace(path);
        if was_namespace {
            let _only_a_file = unmount(path, UnmountFlags::DETACH);
        }
        fs::remove_file(path).is_ok() && was_namespace
    });
    gone.count()
}

/// Connects from inside a namespace; none: the machine's own.
pub async fn connect(namespace: Option<PathBuf>, to: SocketAddr) -> io::Result<TcpStream> {
    let Some(namespace) = namespace else {
        return TcpStream::connect(to).await;
    };
    let stream = tokio::task::spawn_blocking(move || {
        let thread = std::thread::spawn(move || {
            enter(&namespace)?;
            std::net::TcpStream::connect_timeout(&to, CONNECT_PATIENCE)
        });
        thread
            .join()
            .unwrap_or_else(|_panic| Err(io::Error::other("the connecting thread died")))
    })
    .await
    .map_err(io::Error::other)??;
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

fn enter(namespace: &Path) -> io::Result<()> {
    let file = File::open(namespace)?;
    Ok(move_into_thread_name_spaces(
        file.as_fd(),
        ThreadNameSpaceType::NETWORK,
    )?)
}

/// Whether a file is a namespace that is still there.
fn is_namespace(path: &Path) -> bool {
    const NSFS: i64 = 0x6e73_6673;
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type == NSFS)
}

/// A namespace lives as long as a file stands for it.
fn make_namespace(path: &Path) -> Result<(), NetworkError> {
    File::create(path).map_err(|error| failed("a namespace's file", &error))?;
    let target = path.to_path_buf();
    let thread = std::thread::spawn(move || -> io::Result<()> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        Ok(mount_bind("/proc/thread-self/ns/net", &target)?)
    });
    let made = thread
        .join()
        .unwrap_or_else(|_panic| Err(io::Error::other("its thread died")));
    made.map_err(|error| failed("a network namespace", &error))
}

async fn index_of(handle: &Handle, name: &str) -> Result<u32, rtnetlink::Error> {
    let mut links = handle.link().get().match_name(name.to_owned()).execute();
    match links.try_next().await? {
        Some(link) => Ok(link.header.index),
        None => Err(rtnetlink::Error::RequestFailed),
    }
}

async fn set_up(handle: &Handle, name: &str) -> Result<(), rtnetlink::Error> {
    let index = index_of(handle, name).await?;
    handle
        .link()
        .set(LinkUnspec::new_with_index(index).up().build())
        .execute()
        .await
}

fn failed(what: &'static str, error: &io::Error) -> NetworkError {
    NetworkError::Failed {
        what,
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_given_from_the_lowest() {
        let range = Range::parse("10.244.3.0/29").unwrap();
        assert_eq!(range.gateway().to_string(), "10.244.3.1");
        let mut taken = Vec::new();
        while let Some(address) = range.free(&taken) {
            taken.push(IpAddr::V4(address));
        }
        let texts: Vec<String> = taken.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "10.244.3.2",
                "10.244.3.3",
                "10.244.3.4",
                "10.244.3.5",
                "10.244.3.6"
            ]
        );
        assert!(Range::parse("fd00::/64").is_err());
        assert!(Range::parse("10.0.0.0/33").is_err());
    }
}
