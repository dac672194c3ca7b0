//! Whether files have changed, seen from their metadata.
//!
//! In: paths, looked at again and again. Out: whether something changed and then stayed as it is
//! for one look, so that nobody reads half of what an editor writes. Looking is more robust than
//! asking the kernel to tell: an editor's rename, a ConfigMap's swapped link, a network file system
//! and a file that is not there yet all look the same. Must never read what is in them.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// What tells one state of a file from another; none when it is not there.
type Print = Option<[i64; 6]>;

/// See the file's header.
pub(super) struct Lookout {
    known: Vec<(PathBuf, Print)>,
    /// What was seen last, if it was not what is known.
    seen: Option<Vec<(PathBuf, Print)>>,
}

impl Lookout {
    /// Knows these files as they are now.
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        Self { known: prints(files), seen: None }
    }

    /// Whether something differs from what is known and looks as it did the last time. Then this is
    /// what is known.
    pub(super) fn has_settled(&mut self, files: Vec<PathBuf>) -> bool {
        let now = prints(files);
        if now == self.known {
            self.seen = None;
            return false;
        }
        if self.seen.as_ref() == Some(&now) {
            self.known = now;
            self.seen = None;
            return true;
        }
        self.seen = Some(now);
        false
    }
}

fn prints(files: Vec<PathBuf>) -> Vec<(PathBuf, Print)> {
    files
        .into_iter()
        .map(|path| {
            // Through links: what they lead to is what is read.
            let print = std::fs::metadata(&path).ok().map(|found| {
                let number = |value: u64| value.cast_signed();
                [
                    number(found.dev()),
                    number(found.ino()),
                    number(found.size()),
                    found.mtime(),
                    found.mtime_nsec(),
                    found.ctime_nsec(),
                ]
            });
            (path, print)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_change_counts_once_it_stands_still() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.toml");
        let files = || vec![path.clone()];
        let mut watch = Lookout::new(files());
        assert!(!watch.has_settled(files()), "not there, and never was");
        fs::write(&path, "1").expect("written");
        assert!(!watch.has_settled(files()), "it may be half of it");
        fs::write(&path, "12").expect("written");
        assert!(!watch.has_settled(files()), "and it was");
        assert!(watch.has_settled(files()));
        assert!(!watch.has_settled(files()), "told once");
    }

    #[test]
    fn a_rename_and_a_swapped_link_are_changes() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        for name in ["one", "two", "draft"] {
            fs::write(path(name), "same").expect("written");
        }
        symlink(path("one"), path("link")).expect("a link");
        let files = || vec![path("link"), path("two")];
        let mut watch = Lookout::new(files());
        fs::rename(path("draft"), path("two")).expect("renamed");
        assert!(!watch.has_settled(files()) && watch.has_settled(files()), "as editors save");
        symlink(path("two"), path("other")).expect("a link");
        fs::rename(path("other"), path("link")).expect("renamed");
        assert!(!watch.has_settled(files()) && watch.has_settled(files()), "as ConfigMaps change");
        let more = || [files(), vec![path("new")]].concat();
        assert!(!watch.has_settled(more()) && watch.has_settled(more()), "a file more");
    }
}
