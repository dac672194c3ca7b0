//! The file that carries a journal to another node: never a panic, all of it is taken or none, and
//! what was taken is exported the same.
//!
//! A fuzzer does not guess checksums, so an export is also built around whatever it sends.

use std::path::Path;

use tidegate::journal::frame::ALIGN;
use tidegate::journal::{Settings, export, import};
use uuid::Uuid;

use super::stored::whole;

/// An export as it is, and one whose only frame holds the input.
pub fn file(data: &[u8]) {
    let dir = folder();
    let (from, journal) = (dir.path().join("from"), dir.path().join("journal"));
    check(&from, data, &journal);
    let Some((&kind, payload)) = data.split_first() else { return };
    let Some(frame) = whole(kind, 1, payload, Uuid::nil()) else { return };
    check(&from, &around(&frame), &journal);
}

/// Files in memory where there are any: this is done thousands of times a second.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let builder = tempfile::Builder::new();
    let dir = if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() };
    dir.expect("a folder")
}

fn check(from: &Path, bytes: &[u8], journal: &Path) {
    std::fs::write(from, bytes).expect("room for an export");
    match import(from, journal, &settings()) {
        Ok(taken) => {
            let again = from.with_extension("again");
            let summary = export(journal, &again, None).expect("an export of what was taken");
            // A record that owes nothing to any cluster is taken, and need not be carried again.
            assert!(summary.records <= taken.records && summary.rules.is_subset(&taken.rules));
            std::fs::remove_file(again).expect("our export");
            std::fs::remove_dir_all(journal).expect("our journal");
        }
        // A refused file is refused before a journal is made.
        Err(_) => assert!(!journal.exists(), "half of a refused file was taken"),
    }
}

/// Small files, so that making one costs little.
fn settings() -> Settings {
    Settings {
        segment_bytes: 64 << 10,
        bytes_max: 64 << 20,
        min_free_bytes: 0,
        reserve_bytes: 0,
        ..Settings::default()
    }
}

/// The layout is that of `journal/export.rs`.
fn around(frame: &[u8]) -> Vec<u8> {
    let names = b"files";
    let mut file = b"TGJX".to_vec();
    file.extend_from_slice(&1_u32.to_le_bytes());
    file.extend_from_slice(Uuid::nil().as_bytes());
    file.extend_from_slice(&u32::try_from(names.len()).unwrap_or(0).to_le_bytes());
    file.extend_from_slice(&crc32c::crc32c(&file).to_le_bytes());
    file.extend_from_slice(names);
    file.extend_from_slice(&crc32c::crc32c(names).to_le_bytes());
    file.resize(file.len().next_multiple_of(ALIGN), 0);
    file.extend_from_slice(frame);
    let mut end = b"TGXE".to_vec();
    end.extend_from_slice(&1_u64.to_le_bytes());
    end.extend_from_slice(&(frame.len() as u64).to_le_bytes());
    end.extend_from_slice(&crc32c::crc32c(frame).to_le_bytes());
    end.extend_from_slice(&crc32c::crc32c(&end).to_le_bytes());
    file.extend_from_slice(&end);
    file
}
