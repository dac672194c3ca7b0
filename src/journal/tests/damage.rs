//! What a disk can do to a journal between two runs, case by case.

use std::sync::Arc;

use uuid::Uuid;

use super::memory::Memory;
use super::{append, begin, commit, seqs};
use crate::journal::frame::MAGIC;
use crate::journal::handle::prepare;
use crate::journal::segment::{self, Start};
use crate::journal::{Draft, Error};
use crate::model::Owed;

/// Three groups in one segment: seqs 1 and 2, 3 and 4, 5 and 6. Gives the offsets of the frames.
fn three_groups() -> (Memory, String, Vec<usize>) {
    let disk = Memory::default();
    let (journal, mut writer, _) = begin(&disk);
    for number in [1, 3, 5] {
        let both = [append(&journal, number, 100), append(&journal, number + 1, 100)];
        writer.turn();
        assert!(both.into_iter().all(|appended| appended.wait().is_ok()));
    }
    assert_eq!(journal.synced(), 6);
    let name = segment::name(1);
    let content = disk.content(&name);
    let offsets = (0..content.len()).filter(|at| content[*at..].starts_with(&MAGIC)).collect();
    (disk, name, offsets)
}

#[test]
fn a_damaged_frame_is_skipped_kept_and_counted() {
    // Magic, length, header checksum, payload: whatever is hit, only this frame is gone.
    for within in [0, 18, 26, 60] {
        for (frame, left) in [(0, vec![2, 3, 4, 5, 6]), (2, vec![1, 2, 4, 5, 6])] {
            let (disk, name, offsets) = three_groups();
            disk.damage(&name, offsets[frame] + within);
            let (journal, _writer, recovered) = begin(&disk);
            assert_eq!((recovered.corrupt_frames, recovered.torn_bytes), (1, 0));
            let mut reader = journal.reader(0);
            assert_eq!(seqs(&mut reader), left, "byte {within} of frame {frame}");
            assert_eq!(reader.corrupt_frames(), 1);
            let kept = disk.content(&format!("{name}.{}.broken", offsets[frame]));
            assert_eq!(kept.len(), offsets[1] - offsets[0]);
        }
    }
}

#[test]
fn damage_at_the_end_of_a_sealed_segment_is_counted() {
    let (disk, name, offsets) = three_groups();
    let (journal, mut writer, _) = begin(&disk);
    assert_eq!(commit(&journal, &mut writer, 7, 10), 7);
    disk.damage(&name, offsets[4] + 40);
    disk.damage(&name, offsets[5] + 40);
    let (journal, _writer, recovered) = begin(&disk);
    assert_eq!(recovered.corrupt_frames, 2);
    let mut reader = journal.reader(0);
    assert_eq!(seqs(&mut reader), [1, 2, 3, 4, 7]);
    assert_eq!(reader.corrupt_frames(), 2);
}

#[test]
fn a_hole_in_the_last_group_is_no_damage_as_nobody_was_told() {
    let (disk, name, offsets) = three_groups();
    disk.damage(&name, offsets[4] + 40);
    let (journal, mut writer, recovered) = begin(&disk);
    assert_eq!((recovered.corrupt_frames, recovered.torn_frames), (0, 1));
    let mut reader = journal.reader(0);
    assert_eq!(seqs(&mut reader), [1, 2, 3, 4, 6]);
    assert_eq!(reader.corrupt_frames(), 0);
    // The next segment says so for good.
    assert_eq!(commit(&journal, &mut writer, 7, 10), 7);
    let (journal, _writer, recovered) = begin(&disk);
    assert_eq!((recovered.corrupt_frames, recovered.torn_frames), (0, 0));
    let mut reader = journal.reader(0);
    assert_eq!(seqs(&mut reader), [1, 2, 3, 4, 6, 7]);
    assert_eq!(reader.corrupt_frames(), 0);
}

#[test]
fn a_tail_torn_anywhere_is_cut_and_kept() {
    let (disk, name, offsets) = three_groups();
    let whole = disk.content(&name);
    for end in offsets[5]..whole.len() {
        let disk = Memory::default();
        disk.put(&name, &whole[..end]);
        // Twice: recovery may itself be cut short.
        for _ in 0..2 {
            let (journal, _writer, recovered) = begin(&disk);
            assert_eq!(recovered.corrupt_frames, 0, "cut at {end}");
            assert_eq!(recovered.next_seq, 6);
            assert_eq!(seqs(&mut journal.reader(0)), [1, 2, 3, 4, 5]);
        }
        assert_eq!(disk.content(&name).len(), offsets[5]);
        if end > offsets[5] {
            let kept = disk.content(&format!("{name}.{}.broken", offsets[5]));
            assert_eq!(kept, &whole[offsets[5]..end]);
        }
    }
}

#[test]
fn zeros_behind_the_end_are_cut_without_a_copy() {
    let (disk, name, _) = three_groups();
    let mut content = disk.content(&name);
    let end = content.len();
    content.resize(end + 5_000, 0);
    disk.put(&name, &content);
    let (_, _, recovered) = begin(&disk);
    assert_eq!((recovered.torn_bytes, recovered.next_seq), (5_000, 7));
    assert_eq!(disk.content(&name).len(), end);
    assert!(!disk.names().iter().any(|name| name.ends_with(".broken")));
}

#[test]
fn an_older_frame_behind_the_end_is_not_taken() {
    let (disk, name, offsets) = three_groups();
    let mut content = disk.content(&name);
    let old = content[offsets[1]..offsets[3]].to_vec();
    content.extend_from_slice(&old);
    disk.put(&name, &content);
    let (journal, _writer, recovered) = begin(&disk);
    assert_eq!(recovered.torn_bytes, old.len() as u64);
    assert_eq!(seqs(&mut journal.reader(0)), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn frames_behind_a_damaged_segment_header_are_read() {
    let (disk, name, _) = three_groups();
    let (journal, mut writer, _) = begin(&disk);
    assert_eq!(commit(&journal, &mut writer, 7, 10), 7);
    disk.damage(&name, 20);
    let (journal, _writer, recovered) = begin(&disk);
    assert_eq!(recovered.corrupt_frames, 0);
    assert_eq!(seqs(&mut journal.reader(0)), [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_file_that_was_never_finished_is_deleted() {
    for bytes in [0, 1, 63, 64] {
        let (disk, _, _) = three_groups();
        disk.put(&segment::name(7), &vec![0xaa; bytes]);
        let (journal, _writer, recovered) = begin(&disk);
        assert_eq!(recovered.next_seq, 7);
        assert_eq!(journal.usage().segments, 1);
        assert!(!disk.names().contains(&segment::name(7)));
    }
}

#[test]
fn the_name_of_an_empty_segment_is_not_used_again() {
    let disk = Memory::default();
    let (_, mut writer, _) = begin(&disk);
    writer.begin(0).unwrap();
    let (journal, mut writer, recovered) = begin(&disk);
    assert_eq!((recovered.first_seq, recovered.next_seq), (2, 2));
    assert_eq!(commit(&journal, &mut writer, 1, 10), 2);
}

#[test]
fn another_journal_a_newer_version_and_nothing_to_trust_are_refused() {
    let journal = Uuid::nil();
    let start = Start { first: 9, previous: 1, acknowledged: 6, journal, created_ms: 0, holes: 0 };
    let opened =
        |disk: &Memory| prepare("main", Arc::new(disk.clone()), &super::settings()).err().unwrap();

    let (disk, name, _) = three_groups();
    disk.put(&segment::name(9), &start.encode());
    assert!(matches!(opened(&disk), Error::Foreign { found, .. } if found.is_nil()));

    let mut newer = start.encode();
    newer[4] = 2;
    let sum = crc32c::crc32c(&newer[..60]);
    newer[60..].copy_from_slice(&sum.to_le_bytes());
    disk.put(&segment::name(9), &newer);
    assert!(matches!(opened(&disk), Error::Version { found: 2, known: 1, .. }));

    let (disk, _, _) = three_groups();
    disk.damage(&name, 20);
    assert!(matches!(opened(&disk), Error::Headers(_)));
}

#[test]
fn cursors_decide_what_is_settled_and_keep_the_numbering_alive() {
    let (disk, name, _) = three_groups();
    let (journal, mut writer, _) = begin(&disk);
    for record in [2, 4] {
        let owed = Owed::default();
        journal.append_quiet(Draft::Settle { record, cluster: 0, owed: &owed }).unwrap();
    }
    writer.turn();
    let mut cursor = journal.cursor("kafka").unwrap();
    cursor.save(3).unwrap();
    let (_, _, recovered) = begin(&disk);
    assert_eq!((recovered.cursor_seq, recovered.next_seq), (3, 9));
    assert!(recovered.settled.keys().eq([&4]));
    cursor.save(20).unwrap();
    disk.remove(&name);
    disk.remove(&segment::name(7));
    let (journal, _writer, recovered) = begin(&disk);
    assert_eq!((recovered.first_seq, recovered.next_seq), (20, 20));
    assert_eq!(journal.cursor("kafka").unwrap().load(), Some(20));
}
