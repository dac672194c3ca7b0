//! Keeps a copy of bytes that are about to be cut off or skipped, for a person to look at.
//!
//! In: a range of a segment file. Out: a file `<segment>.<offset>.broken`, durable. Must never take
//! more than `broken_bytes_max` of the disk, nor stop what goes on around it.

use std::io::{self, ErrorKind, IoSlice};

use super::disk::{Disk, DiskFile};
use super::room::{Room, is_full};
use super::{Error, Settings};

/// How names of kept ranges end.
const SUFFIX: &str = ".broken";
/// Bytes that are copied at once.
const CHUNK_BYTES: u64 = 1 << 20;

/// Copies the range, unless it holds only zeros or too much is kept already.
pub(super) fn keep(
    room: &Room,
    settings: &Settings,
    segment: &str,
    offset: u64,
    bytes: u64,
) -> Result<(), Error> {
    let disk = &*room.disk;
    let name = format!("{segment}.{offset}{SUFFIX}");
    let fail = |source| Error::disk("keep", &name, source);
    let source = disk.open(segment).map_err(fail)?;
    if is_zero(&*source, offset, bytes).map_err(fail)? {
        return Ok(());
    }
    if kept_bytes(disk, &name).map_err(fail)?.saturating_add(bytes) > settings.broken_bytes_max {
        tracing::warn!(segment, offset, bytes, "no room to keep a damaged range of the journal");
        return Ok(());
    }
    let copied = match copy(disk, &*source, &name, offset, bytes) {
        Err(error) if room.ran_out(&error) => copy(disk, &*source, &name, offset, bytes),
        copied => copied,
    };
    match copied {
        Err(error) if is_full(&error) => {
            tracing::warn!(%error, segment, offset, bytes, "no room to keep a damaged range");
            disk.unlink(&name).map_err(fail)
        }
        copied => copied.map_err(fail),
    }
}

fn copy(
    disk: &dyn Disk,
    source: &dyn DiskFile,
    name: &str,
    offset: u64,
    bytes: u64,
) -> io::Result<()> {
    let target = match disk.create_new(name) {
        // Kept before, but perhaps not to the end.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            disk.unlink(name)?;
            disk.create_new(name)?
        }
        created => created?,
    };
    chunks(source, offset, bytes, |chunk| {
        target.append(&mut [IoSlice::new(chunk)])?;
        Ok(true)
    })?;
    target.sync()?;
    disk.sync_names()
}

fn is_zero(source: &dyn DiskFile, offset: u64, bytes: u64) -> io::Result<bool> {
    let mut zero = true;
    chunks(source, offset, bytes, |chunk| {
        zero = chunk.iter().all(|byte| *byte == 0);
        Ok(zero)
    })?;
    Ok(zero)
}

/// Hands the range out in pieces, until `each` says that it is enough.
fn chunks(
    source: &dyn DiskFile,
    mut offset: u64,
    bytes: u64,
    mut each: impl FnMut(&[u8]) -> io::Result<bool>,
) -> io::Result<()> {
    let end = offset.saturating_add(bytes);
    while offset < end {
        let mut chunk = vec![0; usize::try_from(CHUNK_BYTES.min(end - offset)).unwrap_or_default()];
        let read = source.read_at(&mut chunk, offset)?;
        chunk.truncate(read);
        if read == 0 || !each(&chunk)? {
            return Ok(());
        }
        offset += read as u64;
    }
    Ok(())
}

fn kept_bytes(disk: &dyn Disk, except: &str) -> io::Result<u64> {
    let names = disk.list()?;
    let kept = names.iter().filter(|name| name.ends_with(SUFFIX) && *name != except);
    kept.map(|name| disk.open(name)?.bytes()).sum()
}
