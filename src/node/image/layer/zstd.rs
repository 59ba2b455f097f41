//! Layers that are packed with zstd: frames one after another, as packers that work in parallel
//! write them, and notes of others between them, which are passed over (`zstd:chunked`).
//!
//! A frame may want no larger window than the decoder allows by itself (100 MiB). Checksums of
//! frames are not looked at: the layer has a digest.

use std::io::{self, BufRead, BufReader, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// What all frames hold.
pub struct Frames<R> {
    packed: BufReader<R>,
    decoder: FrameDecoder,
    is_within: bool,
}

impl<R: Read> Frames<R> {
    pub fn new(packed: R) -> Self {
        Self {
            packed: BufReader::new(packed),
            decoder: FrameDecoder::new(),
            is_within: false,
        }
    }

    /// Whether there is another frame.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.packed.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.packed) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut note = (&mut self.packed).take(u64::from(length));
                    io::copy(&mut note, &mut io::sink())?;
                }
                Err(error) => return Err(damaged(error)),
            }
        }
        Ok(false)
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_within && !self.begin()? {
                return Ok(0);
            }
            self.is_within = true;
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                let decoded = self.decoder.decode_blocks(&mut self.packed, one);
                decoded.map_err(damaged)?;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.is_within = false;
        }
    }
}

fn damaged(error: FrameDecoderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        Frames::new(bytes).read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn frames_are_one_stream_and_notes_are_passed_over() {
        let first: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let note = [0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let bytes = [&note, &packed(&first)[..], &note, &packed(b"end"), &note].concat();
        assert_eq!(unpacked(&bytes).unwrap(), [&first[..], b"end"].concat());
        assert_eq!(unpacked(&[]).unwrap(), b"");
    }

    /// What the reference implementation writes (`printf hello | zstd -c | xxd -i`).
    #[test]
    fn others_frames_are_read() {
        let bytes = [
            0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0x29, 0x00, 0x00, 0x68, 0x65, 0x6c, 0x6c, 0x6f,
        ];
        let sum = [0xa3, 0x6d, 0x9f, 0x88];
        assert_eq!(unpacked(&[&bytes[..], &sum].concat()).unwrap(), b"hello");
    }

    #[test]
    fn what_is_damaged_or_cut_off_is_an_error() {
        let whole = packed(&[7; 5000]);
        for length in [3, 8, whole.len() - 1] {
            assert!(unpacked(&whole[..length]).is_err(), "{length}");
        }
        assert!(unpacked(b"\x28\xb5\x2f\xfd no frame").is_err());
    }
}
