//! What opening for writing does to a journal that a crash left: never to one that is damaged.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::disk::{Access, Disk, write_zeros};
use crate::error::{JournalError, Operation, Result, failed};
use crate::format::segment::{ASIDE, SEGMENTS, segment_name};
use crate::reading::journal::{Journal, TornTail};
use crate::reading::span::pieces;

/// A torn tail that was moved aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// Where it stood.
    pub tail: TornTail,
    /// The file that holds its bytes.
    pub aside: PathBuf,
}

/// Makes durable what the last two segments and their names hold. Those before were synced when they
/// were cut.
pub(crate) fn sync_segments(disk: &dyn Disk, dir: &Path, numbers: &BTreeSet<u64>) -> Result<()> {
    let segments = dir.join(SEGMENTS);
    for segment in numbers.iter().rev().take(2) {
        let path = segments.join(segment_name(*segment));
        let file = disk.open(&path, Access::Write);
        let file = file.map_err(failed(Operation::OpenForWriting, &path))?;
        file.sync().map_err(failed(Operation::Sync, &path))?;
    }
    disk.sync_dir(&segments).map_err(failed(Operation::Sync, &segments))
}

/// Finishes what a crash interrupted: cuts a segment that has a successor, removes a segment that
/// never got its name, and moves a torn tail aside. Interrupted itself, it can be done again.
pub(crate) fn repair(journal: &Journal) -> Result<Option<Repaired>> {
    let disk = journal.disk().as_ref();
    if let Some(entry) = journal
        .untrimmed
        .and_then(|segment| journal.segments().iter().find(|entry| entry.page.segment == segment))
    {
        let path = journal.segment_path(entry.page.segment);
        let file = disk.open(&path, Access::Write);
        let file = file.map_err(failed(Operation::OpenForWriting, &path))?;
        file.set_size(entry.end).map_err(failed(Operation::Resize, &path))?;
        file.sync().map_err(failed(Operation::Sync, &path))?;
    }
    remove_unfinished(disk, journal.dir())?;
    journal.torn().map(|tail| move_aside(journal, tail)).transpose()
}

fn remove_unfinished(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let segments = dir.join(SEGMENTS);
    let names = disk.list(&segments).map_err(failed(Operation::List, &segments))?;
    for name in names.iter().filter(|name| name.ends_with(".tmp")) {
        let path = segments.join(name);
        disk.remove(&path).map_err(failed(Operation::Remove, &path))?;
    }
    Ok(())
}

/// Keeps the bytes of a torn tail in a file of their own, durably, before they are zeroed.
fn move_aside(journal: &Journal, tail: TornTail) -> Result<Repaired> {
    let disk = journal.disk().as_ref();
    let path = journal.segment_path(tail.segment);
    let file = disk.open(&path, Access::Write).map_err(failed(Operation::OpenForWriting, &path))?;
    let end = tail.offset.saturating_add(tail.length);
    let each = |act: &mut dyn FnMut(u64, &[u8]) -> Result<()>| {
        let place = tail.offset..end;
        pieces(file.as_ref(), &path, place, 0, |offset, bytes, _| act(offset, bytes))
    };

    let dir = journal.dir().join(ASIDE);
    disk.create_dir(&dir).map_err(failed(Operation::Create, &dir))?;
    let mut hasher = blake3::Hasher::new();
    each(&mut |_, bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    let hash = hasher.finalize().to_hex();
    let aside = dir.join(format!("{:010}-{}-{hash}.torn", tail.segment, tail.offset));
    let copy = disk.open(&aside, Access::Create).map_err(failed(Operation::Create, &aside))?;
    each(&mut |offset, bytes| {
        let at = offset.saturating_sub(tail.offset);
        copy.write_all_at(bytes, at).map_err(failed(Operation::Write, &aside))
    })?;
    copy.sync().map_err(failed(Operation::Sync, &aside))?;
    for path in [dir.as_path(), journal.dir()] {
        disk.sync_dir(path).map_err(failed(Operation::Sync, path))?;
    }

    write_zeros(file.as_ref(), tail.offset, end).map_err(failed(Operation::Write, &path))?;
    file.sync().map_err(failed(Operation::Sync, &path))?;
    each(&mut |_, bytes| match bytes.iter().all(|byte| *byte == 0) {
        true => Ok(()),
        false => Err(unzeroed(&path)),
    })?;
    Ok(Repaired { tail, aside })
}

fn unzeroed(path: &Path) -> JournalError {
    let error = std::io::Error::other("zeros that were written are not read back");
    failed(Operation::Write, path)(error)
}
