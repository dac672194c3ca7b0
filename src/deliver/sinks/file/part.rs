//! One file that may still be appended to, and the lines that wait for it.
//!
//! In: whole lines. Out: the same lines at the end of the file, or the file as it was before.
//! Must never leave half a line where the next append goes.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Error, disk, partition};

/// The lines of one lane and hour, and the file that they are going to.
pub(super) struct Part {
    pub(super) lane: u32,
    pub(super) lane_name: Arc<str>,
    pub(super) hour: i64,
    /// Generation and number of its file; `None` until the next write makes one.
    pub(super) made: Option<(u64, u64)>,
    pub(super) handle: Option<File>,
    /// The file's length: whole lines only.
    pub(super) bytes: u64,
    /// Lines that are not in the file yet.
    pub(super) buffer: Vec<u8>,
    /// Whether the file was made or changed since the last checkpoint.
    pub(super) dirty: bool,
    /// Checkpoints since it was last written.
    pub(super) idle: u32,
    /// The flush in which it was last written.
    pub(super) touched: u64,
}

/// Where an append ended up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Landed {
    /// At the end of the file.
    Here,
    /// At the end of the file, but somebody else changes it too.
    Shared,
    /// In a file that somebody has removed.
    Nowhere,
}

impl Part {
    pub(super) fn new(lane: u32, lane_name: Arc<str>, hour: i64) -> Self {
        Self {
            lane,
            lane_name,
            hour,
            made: None,
            handle: None,
            bytes: 0,
            buffer: Vec::new(),
            dirty: false,
            idle: 0,
            touched: 0,
        }
    }

    /// The path of its file; `None` while it has none.
    pub(super) fn path(&self, root: &Path) -> Option<PathBuf> {
        let (generation, number) = self.made?;
        let mut path = root.join(partition::folder(&self.lane_name, self.hour));
        path.push(partition::file_name(generation, number));
        Some(path)
    }

    /// Appends its lines to its open file. After an error the file is as long as it was.
    pub(super) fn append(&mut self, path: &Path) -> Result<Landed, Error> {
        let Some(file) = &self.handle else { return Ok(Landed::Nowhere) };
        self.dirty = true;
        if let Err(cause) = disk::append(file, &self.buffer) {
            // The lines stay in the buffer and will come again, so what is there of them must go.
            disk::truncate(file, path, self.bytes).map_err(Error::broken("cut back", path))?;
            return Err(Error::io("append to", path)(cause));
        }
        // Asked behind the write, not before: a removal in between would swallow the lines.
        let found = file.metadata().map_err(Error::broken("look at", path))?;
        if found.nlink() == 0 {
            return Ok(Landed::Nowhere);
        }
        self.bytes += self.buffer.len() as u64;
        Ok(if found.len() == self.bytes { Landed::Here } else { Landed::Shared })
    }
}
