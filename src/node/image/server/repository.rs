//! The repositories of the registry on disk, beside the blobs of the image store.
//!
//! ```text
//! <store>/repositories/<name>/_blobs/<hex>      empty: the repository has this blob
//!                             _manifests/<hex>  what kind of manifest it is, and what it refers to
//!                             _tags/<tag>       the digest that the tag stands for
//!                             _uploads/<id>     what was pushed so far of a blob
//! ```
//!
//! No part of a repository's name begins with `_`. Files are written whole and renamed; a blob's
//! bytes are the store's. Blocking, like the store.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::Refusal;
use super::route::{self, Reference};
use crate::node::image::store::{Store, digest_of, hex_of};

/// Parts of a manifest that the specification allows to be elsewhere.
const FOREIGN: [&str; 2] = ["nondistributable", "foreign"];

/// One repository; it need not exist.
#[derive(Clone, Debug)]
pub struct Repository {
    store: Store,
    name: String,
}

/// What is kept of a manifest beside its bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    pub media_type: String,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Value>,
}

/// Every repository that has a manifest or a blob, by name.
pub fn all(store: &Store) -> Vec<String> {
    let root = store.root().join("repositories");
    let mut found = Vec::new();
    collect(&root, "", &mut found);
    found.sort();
    found
}

/// The blobs that repositories have, by the hex of their digests: they are in use.
pub fn blobs_in_use(store: &Store) -> BTreeSet<String> {
    let folders = all(store).into_iter().flat_map(|name| {
        let repository = Repository::new(store, &name);
        [repository.folder("_blobs"), repository.folder("_manifests")]
    });
    folders.flat_map(|folder| names_in(&folder)).collect()
}

fn collect(folder: &Path, name: &str, found: &mut Vec<String>) {
    if !name.is_empty()
        && ["_manifests", "_blobs"]
            .iter()
            .any(|it| folder.join(it).is_dir())
    {
        found.push(name.to_owned());
    }
    for part in names_in(folder) {
        let below = if name.is_empty() {
            part.clone()
        } else {
            format!("{name}/{part}")
        };
        // Also what keeps the way short: nothing outside of the specification is looked into.
        if route::is_name(&below) {
            collect(&folder.join(&part), &below, found);
        }
    }
}

impl Repository {
    pub fn new(store: &Store, name: &str) -> Self {
        Self {
            store: store.clone(),
            name: name.to_owned(),
        }
    }

    fn folder(&self, part: &str) -> PathBuf {
        let root = self.store.root().join("repositories");
        root.join(&self.name).join(part)
    }

    pub fn exists(&self) -> bool {
        ["_manifests", "_blobs"]
            .iter()
            .any(|part| self.folder(part).is_dir())
    }

    pub fn has_blob(&self, digest: &str) -> bool {
        self.folder("_blobs").join(hex_of(digest)).is_file() && self.store.has(digest)
    }

    /// The repository has a blob that the store has.
    pub fn link_blob(&self, digest: &str) -> Result<(), Refusal> {
        write(&self.folder("_blobs"), &hex_of(digest), b"")
    }

    pub fn unlink_blob(&self, digest: &str) -> Result<(), Refusal> {
        let path = self.folder("_blobs").join(hex_of(digest));
        fs::remove_file(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Refusal::unknown_blob(&self.name, digest),
            _ => Refusal::disk(&error),
        })
    }

    pub fn uploads(&self) -> PathBuf {
        self.folder("_uploads")
    }

    /// The digest that a tag or a digest stands for here, and what kind of manifest that is.
    pub fn manifest(&self, reference: &Reference) -> Result<(String, Kept), Refusal> {
        let (digest, text) = match reference {
            Reference::Digest(digest) => (digest.clone(), digest),
            Reference::Tag(tag) => {
                let digest = fs::read_to_string(self.folder("_tags").join(tag));
                let digest = digest.map_err(|_missing| self.lacks(tag))?;
                (digest, tag)
            }
        };
        let kept = self
            .kept(&hex_of(&digest))
            .ok_or_else(|| self.lacks(text))?;
        Ok((digest, kept))
    }

    fn lacks(&self, reference: &str) -> Refusal {
        if self.exists() {
            Refusal::unknown_manifest(&self.name, reference)
        } else {
            Refusal::unknown_name(&self.name)
        }
    }

    fn kept(&self, hex: &str) -> Option<Kept> {
        let bytes = fs::read(self.folder("_manifests").join(hex)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Takes in a manifest whose parts are all here. Says its digest and its subject's.
    pub fn put_manifest(
        &self,
        reference: &Reference,
        content_type: &str,
        bytes: &[u8],
    ) -> Result<(String, Option<String>), Refusal> {
        let digest = digest_of(bytes).map_err(|error| Refusal::disk(&error))?;
        if let Reference::Digest(asked) = reference
            && *asked != digest
        {
            let message = format!("the manifest's digest is {digest}, not {asked}");
            return Err(Refusal::new(
                http::StatusCode::BAD_REQUEST,
                "DIGEST_INVALID",
                message,
            ));
        }
        let kept = self.understand(content_type, bytes)?;
        self.store.put(&digest, &mut io::Cursor::new(bytes))?;
        let text = serde_json::to_vec(&kept).unwrap_or_default();
        write(&self.folder("_manifests"), &hex_of(&digest), &text)?;
        if let Reference::Tag(tag) = reference {
            write(&self.folder("_tags"), tag, digest.as_bytes())?;
        }
        Ok((digest, kept.subject))
    }

    fn understand(&self, content_type: &str, bytes: &[u8]) -> Result<Kept, Refusal> {
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|error| Refusal::bad_manifest(format!("it is not JSON: {error}")))?;
        let text = |field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
        let own = text("mediaType");
        if let Some(own) = &own
            && !content_type.is_empty()
            && own != content_type
        {
            return Err(Refusal::bad_manifest(format!(
                "its mediaType is `{own}`, sent as `{content_type}`"
            )));
        }
        let media_type = own.unwrap_or_else(|| content_type.to_owned());
        if value.get("schemaVersion").and_then(Value::as_u64) != Some(2) || media_type.is_empty() {
            return Err(Refusal::bad_manifest(
                "only manifests of schemaVersion 2 with a media type are kept",
            ));
        }
        let config = value.get("config");
        let list = |field: &str| value.get(field).and_then(Value::as_array);
        let layers = list("layers").into_iter().flatten();
        for part in config.into_iter().chain(layers) {
            let digest = self.digest_in(part)?;
            if !is_foreign(part) && !self.has_blob(&digest) {
                return Err(absent(&digest));
            }
        }
        for part in list("manifests").into_iter().flatten() {
            let digest = self.digest_in(part)?;
            if self.kept(&hex_of(&digest)).is_none() {
                return Err(absent(&digest));
            }
        }
        let subject = value.get("subject").filter(|subject| !subject.is_null());
        let config_type = config.and_then(|config| config.get("mediaType"));
        let config_type = config_type.and_then(Value::as_str).map(str::to_owned);
        Ok(Kept {
            media_type,
            size: bytes.len() as u64,
            artifact_type: text("artifactType").or(config_type),
            subject: subject.map(|subject| self.digest_in(subject)).transpose()?,
            annotations: value.get("annotations").cloned(),
        })
    }

    fn digest_in(&self, descriptor: &Value) -> Result<String, Refusal> {
        let digest = descriptor.get("digest").and_then(Value::as_str);
        let digest = digest.unwrap_or_default();
        route::digest(digest).map_err(|_not_one| {
            let name = &self.name;
            Refusal::bad_manifest(format!("a manifest for `{name}` names a part `{digest}`"))
        })
    }

    /// Removes a tag, or a manifest with all the tags that stand for it.
    pub fn delete_manifest(&self, reference: &Reference) -> Result<(), Refusal> {
        let (digest, _) = self.manifest(reference)?;
        let remove = |path: PathBuf| fs::remove_file(path).map_err(|error| Refusal::disk(&error));
        if let Reference::Tag(tag) = reference {
            return remove(self.folder("_tags").join(tag));
        }
        for tag in self.tags() {
            let path = self.folder("_tags").join(tag);
            if fs::read_to_string(&path).is_ok_and(|of| of == digest) {
                remove(path)?;
            }
        }
        remove(self.folder("_manifests").join(hex_of(&digest)))
    }

    pub fn tags(&self) -> Vec<String> {
        names_in(&self.folder("_tags"))
    }

    /// Descriptors of the manifests whose subject is this digest.
    pub fn referrers(&self, subject: &str, artifact_type: Option<&str>) -> Vec<Value> {
        let hexes = names_in(&self.folder("_manifests"));
        let all = hexes
            .into_iter()
            .filter_map(|hex| Some((self.kept(&hex)?, hex)));
        all.filter(|(kept, _)| kept.subject.as_deref() == Some(subject))
            .filter(|(kept, _)| {
                artifact_type.is_none_or(|it| kept.artifact_type.as_deref() == Some(it))
            })
            .map(|(kept, hex)| {
                let mut descriptor = serde_json::json!({
                    "mediaType": kept.media_type,
                    "digest": format!("sha256:{hex}"),
                    "size": kept.size,
                });
                if let Some(fields) = descriptor.as_object_mut() {
                    fields.extend(
                        kept.artifact_type
                            .map(|it| ("artifactType".to_owned(), it.into())),
                    );
                    fields.extend(kept.annotations.map(|it| ("annotations".to_owned(), it)));
                }
                descriptor
            })
            .collect()
    }
}

fn is_foreign(descriptor: &Value) -> bool {
    let kind = descriptor.get("mediaType").and_then(Value::as_str);
    FOREIGN
        .iter()
        .any(|word| kind.unwrap_or_default().contains(word))
}

fn absent(digest: &str) -> Refusal {
    let message = format!("the manifest names {digest}, which was not pushed to this repository");
    Refusal::new(
        http::StatusCode::BAD_REQUEST,
        "MANIFEST_BLOB_UNKNOWN",
        message,
    )
}

/// Names in a folder, sorted. A folder that is not there has none.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with(".new."))
        .collect();
    names.sort();
    names
}

/// Writes a file whole or not at all.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Refusal> {
    let written = fs::create_dir_all(folder).and_then(|()| {
        let next = folder.join(format!(".new.{}.{}", std::process::id(), super::random()));
        let mut file = File::create(&next)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&next, folder.join(name))
    });
    written.map_err(|error| Refusal::disk(&error))
}
