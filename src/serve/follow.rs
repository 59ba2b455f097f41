//! Logs that are followed: what a pod says from now on, as it says it.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::response::Response as HttpResponse;
use bytes::Bytes;
use futures::stream;
use jiff::Timestamp;
use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;

use crate::apiserver::{self, Request, Response, Status, Target, Verb};
use crate::k8s::columns::PodColumns;
use crate::k8s::{ChangeKind, Object, ObjectKey, Revision, resources};
use crate::plane::Published;

use super::driver::{Driver, Time};
use super::http::streamed;

struct Follow {
    /// The request for the whole log with its times, whatever part was asked for at first.
    whole: Request,
    pod: ObjectKey,
    /// The whole log as it was last: lines with their times, which tell a container from its
    /// successor.
    said: String,
    /// Whether the reader wants the times too.
    timestamps: bool,
    /// The snapshot that was read last.
    seen: Revision,
    published: Receiver<Arc<Published>>,
    stopped: CancellationToken,
    time: Time,
    waiting: VecDeque<Bytes>,
    over: bool,
}

/// Whether this asks for a log that goes on.
pub fn is_asked(request: &Request) -> bool {
    let Target::Resource(target) = &request.target else {
        return false;
    };
    let follow = request.options.other("follow").unwrap_or_default();
    request.verb == Verb::Get
        && target.resource_type() == resources::PODS
        && target.subresource == "log"
        && matches!(follow, "true" | "1" | "True")
}

/// Begins with what was asked for; then everything that is added, until the pod has ended.
pub fn start(driver: &Driver, request: &Request) -> Result<HttpResponse, Response> {
    let mut published = driver.subscribe();
    let present = Arc::clone(&published.borrow_and_update());
    let Target::Resource(target) = &request.target else {
        return Err(Status::unknown_path().into());
    };
    let pod = ObjectKey::new(resources::PODS, &target.namespace, &target.name);
    let Some(object) = present.snapshot.cluster.get(&pod) else {
        return Err(read(&present, request, driver.now()));
    };
    let is_over = object.pod().is_some_and(PodColumns::is_finished);
    let first = read(&present, request, driver.now());
    if !first.is_success() {
        return Err(first);
    }
    let mut whole = request.clone();
    let parts = [
        "tailLines",
        "sinceSeconds",
        "sinceTime",
        "limitBytes",
        "timestamps",
    ];
    whole
        .options
        .other
        .retain(|(name, _)| !parts.contains(&name.as_str()));
    whole
        .options
        .other
        .push(("timestamps".into(), "true".into()));
    let follow = Follow {
        said: text_of(&read(&present, &whole, driver.now())),
        timestamps: matches!(
            request.options.other("timestamps"),
            Some("true" | "1" | "True")
        ),
        whole,
        pod,
        seen: present.snapshot.revision(),
        published,
        stopped: driver.stopped().clone(),
        time: driver.time(),
        waiting: VecDeque::from([first.body]),
        over: is_over,
    };
    let chunks = stream::unfold(follow, |mut follow| async move {
        let chunk = follow.next_chunk().await?;
        Some((chunk, follow))
    });
    Ok(streamed(chunks, "text/plain"))
}

fn read(present: &Published, request: &Request, now: Timestamp) -> Response {
    apiserver::read(&present.registry, &present.snapshot, request, now)
}

fn text_of(log: &Response) -> String {
    String::from_utf8_lossy(&log.body).into_owned()
}

/// The lines of `now` that were not said before.
fn fresh(said: &str, now: &str, timestamps: bool) -> String {
    let mut fresh = String::new();
    for line in now.lines() {
        if said.lines().any(|known| known == line) {
            continue;
        }
        let bare = line.split_once(' ').map_or(line, |(_time, text)| text);
        fresh.push_str(if timestamps { line } else { bare });
        fresh.push('\n');
    }
    fresh
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
            tokio::select! {
                biased;
                () = self.stopped.cancelled() => return None,
                changed = self.published.changed() => changed.ok()?,
            }
            self.look();
        }
    }

    /// Reads every state that the pod has had since the last look: it may have ended and be gone
    /// in one snapshot, and its last words count.
    fn look(&mut self) {
        let present = Arc::clone(&self.published.borrow_and_update());
        let since = std::mem::replace(&mut self.seen, present.snapshot.revision());
        let Ok(changes) = present.snapshot.changes_after(&resources::PODS, since) else {
            self.catch_up(&present);
            return;
        };
        let pod = self.pod.clone();
        for change in changes.filter(|change| change.object.key == pod) {
            self.read_state(&present, &change.object);
            self.over |= change.kind == ChangeKind::Deleted;
            if self.over {
                return;
            }
        }
    }

    /// More has happened than the watch log holds: what is there now has to do.
    fn catch_up(&mut self, present: &Published) {
        match present.snapshot.cluster.get(&self.pod) {
            Some(pod) => self.read_state(present, pod),
            None => self.over = true,
        }
    }

    fn read_state(&mut self, present: &Published, pod: &Object) {
        let Published { snapshot, registry } = present;
        let now = (self.time)();
        let log = apiserver::pod_log(registry, &snapshot.cluster, pod, &self.whole, now);
        // A container that waits for its restart has nothing new to say.
        if log.is_success() {
            let now = text_of(&log);
            let fresh = fresh(&self.said, &now, self.timestamps);
            if !fresh.is_empty() {
                self.waiting.push_back(fresh.into());
            }
            self.said = now;
        }
        self.over |= pod.pod().is_some_and(PodColumns::is_finished);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_said_and_a_successor_says_everything() {
        let first = "1 simulated\n1 started\n2 ready\n";
        let ended = "1 simulated\n1 started\n3 terminated\n";
        let next = "9 simulated\n9 started\n";
        assert_eq!(fresh(first, first, false), "");
        assert_eq!(fresh(first, ended, false), "terminated\n");
        assert_eq!(fresh(ended, next, false), "simulated\nstarted\n");
        assert_eq!(fresh(first, ended, true), "3 terminated\n");
    }
}
