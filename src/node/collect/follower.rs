//! One log followed through its rotations, from where it was left.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::parse::{LINE_BYTES_MAX, Times};
use crate::logstore::{Labels, Store};
use crate::node::container::log::{FILES_MAX, numbered};

const CHUNK_BYTES: usize = 64 << 10;
/// Read in one go: then it is another container's turn.
const PORTION_BYTES: usize = 2 << 20;

/// What came of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to read.
    Behind,
    /// All was read; more may come.
    Waits,
    /// The log is gone, and all of it was read.
    Over,
}

pub struct Follower {
    path: PathBuf,
    open: Option<Open>,
    /// The beginning of a line that the file goes on with, for both streams.
    parts: [Option<Begun>; 2],
    times: Times,
    /// It went to where an earlier life came.
    is_resumed: bool,
    /// Nothing more will come; the file is closed.
    is_resting: bool,
}

struct Open {
    file: File,
    inode: u64,
    /// Up to where lines were taken.
    offset: u64,
    /// What was read after that: a line without its end.
    rest: Vec<u8>,
}

struct Begun {
    at: i64,
    text: Vec<u8>,
    /// Where it begins in its file: that far a restart must go back.
    offset: (u64, u64),
}

impl Follower {
    /// Opens the log at once: its name may be gone before it is read.
    pub fn new(path: PathBuf) -> Self {
        let open = Open::at(&path, 0).ok();
        Self {
            path,
            open,
            parts: [None, None],
            times: Times::default(),
            is_resumed: false,
            is_resting: false,
        }
    }

    /// Nothing more comes: its container has run again since.
    pub fn rest(&mut self) {
        self.is_resting = true;
        self.open = None;
    }

    /// Takes a portion in. How far it came is kept in the store under `key`.
    pub fn read(&mut self, store: &mut Store, labels: &Labels, key: &str) -> io::Result<Progress> {
        if self.is_resting {
            let is_there = self.path.exists();
            return Ok(if is_there {
                Progress::Waits
            } else {
                Progress::Over
            });
        }
        if !std::mem::replace(&mut self.is_resumed, true) {
            self.resume(store, key);
        }
        let stream = store.stream(labels);
        let mut taken = 0;
        while taken < PORTION_BYTES {
            if store.is_full() {
                store.flush()?;
            }
            if store.is_stuck() {
                return Ok(Progress::Waits);
            }
            let Some(open) = &mut self.open else {
                return Ok(Progress::Over);
            };
            // Asked before reading: what is written before a rotation is read after it.
            let place = standing(&self.path, open.inode);
            let count = open.fill()?;
            if count > 0 {
                taken += count;
                self.take(store, stream);
                self.note(store, key);
                continue;
            }
            match place {
                Standing::Newest => return Ok(Progress::Waits),
                Standing::Gone => {
                    self.let_go(store, stream);
                    return Ok(Progress::Over);
                }
                Standing::Rotated(next) => match Open::at(&next, 0) {
                    Ok(next) => {
                        self.open = Some(next);
                        self.note(store, key);
                    }
                    // Rotated again in this moment.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        return Ok(Progress::Behind);
                    }
                    Err(error) => return Err(error),
                },
                Standing::Lost(next) => {
                    tracing::warn!(log = %self.path.display(), "lines were rotated away unread");
                    self.open = Some(Open::at(&next, 0)?);
                    self.note(store, key);
                }
            }
        }
        Ok(Progress::Behind)
    }

    /// Goes to where an earlier life came, or to the oldest file there is.
    fn resume(&mut self, store: &Store, key: &str) {
        let mark = store.marks().get(key).and_then(|mark| {
            let (inode, offset) = mark.split_once(':')?;
            Some((inode.parse::<u64>().ok()?, offset.parse::<u64>().ok()?))
        });
        if let Some((inode, offset)) = mark {
            // A file whose name is gone is still open.
            if let Some(open) = self.open.as_mut().filter(|open| open.inode == inode)
                && open.file.metadata().is_ok_and(|it| it.len() >= offset)
                && open.file.seek(SeekFrom::Start(offset)).is_ok()
            {
                open.offset = offset;
                return;
            }
            // A number is given out again: a shorter file is another one.
            let known = versions(&self.path).find(|path| {
                fs::metadata(path).is_ok_and(|it| it.ino() == inode && it.len() >= offset)
            });
            if let Some(open) = known.and_then(|path| Open::at(&path, offset).ok()) {
                self.open = Some(open);
                return;
            }
        }
        let oldest = versions(&self.path).last();
        if let Some(open) = oldest.and_then(|path| Open::at(&path, 0).ok()) {
            self.open = Some(open);
        }
    }

    fn take(&mut self, store: &mut Store, stream: u32) {
        let Some(open) = &mut self.open else { return };
        let bytes = std::mem::take(&mut open.rest);
        let mut from = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(line_text) = line.strip_suffix(b"\n") else {
                break;
            };
            let place = (open.inode, open.offset);
            from += line.len();
            open.offset += line.len() as u64;
            let Some(part) = self.times.part(line_text) else {
                continue;
            };
            let Some(begun) = self.parts.get_mut(usize::from(part.is_error)) else {
                continue;
            };
            if begun.is_none() && !part.goes_on {
                store.append(stream, part.at, part.is_error, part.text);
                continue;
            }
            let whole = begun.get_or_insert_with(|| Begun {
                at: part.at,
                text: Vec::new(),
                offset: place,
            });
            whole.text.extend_from_slice(part.text);
            if !part.goes_on || whole.text.len() >= LINE_BYTES_MAX {
                store.append(stream, whole.at, part.is_error, &whole.text);
                *begun = None;
            }
        }
        open.rest = bytes.get(from..).unwrap_or_default().to_vec();
        // A line that never ends is no line of a log.
        if open.rest.len() > LINE_BYTES_MAX {
            open.offset += open.rest.len() as u64;
            open.rest.clear();
        }
    }

    /// What was begun and will not go on.
    fn let_go(&mut self, store: &mut Store, stream: u32) {
        for (index, begun) in self.parts.iter_mut().enumerate() {
            if let Some(begun) = begun.take() {
                store.append(stream, begun.at, index == 1, &begun.text);
            }
        }
    }

    fn note(&self, store: &mut Store, key: &str) {
        let Some(open) = &self.open else { return };
        let begun = self.parts.iter().flatten().map(|begun| begun.offset);
        // Parts of an earlier file come first: its numbers cannot be compared with this one's.
        let earlier = begun.clone().find(|(inode, _)| *inode != open.inode);
        let (inode, offset) = earlier
            .or_else(|| begun.min())
            .unwrap_or((open.inode, open.offset));
        store.mark(key, Some(&format!("{inode}:{offset}")));
    }
}

impl Open {
    fn at(path: &Path, offset: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let inode = file.metadata()?.ino();
        Ok(Self {
            file,
            inode,
            offset,
            rest: Vec::new(),
        })
    }

    fn fill(&mut self) -> io::Result<usize> {
        let before = self.rest.len();
        self.rest.resize(before + CHUNK_BYTES, 0);
        let read = self
            .file
            .read(self.rest.get_mut(before..).unwrap_or_default());
        let count = *read.as_ref().unwrap_or(&0);
        self.rest.truncate(before + count);
        read
    }
}

/// Where an open file stands among those of its log.
enum Standing {
    Newest,
    /// This one comes after it.
    Rotated(PathBuf),
    /// It was rotated away; this one is the oldest that is left.
    Lost(PathBuf),
    /// The log has no file any more.
    Gone,
}

fn standing(path: &Path, inode: u64) -> Standing {
    if inode_of(path) == Some(inode) {
        return Standing::Newest;
    }
    let files: Vec<PathBuf> = versions(path).collect();
    let mut newer = None;
    for file in &files {
        if inode_of(file) == Some(inode) {
            return newer.map_or(Standing::Newest, Standing::Rotated);
        }
        newer = Some(file.clone());
    }
    newer.map_or(Standing::Gone, Standing::Lost)
}

/// The files of a log that are there, the newest first.
fn versions(path: &Path) -> impl Iterator<Item = PathBuf> {
    let rotated: Vec<PathBuf> = (1..=FILES_MAX)
        .map(|number| numbered(path, number))
        .collect();
    std::iter::once(path.to_path_buf())
        .chain(rotated)
        .filter(|path| path.exists())
}

fn inode_of(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}
