//! What a checkpoint does to the files: make them durable, finish some, list the rest.
//!
//! In: the parts, with no line waiting. Out: files and folders that survive a power cut, and a list
//! of those that may go on growing. Must never try a failed sync again, because the system may have
//! dropped the bytes: the store is given up and rebuilt.

use std::fs::File;
use std::io;
use std::path::Path;

use super::checkpoint::Listed;
use super::parts::Parts;
use super::{Error, disk};

/// Files and folders beyond which the whole filesystem is written out at once before each of them
/// is synced, which finds little left to do.
const SYNC_EACH_MAX: usize = 64;

impl Parts {
    /// Makes everything durable that was written since the last checkpoint.
    pub(super) fn sync(&mut self, root: &File) -> Result<(), Error> {
        let dirty = self.list.iter().filter(|part| part.dirty).count();
        // Also where a handle was closed: its file may have forgotten an error, the filesystem not.
        if self.closed_dirty || dirty + self.folders.len() > SYNC_EACH_MAX {
            disk::sync_filesystem(root).map_err(Error::broken("sync", &self.root))?;
        }
        for part in self.list.iter().filter(|part| part.dirty) {
            let Some(path) = part.path(&self.root) else { continue };
            match &part.handle {
                Some(file) => disk::sync(file, &path).map_err(Error::broken("sync", &path))?,
                None => sync_closed(&path)?,
            }
        }
        for path in &self.left {
            sync_closed(path)?;
        }
        for folder in &self.folders {
            match disk::sync_folder(folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => done.map_err(Error::broken("sync", folder))?,
            }
        }
        Ok(())
    }

    /// Finishes files that are full or idle, and the least recently written half of too many.
    /// They are durable, so that no list needs to name them.
    pub(super) fn finish(&mut self) {
        let limits = &self.limits;
        let mut parts = std::mem::take(&mut self.list);
        parts.retain(|part| {
            part.made.is_some()
                && part.bytes < limits.file_bytes_max
                && (part.dirty || part.idle < limits.idle_checkpoints_max)
        });
        if self.list_is_full(parts.len()) {
            parts.sort_unstable_by_key(|part| std::cmp::Reverse(part.touched));
            parts.truncate(self.limits.files_max / 2);
        }
        self.adopt(parts);
    }

    /// Whether a table of this many files, with those just left, is as long as it may become.
    pub(super) fn list_is_full(&self, files: usize) -> bool {
        files + self.left.len() >= self.limits.files_max.max(1)
    }

    /// What the checkpoint has to list.
    pub(super) fn listed(&self) -> Vec<Listed> {
        let listed = |part: &super::part::Part| {
            let (generation, number) = part.made?;
            Some(Listed {
                lane: part.lane_name.to_string(),
                hour: part.hour,
                generation,
                number,
                bytes: part.bytes,
                idle: if part.dirty { 0 } else { part.idle + 1 },
            })
        };
        self.list.iter().filter_map(listed).collect()
    }

    /// The checkpoint is durable.
    pub(super) fn settled(&mut self, generation: u64) {
        for part in &mut self.list {
            part.idle = if part.dirty { 0 } else { part.idle + 1 };
            part.dirty = false;
        }
        self.left.clear();
        self.folders.clear();
        self.closed_dirty = false;
        (self.generation, self.number) = (generation, 0);
        self.meters.files.set(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
    }
}

/// Syncs a file that is not open. One that somebody removed needs nothing.
fn sync_closed(path: &Path) -> Result<(), Error> {
    match disk::reopen(path) {
        Ok(file) => disk::sync(&file, path).map_err(Error::broken("sync", path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), "an event file was removed before its sync");
            Ok(())
        }
        Err(error) => Err(Error::broken("open", path)(error)),
    }
}
