//! How the parts of a row are packed: zstd with a dictionary that is stored in the database and never changes.
//!
//! A packed part is the number of its dictionary (0: as it is), the length of what it unpacks to (4 bytes, little endian),
//! and the frame. What was packed once is read for ever: a new dictionary gets a new number.

use std::{cell::RefCell, sync::LazyLock};

use zstd::{
    bulk::{Compressor, Decompressor},
    dict::{DecoderDictionary, EncoderDictionary},
};

use crate::store::StoreError;

/// The number of the dictionary that packs.
pub const DICTIONARY_NO: u8 = 1;
/// That dictionary: made of events, requests and answers such as Pipedrive's.
pub const DICTIONARY: &[u8] = include_bytes!("dictionary_1.zdict");
/// How hard zstd tries. Higher levels cost more time than the bytes are worth that they save.
const LEVEL: i32 = 1;
/// How much one part unpacks to at most: an event's requests and its payload are bounded far below.
const UNPACKED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The number of a dictionary, and a length.
const HEAD_BYTES: usize = 5;

static ENCODER: LazyLock<EncoderDictionary<'static>> = LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

/// How much room for packing a thread keeps between two parts.
const ROOM_BYTES_KEPT_MAX: usize = 256 * 1024;

thread_local! {
    /// A compressor keeps tables that are dear to set up.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    /// Room for a part and its frame.
    static ROOM: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

fn malformed(why: impl std::fmt::Display) -> StoreError {
    StoreError::Row(format!("a packed part cannot be read: {why}"))
}

fn compress(plain: &[u8], frame: &mut Vec<u8>) -> std::io::Result<usize> {
    frame.clear();
    frame.reserve(zstd::zstd_safe::compress_bound(plain.len()));
    COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            None => {
                let mut compressor = Compressor::with_prepared_dictionary(&ENCODER)?;
                // All three stand in the head, or go without saying.
                compressor.include_contentsize(false)?;
                compressor.include_dictid(false)?;
                compressor.include_checksum(false)?;
                kept.insert(compressor)
            }
        };
        compressor.compress_to_buffer(plain, frame)
    })
}

/// Packs a part that somebody writes; answers how long it was, too.
pub fn pack_written<E>(write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(Vec<u8>, usize), E> {
    let (mut plain, mut frame) = ROOM.take();
    plain.clear();
    let written = write(&mut plain).map(|()| {
        let length = u32::try_from(plain.len()).unwrap_or(u32::MAX).to_le_bytes();
        let packed = match compress(&plain, &mut frame) {
            Ok(_) if frame.len() < plain.len() => [&[DICTIONARY_NO][..], &length, &frame].concat(),
            _ => [&[0][..], &length, &plain].concat(),
        };
        (packed, plain.len())
    });
    if plain.capacity().max(frame.capacity()) <= ROOM_BYTES_KEPT_MAX {
        ROOM.set((plain, frame));
    }
    written
}

/// Packs a part.
pub fn pack(plain: &[u8]) -> Vec<u8> {
    let written = pack_written(|out| {
        out.extend_from_slice(plain);
        Ok::<_, std::convert::Infallible>(())
    });
    let Ok((packed, _)) = written;
    packed
}

/// Unpacks a part.
pub fn unpack(packed: &[u8]) -> Result<Vec<u8>, StoreError> {
    let (head, frame) = packed.split_at_checked(HEAD_BYTES).ok_or_else(|| malformed("it has no head"))?;
    let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
    let length = usize::try_from(length).ok().filter(|length| *length <= UNPACKED_BYTES_MAX);
    let length = length.ok_or_else(|| malformed("it is larger than any part"))?;
    let plain = match head[0] {
        0 => frame.to_vec(),
        DICTIONARY_NO => DECOMPRESSOR.with_borrow_mut(|kept| {
            let decompressor = match kept {
                Some(decompressor) => decompressor,
                None => kept.insert(Decompressor::with_prepared_dictionary(&DECODER).map_err(malformed)?),
            };
            decompressor.decompress(frame, length).map_err(malformed)
        })?,
        other => return Err(malformed(format!("its dictionary {other} is not known: it is of a newer version"))),
    };
    if plain.len() == length { Ok(plain) } else { Err(malformed("it has another length")) }
}

/// What an execution's own part has: its event, unless that stands elsewhere, and its record, both as the domain stores
/// them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// The event.
    pub event: Option<Vec<u8>>,
    /// The record.
    pub record: Vec<u8>,
}

/// The form of an execution's part: this byte, the event's length (4 bytes, little endian), the event, the record.
const FORM_NO: u8 = 1;

/// Writes an execution's part, each of its two parts where it is asked for.
pub fn write_contents<E>(
    out: &mut Vec<u8>,
    event: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    record: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    out.extend_from_slice(&[FORM_NO, 0, 0, 0, 0]);
    event(out)?;
    let length = u32::try_from(out.len() - HEAD_BYTES).unwrap_or(u32::MAX).to_le_bytes();
    out[1..HEAD_BYTES].copy_from_slice(&length);
    record(out)
}

/// Takes an execution's part apart.
pub fn contents(plain: &[u8]) -> Result<Contents, StoreError> {
    let (head, rest) = plain.split_at_checked(HEAD_BYTES).ok_or_else(|| malformed("it has no head"))?;
    if head[0] != FORM_NO {
        return Err(malformed("its form is not known: it is of a newer version"));
    }
    let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let (event, record) = rest.split_at_checked(length).ok_or_else(|| malformed("it ends too early"))?;
    Ok(Contents { event: (!event.is_empty()).then(|| event.to_vec()), record: record.to_vec() })
}

#[cfg(test)]
#[path = "tests/packing.rs"]
mod tests;
