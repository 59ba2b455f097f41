//! SPDY/3.1 as far as Kubernetes speaks it: streams with headers, data, their ends, pings.
//!
//! kubectl forwards ports in it, inside a web socket; older clients run everything in it, on an
//! upgraded connection. No maintained crate speaks it. There is no flow control: Kubernetes' own
//! implementation ignores it.
//!
//! Source: draft-mbelshe-httpbis-spdy-00 with version 3.1's changes, and `moby/spdystream`.

use std::collections::BTreeMap;
use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio_util::codec::{Decoder, Encoder};

/// A control frame of version 3.
const VERSION: u32 = 0x8003;
const CONTROL: u32 = 1 << 31;
const FIN: u32 = 1;
const HEAD: usize = 8;
/// Peers write as much as their buffers hold, 32 KiB; more than this is no frame.
const FRAME_BYTES_MAX: usize = 1 << 20;
const HEADER_BYTES_MAX: usize = 64 << 10;

const SYN_STREAM: u32 = 1;
const SYN_REPLY: u32 = 2;
const RST_STREAM: u32 = 3;
const PING: u32 = 6;
const GOAWAY: u32 = 7;

/// The words of the dictionary that headers are compressed with, each preceded by its length.
const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding \
    accept-language accept-ranges age allow authorization cache-control connection content-base \
    content-encoding content-language content-length content-location content-md5 content-range \
    content-type date etag expect expires from host if-match if-modified-since if-none-match \
    if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate \
    proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade \
    user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url \
    public set-cookie keep-alive origin";
/// Its rest.
const TEXT: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416\
    417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad \
    Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not \
    Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 \
    Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,\
    application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,\
    deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

fn dictionary() -> Vec<u8> {
    let mut all = Vec::new();
    for word in WORDS.split_ascii_whitespace() {
        let word = word.replace('_', " ");
        all.put_u32(u32::try_from(word.len()).unwrap_or_default());
        all.put_slice(word.as_bytes());
    }
    all.put_slice(TEXT.as_bytes());
    all
}

/// Names are in lower case.
pub type Headers = BTreeMap<String, String>;

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Open {
        stream: u32,
        headers: Headers,
        last: bool,
    },
    Data {
        stream: u32,
        bytes: Bytes,
        last: bool,
    },
    Reset(u32),
    Ping(u32),
    GoAway,
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Accept(u32),
    Data {
        stream: u32,
        bytes: Bytes,
    },
    /// Nothing more is said on this stream.
    End(u32),
    Reset(u32),
    Pong(u32),
}

/// One connection's frames. Headers of all frames are one compressed stream in each direction.
pub struct Spdy {
    inflate: Decompress,
    deflate: Compress,
    has_begun: bool,
}

impl Spdy {
    pub fn new() -> Self {
        Self {
            inflate: Decompress::new(true),
            deflate: Compress::new(Compression::fast(), true),
            has_begun: false,
        }
    }

    fn headers(&mut self, mut block: &[u8]) -> io::Result<Headers> {
        let mut plain = Vec::with_capacity(HEADER_BYTES_MAX);
        while !block.is_empty() {
            let before = (self.inflate.total_in(), plain.len());
            let result = self
                .inflate
                .decompress_vec(block, &mut plain, FlushDecompress::Sync);
            let taken = usize::try_from(self.inflate.total_in() - before.0).unwrap_or_default();
            block = block.get(taken..).unwrap_or_default();
            match result {
                Ok(Status::Ok) if (taken, plain.len()) != (0, before.1) => {}
                Ok(_) => break,
                Err(error) if error.needs_dictionary().is_some() => {
                    self.inflate.set_dictionary(&dictionary()).map_err(broken)?;
                }
                Err(error) => return Err(broken(error)),
            }
        }
        if !block.is_empty() {
            return Err(broken("headers are too long"));
        }
        let mut plain = plain.as_slice();
        let mut headers = Headers::new();
        for _ in 0..number(&mut plain)? {
            let name = text(&mut plain)?;
            let value = text(&mut plain)?;
            headers.insert(name.to_ascii_lowercase(), value);
        }
        Ok(headers)
    }

    /// A block of no headers.
    fn no_headers(&mut self) -> io::Result<Vec<u8>> {
        if !self.has_begun {
            self.deflate.set_dictionary(&dictionary()).map_err(broken)?;
            self.has_begun = true;
        }
        let mut block = Vec::with_capacity(64);
        self.deflate
            .compress_vec(&[0; 4], &mut block, FlushCompress::Sync)?;
        Ok(block)
    }
}

fn broken(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn number(from: &mut &[u8]) -> io::Result<u32> {
    from.try_get_u32().map_err(broken)
}

fn text(from: &mut &[u8]) -> io::Result<String> {
    let length = number(from)? as usize;
    let (text, rest) = from
        .split_at_checked(length)
        .ok_or_else(|| broken("a header is cut off"))?;
    *from = rest;
    Ok(String::from_utf8_lossy(text).into_owned())
}

impl Decoder for Spdy {
    type Item = Heard;
    type Error = io::Error;

    fn decode(&mut self, from: &mut BytesMut) -> io::Result<Option<Heard>> {
        loop {
            let mut head = from.as_ref();
            let (Ok(first), Ok(second)) = (head.try_get_u32(), head.try_get_u32()) else {
                return Ok(None);
            };
            let length = (second & 0x00ff_ffff) as usize;
            if length > FRAME_BYTES_MAX {
                return Err(broken("a frame is too long"));
            }
            if from.len() < HEAD + length {
                from.reserve(HEAD + length - from.len());
                return Ok(None);
            }
            let body = from.split_to(HEAD + length).freeze().slice(HEAD..);
            let last = second >> 24 & FIN != 0;
            if first & CONTROL == 0 {
                return Ok(Some(Heard::Data {
                    stream: first,
                    bytes: body,
                    last,
                }));
            }
            if first >> 16 != VERSION {
                return Err(broken("it is not SPDY version 3"));
            }
            if let Some(heard) = self.control(first & 0xffff, &body, last)? {
                return Ok(Some(heard));
            }
        }
    }
}

impl Spdy {
    /// Settings, windows and what else does not matter is passed over.
    fn control(&mut self, kind: u32, mut body: &[u8], last: bool) -> io::Result<Option<Heard>> {
        Ok(match kind {
            SYN_STREAM => {
                let stream = number(&mut body)? & !CONTROL;
                // The stream it belongs to, its priority and its slot.
                let block = body.get(6..).unwrap_or_default();
                let headers = self.headers(block)?;
                Some(Heard::Open {
                    stream,
                    headers,
                    last,
                })
            }
            RST_STREAM => Some(Heard::Reset(number(&mut body)?)),
            PING => Some(Heard::Ping(number(&mut body)?)),
            GOAWAY => Some(Heard::GoAway),
            _ => None,
        })
    }
}

impl Encoder<Said> for Spdy {
    type Error = io::Error;

    fn encode(&mut self, said: Said, to: &mut BytesMut) -> io::Result<()> {
        match said {
            Said::Data { stream, bytes } => {
                to.put_u32(stream);
                to.put_u32(u32::try_from(bytes.len()).map_err(broken)?);
                to.put_slice(&bytes);
            }
            Said::End(stream) => {
                to.put_u32(stream);
                to.put_u32(FIN << 24);
            }
            Said::Accept(stream) => {
                let block = self.no_headers()?;
                control(to, SYN_REPLY, 4 + block.len())?;
                to.put_u32(stream);
                to.put_slice(&block);
            }
            Said::Reset(stream) => {
                // CANCEL
                control(to, RST_STREAM, 8)?;
                to.put_u32(stream);
                to.put_u32(5);
            }
            Said::Pong(id) => {
                control(to, PING, 4)?;
                to.put_u32(id);
            }
        }
        Ok(())
    }
}

fn control(to: &mut BytesMut, kind: u32, length: usize) -> io::Result<()> {
    to.put_u32(VERSION << 16 | kind);
    to.put_u32(u32::try_from(length).map_err(broken)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The dictionary's checksum, as it stands in the head of every first header block.
    const CHECKSUM: u32 = 0xe3c6_a7c2;

    #[test]
    fn the_dictionary_is_the_one_of_the_specification() {
        let all = dictionary();
        assert_eq!(all.len(), 1423);
        let (low, high) = all.iter().fold((1u32, 0u32), |(low, high), byte| {
            let low = (low + u32::from(*byte)) % 65_521;
            (low, (high + low) % 65_521)
        });
        assert_eq!(high << 16 | low, CHECKSUM);
    }

    /// A client's stream with these headers, compressed as one stream with those before it.
    fn opening(deflate: &mut Compress, stream: u32, headers: &[(&str, &str)]) -> BytesMut {
        let mut plain = Vec::new();
        plain.put_u32(u32::try_from(headers.len()).unwrap());
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            plain.put_u32(u32::try_from(text.len()).unwrap());
            plain.put_slice(text.as_bytes());
        }
        let mut block = Vec::with_capacity(1 << 10);
        deflate
            .compress_vec(&plain, &mut block, FlushCompress::Sync)
            .unwrap();
        let mut frame = BytesMut::new();
        control(&mut frame, SYN_STREAM, 10 + block.len()).unwrap();
        frame.put_u32(stream);
        frame.put_slice(&[0; 6]);
        frame.put_slice(&block);
        frame
    }

    #[test]
    fn streams_are_opened_and_written_to() {
        let mut deflate = Compress::new(Compression::default(), true);
        deflate.set_dictionary(&dictionary()).unwrap();
        let mut wire = opening(&mut deflate, 1, &[("Streamtype", "error"), ("Port", "80")]);
        wire.extend(opening(
            &mut deflate,
            3,
            &[("streamType", "data"), ("port", "80")],
        ));
        let mut spdy = Spdy::new();
        let mut said = BytesMut::new();
        spdy.encode(Said::End(3), &mut said).unwrap();
        wire.extend(said);
        // A frame may come in pieces.
        let mut come = BytesMut::new();
        let mut heard = Vec::new();
        for byte in wire {
            come.put_u8(byte);
            heard.extend(spdy.decode(&mut come).unwrap());
        }
        let headers = |kind: &str| {
            let all = [("streamtype", kind), ("port", "80")];
            all.map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into()
        };
        let open = |stream, kind| Heard::Open {
            stream,
            headers: headers(kind),
            last: false,
        };
        let end = Heard::Data {
            stream: 3,
            bytes: Bytes::new(),
            last: true,
        };
        assert_eq!(heard, [open(1, "error"), open(3, "data"), end]);
    }

    #[test]
    fn nonsense_ends_the_connection() {
        let mut spdy = Spdy::new();
        let http = &mut BytesMut::from(&b"\xffET / HTTP/1.1\r\n\r\n"[..]);
        assert!(spdy.decode(http).is_err());
        let mut cut = BytesMut::new();
        control(&mut cut, SYN_STREAM, 2).unwrap();
        cut.put_slice(&[0; 2]);
        assert!(spdy.decode(&mut cut).is_err());
    }
}
