//! What tests know of the disk: which step is to fail, and what a power cut would leave.
//!
//! In: every step that [`super::disk`] takes on this thread. Out: errors on demand, and a folder as
//! a power cut could leave it: what was synced is there, all else may be, in part or as rubbish.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::Op;

#[derive(Default)]
struct Known {
    /// Operations until one fails; of one kind, if it is told.
    fails_in: Option<(Option<Op>, u32)>,
    failed: bool,
    /// A file's bytes when it was last synced.
    bytes: BTreeMap<PathBuf, Vec<u8>>,
    /// A folder's entries when it was last synced.
    entries: BTreeMap<PathBuf, BTreeSet<OsString>>,
    /// Files and their bytes that were removed, replaced or cut, until that is synced.
    undone: BTreeMap<PathBuf, Vec<u8>>,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// Lets an operation fail, this many from now, counting only one kind if it is told.
pub(super) fn arm(fails_in: Option<(Option<Op>, u32)>) {
    KNOWN.with_borrow_mut(|known| (known.fails_in, known.failed) = (fails_in, false));
}

/// Whether the armed failure has happened.
pub(super) fn failed() -> bool {
    KNOWN.with_borrow(|known| known.failed)
}

/// What is on the disk now is what a power cut leaves.
pub(super) fn settle(root: &Path) {
    KNOWN.with_borrow_mut(|known| {
        *known = Known { fails_in: known.fails_in, failed: known.failed, ..Known::default() };
        walk(root, &mut |path, names| {
            if let Some(names) = names {
                known.entries.insert(path.to_owned(), names.clone());
            } else {
                known.bytes.insert(path.to_owned(), fs::read(path).expect("a test's own file"));
            }
        });
    });
}

pub(super) fn step(op: Op) -> io::Result<()> {
    KNOWN.with_borrow_mut(|known| {
        let Some((only, left)) = known.fails_in.as_mut() else { return Ok(()) };
        if only.is_some_and(|only| only != op) {
            return Ok(());
        }
        if *left > 0 {
            *left -= 1;
            return Ok(());
        }
        (known.fails_in, known.failed) = (None, true);
        Err(io::Error::from(io::ErrorKind::StorageFull))
    })
}

pub(super) fn synced(path: &Path) {
    let bytes = fs::read(path).unwrap_or_default();
    KNOWN.with_borrow_mut(|known| {
        known.undone.remove(path);
        known.bytes.insert(path.to_owned(), bytes);
    });
}

pub(super) fn synced_folder(path: &Path) {
    let names = names(path);
    KNOWN.with_borrow_mut(|known| {
        // A removal or a rename is made durable by its folder, a cut only by the file itself.
        known.undone.retain(|file, _| {
            file.parent() != Some(path) || (names.contains(name(file)) && !is_checkpoint(file))
        });
        known.entries.insert(path.to_owned(), names);
    });
}

pub(super) fn renaming(from: &Path, to: &Path) {
    undoing(to);
    KNOWN.with_borrow_mut(|known| match known.bytes.remove(from) {
        Some(bytes) => known.bytes.insert(to.to_owned(), bytes),
        None => known.bytes.remove(to),
    });
}

/// Leaves the folder as a power cut could: `dice(n)` gives a number below `n`.
pub(super) fn power_cut(root: &Path, dice: &mut impl FnMut(usize) -> usize) {
    let (bytes, entries, undone) = KNOWN.with_borrow_mut(|known| {
        let known = std::mem::take(known);
        (known.bytes, known.entries, known.undone)
    });
    let mut as_before = BTreeSet::new();
    for (path, old) in &undone {
        if dice(2) == 0 && path.parent().is_some_and(Path::exists) {
            fs::write(path, old).expect("a test's own file");
            as_before.insert(path);
        }
    }
    let mut files = Vec::new();
    let mut lost = Vec::new();
    walk(root, &mut |path, names| {
        let Some(names) = names else { return files.push(path.to_owned()) };
        let kept = entries.get(path);
        for name in names {
            if !kept.is_some_and(|kept| kept.contains(name)) && dice(2) == 0 {
                lost.push(path.join(name));
            }
        }
    });
    for path in files.into_iter().filter(|path| !as_before.contains(path)) {
        let now = fs::read(&path).expect("a test's own file");
        let durable = bytes.get(&path).map_or(0, Vec::len).min(now.len());
        if durable < now.len() {
            let mut left = now[..durable + dice(now.len() - durable + 1)].to_vec();
            left.resize(left.len() + dice(2) * dice(40), 0);
            fs::write(&path, left).expect("a test's own file");
        }
    }
    for path in lost {
        if path.is_dir() {
            fs::remove_dir_all(&path).expect("a test's own folder");
        } else if path.exists() {
            fs::remove_file(&path).expect("a test's own file");
        }
    }
    settle(root);
}

/// Remembers a file's bytes as they are, because what follows may be undone by a power cut.
pub(super) fn undoing(path: &Path) {
    if let Ok(bytes) = fs::read(path) {
        KNOWN.with_borrow_mut(|known| {
            known.undone.entry(path.to_owned()).or_insert(bytes);
        });
    }
}

fn is_checkpoint(path: &Path) -> bool {
    path.extension().is_none_or(|extension| extension != "ndjson")
}

fn name(path: &Path) -> &std::ffi::OsStr {
    path.file_name().unwrap_or_default()
}

fn names(folder: &Path) -> BTreeSet<OsString> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeSet::new() };
    entries.map(|entry| entry.expect("a test's own folder").file_name()).collect()
}

/// Calls `visit` for every folder, with its entries, and for every file below `folder`.
pub(super) fn walk(folder: &Path, visit: &mut impl FnMut(&Path, Option<&BTreeSet<OsString>>)) {
    let names = names(folder);
    visit(folder, Some(&names));
    for name in &names {
        let path = folder.join(name);
        if path.is_dir() {
            walk(&path, visit);
        } else {
            visit(&path, None);
        }
    }
}
