//! Collecting what nobody needs: images that were not used for long, once the disk fills up, and
//! layers and blobs that no image has.
//!
//! Nothing is taken away that a container stands on. Which those are, the caller knows of its own
//! containers; those of other processes on the same store are found in the mounts of this machine.
//!
//! Source: Kubernetes, "Garbage collection of containers and images"; the kubelet's
//! `pkg/kubelet/images/image_gc_manager.go` (thresholds, ages, order, wording).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustc_hash::FxHashMap;

use super::ImageError;
use super::server::repository;
use super::store::{Records, Store, hex_of};

/// Younger ones may belong to a pull that goes on.
pub const LAYER_AGE_MIN: SignedDuration = SignedDuration::from_mins(2);
/// A broken pull or push that nobody went on with is given up.
const ABANDONED: SignedDuration = SignedDuration::from_hours(24);
const HEX_DIGITS: usize = 64;

/// When images go. The defaults are the kubelet's.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Of the disk in use, in percent: from here on images are removed …
    pub high_percent: u64,
    /// … until this is left.
    pub low_percent: u64,
    /// An image is not removed before it is here this long.
    pub age_min: SignedDuration,
}

impl Policy {
    pub const PERIOD: Duration = Duration::from_mins(5);
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            high_percent: 85,
            low_percent: 80,
            age_min: SignedDuration::from_mins(2),
        }
    }
}

/// Bytes of the disk that the store is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    pub capacity: u64,
    pub available: u64,
}

impl Disk {
    pub fn of(store: &Store) -> Result<Self, ImageError> {
        let found = rustix::fs::statvfs(store.root());
        let found = found.map_err(|error| store.failed(error.into()))?;
        Ok(Self {
            capacity: found.f_blocks * found.f_frsize,
            available: found.f_bavail * found.f_frsize,
        })
    }

    /// How many bytes must become free; `None` below the high threshold.
    fn wanted(self, policy: Policy) -> Option<u64> {
        if self.capacity == 0 {
            return None;
        }
        let available = self.available.min(self.capacity);
        let used_percent = 100 - available * 100 / self.capacity;
        let goal = self.capacity * (100 - policy.low_percent) / 100;
        (used_percent >= policy.high_percent).then(|| goal.saturating_sub(available))
    }
}

/// What came of a round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Names of images that are gone, in the order in which they went.
    pub images: Vec<String>,
    /// Bytes that became free by them.
    pub freed: u64,
    /// Bytes of what no image had.
    pub unused: u64,
    /// Bytes that were to become free.
    pub wanted: u64,
}

impl Collected {
    /// What the kubelet says on its node when there was not enough to remove.
    pub fn complaint(&self) -> Option<String> {
        (self.freed < self.wanted).then(|| {
            format!(
                "Failed to garbage collect required amount of images. Attempted to free {} bytes, but only found {} bytes eligible to free.",
                self.wanted, self.freed
            )
        })
    }
}

/// Remembers when images were first seen and last used, as long as the program runs.
#[derive(Debug, Default)]
pub struct Collector {
    seen: FxHashMap<String, Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    first: Timestamp,
    used: Timestamp,
}

impl Collector {
    /// One round: notes what is in use, and removes what the disk's state demands. `in_use` are
    /// the names of layers' folders. Blocking.
    pub fn round(
        &mut self,
        store: &Store,
        in_use: &BTreeSet<String>,
        (disk, policy): (Disk, Policy),
        now: Timestamp,
    ) -> Result<Collected, ImageError> {
        let records = store.records()?;
        self.look(store, &records, in_use, now);
        let mut collected = Collected {
            unused: store.sweep(in_use, LAYER_AGE_MIN, now)?,
            ..Collected::default()
        };
        let Some(wanted) = disk.wanted(policy) else {
            return Ok(collected);
        };
        collected.wanted = wanted.saturating_sub(collected.unused);
        for name in self.oldest(policy, now) {
            if collected.freed >= collected.wanted {
                break;
            }
            store.forget(&name)?;
            // Whatever it alone had is old enough: so was the image.
            collected.freed += store.sweep(in_use, policy.age_min, now)?;
            collected.images.push(name);
        }
        Ok(collected)
    }

    fn look(
        &mut self,
        store: &Store,
        records: &Records,
        in_use: &BTreeSet<String>,
        now: Timestamp,
    ) {
        self.seen.retain(|name, _| records.contains_key(name));
        for (name, record) in records {
            let seen = self.seen.entry(name.clone()).or_insert(Seen {
                first: now,
                used: Timestamp::UNIX_EPOCH,
            });
            // What cannot be read is not in use: nothing can start from it.
            let top = store
                .layers_of(&record.digest)
                .ok()
                .and_then(|mut layers| layers.pop());
            if top.is_some_and(|top| in_use.contains(&top)) {
                seen.used = now;
            }
        }
    }

    /// Names of images that may go, those that were not used for longest first.
    fn oldest(&self, policy: Policy, now: Timestamp) -> Vec<String> {
        let mut found: Vec<(&String, &Seen)> = self
            .seen
            .iter()
            .filter(|(_, seen)| seen.used < now)
            .filter(|(_, seen)| now.duration_since(seen.first) >= policy.age_min)
            .collect();
        found.sort_by_key(|(name, seen)| (seen.used, seen.first, (*name).clone()));
        found.into_iter().map(|(name, _)| name.clone()).collect()
    }
}

/// Layers that containers of this machine stand on, as far as this process may see their mounts.
pub fn mounted_layers() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut spaces = BTreeSet::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let folder = process.path();
        let Ok(space) = fs::read_link(folder.join("ns/mnt")) else {
            continue;
        };
        if spaces.insert(space)
            && let Ok(mounts) = fs::read_to_string(folder.join("mountinfo"))
        {
            found.extend(layers_in(&mounts));
        }
    }
    found
}

/// Names of layers in a table of mounts: an overlay's options name them, relative or in full.
fn layers_in(mounts: &str) -> impl Iterator<Item = String> + '_ {
    let overlays = mounts.lines().filter(|line| line.contains(" - overlay "));
    let options = overlays.flat_map(|line| line.split([',', ' ']));
    let lower = options.filter_map(|option| option.strip_prefix("lowerdir"));
    let names = lower.flat_map(|paths| paths.split(['=', '+', ':', '/']));
    names.filter(|name| is_layer(name)).map(str::to_owned)
}

fn is_layer(name: &str) -> bool {
    name.len() == HEX_DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Store {
    /// Names of an image's unpacked layers, the lowest first.
    pub fn layers_of(&self, digest: &str) -> Result<Vec<String>, ImageError> {
        let manifest = self.manifest(digest)?;
        let configuration = self.configuration(&manifest)?;
        let ids = configuration.rootfs().diff_ids();
        Ok(ids.iter().map(|id| hex_of(id)).collect())
    }

    /// Removes layers and blobs that no image and no repository has, and what was never finished;
    /// says how many bytes that was. What is younger than `age` stays.
    pub fn sweep(
        &self,
        in_use: &BTreeSet<String>,
        age: SignedDuration,
        now: Timestamp,
    ) -> Result<u64, ImageError> {
        let _held = self.lock()?;
        let (blobs, mut layers) = self.needed()?;
        layers.extend(in_use.iter().cloned());
        let mut freed = 0;
        for (folder, needed) in [("blobs/sha256", &blobs), ("layers", &layers)] {
            let folder = self.root().join(folder);
            for name in names_in(&folder) {
                let path = folder.join(&name);
                if !needed.contains(&name) && is_older(&path, age, now) {
                    freed += remove(&path).map_err(|source| self.failed(source))?;
                }
            }
        }
        let uploads = repository::all(self).into_iter();
        let uploads = uploads.map(|name| repository::Repository::new(self, &name).uploads());
        for folder in uploads.chain([self.root().join("ingest")]) {
            for path in names_in(&folder).into_iter().map(|name| folder.join(name)) {
                let is_lock = path.to_string_lossy().ends_with("lock");
                if !is_lock && is_older(&path, ABANDONED, now) {
                    freed += remove(&path).map_err(|source| self.failed(source))?;
                }
            }
        }
        Ok(freed)
    }

    /// Removes blobs that turned out to be wrong, unless something else has them.
    pub fn discard<'a>(
        &self,
        digests: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), ImageError> {
        let _held = self.lock()?;
        let (blobs, _) = self.needed()?;
        for digest in digests {
            if !blobs.contains(&hex_of(digest)) && self.has(digest) {
                remove(&self.blob(digest)).map_err(|source| self.failed(source))?;
            }
        }
        Ok(())
    }

    /// What images and repositories have: blobs and unpacked layers.
    fn needed(&self) -> Result<(BTreeSet<String>, BTreeSet<String>), ImageError> {
        let mut blobs = repository::blobs_in_use(self);
        let mut layers = BTreeSet::new();
        for record in self.records()?.values() {
            blobs.insert(hex_of(&record.digest));
            let Ok(manifest) = self.manifest(&record.digest) else {
                continue;
            };
            let parts = std::iter::once(manifest.config()).chain(manifest.layers());
            blobs.extend(parts.map(|part| hex_of(part.digest().as_ref())));
            layers.extend(self.layers_of(&record.digest).unwrap_or_default());
        }
        Ok((blobs, layers))
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.collect()
}

/// By the time of its last renaming or writing, which unpacking does not set back.
fn is_older(path: &Path, age: SignedDuration, now: Timestamp) -> bool {
    let Ok(found) = fs::symlink_metadata(path) else {
        return false;
    };
    let changed = Timestamp::from_second(found.ctime()).unwrap_or(now);
    now.duration_since(changed) >= age
}

/// Removes a file or a folder; says how many bytes it had.
fn remove(path: &Path) -> std::io::Result<u64> {
    let bytes = size_of(path);
    let removed = if fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(bytes),
    }
}

fn size_of(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => names_in(path)
            .iter()
            .map(|name| size_of(&path.join(name)))
            .sum(),
        Ok(found) => found.blocks() * 512,
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests;
