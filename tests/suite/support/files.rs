//! The embedded store as a reader sees it: folders and lines, nothing of the gateway's own.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// One line of a file of the store.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// `lane=…/date=…/hour=…`.
    pub(crate) folder: String,
    /// The line, without its line feed.
    pub(crate) line: String,
    /// What its `_tg` says.
    pub(crate) tg: Value,
}

/// The part of a line that is the gateway's. The rest may hold numbers that no double holds.
#[derive(Deserialize)]
struct Line {
    _tg: Value,
}

impl Stored {
    /// A text of `_tg`.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.tg[key].as_str().unwrap_or_default()
    }

    /// The event's effective id.
    pub(crate) fn id(&self) -> &str {
        self.text("id")
    }

    /// The lane of its folder.
    pub(crate) fn lane(&self) -> &str {
        let lane = self.folder.split('/').next().unwrap_or_default();
        lane.strip_prefix("lane=").unwrap_or(lane)
    }
}

/// Every whole line of every file, by path; a file may be in the middle of being written.
pub(crate) fn stored(data_dir: &Path) -> Vec<Stored> {
    let root = data_dir.join("events");
    let mut found = Vec::new();
    for path in paths(data_dir) {
        let Ok(bytes) = fs::read(&path) else { continue };
        let folder = path.parent().and_then(|folder| folder.strip_prefix(&root).ok());
        let folder = folder.expect("below the store").display().to_string();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(line) = line.strip_suffix(b"\n") else { continue };
            let line = String::from_utf8(line.to_vec()).expect("tier 2 is UTF-8");
            let Line { _tg: tg } = serde_json::from_str(&line).expect("tier 2 is JSON");
            found.push(Stored { folder: folder.clone(), line, tg });
        }
    }
    found
}

/// The store's files, sorted.
pub(crate) fn paths(data_dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![data_dir.join("events")];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "ndjson") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
