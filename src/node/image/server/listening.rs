//! The registry's connections: plain or TLS, until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::{Context, router};

/// Connections at a time; the next one waits for its turn.
const CONNECTIONS_MAX: usize = 512;
/// A peer that does not finish its TLS greeting or its request's head by then is not served.
const GREETING: Duration = Duration::from_secs(10);
/// How long pushes and pulls that run may go on after the end was announced.
const FAREWELL: Duration = Duration::from_secs(5);
/// After an error such as "too many open files" accepting again at once would only burn time.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Serves until `stop` is over.
pub async fn serve(
    listener: TcpListener,
    tls: Option<rustls::ServerConfig>,
    context: Context,
    stop: impl Future<Output = ()>,
) {
    serve_app(listener, tls, router(context), stop).await;
}

/// Serves any application the same way.
pub async fn serve_app(
    listener: TcpListener,
    tls: Option<rustls::ServerConfig>,
    app: Router,
    stop: impl Future<Output = ()>,
) {
    let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    let turns = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let farewell = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let next = async {
            let permit = Arc::clone(&turns).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            biased;
            () = stop.as_mut() => break,
            next = next => next,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let _slower_is_fine = stream.set_nodelay(true);
        let (app, acceptor, watcher) = (app.clone(), acceptor.clone(), farewell.watcher());
        tokio::spawn(async move {
            let _held = permit;
            let Some(acceptor) = acceptor else {
                return converse(stream, app, watcher).await;
            };
            match tokio::time::timeout(GREETING, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => converse(stream, app, watcher).await,
                Ok(Err(error)) => tracing::debug!(%error, "a TLS greeting failed"),
                Err(_elapsed) => tracing::debug!("a TLS greeting took too long"),
            }
        });
    }
    let _whoever_is_slower_is_cut_off = tokio::time::timeout(FAREWELL, farewell.shutdown()).await;
}

async fn converse<S>(stream: S, app: Router, watcher: hyper_util::server::graceful::Watcher)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(GREETING);
    let service = TowerToHyperService::new(app);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(%error, "a connection ended early");
    }
}
