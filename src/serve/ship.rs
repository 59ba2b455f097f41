//! Passes the log store's lines on to Loki or Elasticsearch, as they become durable.
//!
//! The store itself is the buffer: how far a target came is kept in a file beside it, and moves only
//! when the target has taken a batch. While it is away, lines wait on disk within the store's bounds,
//! and what these drop before it is back is told. A line is sent at least once; one that is sent again
//! after an answer was lost is recognised by the target (Elasticsearch by its id, Loki by time, labels
//! and text).

mod body;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::logstore::{Line, Reader};
use crate::stdx::rng::Stream;

use super::logs::Logs;

/// Text in one request; Loki and Elasticsearch both take several times this by default.
const BATCH_BYTES: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);
/// A target that takes longer than this to answer does not hold up the end of the program.
const GRACE: Duration = Duration::from_secs(2);
/// Where lines go in Elasticsearch, if the address names no index.
const INDEX: &str = "bayplan-logs";

/// Where lines go: `loki=http://host:3100`, `elasticsearch=https://user:password@host:9200/index`.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    kind: Kind,
    url: Url,
    /// Elasticsearch's.
    index: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Loki,
    Elasticsearch,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no place for logs; write loki=http://HOST:3100 or elasticsearch=http://HOST:9200/INDEX"
)]
pub struct TargetError {
    text: String,
}

impl std::str::FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        Self::parse(text).ok_or_else(|| TargetError {
            text: text.to_owned(),
        })
    }
}

impl Target {
    fn parse(text: &str) -> Option<Self> {
        let (kind, url) = text.split_once('=')?;
        let mut url = Url::parse(url).ok()?;
        let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
        if !is_web || url.query().is_some() || url.fragment().is_some() {
            return None;
        }
        let path = url.path().trim_matches('/').to_owned();
        let mut index = String::new();
        let kind = match kind {
            "loki" => {
                url.set_path(&joined(&path, "loki/api/v1/push"));
                Kind::Loki
            }
            "elasticsearch" => {
                let (before, last) = path.rsplit_once('/').unwrap_or(("", &path));
                index.push_str(if last.is_empty() { INDEX } else { last });
                url.set_path(&joined(before, "_bulk"));
                Kind::Elasticsearch
            }
            _ => return None,
        };
        Some(Self { kind, url, index })
    }
}

fn joined(before: &str, path: &str) -> String {
    [before, path].join("/").trim_start_matches('/').to_owned()
}

/// Without the password.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.url.clone();
        let _has_a_host = url.set_password(None);
        write!(f, "{url}")
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How long to wait, and when.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between looks at a store that has nothing new.
    pub look: Duration,
    /// After the first failure; each further one doubles it.
    pub first: Duration,
    pub longest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(1),
            first: Duration::from_secs(1),
            longest: Duration::from_mins(1),
        }
    }
}

impl Pace {
    /// Half of it is certain, half left to chance, so that many that wait do not come back at once.
    fn wait(&self, failures: u32, jitter: &mut Stream) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.min(16));
        let half = doubled.min(self.longest) / 2;
        let most = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
        half + Duration::from_micros(jitter.below(most))
    }
}

/// What a target said to a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// All but so many lines, which it will never take, and why.
    Taken {
        refused: u64,
        why: String,
    },
    TooLarge,
    /// Try again.
    Away(String),
}

/// Passes lines on until it is stopped. `folder` holds how far it came.
pub async fn run(
    logs: Logs,
    target: Target,
    folder: PathBuf,
    pace: Pace,
    mut jitter: Stream,
    stop: CancellationToken,
) {
    let built = Client::builder().timeout(TIMEOUT).build();
    let client = match built {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%target, %error, "logs cannot be shipped");
            return;
        }
    };
    let mut cursor = Cursor::open(&folder, &target);
    let mut failures = 0;
    while !stop.is_cancelled() {
        // A batch that is on its way is let through, or it would be sent again in the next life.
        let went = tokio::select! {
            biased;
            went = round(&logs, &client, &target, &mut cursor) => went,
            () = overdue(&stop) => return,
        };
        let pause = match went {
            Ok(true) => {
                if std::mem::take(&mut failures) > 0 {
                    tracing::info!(%target, "logs are shipped again");
                }
                continue;
            }
            Ok(false) => pace.look,
            Err(why) => {
                if failures == 0 {
                    tracing::warn!(%target, "logs wait to be shipped: {why}");
                }
                let wait = pace.wait(failures, &mut jitter);
                failures = failures.saturating_add(1);
                wait
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// When even what is under way must end.
async fn overdue(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(GRACE).await;
}

/// Passes one batch on; says whether there was one.
async fn round(
    logs: &Logs,
    client: &Client,
    target: &Target,
    cursor: &mut Cursor,
) -> Result<bool, String> {
    let Some(reader) = logs.reader().map_err(|error| error.to_string())? else {
        return Ok(false);
    };
    if let Some(lost) = cursor.fit(&reader) {
        tracing::warn!(%target, lost, "lines were dropped from the log store before they were shipped");
    }
    let from = cursor.next;
    let read = tokio::task::spawn_blocking(move || reader.durable_from(from, BATCH_BYTES)).await;
    let (lines, next) = read.map_err(|error| error.to_string())?;
    if next == from {
        return Ok(false);
    }
    send(client, target, &lines).await?;
    cursor.keep(next).map_err(|error| error.to_string())?;
    Ok(true)
}

/// Sends lines, in smaller batches where they are too many at once.
async fn send(client: &Client, target: &Target, lines: &[Line]) -> Result<(), String> {
    let mut portions = vec![lines];
    while let Some(portion) = portions.pop() {
        if portion.is_empty() {
            continue;
        }
        match post(client, target, portion).await {
            Answer::Taken { refused: 0, .. } => {}
            Answer::Taken { refused, why } => {
                tracing::warn!(%target, refused, "lines were refused and are not sent again: {why}");
            }
            Answer::TooLarge if portion.len() > 1 => {
                let (first, second) = portion.split_at(portion.len() / 2);
                portions.extend([second, first]);
            }
            Answer::TooLarge => {
                tracing::warn!(%target, "a line is too large and is not sent again");
            }
            Answer::Away(why) => return Err(why),
        }
    }
    Ok(())
}

async fn post(client: &Client, target: &Target, lines: &[Line]) -> Answer {
    let (content_type, body) = match target.kind {
        Kind::Loki => ("application/json", body::loki(lines)),
        Kind::Elasticsearch => (
            "application/x-ndjson",
            body::elasticsearch(lines, &target.index),
        ),
    };
    let request = client
        .post(target.url.clone())
        .header(http::header::CONTENT_TYPE, content_type)
        .body(body);
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => return Answer::Away(told(&error)),
    };
    let status = response.status();
    let text = match response.text().await {
        Ok(text) => text,
        Err(error) => return Answer::Away(told(&error)),
    };
    judge(target.kind, status, &text, lines.len() as u64)
}

/// An error and its causes, without the address, which may hold a password.
fn told(error: &reqwest::Error) -> String {
    use std::error::Error;
    let mut cause = error.source();
    let mut text = "no answer".to_owned();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}

fn judge(kind: Kind, status: StatusCode, text: &str, lines: u64) -> Answer {
    let why = || {
        let first: String = text
            .lines()
            .next()
            .unwrap_or_default()
            .chars()
            .take(200)
            .collect();
        format!("{status} {first}").trim_end().to_owned()
    };
    match status.as_u16() {
        200..300 if kind == Kind::Elasticsearch => items(text),
        200..300 => Answer::Taken {
            refused: 0,
            why: String::new(),
        },
        413 => Answer::TooLarge,
        // What is wrong with these lines will be wrong again; what is wrong with the account or the
        // address may be mended.
        400 | 422 => Answer::Taken {
            refused: lines,
            why: why(),
        },
        _ => Answer::Away(why()),
    }
}

/// Elasticsearch answers for each line. One that is there already was sent before.
fn items(text: &str) -> Answer {
    let Ok(answer) = serde_json::from_str::<Value>(text) else {
        return Answer::Away("the answer is not Elasticsearch's".to_owned());
    };
    let items = answer.get("items").and_then(Value::as_array);
    let (mut refused, mut why) = (0, String::new());
    for item in items.into_iter().flatten() {
        let create = item.get("create");
        let status = create.and_then(|it| it.get("status")?.as_u64());
        let reason = || {
            let reason = create.and_then(|it| it.pointer("/error/reason")?.as_str());
            reason.unwrap_or("no reason given").to_owned()
        };
        match status {
            Some(200..300 | 409) => {}
            None | Some(429 | 500..) => return Answer::Away(reason()),
            Some(_) => {
                refused += 1;
                why = reason();
            }
        }
    }
    Answer::Taken { refused, why }
}

/// How far a target came, on disk.
struct Cursor {
    path: PathBuf,
    target: String,
    /// The number of the line that comes next.
    next: u64,
}

impl Cursor {
    fn open(folder: &Path, target: &Target) -> Self {
        let name = target.to_string();
        let path = folder.join(format!("shipped-{:08x}.json", hash(&name, &target.index)));
        let kept = fs::read(&path).ok();
        let kept: Option<Value> = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let next = kept.and_then(|kept| kept.get("next")?.as_u64());
        Self {
            path,
            target: name,
            next: next.unwrap_or(0),
        }
    }

    /// Goes where the store is; says how many lines are not there any more.
    fn fit(&mut self, reader: &Reader) -> Option<u64> {
        // A store that was made anew begins at zero.
        self.next = self.next.min(reader.next_number());
        let first = reader.first_number();
        let lost = first.saturating_sub(self.next);
        // The very first lines of a target that is new are not lost to it: it never had a claim.
        let is_new = self.next == 0 && !self.path.exists();
        self.next = self.next.max(first);
        (lost > 0 && !is_new).then_some(lost)
    }

    /// Written whole or not at all.
    fn keep(&mut self, next: u64) -> io::Result<()> {
        let text = json!({"target": self.target, "next": next}).to_string();
        let new = self.path.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(new, &self.path)?;
        self.next = next;
        Ok(())
    }
}

/// FNV-1a: a name for a file.
fn hash(target: &str, index: &str) -> u32 {
    let bytes = target.bytes().chain([0]).chain(index.bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests;
