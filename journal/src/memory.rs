//! A file system in memory that fails on demand and knows what a crash may leave.
//!
//! What was written is seen by everyone at once, but survives a [crash](MemoryDisk::crash) for certain
//! only if it was synced, the bytes by their file and the names by their directory.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Access, Disk, DiskFile};

/// What a disk writes in one piece.
pub const SECTOR: usize = 512;

/// An operation that may be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Any of the others but reading.
    Change,
    /// Reading from a file.
    Read,
    /// Making or opening a file for writing.
    Open,
    /// Writing to a file.
    Write,
    /// Syncing a file.
    Sync,
    /// Syncing a directory.
    SyncDir,
    /// Setting a file's length.
    Resize,
    /// Renaming or removing a file.
    Rename,
}

/// How it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// With an error, and nothing is done.
    Error(io::ErrorKind),
    /// With an error, after so many bytes are written. Elsewhere than in a write, nothing is done.
    Short(usize, io::ErrorKind),
    /// Silently: the answer is that it was done. Elsewhere than in a sync, it is done.
    Lie,
}

/// Something that a crash may or may not have left.
#[derive(Clone, Copy, Debug)]
pub enum Unsynced<'a> {
    /// A name that was given, changed or taken away.
    Name(&'a Path),
    /// A length that was set.
    Size(&'a Path),
    /// A sector, or a part of one, that was written: its place and its bytes.
    Sector(&'a Path, u64, &'a [u8]),
}

/// What a crash does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is there.
    Kept,
    /// It is not.
    Lost,
    /// It is there with other bytes. A name or a length is kept.
    Garbage,
}

/// A file system in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<FileState>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    dirs: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    faults: Vec<(Point, u64, Fault)>,
    changes: u64,
}

#[derive(Clone, Debug, Default)]
struct FileState {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Clone, Debug)]
enum Pending {
    Size(usize),
    Write { offset: usize, bytes: Vec<u8>, extends: bool },
}

impl MemoryDisk {
    /// Makes the operation number `nth` from here on, from zero, fail once.
    pub fn inject(&self, point: Point, nth: u64, fault: Fault) {
        self.state().faults.push((point, nth, fault));
    }

    /// How many operations that change something there have been.
    pub fn changes(&self) -> u64 {
        self.state().changes
    }

    /// The files, in the order of their names.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    /// The bytes of a file; `None` if there is none.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.state();
        let file = state.names.get(path.as_ref()).and_then(|file| state.files.get(*file));
        file.map(|file| file.bytes.clone())
    }

    /// Puts a file there, durably and past all faults.
    pub fn put(&self, path: impl AsRef<Path>, bytes: Vec<u8>) {
        let mut state = self.state();
        let file = state.files.len();
        state.files.push(FileState { durable: bytes.clone(), bytes, pending: Vec::new() });
        state.names.insert(path.as_ref().to_path_buf(), file);
        state.durable_names.insert(path.as_ref().to_path_buf(), file);
        for dir in path.as_ref().ancestors().skip(1) {
            state.dirs.insert(dir.to_path_buf());
        }
    }

    /// Changes the bytes of a file in place, durably and past all faults.
    pub fn edit(&self, path: impl AsRef<Path>, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let file = state.names.get(path.as_ref()).copied();
        if let Some(file) = file.and_then(|file| state.files.get_mut(file)) {
            change(&mut file.bytes);
            file.durable.clone_from(&file.bytes);
            file.pending.clear();
        }
    }

    /// Takes a file away, durably and past all faults.
    pub fn take(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let bytes = self.read(&path);
        let mut state = self.state();
        state.names.remove(path.as_ref());
        state.durable_names.remove(path.as_ref());
        bytes
    }

    /// What stands on the disk after a crash here, in which everything that was not synced has the
    /// fate that it is given. Locks and planned faults are gone.
    pub fn crash(&self, mut fate: impl FnMut(Unsynced<'_>) -> Fate) -> Self {
        let state = self.state();
        let after = Self::default();
        let mut left = after.state();
        left.dirs = state.dirs.clone();
        let paths: BTreeSet<_> = state.names.keys().chain(state.durable_names.keys()).collect();
        for path in paths {
            let (new, old) = (state.names.get(path), state.durable_names.get(path));
            let kept = new == old || fate(Unsynced::Name(path)) != Fate::Lost;
            let file = (if kept { new } else { old }).and_then(|file| state.files.get(*file));
            let Some(file) = file else { continue };
            let bytes = file.after_crash(path, &mut fate);
            let number = left.files.len();
            left.files.push(FileState { durable: bytes.clone(), bytes, pending: Vec::new() });
            left.names.insert(path.clone(), number);
            left.durable_names.insert(path.clone(), number);
        }
        drop(left);
        after
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, and the fault that an operation at `point` meets.
    fn at(&self, point: Point) -> (MutexGuard<'_, State>, Option<Fault>) {
        let mut state = self.state();
        state.changes += u64::from(point != Point::Read);
        let mut met = None;
        state.faults.retain_mut(|(planned, left, fault)| {
            let meant = *planned == point || *planned == Point::Change && point != Point::Read;
            if !meant {
                return true;
            }
            if *left == 0 {
                met = Some(*fault);
            }
            left.checked_sub(1).map(|less| *left = less).is_some()
        });
        (state, met)
    }

    /// The state, unless the operation fails outright.
    fn enter(&self, point: Point) -> io::Result<MutexGuard<'_, State>> {
        match self.at(point) {
            (_, Some(Fault::Error(kind) | Fault::Short(_, kind))) => Err(kind.into()),
            (state, _) => Ok(state),
        }
    }
}

impl FileState {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset.saturating_add(bytes.len());
        let extends = end > self.bytes.len();
        place(&mut self.bytes, bytes, offset);
        self.pending.push(Pending::Write { offset, bytes: bytes.to_vec(), extends });
    }

    fn sync(&mut self) {
        for pending in self.pending.drain(..) {
            match pending {
                Pending::Size(size) => self.durable.resize(size, 0),
                Pending::Write { offset, bytes, .. } => place(&mut self.durable, &bytes, offset),
            }
        }
    }

    fn after_crash(&self, path: &Path, fate: &mut impl FnMut(Unsynced<'_>) -> Fate) -> Vec<u8> {
        let mut left = self.durable.clone();
        for pending in &self.pending {
            match pending {
                Pending::Size(size) if fate(Unsynced::Size(path)) != Fate::Lost => {
                    left.resize(*size, 0);
                }
                Pending::Size(_) => {}
                Pending::Write { offset, bytes, extends } => {
                    for (at, piece) in sectors(*offset, bytes) {
                        let mut piece = piece.to_vec();
                        match fate(Unsynced::Sector(path, at as u64, &piece)) {
                            Fate::Lost => continue,
                            Fate::Garbage => {
                                piece.iter_mut().for_each(|byte| *byte = !*byte ^ 0x5a)
                            }
                            Fate::Kept => {}
                        }
                        // What was written behind a length that is lost is lost with it.
                        if !extends {
                            piece.truncate(left.len().saturating_sub(at));
                        }
                        place(&mut left, &piece, at);
                    }
                }
            }
        }
        left
    }
}

fn place(file: &mut Vec<u8>, bytes: &[u8], offset: usize) {
    let end = offset.saturating_add(bytes.len());
    if file.len() < end && !bytes.is_empty() {
        file.resize(end, 0);
    }
    if let Some(place) = file.get_mut(offset..end) {
        place.copy_from_slice(bytes);
    }
}

/// The pieces of a write that lie in different sectors.
fn sectors(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let first = (SECTOR - offset % SECTOR).min(bytes.len());
    let (head, rest) = bytes.split_at(first);
    let rest = rest.chunks(SECTOR).enumerate();
    let rest = rest.map(move |(index, piece)| (offset + first + index * SECTOR, piece));
    std::iter::once((offset, head)).chain(rest)
}

impl Disk for MemoryDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.enter(Point::Open)?;
        for dir in path.ancestors() {
            state.dirs.insert(dir.to_path_buf());
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        if !state.dirs.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = state.names.keys().filter(|name| name.parent() == Some(path));
        let names = inside.filter_map(|name| name.file_name());
        Ok(names.map(|name| name.to_string_lossy().into_owned()).collect())
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>> {
        let mut state = match access {
            Access::Read => self.state(),
            Access::Write | Access::Create => self.enter(Point::Open)?,
        };
        let file = match (access, state.names.get(path)) {
            (Access::Read | Access::Write, Some(file)) => *file,
            (Access::Read | Access::Write, None) => return Err(io::ErrorKind::NotFound.into()),
            (Access::Create, _) => {
                let file = state.files.len();
                state.files.push(FileState::default());
                state.names.insert(path.to_path_buf(), file);
                file
            }
        };
        Ok(Box::new(MemoryFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.enter(Point::Rename)?;
        let file = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_path_buf(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.enter(Point::Rename)?;
        state.names.remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let (mut state, fault) = self.at(Point::SyncDir);
        match fault {
            Some(Fault::Error(kind) | Fault::Short(_, kind)) => return Err(kind.into()),
            Some(Fault::Lie) => return Ok(()),
            None => {}
        }
        let inside = |name: &Path| name.parent() == Some(path);
        state.durable_names.retain(|name, _| !inside(name));
        let now: Vec<_> = state.names.iter().filter(|(name, _)| inside(name)).collect();
        let now: Vec<_> = now.into_iter().map(|(name, file)| (name.clone(), *file)).collect();
        state.durable_names.extend(now);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let taken = self.state().locks.insert(path.to_path_buf());
        let lock = MemoryLock { disk: self.clone(), path: path.to_path_buf() };
        Ok(taken.then(|| Box::new(lock) as Box<dyn Send + Sync>))
    }

    fn is_locked(&self, path: &Path) -> bool {
        self.state().locks.contains(path)
    }
}

struct MemoryLock {
    disk: MemoryDisk,
    path: PathBuf,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.disk.state().locks.remove(&self.path);
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    file: usize,
}

impl MemoryFile {
    fn with<T>(
        state: &mut State,
        file: usize,
        act: impl FnOnce(&mut FileState) -> T,
    ) -> io::Result<T> {
        state.files.get_mut(file).map(act).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl DiskFile for MemoryFile {
    fn size(&self) -> io::Result<u64> {
        Self::with(&mut self.disk.state(), self.file, |file| file.bytes.len() as u64)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.enter(Point::Read)?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = offset.saturating_add(bytes.len());
        Self::with(&mut state, self.file, |file| match file.bytes.get(offset..end) {
            Some(read) => {
                bytes.copy_from_slice(read);
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        })?
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (mut state, fault) = self.disk.at(Point::Write);
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let (length, answer) = match fault {
            Some(Fault::Error(kind)) => (0, Err(kind.into())),
            Some(Fault::Short(length, kind)) => (length, Err(kind.into())),
            Some(Fault::Lie) | None => (usize::MAX, Ok(())),
        };
        let written = bytes.get(..length.min(bytes.len())).unwrap_or_default();
        Self::with(&mut state, self.file, |file| file.write(written, offset))?;
        answer
    }

    fn sync(&self) -> io::Result<()> {
        let (mut state, fault) = self.disk.at(Point::Sync);
        match fault {
            Some(Fault::Error(kind) | Fault::Short(_, kind)) => Err(kind.into()),
            Some(Fault::Lie) => Ok(()),
            None => Self::with(&mut state, self.file, FileState::sync),
        }
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let mut state = self.disk.enter(Point::Resize)?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        Self::with(&mut state, self.file, |file| {
            file.bytes.resize(size, 0);
            file.pending.push(Pending::Size(size));
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_synced_survives_and_the_rest_has_its_fate() {
        let disk = MemoryDisk::default();
        let (dir, path) = (Path::new("d"), Path::new("d/f"));
        disk.create_dir(dir).unwrap();
        let file = disk.open(path, Access::Create).unwrap();
        file.write_all_at(&[1; 600], 0).unwrap();
        file.sync().unwrap();
        assert_eq!(disk.crash(|_| Fate::Lost).paths(), Vec::<PathBuf>::new());
        disk.sync_dir(dir).unwrap();
        file.write_all_at(&[2; 600], 0).unwrap();
        let read = |fate: Fate| disk.crash(|_| fate).read(path).unwrap();
        assert_eq!(read(Fate::Lost), [1; 600]);
        assert_eq!(read(Fate::Kept), [2; 600]);
        let first = disk.crash(|unsynced| match unsynced {
            Unsynced::Sector(_, 0, _) => Fate::Kept,
            _ => Fate::Lost,
        });
        assert_eq!(first.read(path).unwrap(), [[2; 512].as_slice(), &[1; 88]].concat());
    }

    #[test]
    fn the_nth_operation_fails_once() {
        let disk = MemoryDisk::default();
        let file = disk.open(Path::new("f"), Access::Create).unwrap();
        disk.inject(Point::Write, 1, Fault::Short(2, io::ErrorKind::StorageFull));
        file.write_all_at(b"abc", 0).unwrap();
        let refused = file.write_all_at(b"xyz", 0).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.read("f").unwrap(), b"xyc");
        file.write_all_at(b"def", 0).unwrap();
    }
}
