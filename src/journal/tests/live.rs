//! The journal as it runs: limits, failures and their healing, and a real directory.

use std::sync::Arc;

use super::memory::Memory;
use super::{append, begin, begin_with, commit, record, seqs, settings, settle};
use crate::journal::{Draft, Error, Settings, dump, open, segment, verify};

#[test]
fn a_full_journal_refuses_records_and_takes_settlements_until_it_is_drained() {
    let limits = Settings { bytes_max: 4_000, segment_bytes: 1_000, ..settings() };
    let disk = Memory::default();
    let (journal, mut writer, _) = begin_with(&disk, &limits);
    let mut stored = 0;
    let refused = loop {
        let appended = append(&journal, 1, 700);
        if let Some(error) = appended.refusal() {
            break error.clone();
        }
        writer.turn();
        stored += 1;
    };
    assert!(matches!(refused, Error::Full { limit: "bytes_max", bytes_max: 4_000 }));
    assert!(journal.usage().owed_bytes <= 4_000 && stored > 3);
    journal.append_quiet(settle(1)).unwrap();
    writer.turn();
    assert_eq!(journal.trim(u64::MAX, 0, 0, i64::MAX).unwrap(), 0);
    journal.set_owed_from("kafka", journal.synced() + 1);
    assert!(append(&journal, 2, 700).refusal().is_none());
    assert!(journal.trim(u64::MAX, 0, 0, i64::MAX).unwrap() > 2_000);
    assert_eq!(journal.usage().segments, 1);
}

#[test]
fn a_limit_below_what_is_owed_stops_records_and_deletes_nothing() {
    let disk = Memory::default();
    let (journal, mut writer, _) = begin(&disk);
    for number in 1..=10 {
        commit(&journal, &mut writer, number, 700);
    }
    journal.close();
    drop((journal, writer));
    let limits = Settings { bytes_max: 2_000, segment_bytes: 1_000, ..settings() };
    let (journal, mut writer, _) = begin_with(&disk, &limits);
    assert!(journal.usage().owed_bytes > 2_000);
    assert!(matches!(append(&journal, 11, 10).refusal(), Some(Error::Full { .. })));
    assert_eq!(journal.trim(u64::MAX, 0, 0, i64::MAX).unwrap(), 0);
    assert_eq!(seqs(&mut journal.reader(0)).len(), 10);
    journal.set_owed_from("kafka", journal.synced() + 1);
    assert!(append(&journal, 11, 10).wait_after(&mut writer).is_ok());
}

#[test]
fn a_full_queue_refuses_at_once() {
    let (journal, mut writer, _) = begin(&Memory::default());
    let mut waiting = Vec::new();
    let refused = loop {
        let appended = append(&journal, 1, 700);
        if let Some(error) = appended.refusal() {
            break error.clone();
        }
        waiting.push(appended);
    };
    assert!(matches!(refused, Error::Full { limit: "queue_bytes_max", .. }));
    for _ in 0..waiting.len() {
        writer.turn();
    }
    assert!(waiting.into_iter().all(|appended| appended.wait().is_ok()));
    assert!(append(&journal, 1, 700).refusal().is_none());
}

#[test]
fn a_writer_that_is_gone_tells_whoever_waits() {
    let (journal, writer, _) = begin(&Memory::default());
    let waiting = append(&journal, 1, 10);
    drop(writer);
    assert!(matches!(waiting.wait(), Err(Error::Closed)));
    assert!(matches!(append(&journal, 2, 10).refusal(), Some(Error::Closed)));
}

#[test]
fn a_segment_that_cannot_be_deleted_is_tried_again() {
    let disk = Memory::default();
    let (journal, mut writer, _) = begin(&disk);
    for number in 0..8 {
        commit(&journal, &mut writer, number, 700);
    }
    journal.set_owed_from("kafka", 8);
    let before = journal.usage();
    disk.faults(|faults| faults.unlinks = 1);
    let failed = journal.trim(8, 0, 0, i64::MAX);
    assert!(matches!(failed, Err(Error::Disk { step: "delete", .. })));
    assert_eq!(journal.usage(), before);
    let freed = journal.trim(8, 0, 0, i64::MAX).unwrap();
    assert_eq!(journal.usage().bytes, before.bytes - freed);
    assert!(freed > 0 && seqs(&mut journal.reader(0)).contains(&8));
}

#[test]
fn a_reader_and_a_trim_do_not_hinder_each_other() {
    let disk = Memory::default();
    let (journal, mut writer, _) = begin(&disk);
    for number in 0..20 {
        commit(&journal, &mut writer, number, 700);
    }
    let mut reader = journal.reader(1);
    assert_eq!(reader.next_frame().unwrap().unwrap().seq, 1);
    journal.set_owed_from("kafka", 15);
    assert!(journal.trim(15, 0, 0, i64::MAX).unwrap() > 0);
    let first = journal.usage().first_seq;
    assert!((2..=15).contains(&first));
    let read = seqs(&mut reader);
    assert!(read.is_sorted() && read.ends_with(&[15, 16, 17, 18, 19, 20]), "{read:?}");
    commit(&journal, &mut writer, 20, 10);
    assert_eq!(seqs(&mut reader), [21]);
}

#[test]
fn many_threads_append_to_a_real_directory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/journal");
    let settings = Settings { segment_bytes: 64 << 10, ..Settings::default() };
    let (journal, recovered) = open("main", &path, &settings).unwrap();
    assert_eq!((recovered.first_seq, recovered.next_seq), (1, 1));
    assert!(matches!(open("main", &path, &settings), Err(Error::Locked(_))));
    let followed = journal.follow();
    let threads: Vec<_> = (0..8u128)
        .map(|thread| {
            let journal = journal.clone();
            std::thread::spawn(move || {
                let append = |at: u128| append(&journal, thread * 100 + at, 2_000).wait().unwrap();
                (0..50).map(append).collect::<Vec<u64>>()
            })
        })
        .collect();
    let mut all: Vec<u64> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    all.sort_unstable();
    assert!(all.iter().copied().eq(1..=400));
    assert!(followed.try_iter().map(|followed| followed.seq).eq(1..=400));
    journal.append_quiet(settle(7)).unwrap();
    journal.close();
    assert_eq!(journal.synced(), 401);
    assert!(matches!(append(&journal, 1, 1).wait(), Err(Error::Closed)));
    drop(journal);

    let report = verify(&path).unwrap();
    assert!(report.intact && report.segments.len() > 5, "{report:?}");
    assert_eq!(report.segments.iter().map(|segment| segment.records).sum::<u64>(), 400);
    let mut dumped = Vec::new();
    assert_eq!(dump(&path, 390, |frame| dumped.push(frame.seq)).unwrap(), 12);
    assert!(dumped.into_iter().eq(390..=401));
    let (journal, recovered) = open("main", &path, &settings).unwrap();
    assert_eq!((recovered.next_seq, recovered.torn_bytes), (402, 0));
    assert!(recovered.settled[&7][&0].is_empty());
    assert_eq!(seqs(&mut journal.reader(400)), [400, 401]);
}

#[test]
fn appends_resolve_in_an_async_runtime_and_when_the_last_handle_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open("main", folder.path(), &Settings::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let seqs = runtime.block_on(async {
        let waiting: Vec<_> = (0..10).map(|number| append(&journal, number, 100)).collect();
        let mut seqs = Vec::new();
        for appended in waiting {
            seqs.push(appended.await.unwrap());
        }
        seqs
    });
    assert!(seqs.into_iter().eq(1..=10));
    let last = append(&journal, 11, 100);
    drop(journal);
    assert_eq!(last.wait().unwrap(), 11);
}

#[test]
fn verify_sees_damage_and_missing_segments() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 4_096, ..Settings::default() };
    let (journal, _) = open("main", folder.path(), &settings).unwrap();
    for number in 0..6 {
        append(&journal, number, 3_000).wait().unwrap();
    }
    drop(journal);
    let report = verify(folder.path()).unwrap();
    assert!(report.intact && report.segments.len() == 6);
    let path = |seq| folder.path().join(segment::name(seq));
    let mut bytes = std::fs::read(path(2)).unwrap();
    bytes[500] ^= 1;
    std::fs::write(path(2), bytes).unwrap();
    std::fs::remove_file(path(4)).unwrap();
    let report = verify(folder.path()).unwrap();
    assert!(!report.intact);
    let corrupt: Vec<u64> = report.segments.iter().map(|segment| segment.corrupt_frames).collect();
    assert_eq!(corrupt, [0, 1, 0, 0, 0]);
    let gaps: Vec<bool> = report.segments.iter().map(|segment| segment.gap).collect();
    assert_eq!(gaps, [false, false, false, true, false]);
}

#[test]
fn the_passenger_reaches_the_follower() {
    use crate::model::{Charge, Parcel, Routed};

    let (journal, mut writer, _) = begin(&Memory::default());
    let followed = journal.follow();
    let parcel =
        Parcel { record: record(1, b"x"), routed: Routed::default(), charge: Charge::default() };
    let parcel = Arc::new(parcel);
    let draft = Draft::Record { pending: false, owed: &[], record: &parcel.record };
    let appended = journal.append(draft, Some(Arc::clone(&parcel)));
    journal.append_quiet(settle(1)).unwrap();
    writer.turn();
    assert_eq!(appended.wait().unwrap(), 1);
    let got = followed.try_recv().unwrap();
    assert_eq!((got.seq, got.from), (1, 1));
    assert!(Arc::ptr_eq(&got.passenger.unwrap(), &parcel));
    assert_eq!(commit(&journal, &mut writer, 2, 10), 3);
    let next = followed.try_recv().unwrap();
    assert_eq!((next.seq, next.from), (3, 2));
}

#[test]
fn every_follower_gets_every_record_and_a_dropped_one_is_forgotten() {
    let (journal, mut writer, _) = begin(&Memory::default());
    let (first, second) = (journal.follow(), journal.follow());
    commit(&journal, &mut writer, 1, 10);
    drop(first);
    commit(&journal, &mut writer, 2, 10);
    let third = journal.follow();
    for number in 3..6 {
        commit(&journal, &mut writer, number, 10);
    }
    // It holds three; what did not fit is a gap that it sees.
    assert!(second.try_iter().map(|followed| followed.seq).eq([1, 2, 3]));
    let told: Vec<_> = third.try_iter().map(|followed| (followed.from, followed.seq)).collect();
    assert_eq!(told, [(3, 3), (4, 4), (5, 5)]);
    commit(&journal, &mut writer, 6, 10);
    let next = second.try_recv().unwrap();
    assert_eq!((next.from, next.seq), (6, 6));
    assert_eq!(third.try_recv().unwrap().seq, 6);
}

#[test]
fn a_sink_that_says_nothing_holds_what_its_cursor_said() {
    let disk = Memory::default();
    let (journal, mut writer, _) = begin(&disk);
    for number in 0..8 {
        commit(&journal, &mut writer, number, 700);
    }
    journal.cursor("store").unwrap().save(4).unwrap();
    let (journal, _writer, _) = begin(&disk);
    journal.set_owed_from("kafka", 9);
    journal.trim(u64::MAX, 0, 0, i64::MAX).unwrap();
    assert!((3..=4).contains(&journal.usage().first_seq));
    journal.release("store");
    journal.trim(u64::MAX, 0, 0, i64::MAX).unwrap();
    assert!(journal.usage().first_seq > 4);
    assert_eq!(journal.usage().owed_bytes, 0);
}

#[test]
fn two_journals_live_in_one_process_under_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let names = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let name = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default()
        };
        tasks.map(name).collect::<Vec<_>>()
    };
    let open = |name| open(name, &folder.path().join(name), &Settings::default()).unwrap().0;
    let (main, park) = (open("main"), open("park-page-and-more"));
    assert_eq!(append(&main, 1, 10).wait().unwrap(), 1);
    assert_eq!(append(&park, 2, 10).wait().unwrap(), 1);
    for name in ["journal\n", "j-park-page-and\n"] {
        assert!(names().iter().any(|thread| thread == name), "{:?}", names());
    }
}
