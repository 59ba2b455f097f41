//! Reads a log while it is written and rotated: every line once, in order, and how many were missed.
//!
//! Files are found by what they are, not by their names, which change under the reader; those that
//! are still to be read are held open, so that a rotation does not take them away.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::iter;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{FILES_MAX, lines_before, numbered};
use crate::k8s::dropped;

/// Given out at once: then it is others' turn.
const PORTION_BYTES: usize = 1 << 20;
const BUFFER_BYTES: usize = 64 << 10;
/// Files that a reader holds: the one that it reads, and all that are kept. One that is slower than its container is
/// overtaken rather than given all the disk.
const HELD_MAX: usize = FILES_MAX as usize + 1;

/// What a reader asks for, as `GET …/pods/NAME/log` does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pub tail: Option<usize>,
    pub since: Option<Timestamp>,
    pub timestamps: bool,
}

/// Reads a log from its beginning (or what a query leaves of it), then goes on where it ended.
pub struct Reader {
    path: PathBuf,
    query: Query,
    /// The oldest first: the one that is read, and those that come after it.
    files: VecDeque<Part>,
    /// Whole lines of the log up to where it was read, if files tell.
    lines: Option<u64>,
    /// Whole lines that were gone before they could be read, not told yet.
    missed: u64,
    /// The previous part did not end its line.
    continues: bool,
    /// Room for one line.
    line: Vec<u8>,
}

/// One file of a log.
struct Part {
    file: BufReader<File>,
    inode: u64,
    is_begun: bool,
}

impl Part {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self {
            inode: file.metadata()?.ino(),
            file: BufReader::with_capacity(BUFFER_BYTES, file),
            is_begun: false,
        })
    }
}

impl Reader {
    pub fn open(path: &Path, query: Query) -> io::Result<Self> {
        let mut reader = Self {
            path: path.to_path_buf(),
            query,
            files: VecDeque::new(),
            lines: None,
            missed: 0,
            continues: false,
            line: Vec::new(),
        };
        reader.files.push_back(Part::open(path)?);
        // Names move on while they are looked at, so that one may be seen twice, but none missed.
        for number in 1..=FILES_MAX {
            let Ok(part) = Part::open(&numbered(path, number)) else {
                break;
            };
            let is_known = |known: &Part| known.inode == part.inode;
            if !reader.files.iter().any(is_known) {
                reader.files.push_front(part);
            }
        }
        Ok(reader)
    }

    /// What there was when it was opened, also in files that were rotated away, part by part: call it
    /// first, until it gives nothing.
    pub fn backlog(&mut self) -> io::Result<Vec<u8>> {
        match self.query.tail.take() {
            Some(tail) => self.last(tail),
            None => self.portion(),
        }
    }

    fn last(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut lines: VecDeque<Vec<u8>> = VecDeque::new();
        loop {
            let mut line = Vec::new();
            let goes_on = self.continues;
            if !self.next_line(&mut line)? {
                return Ok(lines.into_iter().flatten().collect());
            }
            match lines.back_mut().filter(|_| goes_on) {
                Some(begun) => begun.extend(line),
                None => lines.push_back(line),
            }
            if lines.len() > count {
                lines.pop_front();
            }
        }
    }

    /// What was written since the last call, or the first part of it; empty if nothing was.
    pub fn news(&mut self) -> io::Result<Vec<u8>> {
        self.find()?;
        self.portion()
    }

    fn portion(&mut self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        while text.len() < PORTION_BYTES && self.next_line(&mut text)? {}
        Ok(text)
    }

    /// Opens the files that were begun since the last look.
    fn find(&mut self) -> io::Result<()> {
        let Some(last) = self.files.back().map(|part| part.inode) else {
            return Ok(());
        };
        let mut found = VecDeque::new();
        for number in 0..=FILES_MAX {
            let path = match number {
                0 => self.path.clone(),
                _ => numbered(&self.path, number),
            };
            let part = match Part::open(&path) {
                Ok(part) => part,
                // Between two names of a rotation, or the last.
                Err(error) if error.kind() == io::ErrorKind::NotFound && number == 0 => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            };
            if part.inode == last {
                break;
            }
            if found.iter().all(|known: &Part| known.inode != part.inode) {
                found.push_front(part);
            }
        }
        // Those that find no room are looked for again when one was read.
        let room = HELD_MAX.saturating_sub(self.files.len());
        self.files.extend(found.into_iter().take(room));
        Ok(())
    }

    /// Appends the next line that the query wants, as the reader sees it. A line that is still being
    /// written is left for the next call.
    fn next_line(&mut self, text: &mut Vec<u8>) -> io::Result<bool> {
        let mut line = std::mem::take(&mut self.line);
        let mut is_there = false;
        while !is_there && self.read(&mut line)? {
            is_there = self.show(&line, text);
        }
        self.line = line;
        Ok(is_there)
    }

    /// The next line as it was written; `false` at the end of all files.
    fn read(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            line.clear();
            let is_last = self.files.len() == 1;
            let Some(part) = self.files.front_mut() else {
                return Ok(false);
            };
            let length = part.file.read_until(b'\n', line)?;
            if line.last() == Some(&b'\n') {
                // It has been numbered before it had a line.
                if !std::mem::replace(&mut part.is_begun, true) {
                    let before = lines_before(part.file.get_ref());
                    self.begin(before);
                }
                return Ok(true);
            }
            if !is_last {
                self.files.pop_front();
                continue;
            }
            if length > 0 {
                let back = i64::try_from(length).unwrap_or(i64::MAX);
                part.file.seek(SeekFrom::Current(-back))?;
            }
            return Ok(false);
        }
    }

    /// A file that others may have stood before.
    fn begin(&mut self, before: Option<u64>) {
        if let (Some(before), Some(lines)) = (before, self.lines) {
            self.missed += before.saturating_sub(lines);
        }
        self.lines = before;
    }

    /// Whether the query wants it.
    fn show(&mut self, line: &[u8], text: &mut Vec<u8>) -> bool {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let (Some(at), Some(_stream), Some(tag), Some(said)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        let is_part = tag == b"P";
        if let Some(lines) = self.lines.as_mut().filter(|_| !is_part) {
            *lines += 1;
        }
        let continued = std::mem::replace(&mut self.continues, is_part);
        if self.missed > 0 {
            let lines = std::mem::take(&mut self.missed);
            if continued {
                text.push(b'\n');
            }
            self.stamp(at, text);
            text.extend_from_slice(dropped::line(lines).as_bytes());
            text.push(b'\n');
        }
        if let Some(since) = self.query.since {
            let written = std::str::from_utf8(at)
                .ok()
                .and_then(|at| at.parse::<Timestamp>().ok());
            if written.is_some_and(|written| written < since) {
                return false;
            }
        }
        if !continued {
            self.stamp(at, text);
        }
        let said = if is_part {
            said.strip_suffix(b"\n").unwrap_or(said)
        } else {
            said
        };
        text.extend_from_slice(said);
        true
    }

    fn stamp(&self, at: &[u8], text: &mut Vec<u8>) {
        if self.query.timestamps {
            text.extend(at.iter().chain(iter::once(&b' ')));
        }
    }
}
