//! Header pages that do not verify: whether a journal stands there at all, and what the page must have
//! said.

use std::collections::BTreeSet;

use crate::disk::{Access, DiskFile};
use crate::error::{Operation, Result, failed};
use crate::format::frame::Place;
use crate::format::segment::{PAGE, Page, PageFault};
use crate::reading::journal::Journal;
use crate::reading::schema;
use crate::reading::span::{header_at, looks_framed};

/// Whether what stands in the segments is a journal's, although the first one begins with something else.
pub(crate) fn is_a_journal(journal: &Journal, present: &BTreeSet<u64>) -> Result<bool> {
    for segment in others(present) {
        if page_of(journal, segment)?.is_some_and(|page| page != Err(PageFault::Foreign)) {
            return Ok(true);
        }
    }
    let (file, size) = open(journal, 0)?;
    looks_framed(file.as_ref(), size, &journal.segment_path(0))
}

/// The page of the segment that is next, whose own `bytes` do not verify. All that it says of what precedes
/// it is known; its name and its types are those of the segment before it. For the first one another
/// segment is asked, or failing that its own bytes: a name is believed where the first frame verifies
/// under it, types that nobody else tells where they are those of this build.
pub(crate) fn made_up(
    journal: &Journal,
    present: &BTreeSet<u64>,
    bytes: &[u8; PAGE],
) -> Result<Option<Page>> {
    let walk = &journal.walk;
    let told = match walk.segments.last() {
        // Segments end where a block does: something is missing in front of this one.
        Some(_) if !walk.at_block_end() => None,
        Some(before) => Some(before.page.clone()),
        None => first_page(journal, present, bytes)?,
    };
    Ok(told.map(|told| Page {
        segment: walk.segments.len() as u64,
        first_seq: walk.next_seq(),
        previous_length: walk.segments.last().map_or(0, |before| before.end),
        previous_block: walk.last_block(),
        previous_head: walk.head,
        ..told
    }))
}

fn first_page(
    journal: &Journal,
    present: &BTreeSet<u64>,
    bytes: &[u8; PAGE],
) -> Result<Option<Page>> {
    let (file, size) = open(journal, 0)?;
    let path = journal.segment_path(0);
    let bears_out = |page: &Page| {
        let place = Place { id: page.id, segment: 0, offset: PAGE as u64 };
        header_at(file.as_ref(), size, &path, &place).map(|header| header.is_some())
    };
    for segment in others(present) {
        if let Some(Ok(page)) = page_of(journal, segment)?
            && bears_out(&page)?
        {
            return Ok(Some(page));
        }
    }
    let own = Page::claimed(bytes);
    let believed = own.schema == schema::fingerprint() && bears_out(&own)?;
    Ok(believed.then_some(own))
}

fn others(present: &BTreeSet<u64>) -> impl Iterator<Item = u64> {
    present.iter().copied().filter(|segment| *segment != 0)
}

/// What the page of a segment says; `None` if the file is shorter.
fn page_of(journal: &Journal, segment: u64) -> Result<Option<Result<Page, PageFault>>> {
    let (file, size) = open(journal, segment)?;
    if size < PAGE as u64 {
        return Ok(None);
    }
    let mut bytes = [0; PAGE];
    let read = file.read_exact_at(&mut bytes, 0);
    read.map_err(failed(Operation::Read, &journal.segment_path(segment)))?;
    Ok(Some(Page::decode(&bytes)))
}

fn open(journal: &Journal, segment: u64) -> Result<(Box<dyn DiskFile>, u64)> {
    let path = journal.segment_path(segment);
    let file = journal.disk().open(&path, Access::Read);
    let file = file.map_err(failed(Operation::Open, &path))?;
    let size = file.size().map_err(failed(Operation::Read, &path))?;
    Ok((file, size))
}
