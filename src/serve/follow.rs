//! Logs that are followed: what a pod says from now on, as it says it.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response as HttpResponse;
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, header};
use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;

use crate::apiserver::{self, Request, Response, Status, Target, Verb};
use crate::k8s::columns::PodColumns;
use crate::k8s::{ObjectKey, Revision, resources};
use crate::plane::Published;
use crate::stdx::clock;

use super::driver::Driver;

struct Follow {
    /// The request for the whole log, whatever part was asked for at first.
    whole: Request,
    pod: ObjectKey,
    /// How much of the whole log was there already.
    said: usize,
    /// The pod as it was read last; its log changes only with it.
    seen: Revision,
    published: Receiver<Arc<Published>>,
    stopped: CancellationToken,
    first: Option<Bytes>,
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
    let first = read(&present, request);
    if !first.is_success() {
        return Err(first);
    }
    let mut whole = request.clone();
    let parts = ["tailLines", "sinceSeconds", "sinceTime", "limitBytes"];
    whole
        .options
        .other
        .retain(|(name, _)| !parts.contains(&name.as_str()));
    let follow = Follow {
        said: read(&present, &whole).body.len(),
        whole,
        pod,
        seen: Revision::default(),
        published,
        stopped: driver.stopped().clone(),
        first: Some(first.body),
    };
    let chunks = stream::unfold(follow, |mut follow| async move {
        let chunk = follow.next_chunk().await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), follow))
    });
    let mut response = HttpResponse::new(Body::from_stream(chunks));
    let text = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    Ok(response)
}

fn read(present: &Published, request: &Request) -> Response {
    apiserver::read(&present.registry, &present.snapshot, request, clock::now())
}

impl Follow {
    async fn next_chunk(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            let present = Arc::clone(&self.published.borrow_and_update());
            let pod = present.snapshot.cluster.get(&self.pod)?;
            if pod.revision != self.seen {
                self.seen = pod.revision;
                let log = read(&present, &self.whole);
                if !log.is_success() {
                    return None;
                }
                // A container that began anew has a shorter log: all of it is new.
                let length = log.body.len();
                let known = if length < self.said { 0 } else { self.said };
                self.said = length;
                if length > known {
                    return Some(log.body.slice(known..));
                }
            }
            if pod.pod().is_some_and(PodColumns::is_finished) {
                return None;
            }
            tokio::select! {
                biased;
                () = self.stopped.cancelled() => return None,
                changed = self.published.changed() => changed.ok()?,
            }
        }
    }
}
