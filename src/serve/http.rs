//! HTTP to the API server's values and back.
//!
//! Reads run on the published snapshot in the connection's own task; writes go to the driver;
//! watches follow the snapshots, streams to containers go to their nodes. Nothing here knows what a resource means.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Extension, State};
use axum::response::Response as HttpResponse;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue, StatusCode, header, request};

use crate::apiserver::request::{Target, Verb};
use crate::apiserver::{self, Request, Response, Status, User};

use super::driver::{Driver, Stopped};
use super::{compression, follow, identity, logs, metrics, streams, watch};

/// kube-apiserver's limit on request bodies.
const BODY_BYTES_MAX: usize = 3 << 20;
/// Who a connection belongs to; `None` showed no certificate.
#[derive(Clone, Debug)]
pub struct Peer(pub Option<User>);

/// The service of one connection.
pub fn router(driver: Driver, peer: Peer) -> Router {
    Router::new()
        .fallback(answer)
        .layer(Extension(peer))
        .with_state(driver)
}

async fn answer(
    State(driver): State<Driver>,
    Extension(peer): Extension<Peer>,
    request: http::Request<Body>,
) -> HttpResponse {
    let (mut parts, body) = request.into_parts();
    let outcome = match understand(&driver, &parts, &peer, body).await {
        Ok(request) => respond(&driver, request, &mut parts).await,
        Err(status) => Err(status),
    };
    let response = outcome.unwrap_or_else(|status| Answer::Whole(Response::from(status)));
    match response {
        Answer::Whole(response) => whole(response, &parts),
        Answer::Stream(response) => response,
    }
}

enum Answer {
    Whole(Response),
    Stream(HttpResponse),
}

async fn understand(
    driver: &Driver,
    parts: &request::Parts,
    peer: &Peer,
    body: Body,
) -> Result<Request, Status> {
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or_default();
    let mut request = Request::parse(parts.method.as_str(), path, query)?;
    request.user = identity::of_request(&driver.published(), peer.0.as_ref(), &parts.headers)?;
    request.agent = text(&parts.headers, header::USER_AGENT);
    request.content_type = media_type(&parts.headers);
    request.accept = text(&parts.headers, header::ACCEPT);
    request.body = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_error| {
        let limit = format!("limit is {BODY_BYTES_MAX}");
        let message = format!("Request entity too large: {limit}");
        Status::new(413, "RequestEntityTooLarge", message)
    })?;
    Ok(request)
}

async fn respond(
    driver: &Driver,
    request: Request,
    parts: &mut request::Parts,
) -> Result<Answer, Status> {
    let published = driver.published();
    apiserver::authorize(&published.snapshot.cluster, &request.user, &request)?;
    if request.verb == Verb::Watch && matches!(request.target, Target::Resource(_)) {
        return watch::start(driver, &request).map(Answer::Stream);
    }
    if streams::is_asked(&request) {
        return streams::start(driver, &published, &request, parts)
            .await
            .map(Answer::Stream);
    }
    if let Some(answer) = driver.nodes().answer(&published.snapshot.cluster, &request) {
        return answer.map(Answer::Stream);
    }
    if let Some(answer) = logs::answer(driver, &request) {
        return answer.map(Answer::Stream);
    }
    if let Some(answer) = metrics::answer(driver.nodes(), &published, &request) {
        return answer.map(Answer::Whole);
    }
    if follow::is_asked(&request) {
        return Ok(follow::start(driver, &request).map_or_else(Answer::Whole, Answer::Stream));
    }
    if request.is_read() {
        let pages = driver.pages();
        let source = apiserver::continued_at(&request)
            .and_then(|revision| pages.at(revision))
            .unwrap_or(published);
        let measures =
            matches!(request.target, Target::Path(_)) && !driver.nodes().usages().is_empty();
        let registry = if measures {
            Arc::new(source.registry.with_metrics())
        } else {
            Arc::clone(&source.registry)
        };
        let response = apiserver::read(&registry, &source.snapshot, &request, driver.now());
        if response.continued {
            pages.keep(&source);
        }
        return Ok(Answer::Whole(response));
    }
    let response = driver.write(request).await.map_err(|Stopped| stopped())?;
    Ok(Answer::Whole(response))
}

/// An answer that is sent in pieces, as they come.
pub(super) fn streamed(
    chunks: impl Stream<Item = Bytes> + Send + 'static,
    content_type: &'static str,
) -> HttpResponse {
    let chunks = chunks.map(Ok::<_, std::convert::Infallible>);
    let mut response = HttpResponse::new(Body::from_stream(chunks));
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

fn stopped() -> Status {
    Status::new(503, "ServiceUnavailable", Stopped.to_string())
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> String {
    let values: Vec<&str> = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    values.join(",")
}

fn media_type(headers: &HeaderMap) -> String {
    let full = text(headers, header::CONTENT_TYPE);
    let bare = full.split(';').next().unwrap_or_default();
    bare.trim().to_ascii_lowercase()
}

fn whole(response: Response, parts: &request::Parts) -> HttpResponse {
    let accepts_gzip = text(&parts.headers, header::ACCEPT_ENCODING)
        .split(',')
        .any(|coding| coding.trim().starts_with("gzip"));
    let mut body: Bytes = response.body;
    let mut headers = HeaderMap::new();
    for (name, value) in response.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.append(name, value);
        }
    }
    if accepts_gzip && let Some(smaller) = compression::gzip(&body) {
        body = smaller;
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    let mut answer = HttpResponse::new(Body::from(body));
    *answer.status_mut() =
        StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *answer.headers_mut() = headers;
    answer
}
