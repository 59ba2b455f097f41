//! Remote commands over a web socket: `v5.channel.k8s.io` and `v4.channel.k8s.io`.
//!
//! A message is a channel's number and what was said, as the node's frames are: they are handed on
//! in both directions as they are. v5 can close standard input, v4 cannot.
//!
//! Source: KEP-4006 and `staging/src/k8s.io/apiserver/pkg/util/wsstream`.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::Response as HttpResponse;
use bytes::Bytes;
use futures::{Sink, SinkExt, Stream, StreamExt};
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use tokio_util::sync::CancellationToken;

use super::Wanted;
use crate::apiserver::Status;
use crate::serve::nodes::{Conversation, channel};

const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
/// What a client may say in one message.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// The normal end of a web socket; a bare close is taken for an error by kubectl.
const NORMAL: u16 = 1000;
/// A client that is gone is found out by writing to it, when its last words are not read because
/// the process does not take them.
const PULSE: Duration = Duration::from_secs(5);
/// How long a client may take to close its side.
const FAREWELL: Duration = Duration::from_secs(2);

pub fn serve(
    upgrade: WebSocketUpgrade,
    conversation: Conversation,
    wanted: Wanted,
    stopped: CancellationToken,
) -> Result<HttpResponse, Status> {
    let upgrade = upgrade
        .protocols(PROTOCOLS)
        .max_message_size(MESSAGE_BYTES_MAX);
    if upgrade.selected_protocol().is_none() {
        let spoken = PROTOCOLS.join(", ");
        let message = format!("unable to upgrade: this server speaks {spoken}");
        return Err(Status::bad_request(message));
    }
    Ok(upgrade.on_upgrade(move |socket| async move {
        let talk = talk(socket, conversation, wanted);
        let _server_stops = stopped.run_until_cancelled(talk).await;
    }))
}

async fn talk(socket: WebSocket, conversation: Conversation, wanted: Wanted) {
    let frames = Framed::new(conversation, LengthDelimitedCodec::new());
    let (to_process, from_process) = frames.split();
    let (mut to_client, mut from_client) = socket.split();
    let over = tokio::select! {
    biased;
           over = tell(&mut to_client, from_process, wanted) => over,
           // The client is gone: what it spoke with is ended by being dropped.
           () = hear(&mut from_client, to_process, wanted) => false,
       };
    if !over {
        return;
    }
    let close = CloseFrame {
        code: NORMAL,
        reason: "".into(),
    };
    if to_client.send(Message::Close(Some(close))).await.is_ok() {
        // Closing while the client still speaks could take away what it has not read.
        let rest = async { while let Some(Ok(_)) = from_client.next().await {} };
        let _in_time = tokio::time::timeout(FAREWELL, rest).await;
    }
}

/// Hands on what the process says; true when it has said how it ended.
async fn tell(
    client: &mut (impl Sink<Message, Error = axum::Error> + Unpin),
    mut process: impl Stream<Item = std::io::Result<bytes::BytesMut>> + Unpin,
    wanted: Wanted,
) -> bool {
    // An empty message tells the client that the connection stands.
    let first = match wanted {
        Wanted { stdout: true, .. } => channel::STDOUT,
        Wanted { stderr: true, .. } => channel::STDERR,
        _ => channel::STATUS,
    };
    if client
        .send(message(Bytes::from(vec![first])))
        .await
        .is_err()
    {
        return false;
    }
    let mut pulse = tokio::time::interval(PULSE);
    loop {
        let frame = tokio::select! {
        biased;
                   frame = process.next() => frame,
                   _ = pulse.tick() => {
                       if client.send(Message::Ping(Bytes::new())).await.is_err() {
                           return false;
                       }
                       continue;
                   }
               };
        let Some(Ok(frame)) = frame else {
            return false;
        };
        let told = match frame.first() {
            Some(&channel::STDOUT) => wanted.stdout,
            Some(&channel::STDERR) => wanted.stderr,
            Some(&channel::STATUS) => true,
            _ => false,
        };
        let is_last = frame.first() == Some(&channel::STATUS);
        if told && client.send(message(frame.freeze())).await.is_err() {
            return false;
        }
        if is_last {
            return true;
        }
    }
}

fn message(bytes: Bytes) -> Message {
    Message::Binary(bytes)
}

/// Hands on what the client says, until it hangs up.
async fn hear(
    client: &mut (impl Stream<Item = Result<Message, axum::Error>> + Unpin),
    mut process: impl Sink<Bytes, Error = std::io::Error> + Unpin,
    wanted: Wanted,
) {
    while let Some(Ok(said)) = client.next().await {
        let frame: Bytes = match said {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => Bytes::from(text),
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) => continue,
        };
        let taken = match frame.first() {
            Some(&channel::STDIN) => wanted.stdin && frame.len() > 1,
            Some(&channel::RESIZE) => wanted.terminal,
            Some(&channel::CLOSE) => true,
            _ => false,
        };
        // Who does not listen any more may still have something to say.
        if taken {
            let _ended_meanwhile = process.send(frame).await;
        }
    }
}
