//! Remote commands over SPDY, as clients before kubectl 1.31 speak: each channel is a stream of its
//! own that the client opens.
//!
//! Source: `staging/src/k8s.io/apimachinery/pkg/util/remotecommand` and the kubelet's
//! `remotecommand/httpstream.go`, protocol `v4.channel.k8s.io`.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::Wanted;
use super::spdy::{Heard, Said, Spdy};
use crate::serve::nodes::{Conversation, channel};

pub const PROTOCOL: &str = "v4.channel.k8s.io";
/// How long a client may take to open its streams, and to hang up in the end.
const PATIENCE: Duration = Duration::from_secs(30);
const FAREWELL: Duration = Duration::from_secs(2);
const WAITING_MAX: usize = 16;

/// Channels by their streams.
type Streams = BTreeMap<u32, u8>;

pub async fn talk(
    connection: impl AsyncRead + AsyncWrite + Unpin,
    conversation: Conversation,
    wanted: Wanted,
) {
    let (mut to_client, mut from_client) = Framed::new(connection, Spdy::new()).split();
    let opening = open(&mut to_client, &mut from_client, wanted);
    let Ok(Some(streams)) = tokio::time::timeout(PATIENCE, opening).await else {
        return;
    };
    let frames = Framed::new(conversation, LengthDelimitedCodec::new());
    let (to_process, from_process) = frames.split();
    let (answer, answers) = mpsc::channel(WAITING_MAX);
    let over = tokio::select! {
        biased;
        over = tell(&mut to_client, from_process, answers, &streams) => over,
        () = hear(&mut from_client, to_process, &answer, &streams) => false,
    };
    if over {
        // Closing while the client still speaks could take away what it has not read.
        let rest = async { while let Some(Ok(_)) = from_client.next().await {} };
        let _in_time = tokio::time::timeout(FAREWELL, rest).await;
    }
}

/// Waits for a stream for each channel that is wanted.
async fn open(
    client: &mut (impl Sink<Said, Error = io::Error> + Unpin),
    heard: &mut (impl Stream<Item = io::Result<Heard>> + Unpin),
    wanted: Wanted,
) -> Option<Streams> {
    let expected = [
        true,
        wanted.stdin,
        wanted.stdout,
        wanted.stderr,
        wanted.terminal,
    ];
    let expected = expected.iter().filter(|is_wanted| **is_wanted).count();
    let mut streams = Streams::new();
    while streams.len() < expected {
        match heard.next().await?.ok()? {
            Heard::Open {
                stream, headers, ..
            } => {
                let kind = headers.get("streamtype").map(String::as_str);
                let channel = match kind {
                    Some("error") => channel::STATUS,
                    Some("stdin") => channel::STDIN,
                    Some("stdout") => channel::STDOUT,
                    Some("stderr") => channel::STDERR,
                    Some("resize") => channel::RESIZE,
                    _ => return None,
                };
                streams.insert(stream, channel);
                client.send(Said::Accept(stream)).await.ok()?;
            }
            Heard::Ping(id) => client.send(Said::Pong(id)).await.ok()?,
            Heard::Data { .. } | Heard::Reset(_) => {}
            Heard::GoAway => return None,
        }
    }
    Some(streams)
}

/// Hands on what the process says; true when it has said how it ended.
async fn tell(
    client: &mut (impl Sink<Said, Error = io::Error> + Unpin),
    mut process: impl Stream<Item = io::Result<BytesMut>> + Unpin,
    mut answers: mpsc::Receiver<Said>,
    streams: &Streams,
) -> bool {
    loop {
        let frame = tokio::select! {
            biased;
            frame = process.next() => frame,
            Some(answer) = answers.recv() => {
                if client.send(answer).await.is_err() {
                    return false;
                }
                continue;
            }
        };
        let Some(Ok(mut bytes)) = frame else {
            return false;
        };
        let Ok(channel) = bytes.try_get_u8() else {
            return false;
        };
        let stream = streams.iter().find(|(_, own)| **own == channel);
        if let Some((stream, _)) = stream {
            let data = Said::Data {
                stream: *stream,
                bytes: bytes.freeze(),
            };
            if client.send(data).await.is_err() {
                return false;
            }
        }
        if channel == channel::STATUS {
            for stream in streams.keys() {
                if client.send(Said::End(*stream)).await.is_err() {
                    return false;
                }
            }
            return true;
        }
    }
}

/// Hands on what the client says, until it hangs up.
async fn hear(
    client: &mut (impl Stream<Item = io::Result<Heard>> + Unpin),
    mut process: impl Sink<Bytes, Error = io::Error> + Unpin,
    answer: &mpsc::Sender<Said>,
    streams: &Streams,
) {
    while let Some(Ok(heard)) = client.next().await {
        match heard {
            Heard::Data {
                stream,
                bytes,
                last,
            } => {
                let Some(channel) = streams.get(&stream) else {
                    continue;
                };
                if !bytes.is_empty() {
                    let mut frame = BytesMut::with_capacity(bytes.len() + 1);
                    frame.put_u8(*channel);
                    frame.put(bytes);
                    let _ended_meanwhile = process.send(frame.freeze()).await;
                }
                if last && *channel == channel::STDIN {
                    let close = Bytes::from_static(&[channel::CLOSE, channel::STDIN]);
                    let _ended_meanwhile = process.send(close).await;
                }
            }
            Heard::Ping(id) => {
                let _ended_meanwhile = answer.send(Said::Pong(id)).await;
            }
            Heard::Open { stream, .. } => {
                let _ended_meanwhile = answer.send(Said::Reset(stream)).await;
            }
            Heard::Reset(_) => {}
            Heard::GoAway => return,
        }
    }
}
