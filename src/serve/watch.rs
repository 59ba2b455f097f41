//! Watches as streaming bodies: what the cursor finds in each new snapshot.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response as HttpResponse;
use bytes::Bytes;
use futures::stream;
use tokio::sync::watch::Receiver;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::apiserver::watch::Cursor;
use crate::apiserver::{Request, Status};
use crate::plane::Published;

use super::driver::{Driver, Time};
use super::http::streamed;

/// kube-apiserver sends a bookmark about once a minute.
const BOOKMARK_EVERY: Duration = Duration::from_mins(1);
/// kube-apiserver ends a watch without a timeout after 30 to 60 minutes.
const TIMEOUT_DEFAULT: Duration = Duration::from_mins(30);

struct Follow {
    cursor: Cursor,
    published: Receiver<Arc<Published>>,
    deadline: Instant,
    bookmarks: bool,
    next_bookmark: Instant,
    stopped: CancellationToken,
    time: Time,
    waiting: VecDeque<Bytes>,
    over: bool,
}

/// Begins a watch; the first events are looked up at once, so that a refusal has its own status.
pub fn start(driver: &Driver, request: &Request) -> Result<HttpResponse, Status> {
    let mut published = driver.subscribe();
    let present = Arc::clone(&published.borrow_and_update());
    let mut cursor = Cursor::open(&present.registry, &present.snapshot, request, driver.now())?;
    let waiting = cursor.next_events(&present.registry, &present.snapshot, driver.now())?;
    let timeout = request
        .options
        .timeout_seconds
        .filter(|seconds| *seconds > 0)
        .map_or(TIMEOUT_DEFAULT, Duration::from_secs);
    let now = Instant::now();
    let follow = Follow {
        cursor,
        published,
        deadline: now + timeout,
        bookmarks: request.options.allow_watch_bookmarks,
        next_bookmark: now + BOOKMARK_EVERY,
        stopped: driver.stopped().clone(),
        time: driver.time(),
        waiting: waiting.into(),
        over: false,
    };
    let chunks = stream::unfold(follow, |mut follow| async move {
        let chunk = follow.next_chunk().await?;
        Some((chunk, follow))
    });
    Ok(streamed(chunks, "application/json"))
}

impl Follow {
    async fn next_chunk(&mut self) -> Option<Bytes> {
        loop {
            if let Some(chunk) = self.waiting.pop_front() {
                return Some(chunk);
            }
            if self.over {
                return None;
            }
            let wake = self.deadline.min(if self.bookmarks {
                self.next_bookmark
            } else {
                self.deadline
            });
            tokio::select! {
                biased;
                () = self.stopped.cancelled() => return None,
                changed = self.published.changed() => {
                    changed.ok()?;
                    self.look();
                }
                () = tokio::time::sleep_until(wake) => self.timer(),
            }
        }
    }

    /// Collects what a new snapshot brings; a failure is the stream's last event.
    fn look(&mut self) {
        let present = Arc::clone(&self.published.borrow_and_update());
        let found = self
            .cursor
            .next_events(&present.registry, &present.snapshot, (self.time)());
        match found {
            Ok(chunks) => self.waiting.extend(chunks),
            Err(status) => {
                self.waiting.push_back(Cursor::error_line(&status));
                self.over = true;
            }
        }
    }

    fn timer(&mut self) {
        let now = Instant::now();
        if now >= self.deadline {
            self.over = true;
        }
        if self.bookmarks {
            self.next_bookmark = now + BOOKMARK_EVERY;
            self.waiting.extend(self.cursor.bookmark());
        }
    }
}
