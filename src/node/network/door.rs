//! Sockets of a namespace for the rest of the program.
//!
//! A socket belongs to the namespace of the thread that makes it, for as long as it lives. One
//! thread stands in the namespace and makes them; who uses them may run anywhere. Only short work
//! that does not wait may be handed to it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::mpsc;

use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::oneshot;

use super::outside;

/// Connections that wait to be accepted, as servers commonly allow.
const BACKLOG: u32 = 1024;

type Work = Box<dyn FnOnce() + Send>;

/// Clones share the thread, which ends with the last of them.
#[derive(Clone, Debug)]
pub struct Door {
    work: mpsc::Sender<Work>,
}

impl Door {
    /// Puts a thread into the namespace.
    pub(super) fn open(namespace: &Path) -> io::Result<Self> {
        let (work, asked) = mpsc::channel::<Work>();
        let (told, entered) = mpsc::channel();
        let namespace = namespace.to_path_buf();
        std::thread::Builder::new()
            .name("namespace".to_owned())
            .spawn(move || {
                let result = super::enter(&namespace);
                let is_inside = result.is_ok();
                let _nobody_waits = told.send(result);
                while is_inside && let Ok(work) = asked.recv() {
                    work();
                }
            })?;
        entered
            .recv()
            .unwrap_or_else(|_gone| Err(io::Error::other("the namespace's thread died")))?;
        Ok(Self { work })
    }

    pub async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.make(move || tcp_socket(to)).await??;
        socket.connect(to).await
    }

    pub async fn listen(&self, at: SocketAddr) -> io::Result<TcpListener> {
        let socket = self
            .make(move || {
                let socket = tcp_socket(at)?;
                // Connections of an earlier listener may still be ending.
                socket.set_reuseaddr(true)?;
                socket.bind(at)?;
                io::Result::Ok(socket)
            })
            .await??;
        socket.listen(BACKLOG)
    }

    pub async fn datagrams(&self, at: SocketAddr) -> io::Result<UdpSocket> {
        let socket = self.make(move || std::net::UdpSocket::bind(at)).await??;
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket)
    }

    /// Leads TCP connections of pods to anything but these ranges to a port of the node, where
    /// [`rustix::net::sockopt::ip_original_dst`] tells whom they were meant for.
    pub async fn lead_out(&self, kept: Vec<(Ipv4Addr, u8)>, port: u16) -> io::Result<()> {
        self.make(move || outside::redirect(&kept, port)).await?
    }

    async fn make<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let (told, made) = oneshot::channel();
        let work = Box::new(move || drop(told.send(work())));
        let gone = || io::Error::other("the namespace's thread is gone");
        self.work.send(work).map_err(|_unsent| gone())?;
        made.await.map_err(|_dropped| gone())
    }
}

fn tcp_socket(address: SocketAddr) -> io::Result<TcpSocket> {
    if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }
}
