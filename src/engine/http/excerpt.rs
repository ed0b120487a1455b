//! The beginning of an answer's body, as it is kept: read as long as there is room, and decoded where it came compressed.

use std::io::{self, Write};

use flate2::write::{DeflateDecoder, GzDecoder, ZlibDecoder};

use crate::domain::attempt::RESPONSE_EXCERPT_BYTES_MAX;

/// How much of a compressed body is read: what inflates to nothing has an end, too.
const COMPRESSED_BYTES_MAX: usize = 4 * RESPONSE_EXCERPT_BYTES_MAX;

/// The beginning of a body.
pub struct Excerpt {
    /// As it came; of a compressed body only until something of it was decoded.
    raw: Vec<u8>,
    raw_bytes: usize,
    decoder: Option<Decoder>,
}

enum Decoder {
    Gzip(GzDecoder<Bounded>),
    Zlib(ZlibDecoder<Bounded>),
    /// What many servers send as `deflate`: without the header of zlib.
    Deflate(DeflateDecoder<Bounded>),
    /// `deflate` before its first byte.
    Undecided,
}

/// Takes so many bytes, and refuses those beyond.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    is_full: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = RESPONSE_EXCERPT_BYTES_MAX - self.bytes.len();
        if room == 0 && !bytes.is_empty() {
            self.is_full = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(room);
        self.bytes.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decoder {
    fn of(encoding: &str) -> Option<Self> {
        match encoding.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Decoder::Gzip(GzDecoder::new(Bounded::default()))),
            "deflate" => Some(Decoder::Undecided),
            _ => None,
        }
    }

    /// Whether the first byte of a body is that of zlib, with its method, and a window that exists.
    fn decide(&mut self, first: u8) {
        if matches!(self, Decoder::Undecided) {
            let is_zlib = first & 0x0f == 8 && first >> 4 <= 7;
            *self = match is_zlib {
                true => Decoder::Zlib(ZlibDecoder::new(Bounded::default())),
                false => Decoder::Deflate(DeflateDecoder::new(Bounded::default())),
            };
        }
    }

    /// Whether the body ended where it said that it would.
    fn is_whole(&mut self) -> bool {
        match self {
            Decoder::Gzip(decoder) => decoder.try_finish().is_ok(),
            Decoder::Zlib(decoder) => decoder.try_finish().is_ok(),
            Decoder::Deflate(decoder) => decoder.try_finish().is_ok(),
            Decoder::Undecided => true,
        }
    }

    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Decoder::Gzip(decoder) => decoder.write_all(bytes).and_then(|()| decoder.flush()),
            Decoder::Zlib(decoder) => decoder.write_all(bytes).and_then(|()| decoder.flush()),
            Decoder::Deflate(decoder) => decoder.write_all(bytes).and_then(|()| decoder.flush()),
            Decoder::Undecided => Ok(()),
        }
    }

    fn has_decoded(&self) -> bool {
        match self {
            Decoder::Gzip(decoder) => !decoder.get_ref().bytes.is_empty(),
            Decoder::Zlib(decoder) => !decoder.get_ref().bytes.is_empty(),
            Decoder::Deflate(decoder) => !decoder.get_ref().bytes.is_empty(),
            Decoder::Undecided => false,
        }
    }

    fn decoded(&mut self) -> Bounded {
        match self {
            Decoder::Gzip(decoder) => std::mem::take(decoder.get_mut()),
            Decoder::Zlib(decoder) => std::mem::take(decoder.get_mut()),
            Decoder::Deflate(decoder) => std::mem::take(decoder.get_mut()),
            Decoder::Undecided => Bounded::default(),
        }
    }
}

impl Excerpt {
    /// Of a body with a `content-encoding`. One that is not known here is kept as it comes.
    pub fn new(encoding: Option<&str>) -> Self {
        Self { raw: Vec::new(), raw_bytes: 0, decoder: encoding.and_then(Decoder::of) }
    }

    /// Takes in what comes next. Answers whether there is a use for more.
    pub fn push(&mut self, chunk: &[u8]) -> bool {
        let room = RESPONSE_EXCERPT_BYTES_MAX - self.raw.len();
        self.raw.extend_from_slice(&chunk[..chunk.len().min(room)]);
        self.raw_bytes += chunk.len();
        let Some(decoder) = &mut self.decoder else { return chunk.len() <= room };
        chunk.first().into_iter().for_each(|first| decoder.decide(*first));
        match decoder.push(chunk) {
            Ok(()) => self.raw_bytes <= COMPRESSED_BYTES_MAX,
            // It is no such encoding after all: it is read as it comes.
            Err(_) if !decoder.has_decoded() => {
                self.decoder = None;
                self.raw_bytes <= RESPONSE_EXCERPT_BYTES_MAX
            }
            Err(_) => false,
        }
    }

    /// What is kept, and whether there was more. What is no such encoding after all is kept as it came.
    pub fn finish(mut self, is_cut: bool) -> (Vec<u8>, bool) {
        let is_whole = self.decoder.as_mut().is_none_or(Decoder::is_whole);
        let decoded = self.decoder.as_mut().map(Decoder::decoded);
        match decoded.filter(|decoded| !decoded.bytes.is_empty()) {
            Some(Bounded { bytes, is_full }) => (bytes, is_cut || is_full || !is_whole),
            None => {
                let is_longer = self.raw_bytes > self.raw.len();
                (self.raw, is_cut || is_longer)
            }
        }
    }
}

#[cfg(test)]
#[path = "tests/excerpt.rs"]
mod tests;
