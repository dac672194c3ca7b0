//! The checkpoint file: what the store can be brought back to.
//!
//! In and out: `.checkpoint.json` in the store's folder, one line of JSON and one with its CRC-32C.
//! It is replaced as a whole (write, sync, rename, sync the folder), so that there always is one,
//! old or new. Must never be trusted with a wrong CRC: its lengths cut files.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Error, disk};

/// Its name; readers of `**/*.ndjson` never see it.
pub(super) const NAME: &str = ".checkpoint.json";
const NEW_NAME: &str = ".checkpoint.json.new";
const FORMAT: u32 = 1;

/// See the file's header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    format: u32,
    /// Counts checkpoints, and is in the names of the files that were made for it.
    pub(super) generation: u64,
    /// The first batch that is not covered; `None` before the first.
    pub(super) next_seq: Option<u64>,
    /// Files that may have been appended to since, with the lengths to cut them to.
    pub(super) files: Vec<Listed>,
    /// Types without a route, in alphabetical order; the empty one stands for those beyond the cap.
    pub(super) types: BTreeMap<String, u64>,
}

/// One file that may still be appended to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed {
    pub(super) lane: String,
    /// Hours since 1970.
    pub(super) hour: i64,
    pub(super) generation: u64,
    pub(super) number: u64,
    pub(super) bytes: u64,
    /// Checkpoints since its last event.
    pub(super) idle: u32,
}

#[derive(Serialize, Deserialize)]
struct Seal {
    crc32c: u32,
}

impl Checkpoint {
    pub(super) fn new(generation: u64, next_seq: Option<u64>) -> Self {
        Self { format: FORMAT, generation, next_seq, files: Vec::new(), types: BTreeMap::new() }
    }

    /// The checkpoint in a folder, if there is one.
    pub(super) fn read(root: &Path) -> Result<Option<Self>, Error> {
        let path = root.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        parse(&text).map(Some).map_err(|reason| Error::Damaged { path, reason })
    }

    /// Replaces the checkpoint in a folder. After `Error::Io` the old one stands; after
    /// `Error::Broken` either may.
    pub(super) fn write(&self, root: &Path) -> Result<(), Error> {
        let (new, path) = (root.join(NEW_NAME), root.join(NAME));
        disk::write_new(&new, self.text().as_bytes()).map_err(Error::io("write", &new))?;
        disk::rename(&new, &path).map_err(Error::broken("replace", &path))?;
        disk::sync_folder(root).map_err(Error::broken("sync", root))
    }

    fn text(&self) -> String {
        let line = serde_json::to_string(self).expect("numbers, strings and lists are JSON");
        let crc32c = crc32c::crc32c(line.as_bytes());
        format!("{line}\n{{\"crc32c\":{crc32c}}}\n")
    }
}

fn parse(text: &str) -> Result<Checkpoint, String> {
    let (line, seal) = text.split_once('\n').ok_or("it is cut short")?;
    let seal: Seal = serde_json::from_str(seal).map_err(|_| "its checksum is missing")?;
    if seal.crc32c != crc32c::crc32c(line.as_bytes()) {
        return Err("its checksum is wrong".to_owned());
    }
    let checkpoint: Checkpoint = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if checkpoint.format != FORMAT {
        return Err(format!("it has format {}, this version reads {FORMAT}", checkpoint.format));
    }
    Ok(checkpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Checkpoint {
        let mut sample = Checkpoint::new(7, Some(42));
        sample.types.insert("page.view".to_owned(), 3);
        sample.files.push(Listed {
            lane: "page.view".to_owned(),
            hour: 490_896,
            generation: 6,
            number: 1,
            bytes: 700,
            idle: 0,
        });
        sample
    }

    #[test]
    fn its_text_is_pinned() {
        let line = concat!(
            r#"{"format":1,"generation":7,"next_seq":42,"files":[{"lane":"page.view","#,
            r#""hour":490896,"generation":6,"number":1,"bytes":700,"idle":0}],"#,
            r#""types":{"page.view":3}}"#
        );
        let crc32c = crc32c::crc32c(line.as_bytes());
        assert_eq!(sample().text(), format!("{line}\n{{\"crc32c\":{crc32c}}}\n"));
    }

    #[test]
    fn is_read_back_and_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(Checkpoint::read(dir.path()).expect("nothing"), None);
        for checkpoint in [sample(), Checkpoint::new(8, None)] {
            checkpoint.write(dir.path()).expect("room");
            assert_eq!(Checkpoint::read(dir.path()).expect("readable"), Some(checkpoint));
        }
    }

    #[test]
    fn refuses_every_cut_and_every_changed_byte() {
        let text = sample().text();
        for end in 0..text.len() - 1 {
            assert!(parse(&text[..end]).is_err(), "cut at {end}");
        }
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1;
            let same = |text: &str| parse(text).is_ok_and(|found| found == sample());
            let changed = String::from_utf8(changed).expect("ASCII");
            assert!(parse(&changed).is_err() || same(&changed), "changed at {at}: {changed}");
        }
    }

    #[test]
    fn refuses_the_format_of_a_later_version() {
        let later = Checkpoint { format: 2, ..sample() }.text();
        assert_eq!(parse(&later).expect_err("later"), "it has format 2, this version reads 1");
    }
}
