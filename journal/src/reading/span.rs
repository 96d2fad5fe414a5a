//! Parts of a file: a span at once, all of it piece by piece, or what the next header may need.

use std::ops::Range;
use std::path::Path;

use crate::disk::DiskFile;
use crate::error::{Operation, Result, failed};
use crate::format::frame::{self, FRAME_MAGIC, Header, Place};
use crate::format::segment::PAGE;

/// Bytes of a piece.
const PIECE: u64 = 1 << 20;

/// The bytes from `start` to `end`.
pub(crate) fn read_span(file: &dyn DiskFile, path: &Path, start: u64, end: u64) -> Result<Vec<u8>> {
    let length = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(length)
        .map_err(|_| failed(Operation::Read, path)(std::io::ErrorKind::OutOfMemory.into()))?;
    bytes.resize(length, 0);
    file.read_exact_at(&mut bytes, start).map_err(failed(Operation::Read, path))?;
    Ok(bytes)
}

/// Hands over a part of a file piece by piece, however long it is: where a piece begins, its bytes with
/// up to `behind` of what follows it, and how many of them are its own.
pub(crate) fn pieces(
    file: &dyn DiskFile,
    path: &Path,
    Range { start, end }: Range<u64>,
    behind: u64,
    mut each: impl FnMut(u64, &[u8], usize) -> Result<()>,
) -> Result<()> {
    let mut at = start;
    while at < end {
        let next = at.saturating_add(PIECE).min(end);
        let bytes = read_span(file, path, at, next.saturating_add(behind).min(end))?;
        each(at, &bytes, usize::try_from(next - at).unwrap_or(usize::MAX).min(bytes.len()))?;
        at = next;
    }
    Ok(())
}

/// The valid headers that begin in the first `own` of some bytes, which stand at a place.
pub(crate) fn headers_in(
    bytes: &[u8],
    own: usize,
    place: Place,
) -> impl Iterator<Item = (Place, Header)> {
    let starts = bytes.windows(FRAME_MAGIC.len()).take(own).enumerate();
    starts.filter(|(_, window)| **window == FRAME_MAGIC).filter_map(move |(at, _)| {
        let place = Place { offset: place.offset.saturating_add(at as u64), ..place };
        let header = Header::decode(bytes.get(at..)?, &place).ok()?;
        Some((place, header))
    })
}

/// The header that stands at a place, if one verifies there.
pub(crate) fn header_at(
    file: &dyn DiskFile,
    size: u64,
    path: &Path,
    place: &Place,
) -> Result<Option<Header>> {
    let mut window = Window::new(file, size, path);
    Ok(Header::decode(window.header(place.offset)?, place).ok())
}

/// Whether something stands in a file that looks like a frame, of whatever journal and place.
pub(crate) fn looks_framed(file: &dyn DiskFile, size: u64, path: &Path) -> Result<bool> {
    // What a header begins with: its magic, and a length that may be.
    const BEGINNING: usize = FRAME_MAGIC.len() + 4;
    let mut found = false;
    pieces(file, path, 0..size, BEGINNING as u64, |_, bytes, _| {
        let mut beginnings = bytes.windows(BEGINNING);
        found = found || beginnings.any(|bytes| frame::claimed_length(bytes).is_some());
        Ok(())
    })?;
    Ok(found)
}

/// A part of a file that moves along, so that small frames do not cost a read each.
pub(crate) struct Window<'a> {
    file: &'a dyn DiskFile,
    size: u64,
    path: &'a Path,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile, size: u64, path: &'a Path) -> Self {
        Self { file, size, path, start: 0, bytes: Vec::new() }
    }

    /// The bytes at `offset`: at least a header's, unless the file ends before.
    pub(crate) fn header(&mut self, offset: u64) -> Result<&[u8]> {
        self.fill(offset, PAGE)?;
        if let Some(length) = frame::claimed_length(self.bytes_at(offset)) {
            self.fill(offset, length)?;
        }
        Ok(self.bytes_at(offset))
    }

    fn bytes_at(&self, offset: u64) -> &[u8] {
        let skip = offset.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| self.bytes.get(skip..)).unwrap_or_default()
    }

    fn fill(&mut self, offset: u64, least: usize) -> Result<()> {
        let left = self.size.saturating_sub(offset);
        let least = left.min(least as u64);
        if self.bytes_at(offset).len() as u64 >= least {
            return Ok(());
        }
        let length = least.max(left.min(2 * PAGE as u64));
        self.bytes = read_span(self.file, self.path, offset, offset.saturating_add(length))?;
        self.start = offset;
        Ok(())
    }
}
