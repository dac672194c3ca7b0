//! The files that may still be appended to, by lane and hour, and the lines that wait for them.
//!
//! In: runs of whole lines. Out: one append for each file that has some. Memory is bounded by
//! `buffer_bytes_max` and one batch; the table by `files_max` and the rows of one batch.
//! Must never hold lines of a file that a checkpoint has finished.

use std::io;
use std::path::{Path, PathBuf};

use rustc_hash::{FxHashMap, FxHashSet};

use super::lanes::Lanes;
use super::meters::Meters;
use super::part::{Landed, Part};
use super::{Error, Settings, disk, partition};

/// Tries to write lines into a file that is removed each time.
const MAKE_TRIES: u32 = 3;

/// See the file's header.
pub(super) struct Parts {
    pub(super) root: PathBuf,
    pub(super) limits: Settings,
    pub(super) list: Vec<Part>,
    index: FxHashMap<(u32, i64), u32>,
    /// By lane: the hour asked for last, and its part.
    recent: Vec<(i64, u32)>,
    /// Parts with lines in memory.
    filled: Vec<u32>,
    /// Bytes of those lines.
    buffered: usize,
    /// Whether a part has more lines in memory than it should.
    crowded: bool,
    /// Empty buffers, and the bytes that they hold.
    spare: Vec<Vec<u8>>,
    spare_bytes: usize,
    /// Handles that are open.
    pub(super) open: usize,
    /// Whether a handle was closed over bytes that are not synced.
    pub(super) closed_dirty: bool,
    /// Files that were left since the last checkpoint and are not synced.
    pub(super) left: Vec<PathBuf>,
    /// Folders with new entries since the last checkpoint.
    pub(super) folders: FxHashSet<PathBuf>,
    /// The newest durable checkpoint; files made now belong to the next.
    pub(super) generation: u64,
    pub(super) number: u64,
    flushes: u64,
    pub(super) meters: Meters,
}

impl Parts {
    pub(super) fn new(root: &Path, limits: &Settings, generation: u64) -> Self {
        Self {
            root: root.to_owned(),
            limits: limits.clone(),
            list: Vec::new(),
            index: FxHashMap::default(),
            recent: Vec::new(),
            filled: Vec::new(),
            buffered: 0,
            crowded: false,
            spare: Vec::new(),
            spare_bytes: 0,
            open: 0,
            closed_dirty: false,
            left: Vec::new(),
            folders: FxHashSet::default(),
            generation,
            number: 0,
            flushes: 0,
            meters: Meters::new(),
        }
    }

    /// The part of a lane and hour.
    pub(super) fn find(&mut self, lane: u32, hour: i64, lanes: &Lanes) -> u32 {
        match self.recent.get(lane as usize) {
            Some((recent, part)) if *recent == hour => *part,
            _ => self.look_up(lane, hour, lanes),
        }
    }

    /// Adds whole lines to a part.
    pub(super) fn push(&mut self, part: u32, lines: &[u8]) {
        let Some(found) = self.list.get_mut(part as usize) else { return };
        if found.buffer.is_empty() {
            if let Some(buffer) = self.spare.pop() {
                self.spare_bytes -= buffer.capacity();
                found.buffer = buffer;
            }
            self.filled.push(part);
        }
        found.buffer.extend_from_slice(lines);
        self.buffered += lines.len();
        self.crowded |= found.buffer.len() >= self.limits.write_bytes;
    }

    /// Writes what should not wait, so that there is room for this many bytes.
    pub(super) fn make_room(&mut self, bytes: usize) -> Result<(), Error> {
        if self.buffered.saturating_add(bytes) > self.limits.buffer_bytes_max {
            self.flush()
        } else if self.crowded {
            self.write_from(self.limits.write_bytes)
        } else {
            Ok(())
        }
    }

    /// Writes every line. After an error the lines that are not written wait on.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        self.write_from(0)
    }

    /// Whether lines wait.
    pub(super) fn waits(&self) -> bool {
        !self.filled.is_empty()
    }

    /// Takes in the parts that are to stay; parts are numbered anew.
    pub(super) fn adopt(&mut self, parts: Vec<Part>) {
        self.open = parts.iter().filter(|part| part.handle.is_some()).count();
        self.recent.clear();
        self.index = (0u32..).zip(&parts).map(|(at, part)| ((part.lane, part.hour), at)).collect();
        self.list = parts;
    }

    fn look_up(&mut self, lane: u32, hour: i64, lanes: &Lanes) -> u32 {
        let part = *self.index.entry((lane, hour)).or_insert_with(|| {
            self.list.push(Part::new(lane, lanes.name(lane), hour));
            u32::try_from(self.list.len() - 1).expect("files_max and a batch's rows fit in 32 bits")
        });
        let at = lane as usize;
        if self.recent.len() <= at {
            self.recent.resize(at + 1, (i64::MIN, 0));
        }
        if let Some(recent) = self.recent.get_mut(at) {
            *recent = (hour, part);
        }
        part
    }

    fn write_from(&mut self, least_bytes: usize) -> Result<(), Error> {
        self.flushes += 1;
        let mut at = 0;
        while let Some(&part) = self.filled.get(at) {
            if self.list[part as usize].buffer.len() < least_bytes {
                at += 1;
                continue;
            }
            self.write(part as usize)?;
            self.filled.swap_remove(at);
        }
        self.crowded = false;
        Ok(())
    }

    fn write(&mut self, at: usize) -> Result<(), Error> {
        if self.list[at].bytes >= self.limits.file_bytes_max {
            self.leave(at);
        }
        for _ in 0..MAKE_TRIES {
            let path = self.open(at)?;
            let part = &mut self.list[at];
            match part.append(&path)? {
                Landed::Here => {
                    (part.idle, part.touched) = (0, self.flushes);
                    self.written(at);
                    return Ok(());
                }
                Landed::Shared => {
                    tracing::warn!(path = %path.display(), "somebody else writes this event file");
                    self.meters.files_lost.increment(1);
                    self.leave(at);
                    self.written(at);
                    return Ok(());
                }
                Landed::Nowhere => self.lost(at, &path),
            }
        }
        let gone = io::Error::from(io::ErrorKind::NotFound);
        Err(Error::io("keep a file in", &self.root)(gone))
    }

    /// Gives the buffer back once its lines are in the file.
    fn written(&mut self, at: usize) {
        let mut buffer = std::mem::take(&mut self.list[at].buffer);
        self.buffered -= buffer.len();
        self.meters.bytes.increment(buffer.len() as u64);
        buffer.clear();
        if self.spare_bytes + buffer.capacity() <= self.limits.buffer_bytes_max / 2 {
            self.spare_bytes += buffer.capacity();
            self.spare.push(buffer);
        }
    }

    /// Opens the part's file, or makes one; gives its path.
    fn open(&mut self, at: usize) -> Result<PathBuf, Error> {
        let part = &self.list[at];
        if let Some(path) = part.path(&self.root) {
            if part.handle.is_some() {
                return Ok(path);
            }
            match disk::reopen(&path) {
                Ok(file) => {
                    let found = file.metadata().map_err(Error::io("look at", &path))?.len();
                    if found == part.bytes {
                        self.hold(at, file);
                        return Ok(path);
                    }
                    tracing::warn!(path = %path.display(), found, expected = part.bytes,
                        "somebody else changed this event file; going on in a new one");
                    self.meters.files_lost.increment(1);
                    self.leave(at);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.lost(at, &path),
                Err(error) => return Err(Error::io("open", &path)(error)),
            }
        }
        self.make(at)
    }

    fn make(&mut self, at: usize) -> Result<PathBuf, Error> {
        let part = &self.list[at];
        let folder = partition::folder(&part.lane_name, part.hour);
        self.number += 1;
        let made = (self.generation + 1, self.number);
        let path = self.root.join(&folder).join(partition::file_name(made.0, made.1));
        let file = match disk::create(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut deeper = self.root.clone();
                for level in folder.split('/') {
                    deeper.push(level);
                    disk::make_folder(&deeper).map_err(Error::io("make", &deeper))?;
                }
                disk::create(&path)
            }
            done => done,
        }
        .map_err(Error::io("make", &path))?;
        // Also the folders that were there already: whoever made them may not have lived to sync.
        let above = path.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.root));
        self.folders.extend(above.map(Path::to_owned));
        let part = &mut self.list[at];
        (part.made, part.bytes, part.dirty) = (Some(made), 0, true);
        self.meters.files_made.increment(1);
        self.hold(at, file);
        Ok(path)
    }

    fn hold(&mut self, at: usize, file: std::fs::File) {
        if self.open >= self.limits.open_files_max.max(1) {
            self.close_oldest();
        }
        self.list[at].handle = Some(file);
        self.open += 1;
    }

    /// Closes a quarter of the handles, so that this is rare: those written least recently.
    fn close_oldest(&mut self) {
        let open = self.list.iter_mut().filter(|part| part.handle.is_some());
        let mut open: Vec<&mut Part> = open.collect();
        open.sort_unstable_by_key(|part| part.touched);
        let closed = open.len().div_ceil(4);
        for part in open.into_iter().take(closed) {
            part.handle = None;
            self.closed_dirty |= part.dirty;
        }
        self.open -= closed;
    }

    /// Goes on in a new file; the old one is complete.
    fn leave(&mut self, at: usize) {
        let part = &mut self.list[at];
        if part.dirty {
            self.left.extend(part.path(&self.root));
            self.closed_dirty = true;
        }
        self.forget(at);
    }

    /// Goes on in a new file, because somebody removed the old one.
    fn lost(&mut self, at: usize, path: &Path) {
        tracing::warn!(path = %path.display(), "an event file in use was removed");
        self.meters.files_lost.increment(1);
        self.forget(at);
    }

    fn forget(&mut self, at: usize) {
        let part = &mut self.list[at];
        self.open -= usize::from(part.handle.take().is_some());
        (part.made, part.bytes, part.dirty) = (None, 0, false);
    }
}
