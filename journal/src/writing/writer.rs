//! Appending: one writer, one frame at a time, durable before the call returns.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Access, Disk, DiskFile, SystemDisk, write_zeros};
use crate::error::{JournalError, Operation, Result, failed};
use crate::format::block::{BLOCK_RECORDS, BlockEntry, Hash};
use crate::format::chain::Chain;
use crate::format::frame::{Header, Place};
use crate::format::segment::{BUILD_BYTES, LOCK, PAGE, Page, SEGMENTS, segment_name};
use crate::reading::journal::Journal;
use crate::reading::opening::{Pages, scan, segments_in};
use crate::writing::repair::{self, Repaired};
use crate::writing::seal::Sealed;

/// How a journal is written. Readers need none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// A segment is followed by another as soon as it has so many bytes and a block ends.
    pub segment_bytes: u64,
    /// How many bytes are zeroed ahead at a time; a live segment is a multiple of it.
    pub extent: u32,
    /// Whether every frame is synced. Without it a crash of the machine may damage the journal; a
    /// crash of the process does not.
    pub sync: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, extent: 1 << 20, sync: true }
    }
}

/// What a journal is written for: its name, and the wire types and the engine it was written with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The fingerprint of the wire types.
    pub schema: Hash,
    /// The engine build; at most [`BUILD_BYTES`] bytes and no zero.
    pub build: String,
}

/// What was there when a journal was opened for writing.
#[derive(Debug)]
pub struct Opening {
    /// The journal up to where the writer goes on. It does not see what the writer appends.
    pub journal: Journal,
    /// The chain to seal the next frame with.
    pub chain: Chain,
    /// Whether it had been closed.
    pub closed: bool,
    /// The torn tail that was moved aside, if there was one.
    pub repaired: Option<Repaired>,
}

/// The one writer of a journal.
///
/// After an error nothing more is written: what is on the disk is not known, and a sync that failed
/// must not be tried again. Every later call returns that error. Dropping a writer leaves the journal
/// as a crash would; [`close`](Self::close) marks it closed.
pub struct Writer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: Options,
    id: [u8; 16],
    origin: Origin,
    live: Live,
    /// The last block, and BLAKE3 of the last frame header: what the next segment begins with.
    block: BlockEntry,
    head: Hash,
    last: Option<Header>,
    failure: Option<JournalError>,
    /// Held until the writer is gone.
    _lock: Box<dyn Send + Sync>,
}

/// The segment that is written.
struct Live {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    segment: u64,
    extent: u64,
    /// Where the last frame ends, and where the file does.
    end: u64,
    size: u64,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("dir", &self.dir)
            .field("segment", &self.live.segment)
            .field("end", &self.live.end)
            .field("next_seq", &self.next_seq())
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Makes a journal in a directory, which is made too if it is not there.
    pub fn create(
        dir: impl AsRef<Path>,
        id: [u8; 16],
        origin: Origin,
        options: Options,
    ) -> Result<Self> {
        Self::create_on(Arc::new(SystemDisk), dir, id, origin, options)
    }

    /// Makes a journal on `disk`.
    pub fn create_on(
        disk: Arc<dyn Disk>,
        dir: impl AsRef<Path>,
        id: [u8; 16],
        origin: Origin,
        options: Options,
    ) -> Result<Self> {
        check(&origin, &options)?;
        let dir = dir.as_ref().to_path_buf();
        let segments = dir.join(SEGMENTS);
        disk.create_dir(&segments).map_err(failed(Operation::Create, &segments))?;
        let lock = lock(disk.as_ref(), &dir)?;
        match segments_in(disk.as_ref(), &dir) {
            Ok(_) => return Err(JournalError::Exists { path: dir }),
            Err(JournalError::NotAJournal { .. }) => {}
            Err(error) => return Err(error),
        }
        // The directory's own name has to last as well.
        for path in [Some(dir.as_path()), dir.parent()].into_iter().flatten() {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            disk.sync_dir(path).map_err(failed(Operation::Sync, path))?;
        }
        let page = Page {
            extent: options.extent,
            id,
            segment: 0,
            first_seq: 0,
            previous_length: 0,
            previous_block: BlockEntry::GENESIS,
            previous_head: [0; 32],
            schema: origin.schema,
            build: origin.build.clone(),
        };
        let live = begin_segment(disk.as_ref(), &dir, &page)?;
        Ok(Self {
            disk,
            dir,
            options,
            id,
            origin,
            live,
            block: BlockEntry::GENESIS,
            head: [0; 32],
            last: None,
            failure: None,
            _lock: lock,
        })
    }

    /// Opens the journal in a directory to go on writing it. A torn tail is moved aside.
    pub fn open(
        dir: impl AsRef<Path>,
        origin: Origin,
        options: Options,
    ) -> Result<(Self, Opening)> {
        Self::open_on(Arc::new(SystemDisk), dir, origin, options)
    }

    /// Opens a journal on `disk` to go on writing it.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        dir: impl AsRef<Path>,
        origin: Origin,
        options: Options,
    ) -> Result<(Self, Opening)> {
        check(&origin, &options)?;
        let dir = dir.as_ref().to_path_buf();
        // Nothing is made where no journal is, not even a lock.
        segments_in(disk.as_ref(), &dir)?;
        let lock = lock(disk.as_ref(), &dir)?;
        // Listed under the lock: a writer that has just gone may have begun another segment.
        let numbers = segments_in(disk.as_ref(), &dir)?;
        // What a crashed writer left unsynced is made durable before it is believed.
        repair::sync_segments(disk.as_ref(), &dir, &numbers)?;
        let journal = scan(&disk, &dir, Pages::Verify)?.whole()?;
        let repaired = repair::repair(&journal)?;

        let Some(entry) = journal.segments().last() else { return Err(JournalError::Closed) };
        let path = journal.segment_path(entry.page.segment);
        let file =
            disk.open(&path, Access::Write).map_err(failed(Operation::OpenForWriting, &path))?;
        let size = file.size().map_err(failed(Operation::Read, &path))?;
        let live = Live {
            file,
            path,
            segment: entry.page.segment,
            extent: u64::from(entry.page.extent),
            end: entry.end,
            size,
        };
        let writer = Self {
            disk,
            dir,
            options,
            id: journal.id(),
            origin,
            live,
            block: journal.walk.last_block(),
            head: journal.walk.head,
            last: journal.walk.last.clone(),
            failure: None,
            _lock: lock,
        };
        let (chain, closed) = (journal.chain(), journal.closed());
        Ok((writer, Opening { journal, chain, closed, repaired }))
    }

    /// The journal's name.
    pub fn id(&self) -> [u8; 16] {
        self.id
    }

    /// The record that the next frame begins with.
    pub fn next_seq(&self) -> u64 {
        self.last.as_ref().map_or(0, Header::next_seq)
    }

    /// Appends a frame. When this returns it is durable, unless syncing is off.
    pub fn append(&mut self, frame: &mut Sealed) -> Result<()> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let (expected, found) = (self.next_seq(), frame.header().first_seq);
        if expected != found {
            return Err(JournalError::OutOfOrder { expected, found });
        }
        self.guarded(|writer| {
            if writer.segment_is_full() {
                writer.roll()?;
            }
            writer.put(frame, writer.options.sync)
        })
    }

    /// Marks the journal closed. After this, bytes that are missing are known to be missing.
    pub fn close(mut self) -> Result<()> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let last = self.last.clone().unwrap_or_else(empty_header);
        // Twice, so that no single fault can make a closed journal look like one that is not; and one
        // after the other, so that no more than one frame is ever unsynced.
        for _ in 0..2 {
            self.put(&mut Sealed::mark(&last), true)?;
        }
        self.live.trim()
    }

    /// Remembers the first error.
    fn guarded(&mut self, act: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let done = act(self);
        if let Err(failure) = &done {
            self.failure = Some(failure.clone());
        }
        done
    }

    fn segment_is_full(&self) -> bool {
        let at_block_end = self.next_seq().is_multiple_of(BLOCK_RECORDS);
        let used = self.live.end > PAGE as u64;
        used && at_block_end && self.next_seq() > 0 && self.live.end >= self.options.segment_bytes
    }

    /// Begins the next segment. The one before it is cut to its length only once its successor is
    /// durable: so a segment that is cut and has none shows that one is missing.
    fn roll(&mut self) -> Result<()> {
        let page = Page {
            extent: self.options.extent,
            id: self.id,
            segment: self.live.segment.saturating_add(1),
            first_seq: self.next_seq(),
            previous_length: self.live.end,
            previous_block: self.block,
            previous_head: self.head,
            schema: self.origin.schema,
            build: self.origin.build.clone(),
        };
        let next = begin_segment(self.disk.as_ref(), &self.dir, &page)?;
        self.live.trim()?;
        self.live = next;
        Ok(())
    }

    fn put(&mut self, frame: &mut Sealed, sync: bool) -> Result<()> {
        let length = frame.header().frame_length();
        self.live.make_room(length, sync)?;
        let place = Place { id: self.id, segment: self.live.segment, offset: self.live.end };
        let header = frame.header().length();
        let bytes = frame.bound(&place);
        self.head = bytes.get(..header).map(blake3::hash).map(Hash::from).unwrap_or_default();
        let live = &mut self.live;
        live.file.write_all_at(bytes, live.end).map_err(failed(Operation::Write, &live.path))?;
        if sync {
            live.file.sync().map_err(failed(Operation::Sync, &live.path))?;
        }
        live.end = live.end.saturating_add(length);
        if let Some(block) = frame.header().blocks.last() {
            self.block = *block;
        }
        self.last = Some(frame.header().clone());
        Ok(())
    }
}

/// What the close mark of a journal without frames repeats.
fn empty_header() -> Header {
    let chain = Chain::genesis();
    Header {
        close: true,
        body_length: 0,
        first_seq: 0,
        record_count: 0,
        event_count: 0,
        time_first: 0,
        time_last: 0,
        running: chain.running(),
        tree_root: chain.tree_root(),
        state_root: [0; 32],
        digests: Vec::new(),
        blocks: Vec::new(),
    }
}

impl Live {
    /// Zeroes ahead until a frame of this length fits with at least one zero behind it.
    fn make_room(&mut self, length: u64, sync: bool) -> Result<()> {
        let end = self.end.saturating_add(length);
        if end < self.size {
            return Ok(());
        }
        let size = (end / self.extent).saturating_add(1).saturating_mul(self.extent);
        let before = self.size;
        let grown = self.grow(size, sync);
        if grown.is_err() {
            // The frame was not begun; given back, the room may serve somebody else.
            let _ = self.file.set_size(before);
        }
        grown
    }

    /// Sets the length first, which happens in one piece, then writes the zeros, which reserves the
    /// room. Both are durable before a frame needs them.
    fn grow(&mut self, size: u64, sync: bool) -> Result<()> {
        self.file.set_size(size).map_err(failed(Operation::Resize, &self.path))?;
        write_zeros(self.file.as_ref(), self.size, size)
            .map_err(failed(Operation::Write, &self.path))?;
        if sync {
            self.file.sync().map_err(failed(Operation::Sync, &self.path))?;
        }
        self.size = size;
        Ok(())
    }

    /// Cuts the file to its last frame.
    fn trim(&mut self) -> Result<()> {
        self.file.set_size(self.end).map_err(failed(Operation::Resize, &self.path))?;
        self.file.sync().map_err(failed(Operation::Sync, &self.path))?;
        self.size = self.end;
        Ok(())
    }
}

/// Makes a segment under another name, and gives it its own once all of it is durable.
fn begin_segment(disk: &dyn Disk, dir: &Path, page: &Page) -> Result<Live> {
    let segments = dir.join(SEGMENTS);
    let path = segments.join(segment_name(page.segment));
    let unfinished = path.with_extension("tmp");
    let file =
        disk.open(&unfinished, Access::Create).map_err(failed(Operation::Create, &unfinished))?;
    let extent = u64::from(page.extent);
    let size = (PAGE as u64 / extent).saturating_add(1).saturating_mul(extent);
    file.set_size(size).map_err(failed(Operation::Resize, &unfinished))?;
    file.write_all_at(&page.encode(), 0).map_err(failed(Operation::Write, &unfinished))?;
    write_zeros(file.as_ref(), PAGE as u64, size).map_err(failed(Operation::Write, &unfinished))?;
    file.sync().map_err(failed(Operation::Sync, &unfinished))?;
    disk.rename(&unfinished, &path).map_err(failed(Operation::Rename, &unfinished))?;
    disk.sync_dir(&segments).map_err(failed(Operation::Sync, &segments))?;
    Ok(Live { file, path, segment: page.segment, extent, end: PAGE as u64, size })
}

fn lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn Send + Sync>> {
    let path = dir.join(LOCK);
    let lock = disk.lock(&path).map_err(failed(Operation::Lock, &path))?;
    lock.ok_or_else(|| JournalError::Locked { path: dir.to_path_buf() })
}

fn check(origin: &Origin, options: &Options) -> Result<()> {
    if options.extent == 0 {
        return Err(JournalError::Options("the extent must not be zero"));
    }
    if origin.build.len() > BUILD_BYTES || origin.build.contains('\0') {
        return Err(JournalError::Options("a build's name has at most 64 bytes and no zero"));
    }
    Ok(())
}
