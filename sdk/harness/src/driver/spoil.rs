//! Damages a store's files, as a bad disk or an unlucky end would.
//!
//! In: the folder of a store that nobody has open. Out: the same with a fault. A store that is no
//! folder of files is not supported.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Stop, failed};

/// How much a torn tail lacks.
const TORN_BYTES: usize = 3;
/// What is neither JSON nor anybody's header.
const GARBAGE: &[u8] = b"\xff\x00garbage\n\n{\x7f";

/// Damages the largest file, or with `garbage` all of them.
pub(super) fn spoil(store: &Path, how: &str) -> Result<(), Stop> {
    let files = files(store);
    let size = |path: &PathBuf| fs::metadata(path).map_or(0, |file| file.len());
    let Some(largest) = files.iter().max_by_key(|path| size(path)) else {
        return Err(Stop::Unsupported("its store is no folder of files".to_owned()));
    };
    let done = match how {
        "cut" => change(largest, |bytes| bytes.truncate(bytes.len().saturating_sub(TORN_BYTES))),
        "flip" => change(largest, |bytes| {
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 0x10;
            }
        }),
        "garbage" => files.iter().try_for_each(|path| fs::write(path, GARBAGE)),
        _ => return Err(failed(format!("nothing is spoilt by {how:?}"))),
    };
    done.map_err(|error| failed(error.to_string()))
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
    let mut bytes = fs::read(path)?;
    change(&mut bytes);
    fs::write(path, bytes)
}

/// Files with something in them; lock files are empty.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.metadata() {
                Ok(kind) if kind.is_dir() => open.push(path),
                Ok(kind) if kind.is_file() && kind.len() > 0 => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_file_is_damaged() {
        let dir = tempfile::tempdir().expect("a folder");
        let [large, small] = ["large", "small"].map(|name| dir.path().join(name));
        fs::create_dir(dir.path().join("empty")).expect("a folder");
        assert!(matches!(spoil(dir.path(), "cut"), Err(Stop::Unsupported(_))));
        fs::write(&large, b"0123456789").expect("room");
        fs::write(&small, b"01").expect("room");
        spoil(dir.path(), "cut").expect("cut");
        assert_eq!(fs::read(&large).expect("there"), b"0123456");
        spoil(dir.path(), "flip").expect("flipped");
        assert_eq!(fs::read(&large).expect("there"), b"012#456");
        assert_eq!(fs::read(&small).expect("there"), b"01");
        spoil(dir.path(), "garbage").expect("overwritten");
        assert_eq!(fs::read(&small).expect("there"), GARBAGE);
        assert!(matches!(spoil(dir.path(), "x"), Err(Stop::Failed(_))));
    }
}
