//! Whether the disk has room: what must stay free, and a reserve for the day when nothing is.
//!
//! In: what the file system says, and errors of whoever writes. Out: whether records may come, and
//! how many bytes are lacking. The reserve is a file that is deleted when the disk is full, so that
//! cursors, settlements and copies of damage still fit while the backlog drains. Must never look at
//! the disk on the thread of an append.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Settings;
use super::disk::{Disk, DiskFile, Space};

/// The name of the reserve.
const RESERVE: &str = "reserve";
/// What a small disk gives at most for what stays free, and for a segment: one part of so many.
const DISK_SHARE: u64 = 20;
/// The smallest segment on a small disk.
const SEGMENT_BYTES_MIN: u64 = 4_096;
/// What is written at once where nothing can be allocated.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// The room on the disk of one journal.
pub(super) struct Room {
    pub(super) disk: Arc<dyn Disk>,
    /// `min_free_bytes` in effect.
    floor_bytes: u64,
    /// `segment_bytes` in effect.
    segment_bytes: u64,
    reserve_bytes: u64,
    reserve: Mutex<Reserve>,
    /// What has to be freed until records may come; 0 while they may.
    lacking_bytes: AtomicU64,
    /// Whether it was said that this file system cannot allocate.
    said: AtomicBool,
}

#[derive(Default)]
struct Reserve {
    held: bool,
    /// Whether it was said that it cannot be made.
    said: bool,
}

impl Room {
    /// Looks at the disk; on a small one the limits are lower.
    pub(super) fn new(disk: Arc<dyn Disk>, settings: &Settings) -> Self {
        let total_bytes = match disk.space() {
            Ok(space) => space.total_bytes,
            Err(error) => {
                tracing::warn!(%error, "cannot tell how large the disk is");
                u64::MAX
            }
        };
        let share = total_bytes / DISK_SHARE;
        Self {
            disk,
            floor_bytes: settings.min_free_bytes.min(share),
            segment_bytes: settings.segment_bytes.min(share.max(SEGMENT_BYTES_MIN)),
            reserve_bytes: settings.reserve_bytes.min(share),
            reserve: Mutex::default(),
            lacking_bytes: AtomicU64::new(0),
            said: AtomicBool::new(false),
        }
    }

    /// What must stay free on this disk.
    pub(super) fn floor_bytes(&self) -> u64 {
        self.floor_bytes
    }

    /// How large a segment gets on this disk.
    pub(super) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// What has to be freed until records may come; 0 while they may.
    pub(super) fn lacking_bytes(&self) -> u64 {
        self.lacking_bytes.load(Ordering::Acquire)
    }

    /// Whether records are refused.
    pub(super) fn is_short(&self) -> bool {
        self.lacking_bytes() > 0
    }

    /// Looks how much is free, and makes the reserve again when there is room for it.
    pub(super) fn look(&self) {
        let Space { free_bytes, .. } = match self.disk.space() {
            Ok(space) => space,
            // Whoever writes will find out.
            Err(error) => return tracing::warn!(%error, "cannot tell how much of the disk is free"),
        };
        self.judge(free_bytes);
        let room = self.wanted_bytes().saturating_add(self.reserve_bytes);
        if !self.is_short() && free_bytes >= room {
            self.fill_reserve();
        }
    }

    /// Notes what an error says about the room. When the disk is full the reserve is given up: true
    /// if that freed something, so that another attempt may work.
    pub(super) fn ran_out(&self, error: &io::Error) -> bool {
        if !is_full(error) {
            return false;
        }
        let freed = self.give_reserve_up();
        let free_bytes = self.disk.space().map_or(0, |space| space.free_bytes);
        self.lack(self.wanted_bytes().saturating_sub(free_bytes).max(1), free_bytes);
        freed
    }

    /// Makes sure that the file can grow to so many bytes.
    pub(super) fn allocate(&self, file: &dyn DiskFile, bytes: u64) -> io::Result<()> {
        match file.allocate(bytes) {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                if !self.said.swap(true, Ordering::AcqRel) {
                    tracing::warn!("this file system cannot preallocate; going on without");
                }
                Ok(())
            }
            allocated => allocated,
        }
    }

    /// What has to be free before records come again: with less, the next segment would be refused.
    fn wanted_bytes(&self) -> u64 {
        self.floor_bytes.saturating_add(self.segment_bytes)
    }

    fn judge(&self, free_bytes: u64) {
        let enough = if self.is_short() { self.wanted_bytes() } else { self.floor_bytes };
        if free_bytes < enough {
            self.lack(self.wanted_bytes() - free_bytes, free_bytes);
        } else if self.lacking_bytes.swap(0, Ordering::AcqRel) > 0 {
            tracing::info!(free_bytes, "the disk has room again: batches are taken");
        }
    }

    fn lack(&self, lacking_bytes: u64, free_bytes: u64) {
        if self.lacking_bytes.swap(lacking_bytes, Ordering::AcqRel) == 0 {
            let min_free_bytes = self.floor_bytes;
            tracing::error!(free_bytes, min_free_bytes, "the disk is full: batches are refused");
        }
    }

    fn fill_reserve(&self) {
        let mut reserve = self.reserve.lock();
        if reserve.held || self.reserve_bytes == 0 {
            return;
        }
        if let Err(error) = self.make_reserve() {
            let removed = remove(&*self.disk);
            if !reserve.said {
                tracing::warn!(%error, ?removed, "cannot make the journal's reserve");
            }
            reserve.said = true;
            return;
        }
        *reserve = Reserve { held: true, said: false };
    }

    /// The length is set last: it tells that the reserve is whole.
    fn make_reserve(&self) -> io::Result<()> {
        let (disk, bytes) = (&*self.disk, self.reserve_bytes);
        match disk.open(RESERVE) {
            Ok(file) if file.bytes()? == bytes => return Ok(()),
            Ok(_) => disk.unlink(RESERVE)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let file = disk.create_new(RESERVE)?;
        match file.allocate(bytes) {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                let mut left = bytes;
                while left > 0 {
                    let step = left.min(ZEROS.len() as u64);
                    let zeros = ZEROS.get(..usize::try_from(step).unwrap_or_default());
                    file.write_at(zeros.unwrap_or_default(), bytes - left)?;
                    left -= step;
                }
                Ok(())
            }
            Err(error) => Err(error),
            Ok(()) => file.resize(bytes),
        }
    }

    fn give_reserve_up(&self) -> bool {
        let mut reserve = self.reserve.lock();
        reserve.held = false;
        // The file of an earlier run counts as well: recovery needs room before it was looked for.
        match remove(&*self.disk) {
            Ok(true) => {
                tracing::warn!(bytes = self.reserve_bytes, "disk full: the reserve is given up");
                // Some file systems free blocks only with the commit of the deletion.
                if let Err(error) = self.disk.sync_names() {
                    tracing::warn!(%error, "cannot sync the deletion of the reserve");
                }
                true
            }
            Ok(false) => false,
            Err(error) => {
                tracing::warn!(%error, "cannot delete the reserve");
                false
            }
        }
    }
}

/// Whether an error says that there is no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Deletes the reserve; false if there was none.
fn remove(disk: &dyn Disk) -> io::Result<bool> {
    match disk.unlink(RESERVE) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
