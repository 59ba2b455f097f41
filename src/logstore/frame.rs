//! Frames: how blocks stand in a segment file, so that damage is noticed and stepped over.
//!
//! ```text
//! magic  4 bytes   where a reader finds its feet again
//! u32    length of the head       (little endian, as all numbers)
//! u32    length of the body
//! u32    CRC-32 of both lengths and the head
//! u32    CRC-32 of the body
//! head, body
//! ```

use flate2::Crc;

const MAGIC: &[u8; 4] = b"BPL1";
/// Bytes before the head.
pub const PREFIX: usize = 20;
/// A longer head or body is damage, not data.
const PART_BYTES_MAX: u32 = 64 << 20;

/// What a frame's first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    pub head: usize,
    pub body: usize,
    head_crc: u32,
    pub body_crc: u32,
}

pub fn crc(parts: &[&[u8]]) -> u32 {
    let mut crc = Crc::new();
    for part in parts {
        crc.update(part);
    }
    crc.sum()
}

/// A whole frame.
pub fn write(head: &[u8], body: &[u8]) -> Vec<u8> {
    let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes();
    let lengths = [length(head), length(body)].concat();
    let mut out = Vec::with_capacity(PREFIX + head.len() + body.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&lengths);
    out.extend_from_slice(&crc(&[&lengths, head]).to_le_bytes());
    out.extend_from_slice(&crc(&[body]).to_le_bytes());
    out.extend_from_slice(head);
    out.extend_from_slice(body);
    out
}

impl Prefix {
    /// Reads the bytes before the head; `None` where no frame begins.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(MAGIC) {
            return None;
        }
        let number = |at: usize| {
            let bytes = bytes.get(at..at + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        let (head, body) = (number(4)?, number(8)?);
        if head > PART_BYTES_MAX || body > PART_BYTES_MAX {
            return None;
        }
        Some(Self {
            head: usize::try_from(head).ok()?,
            body: usize::try_from(body).ok()?,
            head_crc: number(12)?,
            body_crc: number(16)?,
        })
    }

    /// Whether this is the head that was written, given all bytes from the frame's beginning.
    pub fn fits(&self, frame: &[u8]) -> bool {
        let lengths = frame.get(4..12);
        let head = frame.get(PREFIX..PREFIX + self.head);
        lengths
            .zip(head)
            .is_some_and(|(lengths, head)| crc(&[lengths, head]) == self.head_crc)
    }

    pub fn length(&self) -> u64 {
        (PREFIX + self.head + self.body) as u64
    }
}

/// Where the next frame may begin, from the second byte on.
pub fn next_magic(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.get(1..)?;
    let found = rest.windows(MAGIC.len()).position(|window| window == MAGIC);
    found.map(|at| at + 1)
}
