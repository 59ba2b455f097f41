//! Pulling images from OCI registries, over HTTPS (and HTTP on loopback only).
//!
//! Layers come four at a time, each into a file that a broken pull goes on from; every blob is
//! checked against its digest before it counts. The wire is `oci-client`'s.

use std::path::Path;

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use oci_client::client::{BlobResponse, ClientConfig, ClientProtocol, SizedStream};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;

use super::store::Store;
use super::{Image, ImageError, Name};

const LAYERS_AT_ONCE: usize = 4;

/// Who asks.
#[derive(Clone, Default)]
pub enum Credentials {
    #[default]
    Anonymous,
    Password {
        user: String,
        password: String,
    },
}

/// Tells how far a pull is: bytes fetched and bytes in all.
pub type Progress<'a> = dyn Fn(u64, u64) + Sync + 'a;

/// Fetches an image with all its parts and names it.
pub async fn pull(
    store: &Store,
    name: &Name,
    credentials: &Credentials,
    progress: &Progress<'_>,
) -> Result<Image, ImageError> {
    let reference = name.reference();
    let failed = |reason: String| ImageError::Pull {
        name: name.to_string(),
        reason,
    };
    let client = client(reference);
    let auth = match credentials {
        Credentials::Anonymous => RegistryAuth::Anonymous,
        Credentials::Password { user, password } => {
            RegistryAuth::Basic(user.clone(), password.clone())
        }
    };
    let (manifest, digest) = client
        .pull_image_manifest(reference, &auth)
        .await
        .map_err(|error| failed(error.to_string()))?;
    let parts: Vec<&OciDescriptor> = std::iter::once(&manifest.config)
        .chain(&manifest.layers)
        .collect();
    let total: u64 = parts
        .iter()
        .map(|part| u64::try_from(part.size).unwrap_or(0))
        .sum();
    let done = std::sync::atomic::AtomicU64::new(0);
    let fetched = |bytes: u64| {
        let before = done.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
        progress(before + bytes, total);
    };
    let mut fetches = Vec::new();
    for part in parts {
        fetches.push(fetch(store, &client, reference, part, &fetched).boxed());
    }
    stream::iter(fetches)
        .buffer_unordered(LAYERS_AT_ONCE)
        .try_collect::<Vec<()>>()
        .await
        .map_err(|error| match error {
            ImageError::Pull { reason, .. } => failed(reason),
            other => other,
        })?;
    let raw = client
        .pull_manifest_raw(
            &reference.clone_with_digest(digest.clone()),
            &auth,
            ACCEPTED,
        )
        .await
        .map_err(|error| failed(error.to_string()))?
        .0;
    let (store, name) = (store.clone(), name.clone());
    blocking(move || {
        store.put(&digest, &mut raw.as_ref())?;
        store.name(&name, &digest)
    })
    .await
}

const ACCEPTED: &[&str] = &[
    oci_client::manifest::OCI_IMAGE_MEDIA_TYPE,
    oci_client::manifest::IMAGE_MANIFEST_MEDIA_TYPE,
];

/// Runs blocking work of the store elsewhere.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|panic| ImageError::Malformed {
            what: "an image".to_owned(),
            reason: panic.to_string(),
        })?
}

fn client(reference: &Reference) -> Client {
    let host = reference.registry().split(':').next().unwrap_or_default();
    let is_local = matches!(host, "localhost" | "127.0.0.1");
    Client::new(ClientConfig {
        protocol: if is_local {
            ClientProtocol::Http
        } else {
            ClientProtocol::Https
        },
        ..ClientConfig::default()
    })
}

async fn fetch(
    store: &Store,
    client: &Client,
    reference: &Reference,
    part: &OciDescriptor,
    fetched: &(dyn Fn(u64) + Sync),
) -> Result<(), ImageError> {
    let size = u64::try_from(part.size).unwrap_or(0);
    if store.has(&part.digest) {
        fetched(size);
        return Ok(());
    }
    let failed = |reason: String| ImageError::Pull {
        name: reference.whole(),
        reason: format!("{}: {reason}", part.digest),
    };
    let path = store.ingest(&part.digest);
    let have = length_of(&path).await.min(size);
    fetched(have);
    let (mut body, mut file) = if have > 0 && have < size {
        let partial = client
            .pull_blob_stream_partial(reference, part, have, None)
            .await
            .map_err(|error| failed(error.to_string()))?;
        match partial {
            BlobResponse::Partial(body) => (body, open(&path, true).await),
            BlobResponse::Full(body) => (body, open(&path, false).await),
        }
    } else {
        let body = client
            .pull_blob_stream(reference, part)
            .await
            .map_err(|error| failed(error.to_string()))?;
        (body, open(&path, false).await)
    };
    copy(&mut body, &mut file, size, fetched)
        .await
        .map_err(|error| failed(error.to_string()))?;
    let (store, digest) = (store.clone(), part.digest.clone());
    blocking(move || store.accept(&digest)).await
}

async fn length_of(path: &Path) -> u64 {
    tokio::fs::metadata(path)
        .await
        .map_or(0, |found| found.len())
}

async fn open(path: &Path, append: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    if append {
        options.append(true);
    } else {
        options.truncate(true);
    }
    options.open(path).await
}

/// A registry that sends more than it announced is cut off.
async fn copy(
    body: &mut SizedStream,
    file: &mut std::io::Result<File>,
    size: u64,
    fetched: &(dyn Fn(u64) + Sync),
) -> std::io::Result<()> {
    let file = file
        .as_mut()
        .map_err(|error| std::io::Error::new(error.kind(), error.to_string()))?;
    let mut left = size;
    while let Some(chunk) = body.stream.next().await {
        let chunk = chunk?;
        let length = chunk.len() as u64;
        left = left.checked_sub(length).ok_or_else(|| {
            std::io::Error::other(format!("it is longer than the {size} bytes announced"))
        })?;
        file.write_all(&chunk).await?;
        fetched(length);
    }
    file.flush().await
}
