//! Frames: what stands around the records that were committed together.

use xxhash_rust::xxh3::Xxh3;

use crate::damage::DamageKind;
use crate::format::block::{BLOCK_RECORDS, BlockEntry, Hash};
use crate::format::codec::{RECORD_BYTES_MAX, RECORD_HEAD, RECORD_TAG};
use crate::format::segment::Fields;

/// The first bytes of every frame.
pub const FRAME_MAGIC: [u8; 8] = *b"\xf1TFFRAM\n";

/// The last bytes of every frame. The very last has several bits set: no flip of one makes it zero.
pub const TRAILER_MAGIC: [u8; 8] = *b"\xf2TFFEND\xe7";

/// Bytes of a header without digests, block entries and checksum.
pub const HEADER_FIXED: usize = 160;

/// Bytes of a header's checksum.
pub const CHECKSUM: usize = 16;

/// Bytes of one table digest in a header.
pub const DIGEST: usize = 16;

/// Bytes of one block entry in a header.
pub const BLOCK_ENTRY: usize = 64;

/// Bytes behind the body: the length of the whole frame and the trailer's magic.
pub const TRAILER: usize = 16;

/// The longest header. Only its checksum makes a length believed, so reading one needs a bound.
pub const HEADER_MAX: usize = 64 << 10;

/// The longest body. A reader holds one at once, since it is hashed before anything of it is believed;
/// a writer commits a frame as long as the longest record still fits.
pub const BODY_MAX: u64 = 4 << 20;

/// The blocks of a body of the shortest records have room in a header, beside the digests of any state.
const _: () = {
    let blocks = BODY_MAX as usize / (RECORD_HEAD + RECORD_TAG) / BLOCK_RECORDS as usize + 1;
    assert!(HEADER_FIXED + CHECKSUM + BLOCK_ENTRY * blocks + DIGEST * 256 <= HEADER_MAX);
};

const _: () = assert!(2 * RECORD_BYTES_MAX as u64 <= BODY_MAX);

/// The flag of a close mark.
const CLOSE: u32 = 1;

/// Where a frame stands. Its header verifies there and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The journal's name.
    pub id: [u8; 16],
    /// The segment.
    pub segment: u64,
    /// The byte in the segment.
    pub offset: u64,
}

/// What the header of a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether the frame marks a clean close; then it has no records.
    pub close: bool,
    /// Bytes of the records.
    pub body_length: u64,
    /// The first record, or the next one for a close mark.
    pub first_seq: u64,
    /// Records in the frame.
    pub record_count: u32,
    /// Events in those records.
    pub event_count: u32,
    /// The time of the first record.
    pub time_first: u64,
    /// The time of the last record.
    pub time_last: u64,
    /// The hash of the open block after the last record.
    pub running: Hash,
    /// The root of the tree over the complete blocks after the last record.
    pub tree_root: Hash,
    /// The root of the state after the last record.
    pub state_root: Hash,
    /// The digests of the state's tables after the last record.
    pub digests: Vec<u128>,
    /// The blocks that ended in the frame.
    pub blocks: Vec<BlockEntry>,
}

/// Why there is no believable header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// The bytes are no header of this place.
    Unverified,
    /// They are one, but not one that this format allows.
    Refused(DamageKind),
}

impl Header {
    /// The first record after the frame.
    pub fn next_seq(&self) -> u64 {
        self.first_seq.saturating_add(u64::from(self.record_count))
    }

    /// Bytes of the header.
    pub fn length(&self) -> usize {
        HEADER_FIXED + DIGEST * self.digests.len() + BLOCK_ENTRY * self.blocks.len() + CHECKSUM
    }

    /// Bytes of the whole frame.
    pub fn frame_length(&self) -> u64 {
        (self.length() as u64).saturating_add(self.body_length).saturating_add(TRAILER as u64)
    }

    /// Appends the header, its checksum left zero for [`bind`].
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&FRAME_MAGIC);
        bytes.extend_from_slice(&(self.length() as u32).to_le_bytes());
        bytes.extend_from_slice(&(if self.close { CLOSE } else { 0 }).to_le_bytes());
        bytes.extend_from_slice(&self.body_length.to_le_bytes());
        bytes.extend_from_slice(&self.first_seq.to_le_bytes());
        bytes.extend_from_slice(&self.record_count.to_le_bytes());
        bytes.extend_from_slice(&self.event_count.to_le_bytes());
        bytes.extend_from_slice(&self.time_first.to_le_bytes());
        bytes.extend_from_slice(&self.time_last.to_le_bytes());
        bytes.extend_from_slice(&self.running);
        bytes.extend_from_slice(&self.tree_root);
        bytes.extend_from_slice(&self.state_root);
        bytes.extend_from_slice(&(self.digests.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.blocks.len() as u32).to_le_bytes());
        self.digests.iter().for_each(|digest| bytes.extend_from_slice(&digest.to_le_bytes()));
        for block in &self.blocks {
            bytes.extend_from_slice(&block.hash);
            bytes.extend_from_slice(&block.root);
        }
        bytes.extend_from_slice(&[0; CHECKSUM]);
    }

    /// Reads the header at the front of `bytes`, which stand at `place`.
    pub(crate) fn decode(bytes: &[u8], place: &Place) -> Result<Self, HeaderFault> {
        let length = claimed_length(bytes).ok_or(HeaderFault::Unverified)?;
        let header = bytes.get(..length).ok_or(HeaderFault::Unverified)?;
        let (fields, stored) =
            header.split_last_chunk::<CHECKSUM>().ok_or(HeaderFault::Unverified)?;
        if checksum(fields, place).to_le_bytes() != *stored {
            return Err(HeaderFault::Unverified);
        }
        let mut fields = Fields(&fields[12..]);
        let flags = fields.u32();
        if flags & !CLOSE != 0 {
            return Err(HeaderFault::Refused(DamageKind::Flags { flags }));
        }
        let mut header = Self {
            close: flags & CLOSE != 0,
            body_length: fields.u64(),
            first_seq: fields.u64(),
            record_count: fields.u32(),
            event_count: fields.u32(),
            time_first: fields.u64(),
            time_last: fields.u64(),
            running: fields.array(),
            tree_root: fields.array(),
            state_root: fields.array(),
            digests: Vec::new(),
            blocks: Vec::new(),
        };
        let (tables, blocks) = (fields.u32() as usize, fields.u32() as usize);
        // Both are below the header's own length before anything is allocated for them.
        let lists = DIGEST.checked_mul(tables).zip(BLOCK_ENTRY.checked_mul(blocks));
        let lists = lists.and_then(|(tables, blocks)| tables.checked_add(blocks));
        if lists != Some(fields.0.len()) {
            return Err(HeaderFault::Refused(DamageKind::HeaderShape));
        }
        header.digests = (0..tables).map(|_| u128::from_le_bytes(fields.array())).collect();
        let entry = |_| BlockEntry { hash: fields.array(), root: fields.array() };
        header.blocks = (0..blocks).map(entry).collect();
        if header.agrees_with_itself() {
            Ok(header)
        } else {
            Err(HeaderFault::Refused(DamageKind::HeaderShape))
        }
    }

    fn agrees_with_itself(&self) -> bool {
        let count = u64::from(self.record_count);
        let ended = self.next_seq() / BLOCK_RECORDS - self.first_seq / BLOCK_RECORDS;
        let least = count.saturating_mul((RECORD_HEAD + RECORD_TAG) as u64);
        let filled = match self.close {
            true => self.record_count == 0 && self.event_count == 0 && self.body_length == 0,
            false => self.record_count > 0 && (least..=BODY_MAX).contains(&self.body_length),
        };
        let ordered = self.time_first <= self.time_last;
        let counted = self.first_seq.checked_add(count).is_some();
        filled && ordered && counted && self.blocks.len() as u64 == ended
    }
}

/// The length that a header at the front of `bytes` claims to have, if one may begin there at all.
pub(crate) fn claimed_length(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.strip_prefix(&FRAME_MAGIC)?;
    let (length, _) = rest.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    (HEADER_FIXED + CHECKSUM..=HEADER_MAX).contains(&length).then_some(length)
}

/// Puts the checksum at the end of an encoded header, binding it to its place.
pub(crate) fn bind(header: &mut [u8], place: &Place) {
    if let Some((fields, stored)) = header.split_last_chunk_mut::<CHECKSUM>() {
        *stored = checksum(fields, place).to_le_bytes();
    }
}

/// The trailer of a frame of this length.
pub(crate) fn trailer(frame_length: u64) -> [u8; TRAILER] {
    let mut bytes = [0; TRAILER];
    bytes[..8].copy_from_slice(&frame_length.to_le_bytes());
    bytes[8..].copy_from_slice(&TRAILER_MAGIC);
    bytes
}

fn checksum(fields: &[u8], place: &Place) -> u128 {
    let mut hasher = Xxh3::new();
    hasher.update(fields);
    hasher.update(&place.id);
    hasher.update(&place.segment.to_le_bytes());
    hasher.update(&place.offset.to_le_bytes());
    hasher.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { id: [9; 16], segment: 3, offset: 41_216 };

    fn header() -> Header {
        Header {
            close: false,
            body_length: 500,
            first_seq: 1020,
            record_count: 8,
            event_count: 20,
            time_first: 10,
            time_last: 11,
            running: [1; 32],
            tree_root: [2; 32],
            state_root: [3; 32],
            digests: vec![4, 5],
            blocks: vec![BlockEntry { hash: [6; 32], root: [7; 32] }],
        }
    }

    fn bytes(header: &Header) -> Vec<u8> {
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        bind(&mut bytes, &PLACE);
        bytes
    }

    #[test]
    fn a_header_gives_back_what_was_encoded() {
        assert_eq!(bytes(&header()).len(), header().length());
        assert_eq!(Header::decode(&bytes(&header()), &PLACE), Ok(header()));
    }

    #[test]
    fn a_header_verifies_in_its_place_alone() {
        let bytes = bytes(&header());
        let check = |place: Place| {
            assert_eq!(Header::decode(&bytes, &place), Err(HeaderFault::Unverified));
        };
        check(Place { id: [8; 16], ..PLACE });
        check(Place { segment: 2, ..PLACE });
        check(Place { offset: 41_217, ..PLACE });
    }

    #[test]
    fn every_flip_and_every_cut_is_found() {
        let good = bytes(&header());
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bytes, &PLACE), Err(HeaderFault::Unverified), "bit {bit}");
        }
        for length in 0..good.len() {
            assert_eq!(Header::decode(&good[..length], &PLACE), Err(HeaderFault::Unverified));
        }
    }

    #[test]
    fn a_header_that_verifies_and_makes_no_sense_is_refused() {
        let refused = |kind: DamageKind, bytes: &[u8]| {
            assert_eq!(Header::decode(bytes, &PLACE), Err(HeaderFault::Refused(kind)));
        };
        let check = |change: fn(&mut Header)| {
            let mut header = header();
            change(&mut header);
            refused(DamageKind::HeaderShape, &bytes(&header));
        };
        check(|header| header.record_count = 0);
        check(|header| header.close = true);
        check(|header| header.blocks.clear());
        check(|header| header.first_seq = 0);
        check(|header| header.first_seq = u64::MAX);
        check(|header| header.time_first = 12);
        check(|header| header.body_length = 8 * 38 - 1);
        check(|header| header.body_length = BODY_MAX + 1);

        let patched = |at: usize, value: u32| {
            let mut bytes = bytes(&header());
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            bind(&mut bytes, &PLACE);
            bytes
        };
        refused(DamageKind::Flags { flags: 2 }, &patched(12, 2));
        refused(DamageKind::HeaderShape, &patched(152, 3));
        refused(DamageKind::HeaderShape, &patched(152, u32::MAX));
        refused(DamageKind::HeaderShape, &patched(156, u32::MAX));
    }
}
