//! Connections: TLS from the network, a unix socket on this machine, memory inside this process.
//! All end in the same HTTP service; they differ in who is taken to be at the other end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use super::driver::Driver;
use super::http::{Peer, router};
use super::identity;

/// Connections at a time on one endpoint; the next one waits for its turn.
const CONNECTIONS_MAX: usize = 2048;
/// A peer that does not finish its TLS greeting by then is not served.
const GREETING: Duration = Duration::from_secs(10);
/// How long running requests may go on after the end was announced.
const FAREWELL: Duration = Duration::from_secs(2);
/// After an error such as "too many open files" accepting again at once would only burn time.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
const MEMORY_BYTES: usize = 256 << 10;

/// Opens a connection to the driver in this process; its other end is the administrator's.
pub fn memory(driver: &Driver) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(MEMORY_BYTES);
    tokio::spawn(converse(
        ours,
        driver.clone(),
        Peer(Some(identity::administrator())),
        None,
    ));
    theirs
}

/// Serves TLS connections until the driver stops.
pub async fn serve_tls(listener: TcpListener, config: rustls::ServerConfig, driver: Driver) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let turns = Turns::default();
    while let Some((accepted, permit)) = turns.next(&driver, listener.accept()).await {
        let Some((stream, _)) = usable(accepted).await else {
            continue;
        };
        let acceptor = acceptor.clone();
        let driver = driver.clone();
        tokio::spawn(async move {
            // Small answers must not wait for each other.
            let _slower_is_fine = stream.set_nodelay(true);
            match tokio::time::timeout(GREETING, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let shown = stream.get_ref().1.peer_certificates();
                    let certificate = shown.and_then(|chain| chain.first());
                    let peer = Peer(certificate.and_then(identity::of_certificate));
                    converse(stream, driver, peer, Some(permit)).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a TLS greeting failed"),
                Err(_elapsed) => tracing::debug!("a TLS greeting took too long"),
            }
        });
    }
}

/// The turns of one endpoint's connections.
pub(super) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(CONNECTIONS_MAX)))
    }
}

impl Turns {
    /// Waits for a free turn, then for a connection; `None` when the driver has stopped.
    pub(super) async fn next<T>(
        &self,
        driver: &Driver,
        accept: impl Future<Output = io::Result<T>>,
    ) -> Option<(io::Result<T>, OwnedSemaphorePermit)> {
        let next = async {
            let permit = Arc::clone(&self.0).acquire_owned().await.ok()?;
            Some((accept.await, permit))
        };
        tokio::select! {
            biased;
            () = driver.stopped().cancelled() => None,
            next = next => next,
        }
    }
}

pub(super) async fn usable<T>(accepted: io::Result<T>) -> Option<T> {
    match accepted {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::warn!(%error, "a connection was not accepted");
            tokio::time::sleep(ACCEPT_RETRY).await;
            None
        }
    }
}

/// Speaks HTTP on one connection until it closes or the driver stops.
pub(super) async fn converse<S>(
    stream: S,
    driver: Driver,
    peer: Peer,
    _permit: Option<OwnedSemaphorePermit>,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stopped = driver.stopped().clone();
    let service = TowerToHyperService::new(router(driver, peer));
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        biased;
        result = connection.as_mut() => result,
        () = stopped.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(FAREWELL, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}
