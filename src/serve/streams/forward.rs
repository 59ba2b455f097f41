//! `pods/portforward`: connections to a pod's own loopback.
//!
//! Three ways of speaking, one meaning:
//!
//! - kubectl tunnels SPDY/3.1 through a web socket (`SPDY/3.1+portforward.k8s.io`, KEP-4006);
//! - older clients speak SPDY on the upgraded connection itself;
//! - others, such as the Python client, speak `v4.channel.k8s.io`: the ports stand in the query, each
//!   has a channel for data and one for errors, which both begin with the port's number.
//!
//! In SPDY each connection is two streams with the same `requestID`: one for data, one that tells why
//! it failed.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use bytes::{Bytes, BytesMut};
use futures::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::codec::Framed;
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};
use tokio_util::sync::CancellationToken;

use super::spdy::{Headers, Heard, Said, Spdy};
use crate::k8s::Object;
use crate::serve::nodes::Kubelet;

/// Read at once from a pod.
const CHUNK: usize = 32 << 10;
/// Portions of one connection that wait for the pod to take them.
const WAITING_MAX: usize = 16;
/// Connections at a time through one client.
const CONNECTIONS_MAX: usize = 1024;
/// A client that is gone is found out by writing to it.
const PULSE: Duration = Duration::from_secs(5);

/// What connections are made to.
#[derive(Clone)]
pub struct Pod {
    pub kubelet: Arc<dyn Kubelet>,
    pub object: Arc<Object>,
}

impl Pod {
    /// The kubelet's words for a port that nobody listens on.
    async fn connect(&self, port: u16) -> Result<TcpStream, String> {
        let connected = self.kubelet.connect(&self.object, port).await;
        connected.map_err(|error| {
            format!(
                "error forwarding port {port} to pod {}, uid {}: failed to connect to localhost:{port} inside \
                 the pod's network namespace: {error}",
                self.object.name(),
                self.object.uid.0
            )
        })
    }
}

/// SPDY inside a web socket's messages.
pub async fn tunnel(socket: WebSocket, pod: Pod) {
    let (to_client, from_client) = socket.split();
    let read = from_client.filter_map(|message| async {
        match message {
            Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
            Ok(Message::Text(text)) => Some(Ok(Bytes::from(text))),
            Ok(_) => None,
            Err(error) => Some(Err(io::Error::other(error))),
        }
    });
    let write = to_client
        .with(|bytes: Bytes| async { Ok::<_, axum::Error>(Message::Binary(bytes)) })
        .sink_map_err(io::Error::other);
    let read = StreamReader::new(Box::pin(read));
    let write = SinkWriter::new(CopyToBytes::new(Box::pin(write)));
    multiplex(tokio::io::join(read, write), pod).await;
}

/// Serves a client's streams until it hangs up.
pub async fn multiplex(connection: impl AsyncRead + AsyncWrite + Unpin, pod: Pod) {
    let (mut to_client, mut from_client) = Framed::new(connection, Spdy::new()).split();
    let (say, mut said) = mpsc::channel(WAITING_MAX);
    let mut streams = Streams {
        pod,
        say,
        open: BTreeMap::new(),
        resets: BTreeMap::new(),
        errors: BTreeMap::new(),
        running: JoinSet::new(),
    };
    let tell = async {
        while let Some(frame) = said.recv().await {
            if to_client.send(frame).await.is_err() {
                return;
            }
        }
    };
    let hear = async {
        while let Some(Ok(frame)) = from_client.next().await {
            if !streams.hear(frame).await {
                return;
            }
        }
    };
    tokio::select! {
    biased;
           () = tell => {}
           () = hear => {}
       }
}

struct Streams {
    pod: Pod,
    say: mpsc::Sender<Said>,
    /// What clients say on a data stream; dropping the sender is its end.
    open: BTreeMap<u32, mpsc::Sender<Bytes>>,
    /// How connections are given up.
    resets: BTreeMap<u32, CancellationToken>,
    /// Error streams, by request, that wait for their data stream.
    errors: BTreeMap<String, u32>,
    /// Dropping them ends all connections.
    running: JoinSet<()>,
}

impl Streams {
    /// False when the client says good-bye.
    async fn hear(&mut self, frame: Heard) -> bool {
        match frame {
            Heard::Open {
                stream, headers, ..
            } => self.begin(stream, &headers).await,
            Heard::Data {
                stream,
                bytes,
                last,
            } => {
                if let Some(to) = self.open.get(&stream)
                    && !bytes.is_empty()
                {
                    let _ended_meanwhile = to.send(bytes).await;
                }
                if last {
                    self.open.remove(&stream);
                }
            }
            Heard::Reset(stream) => {
                self.open.remove(&stream);
                if let Some(reset) = self.resets.remove(&stream) {
                    reset.cancel();
                }
            }
            Heard::Ping(id) => self.tell(Said::Pong(id)).await,
            Heard::GoAway => return false,
        }
        true
    }

    async fn tell(&self, said: Said) {
        let _nobody_listens = self.say.send(said).await;
    }

    async fn begin(&mut self, stream: u32, headers: &Headers) {
        while self.running.try_join_next().is_some() {}
        self.resets.retain(|_, reset| !reset.is_cancelled());
        let request = headers.get("requestid").cloned().unwrap_or_default();
        let port = headers.get("port").and_then(|port| port.parse().ok());
        let kind = headers.get("streamtype").map(String::as_str);
        match (kind, port) {
            (Some("error"), Some(_)) if self.errors.len() < CONNECTIONS_MAX => {
                self.errors.insert(request, stream);
                self.tell(Said::Accept(stream)).await;
            }
            (Some("data"), Some(port)) if self.running.len() < CONNECTIONS_MAX => {
                let Some(errors) = self.errors.remove(&request) else {
                    return self.tell(Said::Reset(stream)).await;
                };
                self.tell(Said::Accept(stream)).await;
                let (to_pod, from_client) = mpsc::channel(WAITING_MAX);
                self.open.insert(stream, to_pod);
                let reset = CancellationToken::new();
                self.resets.insert(stream, reset.clone());
                let connection = Connection {
                    stream,
                    errors,
                    say: self.say.clone(),
                };
                let pod = self.pod.clone();
                self.running.spawn(async move {
                    let serve = connection.serve(&pod, port, from_client);
                    reset.run_until_cancelled(serve).await;
                    reset.cancel();
                    connection.end().await;
                });
            }
            _ => self.tell(Said::Reset(stream)).await,
        }
    }
}

/// One connection through SPDY.
struct Connection {
    stream: u32,
    errors: u32,
    say: mpsc::Sender<Said>,
}

impl Connection {
    async fn serve(&self, pod: &Pod, port: u16, from_client: mpsc::Receiver<Bytes>) {
        let say = |bytes| {
            self.say.send(Said::Data {
                stream: self.stream,
                bytes,
            })
        };
        match pod.connect(port).await {
            Ok(socket) => {
                relay(socket, from_client, |bytes| async {
                    say(bytes).await.is_ok()
                })
                .await;
            }
            Err(why) => {
                let error = Said::Data {
                    stream: self.errors,
                    bytes: why.into(),
                };
                let _nobody_listens = self.say.send(error).await;
            }
        }
    }

    async fn end(&self) {
        for stream in [self.stream, self.errors] {
            let _nobody_listens = self.say.send(Said::End(stream)).await;
        }
    }
}

/// Copies both ways until the pod closes. What the client ends is ended for the pod, which may still
/// answer. A connection that breaks just ends: kubectl would stop forwarding at an error.
async fn relay<F>(
    mut socket: TcpStream,
    mut from_client: mpsc::Receiver<Bytes>,
    say: impl Fn(Bytes) -> F,
) where
    F: Future<Output = bool>,
{
    let _slower_is_fine = socket.set_nodelay(true);
    let (mut from_pod, mut to_pod) = socket.split();
    let give = async {
        while let Some(bytes) = from_client.recv().await {
            to_pod.write_all(&bytes).await?;
        }
        to_pod.shutdown().await
    };
    let take = async {
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK);
            let ended = !matches!(from_pod.read_buf(&mut chunk).await, Ok(1..));
            if ended || !say(chunk.freeze()).await {
                return;
            }
        }
    };
    let mut take = std::pin::pin!(take);
    tokio::select! {
    biased;
           () = &mut take => {}
           // A pod that closed for reading may still say something.
           _broken_pipe = give => take.await,
       }
}

/// Ports with channels of their own: 0 and 1 are the first port's data and errors, and so on.
pub async fn channels(socket: WebSocket, pod: Pod, ports: Vec<u16>) {
    let (mut to_client, mut from_client) = socket.split();
    let (say, said) = mpsc::channel::<Bytes>(WAITING_MAX);
    let mut to_pod = Vec::new();
    let mut running = JoinSet::new();
    for (n, port) in ports.into_iter().enumerate() {
        let (give, from_client) = mpsc::channel(WAITING_MAX);
        to_pod.push(give);
        let (Ok(data), pod, say) = (u8::try_from(n * 2), pod.clone(), say.clone()) else {
            break;
        };
        running.spawn(async move { channel(data, port, &pod, from_client, &say).await });
    }
    drop(say);
    let hear = hear(&mut from_client, &mut to_pod);
    tokio::select! {
    biased;
           () = tell(&mut to_client, said) => {}
           () = hear => return,
       }
    let close = CloseFrame {
        code: axum::extract::ws::close_code::NORMAL,
        reason: "".into(),
    };
    let _gone = to_client.send(Message::Close(Some(close))).await;
}

async fn hear(
    client: &mut (impl Stream<Item = Result<Message, axum::Error>> + Unpin),
    to_pod: &mut [mpsc::Sender<Bytes>],
) {
    while let Some(Ok(message)) = client.next().await {
        let mut said = match message {
            Message::Binary(bytes) => bytes,
            Message::Close(_) => return,
            _ => continue,
        };
        let Some(channel) = said.first().map(|number| usize::from(*number)) else {
            continue;
        };
        let bytes = said.split_off(1);
        if channel.is_multiple_of(2)
            && let Some(to) = to_pod.get(channel / 2)
        {
            let _ended_meanwhile = to.send(bytes).await;
        }
    }
}

/// Ends when all connections have.
async fn tell(
    client: &mut (impl Sink<Message, Error = axum::Error> + Unpin),
    mut said: mpsc::Receiver<Bytes>,
) {
    let mut pulse = tokio::time::interval(PULSE);
    loop {
        let message = tokio::select! {
        biased;
                   said = said.recv() => match said {
                       Some(bytes) => Message::Binary(bytes),
                       None => return,
                   },
                   _ = pulse.tick() => Message::Ping(Bytes::new()),
               };
        if client.send(message).await.is_err() {
            return;
        }
    }
}

async fn channel(
    data: u8,
    port: u16,
    pod: &Pod,
    from_client: mpsc::Receiver<Bytes>,
    say: &mpsc::Sender<Bytes>,
) {
    let on = |number: u8, bytes: &[u8]| {
        let mut message = BytesMut::with_capacity(bytes.len() + 1);
        message.extend_from_slice(&[number]);
        message.extend_from_slice(bytes);
        say.send(message.freeze())
    };
    for number in [data, data + 1] {
        let _nobody_listens = on(number, &port.to_le_bytes()).await;
    }
    match pod.connect(port).await {
        Ok(socket) => {
            relay(socket, from_client, |bytes| {
                let sent = on(data, &bytes);
                async { sent.await.is_ok() }
            })
            .await;
        }
        Err(why) => {
            let _nobody_listens = on(data + 1, why.as_bytes()).await;
        }
    }
}
