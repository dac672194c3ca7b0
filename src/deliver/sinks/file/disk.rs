//! Every change that the store makes on the disk, one thin function each.
//!
//! In: paths and bytes. Out: what the system said. In tests each goes through [`super::trial`],
//! which fails them on demand and knows what a power cut would leave. Must never retry or decide.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

#[cfg(test)]
use super::trial;

/// What a change is, so that tests can fail one of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// A new file or folder.
    Make,
    /// A file that is there is opened.
    Open,
    /// Bytes at its end.
    Append,
    /// Fewer bytes at its end.
    Cut,
    /// Bytes made durable.
    Sync,
    /// Names made durable.
    SyncFolder,
    /// A name taken away.
    Remove,
    /// A name given to another file.
    Rename,
}

/// Makes a folder; one that is there already is fine.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    trial::step(Op::Make)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

/// Makes a file that was not there, for appending.
pub(super) fn create(path: &Path) -> io::Result<File> {
    trial::step(Op::Make)?;
    OpenOptions::new().append(true).create_new(true).open(path)
}

/// Opens a file that is there, for appending.
pub(super) fn reopen(path: &Path) -> io::Result<File> {
    trial::step(Op::Open)?;
    OpenOptions::new().append(true).open(path)
}

/// Appends all bytes, in one system call as long as the disk has room.
pub(super) fn append(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    if let Err(error) = trial::step(Op::Append) {
        file.write_all(bytes.get(..bytes.len() / 2).unwrap_or_default())?;
        return Err(error);
    }
    file.write_all(bytes)
}

/// Cuts a file back.
pub(super) fn truncate(file: &File, path: &Path, bytes: u64) -> io::Result<()> {
    trial::step(Op::Cut)?;
    trial::undoing(path);
    file.set_len(bytes)
}

/// Makes a file's bytes and length survive a power cut.
pub(super) fn sync(file: &File, path: &Path) -> io::Result<()> {
    trial::step(Op::Sync)?;
    file.sync_data()?;
    trial::synced(path);
    Ok(())
}

/// Makes the entries of a folder survive a power cut.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    trial::step(Op::SyncFolder)?;
    File::open(path)?.sync_all()?;
    trial::synced_folder(path);
    Ok(())
}

/// Writes out everything that waits in the folder's filesystem, and gives the errors of handles
/// that were closed before their bytes were written (Linux 5.8). Each file and folder is synced by
/// name afterwards, so nothing hangs on a filesystem that takes this lightly.
pub(super) fn sync_filesystem(root: &File) -> io::Result<()> {
    trial::step(Op::Sync)?;
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(root)?;
    #[cfg(not(target_os = "linux"))]
    let _: &File = root;
    Ok(())
}

/// Takes a file away.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    trial::step(Op::Remove)?;
    trial::undoing(path);
    fs::remove_file(path)
}

/// Writes a file from its beginning and syncs it.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    trial::step(Op::Make)?;
    let file = File::create(path)?;
    append(&file, bytes)?;
    sync(&file, path)
}

/// Gives a file another's name.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    trial::step(Op::Rename)?;
    trial::renaming(from, to);
    fs::rename(from, to)
}

/// Outside tests nothing is failed and nothing is remembered.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "in tests they fail")]
mod trial {
    use std::io::Result;
    use std::path::Path;

    pub(super) fn step(_: super::Op) -> Result<()> {
        Ok(())
    }

    pub(super) fn undoing(_: &Path) {}

    pub(super) fn renaming(_: &Path, _: &Path) {}

    pub(super) fn synced(_: &Path) {}

    pub(super) fn synced_folder(_: &Path) {}
}
