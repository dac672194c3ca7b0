//! Brings the files back to a checkpoint.
//!
//! In: a checkpoint and a folder. Out: files that hold exactly the events before `next_seq`, and
//! those of them that may be appended to. Everything it takes away is synced, or else a power cut
//! could bring it back behind the next checkpoint. Must never touch a name that others have made.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use super::checkpoint::{Checkpoint, Listed, NAME};
use super::lanes::lane_name;
use super::{Error, disk, partition};

/// What was found and done.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    /// Listed files that are as the checkpoint says, and may be appended to.
    pub(super) kept: Vec<Listed>,
    pub(super) removed: u64,
    pub(super) truncated: u64,
    pub(super) missing: Vec<PathBuf>,
    pub(super) short: Vec<PathBuf>,
}

/// Makes the store's folder, and makes its name survive a power cut.
pub(super) fn make_root(dir: &Path) -> Result<(), Error> {
    let mut made = dir;
    fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
    // Two levels: the store's folder and the one that the whole product keeps its files in.
    for _ in 0..2 {
        let above = match made.parent() {
            Some(above) if above.as_os_str().is_empty() => Path::new("."),
            Some(above) => above,
            None => break,
        };
        disk::sync_folder(above).map_err(Error::io("sync", above))?;
        made = above;
    }
    Ok(())
}

/// The checkpoint on the disk, made durable; in a new store, one that covers nothing.
pub(super) fn first_or_last(dir: &Path) -> Result<Checkpoint, Error> {
    if let Some(checkpoint) = Checkpoint::read(dir)? {
        disk::sync_folder(dir).map_err(Error::io("sync", dir))?;
        return Ok(checkpoint);
    }
    let files = count(dir)?;
    if files > 0 {
        return Err(Error::Orphaned { path: dir.to_owned(), files });
    }
    let checkpoint = Checkpoint::new(0, None);
    checkpoint.write(dir)?;
    Ok(checkpoint)
}

/// Removes the files that the checkpoint does not know yet and cuts those that it lists.
pub(super) fn recover(root: &Path, checkpoint: Checkpoint) -> Result<Recovered, Error> {
    let mut recovered = Recovered::default();
    visit(root, &mut |generation, path| {
        if generation <= checkpoint.generation {
            return Ok(());
        }
        remove(path)?;
        recovered.removed += 1;
        Ok(())
    })?;
    for listed in checkpoint.files {
        cut(root, listed, &mut recovered)?;
    }
    Ok(recovered)
}

/// Counts the event files below a folder.
fn count(root: &Path) -> Result<u64, Error> {
    let mut files = 0;
    visit(root, &mut |_, _| {
        files += 1;
        Ok(())
    })?;
    Ok(files)
}

/// Empties the file for good before its name goes: a removal that is lost with the power, even one
/// of an earlier recovery that did not live to its end, then brings back nothing.
fn remove(path: &Path) -> Result<(), Error> {
    let file = match disk::reopen(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        done => done.map_err(Error::io("open", path))?,
    };
    disk::truncate(&file, path, 0).map_err(Error::io("empty", path))?;
    disk::sync(&file, path).map_err(Error::io("sync", path))?;
    disk::remove(path).map_err(Error::io("remove", path))
}

fn cut(root: &Path, listed: Listed, recovered: &mut Recovered) -> Result<(), Error> {
    if lane_name(listed.lane.as_bytes()).as_ref() != Some(&listed.lane) {
        return Err(Error::Damaged {
            path: root.join(NAME),
            reason: format!("it lists the lane {:?}", listed.lane),
        });
    }
    let mut path = root.join(partition::folder(&listed.lane, listed.hour));
    path.push(partition::file_name(listed.generation, listed.number));
    let file = match disk::reopen(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), "an event file was removed; it is not rebuilt");
            recovered.missing.push(path);
            return Ok(());
        }
        done => done.map_err(Error::io("open", &path))?,
    };
    let found = file.metadata().map_err(Error::io("look at", &path))?.len();
    if found < listed.bytes {
        tracing::warn!(path = %path.display(), found, expected = listed.bytes,
            "an event file is shorter than it was; it is left as it is");
        recovered.short.push(path);
        return Ok(());
    }
    if found > listed.bytes {
        disk::truncate(&file, &path, listed.bytes).map_err(Error::io("cut back", &path))?;
        recovered.truncated += 1;
    }
    // Also where it has the right length: whoever cut it may not have lived to sync.
    disk::sync(&file, &path).map_err(Error::io("sync", &path))?;
    recovered.kept.push(listed);
    Ok(())
}

type Visit<'a> = dyn FnMut(u64, &Path) -> Result<(), Error> + 'a;

/// Calls `found` with the generation of every event file.
fn visit(root: &Path, found: &mut Visit<'_>) -> Result<(), Error> {
    for lane in folders(root, "lane=")? {
        for date in folders(&lane, "date=")? {
            for hour in folders(&date, "hour=")? {
                for entry in entries(&hour)? {
                    let generation = entry.file_name().to_str().and_then(partition::generation);
                    let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
                    if let (Some(generation), true) = (generation, is_file) {
                        found(generation, &entry.path())?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// The folders in a folder whose names begin like this; links are not followed.
fn folders(folder: &Path, prefix: &str) -> Result<Vec<PathBuf>, Error> {
    let fits = |entry: &DirEntry| {
        entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix))
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
    };
    Ok(entries(folder)?.into_iter().filter(fits).map(|entry| entry.path()).collect())
}

fn entries(folder: &Path) -> Result<Vec<DirEntry>, Error> {
    let read = || fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>();
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        done => done.map_err(Error::io("list", folder)),
    }
}
