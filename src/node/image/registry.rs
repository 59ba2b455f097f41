//! Pulling images from OCI registries, over HTTPS (and HTTP on loopback only).
//!
//! Layers come four at a time, each into a file that a broken pull goes on from ([`super::fetch`]);
//! every blob is checked against its digest before it counts, and what turns out to be wrong is
//! removed again. The wire is `oci-client`'s.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use oci_client::client::{
    Certificate, CertificateEncoding, ClientConfig, ClientProtocol, current_platform_resolver,
};
use oci_client::manifest::{OciDescriptor, OciImageManifest, OciManifest};
use oci_client::{Client, Reference};

use super::credentials::{Credentials, Keyring};
use super::fetch::{Fetch, Tally};
use super::store::{MANIFEST_BYTES_MAX, Store};
use super::{Image, ImageError, Name};

const LAYERS_AT_ONCE: usize = 4;
/// Where administrators put the authorities of their registries, a folder for each `HOST:PORT`.
const CERTIFICATES: [&str; 2] = ["/etc/containers/certs.d", "/etc/docker/certs.d"];

/// Tells how far a pull is: bytes that are here and bytes in all.
pub type Progress<'a> = dyn Fn(u64, u64) + Sync + 'a;

/// How an image is pulled.
#[derive(Clone)]
pub struct Options<'a> {
    pub keyring: Keyring,
    pub limits: Limits,
    pub progress: &'a Progress<'a>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            keyring: Keyring::default(),
            limits: Limits::default(),
            progress: &|_, _| {},
        }
    }
}

/// How patient a pull is.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connect: Duration,
    /// A registry that sends nothing for this long has stalled.
    pub silence: Duration,
    /// For a manifest as a whole.
    pub manifest: Duration,
    /// Between two tries of a broken blob.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            manifest: Duration::from_mins(1),
            pause: Duration::from_secs(1),
        }
    }
}

/// Fetches an image with all its parts and names it.
pub async fn pull(store: &Store, name: &Name, options: &Options<'_>) -> Result<Image, ImageError> {
    let found = resolve(name, options).await?;
    let parts: Vec<&OciDescriptor> = std::iter::once(&found.manifest.config)
        .chain(&found.manifest.layers)
        .collect();
    let digests: Vec<String> = parts.iter().map(|part| part.digest.clone()).collect();
    let tally =
        Tally::of(store, &parts, options.progress).map_err(|reason| failed(name, reason))?;
    let fetch = Fetch {
        store,
        client: &found.client,
        reference: name.reference(),
        limits: &options.limits,
        tally: &tally,
    };
    let fetches: Vec<_> = (0..parts.len()).map(|n| fetch.blob(n).boxed()).collect();
    stream::iter(fetches)
        .buffer_unordered(LAYERS_AT_ONCE)
        .try_collect::<Vec<()>>()
        .await
        .map_err(|error| match error {
            ImageError::Pull { reason, .. } => failed(name, reason),
            other => other,
        })?;
    let (kept, named) = (store.clone(), name.clone());
    blocking(move || {
        let all = kept.put(&found.digest, &mut found.raw.as_ref());
        let image = all.and_then(|()| kept.name(&named, &found.digest));
        if image.is_err() {
            // It is whole and wrong: no later pull could use it.
            kept.discard(digests.iter().chain([&found.digest]))?;
        }
        image
    })
    .await
}

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

fn failed(name: &Name, reason: String) -> ImageError {
    ImageError::Pull {
        name: name.to_string(),
        reason,
    }
}

/// What a registry says that a name is.
struct Found {
    client: Client,
    manifest: OciImageManifest,
    digest: String,
    raw: bytes::Bytes,
}

/// Asks with all credentials in turn; the first one's refusal is what is told.
async fn resolve(name: &Name, options: &Options<'_>) -> Result<Found, ImageError> {
    let reference = name.reference();
    let mut first = None;
    for credentials in options.keyring.for_image(name) {
        for protocol in protocols(reference) {
            let client = client(reference, protocol, &options.limits);
            let asked = ask(client, reference, &credentials);
            let reason = match tokio::time::timeout(options.limits.manifest, asked).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(reason)) => reason,
                Err(_elapsed) => {
                    let seconds = options.limits.manifest.as_secs_f32();
                    format!("the registry did not send the manifest within {seconds} s")
                }
            };
            first.get_or_insert(reason);
        }
    }
    Err(failed(name, first.unwrap_or_default()))
}

async fn ask(
    client: Client,
    reference: &Reference,
    credentials: &Credentials,
) -> Result<Found, String> {
    let (raw, digest) = manifest(&client, reference, credentials).await?;
    let parse = |raw: &[u8]| {
        serde_json::from_slice::<OciManifest>(raw)
            .map_err(|error| format!("its manifest is not understood: {error}"))
    };
    match parse(&raw)? {
        OciManifest::Image(manifest) => Ok(Found {
            client,
            manifest,
            digest,
            raw,
        }),
        OciManifest::ImageIndex(index) => {
            let ours = current_platform_resolver(&index.manifests);
            let ours = ours.ok_or("it has no image for this machine's platform")?;
            let entry = reference.clone_with_digest(ours);
            let (raw, digest) = manifest(&client, &entry, credentials).await?;
            match parse(&raw)? {
                OciManifest::Image(manifest) => Ok(Found {
                    client,
                    manifest,
                    digest,
                    raw,
                }),
                OciManifest::ImageIndex(_) => Err("its index names another index".to_owned()),
            }
        }
    }
}

async fn manifest(
    client: &Client,
    reference: &Reference,
    credentials: &Credentials,
) -> Result<(bytes::Bytes, String), String> {
    let auth = credentials.for_wire();
    let asked = client.pull_manifest_raw(reference, &auth, ACCEPTED);
    let (raw, digest) = asked.await.map_err(|error| told(&error))?;
    if raw.len() as u64 > MANIFEST_BYTES_MAX {
        return Err(format!(
            "its manifest has more than {MANIFEST_BYTES_MAX} bytes"
        ));
    }
    Ok((raw, digest))
}

const ACCEPTED: &[&str] = &[
    oci_client::manifest::OCI_IMAGE_MEDIA_TYPE,
    oci_client::manifest::IMAGE_MANIFEST_MEDIA_TYPE,
    oci_client::manifest::OCI_IMAGE_INDEX_MEDIA_TYPE,
    oci_client::manifest::IMAGE_MANIFEST_LIST_MEDIA_TYPE,
];

/// An error with its causes: what the wire says last is what went wrong.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text
}

/// A registry on this machine may speak either; all others speak HTTPS.
fn protocols(reference: &Reference) -> Vec<ClientProtocol> {
    let host = reference.registry().split(':').next().unwrap_or_default();
    if matches!(host, "localhost" | "127.0.0.1") {
        vec![ClientProtocol::Http, ClientProtocol::Https]
    } else {
        vec![ClientProtocol::Https]
    }
}

fn client(reference: &Reference, protocol: ClientProtocol, limits: &Limits) -> Client {
    let certificates = authorities(reference.registry()).into_iter();
    Client::new(ClientConfig {
        protocol,
        connect_timeout: Some(limits.connect),
        extra_root_certificates: certificates
            .map(|data| Certificate {
                encoding: CertificateEncoding::Pem,
                data,
            })
            .collect(),
        ..ClientConfig::default()
    })
}

/// What administrators trust for one registry, beside what the system trusts.
fn authorities(registry: &str) -> Vec<Vec<u8>> {
    let folders = CERTIFICATES
        .iter()
        .map(|folder| Path::new(folder).join(registry));
    let files = folders
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .flatten();
    let paths: Vec<PathBuf> = files.map(|file| file.path()).collect();
    let is_authority = |path: &&PathBuf| path.extension().is_some_and(|it| it == "crt");
    paths
        .iter()
        .filter(is_authority)
        .filter_map(|path| std::fs::read(path).ok())
        .collect()
}

#[cfg(test)]
mod tests;
