//! One file of blocks: read once for its index, appended to while it is the newest.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use imbl::{OrdMap, Vector};

use super::block::{self, Head};
use super::frame::{self, PREFIX, Prefix};
use super::line::Labels;

/// What is known of a block without reading it.
#[derive(Clone, Debug)]
pub struct Block {
    /// Where its body stands in the file.
    body_at: u64,
    body: usize,
    body_crc: u32,
    raw: u32,
    pub first: u64,
    pub count: u32,
    pub from: i64,
    pub to: i64,
    pub streams: Arc<[u32]>,
}

impl Block {
    pub fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }
}

/// A segment's index. A clone is a snapshot and costs next to nothing.
#[derive(Clone, Debug)]
pub struct Segment {
    pub path: PathBuf,
    /// The number of its first line, which is its name too.
    pub first: u64,
    pub bytes: u64,
    pub blocks: Vector<Block>,
    pub streams: OrdMap<u32, Arc<Labels>>,
}

const ENDING: &str = "lines";

/// The number of the first line in a file of this name.
pub fn first_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let number = name.strip_suffix(ENDING)?.strip_suffix('.')?;
    number.parse().ok()
}

impl Segment {
    /// An empty one.
    pub fn create(folder: &Path, first: u64) -> io::Result<Self> {
        let path = folder.join(format!("{first:020}.{ENDING}"));
        File::create(&path)?;
        Ok(Self {
            path,
            first,
            bytes: 0,
            blocks: Vector::new(),
            streams: OrdMap::new(),
        })
    }

    /// Reads the index of a file that is there. What is damaged is left out and told in `problems`;
    /// each head goes to `seen`.
    pub fn open(
        path: &Path,
        first: u64,
        seen: &mut dyn FnMut(&Head),
        problems: &mut Vec<String>,
    ) -> io::Result<Self> {
        let mut segment = Self {
            path: path.to_path_buf(),
            first,
            bytes: 0,
            blocks: Vector::new(),
            streams: OrdMap::new(),
        };
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut at = 0;
        while at < length {
            let found = head_at(&mut file, at, length)?;
            if let Some((prefix, head)) = found
                && (at + prefix.length() < length || is_whole(&mut file, at, &prefix)?)
            {
                seen(&head);
                segment.index(at, &prefix, head);
                at += prefix.length();
                segment.bytes = at;
                continue;
            }
            let next = next_frame(&mut file, at, length)?;
            let end = next.unwrap_or(length);
            problems.push(format!(
                "{} bytes of `{}` are damaged and were left out, from byte {at} on",
                end - at,
                path.display()
            ));
            at = end;
            if next.is_none() {
                break;
            }
        }
        Ok(segment)
    }

    fn index(&mut self, at: u64, prefix: &Prefix, head: Head) {
        for (stream, labels) in head.new {
            self.streams.insert(stream, Arc::new(labels));
        }
        if head.count == 0 {
            return;
        }
        self.blocks.push_back(Block {
            body_at: at + (PREFIX + prefix.head) as u64,
            body: prefix.body,
            body_crc: prefix.body_crc,
            raw: head.raw,
            first: head.first,
            count: head.count,
            from: head.from,
            to: head.to,
            streams: head.streams.into(),
        });
    }

    /// Makes the file end where its last good block does, for a file that is written on.
    pub fn cut(&self) -> io::Result<()> {
        let file = File::options().write(true).open(&self.path)?;
        file.set_len(self.bytes)
    }

    /// Appends a block. After a failure the file is as it was before.
    pub fn append(&mut self, file: &mut File, head: Head, body: &[u8]) -> io::Result<()> {
        let bytes = frame::write(&serde_json::to_vec(&head)?, body);
        let prefix = Prefix::read(&bytes).ok_or(io::ErrorKind::InvalidData)?;
        if let Err(error) = file.write_all(&bytes) {
            // What is left of it is found and left out by the next start, if even this fails.
            let _half_written = file.set_len(self.bytes);
            return Err(error);
        }
        self.index(self.bytes, &prefix, head);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// The lines of a block; `None` if they are damaged.
    pub fn expand(file: &mut File, block: &Block) -> Option<Vec<u8>> {
        let mut body = vec![0; block.body];
        file.seek(SeekFrom::Start(block.body_at)).ok()?;
        file.read_exact(&mut body).ok()?;
        if frame::crc(&[&body]) != block.body_crc {
            return None;
        }
        block::expand(&body, block.raw)
    }

    /// The oldest line and the newest.
    pub fn span(&self) -> Option<(i64, i64)> {
        let from = self.blocks.iter().map(|block| block.from).min()?;
        let to = self.blocks.iter().map(|block| block.to).max()?;
        Some((from, to))
    }
}

/// The head of the frame that begins here, if a whole one does.
fn head_at(file: &mut File, at: u64, length: u64) -> io::Result<Option<(Prefix, Head)>> {
    let Some(mut frame) = bytes_at(file, at, PREFIX)? else {
        return Ok(None);
    };
    let Some(prefix) = Prefix::read(&frame) else {
        return Ok(None);
    };
    if at + prefix.length() > length {
        return Ok(None);
    }
    let head = bytes_at(file, at + PREFIX as u64, prefix.head)?;
    frame.extend(head.unwrap_or_default());
    if !prefix.fits(&frame) {
        return Ok(None);
    }
    let head = frame.get(PREFIX..).unwrap_or_default();
    Ok(serde_json::from_slice(head).ok().map(|head| (prefix, head)))
}

/// Whether the body is what was written: after a power cut, a file may end in blanks.
fn is_whole(file: &mut File, at: u64, prefix: &Prefix) -> io::Result<bool> {
    let body = bytes_at(file, at + (PREFIX + prefix.head) as u64, prefix.body)?;
    Ok(body.is_some_and(|body| frame::crc(&[&body]) == prefix.body_crc))
}

fn bytes_at(file: &mut File, at: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; length];
    file.seek(SeekFrom::Start(at))?;
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the next whole frame begins after a damaged place.
fn next_frame(file: &mut File, damaged: u64, length: u64) -> io::Result<Option<u64>> {
    let mut rest = Vec::new();
    file.seek(SeekFrom::Start(damaged))?;
    file.read_to_end(&mut rest)?;
    let mut at = 0;
    while let Some(step) = rest.get(at..).and_then(frame::next_magic) {
        at += step;
        let place = damaged + at as u64;
        if head_at(file, place, length)?.is_some() {
            return Ok(Some(place));
        }
    }
    Ok(None)
}
