//! Snapshots: archives of the state that spare a replay its way from the beginning.
//!
//! An archive is mapped into memory, hashed against its manifest, validated, and held against the
//! journal that it claims to be of, before a row is read. One that does not match is passed over:
//! the journal alone is the truth, and a snapshot can always be made again from it.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use memmap2::Mmap;
use rkyv::rancor;
use serde::{Deserialize, Serialize};
use tensorforge_engine::units::{JournalId, Seq};
use tensorforge_engine::{Root, State};

use crate::disk::open_to_read;
use crate::format::block::Hash;
use crate::reading::journal::Journal;

/// The version of the archive's layout.
pub const SNAPSHOT_VERSION: u32 = 1;

/// What a snapshot is bound to. It is used only where all of this is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The journal.
    pub journal: JournalId,
    /// How many records it holds: the first one that it does not.
    pub records: u64,
    /// The hash of the last complete block before it; snapshots are taken at the ends of blocks.
    pub block: Hash,
    /// The root of the state.
    pub root: Root,
    /// The fingerprint of the schema.
    pub schema: Hash,
    /// The build of the engine that folded it.
    pub build: String,
}

/// A table in an archive: rows in the order of their keys.
#[derive(rkyv::Archive, rkyv::Serialize)]
struct TableImage {
    number: u8,
    keys: Vec<u32>,
    writers: Vec<u64>,
    /// Where each row's image ends.
    ends: Vec<u64>,
    images: Vec<u8>,
}

#[derive(rkyv::Archive, rkyv::Serialize)]
struct Archive {
    version: u32,
    journal: [u8; 16],
    records: u64,
    block: Hash,
    root: Root,
    schema: Hash,
    build: String,
    tables: Vec<TableImage>,
}

/// What stands outside of an archive and vouches for its bytes.
#[derive(Serialize, Deserialize)]
struct Manifest {
    tensorforge_snapshot: u32,
    records: u64,
    bytes: u64,
    blake3: String,
    root: String,
    build: String,
}

/// Why a snapshot was passed over.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The manifest is not one.
    #[error("its manifest cannot be read: {0}")]
    Manifest(#[from] serde_json::Error),
    /// The bytes are not those that the manifest vouches for.
    #[error("its bytes are not those of its manifest")]
    Hash,
    /// The bytes are not an archive.
    #[error("it is not a valid archive: {0}")]
    Archive(rancor::Error),
    /// The archive is of another layout, journal, schema or build, or of another place in the journal.
    #[error("it is bound to another {0}")]
    Binding(&'static str),
    /// The columns of a table do not fit together.
    #[error("the columns of a table of it do not fit together")]
    Shape,
    /// A row is not one.
    #[error("a row of it cannot be read: {0}")]
    Row(#[from] tensorforge_engine::table::Breach),
    /// The rows do not have the root that they are bound to.
    #[error("its rows do not have its root")]
    Root,
}

/// A snapshot in memory: the archive and what vouches for it.
pub struct Unwritten {
    records: u64,
    archive: rkyv::util::AlignedVec,
    manifest: Vec<u8>,
}

impl Unwritten {
    /// The archive of `state`.
    pub fn of(state: &State, binding: &Binding) -> io::Result<Self> {
        Self::sealed(&archive(state, binding))
    }

    fn sealed(archive: &Archive) -> io::Result<Self> {
        let bytes = rkyv::to_bytes::<rancor::Error>(archive).map_err(io::Error::other)?;
        let manifest = Manifest {
            tensorforge_snapshot: SNAPSHOT_VERSION,
            records: archive.records,
            bytes: bytes.len() as u64,
            blake3: blake3::hash(&bytes).to_hex().to_string(),
            root: hex(&archive.root),
            build: archive.build.clone(),
        };
        let mut manifest = serde_json::to_vec(&manifest)?;
        manifest.push(b'\n');
        Ok(Self { records: archive.records, archive: bytes, manifest })
    }

    /// Writes it into `folder`, durably: the archive first, then its manifest.
    pub fn write(&self, folder: &Path) -> io::Result<PathBuf> {
        fs::create_dir_all(folder)?;
        let path = archive_path(folder, self.records);
        put(&path, &self.archive)?;
        put(&manifest_path(&path), &self.manifest)?;
        File::open(folder)?.sync_all()?;
        Ok(path)
    }
}

/// A snapshot that could not be written. The journal lacks nothing for it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot write the snapshot of {records} records into {}: {source}", folder.display())]
pub struct Missed {
    /// How many records it was to hold.
    pub records: u64,
    /// Where it was to stand.
    pub folder: PathBuf,
    /// What the system said.
    pub source: Arc<io::Error>,
}

impl Missed {
    /// What to do about it.
    pub fn help(&self) -> String {
        let journal = self.folder.parent().unwrap_or(&self.folder).display();
        let records = self.records;
        format!(
            "`tensorforge snapshot take {journal} --at {records}` takes it when the folder can be written"
        )
    }
}

/// Writes one snapshot after the other beside whatever its owner does. Who drops it waits for the last.
pub(crate) struct Shelf {
    folder: PathBuf,
    writing: Option<(u64, JoinHandle<io::Result<PathBuf>>)>,
    missed: Vec<Missed>,
}

impl Shelf {
    pub(crate) fn new(journal: &Path) -> Self {
        Self { folder: journal.join(SNAPSHOTS), writing: None, missed: Vec::new() }
    }

    /// Takes a snapshot, once the one before it is written.
    pub(crate) fn put(&mut self, state: &State, binding: &Binding) {
        self.wait();
        let (records, folder) = (binding.records, self.folder.clone());
        let writing = Unwritten::of(state, binding).and_then(|unwritten| {
            let thread = thread::Builder::new().name("tensorforge-snapshot".into());
            thread.spawn(move || unwritten.write(&folder))
        });
        match writing {
            Ok(writing) => self.writing = Some((records, writing)),
            Err(source) => self.miss(records, source),
        }
    }

    /// Waits for the last one; those that could not be written.
    pub(crate) fn missed(&mut self) -> Vec<Missed> {
        self.wait();
        mem::take(&mut self.missed)
    }

    fn wait(&mut self) {
        let Some((records, writing)) = self.writing.take() else { return };
        let panicked = |_| Err(io::Error::other("the thread that writes it has panicked"));
        if let Err(source) = writing.join().unwrap_or_else(panicked) {
            self.miss(records, source);
        }
    }

    fn miss(&mut self, records: u64, source: io::Error) {
        let folder = self.folder.clone();
        self.missed.push(Missed { records, folder, source: Arc::new(source) });
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.wait();
    }
}

/// The directory of the snapshots, inside of a journal's.
pub const SNAPSHOTS: &str = "snapshots";

/// The archives of a journal by the number of records that they hold, fewest first.
pub fn list(journal: &Journal) -> Vec<(u64, PathBuf)> {
    let Ok(entries) = fs::read_dir(journal.dir().join(SNAPSHOTS)) else { return Vec::new() };
    let mut found: Vec<(u64, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let records = path.file_stem()?.to_str()?.parse().ok()?;
            // One name for one snapshot.
            (path == self::path(journal, records)).then_some((records, path))
        })
        .collect();
    found.sort();
    found
}

/// Where the snapshot of the first `records` records of a journal stands, if there is one.
pub fn path(journal: &Journal, records: u64) -> PathBuf {
    archive_path(&journal.dir().join(SNAPSHOTS), records)
}

/// Whether the manifest of a snapshot claims what `binding` asks for, and the archive is as long as it
/// says; its bytes are not looked at.
pub fn claims(path: &Path, binding: &Binding) -> bool {
    let manifest = read_file(&manifest_path(path)).ok();
    let manifest = manifest.and_then(|text| serde_json::from_slice::<Manifest>(&text).ok());
    manifest.is_some_and(|manifest| {
        manifest.tensorforge_snapshot == SNAPSHOT_VERSION
            && manifest.records == binding.records
            && manifest.root == hex(&binding.root)
            && manifest.build == binding.build
            && path.metadata().is_ok_and(|metadata| metadata.len() == manifest.bytes)
    })
}

/// Reads a snapshot back into a state, if it is whole and bound to exactly `binding`.
pub fn read(path: &Path, binding: &Binding) -> Result<State, Unusable> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        |source| Unusable::Io { path, source }
    };
    let manifest_path = manifest_path(path);
    let manifest: Manifest =
        serde_json::from_slice(&read_file(&manifest_path).map_err(failed(&manifest_path))?)?;
    let file = open_to_read(path).map_err(failed(path))?;
    let bytes = map(&file).map_err(failed(path))?;
    if manifest.bytes != bytes.len() as u64
        || manifest.blake3 != blake3::hash(&bytes).to_hex().as_str()
    {
        return Err(Unusable::Hash);
    }
    let archive =
        rkyv::access::<ArchivedArchive, rancor::Error>(&bytes).map_err(Unusable::Archive)?;
    check_binding(archive, binding)?;
    if !archive.tables.iter().all(is_whole) {
        return Err(Unusable::Shape);
    }
    let rows = archive.tables.iter().flat_map(table_rows);
    let state = State::restore(binding.journal, Seq(binding.records.saturating_sub(1)), rows)?;
    if state.root() != binding.root {
        return Err(Unusable::Root);
    }
    Ok(state)
}

fn archive(state: &State, binding: &Binding) -> Archive {
    let tables = (0u8..).zip(state.tables.all()).map(|(number, table)| {
        let mut image = TableImage {
            number,
            keys: Vec::new(),
            writers: Vec::new(),
            ends: Vec::new(),
            images: Vec::new(),
        };
        table.export(&mut |key, writer, bytes| {
            image.keys.push(key);
            image.writers.push(writer.0);
            image.images.extend_from_slice(bytes);
            image.ends.push(image.images.len() as u64);
        });
        image
    });
    Archive {
        version: SNAPSHOT_VERSION,
        journal: binding.journal.0,
        records: binding.records,
        block: binding.block,
        root: binding.root,
        schema: binding.schema,
        build: binding.build.clone(),
        tables: tables.collect(),
    }
}

fn check_binding(archive: &ArchivedArchive, binding: &Binding) -> Result<(), Unusable> {
    let held = [
        (archive.version.to_native() == SNAPSHOT_VERSION, "layout"),
        (archive.journal == binding.journal.0, "journal"),
        (archive.records.to_native() == binding.records, "place"),
        (archive.schema == binding.schema, "schema"),
        (archive.build.as_str() == binding.build, "build of the engine"),
        (archive.block == binding.block, "history"),
        (archive.root == binding.root, "state root"),
    ];
    match held.iter().find(|(same, _)| !same) {
        Some((_, what)) => Err(Unusable::Binding(what)),
        None => Ok(()),
    }
}

/// Whether every row of a table has a key, a writer and an image, and no byte is left over.
fn is_whole(table: &ArchivedTableImage) -> bool {
    let (keys, images) = (table.keys.len(), table.images.len() as u64);
    let last = table.ends.last().map_or(0, |end| end.to_native());
    table.writers.len() == keys && table.ends.len() == keys && last == images
}

/// The rows of one table as number, key, last writer and image.
fn table_rows(table: &ArchivedTableImage) -> impl Iterator<Item = (u8, u32, Seq, &[u8])> {
    let mut start = 0;
    let places = table.keys.iter().zip(table.writers.iter()).zip(table.ends.iter());
    places.map(move |((key, writer), end)| {
        let end = usize::try_from(end.to_native()).unwrap_or(usize::MAX);
        // Ends that go backwards or beyond leave an empty image, which no row has.
        let image = table.images.get(start..end).unwrap_or_default();
        start = end;
        (table.number, key.to_native(), Seq(writer.to_native()), image)
    })
}

#[expect(unsafe_code, reason = "mapping a file is unsafe because another process may cut it")]
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: snapshots are written under another name, renamed and never written again; the bytes
    // are hashed before they are believed. A process that cuts the file while it is read kills this
    // one by a signal, and with it nothing that is durable.
    unsafe { Mmap::map(file) }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_to_read(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    // Whatever has this name is what was left of another try, and is not opened.
    drop(fs::remove_file(&unfinished));
    let mut file = File::create_new(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}

fn archive_path(folder: &Path, records: u64) -> PathBuf {
    folder.join(format!("{records:020}.snap"))
}

fn manifest_path(archive: &Path) -> PathBuf {
    archive.with_extension("json")
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a table of a small archive is changed by, and why the archive is then passed over.
    #[test]
    fn columns_have_to_fit_together() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::genesis(JournalId([3; 16]));
        let binding = Binding {
            journal: state.journal(),
            records: 1_024,
            block: [1; 32],
            root: state.root(),
            schema: [2; 32],
            build: "b".into(),
        };
        let check = |change: &dyn Fn(&mut TableImage), expected: Option<&str>| {
            let mut archive = archive(&state, &binding);
            change(&mut archive.tables[0]);
            let path = Unwritten::sealed(&archive).unwrap().write(folder.path()).unwrap();
            let found = read(&path, &binding).err().map(|unusable| unusable.to_string());
            assert_eq!(found.as_deref(), expected);
        };
        let torn = Some("the columns of a table of it do not fit together");
        check(&|_| (), None);
        check(&|table| table.writers.clear(), torn);
        check(&|table| table.writers.push(0), torn);
        check(&|table| table.ends.clear(), torn);
        check(&|table| table.images.push(0), torn);
        check(&|table| table.keys.clear(), torn);
        let beyond = "a row of it cannot be read: record 0: table `control` of workflow, row 7: it lies beyond the table's bound";
        check(&|table| table.keys[0] = 7, Some(beyond));
    }
}
