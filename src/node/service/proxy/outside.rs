//! What pods send to addresses that are nobody's here: carried on from the machine's own network.

use std::net::SocketAddr;
use std::sync::Arc;

use rustix::net::sockopt::ip_original_dst;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{ACCEPT_PAUSE, Shared, Way};
use crate::node::service::plan::{self, Ground, Place};
use crate::node::service::table::Table;

/// Serves redirected connections until it is dropped.
pub(super) async fn serve(
    shared: Shared,
    listener: TcpListener,
    ground: Ground,
    table: watch::Receiver<Table>,
) {
    let own = listener.local_addr().ok();
    loop {
        let Ok(permit) = Arc::clone(&shared.room).acquire_owned().await else {
            return;
        };
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let to = destination(&client).filter(|to| Some(*to) != own);
        // Pods of simulated machines have addresses that the machine may take for its own.
        let to = to.filter(|to| !plan::is_simulated(&table.borrow(), &ground, to.ip()));
        let shared = shared.clone();
        tokio::spawn(async move {
            let ways: Vec<Way> = to
                .into_iter()
                .map(|to| Way {
                    from: Place::Machine,
                    to,
                })
                .collect();
            super::carry(&shared, Place::Node, client, &ways).await;
            drop(permit);
        });
    }
}

/// Whom a redirected connection was meant for.
fn destination(client: &TcpStream) -> Option<SocketAddr> {
    ip_original_dst(client).ok().map(SocketAddr::V4)
}
