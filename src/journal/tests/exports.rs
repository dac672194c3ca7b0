//! What one node owed and another takes over: exact, whole or not at all.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{record, seqs};
use crate::journal::{
    Draft, Entry, Error, Frame, Journal, Settings, Summary, dump, export, import, open, segment,
};
use crate::model::Owed;

fn set(bits: &[u32]) -> Owed {
    bits.iter().copied().collect()
}

fn write(journal: &Journal, number: u128, pending: bool, owed: &[Owed]) -> u64 {
    let record = record(number, format!("body {number}").as_bytes());
    journal.append_wait(Draft::Record { pending, owed, record: &record }, None).unwrap()
}

fn settle(journal: &Journal, record: u64, owed: &Owed) {
    journal.append_wait(Draft::Settle { record, cluster: 0, owed }, None).unwrap();
}

/// Five records: 1 is done by the cursor, 2 settled, 3 half settled, 4 pending, 5 the store's.
fn source(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("source");
    let (journal, _) = open("main", &path, &Settings::default()).unwrap();
    for (number, pending) in [(1, false), (2, false), (3, true), (4, true)] {
        assert_eq!(
            write(&journal, number, pending, &[set(&[0, 1, 2])]),
            u64::try_from(number).unwrap()
        );
    }
    write(&journal, 5, false, &[]);
    settle(&journal, 2, &set(&[0]));
    settle(&journal, 2, &set(&[]));
    settle(&journal, 3, &set(&[2]));
    journal.cursor("kafka").unwrap().save(2).unwrap();
    path
}

fn frames(path: &Path) -> Vec<Frame> {
    let mut frames = Vec::new();
    dump(path, 0, |frame| frames.push(frame)).unwrap();
    frames
}

/// The numbers of the records and what they owe.
fn owing(path: &Path) -> Vec<(u64, u128, Vec<Owed>)> {
    let told = |frame: Frame| match frame.entry {
        Entry::Record { pending, owed, record: found } => {
            assert!(!pending, "nobody waits for it any more");
            let number = found.facts.batch.as_u128();
            let sent = record(number, format!("body {number}").as_bytes());
            assert_eq!((found.facts, found.body), (sent.facts, sent.body));
            (frame.seq, number, owed)
        }
        Entry::Settle { .. } => panic!("a settlement came along"),
    };
    frames(path).into_iter().map(told).collect()
}

#[test]
fn what_is_still_owed_arrives_exactly_and_behind_the_cursors() {
    let folder = tempfile::tempdir().unwrap();
    let (source, file) = (source(&folder), folder.path().join("owed.tgx"));
    let summary = export(&source, &file, None).unwrap();
    assert_eq!((summary.records, summary.seqs, summary.corrupt_frames), (3, Some((3, 5)), 0));
    assert_eq!(summary.sinks, ["kafka"]);
    assert!(summary.rules.iter().eq(["00000000deadbeef"]));

    let fresh = folder.path().join("fresh");
    let imported = import(&file, &fresh, &Settings::default()).unwrap();
    assert_eq!(imported, Summary { seqs: Some((1, 3)), ..summary.clone() });
    let left = [(3, vec![set(&[2])]), (4, vec![set(&[0, 1, 2])]), (5, vec![])];
    let expected = |first: u64| {
        let seqs = first..;
        seqs.zip(left.clone()).map(|(seq, (number, owed))| (seq, number, owed)).collect::<Vec<_>>()
    };
    assert_eq!(owing(&fresh), expected(1));
    let (journal, _) = open("main", &fresh, &Settings::default()).unwrap();
    assert_eq!(journal.cursor("kafka").unwrap().load(), Some(1), "or it would begin behind them");
    journal.close();
    drop(journal);

    // A node that has records of its own keeps its cursor, and takes them at its end.
    let other = folder.path().join("other");
    let (journal, _) = open("main", &other, &Settings::default()).unwrap();
    let own = write(&journal, 9, false, &[set(&[0])]);
    journal.cursor("kafka").unwrap().save(own).unwrap();
    drop(journal);
    import(&file, &other, &Settings::default()).unwrap();
    assert_eq!(owing(&other)[1..], expected(2)[..]);
    let (journal, recovered) = open("main", &other, &Settings::default()).unwrap();
    assert_eq!((recovered.cursor_seq, recovered.next_seq), (own, 5));
    assert_eq!(seqs(&mut journal.reader(0)), [1, 2, 3, 4]);
    assert_eq!(frames(&source).len(), 8, "the source is as it was");
}

#[test]
fn a_journal_that_is_open_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (source, file) = (source(&folder), folder.path().join("owed.tgx"));
    let (journal, _) = open("main", &source, &Settings::default()).unwrap();
    assert!(matches!(export(&source, &file, None), Err(Error::Locked(_))));
    assert!(!file.exists());
    drop(journal);
    export(&source, &file, Some(4)).unwrap();
    assert!(matches!(export(&source, &file, None), Err(Error::Disk { step: "create", .. })));
    let (journal, _) = open("main", &source, &Settings::default()).unwrap();
    let refused = import(&file, &source, &Settings::default());
    assert!(matches!(refused, Err(Error::Locked(_))));
    drop(journal);
    let imported = import(&file, &folder.path().join("fresh"), &Settings::default()).unwrap();
    assert_eq!(imported.records, 2, "from 4 on");
}

#[test]
fn an_export_with_any_byte_changed_or_missing_imports_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("owed.tgx");
    export(&source(&folder), &file, None).unwrap();
    let whole = std::fs::read(&file).unwrap();
    let (bad, into) = (folder.path().join("bad"), folder.path().join("into"));
    let refused = |bytes: &[u8]| {
        std::fs::write(&bad, bytes).unwrap();
        let refused = import(&bad, &into, &Settings::default()).unwrap_err();
        assert!(!into.exists(), "{refused}");
        refused
    };
    for end in 0..whole.len() {
        assert!(matches!(refused(&whole[..end]), Error::Export { .. }), "cut at {end}");
    }
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert!(matches!(refused(&bytes), Error::Export { .. }), "byte {at}");
    }
    assert!(matches!(refused(&[&whole[..], b"x"].concat()), Error::Export { .. }));
    assert!(refused(b"").to_string().ends_with("nothing was imported"));

    let mut newer = whole;
    newer[4] = 2;
    let sum = crc32c::crc32c(&newer[..28]);
    newer[28..32].copy_from_slice(&sum.to_le_bytes());
    let error = refused(&newer);
    assert!(matches!(error, Error::Version { found: 2, known: 1, .. }));
    assert!(error.to_string().contains("or a newer one"), "{error}");
}

#[test]
fn damage_in_the_source_is_said_and_the_rest_is_exported() {
    let folder = tempfile::tempdir().unwrap();
    let (source, file) = (source(&folder), folder.path().join("owed.tgx"));
    let path = source.join(segment::name(1));
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(6).position(|window| window == b"body 4").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let summary = export(&source, &file, None).unwrap();
    assert_eq!((summary.records, summary.corrupt_frames), (2, 1));
    let fresh = folder.path().join("fresh");
    import(&file, &fresh, &Settings::default()).unwrap();
    assert!(owing(&fresh).into_iter().map(|(_, number, _)| number).eq([3, 5]));
}

#[test]
fn an_import_that_finds_no_room_says_how_far_it_came() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (folder.path().join("big"), folder.path().join("big.tgx"));
    let (journal, _) = open("main", &path, &Settings::default()).unwrap();
    for number in 0..40 {
        let record = record(number, &vec![7; 1 << 19]);
        let owed = [set(&[0])];
        let draft = Draft::Record { pending: false, owed: &owed, record: &record };
        journal.append_wait(draft, None).unwrap();
    }
    drop(journal);
    export(&path, &file, None).unwrap();
    let small = Settings { segment_bytes: 4 << 20, bytes_max: 12 << 20, ..Settings::default() };
    let half = folder.path().join("half");
    let Err(Error::Half { records, of: 40, source }) = import(&file, &half, &small) else {
        panic!("20 MiB fit into 12")
    };
    assert!(matches!(*source, Error::Full { limit: "bytes_max", .. }));
    assert!(records > 10 && frames(&half).len() as u64 >= records);
}
