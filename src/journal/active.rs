//! The segment that is being written: begun, appended to, sealed or given up.
//!
//! In: a header, then groups. Out: durable bytes. Must never write behind a failed group, nor sync
//! a file twice after a failure: what follows goes to a fresh file.

use std::io::{self, IoSlice};

use super::Error;
use super::disk::DiskFile;
use super::room::Room;
use super::segment::{self, FIRST_AT, Start};

/// A segment with a durable header and a durable name.
pub(super) struct Active {
    file: Box<dyn DiskFile>,
    name: String,
    /// Bytes that are durable.
    bytes: u64,
    /// Bytes that the disk has promised.
    promised: u64,
}

/// A segment that could not be begun.
pub(super) struct Unbegun {
    pub(super) error: Error,
    /// Its file, if one is left behind that could not be deleted.
    pub(super) leftover: Option<String>,
}

impl Active {
    /// Begins a segment with room for `bytes`: durable content first, then its durable name.
    pub(super) fn begin(room: &Room, start: &Start, bytes: u64) -> Result<Self, Unbegun> {
        let name = segment::name(start.first);
        let file = room.disk.create_new(&name).map_err(|source| Unbegun {
            error: Error::disk("create", &name, source),
            leftover: None,
        })?;
        let prepared = room
            .allocate(&*file, bytes)
            .map_err(|source| Error::disk("preallocate", &name, source))
            .and_then(|()| {
                file.append(&mut [IoSlice::new(&start.encode())])
                    .and_then(|()| file.sync())
                    .and_then(|()| room.disk.sync_names())
                    .map_err(|source| Error::disk("prepare", &name, source))
            });
        match prepared {
            Ok(()) => Ok(Self { file, name, bytes: FIRST_AT, promised: bytes }),
            Err(error) => {
                drop(file);
                Err(Unbegun { error, leftover: remove(room, name) })
            }
        }
    }

    /// Whether it holds no frame.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == FIRST_AT
    }

    /// Bytes that are durable.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends a group of so many bytes, durably.
    pub(super) fn commit(&mut self, slices: &mut [IoSlice<'_>], bytes: u64) -> Result<(), Error> {
        let fail = |step, source| Error::disk(step, &self.name, source);
        self.file.append(slices).map_err(|source| fail("write", source))?;
        self.file.sync().map_err(|source| fail("sync", source))?;
        self.bytes += bytes;
        Ok(())
    }

    /// Asks the disk for what a segment gets, if it got less because there was none.
    pub(super) fn widen(&mut self, room: &Room, bytes: u64) -> io::Result<()> {
        if self.promised < bytes {
            room.allocate(&*self.file, bytes)?;
            self.promised = bytes;
        }
        Ok(())
    }

    /// Gives back what was promised and not used; everything in it is synced already.
    pub(super) fn seal(self) {
        if self.promised > self.bytes
            && let Err(error) = self.file.resize(self.bytes)
        {
            tracing::warn!(%error, name = self.name, "cannot free the unused end of a segment");
        }
    }

    /// Gives it up: after a failed sync nobody knows what it holds beyond what is durable. Without
    /// frames it is deleted; gives its name if that fails.
    pub(super) fn give_up(self, room: &Room) -> Option<String> {
        if self.is_empty() {
            drop(self.file);
            return remove(room, self.name);
        }
        if let Err(error) = self.file.resize(self.bytes) {
            tracing::warn!(%error, name = self.name, "cannot cut a failed segment");
        }
        None
    }
}

fn remove(room: &Room, name: String) -> Option<String> {
    match room.disk.unlink(&name) {
        Ok(()) => None,
        Err(error) => {
            tracing::warn!(%error, name, "cannot delete an unused segment");
            Some(name)
        }
    }
}
