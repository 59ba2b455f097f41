//! Follows the logs of containers, one request each.

use std::fmt::Write as _;

use futures::{AsyncBufReadExt, StreamExt};
use serde_json::Value;
use tokio::sync::mpsc::Sender;

use crate::connect::Notice;
use crate::k8s::{ObjectKey, Uid, resources};
use crate::tui::effect::{LogOrder, PastOrder};
use crate::tui::pages::logs::past::PastLine;

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

/// Where an embedded cluster tells its log store.
const STORE: &str = "/bayplan/logs";

/// The newest lines of what is asked for, the oldest of them first.
pub async fn past(client: &kube::Client, orders: &[PastOrder]) -> Result<Vec<PastLine>, Notice> {
    let mut lines = Vec::new();
    for order in orders {
        let request = http::Request::get(past_path(order))
            .body(Vec::new())
            .map_err(kube::Error::HttpError)?;
        let text = match client.request_text(request).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {
                return Err(Notice {
                    message: "this cluster keeps no log store".to_owned(),
                    ..Notice::from(kube::Error::Api(status))
                });
            }
            answer => answer?,
        };
        lines.extend(text.lines().filter_map(past_line));
    }
    lines.sort_by_key(|line| line.at);
    Ok(lines)
}

fn past_line(text: &str) -> Option<PastLine> {
    let value: Value = serde_json::from_str(text).ok()?;
    let part = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    Some(PastLine {
        pod: ObjectKey::new(resources::PODS, part("namespace"), part("pod")),
        uid: Uid(part("uid").into()),
        container: part("container").into(),
        at: part("time").parse().ok()?,
        text: part("text").to_owned(),
    })
}

fn past_path(order: &PastOrder) -> String {
    let until = order.until.map(|until| until.to_string());
    let pods = order.pods.join(",");
    let parts = [
        ("pod", pods.as_str()),
        ("labelSelector", &order.selector),
        ("container", order.container.as_deref().unwrap_or_default()),
        ("until", until.as_deref().unwrap_or_default()),
        ("grep", &order.grep),
    ];
    let mut path = format!("{STORE}?namespace={}&tail={}", order.namespace, order.lines);
    for (name, value) in parts.iter().filter(|(_, value)| !value.is_empty()) {
        path.extend(["&", name, "="]);
        for byte in value.bytes() {
            // Writing into a string cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
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
