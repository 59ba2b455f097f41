//! Follows the logs of containers, one request each.

use futures::{AsyncBufReadExt, StreamExt};
use tokio::sync::mpsc::Sender;

use crate::connect::Notice;
use crate::tui::effect::LogOrder;

/// What a stream brought.
#[derive(Debug)]
pub enum LogEvent {
    /// Raw lines with their time stamps, in the stream's order.
    Lines { order: LogOrder, lines: Vec<String> },
    /// The stream is over: the container ended, or `failure` says why there is nothing.
    Ended {
        order: LogOrder,
        failure: Option<Notice>,
    },
}

/// Lines handed over in one message at most.
const BATCH: usize = 2048;

/// Runs until the stream ends or the receiver is gone. A full channel slows the reading down, so
/// that nothing is dropped here.
pub async fn follow(client: kube::Client, order: LogOrder, out: Sender<LogEvent>) {
    let failure = read(&client, &order, &out).await.err();
    // The receiver may be gone; then nobody wants to know.
    let _gone = out.send(LogEvent::Ended { order, failure }).await;
}

async fn read(
    client: &kube::Client,
    order: &LogOrder,
    out: &Sender<LogEvent>,
) -> Result<(), Notice> {
    let request = http::Request::get(path(order))
        .body(Vec::new())
        .map_err(kube::Error::HttpError)?;
    let lines = client.request_stream(request).await?.lines();
    let mut batches = Box::pin(lines.ready_chunks(BATCH));
    while let Some(batch) = batches.next().await {
        let mut lines = Vec::with_capacity(batch.len());
        let mut failure = None;
        for line in batch {
            match line {
                Ok(line) => lines.push(line),
                Err(error) => failure = Some(Notice::from(kube::Error::ReadEvents(error))),
            }
        }
        let event = LogEvent::Lines {
            order: order.clone(),
            lines,
        };
        if out.send(event).await.is_err() {
            return Ok(());
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
    }
    Ok(())
}

fn path(order: &LogOrder) -> String {
    let flag = |on: bool, text: &'static str| if on { text } else { "" };
    let number = |name: &str, value: Option<i64>| {
        value.map_or_else(String::new, |value| format!("&{name}={value}"))
    };
    [
        format!(
            "/api/v1/namespaces/{}/pods/{}/log",
            order.pod.namespace, order.pod.name
        ),
        format!("?timestamps=true&container={}", order.container),
        flag(order.follow, "&follow=true").to_owned(),
        flag(order.previous, "&previous=true").to_owned(),
        number("sinceSeconds", order.since_seconds),
        number("tailLines", order.tail_lines),
    ]
    .concat()
}
