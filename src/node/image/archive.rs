//! Images from files: an OCI layout (a folder or a tar of one) and what `docker save` writes.
//!
//! `docker save` of today writes both descriptions into one archive; the layout is preferred then.

use std::fs::{self, File};
use std::io::{BufReader, Cursor};
use std::path::{Path, PathBuf};

use oci_spec::image::{Arch, Descriptor, ImageIndex, Os};
use serde::Deserialize;
use serde_json::json;

use super::store::{Store, digest_of};
use super::{Image, ImageError, Name};

/// Where an OCI layout names its images.
const REFERENCE: &str = "org.opencontainers.image.ref.name";
/// Where containerd and skopeo do.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// One image of a `docker save` archive.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Takes in all images of an archive or a layout. `name` is for those that carry none.
pub fn load(store: &Store, path: &Path, name: Option<&Name>) -> Result<Vec<Image>, ImageError> {
    let found = fs::metadata(path).map_err(|error| malformed(path, &error.to_string()))?;
    if found.is_dir() {
        return load_folder(store, path, path, name);
    }
    let folder = Scratch::make(store)?;
    let mut archive = tar::Archive::new(BufReader::new(
        File::open(path).map_err(|error| malformed(path, &error.to_string()))?,
    ));
    archive
        .unpack(&folder.0)
        .map_err(|error| malformed(path, &error.to_string()))?;
    load_folder(store, &folder.0, path, name)
}

fn load_folder(
    store: &Store,
    folder: &Path,
    path: &Path,
    name: Option<&Name>,
) -> Result<Vec<Image>, ImageError> {
    let index = folder.join("index.json");
    if let Ok(index) = ImageIndex::from_file(&index) {
        return load_layout(store, folder, path, &index, name);
    }
    let saved = fs::read(folder.join("manifest.json")).map_err(|_missing| {
        malformed(
            path,
            "it holds neither an OCI layout (index.json) nor a docker archive (manifest.json)",
        )
    })?;
    let saved: Vec<Saved> =
        serde_json::from_slice(&saved).map_err(|error| malformed(path, &error.to_string()))?;
    let mut images = Vec::new();
    for image in saved {
        images.extend(load_saved(store, folder, path, &image, name)?);
    }
    Ok(images)
}

fn load_layout(
    store: &Store,
    folder: &Path,
    path: &Path,
    index: &ImageIndex,
    name: Option<&Name>,
) -> Result<Vec<Image>, ImageError> {
    let mut images = Vec::new();
    for entry in index.manifests() {
        let own = entry.annotations().as_ref().and_then(|notes| {
            let full = notes.get(CONTAINERD_NAME);
            full.or_else(|| notes.get(REFERENCE))
        });
        let name = match (own, name) {
            // A bare tag is no name: what is asked for comes first then.
            (Some(own), None) => Name::parse(own)?,
            (Some(own), Some(_)) if own.contains(['/', ':']) => Name::parse(own)?,
            (_, Some(name)) => name.clone(),
            (None, None) => {
                return Err(malformed(
                    path,
                    "its image has no name; give one with --name",
                ));
            }
        };
        let digest = take_in(store, folder, path, entry)?;
        images.push(store.name(&name, &digest)?);
    }
    Ok(images)
}

/// Copies what an entry of an index stands for; returns the digest of its manifest.
fn take_in(
    store: &Store,
    folder: &Path,
    path: &Path,
    entry: &Descriptor,
) -> Result<String, ImageError> {
    let digest = entry.digest().to_string();
    copy(store, folder, path, &digest)?;
    if let Some(index) = store.index(&digest) {
        let ours = index.manifests().iter().find(|entry| is_ours(entry));
        let ours =
            ours.ok_or_else(|| malformed(path, "it has no image for this machine's platform"))?;
        return take_in(store, folder, path, ours);
    }
    let manifest = store.manifest(&digest)?;
    for part in std::iter::once(manifest.config()).chain(manifest.layers()) {
        copy(store, folder, path, part.digest().as_ref())?;
    }
    Ok(digest)
}

/// Whether an entry of an index is for this machine.
pub fn is_ours(entry: &Descriptor) -> bool {
    entry.platform().as_ref().is_none_or(|platform| {
        *platform.os() == Os::Linux && *platform.architecture() == Arch::default()
    })
}

fn copy(store: &Store, folder: &Path, path: &Path, digest: &str) -> Result<(), ImageError> {
    let blob = folder.join("blobs").join(digest.replace(':', "/"));
    let mut file = File::open(&blob)
        .map_err(|_missing| malformed(path, &format!("it lacks blob {digest}")))?;
    store.put(digest, &mut file)
}

fn load_saved(
    store: &Store,
    folder: &Path,
    path: &Path,
    saved: &Saved,
    name: Option<&Name>,
) -> Result<Vec<Image>, ImageError> {
    let mut layers = Vec::new();
    for layer in &saved.layers {
        layers.push(add(
            store,
            folder,
            path,
            layer,
            "application/vnd.oci.image.layer.v1.tar",
        )?);
    }
    let config = add(
        store,
        folder,
        path,
        &saved.config,
        "application/vnd.oci.image.config.v1+json",
    )?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": layers,
    })
    .to_string();
    let digest =
        digest_of(manifest.as_bytes()).map_err(|error| malformed(path, &error.to_string()))?;
    store.put(&digest, &mut Cursor::new(manifest.as_bytes()))?;
    let tags = saved.repo_tags.as_deref().unwrap_or_default();
    let names = match (tags, name) {
        ([], Some(name)) => vec![name.clone()],
        ([], None) => {
            return Err(malformed(
                path,
                "its image has no name; give one with --name",
            ));
        }
        (tags, _) => tags
            .iter()
            .map(|tag| Name::parse(tag))
            .collect::<Result<_, _>>()?,
    };
    names.iter().map(|name| store.name(name, &digest)).collect()
}

/// Takes in one file of a docker archive; returns its descriptor.
fn add(
    store: &Store,
    folder: &Path,
    path: &Path,
    file: &str,
    media_type: &str,
) -> Result<serde_json::Value, ImageError> {
    let missing = |error: std::io::Error| malformed(path, &format!("{file}: {error}"));
    let full = folder.join(file);
    let resolved = full.canonicalize().map_err(missing)?;
    let inside = folder.canonicalize().map_err(missing)?;
    if !resolved.starts_with(inside) {
        return Err(malformed(path, &format!("{file} is outside of it")));
    }
    let digest = digest_of(File::open(&resolved).map_err(missing)?).map_err(missing)?;
    let size = fs::metadata(&resolved).map_err(missing)?.len();
    store.put(&digest, &mut File::open(&resolved).map_err(missing)?)?;
    Ok(json!({"mediaType": media_type, "digest": digest, "size": size}))
}

fn malformed(path: &Path, reason: &str) -> ImageError {
    ImageError::Malformed {
        what: format!("`{}`", path.display()),
        reason: reason.to_owned(),
    }
}

/// A folder that goes when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn make(store: &Store) -> Result<Self, ImageError> {
        let path = store.ingest(&format!("archive{}", std::process::id()));
        let _left_by_a_crash = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).map_err(|source| ImageError::Store {
            path: path.clone(),
            source,
        })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _best_effort = fs::remove_dir_all(&self.0);
    }
}
