//! Segments: their names, and the page at the head of each.

use xxhash_rust::xxh3::xxh3_128;

use crate::damage::DamageKind;
use crate::format::block::{BlockEntry, Hash};

/// The version of the format.
pub const VERSION: u32 = 1;

/// Bytes of the header page; the first frame begins behind it.
pub const PAGE: usize = 4096;

/// The first bytes of every segment: `TFJSEG` between two bytes that text and old pipes mangle.
pub const PAGE_MAGIC: [u8; 8] = *b"\x89TFJSEG\n";

/// Bytes that an engine build's name may have.
pub const BUILD_BYTES: usize = 64;

/// Where the build's name stands, and where the fields of the page end.
const BUILD: usize = 184;
const FIELDS: usize = BUILD + BUILD_BYTES;
/// Where the checksum stands.
const CHECKSUM: usize = PAGE - 16;

const _: () = assert!(FIELDS < CHECKSUM);

/// The directory of the segments.
pub(crate) const SEGMENTS: &str = "segments";
/// The directory of what was cut from torn tails.
pub(crate) const ASIDE: &str = "aside";
/// The file that stands for the right to write.
pub(crate) const LOCK: &str = "LOCK";

/// What the header page of a segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The file is a multiple of this many bytes for as long as it is written.
    pub extent: u32,
    /// The journal's name.
    pub id: [u8; 16],
    /// The segment's number, from zero.
    pub segment: u64,
    /// Its first record.
    pub first_seq: u64,
    /// The exact length of the segment before it; zero if there is none.
    pub previous_length: u64,
    /// The last block before it.
    pub previous_block: BlockEntry,
    /// BLAKE3 of the last frame header before it; zeros if there is none.
    pub previous_head: Hash,
    /// The fingerprint of the wire types, as the engine gave it.
    pub schema: Hash,
    /// The engine build that began the segment.
    pub build: String,
}

/// Why bytes are no header page of this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageFault {
    /// They begin with something else, and are something else.
    Foreign,
    /// They are a page of another version.
    Version(u32),
    /// They are a damaged page.
    Damaged(DamageKind),
}

impl Page {
    pub(crate) fn encode(&self) -> [u8; PAGE] {
        let mut page = [0; PAGE];
        page[0..8].copy_from_slice(&PAGE_MAGIC);
        page[8..12].copy_from_slice(&VERSION.to_le_bytes());
        page[12..16].copy_from_slice(&self.extent.to_le_bytes());
        page[16..32].copy_from_slice(&self.id);
        page[32..40].copy_from_slice(&self.segment.to_le_bytes());
        page[40..48].copy_from_slice(&self.first_seq.to_le_bytes());
        page[48..56].copy_from_slice(&self.previous_length.to_le_bytes());
        page[56..88].copy_from_slice(&self.previous_block.hash);
        page[88..120].copy_from_slice(&self.previous_block.root);
        page[120..152].copy_from_slice(&self.previous_head);
        page[152..184].copy_from_slice(&self.schema);
        let build = self.build.as_bytes();
        let length = build.len().min(BUILD_BYTES);
        page[BUILD..BUILD + length].copy_from_slice(&build[..length]);
        let checksum = xxh3_128(&page[..CHECKSUM]);
        page[CHECKSUM..].copy_from_slice(&checksum.to_le_bytes());
        page
    }

    pub(crate) fn decode(page: &[u8; PAGE]) -> Result<Self, PageFault> {
        let verifies =
            |page: &[u8; PAGE]| xxh3_128(&page[..CHECKSUM]).to_le_bytes() == page[CHECKSUM..];
        if page[0..8] != PAGE_MAGIC {
            // A page whose magic alone is hurt is still a page of ours.
            let mut mended = *page;
            mended[0..8].copy_from_slice(&PAGE_MAGIC);
            let ours = verifies(&mended);
            return Err(if ours {
                PageFault::Damaged(DamageKind::Page)
            } else {
                PageFault::Foreign
            });
        }
        if !verifies(page) {
            return Err(PageFault::Damaged(DamageKind::Page));
        }
        // Every version keeps the magic, the version and the checksum where they are.
        let version = Fields(&page[8..FIELDS]).u32();
        if version != VERSION {
            return Err(PageFault::Version(version));
        }
        let named = build_name(Fields(&page[BUILD..FIELDS]).array()).is_some();
        let rest = page[FIELDS..CHECKSUM].iter().all(|byte| *byte == 0);
        if named && rest {
            Ok(Self::claimed(page))
        } else {
            Err(PageFault::Damaged(DamageKind::PagePadding))
        }
    }

    /// What the fields say, whether or not the page verifies; a build that is no text is none.
    pub(crate) fn claimed(page: &[u8; PAGE]) -> Self {
        let mut fields = Fields(&page[12..FIELDS]);
        Self {
            extent: fields.u32(),
            id: fields.array(),
            segment: fields.u64(),
            first_seq: fields.u64(),
            previous_length: fields.u64(),
            previous_block: BlockEntry { hash: fields.array(), root: fields.array() },
            previous_head: fields.array(),
            schema: fields.array(),
            build: build_name(fields.array()).unwrap_or_default(),
        }
    }
}

/// The text before the zeros, if it is text and only zeros follow it.
fn build_name(bytes: [u8; BUILD_BYTES]) -> Option<String> {
    let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let text = std::str::from_utf8(&bytes[..length]).ok()?;
    (!text.contains('\0')).then(|| text.to_owned())
}

/// Takes little-endian fields off the front; zeros where the bytes end.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((head, rest)) => {
                self.0 = rest;
                *head
            }
            None => [0; N],
        }
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }
}

/// The file name of a segment.
pub(crate) fn segment_name(segment: u64) -> String {
    format!("{segment:010}.seg")
}

/// The segment of a file name; `None` if it is the name of something else.
pub(crate) fn segment_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    let segment = digits.parse().ok()?;
    (name == segment_name(segment)).then_some(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        Page {
            extent: 1 << 20,
            id: [1; 16],
            segment: 2,
            first_seq: 3072,
            previous_length: 40_000,
            previous_block: BlockEntry { hash: [4; 32], root: [5; 32] },
            previous_head: [6; 32],
            schema: [7; 32],
            build: "engine 0.1.0".into(),
        }
    }

    #[test]
    fn a_page_gives_back_what_was_encoded() {
        assert_eq!(Page::decode(&page().encode()), Ok(page()));
    }

    #[test]
    fn every_flipped_bit_is_damage() {
        let good = page().encode();
        for bit in 0..PAGE * 8 {
            let mut bytes = good;
            bytes[bit / 8] ^= 1 << (bit % 8);
            let fault = Page::decode(&bytes).unwrap_err();
            assert_eq!(fault, PageFault::Damaged(DamageKind::Page), "bit {bit}");
        }
    }

    #[test]
    fn what_verifies_but_is_not_ours_is_told_apart() {
        let check = |at: usize, value: u8, fault: PageFault| {
            let mut bytes = page().encode();
            bytes[at] = value;
            let checksum = xxh3_128(&bytes[..CHECKSUM]);
            bytes[CHECKSUM..].copy_from_slice(&checksum.to_le_bytes());
            assert_eq!(Page::decode(&bytes), Err(fault));
        };
        check(8, 2, PageFault::Version(2));
        check(3, b'x', PageFault::Foreign);
        check(1000, 1, PageFault::Damaged(DamageKind::PagePadding));
        check(184 + 20, b'x', PageFault::Damaged(DamageKind::PagePadding));
        check(184, 0xff, PageFault::Damaged(DamageKind::PagePadding));
    }

    #[test]
    fn names_are_ten_digits_and_nothing_else() {
        assert_eq!(segment_name(3), "0000000003.seg");
        let check = |name: &str, segment: Option<u64>| assert_eq!(segment_of(name), segment);
        check("0000000003.seg", Some(3));
        check("3.seg", None);
        check("+000000003.seg", None);
        check("0000000003.seg.tmp", None);
        check("0000000003.tmp", None);
    }
}
