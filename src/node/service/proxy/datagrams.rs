//! Datagrams to a service: each client's go to one endpoint, whose answers come from the service.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use super::{Choice, Listen, Shared, Way};
use crate::stdx::clock;

/// A flow without an answer for this long is over, as the kernel's connection tracking has it.
const IDLE: Duration = Duration::from_secs(30);
const DATAGRAM_MAX: usize = 64 << 10;

/// Serves a socket until it is dropped, its flows with it.
pub(super) async fn serve(shared: Shared, listen: Listen, socket: UdpSocket, mut choice: Choice) {
    let socket = Arc::new(socket);
    let mut flows: BTreeMap<SocketAddr, (Way, Arc<UdpSocket>)> = BTreeMap::new();
    let mut ends: JoinSet<SocketAddr> = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let received = tokio::select! {
            biased;
            Some(ended) = ends.join_next() => {
                if let Ok(client) = ended {
                    flows.remove(&client);
                }
                continue;
            }
            received = socket.recv_from(&mut buffer) => received,
        };
        let Ok((length, client)) = received else {
            tokio::time::sleep(super::ACCEPT_PAUSE).await;
            continue;
        };
        let datagram = buffer.get(..length).unwrap_or_default();
        // An endpoint that is not one any more gets nothing, unlike with connections.
        let is_valid = |way: &Way| choice.target.borrow().ways.contains(way);
        if let Some((way, endpoint)) = flows.get(&client)
            && is_valid(way)
        {
            let _lost_as_datagrams_are = endpoint.send(datagram).await;
            continue;
        }
        let Ok(permit) = Arc::clone(&shared.room).try_acquire_owned() else {
            continue;
        };
        let ways = choice.ways(client.ip(), clock::instant());
        let ways = shared.permitted(&listen, client, ways);
        let Some(way) = ways.first() else { continue };
        match connect(&shared, *way).await {
            Ok(endpoint) => {
                let endpoint = Arc::new(endpoint);
                let _lost_as_datagrams_are = endpoint.send(datagram).await;
                ends.spawn(answer(
                    Arc::clone(&endpoint),
                    Arc::clone(&socket),
                    client,
                    permit,
                ));
                flows.insert(client, (*way, endpoint));
            }
            Err(error) => tracing::debug!(%error, to = %way.to, "no way to an endpoint"),
        }
    }
}

async fn connect(shared: &Shared, way: Way) -> io::Result<UdpSocket> {
    let any = if way.to.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let any = any.parse().map_err(io::Error::other)?;
    let socket = shared.datagrams(way.from, any).await?;
    socket.connect(way.to).await?;
    Ok(socket)
}

/// Carries answers back until there are none.
async fn answer(
    endpoint: Arc<UdpSocket>,
    socket: Arc<UdpSocket>,
    client: SocketAddr,
    permit: OwnedSemaphorePermit,
) -> SocketAddr {
    let mut buffer = vec![0; DATAGRAM_MAX];
    while let Ok(Ok(length)) = tokio::time::timeout(IDLE, endpoint.recv(&mut buffer)).await {
        let datagram = buffer.get(..length).unwrap_or_default();
        if socket.send_to(datagram, client).await.is_err() {
            break;
        }
    }
    drop(permit);
    client
}
