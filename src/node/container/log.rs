//! A container's log on disk, in the format that kubelets and log shippers know.
//!
//! ```text
//! 2026-11-22T20:45:01.123456789Z stdout F a whole line
//! 2026-11-22T20:45:01.123456790Z stderr P the beginning of a very long line
//! ```
//!
//! Rotated by size, keeping a few: a container that fills its log at full speed cannot fill the disk.
//!
//! Source: the CRI logging format (`kubelet-cri-logging.md`), the kubelet's `containerLogMaxSize`
//! (10 MiB) and `containerLogMaxFiles` (5).

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use jiff::Timestamp;

use crate::stdx::clock;

const FILE_BYTES_MAX: u64 = 10 << 20;
pub const FILES_MAX: u32 = 5;
/// A longer line is written in parts, as the CRI says.
const LINE_BYTES_MAX: usize = 16 << 10;
const CHUNK_BYTES: usize = 256 << 10;

/// Writes both streams of a container into one file.
#[derive(Clone)]
pub struct Writer(Arc<Mutex<Files>>);

struct Files {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
}

impl Writer {
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(Self(Arc::new(Mutex::new(Files::open(path.to_path_buf())?))))
    }

    /// Copies until the stream ends.
    pub fn follow(&self, stream: &'static str, from: impl Read + Send + 'static) -> JoinHandle<()> {
        let files = Arc::clone(&self.0);
        std::thread::spawn(move || copy(stream, from, &files))
    }
}

fn copy(stream: &str, from: impl Read, files: &Mutex<Files>) {
    let mut reader = BufReader::with_capacity(CHUNK_BYTES, from);
    let mut begun = Vec::with_capacity(LINE_BYTES_MAX);
    loop {
        let chunk = match reader.fill_buf() {
            Ok([]) => break,
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk loses lines, never the container.
        let _lost = files.take(stream, chunk, &mut begun);
        let length = chunk.len();
        reader.consume(length);
    }
    if !begun.is_empty() {
        let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
        let _lost = files.write(stream, false, &begun);
        let _lost = files.file.flush();
    }
}

impl Files {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self {
            path,
            file: BufWriter::with_capacity(CHUNK_BYTES, file),
            bytes,
        })
    }

    /// Writes what was read at once, under one time. `begun` is a line whose end has not come yet.
    fn take(&mut self, stream: &str, chunk: &[u8], begun: &mut Vec<u8>) -> io::Result<()> {
        let head = head(stream);
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

    fn write(&mut self, stream: &str, is_whole: bool, line: &[u8]) -> io::Result<()> {
        self.put(&head(stream), is_whole, line)
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
        *self = Self::open(self.path.clone())?;
        Ok(())
    }
}

/// What stands before each line's tag.
fn head(stream: &str) -> String {
    format!("{:.9} {stream} ", clock::now())
}

/// The file that was rotated so many times.
pub fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// What a reader asks for, as `GET …/pods/NAME/log` does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pub tail: Option<usize>,
    pub since: Option<Timestamp>,
    pub timestamps: bool,
}

/// Reads a log from its beginning (or what a query leaves of it), then goes on where it ended.
pub struct Reader {
    file: BufReader<File>,
    path: PathBuf,
    query: Query,
    /// The previous part did not end its line.
    continues: bool,
}

impl Reader {
    pub fn open(path: &Path, query: Query) -> io::Result<Self> {
        Ok(Self {
            file: BufReader::new(File::open(path)?),
            path: path.to_path_buf(),
            query,
            continues: false,
        })
    }

    /// What there is now, also from files that were rotated away. Call once, first.
    pub fn backlog(&mut self) -> io::Result<Vec<u8>> {
        let mut lines: VecDeque<Vec<u8>> = VecDeque::new();
        let tail = self.query.tail.unwrap_or(usize::MAX);
        let rotated = (1..=FILES_MAX)
            .rev()
            .map(|number| numbered(&self.path, number));
        for path in rotated.filter(|path| path.exists()) {
            let mut older = BufReader::new(File::open(path)?);
            while let Some(line) = next_line(&mut older, &self.query, &mut self.continues)? {
                keep_last(&mut lines, line, tail);
            }
        }
        while let Some(line) = next_line(&mut self.file, &self.query, &mut self.continues)? {
            keep_last(&mut lines, line, tail);
        }
        Ok(lines.into_iter().flatten().collect())
    }

    /// What was written since the last call; empty if nothing was.
    pub fn news(&mut self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        while let Some(line) = next_line(&mut self.file, &self.query, &mut self.continues)? {
            text.extend(line);
        }
        if text.is_empty()
            && let Some(next) = self.next_file()?
        {
            self.file = BufReader::new(File::open(next)?);
            return self.news();
        }
        Ok(text)
    }

    /// The file that was begun after the one that is read, if there is one. A reader that was
    /// overtaken by all files that are kept goes on with the oldest of them.
    fn next_file(&self) -> io::Result<Option<PathBuf>> {
        use std::os::unix::fs::MetadataExt;
        let here = self.file.get_ref().metadata()?.ino();
        let is_here = |path: &Path| fs::metadata(path).is_ok_and(|named| named.ino() == here);
        if is_here(&self.path) {
            return Ok(None);
        }
        let mut younger = self.path.clone();
        for number in 1..=FILES_MAX {
            let older = numbered(&self.path, number);
            if is_here(&older) || !older.exists() {
                break;
            }
            younger = older;
        }
        Ok(Some(younger))
    }
}

fn keep_last(lines: &mut VecDeque<Vec<u8>>, line: Vec<u8>, tail: usize) {
    lines.push_back(line);
    if lines.len() > tail {
        lines.pop_front();
    }
}

/// The next line that the query wants, as the reader sees it. A line that is still being written
/// is left for the next call.
fn next_line(
    file: &mut BufReader<File>,
    query: &Query,
    continues: &mut bool,
) -> io::Result<Option<Vec<u8>>> {
    use std::io::{Seek, SeekFrom};
    loop {
        let mut line = Vec::new();
        let length = file.read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(None);
        }
        if line.last() != Some(&b'\n') {
            let back = i64::try_from(length).unwrap_or(i64::MAX);
            file.seek(SeekFrom::Current(-back))?;
            return Ok(None);
        }
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let (Some(at), Some(_stream), Some(tag), Some(text)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let begins = !std::mem::replace(continues, tag == b"P");
        if let Some(since) = query.since {
            let written = std::str::from_utf8(at)
                .ok()
                .and_then(|at| at.parse::<Timestamp>().ok());
            if written.is_some_and(|written| written < since) {
                continue;
            }
        }
        let mut shown = Vec::with_capacity(line.len());
        if query.timestamps && begins {
            shown.extend_from_slice(at);
            shown.push(b' ');
        }
        shown.extend_from_slice(if tag == b"P" {
            text.strip_suffix(b"\n").unwrap_or(text)
        } else {
            text
        });
        return Ok(Some(shown));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(lines: &[(&str, bool, &str)]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        let mut files = Files::open(path.clone()).unwrap();
        for (stream, whole, line) in lines {
            files.write(stream, *whole, line.as_bytes()).unwrap();
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
        let mut files = Files::open(path).unwrap();
        files.write("stdout", true, b"three").unwrap();
        files.file.flush().unwrap();
        assert_eq!(reader.news().unwrap(), b"three\n");
    }

    #[test]
    fn a_full_file_is_rotated_and_a_reader_goes_on_in_the_next() {
        let (_folder, path) = written(&[("stdout", true, "first")]);
        let mut reader = Reader::open(&path, Query::default()).unwrap();
        reader.backlog().unwrap();
        let mut files = Files::open(path.clone()).unwrap();
        files.bytes = FILE_BYTES_MAX;
        files.write("stdout", true, b"second").unwrap();
        files.file.flush().unwrap();
        assert!(numbered(&path, 1).exists());
        assert_eq!(reader.news().unwrap(), b"second\n");
        let mut fresh = Reader::open(&path, Query::default()).unwrap();
        assert_eq!(fresh.backlog().unwrap(), b"first\nsecond\n");
        // Twice rotated before the reader looks again: nothing between is left out.
        for line in ["third", "fourth", "fifth"] {
            files.bytes = FILE_BYTES_MAX;
            files.write("stdout", true, line.as_bytes()).unwrap();
        }
        files.file.flush().unwrap();
        let news: Vec<u8> = (0..3).flat_map(|_| reader.news().unwrap()).collect();
        assert_eq!(news, b"third\nfourth\nfifth\n");
    }

    #[test]
    fn lines_come_whole_however_they_are_cut_into_reads() {
        let long = "x".repeat(LINE_BYTES_MAX + 10);
        let text = format!("one\n\ntwo\n{long}\nend");
        for size in [1, 7, LINE_BYTES_MAX, CHUNK_BYTES] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("0.log");
            let files = Mutex::new(Files::open(path.clone()).unwrap());
            copy("stdout", Chopped(text.as_bytes(), size), &files);
            let mut reader = Reader::open(&path, Query::default()).unwrap();
            let read = reader.backlog().unwrap();
            assert_eq!(read, text.as_bytes(), "{size}");
        }
    }

    /// Gives so many bytes a read.
    struct Chopped<'a>(&'a [u8], usize);

    impl Read for Chopped<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(buffer.len());
            self.0.read(&mut buffer[..length])
        }
    }
}
