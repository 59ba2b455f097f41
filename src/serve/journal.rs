//! The durable log of record: one redb file, read at start only.
//!
//! Every change is one record under its revision; `current` says for each object which revision is
//! the present one. All changes of a batch go into one transaction, which is on disk when
//! [`Journal::commit`] returns: the caller answers writes only then. Leases are never written: they
//! are renewed every few seconds and mean nothing after a restart.
//!
//! Revisions are handed out to volatile objects too, so the highest one on disk is not the highest
//! one that a client has seen. A ceiling is therefore reserved ahead, and a restart continues above it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::k8s::{Change, ChangeKind, Object, ObjectKey, Resource, Revision, resources};

use super::holder;

/// Revision → record (see [`Record`]).
const REVISIONS: TableDefinition<u64, &[u8]> = TableDefinition::new("rev");
/// Object key → (revision of its creation, of its last change, number of changes).
const CURRENT: TableDefinition<&str, (u64, u64, u64)> = TableDefinition::new("cur");
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

const FORMAT_KEY: &str = "format";
const CEILING_KEY: &str = "revision-ceiling";
/// What this program reads and writes. Raised when an older program could no longer read the file.
const FORMAT: u64 = 1;

/// Revisions reserved ahead: one more small write for every so many.
const RESERVE: u64 = 100_000;
/// How many superseded records are kept; beyond them the oldest are dropped.
const SUPERSEDED_MAX: usize = 20_000;
/// A killed holder's lock goes away with its process, which takes a moment.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_RETRY: Duration = Duration::from_millis(50);
/// The live state is in memory; the file's cache only serves writing.
const CACHE_BYTES: usize = 16 << 20;
/// A file larger than this is compacted at start if more than half of it is free.
const COMPACT_ABOVE_BYTES: u64 = 64 << 20;

/// An open store file. Only one process can have it.
pub struct Journal {
    database: Database,
    path: PathBuf,
    /// Revisions below this one may be handed out without another reservation.
    ceiling: u64,
    /// Records that are not the present state of their object, oldest first.
    superseded: VecDeque<u64>,
}

/// What was in the file.
pub struct Restored {
    pub objects: Vec<Object>,
    /// The highest revision that may ever have been handed out.
    pub revision: Revision,
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the cluster's store `{}` is in use{holder}", path.display())]
    Held { path: PathBuf, holder: String },
    #[error(
        "the cluster's store `{}` was written by a newer bayplan (format {found}, this one reads {FORMAT})",
        path.display()
    )]
    Newer { path: PathBuf, found: u64 },
    #[error("the cluster's store `{}` is damaged ({detail}); nothing was changed", path.display())]
    Corrupt { path: PathBuf, detail: String },
    #[error("the cluster's store `{}` cannot be opened: {detail}", path.display())]
    Open { path: PathBuf, detail: String },
    #[error("the cluster's store `{}` cannot be written: {detail}", path.display())]
    Write { path: PathBuf, detail: String },
}

impl Journal {
    /// Opens or makes the store at `path` and reads everything in it.
    pub fn open(path: &Path) -> Result<(Self, Restored), JournalError> {
        let fresh = !path.exists();
        let mut database = open_database(path)?;
        if fresh {
            // Readable by its owner only: Secrets are inside.
            restrict(path);
        }
        let corrupt = |error: redb::Error| JournalError::Corrupt {
            path: path.to_owned(),
            detail: error.to_string(),
        };
        check_format(&database, path)?;
        compact_if_worth_it(&mut database, path);
        let (restored, superseded) = read_all(&database, path).map_err(|error| match error {
            ReadError::Redb(error) => corrupt(*error),
            ReadError::Journal(error) => error,
        })?;
        let mut journal = Self {
            database,
            path: path.to_owned(),
            ceiling: restored.revision.0,
            superseded,
        };
        journal.reserve(restored.revision.0)?;
        Ok((journal, restored))
    }

    /// Makes the changes durable, all or none. Returns when they are on disk.
    pub fn commit(&mut self, changes: &[Change]) -> Result<(), JournalError> {
        let highest = changes.iter().map(|change| change.object.revision.0).max();
        let lasting: Vec<&Change> = changes
            .iter()
            .filter(|change| change.object.key.resource != resources::LEASES)
            .collect();
        if let Some(highest) = highest
            && highest >= self.ceiling
            && lasting.is_empty()
        {
            return self.reserve(highest);
        }
        if lasting.is_empty() {
            return Ok(());
        }
        let ceiling = match highest {
            Some(highest) if highest >= self.ceiling => highest + RESERVE,
            _ => self.ceiling,
        };
        let result = self.write(&lasting, ceiling);
        let path = &self.path;
        result.map_err(|error| JournalError::Write {
            path: path.clone(),
            detail: error.to_string(),
        })?;
        self.ceiling = ceiling;
        Ok(())
    }

    fn write(&mut self, changes: &[&Change], ceiling: u64) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_quick_repair(true);
        let mut superseded = Vec::new();
        let dropped;
        {
            let mut revisions = transaction.open_table(REVISIONS)?;
            let mut current = transaction.open_table(CURRENT)?;
            for change in changes {
                let object = &change.object;
                let key = key_text(&object.key);
                let before = current.get(key.as_str())?.map(|entry| entry.value());
                if let Some((_, last, _)) = before {
                    superseded.push(last);
                }
                let record = Record::of(change).encode();
                revisions.insert(object.revision.0, record.as_slice())?;
                if change.kind == ChangeKind::Deleted {
                    current.remove(key.as_str())?;
                    superseded.push(object.revision.0);
                } else {
                    let (created, _, count) = before.unwrap_or((object.revision.0, 0, 0));
                    let entry = (created, object.revision.0, count + 1);
                    current.insert(key.as_str(), entry)?;
                }
            }
            dropped = (self.superseded.len() + superseded.len()).saturating_sub(SUPERSEDED_MAX);
            for revision in self.superseded.iter().chain(&superseded).take(dropped) {
                revisions.remove(*revision)?;
            }
            if ceiling != self.ceiling {
                transaction.open_table(META)?.insert(CEILING_KEY, ceiling)?;
            }
        }
        transaction.commit()?;
        self.superseded.extend(superseded);
        self.superseded.drain(..dropped);
        Ok(())
    }

    fn reserve(&mut self, highest: u64) -> Result<(), JournalError> {
        let ceiling = highest + RESERVE;
        let result = (|| -> Result<(), redb::Error> {
            let mut transaction = self.database.begin_write()?;
            transaction.set_quick_repair(true);
            transaction.open_table(REVISIONS)?;
            transaction.open_table(CURRENT)?;
            transaction.open_table(META)?.insert(CEILING_KEY, ceiling)?;
            transaction.commit()?;
            Ok(())
        })();
        result.map_err(|error| JournalError::Write {
            path: self.path.clone(),
            detail: error.to_string(),
        })?;
        self.ceiling = ceiling;
        Ok(())
    }
}

fn open_database(path: &Path) -> Result<Database, JournalError> {
    let started = crate::stdx::clock::instant();
    loop {
        let result = Database::builder().set_cache_size(CACHE_BYTES).create(path);
        match result {
            Ok(database) => return Ok(database),
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => {
                if started.elapsed() >= LOCK_PATIENCE {
                    return Err(JournalError::Held {
                        path: path.to_owned(),
                        holder: holder::describe(path.parent()),
                    });
                }
                std::thread::park_timeout(LOCK_RETRY);
            }
            Err(error) => return Err(refused(path, error)),
        }
    }
}

fn refused(path: &Path, error: redb::DatabaseError) -> JournalError {
    let path = path.to_owned();
    match error {
        redb::DatabaseError::Storage(redb::StorageError::Io(io))
            if io.kind() != std::io::ErrorKind::InvalidData
                && io.kind() != std::io::ErrorKind::UnexpectedEof =>
        {
            JournalError::Open {
                path,
                detail: io.to_string(),
            }
        }
        redb::DatabaseError::UpgradeRequired(version) => JournalError::Corrupt {
            path,
            detail: format!("file format {version} is not known"),
        },
        other => JournalError::Corrupt {
            path,
            detail: other.to_string(),
        },
    }
}

/// Writes our format into a new file, refuses a newer one.
fn check_format(database: &Database, path: &Path) -> Result<(), JournalError> {
    let inspect = || -> Result<Option<u64>, redb::Error> {
        let transaction = database.begin_read()?;
        match transaction.open_table(META) {
            Ok(meta) => Ok(meta.get(FORMAT_KEY)?.map(|entry| entry.value())),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    };
    let corrupt = |error: redb::Error| JournalError::Corrupt {
        path: path.to_owned(),
        detail: error.to_string(),
    };
    match inspect().map_err(corrupt)? {
        Some(found) if found > FORMAT => Err(JournalError::Newer {
            path: path.to_owned(),
            found,
        }),
        Some(_) => Ok(()),
        None => {
            let stamp = || -> Result<(), redb::Error> {
                let transaction = database.begin_write()?;
                transaction.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
                transaction.commit()?;
                Ok(())
            };
            stamp().map_err(|error| JournalError::Write {
                path: path.to_owned(),
                detail: error.to_string(),
            })
        }
    }
}

/// The file never shrinks by itself; this is the only moment when nothing else uses it.
fn compact_if_worth_it(database: &mut Database, path: &Path) {
    let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if size < COMPACT_ABOVE_BYTES {
        return;
    }
    let free = || -> Result<bool, redb::Error> {
        let transaction = database.begin_write()?;
        let stats = transaction.stats()?;
        transaction.abort()?;
        let used = stats.stored_bytes() + stats.metadata_bytes() + stats.fragmented_bytes();
        Ok(used * 2 < size)
    };
    match free() {
        Ok(true) => {
            if let Err(error) = database.compact() {
                tracing::warn!(%error, "the store was not compacted");
            }
        }
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, "the store's size is not known"),
    }
}

enum ReadError {
    Redb(Box<redb::Error>),
    Journal(JournalError),
}

impl<T: Into<redb::Error>> From<T> for ReadError {
    fn from(error: T) -> Self {
        Self::Redb(Box::new(error.into()))
    }
}

fn read_all(database: &Database, path: &Path) -> Result<(Restored, VecDeque<u64>), ReadError> {
    let transaction = database.begin_read()?;
    let mut restored = Restored {
        objects: Vec::new(),
        revision: Revision::default(),
    };
    let meta = transaction.open_table(META)?;
    restored.revision.0 = meta.get(CEILING_KEY)?.map_or(0, |entry| entry.value());
    let current = match transaction.open_table(CURRENT) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok((restored, VecDeque::new())),
        Err(error) => return Err(error.into()),
    };
    let revisions = transaction.open_table(REVISIONS)?;
    let broken = |detail: String| {
        ReadError::Journal(JournalError::Corrupt {
            path: path.to_owned(),
            detail,
        })
    };
    let mut present = std::collections::BTreeSet::new();
    for entry in current.iter()? {
        let (key, value) = entry?;
        let (_, revision, _) = value.value();
        let record = revisions
            .get(revision)?
            .ok_or_else(|| broken(format!("`{}` has no record", key.value())))?;
        let object = Record::decode(record.value())
            .and_then(Record::into_object)
            .map_err(|detail| broken(format!("`{}` {detail}", key.value())))?;
        present.insert(revision);
        restored.objects.push(object);
    }
    let mut superseded = VecDeque::new();
    for entry in revisions.iter()? {
        let (revision, _) = entry?;
        let revision = revision.value();
        restored.revision.0 = restored.revision.0.max(revision);
        if !present.contains(&revision) {
            superseded.push_back(revision);
        }
    }
    Ok((restored, superseded))
}

#[cfg(unix)]
fn restrict(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if let Err(error) = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)) {
        tracing::warn!(%error, "the store's file mode was not set");
    }
}

#[cfg(not(unix))]
fn restrict(_path: &Path) {}

/// `group/plural/namespace/name`; none of the parts may contain a slash.
fn key_text(key: &ObjectKey) -> String {
    let Resource { group, plural } = &key.resource;
    format!("{group}/{plural}/{}/{}", key.namespace, key.name)
}

/// One change: a byte for what happened, the resource type, the object's JSON.
///
/// ```text
/// kind u8 | group length u8 | group | plural length u8 | plural | fingerprint u32 LE | JSON …
/// ```
struct Record<'a> {
    kind: ChangeKind,
    resource: Resource,
    json: &'a [u8],
}

impl<'a> Record<'a> {
    fn of(change: &'a Change) -> Self {
        Self {
            kind: change.kind,
            resource: change.object.key.resource.clone(),
            json: &change.object.bytes,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let kind = match self.kind {
            ChangeKind::Added => 0,
            ChangeKind::Modified => 1,
            ChangeKind::Deleted => 2,
        };
        let mut bytes = Vec::with_capacity(self.json.len() + 64);
        bytes.push(kind);
        for part in [&self.resource.group, &self.resource.plural] {
            // A group is a DNS name of at most 253 characters, a plural a label of at most 63.
            bytes.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes.extend_from_slice(&fingerprint(self.json).to_le_bytes());
        bytes.extend_from_slice(self.json);
        bytes
    }

    fn decode(bytes: &'a [u8]) -> Result<Self, &'static str> {
        const SHORT: &str = "has a record that is too short";
        let (kind, rest) = bytes.split_first().ok_or(SHORT)?;
        let kind = match kind {
            0 => ChangeKind::Added,
            1 => ChangeKind::Modified,
            2 => ChangeKind::Deleted,
            _ => return Err("has a record of an unknown kind"),
        };
        let (group, rest) = take_text(rest).ok_or(SHORT)?;
        let (plural, rest) = take_text(rest).ok_or(SHORT)?;
        let (stored, json) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        if u32::from_le_bytes(*stored) != fingerprint(json) {
            return Err("has a record with a wrong checksum");
        }
        Ok(Self {
            kind,
            resource: Resource::new(group, plural),
            json,
        })
    }

    fn into_object(self) -> Result<Object, &'static str> {
        if self.kind == ChangeKind::Deleted {
            return Err("is marked present and deleted");
        }
        Object::parse(self.resource, Bytes::copy_from_slice(self.json))
            .map_err(|_error| "is not a Kubernetes object")
    }
}

fn take_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// FNV-1a: it only has to notice a damaged disk or file, never an adversary.
fn fingerprint(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
#[path = "journal/tests.rs"]
mod tests;
