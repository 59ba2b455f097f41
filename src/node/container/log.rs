//! A container's log on disk, in the format that kubelets and log shippers know.
//!
//! ```text
//! 2026-11-22T20:45:01.123456789Z stdout F a whole line
//! 2026-11-22T20:45:01.123456790Z stderr P the beginning of a very long line
//! ```
//!
//! Rotated by size, keeping a few: a container that fills its log at full speed cannot fill the disk.
//!
//! Each file knows how many lines were written before it, so that a reader that comes too late for some
//! can say how many they were.
//!
//! Source: the CRI logging format (`kubelet-cri-logging.md`), the kubelet's `containerLogMaxSize`
//! (10 MiB) and `containerLogMaxFiles` (5).

mod reader;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};

use crate::stdx::clock;
pub use reader::{Query, Reader};

const FILE_BYTES_MAX: u64 = 10 << 20;
pub const FILES_MAX: u32 = 5;
/// A longer line is written in parts, as the CRI says.
const LINE_BYTES_MAX: usize = 16 << 10;
const CHUNK_BYTES: usize = 256 << 10;
/// Where a file says how many whole lines of its log stand in files before it.
const BEFORE: &std::ffi::CStr = c"user.bayplan.before";

/// Writes both streams of a container into one file.
pub struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
    /// Whole lines of all files so far; not known of a log that somebody else began.
    lines: Option<u64>,
}

/// One stream of a container.
pub struct Stream {
    name: &'static str,
    /// A line whose end has not come yet.
    begun: Vec<u8>,
}

impl Stream {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            begun: Vec::new(),
        }
    }
}

impl Writer {
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = File::options().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        let lines = (bytes == 0).then_some(0);
        let writer = Self {
            path: path.to_path_buf(),
            file: BufWriter::with_capacity(CHUNK_BYTES, file),
            bytes,
            lines,
        };
        writer.number();
        Ok(writer)
    }

    /// Not every file system keeps it; then a reader does not learn how many lines it missed.
    fn number(&self) {
        if let Some(lines) = self.lines {
            let text = lines.to_string();
            let flags = XattrFlags::empty();
            let _without = fsetxattr(self.file.get_ref(), BEFORE, text.as_bytes(), flags);
        }
    }

    /// Writes what was read at once, under one time.
    pub fn take(&mut self, stream: &mut Stream, chunk: &[u8]) -> io::Result<()> {
        let head = head(stream.name);
        let begun = &mut stream.begun;
        let mut written = Ok(());
        let mut rest = chunk;
        while !rest.is_empty() {
            let room = LINE_BYTES_MAX.saturating_sub(begun.len()).min(rest.len());
            let (window, _) = rest.split_at(room);
            let end = window.iter().position(|byte| *byte == b'\n');
            let (part, after) = rest.split_at(end.map_or(room, |end| end + 1));
            rest = after;
            let is_whole = end.is_some();
            if !is_whole && begun.len() + part.len() < LINE_BYTES_MAX {
                begun.extend_from_slice(part);
                continue;
            }
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            let line = if begun.is_empty() {
                self.put(&head, is_whole, text)
            } else {
                begun.extend_from_slice(text);
                let line = self.put(&head, is_whole, begun);
                begun.clear();
                line
            };
            written = written.and(line);
        }
        written.and(self.file.flush())
    }

    /// The stream has ended, be it within a line.
    pub fn end(&mut self, stream: &Stream) -> io::Result<()> {
        if stream.begun.is_empty() {
            return Ok(());
        }
        self.put(&head(stream.name), false, &stream.begun)?;
        self.file.flush()
    }

    fn put(&mut self, head: &str, is_whole: bool, line: &[u8]) -> io::Result<()> {
        if self.bytes >= FILE_BYTES_MAX {
            self.rotate()?;
        }
        self.file.write_all(head.as_bytes())?;
        self.file.write_all(if is_whole { b"F " } else { b"P " })?;
        self.file.write_all(line)?;
        self.file.write_all(b"\n")?;
        self.bytes += (head.len() + line.len() + 3) as u64;
        if let Some(lines) = self.lines.as_mut().filter(|_| is_whole) {
            *lines += 1;
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.flush()?;
        for number in (1..FILES_MAX).rev() {
            let older = numbered(&self.path, number);
            if older.exists() {
                fs::rename(&older, numbered(&self.path, number + 1))?;
            }
        }
        let _oldest = fs::remove_file(numbered(&self.path, FILES_MAX));
        fs::rename(&self.path, numbered(&self.path, 1))?;
        let file = File::options().create(true).append(true).open(&self.path)?;
        self.bytes = file.metadata()?.len();
        self.file = BufWriter::with_capacity(CHUNK_BYTES, file);
        self.number();
        Ok(())
    }
}

/// What stands before each line's tag.
fn head(stream: &str) -> String {
    format!("{:.9} {stream} ", clock::now())
}

/// How many whole lines of a log stand in files before this one, where that is known.
fn lines_before(file: &File) -> Option<u64> {
    let mut text = [0; 20];
    let length = fgetxattr(file, BEFORE, &mut text).ok()?;
    std::str::from_utf8(text.get(..length)?).ok()?.parse().ok()
}

/// The file that was rotated so many times.
pub fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::dropped;

    fn write(files: &mut Writer, stream: &str, is_whole: bool, line: &[u8]) {
        files.put(&head(stream), is_whole, line).unwrap();
    }

    fn written(lines: &[(&str, bool, &str)]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        let mut files = Writer::open(&path).unwrap();
        for (stream, whole, line) in lines {
            write(&mut files, stream, *whole, line.as_bytes());
        }
        files.file.flush().unwrap();
        (folder, path)
    }

    #[test]
    fn both_streams_come_back_in_order_and_long_lines_whole() {
        let (_folder, path) = written(&[
            ("stdout", true, "one"),
            ("stderr", false, "tw"),
            ("stderr", true, "o"),
            ("stdout", true, "three"),
        ]);
        let mut reader = Reader::open(&path, Query::default()).unwrap();
        assert_eq!(reader.backlog().unwrap(), b"one\ntwo\nthree\n");
        assert_eq!(reader.news().unwrap(), b"");
    }

    #[test]
    fn a_tail_is_the_last_lines_and_following_goes_on() {
        let (_folder, path) = written(&[("stdout", true, "one"), ("stdout", true, "two")]);
        let query = Query {
            tail: Some(1),
            ..Query::default()
        };
        let mut reader = Reader::open(&path, query).unwrap();
        assert_eq!(reader.backlog().unwrap(), b"two\n");
        let mut files = Writer::open(&path).unwrap();
        write(&mut files, "stdout", true, b"three");
        files.file.flush().unwrap();
        assert_eq!(reader.news().unwrap(), b"three\n");
    }

    #[test]
    fn a_full_file_is_rotated_and_a_reader_goes_on_in_the_next() {
        let (_folder, path) = written(&[("stdout", true, "first")]);
        let mut reader = Reader::open(&path, Query::default()).unwrap();
        reader.backlog().unwrap();
        let mut files = Writer::open(&path).unwrap();
        files.bytes = FILE_BYTES_MAX;
        write(&mut files, "stdout", true, b"second");
        files.file.flush().unwrap();
        assert!(numbered(&path, 1).exists());
        assert_eq!(reader.news().unwrap(), b"second\n");
        let mut fresh = Reader::open(&path, Query::default()).unwrap();
        assert_eq!(fresh.backlog().unwrap(), b"first\nsecond\n");
        // Twice rotated before the reader looks again: nothing between is left out.
        for line in ["third", "fourth", "fifth"] {
            files.bytes = FILE_BYTES_MAX;
            write(&mut files, "stdout", true, line.as_bytes());
        }
        files.file.flush().unwrap();
        assert_eq!(reader.news().unwrap(), b"third\nfourth\nfifth\n");
    }

    #[test]
    fn lines_that_a_reader_was_too_slow_for_are_counted() {
        let (_folder, path) = written(&[("stdout", true, "first")]);
        let mut slow = Reader::open(&path, Query::default()).unwrap();
        assert_eq!(slow.backlog().unwrap(), b"first\n");
        let mut files = Writer::open(&path).unwrap();
        files.lines = Some(1);
        for number in 2..=12 {
            files.bytes = FILE_BYTES_MAX;
            let parts = [(false, "line "), (true, &*number.to_string())];
            for (is_whole, text) in parts {
                write(&mut files, "stdout", is_whole, text.as_bytes());
            }
        }
        files.file.flush().unwrap();
        // Five files are there, with a line each; of the twelve lines the first one was read.
        let text = String::from_utf8(slow.news().unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(dropped::count(lines[0]), Some(6), "{text}");
        assert_eq!(
            lines[1..],
            ["line 8", "line 9", "line 10", "line 11", "line 12"]
        );
        // Who begins now has missed nothing.
        let query = Query {
            tail: Some(7),
            ..Query::default()
        };
        let mut late = Reader::open(&path, query).unwrap();
        assert_eq!(
            late.backlog().unwrap(),
            text.as_bytes()[lines[0].len() + 1..]
        );
        assert_eq!(late.backlog().unwrap(), b"");
    }

    #[test]
    fn a_reader_holds_what_it_has_begun_to_read() {
        let (_folder, path) = written(&[("stdout", true, "first")]);
        let mut reader = Reader::open(&path, Query::default()).unwrap();
        let mut files = Writer::open(&path).unwrap();
        for number in 2..=5 {
            files.bytes = FILE_BYTES_MAX;
            let line = number.to_string();
            write(&mut files, "stdout", true, line.as_bytes());
        }
        files.file.flush().unwrap();
        assert_eq!(reader.backlog().unwrap(), b"first\n");
        assert_eq!(reader.news().unwrap(), b"2\n3\n4\n5\n");
        assert_eq!(reader.news().unwrap(), b"");
    }

    #[test]
    fn lines_come_whole_however_they_are_cut_into_reads() {
        let long = "x".repeat(LINE_BYTES_MAX + 10);
        let text = format!("one\n\ntwo\n{long}\nend");
        for size in [1, 7, LINE_BYTES_MAX, CHUNK_BYTES] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("0.log");
            let mut files = Writer::open(&path).unwrap();
            let mut stream = Stream::new("stdout");
            for chunk in text.as_bytes().chunks(size) {
                files.take(&mut stream, chunk).unwrap();
            }
            files.end(&stream).unwrap();
            let mut reader = Reader::open(&path, Query::default()).unwrap();
            let read = reader.backlog().unwrap();
            assert_eq!(read, text.as_bytes(), "{size}");
        }
    }
}
