//! Blocks: some hundred kilobytes of lines, compressed together, and what a search must know of them
//! to leave them out.
//!
//! A block's body, before compression: `u32` length of the heads, the heads, the texts. A head is
//! three variable-length numbers: stream, nanoseconds since the line before (zigzag), and twice the
//! text's length plus one for the standard error. The texts follow one another, each with a line
//! feed, so that a text that occurs in none of them is looked for once.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};

use super::line::Labels;

/// The head of a block's frame, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The number of the first line; they are counted on.
    pub first: u64,
    pub count: u32,
    /// Nanoseconds since the epoch: the oldest and the newest line.
    pub from: i64,
    pub to: i64,
    /// Bytes before compression.
    pub raw: u32,
    pub streams: Vec<u32>,
    /// Streams that occur for the first time in this segment.
    #[serde(default)]
    pub new: Vec<(u32, Labels)>,
    /// Notes of the collector that became true with these lines; `None` takes one back.
    #[serde(default)]
    pub marks: BTreeMap<String, Option<String>>,
}

/// Lines that wait to become a block.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    heads: Vec<u8>,
    texts: Vec<u8>,
    last: i64,
    from: i64,
    to: i64,
    count: u32,
    streams: Vec<u32>,
}

/// A line in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub stream: u32,
    pub at: i64,
    pub is_error: bool,
    pub text: &'a [u8],
}

impl Builder {
    pub fn push(&mut self, entry: &Entry) {
        if self.count == 0 {
            (self.from, self.to) = (entry.at, entry.at);
        }
        self.from = self.from.min(entry.at);
        self.to = self.to.max(entry.at);
        put(&mut self.heads, entry.stream.into());
        put(&mut self.heads, zigzag(entry.at.wrapping_sub(self.last)));
        let length = (entry.text.len() as u64) << 1;
        put(&mut self.heads, length | u64::from(entry.is_error));
        self.texts.extend_from_slice(entry.text);
        self.texts.push(b'\n');
        self.last = entry.at;
        self.count += 1;
        if let Err(place) = self.streams.binary_search(&entry.stream) {
            self.streams.insert(place, entry.stream);
        }
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    pub fn bytes(&self) -> usize {
        self.heads.len() + self.texts.len()
    }

    pub fn streams(&self) -> &[u32] {
        &self.streams
    }

    /// As it stands in a block before compression.
    pub fn raw(&self) -> Vec<u8> {
        let length = u32::try_from(self.heads.len()).unwrap_or(u32::MAX);
        [length.to_le_bytes().as_slice(), &self.heads, &self.texts].concat()
    }

    /// The head, as far as the lines say.
    pub fn head(&self, first: u64) -> Head {
        Head {
            first,
            count: self.count,
            from: self.from,
            to: self.to,
            raw: u32::try_from(self.bytes() + 4).unwrap_or(u32::MAX),
            streams: self.streams.clone(),
            ..Head::default()
        }
    }
}

/// The fastest level: a container may write faster than this takes lines in, and then loses some.
pub fn compress(raw: &[u8]) -> io::Result<Vec<u8>> {
    let room = Vec::with_capacity(raw.len() / 4);
    let mut encoder = ZlibEncoder::new(room, Compression::new(1));
    encoder.write_all(raw)?;
    encoder.finish()
}

/// `None` for anything that is not a block of this length.
pub fn expand(body: &[u8], raw: u32) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(usize::try_from(raw).ok()?);
    let mut decoder = ZlibDecoder::new(body).take(u64::from(raw) + 1);
    decoder.read_to_end(&mut out).ok()?;
    (out.len() as u64 == u64::from(raw)).then_some(out)
}

/// The texts of an expanded block, as one.
pub fn texts(raw: &[u8]) -> Option<&[u8]> {
    let (heads, rest) = parts(raw)?;
    rest.get(heads..)
}

fn parts(raw: &[u8]) -> Option<(usize, &[u8])> {
    let (length, rest) = raw.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*length)).ok()?, rest))
}

/// The lines of an expanded block. It ends where one makes no sense.
pub fn entries(raw: &[u8]) -> Entries<'_> {
    let (heads, texts) = parts(raw)
        .and_then(|(heads, rest)| rest.split_at_checked(heads))
        .unwrap_or_default();
    Entries {
        heads,
        texts,
        last: 0,
    }
}

pub struct Entries<'a> {
    heads: &'a [u8],
    texts: &'a [u8],
    last: i64,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let stream = u32::try_from(take(&mut self.heads)?).ok()?;
        let step = unzigzag(take(&mut self.heads)?);
        let length = take(&mut self.heads)?;
        let (text, rest) = self
            .texts
            .split_at_checked(usize::try_from(length >> 1).ok()?)?;
        self.texts = rest.get(1..)?;
        self.last = self.last.wrapping_add(step);
        Some(Entry {
            stream,
            at: self.last,
            is_error: length & 1 == 1,
            text,
        })
    }
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Seven bits a byte, the lowest first.
fn put(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

fn take(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
