//! A client over byte streams that are not TCP: an in-memory duplex or a unix socket.
//!
//! It speaks real HTTP, so that upgrades (exec, port-forward) work as they do on the network: a
//! client that calls the server's function directly has no connection to upgrade.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::middleware::BaseUriLayer;
use kube::client::{Body, ClientBuilder};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::serve::{Connector, Host};

use super::guard::{Access, GuardLayer, Hold};

/// A byte stream to a control plane on this machine.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One end of a connection: an in-memory duplex or a unix socket.
pub type Link = Box<dyn Stream>;

/// What the HTTP client pools: a [`Link`] in hyper's terms.
pub struct Pooled(TokioIo<Link>);

impl Connection for Pooled {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Pooled {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(context, buffer)
    }
}

impl hyper::rt::Write for Pooled {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(context)
    }
}

/// Opens a new connection each time it is asked.
pub trait Dial: Clone + Send + Sync + 'static {
    fn dial(&self) -> impl Future<Output = io::Result<Link>> + Send;
}

/// A [`Dial`] as hyper's connector.
#[derive(Clone)]
struct Dialer<D>(D);

impl<D: Dial> tower::Service<http::Uri> for Dialer<D> {
    type Response = Pooled;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Pooled>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: http::Uri) -> Self::Future {
        let dial = self.0.clone();
        Box::pin(async move { Ok(Pooled(TokioIo::new(dial.dial().await?))) })
    }
}

/// A Kubernetes client over connections that `dial` opens, behind the guard.
pub fn client<D: Dial>(dial: D, guard: &GuardLayer, namespace: &str) -> kube::Client {
    let service = Client::builder(TokioExecutor::new()).build::<_, Body>(Dialer(dial));
    // The host is never resolved: the connector has one place to go to.
    let base = http::Uri::from_static("http://in.process");
    ClientBuilder::new(service, namespace)
        .with_layer(&BaseUriLayer::new(base))
        .with_layer(guard)
        .build()
}

/// A client of a cluster that this process hosts.
pub fn in_process(host: &Host, access: Access) -> kube::Client {
    let guard = GuardLayer::new(access, Hold::default());
    client(host.connector(), &guard, "default")
}

/// The same over a connection of the caller's own making.
pub fn in_process_over<D: Dial>(dial: D, access: Access) -> kube::Client {
    client(dial, &GuardLayer::new(access, Hold::default()), "default")
}

impl Dial for Connector {
    async fn dial(&self) -> io::Result<Link> {
        Ok(Box::new(self.connect()))
    }
}
