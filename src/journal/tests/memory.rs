//! A disk in memory that fails and loses power on demand.
//!
//! It keeps what programs see apart from what is durable, by sectors of 64 bytes so that small
//! frames tear too. As on Linux, a failed sync leaves sectors that look clean and are not durable.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::disk::{Disk, DiskFile};

const SECTOR: usize = 64;

/// What goes wrong next.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    /// That many syncs of files fail.
    pub(super) syncs: u32,
    /// That many syncs of the directory fail.
    pub(super) name_syncs: u32,
    /// That many deletions fail.
    pub(super) unlinks: u32,
    /// That many cuts fail.
    pub(super) truncates: u32,
    /// After that many more bytes the disk is full.
    pub(super) room: Option<usize>,
    /// Syncs of files say that they worked and do nothing.
    pub(super) skip_syncs: bool,
    /// Syncs of the directory say that they worked and do nothing.
    pub(super) skip_name_syncs: bool,
}

#[derive(Default)]
struct File {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that the next sync makes durable.
    dirty: BTreeSet<usize>,
}

#[derive(Default)]
struct State {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    faults: Faults,
    /// Handles of an earlier life do nothing.
    life: u64,
}

/// The disk; clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Memory {
    state: Arc<Mutex<State>>,
}

struct Handle {
    state: Arc<Mutex<State>>,
    file: usize,
    at: Mutex<usize>,
    life: u64,
}

impl Memory {
    pub(super) fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state.lock().faults);
    }

    /// Loses power: of what is not durable, `chance` decides piece by piece what survives.
    pub(super) fn crash(&self, mut chance: impl FnMut() -> bool) {
        let mut state = self.state.lock();
        state.life += 1;
        state.faults = Faults {
            skip_syncs: state.faults.skip_syncs,
            skip_name_syncs: state.faults.skip_name_syncs,
            ..Faults::default()
        };
        let mut names = state.durable_names.clone();
        let seen = state.names.clone();
        names.retain(|name, _| seen.contains_key(name) || chance());
        for (name, file) in seen {
            if !names.contains_key(&name) && chance() {
                names.insert(name, file);
            }
        }
        state.names.clone_from(&names);
        state.durable_names = names;
        for file in &mut state.files {
            let length = if chance() { file.seen.len() } else { file.durable.len() };
            let mut after = file.durable.clone();
            after.resize(length, 0);
            for (sector, bytes) in file.seen.chunks(SECTOR).enumerate() {
                let start = sector * SECTOR;
                let Some(target) = after.get_mut(start..) else { break };
                let same = file.durable.get(start..start + bytes.len()) == Some(bytes);
                if !same && chance() {
                    target.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
                }
            }
            file.seen.clone_from(&after);
            file.durable = after;
            file.dirty.clear();
        }
    }

    /// Flips bits of a durable byte.
    pub(super) fn damage(&self, name: &str, at: usize) {
        let mut state = self.state.lock();
        let file = state.names[name];
        let file = &mut state.files[file];
        file.seen[at] ^= 0xff;
        file.durable[at] ^= 0xff;
    }

    /// The content of a file.
    pub(super) fn content(&self, name: &str) -> Vec<u8> {
        let state = self.state.lock();
        state.files[state.names[name]].seen.clone()
    }

    /// The names of all files.
    pub(super) fn names(&self) -> Vec<String> {
        self.state.lock().names.keys().cloned().collect()
    }

    /// Deletes a file, durably.
    pub(super) fn remove(&self, name: &str) {
        let mut state = self.state.lock();
        state.names.remove(name);
        state.durable_names.remove(name);
    }

    /// Puts a file there, durably.
    pub(super) fn put(&self, name: &str, content: &[u8]) {
        let mut state = self.state.lock();
        let file = state.files.len();
        let (seen, durable) = (content.to_vec(), content.to_vec());
        state.files.push(File { seen, durable, dirty: BTreeSet::new() });
        state.names.insert(name.to_owned(), file);
        state.durable_names.insert(name.to_owned(), file);
    }

    fn handle(&self, state: &State, file: usize) -> Box<dyn DiskFile> {
        let at = Mutex::new(0);
        Box::new(Handle { state: Arc::clone(&self.state), file, at, life: state.life })
    }
}

fn fails(times: &mut u32) -> io::Result<()> {
    if *times == 0 {
        return Ok(());
    }
    *times -= 1;
    Err(io::Error::other("injected"))
}

impl Disk for Memory {
    fn place(&self) -> &Path {
        Path::new("memory")
    }

    fn create_new(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state.lock();
        if state.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if state.faults.room == Some(0) {
            return Err(ErrorKind::StorageFull.into());
        }
        let file = state.files.len();
        state.files.push(File::default());
        state.names.insert(name.to_owned(), file);
        Ok(self.handle(&state, file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let state = self.state.lock();
        let file = *state.names.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(self.handle(&state, file))
    }

    fn edit(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.open(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state.lock().names.keys().cloned().collect())
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        fails(&mut state.faults.unlinks)?;
        state.names.remove(name).map(|_| ()).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        fails(&mut state.faults.name_syncs)?;
        if !state.faults.skip_name_syncs {
            state.durable_names = state.names.clone();
        }
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.state.lock().faults.room.map_or(u64::MAX, |room| room as u64))
    }
}

impl Handle {
    fn with<T>(
        &self,
        change: impl FnOnce(&mut File, &mut Faults) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state.lock();
        assert_eq!(state.life, self.life, "a file of an earlier life is used");
        let State { files, faults, .. } = &mut *state;
        change(&mut files[self.file], faults)
    }
}

/// Writes as much as there is room for, then fails.
fn write(file: &mut File, faults: &mut Faults, bytes: &[u8], at: usize) -> io::Result<()> {
    let grown = (at + bytes.len()).saturating_sub(file.seen.len()).min(bytes.len());
    let short = faults.room.map_or(0, |room| grown.saturating_sub(room));
    let bytes = &bytes[..bytes.len() - short];
    if let Some(room) = &mut faults.room {
        *room -= grown - short;
    }
    if !bytes.is_empty() {
        let end = at + bytes.len();
        if file.seen.len() < end {
            file.seen.resize(end, 0);
        }
        file.seen[at..end].copy_from_slice(bytes);
        file.dirty.extend(at / SECTOR..=(end - 1) / SECTOR);
    }
    if short == 0 { Ok(()) } else { Err(ErrorKind::StorageFull.into()) }
}

impl DiskFile for Handle {
    fn append(&self, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut at = self.at.lock();
        for slice in slices {
            self.with(|file, faults| write(file, faults, slice, *at))?;
            *at += slice.len();
        }
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|file, faults| write(file, faults, bytes, usize::try_from(offset).unwrap()))
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|file, _| {
            let rest = file.seen.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
            let read = rest.len().min(into.len());
            into[..read].copy_from_slice(&rest[..read]);
            Ok(read)
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|file, faults| {
            let dirty = std::mem::take(&mut file.dirty);
            fails(&mut faults.syncs)?;
            if faults.skip_syncs {
                return Ok(());
            }
            file.durable.resize(file.seen.len(), 0);
            for sector in dirty {
                let end = file.seen.len().min((sector + 1) * SECTOR);
                let range = (sector * SECTOR).min(end)..end;
                file.durable[range.clone()].copy_from_slice(&file.seen[range]);
            }
            Ok(())
        })
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.with(|file, faults| {
            fails(&mut faults.truncates)?;
            file.seen.truncate(usize::try_from(bytes).unwrap());
            Ok(())
        })
    }

    fn bytes(&self) -> io::Result<u64> {
        self.with(|file, _| Ok(file.seen.len() as u64))
    }
}
