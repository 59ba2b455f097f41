//! The cluster's log store, shared by those who fill it and those who read it, and its HTTP face:
//! `GET /bayplan/logs`.
//!
//! The path is no resource: who may read it, reads the lines of all namespaces. A role allows it with
//! `nonResourceURLs: ["/bayplan/logs"]`. Its parameters: `namespace`, `pod` (several, separated by
//! commas), `container`, `node`, `labelSelector`, `since` and `until` (RFC 3339), `grep` (a text, or
//! `/expression/`), `tail` and `follow`. The answer is one JSON object a line.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::Response as HttpResponse;
use bytes::Bytes;
use futures::stream;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::apiserver::{Request, Status, Target, Verb};
use crate::k8s::selector_text::parse_labels;
pub use crate::logstore::Bounds;
use crate::logstore::{Grep, Labels, Line, Query, Reader, Store, StoreError, nanos, timestamp};

use super::driver::Driver;
use super::http::streamed;

/// Where the store is read, with the API server's authentication.
pub const PATH: &str = "/bayplan/logs";

/// How soon a followed search tells what came.
const LOOK: Duration = Duration::from_millis(200);
/// Text that is sent in one piece.
const CHUNK_BYTES: usize = 64 << 10;
/// Pieces that wait for a slow reader; the search waits with them.
const CHUNKS_MAX: usize = 4;

/// The store, opened when it is first needed. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Logs(Arc<Mutex<State>>);

/// The lock is held for single calls of the store: taking lines in, and making a snapshot.
#[derive(Debug, Default)]
struct State {
    place: Option<(PathBuf, Bounds)>,
    store: Option<Store>,
}

impl Logs {
    /// Says where the store is, unless that is known.
    pub fn place(&self, folder: PathBuf, bounds: Bounds) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.place.get_or_insert((folder, bounds));
    }

    /// Does something with the store; `None` where none is kept.
    pub fn with<T>(&self, work: impl FnOnce(&mut Store) -> T) -> Result<Option<T>, StoreError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.store.is_none() {
            let Some((folder, bounds)) = &state.place else {
                return Ok(None);
            };
            let (store, problems) = Store::open(folder, *bounds)?;
            for problem in problems {
                tracing::warn!("the log store: {problem}");
            }
            state.store = Some(store);
        }
        Ok(state.store.as_mut().map(work))
    }

    /// What there is now.
    pub fn reader(&self) -> Result<Option<Reader>, StoreError> {
        self.with(|store| store.reader())
    }

    /// Writes what waits, and is over.
    pub(super) fn close(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever comes late must not open it again: it may be another process' by then.
        state.place = None;
        if let Some(mut store) = state.store.take()
            && let Err(error) = store.flush().and_then(|()| store.sync())
        {
            tracing::warn!(%error, "the log store cannot be written");
        }
    }
}

/// The answer, if the request is for the store.
pub(super) fn answer(driver: &Driver, request: &Request) -> Option<Result<HttpResponse, Status>> {
    let Target::Path(path) = &request.target else {
        return None;
    };
    if path != PATH || request.verb != Verb::Get {
        return None;
    }
    Some(start(driver, request))
}

fn start(driver: &Driver, request: &Request) -> Result<HttpResponse, Status> {
    let query = query(request)?;
    let tail = number(request, "tail")?;
    let follow = matches!(request.options.other("follow"), Some("true" | "1" | "True"));
    let broken = |error: StoreError| Status::new(500, "InternalError", error.to_string());
    let logs = driver.logs().clone();
    let Some(reader) = logs.reader().map_err(broken)? else {
        let message = "this cluster keeps no log store: its data is not kept";
        return Err(Status::new(404, "NotFound", message));
    };
    let (sender, receiver) = mpsc::channel::<Bytes>(CHUNKS_MAX);
    let stopped = driver.stopped().clone();
    tokio::spawn(async move {
        let from = reader.next_number();
        let first = query.clone();
        let out = Out::new(sender.clone());
        let read = tokio::task::spawn_blocking(move || tell(&reader, &first, tail, out));
        if read.await.is_ok_and(|is_wanted| is_wanted) && follow {
            go_on(&logs, query, from, &sender, &stopped).await;
        }
    });
    let chunks = stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    Ok(streamed(chunks, "application/x-ndjson"))
}

/// Tells what comes, until the reader is gone or the cluster stops.
async fn go_on(
    logs: &Logs,
    mut query: Query,
    from: u64,
    sender: &mpsc::Sender<Bytes>,
    stopped: &CancellationToken,
) {
    query.from_number = from;
    loop {
        tokio::select! {
            biased;
            () = stopped.cancelled() => return,
            () = sender.closed() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let Ok(Some(reader)) = logs.reader() else {
            return;
        };
        let next = reader.next_number();
        if next == query.from_number {
            continue;
        }
        let (now, out) = (query.clone(), Out::new(sender.clone()));
        let read = tokio::task::spawn_blocking(move || tell(&reader, &now, None, out)).await;
        if !read.is_ok_and(|is_wanted| is_wanted) {
            return;
        }
        query.from_number = next;
    }
}

/// Searches and sends; says whether somebody still listens.
fn tell(reader: &Reader, query: &Query, tail: Option<usize>, mut out: Out) -> bool {
    let answer = if let Some(count) = tail {
        let (lines, answer) = reader.last(query, count);
        for line in &lines {
            if out.put(line).is_break() {
                return false;
            }
        }
        answer
    } else {
        reader.search(query, &mut |line| out.put(&line))
    };
    for problem in answer.problems {
        let _infallible = writeln!(out.text, "{}", json!({ "problem": problem }));
    }
    out.send().is_continue()
}

/// Lines on their way, as JSON.
struct Out {
    text: String,
    sender: mpsc::Sender<Bytes>,
    /// What is the same for all lines of a container.
    heads: BTreeMap<Arc<Labels>, String>,
}

impl Out {
    fn new(sender: mpsc::Sender<Bytes>) -> Self {
        Self {
            text: String::new(),
            sender,
            heads: BTreeMap::new(),
        }
    }

    fn put(&mut self, line: &Line) -> ControlFlow<()> {
        if !self.heads.contains_key(&line.labels) {
            self.heads
                .insert(Arc::clone(&line.labels), head(&line.labels));
        }
        let head = self.heads.get(&line.labels).map_or("", String::as_str);
        let stream = if line.is_error { "stderr" } else { "stdout" };
        let text = serde_json::to_string(&String::from_utf8_lossy(&line.text));
        let _infallible = writeln!(
            self.text,
            "{{\"time\":\"{:.9}\",{head},\"stream\":\"{stream}\",\"text\":{}}}",
            timestamp(line.at),
            text.unwrap_or_default()
        );
        if self.text.len() < CHUNK_BYTES {
            return ControlFlow::Continue(());
        }
        self.send()
    }

    fn send(&mut self) -> ControlFlow<()> {
        if self.sender.is_closed() {
            return ControlFlow::Break(());
        }
        if self.text.is_empty() {
            return ControlFlow::Continue(());
        }
        let chunk = Bytes::from(std::mem::take(&mut self.text));
        match self.sender.blocking_send(chunk) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_gone) => ControlFlow::Break(()),
        }
    }
}

fn head(labels: &Labels) -> String {
    let object = json!({
        "namespace": labels.namespace,
        "pod": labels.pod,
        "uid": labels.uid,
        "container": labels.container,
        "node": labels.node,
        "labels": labels.labels,
    })
    .to_string();
    let inner = object
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    inner.unwrap_or_default().to_owned()
}

fn query(request: &Request) -> Result<Query, Status> {
    let text = |name: &str| {
        request
            .options
            .other(name)
            .filter(|value| !value.is_empty())
    };
    let selector = Some(request.options.label_selector.as_str()).filter(|it| !it.is_empty());
    let selector = selector.map(parse_labels).transpose();
    let pods = text("pod").unwrap_or_default().split(',');
    Ok(Query {
        namespace: text("namespace").map(str::to_owned),
        pods: pods
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
            .collect(),
        container: text("container").map(str::to_owned),
        node: text("node").map(str::to_owned),
        selector: selector.map_err(|error| bad(&error.to_string()))?,
        since: time(request, "since")?,
        until: time(request, "until")?,
        grep: text("grep")
            .map(Grep::parse)
            .transpose()
            .map_err(|error| bad(&error.to_string()))?,
        from_number: 0,
    })
}

fn time(request: &Request, name: &str) -> Result<Option<i64>, Status> {
    let Some(text) = request.options.other(name) else {
        return Ok(None);
    };
    let parsed: Result<Timestamp, _> = text.parse();
    let at = parsed.map_err(|_error| bad(&format!("{name}: `{text}` is no RFC 3339 time")))?;
    Ok(Some(nanos(at)))
}

fn number(request: &Request, name: &str) -> Result<Option<usize>, Status> {
    let text = request.options.other(name);
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|_error| bad(&format!("{name} must be a number")))
}

fn bad(message: &str) -> Status {
    Status::new(400, "BadRequest", message)
}
