//! Small texts that must outlive a crash: the rules texts by hash, and the node's identity.
//!
//! In: a directory and a text. Out: a file that is synced, and so is its directory entry.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use uuid::Uuid;

/// Stores a text under its hash; what is there already is left alone.
pub fn keep(dir: &Path, hash: u64, text: &str) -> io::Result<()> {
    write_synced(dir, &format!("{hash:016x}"), text)
}

/// Reads the text with this hash.
pub fn find(dir: &Path, hash: u64) -> io::Result<String> {
    fs::read_to_string(dir.join(format!("{hash:016x}")))
}

/// The node's identity, made at the first start.
pub fn node_id(data_dir: &Path) -> io::Result<Uuid> {
    match fs::read_to_string(data_dir.join(NODE)) {
        Ok(text) => text.trim().parse().map_err(|error| {
            let message = format!("{} holds no UUID: {error}", data_dir.join(NODE).display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let node = Uuid::now_v7();
            write_synced(data_dir, NODE, &format!("{node}\n"))?;
            Ok(node)
        }
        Err(error) => Err(error),
    }
}

/// Keeps a short text for the next start; the last one wins.
pub fn remember(dir: &Path, name: &str, text: &str) -> io::Result<()> {
    if recall(dir, name).is_some_and(|known| known == text) {
        return Ok(());
    }
    replace_synced(dir, name, text)
}

/// What was remembered, if anything can be read.
pub fn recall(dir: &Path, name: &str) -> Option<String> {
    fs::read_to_string(dir.join(name)).ok()
}

const NODE: &str = "node-id";

fn write_synced(dir: &Path, name: &str, text: &str) -> io::Result<()> {
    if dir.join(name).exists() {
        return Ok(());
    }
    replace_synced(dir, name, text)
}

fn replace_synced(dir: &Path, name: &str, text: &str) -> io::Result<()> {
    let path = dir.join(name);
    fs::create_dir_all(dir)?;
    let draft = dir.join(format!("{name}.draft"));
    let mut file = File::create(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, &path)?;
    File::open(dir)?.sync_all()?;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_text_is_remembered() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("new");
        assert_eq!(recall(&path, "x"), None);
        for text in ["1", "2", "2"] {
            remember(&path, "x", text).expect("written");
            assert_eq!(recall(&path, "x").as_deref(), Some(text));
        }
    }

    #[test]
    fn a_node_keeps_its_identity() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("new/data");
        let node = node_id(&path).expect("made");
        assert_eq!(node_id(&path).expect("read"), node);
        fs::write(path.join(NODE), "x").expect("written");
        assert!(node_id(&path).expect_err("not a UUID").to_string().contains("node-id"));
    }
}
