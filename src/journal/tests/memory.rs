//! A disk in memory that fails and loses power on demand.
//!
//! It keeps what programs see apart from what is durable, by sectors, so that writes tear and come
//! out of order. As on Linux, a failed sync leaves sectors that look clean and are not durable.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::cursor;
use super::super::disk::{Disk, DiskFile, Space};

/// What goes wrong next.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    /// That many syncs of files fail.
    pub(super) syncs: u32,
    /// That many syncs of files find the disk full.
    pub(super) full_syncs: u32,
    /// That many syncs of the directory fail.
    pub(super) name_syncs: u32,
    /// That many deletions fail.
    pub(super) unlinks: u32,
    /// That many changes of a length fail.
    pub(super) resizes: u32,
    /// That many attempts to create a file find the disk full.
    pub(super) full_creates: u32,
    /// After that many more bytes the disk is full.
    pub(super) room: Option<usize>,
    /// Its size; without one it is endless.
    pub(super) total: Option<u64>,
    /// Nothing can be changed.
    pub(super) read_only: bool,
    /// Nothing can be allocated in advance.
    pub(super) no_allocation: bool,
    /// After that many more changes the power is gone.
    pub(super) power: Option<u32>,
    /// A sync that says that it worked and does nothing.
    pub(super) skipped: Option<Sync>,
}

/// The syncs that the journal relies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    Segment,
    Directory,
    Cursor,
}

/// A segment that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unlinked {
    pub(super) name: String,
    /// The segment behind it, if there was one.
    pub(super) next: Option<String>,
    /// The lowest durable cursor at that moment.
    pub(super) cursor: Option<u64>,
}

#[derive(Default)]
struct File {
    name: String,
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that the next sync makes durable.
    dirty: BTreeSet<usize>,
    /// Bytes that the disk counts for it.
    held: usize,
}

struct State {
    sector: usize,
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    faults: Faults,
    unlinked: Vec<Unlinked>,
    /// Handles of an earlier life do nothing.
    life: u64,
}

/// The disk; clones are the same one.
#[derive(Clone)]
pub(super) struct Memory {
    state: Arc<Mutex<State>>,
}

struct Handle {
    state: Arc<Mutex<State>>,
    file: usize,
    at: Mutex<usize>,
    life: u64,
}

/// How names of segments end.
const SEGMENT: &str = ".tgj";
/// How names of cursors begin.
const CURSOR: &str = "cursor-";

impl Default for Memory {
    /// Sectors of 64 bytes, so that small frames tear too.
    fn default() -> Self {
        Self::with_sectors(64)
    }
}

impl Memory {
    pub(super) fn with_sectors(sector: usize) -> Self {
        let state = State {
            sector,
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            faults: Faults::default(),
            unlinked: Vec::new(),
            life: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    pub(super) fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state.lock().faults);
    }

    /// Loses power: of what is not durable, `chance` decides piece by piece what survives.
    pub(super) fn crash(&self, mut chance: impl FnMut() -> bool) {
        let mut state = self.state.lock();
        state.life += 1;
        let skipped = state.faults.skipped;
        state.faults = Faults { skipped, ..Faults::default() };
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
        let sector = state.sector;
        for file in &mut state.files {
            let length = if chance() { file.seen.len() } else { file.durable.len() };
            let mut after = file.durable.clone();
            after.resize(length, 0);
            for (at, bytes) in file.seen.chunks(sector).enumerate() {
                let start = at * sector;
                let Some(target) = after.get_mut(start..) else { break };
                let same = file.durable.get(start..start + bytes.len()) == Some(bytes);
                if !same && chance() {
                    target.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
                }
            }
            file.held = after.len();
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

    /// Bytes that the disk counts for a file.
    pub(super) fn held(&self, name: &str) -> usize {
        let state = self.state.lock();
        state.files[state.names[name]].held
    }

    /// The names of all files.
    pub(super) fn names(&self) -> Vec<String> {
        self.state.lock().names.keys().cloned().collect()
    }

    /// Names whose creation or deletion is not durable.
    pub(super) fn unsynced_names(&self) -> Vec<String> {
        let state = self.state.lock();
        let both = [(&state.names, &state.durable_names), (&state.durable_names, &state.names)];
        let only = |(one, other): (&BTreeMap<String, usize>, &BTreeMap<String, usize>)| {
            let new = one.keys().filter(|name| !other.contains_key(*name));
            new.cloned().collect::<Vec<_>>()
        };
        both.map(only).concat()
    }

    /// Whether it leaves syncs out.
    pub(super) fn is_careless(&self) -> bool {
        self.state.lock().faults.skipped.is_some()
    }

    /// Segments that were deleted since the last call, in order.
    pub(super) fn take_unlinked(&self) -> Vec<Unlinked> {
        std::mem::take(&mut self.state.lock().unlinked)
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
        let held = seen.len();
        let (name, dirty) = (name.to_owned(), BTreeSet::new());
        state.files.push(File { name: name.clone(), seen, durable, dirty, held });
        state.names.insert(name.clone(), file);
        state.durable_names.insert(name, file);
    }

    fn handle(&self, state: &State, file: usize) -> Box<dyn DiskFile> {
        let at = Mutex::new(0);
        Box::new(Handle { state: Arc::clone(&self.state), file, at, life: state.life })
    }
}

fn fails(times: &mut u32, error: impl Into<io::Error>) -> io::Result<()> {
    if *times == 0 {
        return Ok(());
    }
    *times -= 1;
    Err(error.into())
}

fn injected() -> io::Error {
    io::Error::other("injected")
}

impl Faults {
    /// Whether something can be changed at all.
    fn change(&mut self) -> io::Result<()> {
        match &mut self.power {
            Some(0) => return Err(io::Error::other("the power is gone")),
            Some(left) => *left -= 1,
            None => {}
        }
        if self.read_only { Err(ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) }
    }

    /// Takes room for what grows, or none of it.
    fn take(&mut self, bytes: usize) -> io::Result<()> {
        match &mut self.room {
            Some(room) if *room < bytes => Err(ErrorKind::StorageFull.into()),
            Some(room) => {
                *room -= bytes;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn give(&mut self, bytes: usize) {
        if let Some(room) = &mut self.room {
            *room += bytes;
        }
    }
}

impl State {
    /// The lowest position that the durable cursors name.
    fn durable_cursor(&self) -> Option<u64> {
        let cursors = self.durable_names.iter().filter(|(name, _)| name.starts_with(CURSOR));
        let newest = |file: &usize| cursor::newest(&self.files[*file].durable).ok().flatten();
        cursors.filter_map(|(_, file)| newest(file)).map(|saved| saved.next_seq).min()
    }
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
        state.faults.change()?;
        fails(&mut state.faults.full_creates, ErrorKind::StorageFull)?;
        if state.faults.room == Some(0) {
            return Err(ErrorKind::StorageFull.into());
        }
        let file = state.files.len();
        state.files.push(File { name: name.to_owned(), ..File::default() });
        state.names.insert(name.to_owned(), file);
        Ok(self.handle(&state, file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let state = self.state.lock();
        let file = *state.names.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(self.handle(&state, file))
    }

    fn edit(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.open(name)?;
        if self.state.lock().faults.read_only {
            return Err(ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(file)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state.lock().names.keys().cloned().collect())
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        let file = *state.names.get(name).ok_or(ErrorKind::NotFound)?;
        state.faults.change()?;
        fails(&mut state.faults.unlinks, injected())?;
        state.names.remove(name);
        let held = std::mem::take(&mut state.files[file].held);
        state.faults.give(held);
        if name.ends_with(SEGMENT) {
            let mut behind = state.names.range(name.to_owned()..).map(|(name, _)| name);
            let next = behind.find(|name| name.ends_with(SEGMENT)).cloned();
            let cursor = state.durable_cursor();
            state.unlinked.push(Unlinked { name: name.to_owned(), next, cursor });
        }
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.faults.change()?;
        fails(&mut state.faults.name_syncs, injected())?;
        if state.faults.skipped != Some(Sync::Directory) {
            state.durable_names = state.names.clone();
        }
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        let Faults { room, total, .. } = self.state.lock().faults.clone();
        let free_bytes = room.map_or(u64::MAX, |room| room as u64);
        Ok(Space { free_bytes, total_bytes: total.unwrap_or(u64::MAX) })
    }
}

impl Handle {
    fn with<T>(
        &self,
        change: impl FnOnce(&mut File, &mut Faults, usize) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state.lock();
        assert_eq!(state.life, self.life, "a file of an earlier life is used");
        let State { files, faults, sector, .. } = &mut *state;
        change(&mut files[self.file], faults, *sector)
    }

    /// Writes as much as there is room for, then fails.
    fn write(&self, bytes: &[u8], at: usize) -> io::Result<()> {
        self.with(|file, faults, sector| {
            faults.change()?;
            let end = at + bytes.len();
            let grown = end.saturating_sub(file.held).min(bytes.len());
            let short = faults.room.map_or(0, |room| grown.saturating_sub(room));
            faults.take(grown - short)?;
            let bytes = &bytes[..bytes.len() - short];
            if !bytes.is_empty() {
                let end = at + bytes.len();
                if file.seen.len() < end {
                    file.seen.resize(end, 0);
                }
                file.held = file.held.max(end);
                file.seen[at..end].copy_from_slice(bytes);
                file.dirty.extend(at / sector..=(end - 1) / sector);
            }
            if short == 0 { Ok(()) } else { Err(ErrorKind::StorageFull.into()) }
        })
    }
}

impl DiskFile for Handle {
    fn append(&self, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut at = self.at.lock();
        for slice in slices {
            self.write(slice, *at)?;
            *at += slice.len();
        }
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write(bytes, usize::try_from(offset).unwrap())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|file, _, _| {
            let rest = file.seen.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
            let read = rest.len().min(into.len());
            into[..read].copy_from_slice(&rest[..read]);
            Ok(read)
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|file, faults, sector| {
            faults.change()?;
            let kind = if file.name.starts_with(CURSOR) { Sync::Cursor } else { Sync::Segment };
            if faults.skipped == Some(kind) {
                return Ok(());
            }
            let dirty = std::mem::take(&mut file.dirty);
            fails(&mut faults.syncs, injected())?;
            fails(&mut faults.full_syncs, ErrorKind::StorageFull)?;
            file.durable.resize(file.seen.len(), 0);
            for at in dirty {
                let end = file.seen.len().min((at + 1) * sector);
                let range = (at * sector).min(end)..end;
                file.durable[range.clone()].copy_from_slice(&file.seen[range]);
            }
            Ok(())
        })
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.with(|file, faults, _| {
            faults.change()?;
            if faults.no_allocation {
                return Err(ErrorKind::Unsupported.into());
            }
            let bytes = usize::try_from(bytes).unwrap();
            faults.take(bytes.saturating_sub(file.held))?;
            file.held = file.held.max(bytes);
            Ok(())
        })
    }

    fn resize(&self, bytes: u64) -> io::Result<()> {
        self.with(|file, faults, _| {
            faults.change()?;
            fails(&mut faults.resizes, injected())?;
            let bytes = usize::try_from(bytes).unwrap();
            file.seen.resize(bytes, 0);
            faults.give(file.held.saturating_sub(bytes));
            file.held = file.held.min(bytes);
            Ok(())
        })
    }

    fn bytes(&self) -> io::Result<u64> {
        self.with(|file, _, _| Ok(file.seen.len() as u64))
    }
}
