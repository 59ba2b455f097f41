//! The images of this machine on disk.
//!
//! ```text
//! <root>/blobs/sha256/<hex>     manifests, configurations, packed layers: named by what they hold
//!        ingest/<hex>           what is being fetched; a broken fetch goes on from here
//!        layers/<hex>           unpacked layers, named by the digest of their unpacked archive
//!        images.json            names to manifest digests
//!        lock                   held while names change: several processes share one store
//!        repositories/…         what the registry serves, see [`super::server::repository`]
//! ```
//!
//! A blob is there whole and with its digest right, or not at all; an image is named only when all
//! of its parts are there. Blocking: callers on an async runtime go through a blocking thread.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::layer::{self, Packing};
use super::server::random;
use super::{Image, ImageError, Name};

const COPY_BYTES: usize = 128 << 10;
/// A manifest larger than this is refused, as registries do (4 MiB).
pub(super) const MANIFEST_BYTES_MAX: u64 = 4 << 20;

/// The time of the call: the kernel's `UTIME_NOW`.
const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: rustix::fs::UTIME_NOW,
};

/// The images of this machine.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// What the list of images says of one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// `sha256:…` of the manifest.
    pub digest: String,
    /// Packed size of its configuration and layers, in bytes.
    pub bytes: u64,
}

pub type Records = BTreeMap<String, Record>;

impl Store {
    /// Opens the store, making its folders.
    pub fn open(root: &Path) -> Result<Self, ImageError> {
        let store = Self {
            root: root.to_path_buf(),
        };
        for folder in ["blobs/sha256", "ingest", "layers"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(|source| store.failed(source))?;
        }
        Ok(store)
    }

    /// The image of this name, ready to run from. A digest in the name finds any image that has it.
    pub fn find(&self, name: &Name) -> Result<Image, ImageError> {
        let records = self.records()?;
        // The digest of a name may be that of an index, which stands for one of its images.
        let named = records.get(&name.to_string());
        let digest = match (named, name.digest()) {
            (Some(record), _) => record.digest.clone(),
            (None, Some(digest)) if records.values().any(|it| it.digest == digest) => {
                digest.to_owned()
            }
            (None, _) => return Err(ImageError::Absent(name.to_string())),
        };
        let manifest = self.manifest(&digest)?;
        let configuration = self.configuration(&manifest)?;
        let layers = configuration.rootfs().diff_ids().iter();
        Ok(Image {
            name: name.clone(),
            layers: layers.map(|id| self.layer(id)).collect(),
            bytes: packed_bytes(&manifest),
            digest,
            configuration,
        })
    }

    /// All named images, by name.
    pub fn records(&self) -> Result<Records, ImageError> {
        let path = self.root.join("images.json");
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| ImageError::Malformed {
                what: path.display().to_string(),
                reason: error.to_string(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Records::new()),
            Err(source) => Err(self.failed(source)),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn has(&self, digest: &str) -> bool {
        self.blob(digest).is_file()
    }

    /// Whether it is here; if so, it stays until whoever asked has used it: it counts as new.
    pub fn keep(&self, digest: &str) -> bool {
        let times = Timestamps {
            last_access: NOW,
            last_modification: NOW,
        };
        rustix::fs::utimensat(CWD, self.blob(digest), &times, AtFlags::empty()).is_ok()
    }

    /// Bytes that the disk has room for, if it says so.
    pub fn room(&self) -> Option<u64> {
        let found = rustix::fs::statvfs(&self.root).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Where a blob is or will be.
    pub fn blob(&self, digest: &str) -> PathBuf {
        self.root.join("blobs/sha256").join(hex_of(digest))
    }

    /// Where a blob is fetched to; what stands there is its beginning.
    pub fn ingest(&self, digest: &str) -> PathBuf {
        self.root.join("ingest").join(hex_of(digest))
    }

    /// Takes in what was fetched to [`Self::ingest`], if it is what its digest says; a wrong one is
    /// thrown away.
    pub fn accept(&self, digest: &str) -> Result<(), ImageError> {
        self.adopt(&self.ingest(digest), digest)
    }

    /// Takes in a file of this store's file system as [`Self::accept`] does.
    pub fn adopt(&self, fetched: &Path, digest: &str) -> Result<(), ImageError> {
        let file = File::open(fetched).map_err(|source| self.failed(source))?;
        let got = digest_of(&file).map_err(|source| self.failed(source))?;
        if got != digest {
            fs::remove_file(fetched).map_err(|source| self.failed(source))?;
            return Err(ImageError::Digest {
                what: "the digest of what was fetched".to_owned(),
                expected: digest.to_owned(),
                got,
            });
        }
        file.sync_all()
            .and_then(|()| fs::rename(fetched, self.blob(digest)))
            .map_err(|source| self.failed(source))
    }

    /// Takes in a blob that is at hand.
    pub fn put(&self, digest: &str, bytes: &mut dyn Read) -> Result<(), ImageError> {
        if self.has(digest) {
            return Ok(());
        }
        // Its own file: several may bring the same blob at once.
        let path = self.ingest(&format!("{}.{}", hex_of(digest), random()));
        let copied = File::create(&path).and_then(|mut to| io::copy(bytes, &mut to));
        if let Err(source) = copied {
            let _best_effort = fs::remove_file(&path);
            return Err(self.failed(source));
        }
        self.adopt(&path, digest)
    }

    /// Names an image whose blobs are all there, unpacking the layers that are new.
    pub fn name(&self, name: &Name, digest: &str) -> Result<Image, ImageError> {
        let manifest = self.manifest(digest)?;
        let configuration = self.configuration(&manifest)?;
        let ids = configuration.rootfs().diff_ids();
        if ids.len() != manifest.layers().len() {
            return Err(ImageError::Malformed {
                what: format!("the configuration of {name}"),
                reason: format!(
                    "it names {} layers, its manifest {}",
                    ids.len(),
                    manifest.layers().len()
                ),
            });
        }
        let unpack = || {
            let mut layers = ids.iter().zip(manifest.layers());
            layers.try_for_each(|(id, packed)| self.unpack(id, packed))
        };
        unpack()?;
        let record = Record {
            digest: digest.to_owned(),
            bytes: packed_bytes(&manifest),
        };
        self.change(|records| {
            // A layer that nothing had may have been collected meanwhile; now it cannot be.
            unpack()?;
            records.insert(name.to_string(), record);
            Ok(())
        })?;
        self.find(name)
    }

    /// Forgets a name; says whether it was known. Its layers stay: containers may stand on them.
    pub fn remove(&self, name: &Name) -> Result<bool, ImageError> {
        self.forget(&name.to_string())
    }

    pub(super) fn forget(&self, name: &str) -> Result<bool, ImageError> {
        let mut known = false;
        self.change(|records| {
            known = records.remove(name).is_some();
            Ok(())
        })?;
        Ok(known)
    }

    /// The manifest of this digest. An index stands for its entry of this machine's platform.
    pub fn manifest(&self, digest: &str) -> Result<ImageManifest, ImageError> {
        let bytes = self.small(digest)?;
        ImageManifest::from_reader(bytes.as_slice()).map_err(|error| ImageError::Malformed {
            what: format!("manifest {digest}"),
            reason: error.to_string(),
        })
    }

    /// The index of this digest, if it is one.
    pub fn index(&self, digest: &str) -> Option<ImageIndex> {
        ImageIndex::from_reader(self.small(digest).ok()?.as_slice()).ok()
    }

    pub(super) fn configuration(
        &self,
        manifest: &ImageManifest,
    ) -> Result<ImageConfiguration, ImageError> {
        let digest = manifest.config().digest().to_string();
        let bytes = self.small(&digest)?;
        ImageConfiguration::from_reader(bytes.as_slice()).map_err(|error| ImageError::Malformed {
            what: format!("configuration {digest}"),
            reason: error.to_string(),
        })
    }

    fn small(&self, digest: &str) -> Result<Vec<u8>, ImageError> {
        let mut bytes = Vec::new();
        let file = File::open(self.blob(digest))
            .map_err(|_missing| ImageError::Absent(digest.to_owned()))?;
        file.take(MANIFEST_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(|source| self.failed(source))?;
        Ok(bytes)
    }

    /// The folder of an unpacked layer.
    fn layer(&self, id: &str) -> PathBuf {
        self.root.join("layers").join(hex_of(id))
    }

    fn unpack(&self, id: &str, packed: &Descriptor) -> Result<(), ImageError> {
        let done = self.layer(id);
        if done.is_dir() {
            return Ok(());
        }
        let blob = self.blob(packed.digest().as_ref());
        let open = || File::open(&blob).map_err(|source| self.failed(source));
        let mut first = [0; 4];
        let length = open()?
            .read(&mut first)
            .map_err(|source| self.failed(source))?;
        let packing = Packing::of(first.get(..length).unwrap_or_default());
        let got = digest_of(packing.open(open()?)).map_err(layer::LayerError::Damaged)?;
        if got != *id {
            return Err(ImageError::Digest {
                what: format!("the unpacked digest of layer {}", packed.digest()),
                expected: id.to_owned(),
                got,
            });
        }
        let unfinished =
            self.root
                .join("ingest")
                .join(format!("{}.{}.layer", hex_of(id), random()));
        fs::create_dir_all(&unfinished).map_err(|source| self.failed(source))?;
        let unpacked = layer::unpack(BufReader::new(open()?), packing, &unfinished);
        if let Err(error) = unpacked {
            let _best_effort = fs::remove_dir_all(&unfinished);
            return Err(error.into());
        }
        match fs::rename(&unfinished, &done) {
            Ok(()) => Ok(()),
            // Another process unpacked the same layer meanwhile.
            Err(_) if done.is_dir() => {
                fs::remove_dir_all(&unfinished).map_err(|source| self.failed(source))
            }
            Err(source) => Err(self.failed(source)),
        }
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Records) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let _held = self.lock()?;
        let mut records = self.records()?;
        change(&mut records)?;
        let path = self.root.join("images.json");
        let next = self.root.join("images.json.new");
        let text = serde_json::to_vec_pretty(&records).unwrap_or_default();
        let written = File::create(&next).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&next, &path)
        });
        written.map_err(|source| self.failed(source))
    }

    /// Held until the file is dropped.
    pub(super) fn lock(&self) -> Result<File, ImageError> {
        let file = File::create(self.root.join("lock")).map_err(|source| self.failed(source))?;
        file.lock().map_err(|source| self.failed(source))?;
        Ok(file)
    }

    pub(super) fn failed(&self, source: io::Error) -> ImageError {
        ImageError::Store {
            path: self.root.clone(),
            source,
        }
    }
}

/// `sha256:…` of everything that can be read.
pub fn digest_of(mut bytes: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let length = bytes.read(&mut buffer)?;
        if length == 0 {
            return Ok(format!("sha256:{}", hex(&hash.finalize())));
        }
        hash.update(buffer.get(..length).unwrap_or_default());
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// The part of a digest that names a file; whatever else stands there cannot leave the folder.
pub(super) fn hex_of(digest: &str) -> String {
    let hex = digest.rsplit(':').next().unwrap_or_default();
    hex.chars().filter(char::is_ascii_alphanumeric).collect()
}

fn packed_bytes(manifest: &ImageManifest) -> u64 {
    let layers: u64 = manifest.layers().iter().map(Descriptor::size).sum();
    layers + manifest.config().size()
}
