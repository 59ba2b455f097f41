//! The durable log of record: one redb file, read at start only.
//!
//! Every change is one record under its revision; `current` says for each object which revision is
//! the present one. All changes of a batch go into one transaction, which is on disk when
//! [`Journal::commit`] returns: the caller answers writes only then. Leases are never written: they
//! are renewed every few seconds and mean nothing after a restart.
//!
//! Revisions are handed out to volatile objects too, so the highest one on disk is not the highest
//! one that a client has seen. A ceiling is therefore reserved ahead, and a restart continues above it.

mod decoding;
mod record;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use rustc_hash::FxHashMap;

use crate::k8s::{Change, ChangeKind, Object, ObjectKey, Resource, Revision, resources};
use crate::stdx::clock;
use crate::store::History;

use super::holder;
use decoding::Decoded;
use record::Record;

/// Revision → record (see [`Record`]).
const REVISIONS: TableDefinition<u64, &[u8]> = TableDefinition::new("rev");
/// Object key → (revision of its creation, of its last change, number of changes).
const CURRENT: TableDefinition<&str, (u64, u64, u64)> = TableDefinition::new("cur");
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

const FORMAT_KEY: &str = "format";
const CEILING_KEY: &str = "revision-ceiling";
/// The highest revision whose record was dropped: after it, every change has one.
const DROPPED_KEY: &str = "dropped-up-to";
/// What this program reads and writes. Raised when an older program could no longer read the file.
const FORMAT: u64 = 1;

/// Revisions reserved ahead: one more small write for every so many.
const RESERVE: u64 = 100_000;
/// How many superseded records are kept, and how large they may be together; beyond that the oldest
/// are dropped. Every start reads over them.
const SUPERSEDED_MAX: usize = 20_000;
const SUPERSEDED_BYTES_MAX: u64 = 16 << 20;
/// How many of the last changes a start reads for those who watched. They come back within seconds
/// and have seen nearly all; reading many would delay the first frame.
const HISTORY_MAX: u64 = 4_000;
/// A killed holder's lock goes away with its process, which takes a moment.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_RETRY: Duration = Duration::from_millis(50);
/// The live state is in memory; the file's cache only serves writing.
const CACHE_BYTES: usize = 16 << 20;
/// A file larger than this is compacted when its records fill less than half of it.
const COMPACT_ABOVE_BYTES: u64 = 64 << 20;
/// How often a file in use is looked at: compacting takes as long as writing it anew.
const TIDY_EVERY: Duration = Duration::from_mins(10);

/// An open store file. Only one process can have it.
pub struct Journal {
    database: Database,
    path: PathBuf,
    /// Revisions below this one may be handed out without another reservation.
    ceiling: u64,
    superseded: Superseded,
    /// The highest revision whose record was dropped, and what the file says of it: a file of an
    /// older program says nothing.
    dropped: u64,
    dropped_written: Option<u64>,
    /// How large all records are together.
    bytes: u64,
    tidied_at: Instant,
}

/// Records that are not the present state of their object: revision and size, oldest first.
#[derive(Default)]
struct Superseded {
    records: VecDeque<(u64, u64)>,
    bytes: u64,
}

impl Superseded {
    fn push(&mut self, revision: u64, bytes: u64) {
        self.records.push_back((revision, bytes));
        self.bytes += bytes;
    }

    /// What is beyond the bounds.
    fn drop_oldest(&mut self) -> Option<u64> {
        if self.records.len() <= SUPERSEDED_MAX && self.bytes <= SUPERSEDED_BYTES_MAX {
            return None;
        }
        let (revision, bytes) = self.records.pop_front()?;
        self.bytes -= bytes;
        Some(revision)
    }
}

/// What was in the file.
pub struct Restored {
    /// In the order of their keys.
    pub objects: Vec<Arc<Object>>,
    /// The highest revision that may ever have been handed out.
    pub revision: Revision,
    /// The most recent changes, for those who watched.
    pub history: History,
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error(
        "the cluster's store `{}` is in use{holder}; `bayplan` joins it, or end that process first",
        path.display()
    )]
    Held { path: PathBuf, holder: String },
    #[error(
        "the cluster's store `{}` was written by a newer bayplan (format {found}, this one reads {FORMAT}); nothing was changed, open it with that bayplan",
        path.display()
    )]
    Newer { path: PathBuf, found: u64 },
    #[error(
        "the cluster's store `{}` is damaged ({detail}); nothing was changed, put a copy of it in its place or open another cluster",
        path.display()
    )]
    Corrupt { path: PathBuf, detail: String },
    #[error("the cluster's store `{}` cannot be opened: {detail}", path.display())]
    Open { path: PathBuf, detail: String },
    #[error(
        "the cluster's store `{}` cannot be written: {detail}; what was answered is kept, make room or look at the disk and start again",
        path.display()
    )]
    Write { path: PathBuf, detail: String },
}

impl Journal {
    /// Opens or makes the store at `path` and reads everything in it.
    pub fn open(path: &Path) -> Result<(Self, Restored), JournalError> {
        let fresh = !path.exists();
        let database = open_database(path)?;
        if fresh {
            // Readable by its owner only: Secrets are inside.
            restrict(path);
        }
        let corrupt = |error: redb::Error| JournalError::Corrupt {
            path: path.to_owned(),
            detail: error.to_string(),
        };
        check_format(&database, path)?;
        let read = read_all(&database, path).map_err(|error| match error {
            ReadError::Redb(error) => corrupt(*error),
            ReadError::Journal(error) => error,
        })?;
        // The first commit reserves more: until then nothing above the ceiling is handed out.
        let mut journal = Self {
            database,
            path: path.to_owned(),
            ceiling: read.restored.revision.0,
            superseded: read.superseded,
            dropped: read.dropped.unwrap_or(read.restored.revision.0),
            dropped_written: read.dropped,
            bytes: read.bytes,
            tidied_at: clock::instant(),
        };
        journal.compact_if_worth_it();
        Ok((journal, read.restored))
    }

    /// To be called when nobody waits for an answer; now and then it gives back room that has
    /// become free. The file never shrinks by itself.
    pub fn tidy(&mut self) {
        if self.tidied_at.elapsed() >= TIDY_EVERY {
            self.compact_if_worth_it();
            self.tidied_at = clock::instant();
        }
    }

    fn compact_if_worth_it(&mut self) {
        let size = std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        if size < COMPACT_ABOVE_BYTES || self.bytes * 2 > size {
            return;
        }
        if let Err(error) = self.database.compact() {
            tracing::warn!(%error, "the store was not compacted");
        }
    }

    /// Makes the changes durable, all or none. Returns when they are on disk.
    pub fn commit(&mut self, changes: &[Change]) -> Result<(), JournalError> {
        let highest = changes.iter().map(|change| change.object.revision.0).max();
        let lasting: Vec<&Change> = changes
            .iter()
            .filter(|change| change.object.key.resource != resources::LEASES)
            .collect();
        let ceiling = match highest {
            Some(highest) if highest >= self.ceiling => highest + RESERVE,
            _ => self.ceiling,
        };
        if lasting.is_empty() && ceiling == self.ceiling {
            return Ok(());
        }
        self.write(&lasting, ceiling)
            .map_err(|error| JournalError::Write {
                path: self.path.clone(),
                detail: error.to_string(),
            })?;
        self.ceiling = ceiling;
        Ok(())
    }

    fn write(&mut self, changes: &[&Change], ceiling: u64) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_quick_repair(true);
        {
            let mut revisions = transaction.open_table(REVISIONS)?;
            let mut current = transaction.open_table(CURRENT)?;
            for change in changes {
                let object = &change.object;
                let key = key_text(&object.key);
                let before = current.get(key.as_str())?.map(|entry| entry.value());
                if let Some((_, last, _)) = before {
                    let size = revisions.get(last)?.map(|record| length(record.value()));
                    self.superseded.push(last, size.unwrap_or_default());
                }
                let record = Record::of(change).encode();
                revisions.insert(object.revision.0, record.as_slice())?;
                self.bytes += length(&record);
                if change.kind == ChangeKind::Deleted {
                    current.remove(key.as_str())?;
                    self.superseded.push(object.revision.0, length(&record));
                } else {
                    let (created, _, count) = before.unwrap_or((object.revision.0, 0, 0));
                    let entry = (created, object.revision.0, count + 1);
                    current.insert(key.as_str(), entry)?;
                }
            }
            while let Some(revision) = self.superseded.drop_oldest() {
                self.dropped = self.dropped.max(revision);
                if let Some(record) = revisions.remove(revision)? {
                    self.bytes = self.bytes.saturating_sub(length(record.value()));
                }
            }
            let mut meta = transaction.open_table(META)?;
            if ceiling != self.ceiling {
                meta.insert(CEILING_KEY, ceiling)?;
            }
            if self.dropped_written != Some(self.dropped) {
                meta.insert(DROPPED_KEY, self.dropped)?;
            }
        }
        transaction.commit()?;
        self.dropped_written = Some(self.dropped);
        Ok(())
    }
}

fn open_database(path: &Path) -> Result<Database, JournalError> {
    let started = clock::instant();
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
                {
                    let mut meta = transaction.open_table(META)?;
                    meta.insert(FORMAT_KEY, FORMAT)?;
                    meta.insert(DROPPED_KEY, 0)?;
                }
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

enum ReadError {
    Redb(Box<redb::Error>),
    Journal(JournalError),
}

impl<T: Into<redb::Error>> From<T> for ReadError {
    fn from(error: T) -> Self {
        Self::Redb(Box::new(error.into()))
    }
}

/// All that a file says.
struct Read {
    restored: Restored,
    superseded: Superseded,
    dropped: Option<u64>,
    bytes: u64,
}

fn read_all(database: &Database, path: &Path) -> Result<Read, ReadError> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let ceiling = meta.get(CEILING_KEY)?.map_or(0, |entry| entry.value());
    let dropped = meta.get(DROPPED_KEY)?.map(|entry| entry.value());
    let mut read = Read {
        restored: Restored {
            objects: Vec::new(),
            revision: Revision(ceiling),
            history: History {
                records: Vec::new(),
                since: Revision(dropped.unwrap_or(ceiling)),
                volatile: vec![resources::LEASES],
            },
        },
        superseded: Superseded::default(),
        dropped,
        bytes: 0,
    };
    let current = match transaction.open_table(CURRENT) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(read),
        Err(error) => return Err(error.into()),
    };
    let revisions = transaction.open_table(REVISIONS)?;
    let broken = |detail: String| {
        ReadError::Journal(JournalError::Corrupt {
            path: path.to_owned(),
            detail,
        })
    };
    // Revision of each present object, and its place in the order of keys.
    let mut present = FxHashMap::default();
    for entry in current.iter()? {
        let (_, value) = entry?;
        let (_, revision, _) = value.value();
        present.insert(revision, present.len());
    }
    let count = present.len();
    // Places after those of the present objects are for earlier states.
    let mut next_place = count;
    let mut recent = Vec::new();
    let mut older = revisions.len()?.saturating_sub(HISTORY_MAX);
    // Records lie in the order of revisions: one pass over the file, rather than a search for each.
    let decoded = decoding::decode(|sink| -> Result<(), ReadError> {
        for entry in revisions.iter()? {
            let (revision, record) = entry?;
            let revision = revision.value();
            read.restored.revision.0 = read.restored.revision.0.max(revision);
            read.bytes += length(record.value());
            let since = &mut read.restored.history.since.0;
            if older > 0 {
                older -= 1;
                *since = (*since).max(revision);
            }
            let is_recent = revision > *since;
            let mut place = present.remove(&revision);
            if place.is_none() {
                read.superseded.push(revision, length(record.value()));
                if is_recent {
                    place = Some(next_place);
                    next_place += 1;
                }
            }
            if let Some(place) = place {
                sink.push(place, record.value());
                if is_recent {
                    recent.push((revision, place));
                }
            }
        }
        Ok(())
    })?;
    for entry in current.iter()? {
        if present.is_empty() {
            break;
        }
        let (key, value) = entry?;
        if present.contains_key(&value.value().1) {
            return Err(broken(format!("`{}` has no record", key.value())));
        }
    }
    tell(recent, &decoded, &mut read.restored.history);
    for (place, decoded) in decoded.into_iter().take(count).enumerate() {
        let detail = match decoded {
            Ok((ChangeKind::Deleted, _)) => "is marked present and deleted",
            Ok((_, object)) => {
                read.restored.objects.push(object);
                continue;
            }
            Err(detail) => detail,
        };
        let key = current.iter()?.nth(place).transpose()?;
        let key = key.map(|(key, _)| key.value().to_owned());
        return Err(broken(format!("`{}` {detail}", key.unwrap_or_default())));
    }
    Ok(read)
}

/// Puts the recent records (revision and place) into the history.
fn tell(recent: Vec<(u64, usize)>, decoded: &[Decoded], history: &mut History) {
    for (revision, place) in recent {
        if let Some(Ok((kind, object))) = decoded.get(place) {
            history.records.push((*kind, Arc::clone(object)));
        } else {
            // What cannot be read any more is no reason to refuse what can.
            history.records.clear();
            history.since = Revision(revision);
        }
    }
}

fn length(record: &[u8]) -> u64 {
    u64::try_from(record.len()).unwrap_or(u64::MAX)
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

#[cfg(test)]
#[path = "journal/tests.rs"]
mod tests;
