//! Every change that the store makes on the disk, one thin function each.
//!
//! In: paths and bytes. Out: what the system said. In tests each goes through [`super::trial`],
//! which fails them on demand and knows what a power cut would leave. Must never retry or decide.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

#[cfg(test)]
use super::trial;

/// Makes a folder; one that is there already is fine.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    trial::step()?;
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

/// Makes a file that was not there, for appending.
pub(super) fn create(path: &Path) -> io::Result<File> {
    trial::step()?;
    OpenOptions::new().append(true).create_new(true).open(path)
}

/// Opens a file that is there, for appending.
pub(super) fn reopen(path: &Path) -> io::Result<File> {
    trial::step()?;
    OpenOptions::new().append(true).open(path)
}

/// Appends all bytes, in one system call as long as the disk has room.
pub(super) fn append(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    if let Err(error) = trial::step() {
        file.write_all(bytes.get(..bytes.len() / 2).unwrap_or_default())?;
        return Err(error);
    }
    file.write_all(bytes)
}

/// Cuts a file back.
pub(super) fn truncate(file: &File, path: &Path, bytes: u64) -> io::Result<()> {
    trial::truncating(path)?;
    file.set_len(bytes)
}

/// Makes a file's bytes and length survive a power cut.
pub(super) fn sync(file: &File, path: &Path) -> io::Result<()> {
    trial::step()?;
    file.sync_data()?;
    trial::synced(path);
    Ok(())
}

/// Makes the entries of a folder survive a power cut.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    trial::step()?;
    File::open(path)?.sync_all()?;
    trial::synced_folder(path);
    Ok(())
}

/// Writes out everything that waits in the folder's filesystem, and gives the errors of handles
/// that were closed before their bytes were written (Linux 5.8). Each file and folder is synced by
/// name afterwards, so nothing hangs on a filesystem that takes this lightly.
pub(super) fn sync_filesystem(root: &File) -> io::Result<()> {
    trial::step()?;
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(root)?;
    #[cfg(not(target_os = "linux"))]
    let _: &File = root;
    Ok(())
}

/// Takes a file away.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    trial::removing(path)?;
    fs::remove_file(path)
}

/// Writes a file from its beginning and syncs it.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    trial::step()?;
    let file = File::create(path)?;
    append(&file, bytes)?;
    sync(&file, path)
}

/// Gives a file another's name.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    trial::renaming(from, to)?;
    fs::rename(from, to)
}

/// Outside tests nothing is failed and nothing is remembered.
#[cfg(not(test))]
mod trial {
    use std::io::Result;
    use std::path::Path;

    pub(super) fn step() -> Result<()> {
        Ok(())
    }

    pub(super) fn truncating(_: &Path) -> Result<()> {
        Ok(())
    }

    pub(super) fn removing(_: &Path) -> Result<()> {
        Ok(())
    }

    pub(super) fn renaming(_: &Path, _: &Path) -> Result<()> {
        Ok(())
    }

    pub(super) fn synced(_: &Path) {}

    pub(super) fn synced_folder(_: &Path) {}
}
