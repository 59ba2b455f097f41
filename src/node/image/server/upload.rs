//! Pushing a blob: at once, in chunks, or by saying that another repository has it.
//!
//! What was pushed so far stands in a file of the repository; its length is how far the upload is.
//! One request at a time writes it, which a lock on the file sees to.
//!
//! Source: OCI distribution specification 1.1, "Pushing blobs".

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use futures::StreamExt;
use http::{HeaderMap, HeaderName, StatusCode, header};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;

use super::answer::Refusal;
use super::repository::Repository;
use super::{Context, DIGEST, plain, random, route};
use crate::node::image::registry::blocking;

/// A client that sends nothing for this long has gone away.
const SILENCE: Duration = Duration::from_mins(1);
/// How long a request waits for the one before it. A process that is being started shares the lock
/// for the moment until it runs its program.
const PATIENCE: Duration = Duration::from_millis(500);
const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// `POST /v2/<name>/blobs/uploads/`
pub async fn begin(
    context: &Context,
    name: &str,
    query: Option<&str>,
    body: Body,
) -> Result<Response, Refusal> {
    let repository = Repository::new(&context.store, name);
    if let Some(digest) = route::query(query, "mount") {
        let digest = route::digest(&digest)?;
        let from = route::query(query, "from").filter(|from| route::is_name(from));
        let has = from.is_some_and(|from| Repository::new(&context.store, &from).has_blob(&digest));
        if has {
            repository.link_blob(&digest)?;
            return Ok(created(name, &digest));
        }
    }
    let folder = repository.uploads();
    let id = random();
    let path = folder.join(&id);
    let made = async {
        tokio::fs::create_dir_all(&folder).await?;
        File::create(&path).await
    };
    made.await.map_err(|error| Refusal::disk(&error))?;
    match route::query(query, "digest") {
        None => Ok(progress(StatusCode::ACCEPTED, name, &id, 0)),
        Some(digest) => {
            let file = lock(&path, &id).await?;
            if let Err(refusal) = append(file, body).await {
                // Nobody knows this upload's name: nothing goes on from here.
                discard(&path).await;
                return Err(refusal);
            }
            finish(context, &repository, name, &path, &digest).await
        }
    }
}

/// `PATCH /v2/<name>/blobs/uploads/<id>`
pub async fn chunk(
    context: &Context,
    name: &str,
    id: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let path = Repository::new(&context.store, name).uploads().join(id);
    let file = lock(&path, id).await?;
    in_order(&file, headers, name, id).await?;
    let length = append(file, body).await?;
    Ok(progress(StatusCode::ACCEPTED, name, id, length))
}

/// `PUT /v2/<name>/blobs/uploads/<id>?digest=…`
pub async fn complete(
    context: &Context,
    name: &str,
    id: &str,
    (query, headers): (Option<&str>, &HeaderMap),
    body: Body,
) -> Result<Response, Refusal> {
    let repository = Repository::new(&context.store, name);
    let path = repository.uploads().join(id);
    let file = lock(&path, id).await?;
    let digest = route::query(query, "digest").unwrap_or_default();
    let digest = route::digest(&digest)?;
    in_order(&file, headers, name, id).await?;
    append(file, body).await?;
    finish(context, &repository, name, &path, &digest).await
}

/// `GET /v2/<name>/blobs/uploads/<id>`
pub async fn status(context: &Context, name: &str, id: &str) -> Result<Response, Refusal> {
    let path = Repository::new(&context.store, name).uploads().join(id);
    let found = tokio::fs::metadata(&path).await;
    let length = found.map_err(|_gone| Refusal::unknown_upload(id))?.len();
    Ok(progress(StatusCode::NO_CONTENT, name, id, length))
}

/// `DELETE /v2/<name>/blobs/uploads/<id>`
pub async fn cancel(context: &Context, name: &str, id: &str) -> Result<Response, Refusal> {
    let path = Repository::new(&context.store, name).uploads().join(id);
    let removed = tokio::fs::remove_file(&path).await;
    removed.map_err(|_gone| Refusal::unknown_upload(id))?;
    Ok(plain(StatusCode::NO_CONTENT, &[], Body::empty()))
}

/// The upload's file, for one request at a time.
async fn lock(path: &Path, id: &str) -> Result<File, Refusal> {
    let file = OpenOptions::new().append(true).open(path).await;
    let file = file.map_err(|_gone| Refusal::unknown_upload(id))?;
    let file = file.into_std().await;
    let patience = tokio::time::Instant::now() + PATIENCE;
    while file.try_lock().is_err() {
        if tokio::time::Instant::now() >= patience {
            let message = format!("another request is writing upload `{id}`");
            return Err(Refusal::new(
                StatusCode::CONFLICT,
                "BLOB_UPLOAD_INVALID",
                message,
            ));
        }
        tokio::time::sleep(PATIENCE / 50).await;
    }
    Ok(File::from_std(file))
}

/// A chunk that says where it begins must begin where the last one ended.
async fn in_order(file: &File, headers: &HeaderMap, name: &str, id: &str) -> Result<(), Refusal> {
    let Some(range) = headers.get(header::CONTENT_RANGE) else {
        return Ok(());
    };
    let have = file
        .metadata()
        .await
        .map_err(|error| Refusal::disk(&error))?
        .len();
    let range = range.to_str().unwrap_or_default();
    let first = range.trim_start_matches("bytes ").split('-').next();
    if first.and_then(|first| first.parse::<u64>().ok()) == Some(have) {
        return Ok(());
    }
    let message = format!("a chunk of `{range}` does not go on from {have} bytes");
    let refusal = Refusal::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "BLOB_UPLOAD_INVALID",
        message,
    );
    Err(refusal
        .with(header::LOCATION, location(name, id))
        .with(header::RANGE, up_to(have)))
}

/// Appends a body; says how long the file is then. What came before an error stays: the client asks
/// how far it is and goes on from there.
async fn append(mut file: File, body: Body) -> Result<u64, Refusal> {
    let mut chunks = body.into_data_stream();
    loop {
        let next = tokio::time::timeout(SILENCE, chunks.next()).await;
        let Ok(next) = next else {
            let message = format!("nothing came for {} seconds", SILENCE.as_secs());
            return Err(Refusal::new(
                StatusCode::REQUEST_TIMEOUT,
                "BLOB_UPLOAD_INVALID",
                message,
            ));
        };
        let Some(chunk) = next else { break };
        let chunk = chunk.map_err(|error| {
            let message = format!("the body broke off: {error}");
            Refusal::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", message)
        })?;
        let written = file.write_all(&chunk).await;
        written.map_err(|error| Refusal::disk(&error))?;
    }
    file.flush().await.map_err(|error| Refusal::disk(&error))?;
    let found = file
        .metadata()
        .await
        .map_err(|error| Refusal::disk(&error))?;
    Ok(found.len())
}

/// Takes the upload into the store if it is what its digest says; either way the upload is over.
async fn finish(
    context: &Context,
    repository: &Repository,
    name: &str,
    path: &Path,
    digest: &str,
) -> Result<Response, Refusal> {
    let digest = match route::digest(digest) {
        Ok(digest) => digest,
        Err(refusal) => {
            discard(path).await;
            return Err(refusal);
        }
    };
    let (store, file, of) = (context.store.clone(), PathBuf::from(path), digest.clone());
    blocking(move || store.adopt(&file, &of)).await?;
    repository.link_blob(&digest)?;
    Ok(created(name, &digest))
}

async fn discard(path: &Path) {
    let _best_effort = tokio::fs::remove_file(path).await;
}

fn created(name: &str, digest: &str) -> Response {
    let headers = [
        (header::LOCATION, format!("/v2/{name}/blobs/{digest}")),
        (DIGEST, digest.to_owned()),
    ];
    plain(StatusCode::CREATED, &headers, Body::empty())
}

fn progress(status: StatusCode, name: &str, id: &str, length: u64) -> Response {
    let headers = [
        (header::LOCATION, location(name, id)),
        (header::RANGE, up_to(length)),
        (UPLOAD_ID, id.to_owned()),
    ];
    plain(status, &headers, Body::empty())
}

fn location(name: &str, id: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

/// Both ends are counted; of nothing it is `0-0`, as registries have always said.
fn up_to(length: u64) -> String {
    format!("0-{}", length.saturating_sub(1))
}
