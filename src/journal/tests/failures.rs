//! What the journal does when the disk is full, fails or cannot be written, and how it comes back.

use std::time::Duration;

use super::memory::{Faults, Memory};
use super::{append, begin, begin_with, commit, seqs, settings, settle};
use crate::journal::writer::Writer;
use crate::journal::{Error, Journal, Settings, segment};

/// A journal with one record in it.
fn one(disk: &Memory, settings: &Settings) -> (Journal, Writer) {
    let (journal, mut writer, _) = begin_with(disk, settings);
    assert_eq!(commit(&journal, &mut writer, 1, 50), 1);
    (journal, writer)
}

/// Commits two records in one group.
fn pair(journal: &Journal, writer: &mut Writer) -> [Result<u64, Error>; 2] {
    let both = [append(journal, 2, 200), append(journal, 3, 200)];
    writer.turn();
    both.map(super::super::Appended::wait)
}

#[test]
fn a_group_that_fails_once_is_acknowledged_from_a_fresh_segment() {
    let once: [(&str, Faults); 4] = [
        ("sync", Faults { syncs: 1, ..Faults::default() }),
        ("full sync", Faults { full_syncs: 1, ..Faults::default() }),
        ("sync and cut", Faults { syncs: 1, resizes: 1, ..Faults::default() }),
        // The first write finds nothing, the second has its own file.
        ("write", Faults { room: Some(100), no_allocation: true, ..Faults::default() }),
    ];
    for (case, faults) in once {
        let disk = Memory::default();
        let with = Settings { reserve_bytes: 4_000, ..settings() };
        disk.faults(|slot| slot.no_allocation = faults.no_allocation);
        let (journal, mut writer) = one(&disk, &with);
        disk.faults(|slot| *slot = faults);
        assert!(pair(&journal, &mut writer).iter().all(Result::is_ok), "{case}");
        assert!(!journal.is_down(), "{case}");
        let read = seqs(&mut journal.reader(0));
        assert_eq!(read, [1, 4, 5], "{case}: the numbers of the failed attempt are used up");
        drop((journal, writer));
        disk.crash(|| true);
        let (journal, _writer, recovered) = begin(&disk);
        assert_eq!((recovered.corrupt_frames, recovered.next_seq), (0, 6), "{case}");
        assert_eq!(seqs(&mut journal.reader(0)), read, "{case}");
    }
}

#[test]
fn a_disk_that_keeps_failing_takes_the_journal_down_until_it_is_mended() {
    let for_ever: [(&str, Faults); 5] = [
        ("sync", Faults { syncs: u32::MAX, ..Faults::default() }),
        ("full sync", Faults { full_syncs: u32::MAX, ..Faults::default() }),
        ("names", Faults { syncs: 1, name_syncs: u32::MAX, ..Faults::default() }),
        ("create", Faults { syncs: 1, full_creates: u32::MAX, ..Faults::default() }),
        ("read-only", Faults { read_only: true, ..Faults::default() }),
    ];
    for (case, faults) in for_ever {
        let disk = Memory::default();
        let (journal, mut writer) = one(&disk, &settings());
        disk.faults(|slot| *slot = faults);
        for refused in pair(&journal, &mut writer) {
            assert!(matches!(refused, Err(Error::Disk { .. })), "{case}: {refused:?}");
        }
        assert!(journal.is_down(), "{case}");
        assert!(matches!(append(&journal, 4, 10).refusal(), Some(Error::Down)), "{case}");
        assert!(journal.retry_after() >= Some(Duration::from_secs(1)), "{case}");
        writer.probe();
        assert!(journal.is_down(), "{case}");
        assert_eq!(seqs(&mut journal.reader(0)), [1], "{case}");
        disk.faults(|slot| *slot = Faults::default());
        writer.probe();
        writer.look();
        assert!(!journal.is_down(), "{case}");
        assert_eq!(journal.retry_after(), None, "{case}");
        let seq = commit(&journal, &mut writer, 6, 10);
        assert_eq!(seqs(&mut journal.reader(0)), [1, seq], "{case}");
        let (journal, _writer, recovered) = begin(&disk);
        assert_eq!((recovered.corrupt_frames, recovered.next_seq), (0, seq + 1), "{case}");
        assert_eq!(seqs(&mut journal.reader(0)), [1, seq], "{case}");
    }
}

#[test]
fn a_full_disk_shows_when_a_segment_begins_and_draining_heals_it() {
    let disk = Memory::default();
    disk.faults(|faults| faults.room = Some(9_000));
    let with = Settings { reserve_bytes: 1_000, ..settings() };
    let (journal, mut writer, _) = begin_with(&disk, &with);
    let mut last = 0;
    let refused = loop {
        let appended = append(&journal, 1, 700);
        writer.turn();
        match appended.wait() {
            Ok(seq) => last = seq,
            Err(error) => break error,
        }
        assert!(!journal.is_down());
    };
    assert!(last >= 8, "only {last} records found room");
    let full = |error: &Error| matches!(error, Error::Full { limit: "min_free_bytes", .. });
    assert!(full(&refused), "{refused}");
    assert!(full(append(&journal, 1, 1).refusal().unwrap()), "refused at the door from now on");
    assert!(journal.retry_after().is_some());
    assert!(!disk.names().contains(&"reserve".to_owned()), "it was given up");

    // What makes room still works: settlements, a new cursor, trimming.
    journal.append_quiet(settle(1)).unwrap();
    writer.turn();
    assert_eq!(journal.synced(), last + 1);
    journal.cursor("kafka").unwrap_or_else(|error| panic!("{error}"));
    disk.faults(|faults| faults.room = faults.room.map(|room| room + 8_192));
    journal.cursor("kafka").unwrap().save(last).unwrap();
    journal.set_owed_from("kafka", last);
    assert!(journal.trim(last, 0, 0, i64::MAX).unwrap() > 2_000);
    writer.look();
    assert_eq!(journal.retry_after(), None);
    assert!(disk.names().contains(&"reserve".to_owned()), "it is made again");
    let seq = commit(&journal, &mut writer, 9, 700);
    assert_eq!(seq, last + 2);
    assert_eq!(seqs(&mut journal.reader(last)), [last, last + 1, seq]);
}

#[test]
fn a_cursor_and_a_copy_of_damage_find_room_in_the_reserve() {
    let disk = Memory::default();
    let with = Settings { reserve_bytes: 10_000, ..settings() };
    let (journal, _writer) = one(&disk, &with);
    assert_eq!(disk.content("reserve").len(), 10_000);
    disk.faults(|faults| faults.room = Some(10));
    journal.cursor("kafka").unwrap().save(2).unwrap();
    assert!(!disk.names().contains(&"reserve".to_owned()));
    assert!(journal.retry_after().is_some(), "a full disk is no place for more");

    // The next start copies a torn tail, with nothing free but the reserve.
    let name = segment::name(1);
    let mut content = disk.content(&name);
    content.extend_from_slice(&[7; 500]);
    disk.put(&name, &content);
    disk.put("reserve", &vec![0; 10_000]);
    disk.faults(|faults| faults.room = Some(10));
    let (_, _, recovered) = begin_with(&disk, &with);
    assert_eq!((recovered.torn_bytes, recovered.next_seq), (500, 2));
    assert!(disk.names().iter().any(|name| name.ends_with(".broken")));
    assert!(!disk.names().contains(&"reserve".to_owned()));

    // Without a reserve the copy is left out, and the journal opens all the same.
    disk.put(&name, &content);
    disk.faults(|faults| faults.room = Some(10));
    let (_, _, recovered) = begin_with(&disk, &with);
    assert_eq!((recovered.torn_bytes, recovered.next_seq), (500, 2));
}

#[test]
fn what_must_stay_free_stops_records_and_not_settlements() {
    let disk = Memory::default();
    let with = Settings { min_free_bytes: 5_000, ..settings() };
    let (journal, mut writer) = one(&disk, &with);
    disk.faults(|faults| faults.room = Some(4_999));
    assert!(append(&journal, 2, 10).wait_after(&mut writer).is_ok(), "nobody has looked yet");
    writer.look();
    let refused = append(&journal, 3, 10).wait();
    let limit = Error::Full { limit: "min_free_bytes", bytes_max: 5_000 };
    assert_eq!(refused.unwrap_err().to_string(), limit.to_string());
    journal.append_quiet(settle(1)).unwrap();
    writer.turn();
    assert_eq!(journal.synced(), 3);
    // A little more room than the limit is not enough: the next segment would be refused.
    disk.faults(|faults| faults.room = Some(5_001));
    writer.look();
    assert!(append(&journal, 3, 10).wait().is_err());
    disk.faults(|faults| faults.room = Some(5_000 + 2_048));
    writer.look();
    assert_eq!(commit(&journal, &mut writer, 3, 10), 4);
}

#[test]
fn small_disks_get_small_limits() {
    let disk = Memory::default();
    disk.faults(|faults| {
        faults.total = Some(2_000_000);
        faults.room = Some(1_000_000);
    });
    let (journal, mut writer, _) = begin_with(&disk, &Settings::default());
    assert_eq!(disk.content("reserve").len(), 100_000);
    assert_eq!(commit(&journal, &mut writer, 1, 50), 1);
    assert_eq!(disk.held(&segment::name(1)), 100_000);
    disk.faults(|faults| faults.room = Some(99_999));
    writer.look();
    let refused = append(&journal, 2, 10).wait();
    assert!(matches!(refused, Err(Error::Full { bytes_max: 100_000, .. })), "{refused:?}");
}

#[test]
fn what_a_segment_does_not_use_is_given_back() {
    let disk = Memory::default();
    let (journal, mut writer) = one(&disk, &settings());
    let name = segment::name(1);
    assert_eq!(disk.held(&name), 2_048);
    for number in 2..5 {
        commit(&journal, &mut writer, number, 700);
    }
    assert_eq!(disk.held(&name), disk.content(&name).len(), "sealed");
    let newest = disk.names().last().unwrap().clone();
    assert_eq!(disk.held(&newest), 2_048);
    let (_journal, _writer, recovered) = begin(&disk);
    assert_eq!((recovered.torn_bytes, recovered.next_seq), (0, 5));
    assert_eq!(disk.held(&newest), disk.content(&newest).len(), "recovered");
}

#[test]
fn a_file_system_that_cannot_preallocate_is_used_all_the_same() {
    let disk = Memory::default();
    disk.faults(|faults| faults.no_allocation = true);
    let with = Settings { reserve_bytes: 100_000, ..settings() };
    let (journal, mut writer) = one(&disk, &with);
    assert_eq!(disk.content("reserve").len(), 100_000, "written instead");
    for number in 2..9 {
        commit(&journal, &mut writer, number, 700);
    }
    assert!(seqs(&mut journal.reader(0)).into_iter().eq(1..9));
}

#[test]
fn a_client_is_told_to_wait_while_the_journal_is_full_and_no_longer() {
    let limits = Settings { bytes_max: 4_000, segment_bytes: 1_000, ..settings() };
    let (journal, mut writer, _) = begin_with(&Memory::default(), &limits);
    assert_eq!(journal.retry_after(), None);
    let mut last = 0;
    while let Ok(seq) = append(&journal, 1, 700).wait_after(&mut writer) {
        last = seq;
    }
    assert_eq!(journal.retry_after(), Some(Duration::from_secs(1)), "it has only begun");
    journal.set_owed_from("kafka", 2);
    assert_eq!(journal.retry_after(), None, "there is room for what was refused");
    assert!(append(&journal, 1, 700).wait_after(&mut writer).is_ok());
    assert!(append(&journal, 1, 700).wait_after(&mut writer).is_err());
    let wait = journal.retry_after().unwrap();
    assert!(wait < Duration::from_mins(1), "a segment was settled just now: {wait:?}");
    journal.set_owed_from("kafka", last + 2);
    assert_eq!(journal.retry_after(), None);
}
