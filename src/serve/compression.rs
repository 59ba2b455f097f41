//! gzip for large answers.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// kube-apiserver compresses answers above this size.
const WORTH_IT_BYTES: usize = 128 << 10;
/// Level 1: on a local network the processor, not the wire, is what is short.
const LEVEL: u32 = 1;

/// The compressed body, or `None` where it is not worth it.
pub fn gzip(body: &Bytes) -> Option<Bytes> {
    if body.len() < WORTH_IT_BYTES {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::new(LEVEL));
    encoder.write_all(body).ok()?;
    encoder.finish().ok().map(Bytes::from)
}
