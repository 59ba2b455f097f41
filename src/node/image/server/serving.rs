//! What the registry gives: manifests, blobs or parts of them, and lists.
//!
//! Source: OCI distribution specification 1.1, "Pull" and "Content Discovery".

use std::io::SeekFrom;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::json;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::answer::Refusal;
use super::repository::{self, Repository};
use super::route::{self, Reference};
use super::{Context, DIGEST, Outcome, plain};
use crate::node::image::store::MANIFEST_BYTES_MAX;

/// Bytes read from the disk at a time.
const READ_BYTES: usize = 128 << 10;
const FILTERS: http::HeaderName = http::HeaderName::from_static("oci-filters-applied");
const SUBJECT: http::HeaderName = http::HeaderName::from_static("oci-subject");
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const JSON: &str = "application/json";

pub async fn manifest(context: &Context, name: &str, reference: &Reference) -> Outcome {
    let (digest, kept) = Repository::new(&context.store, name).manifest(reference)?;
    let bytes = tokio::fs::read(context.store.blob(&digest)).await;
    let bytes = bytes.map_err(|_gone| Refusal::unknown_manifest(name, &digest))?;
    let headers = [
        (header::CONTENT_TYPE, kept.media_type),
        (header::CONTENT_LENGTH, bytes.len().to_string()),
        (header::ETAG, format!("\"{digest}\"")),
        (DIGEST, digest),
    ];
    Ok(plain(StatusCode::OK, &headers, Body::from(bytes)))
}

pub async fn put_manifest(
    context: &Context,
    name: &str,
    reference: &Reference,
    headers: &HeaderMap,
    body: Body,
) -> Outcome {
    let limit = usize::try_from(MANIFEST_BYTES_MAX).unwrap_or(usize::MAX);
    let bytes: Bytes = axum::body::to_bytes(body, limit).await.map_err(|error| {
        let message = format!("a manifest of at most {limit} bytes is expected: {error}");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "MANIFEST_INVALID", message)
    })?;
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().split(';').next();
    let repository = Repository::new(&context.store, name);
    let put = repository.put_manifest(reference, content_type.unwrap_or_default().trim(), &bytes);
    let (digest, subject) = put?;
    let mut headers = vec![
        (header::LOCATION, format!("/v2/{name}/manifests/{digest}")),
        (DIGEST, digest),
    ];
    headers.extend(subject.map(|subject| (SUBJECT, subject)));
    Ok(plain(StatusCode::CREATED, &headers, Body::empty()))
}

pub fn delete_manifest(context: &Context, name: &str, reference: &Reference) -> Outcome {
    Repository::new(&context.store, name).delete_manifest(reference)?;
    Ok(plain(StatusCode::ACCEPTED, &[], Body::empty()))
}

pub fn delete_blob(context: &Context, name: &str, digest: &str) -> Outcome {
    Repository::new(&context.store, name).unlink_blob(digest)?;
    Ok(plain(StatusCode::ACCEPTED, &[], Body::empty()))
}

/// A blob, whole or the part that `Range` asks for.
pub async fn blob(
    context: &Context,
    name: &str,
    digest: &str,
    (method, headers): (&Method, &HeaderMap),
) -> Outcome {
    if !Repository::new(&context.store, name).has_blob(digest) {
        return Err(Refusal::unknown_blob(name, digest));
    }
    let opened = async {
        let file = File::open(context.store.blob(digest)).await?;
        let length = file.metadata().await?.len();
        Ok((file, length))
    };
    let (mut file, length) = opened.await.map_err(|error| Refusal::disk(&error))?;
    let asked = headers.get(header::RANGE).and_then(|it| it.to_str().ok());
    let part = match asked.map(|asked| Part::of(asked, length)) {
        Some(None) => {
            let message = format!("the blob has {length} bytes");
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            return Err(Refusal::new(status, "SIZE_INVALID", message)
                .with(header::CONTENT_RANGE, format!("bytes */{length}")));
        }
        Some(part) => part,
        None => None,
    };
    let size = part.map_or(length, |part| part.end - part.begin);
    let mut answer = vec![
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::ETAG, format!("\"{digest}\"")),
        (DIGEST, digest.to_owned()),
    ];
    let status = match part {
        None => StatusCode::OK,
        Some(Part { begin, end }) => {
            let range = format!("bytes {begin}-{}/{length}", end - 1);
            answer.push((header::CONTENT_RANGE, range));
            let moved = file.seek(SeekFrom::Start(begin)).await;
            moved.map_err(|error| Refusal::disk(&error))?;
            StatusCode::PARTIAL_CONTENT
        }
    };
    let body = if *method == Method::HEAD {
        Body::empty()
    } else {
        Body::from_stream(ReaderStream::with_capacity(file.take(size), READ_BYTES))
    };
    Ok(plain(status, &answer, body))
}

pub fn tags(context: &Context, name: &str, query: Option<&str>) -> Outcome {
    let repository = Repository::new(&context.store, name);
    if !repository.exists() {
        return Err(Refusal::unknown_name(name));
    }
    let (tags, next) = page(repository.tags(), query)?;
    let next = next.map(|query| format!("</v2/{name}/tags/list?{query}>; rel=\"next\""));
    Ok(list(&json!({"name": name, "tags": tags}), JSON, next))
}

pub fn catalog(context: &Context, query: Option<&str>) -> Outcome {
    let (names, next) = page(repository::all(&context.store), query)?;
    let next = next.map(|query| format!("</v2/_catalog?{query}>; rel=\"next\""));
    Ok(list(&json!({"repositories": names}), JSON, next))
}

pub fn referrers(context: &Context, name: &str, digest: &str, query: Option<&str>) -> Response {
    let filter = route::query(query, "artifactType");
    let manifests = Repository::new(&context.store, name).referrers(digest, filter.as_deref());
    let body = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    let mut response = list(&body, INDEX, None);
    if filter.is_some() {
        let value = http::HeaderValue::from_static("artifactType");
        response.headers_mut().insert(FILTERS, value);
    }
    response
}

fn list(body: &serde_json::Value, media_type: &str, next: Option<String>) -> Response {
    let mut headers = vec![(header::CONTENT_TYPE, media_type.to_owned())];
    headers.extend(next.map(|next| (header::LINK, next)));
    plain(StatusCode::OK, &headers, Body::from(body.to_string()))
}

/// The names after `last`, at most `n`; and the query of the page after them.
fn page(names: Vec<String>, query: Option<&str>) -> Result<(Vec<String>, Option<String>), Refusal> {
    let last = route::query(query, "last").unwrap_or_default();
    let mut after: Vec<String> = names.into_iter().filter(|name| *name > last).collect();
    let Some(asked) = route::query(query, "n") else {
        return Ok((after, None));
    };
    let count: usize = asked.parse().map_err(|_not_one| {
        let message = format!("`n={asked}` is no number of names");
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "PAGINATION_NUMBER_INVALID",
            message,
        )
    })?;
    if after.len() <= count {
        return Ok((after, None));
    }
    after.truncate(count);
    let next = after.last().map(|last| format!("n={count}&last={last}"));
    Ok((after, next))
}

/// A part of a blob: from `begin` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    begin: u64,
    end: u64,
}

impl Part {
    /// Reads `bytes=a-b`, `bytes=a-` and `bytes=-n`; `None` if the blob has nothing of it. One part
    /// at a time: nobody asks a registry for several.
    fn of(asked: &str, length: u64) -> Option<Self> {
        let (first, last) = asked.strip_prefix("bytes=")?.split_once('-')?;
        let (begin, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) => (first, last.saturating_add(1).min(length)),
            (Ok(first), Err(_)) if last.is_empty() => (first, length),
            (Err(_), Ok(count)) if first.is_empty() => (length.saturating_sub(count), length),
            _ => return None,
        };
        (begin < end).then_some(Self { begin, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_blob_are_read_as_http_says() {
        let part = |asked| Part::of(asked, 10).map(|part| (part.begin, part.end));
        assert_eq!(part("bytes=0-3"), Some((0, 4)));
        assert_eq!(part("bytes=4-"), Some((4, 10)));
        assert_eq!(part("bytes=-3"), Some((7, 10)));
        assert_eq!(part("bytes=8-99"), Some((8, 10)));
        assert_eq!(part("bytes=0-18446744073709551615"), Some((0, 10)));
        for nothing in [
            "bytes=10-",
            "bytes=5-4",
            "bytes=-0",
            "bytes=a-b",
            "lines=1-2",
        ] {
            assert_eq!(part(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn lists_come_in_pages() {
        let names = || vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let paged = |query| page(names(), query).ok();
        assert_eq!(paged(None), Some((names(), None)));
        let first = Some((
            vec!["a".to_owned(), "b".to_owned()],
            Some("n=2&last=b".to_owned()),
        ));
        assert_eq!(paged(Some("n=2")), first);
        assert_eq!(
            paged(Some("n=2&last=b")),
            Some((vec!["c".to_owned()], None))
        );
        assert_eq!(paged(Some("n=0")), Some((Vec::new(), None)));
        assert_eq!(paged(Some("n=two")), None);
    }
}
