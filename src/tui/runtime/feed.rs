//! Follows one resource type of the cluster: a paged list, then a watch, for as long as it is wanted.
//!
//! ```text
//!          list pages           watch
//! Begin ──────────────► Listed ───────► Live ──┐ changes, bookmarks
//!   ▲                                   ▲  │◄──┘
//!   │ 410 Gone                          │  │ lost: wait with jitter,
//!   └───────────────────────────────────┴──┘ resume from the last revision
//! ```
//!
//! Nothing is polled: an idle cluster gets no request but the open watch. Everything goes out as
//! [`FeedEvent`]s over a bounded channel; when the receiver is gone, the feed ends.

use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncBufReadExt, StreamExt};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc::Sender;

use crate::connect::Notice;
use crate::k8s::{ChangeKind, Cluster, Name, Object, Resource, trim};
use crate::stdx::clock;
use crate::stdx::rng::Stream;
use crate::tui::cache::{FeedEvent, FeedState};

use super::siblings::Siblings;

/// What to follow, as discovery describes it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Followed {
    pub resource: Resource,
    pub version: Name,
    pub kind: Name,
    /// Empty: all namespaces, or a cluster-scoped resource.
    pub namespace: Name,
}

/// Events of one kind, for the cache.
pub type Fed = (Resource, FeedEvent);

/// Objects a page: small enough for first rows at once, large enough for few round trips.
const PAGE: usize = 500;
/// Ends a watch before proxies do; it is resumed without a list.
const WATCH_SECONDS: u64 = 290;
/// Changes handed over in one message at most.
const BATCH: usize = 1024;
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(30);
/// A watch that brought nothing and ended before that has failed, however it was answered.
const STOOD: Duration = Duration::from_secs(5);

/// How a feed begins.
#[derive(Clone, Debug)]
pub struct Start {
    /// Of the jitter.
    pub seed: u64,
    /// The objects as of its revision, in place of a list.
    pub given: Option<Cluster>,
}

/// Runs until the receiver is dropped or the server refuses.
pub async fn follow(client: kube::Client, followed: Followed, out: Sender<Fed>, start: Start) {
    let random = Stream::new(start.seed, &followed.resource.to_string());
    let mut feed = Follower {
        client,
        followed,
        out,
        random,
        siblings: Siblings::default(),
        given: start.given,
        revision: None,
        last_good: clock::now(),
        failures: 0,
    };
    while let Some(pause) = feed.round().await {
        tokio::time::sleep(pause).await;
    }
}

struct Follower {
    client: kube::Client,
    followed: Followed,
    out: Sender<Fed>,
    random: Stream,
    siblings: Siblings,
    given: Option<Cluster>,
    /// Where the watch resumes; `None` before the first list and after `410 Gone`.
    revision: Option<String>,
    /// When what was handed out was last known to be current.
    last_good: Timestamp,
    failures: u32,
}

/// Why a round ended early.
enum Ended {
    /// Nobody listens any more.
    Unwanted,
    /// The revision is too old.
    Gone,
    Failed(Notice),
}

impl From<kube::Error> for Ended {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 410 => Self::Gone,
            _ => Self::Failed(Notice::from(error)),
        }
    }
}

#[derive(Deserialize)]
struct ListWire<'a> {
    #[serde(default)]
    metadata: ListMetadata,
    #[serde(borrow, default)]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ListMetadata {
    resource_version: String,
    #[serde(rename = "continue")]
    continue_token: String,
    remaining_item_count: Option<u64>,
}

#[derive(Deserialize)]
struct EventWire<'a> {
    #[serde(rename = "type", borrow)]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct BookmarkWire {
    metadata: ListMetadata,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ErrorWire {
    code: u16,
    message: String,
    reason: String,
}

impl Follower {
    /// Lists if needed and watches until the watch ends. Only a watch that lasts ends a row of
    /// failures: one that is refused after each list would be listed for at full speed. Answers how
    /// long to wait before the next round; `None` when there is none.
    async fn round(&mut self) -> Option<Duration> {
        let outcome = match &self.revision {
            Some(_) => Ok(()),
            None => match self.given.take() {
                Some(objects) => self.begin_with(&objects).await,
                None => self.list().await,
            },
        };
        let outcome = match outcome {
            Ok(()) => self.watch().await,
            Err(ended) => Err(ended),
        };
        match outcome {
            Ok(pause) => Some(pause),
            Err(Ended::Unwanted) => None,
            Err(Ended::Gone) => {
                self.revision = None;
                Some(self.pause())
            }
            Err(Ended::Failed(notice)) => self.report(notice).await,
        }
    }

    async fn report(&mut self, notice: Notice) -> Option<Duration> {
        let why = notice.message;
        match notice.code {
            Some(404 | 405) => self.state(FeedState::Unknown).await.ok()?,
            Some(403) => self.state(FeedState::Forbidden { why }).await.ok()?,
            code => {
                let since = self.last_good;
                let why = match code {
                    Some(401) => "the credentials were refused: asking for new ones".to_owned(),
                    _ => why,
                };
                self.state(FeedState::Lost { since, why }).await.ok()?;
                return Some(self.pause());
            }
        }
        None
    }

    /// Doubles with every failure in a row; half of it is chance, so that many consoles do not come
    /// back at once.
    fn pause(&mut self) -> Duration {
        let full = RETRY_FIRST
            .saturating_mul(1 << self.failures.min(10))
            .min(RETRY_LAST);
        self.failures += 1;
        let half = full / 2;
        let extra = self
            .random
            .below(u64::try_from(half.as_millis()).unwrap_or(0) + 1);
        half + Duration::from_millis(extra)
    }

    async fn send(&self, event: FeedEvent) -> Result<(), Ended> {
        let fed = (self.followed.resource.clone(), event);
        self.out.send(fed).await.map_err(|_unsent| Ended::Unwanted)
    }

    async fn state(&self, state: FeedState) -> Result<(), Ended> {
        self.send(FeedEvent::State(state)).await
    }

    /// Hands out what is known already, as a list would have brought it.
    async fn begin_with(&mut self, known: &Cluster) -> Result<(), Ended> {
        let objects: Vec<Arc<Object>> = known.list(&self.followed.resource).cloned().collect();
        let keys = objects.iter().map(|object| object.key.clone()).collect();
        let total = Some(objects.len());
        for page in objects.chunks(BATCH) {
            let objects = page.to_vec();
            self.send(FeedEvent::Listed { objects, total }).await?;
        }
        self.revision = Some(known.revision().to_string());
        self.send(FeedEvent::Complete {
            keys: Arc::new(keys),
        })
        .await
    }

    async fn list(&mut self) -> Result<(), Ended> {
        let mut continue_token = String::new();
        let mut keys = Vec::new();
        loop {
            let mut query = format!("limit={PAGE}");
            if !continue_token.is_empty() {
                query.push_str("&continue=");
                query.push_str(&escaped(&continue_token));
            }
            let text = self.client.request_text(self.request(&query)?).await?;
            let list: ListWire<'_> =
                serde_json::from_str(&text).map_err(kube::Error::SerdeError)?;
            let mut objects = Vec::with_capacity(list.items.len());
            for item in list.items {
                if let Some(object) = self.object(item.get()) {
                    keys.push(object.key.clone());
                    objects.push(object);
                }
            }
            let remaining = list.metadata.remaining_item_count.map(usize::try_from);
            let total = remaining
                .and_then(Result::ok)
                .map(|remaining| keys.len() + remaining);
            self.send(FeedEvent::Listed { objects, total }).await?;
            continue_token = list.metadata.continue_token;
            if continue_token.is_empty() {
                self.revision = Some(list.metadata.resource_version);
                break;
            }
        }
        self.send(FeedEvent::Complete {
            keys: Arc::new(keys),
        })
        .await
    }

    async fn watch(&mut self) -> Result<Duration, Ended> {
        let revision = self.revision.clone().unwrap_or_default();
        let query = format!(
            "watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={}",
            escaped(&revision)
        );
        let lines = self
            .client
            .request_stream(self.request(&query)?)
            .await?
            .lines();
        let opened = clock::instant();
        self.last_good = clock::now();
        self.state(FeedState::Live {
            since: self.last_good,
        })
        .await?;
        let mut brought = false;
        let mut batches = Box::pin(lines.ready_chunks(BATCH));
        while let Some(batch) = batches.next().await {
            let mut changes = Vec::with_capacity(batch.len());
            let mut end = None;
            for line in batch {
                match line {
                    Ok(line) => match self.event(&line) {
                        Ok(change) => changes.extend(change),
                        Err(ended) => end = Some(ended),
                    },
                    Err(error) => end = Some(Ended::from(kube::Error::ReadEvents(error))),
                }
            }
            brought |= end.is_none() || !changes.is_empty();
            if brought || opened.elapsed() >= STOOD {
                self.failures = 0;
            }
            if !changes.is_empty() {
                self.last_good = clock::now();
                self.send(FeedEvent::Changed(changes)).await?;
            }
            if let Some(ended) = end {
                // Up to now the watch stood: silence meant that nothing had changed.
                self.last_good = clock::now();
                return Err(ended);
            }
        }
        self.last_good = clock::now();
        // Asked at once again, a server that opens no watches would be asked without end.
        if opened.elapsed() < STOOD && !brought {
            return Ok(self.pause());
        }
        self.failures = 0;
        Ok(Duration::ZERO)
    }

    fn event(&mut self, line: &str) -> Result<Option<(ChangeKind, Arc<Object>)>, Ended> {
        if line.trim().is_empty() {
            return Ok(None);
        }
        let event: EventWire<'_> = serde_json::from_str(line).map_err(kube::Error::SerdeError)?;
        let kind = match event.kind {
            "ADDED" => ChangeKind::Added,
            "MODIFIED" => ChangeKind::Modified,
            "DELETED" => ChangeKind::Deleted,
            "BOOKMARK" => {
                if let Ok(bookmark) = serde_json::from_str::<BookmarkWire>(event.object.get()) {
                    self.revision = Some(bookmark.metadata.resource_version);
                }
                return Ok(None);
            }
            _ => return Err(watch_error(event.object.get())),
        };
        let Some(object) = self.object(event.object.get()) else {
            return Ok(None);
        };
        self.revision = Some(object.revision.to_string());
        Ok(Some((kind, object)))
    }

    /// An object that is not what its kind requires is left out, and said so in the log.
    fn object(&mut self, json: &str) -> Option<Arc<Object>> {
        let followed = &self.followed;
        let bytes = trim::trimmed(json, &followed.api_version(), &followed.kind);
        match Object::parse(followed.resource.clone(), bytes) {
            Ok(mut object) => {
                self.siblings.pack(&mut object);
                Some(Arc::new(object))
            }
            Err(error) => {
                tracing::warn!(resource = %followed.resource, %error, "object left out");
                None
            }
        }
    }

    fn request(&self, query: &str) -> Result<http::Request<Vec<u8>>, Ended> {
        let request = http::Request::get(format!("{}?{query}", self.followed.path()));
        request
            .body(Vec::new())
            .map_err(|error| Ended::from(kube::Error::HttpError(error)))
    }
}

impl Followed {
    pub fn api_version(&self) -> String {
        if self.resource.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.resource.group, self.version)
        }
    }

    /// `/apis/apps/v1/namespaces/shop/deployments`.
    pub fn path(&self) -> String {
        let root = if self.resource.group.is_empty() {
            "/api"
        } else {
            "/apis"
        };
        let namespace = if self.namespace.is_empty() {
            String::new()
        } else {
            format!("/namespaces/{}", self.namespace)
        };
        format!(
            "{root}/{}{namespace}/{}",
            self.api_version(),
            self.resource.plural
        )
    }
}

fn watch_error(status: &str) -> Ended {
    let error: ErrorWire = serde_json::from_str(status).unwrap_or_default();
    if error.code == 410 {
        return Ended::Gone;
    }
    Ended::Failed(Notice {
        code: Some(error.code),
        reason: error.reason,
        message: error.message,
        retryable: true,
    })
}

/// Percent-encodes what may not stand in a query value.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 0xf] {
                out.extend(
                    char::from_digit(u32::from(nibble), 16).map(|digit| digit.to_ascii_uppercase()),
                );
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_group_and_scope() {
        let mut followed = Followed {
            resource: crate::k8s::resources::DEPLOYMENTS,
            version: "v1".into(),
            kind: "Deployment".into(),
            namespace: "shop".into(),
        };
        assert_eq!(followed.path(), "/apis/apps/v1/namespaces/shop/deployments");
        followed.resource = crate::k8s::resources::NODES;
        followed.namespace = Name::default();
        assert_eq!(followed.path(), "/api/v1/nodes");
    }

    #[test]
    fn query_values_are_escaped() {
        assert_eq!(escaped("eyJ2IjoibWV0YSJ9=="), "eyJ2IjoibWV0YSJ9%3D%3D");
    }
}
