//! Hands connections and datagrams on from services' addresses to endpoints, and outside.
//!
//! What is listened on follows the plan. A connection keeps its endpoint until it ends, as with
//! kube-proxy; new ones take turns, or stay with their client's where the service asks for it.

mod datagrams;
mod outside;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::RANGE;
use super::plan::{Ground, Listen, Place, Plan, Target, Way};
use super::table::{Protocol, Table};
use crate::node::line::Line;
use crate::node::network::Door;
use crate::node::policy::Isolations;
use crate::stdx::clock;

/// A pod beside answers at once or not at all.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);
/// Connections and flows at a time, over all services; more wait until some end.
const CONNECTIONS_MAX: usize = 8_192;
/// Clients that a listener remembers the endpoints of; the one that was away longest is forgotten.
const CLIENTS_MAX: usize = 4_096;
const BUFFER_BYTES: usize = 64 << 10;
/// Out of descriptors: accepting at once again would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// All sockets of the services.
pub struct Proxy {
    shared: Shared,
    sockets: BTreeMap<Listen, Socket>,
    /// What pods send outside.
    outside: JoinSet<()>,
}

#[derive(Clone)]
struct Shared {
    door: Door,
    line: Line,
    isolated: watch::Receiver<Isolations>,
    room: Arc<Semaphore>,
}

struct Socket {
    target: watch::Sender<Target>,
    /// Dropping it closes the socket.
    _task: JoinSet<()>,
}

/// Chooses an endpoint for each client.
struct Choice {
    target: watch::Receiver<Target>,
    turn: usize,
    clients: BTreeMap<IpAddr, (Way, Instant)>,
}

impl Proxy {
    pub fn new(door: Door, line: Line, isolated: watch::Receiver<Isolations>) -> Self {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Self {
            shared: Shared {
                door,
                line,
                isolated,
                room,
            },
            sockets: BTreeMap::new(),
            outside: JoinSet::new(),
        }
    }

    /// Carries what pods send to addresses outside of the cluster. The kernel must be able to
    /// redirect.
    pub async fn lead_out(
        &mut self,
        ground: &Ground,
        table: watch::Receiver<Table>,
    ) -> io::Result<()> {
        let door = &self.shared.door;
        let gateway = ground.pods.gateway();
        let listener = door.listen(SocketAddr::from((gateway, 0))).await?;
        let port = listener.local_addr()?.port();
        let ranges = ground.ranges.iter().map(|range| range.parts());
        let kept = ranges.chain([RANGE]).collect();
        door.lead_out(kept, port).await?;
        let work = outside::serve(self.shared.clone(), listener, ground.clone(), table);
        self.outside.spawn(work);
        Ok(())
    }

    /// Opens and closes what the plan says; names the sockets that could not be had, which are
    /// tried again with the next plan.
    pub async fn follow(&mut self, plan: Plan) -> Vec<(Listen, Target, io::Error)> {
        self.sockets.retain(|listen, _| plan.contains_key(listen));
        let mut refused = Vec::new();
        for (listen, target) in plan {
            if let Some(socket) = self.sockets.get(&listen) {
                socket.target.send_if_modified(|old| {
                    let is_new = *old != target;
                    if is_new {
                        old.clone_from(&target);
                    }
                    is_new
                });
                continue;
            }
            match self.open(listen, target.clone()).await {
                Ok(socket) => {
                    self.sockets.insert(listen, socket);
                }
                Err(error) => refused.push((listen, target, error)),
            }
        }
        refused
    }

    async fn open(&self, listen: Listen, target: Target) -> io::Result<Socket> {
        let (target, targets) = watch::channel(target);
        let choice = Choice {
            target: targets,
            turn: 0,
            clients: BTreeMap::new(),
        };
        let shared = self.shared.clone();
        let mut task = JoinSet::new();
        if listen.protocol == Protocol::Udp {
            let socket = shared.datagrams(listen.place, listen.at).await?;
            task.spawn(datagrams::serve(shared, listen, socket, choice));
        } else {
            let listener = shared.listen(listen.place, listen.at).await?;
            task.spawn(serve(shared, listen, listener, choice));
        }
        Ok(Socket {
            target,
            _task: task,
        })
    }
}

impl Shared {
    async fn listen(&self, place: Place, at: SocketAddr) -> io::Result<TcpListener> {
        match place {
            Place::Node => self.door.listen(at).await,
            Place::Machine => TcpListener::bind(at).await,
        }
    }

    async fn datagrams(&self, place: Place, at: SocketAddr) -> io::Result<UdpSocket> {
        match place {
            Place::Node => self.door.datagrams(at).await,
            Place::Machine => UdpSocket::bind(at).await,
        }
    }

    /// Those of the ways that network policies leave a client. Whether a client is judged by the
    /// service's address or by the endpoint's is open to implementations; either will do here.
    fn permitted(&self, listen: &Listen, client: SocketAddr, mut ways: Vec<Way>) -> Vec<Way> {
        let isolated = self.isolated.borrow();
        let (IpAddr::V4(from), Place::Node) = (client.ip(), listen.place) else {
            return ways;
        };
        let sends = |to: SocketAddr| match to.ip() {
            IpAddr::V4(at) => isolated.sends(from, at, listen.protocol, to.port()),
            IpAddr::V6(_) => true,
        };
        ways.retain(|way| {
            let receives = match way.to.ip() {
                IpAddr::V4(at) => isolated.receives(from, at, listen.protocol, way.to.port()),
                IpAddr::V6(_) => true,
            };
            receives && (sends(way.to) || sends(listen.at))
        });
        ways
    }

    /// Connects to the first of these that answers.
    async fn connect(&self, ways: &[Way]) -> Option<(Place, TcpStream)> {
        for way in ways {
            let connected = async {
                match way.from {
                    Place::Node => self.door.connect(way.to).await,
                    Place::Machine if self.line.is_cut() => {
                        Err(io::ErrorKind::HostUnreachable.into())
                    }
                    Place::Machine => TcpStream::connect(way.to).await,
                }
            };
            match tokio::time::timeout(CONNECT_PATIENCE, connected).await {
                Ok(Ok(stream)) => return Some((way.from, stream)),
                Ok(Err(error)) => tracing::debug!(%error, to = %way.to, "an endpoint refuses"),
                Err(_elapsed) => tracing::debug!(to = %way.to, "an endpoint does not answer"),
            }
        }
        None
    }
}

impl Choice {
    /// The ways to try for a client, in order.
    fn ways(&mut self, client: IpAddr, now: Instant) -> Vec<Way> {
        let target = self.target.borrow();
        let mut ways = target.ways.clone();
        let Some(seconds) = target.affinity_seconds else {
            drop(target);
            self.turn = self.turn.wrapping_add(1) % ways.len().max(1);
            ways.rotate_left(self.turn);
            return ways;
        };
        drop(target);
        let kept = Duration::from_secs(u64::from(seconds));
        let known = self.clients.get(&client);
        let known = known.filter(|(_, last)| now.duration_since(*last) < kept);
        let at = known.and_then(|(way, _)| ways.iter().position(|it| it == way));
        let at = at.unwrap_or_else(|| {
            self.turn = self.turn.wrapping_add(1) % ways.len().max(1);
            self.turn
        });
        ways.rotate_left(at);
        if let Some(first) = ways.first() {
            self.remember(client, *first, now);
        }
        ways
    }

    fn remember(&mut self, client: IpAddr, way: Way, now: Instant) {
        self.clients.insert(client, (way, now));
        if self.clients.len() > CLIENTS_MAX {
            let oldest = self.clients.iter().min_by_key(|(_, (_, last))| *last);
            if let Some(oldest) = oldest.map(|(client, _)| *client) {
                self.clients.remove(&oldest);
            }
        }
    }
}

async fn serve(shared: Shared, listen: Listen, listener: TcpListener, mut choice: Choice) {
    loop {
        let Ok(permit) = Arc::clone(&shared.room).acquire_owned().await else {
            return;
        };
        let (client, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "a service's connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let ways = shared.permitted(&listen, from, choice.ways(from.ip(), clock::instant()));
        let shared = shared.clone();
        tokio::spawn(async move {
            carry(&shared, listen.place, client, &ways).await;
            drop(permit);
        });
    }
}

async fn carry(shared: &Shared, place: Place, mut client: TcpStream, ways: &[Way]) {
    // Who comes from the machine to a node that is cut off does not find it.
    let reaches = place == Place::Node || !shared.line.is_cut();
    let found = if reaches {
        shared.connect(ways).await
    } else {
        None
    };
    let Some((from, mut endpoint)) = found else {
        // Nobody is there: the client is told so by a reset, not by an empty answer.
        let _reset = client.set_zero_linger();
        return;
    };
    let _no_delay = (client.set_nodelay(true), endpoint.set_nodelay(true));
    let copied =
        copy_bidirectional_with_sizes(&mut client, &mut endpoint, BUFFER_BYTES, BUFFER_BYTES);
    // Between pods the packets themselves are stopped; these would pass the node's end by.
    let carried = match (place, from) {
        (Place::Node, Place::Node) => copied.await,
        _ => shared.line.carry(copied).await,
    };
    if carried.is_err() {
        let _reset = (client.set_zero_linger(), endpoint.set_zero_linger());
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Key;
    use super::*;

    fn choice(affinity_seconds: Option<u32>, ports: &[u16]) -> (watch::Sender<Target>, Choice) {
        let ways = ports.iter().map(|port| Way {
            from: Place::Node,
            to: SocketAddr::from(([10, 88, 0, 2], *port)),
        });
        let (sender, target) = watch::channel(Target {
            owner: Key::new("shop", "web"),
            ways: ways.collect(),
            affinity_seconds,
        });
        let choice = Choice {
            target,
            turn: 0,
            clients: BTreeMap::new(),
        };
        (sender, choice)
    }

    fn first(choice: &mut Choice, client: u8, now: Instant) -> u16 {
        choice.ways(IpAddr::from([10, 88, 0, client]), now)[0]
            .to
            .port()
    }

    #[test]
    fn endpoints_take_turns() {
        let (_sender, mut choice) = choice(None, &[1, 2, 3]);
        let now = clock::instant();
        let mut taken: Vec<u16> = (0..6).map(|_| first(&mut choice, 9, now)).collect();
        taken.sort_unstable();
        assert_eq!(taken, [1, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn a_client_stays_with_its_endpoint_until_it_is_gone_or_time_is_over() {
        let (sender, mut choice) = choice(Some(60), &[1, 2, 3]);
        let now = clock::instant();
        let mine = first(&mut choice, 7, now);
        assert_ne!(first(&mut choice, 8, now), mine);
        for second in [10, 60, 110] {
            let later = now + Duration::from_secs(second);
            assert_eq!(first(&mut choice, 7, later), mine);
        }
        let after = first(&mut choice, 7, now + Duration::from_secs(200));
        assert_ne!(after, mine, "the turn has gone on");
        sender.send_modify(|target| target.ways.retain(|way| way.to.port() != after));
        assert_ne!(first(&mut choice, 7, now + Duration::from_secs(201)), after);
    }
}
