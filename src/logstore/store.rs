//! The writer: takes lines in, makes them durable, keeps within its bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::SignedDuration;

use super::block::{self, Builder, Entry, Head};
use super::line::Labels;
use super::query::{Pending, Reader};
use super::segment::{self, Segment};

/// Lines before compression in one block: larger ones are smaller on disk, and slower to look into.
const BLOCK_BYTES: usize = 256 << 10;
/// Lines that wait at most while the disk takes none; then nobody should append.
const PENDING_BYTES_MAX: usize = 4 << 20;
/// Bounds are kept by dropping whole segments, so a segment is a small part of them.
const SEGMENTS: u64 = 16;
const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// On disk.
    pub bytes: u64,
    pub age: SignedDuration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            age: SignedDuration::from_hours(7 * 24),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the log store in `{}` cannot be used", folder.display())]
pub struct StoreError {
    folder: PathBuf,
    #[source]
    source: io::Error,
}

/// The one writer of a folder.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    bounds: Bounds,
    /// The oldest first; the last is written on.
    segments: Vec<Segment>,
    file: File,
    /// Streams by their labels, and back.
    streams: BTreeMap<Labels, u32>,
    names: BTreeMap<u32, Labels>,
    next_stream: u32,
    pending: Builder,
    /// The number of the first line that waits.
    next: u64,
    /// Lines before this one are on disk whatever happens.
    durable: u64,
    marks: BTreeMap<String, String>,
    new_marks: BTreeMap<String, Option<String>>,
}

impl Store {
    /// Opens the store, or makes it. What was damaged and left out is told beside it.
    pub fn open(folder: &Path, bounds: Bounds) -> Result<(Self, Vec<String>), StoreError> {
        Self::read(folder, bounds).map_err(|source| StoreError {
            folder: folder.to_path_buf(),
            source,
        })
    }

    fn read(folder: &Path, bounds: Bounds) -> io::Result<(Self, Vec<String>)> {
        fs::create_dir_all(folder)?;
        let mut paths: Vec<(u64, PathBuf)> = fs::read_dir(folder)?
            .flatten()
            .filter_map(|entry| Some((segment::first_of(&entry.path())?, entry.path())))
            .collect();
        paths.sort();
        let (mut problems, mut segments) = (Vec::new(), Vec::new());
        let (mut marks, mut names, mut next) = (BTreeMap::new(), BTreeMap::new(), 0);
        for (first, path) in paths {
            next = next.max(first);
            let mut seen = |head: &Head| {
                next = next.max(head.first + u64::from(head.count));
                names.extend(head.new.iter().cloned());
                for (key, value) in &head.marks {
                    match value {
                        Some(value) => marks.insert(key.clone(), value.clone()),
                        None => marks.remove(key),
                    };
                }
            };
            match Segment::open(&path, first, &mut seen, &mut problems) {
                Ok(segment) => segments.push(segment),
                Err(error) => problems.push(format!("`{}`: {error}", path.display())),
            }
        }
        let last = match segments.pop() {
            Some(last) => {
                last.cut()?;
                last
            }
            None => Segment::create(folder, next)?,
        };
        let file = File::options().append(true).open(&last.path)?;
        segments.push(last);
        let store = Self {
            folder: folder.to_path_buf(),
            bounds,
            segments,
            file,
            streams: names.iter().map(|(id, it)| (it.clone(), *id)).collect(),
            next_stream: names.keys().next_back().map_or(0, |last| last + 1),
            names,
            pending: Builder::default(),
            next,
            durable: next,
            marks,
            new_marks: BTreeMap::new(),
        };
        Ok((store, problems))
    }

    /// The number of the stream with these labels.
    pub fn stream(&mut self, labels: &Labels) -> u32 {
        if let Some(known) = self.streams.get(labels) {
            return *known;
        }
        let id = self.next_stream;
        self.next_stream += 1;
        self.streams.insert(labels.clone(), id);
        self.names.insert(id, labels.clone());
        id
    }

    /// The newest labels that a pod's lines were kept with.
    pub fn labels_of(&self, uid: &str) -> Option<Labels> {
        let mut known = self.names.values().rev();
        known.find(|labels| labels.uid == uid).cloned()
    }

    /// Takes a line in; it is found at once, and durable after the next [`Store::flush`].
    pub fn append(&mut self, stream: u32, at: i64, is_error: bool, text: &[u8]) {
        self.pending.push(&Entry {
            stream,
            at,
            is_error,
            text,
        });
    }

    /// Keeps a note that becomes durable together with the lines before it; `None` takes it back.
    pub fn mark(&mut self, key: &str, value: Option<&str>) {
        let known = self.marks.get(key).map(String::as_str);
        if known == value {
            return;
        }
        match value {
            Some(value) => self.marks.insert(key.to_owned(), value.to_owned()),
            None => self.marks.remove(key),
        };
        self.new_marks
            .insert(key.to_owned(), value.map(str::to_owned));
    }

    pub fn marks(&self) -> &BTreeMap<String, String> {
        &self.marks
    }

    /// Enough waits for a block.
    pub fn is_full(&self) -> bool {
        self.pending.bytes() >= BLOCK_BYTES
    }

    /// The disk takes nothing, and no more should be appended until it does.
    pub fn is_stuck(&self) -> bool {
        self.pending.bytes() >= PENDING_BYTES_MAX
    }

    /// Writes what waits. What fails waits on.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.pending.count() == 0 && self.new_marks.is_empty() {
            return Ok(());
        }
        let Some(active) = self.segments.last_mut() else {
            return Ok(());
        };
        let body = block::compress(&self.pending.raw())?;
        let mut head = self.pending.head(self.next);
        head.marks.clone_from(&self.new_marks);
        for stream in self.pending.streams() {
            if !active.streams.contains_key(stream)
                && let Some(labels) = self.names.get(stream)
            {
                head.new.push((*stream, labels.clone()));
            }
        }
        active.append(&mut self.file, head, &body)?;
        self.next += u64::from(self.pending.count());
        self.pending = Builder::default();
        self.new_marks.clear();
        let segment_bytes = (self.bounds.bytes / SEGMENTS).clamp(1, SEGMENT_BYTES_MAX);
        if active.bytes >= segment_bytes {
            self.roll()?;
        }
        Ok(())
    }

    /// Makes what was flushed survive even the machine's end.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.durable < self.next {
            self.file.sync_data()?;
            self.durable = self.next;
        }
        Ok(())
    }

    /// Begins a new segment. It carries all notes, because the older ones may go before it.
    fn roll(&mut self) -> io::Result<()> {
        let has_lines = |segment: &Segment| segment.first < self.next;
        if !self.segments.last().is_some_and(has_lines) {
            return Ok(());
        }
        self.file.sync_data()?;
        let mut next = Segment::create(&self.folder, self.next)?;
        let mut file = File::options().append(true).open(&next.path)?;
        let marks = self.marks.iter();
        let head = Head {
            first: self.next,
            marks: marks
                .map(|(key, value)| (key.clone(), Some(value.clone())))
                .collect(),
            ..Head::default()
        };
        next.append(&mut file, head, &[])?;
        self.file = file;
        self.segments.push(next);
        Ok(())
    }

    /// Drops what is too much or too old; says how many lines went.
    pub fn trim(&mut self, now: i64) -> io::Result<u64> {
        let age = i64::try_from(self.bounds.age.as_nanos()).unwrap_or(i64::MAX);
        let oldest = now.saturating_sub(age);
        // A segment that is written on for long would keep its oldest lines as long.
        let part = age / 8;
        let is_old = self.segments.last().and_then(Segment::span);
        if is_old.is_some_and(|(from, _)| from < now.saturating_sub(part)) {
            self.flush()?;
            self.roll()?;
        }
        let mut bytes: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        let (mut lines, mut dropped) = (0, 0);
        let last = self.segments.len().saturating_sub(1);
        for segment in self.segments.iter().take(last) {
            let is_old = segment.span().is_none_or(|(_, to)| to < oldest);
            if bytes <= self.bounds.bytes && !is_old {
                break;
            }
            fs::remove_file(&segment.path)?;
            bytes -= segment.bytes;
            lines += segment
                .blocks
                .iter()
                .map(|block| u64::from(block.count))
                .sum::<u64>();
            dropped += 1;
        }
        if dropped > 0 {
            self.segments.drain(..dropped);
            self.forget_streams();
        }
        Ok(lines)
    }

    /// Forgets streams that no line is left of.
    fn forget_streams(&mut self) {
        let mut used: BTreeSet<u32> = self.pending.streams().iter().copied().collect();
        for segment in &self.segments {
            used.extend(segment.streams.keys());
        }
        self.names.retain(|id, _| used.contains(id));
        self.streams.retain(|_, id| used.contains(id));
    }

    /// What there is now, to be searched.
    pub fn reader(&self) -> Reader {
        Reader {
            segments: self.segments.clone(),
            pending: Pending {
                raw: Arc::new(self.pending.raw()),
                first: self.next,
                streams: self
                    .pending
                    .streams()
                    .iter()
                    .filter_map(|id| Some((*id, Arc::new(self.names.get(id)?.clone()))))
                    .collect(),
            },
            next: self.next + u64::from(self.pending.count()),
            durable: self.durable,
        }
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }
}
