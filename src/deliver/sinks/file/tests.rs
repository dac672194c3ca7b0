//! The store from outside, one behaviour a test; crashes at any step are in [`super::machine`].

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{Error, Settings, Store, seen, trial};
use crate::model::{
    Charge, Coding, Facts, Format, KeyKind, Lane, LaneId, Parcel, Record, Routed, Row, Span,
};

/// 2026-01-01T00:00Z.
pub(super) const ARRIVAL_MS: i64 = 1_767_225_600_000;

/// One event: its lane, type, time and a number that tells it from all others.
pub(super) type Event<'a> = (u16, &'a str, i64, u64);

pub(super) fn lanes(names: &[&str]) -> Arc<[Lane]> {
    let lane = |name: &&str| Lane { name: (*name).to_owned(), topic: format!("event.{name}") };
    names.iter().map(lane).collect()
}

pub(super) fn parcel(table: &Arc<[Lane]>, events: &[Event<'_>]) -> Parcel {
    let mut routed = Routed::default();
    routed.lanes = Arc::clone(table);
    for (index, (lane, kind, ts_ms, id)) in (0..).zip(events) {
        let at = |bytes: &[u8]| u32::try_from(bytes.len()).expect("small");
        let start = at(&routed.values);
        routed.values.extend_from_slice(b"{\"type\":\"");
        let kind_start = at(&routed.values);
        routed.values.extend_from_slice(kind.as_bytes());
        let kind = Span { start: kind_start, end: at(&routed.values) };
        write!(routed.values, "\",\"id\":{id}}}").expect("memory");
        let value = Span { start, end: at(&routed.values) };
        routed.values.push(b'\n');
        let (lane, key) = (LaneId(*lane), Span::default());
        routed.rows.push(Row { index, lane, value, own_start: start, kind, key, ts_ms: *ts_ms });
    }
    let facts = Facts {
        app: Arc::from("demo"),
        key_kind: KeyKind::Open,
        address: IpAddr::from([127, 0, 0, 1]),
        user_agent: "".into(),
        coding: Coding::Identity,
        format: Format::Lines,
        arrival_ms: ARRIVAL_MS,
        sent_ms: None,
        wait_ms: None,
        attempt: 1,
        class: 1,
        batch: Uuid::nil(),
        batch_made: false,
        rules: 0,
        node: Uuid::nil(),
    };
    Parcel { record: Record { facts, body: Bytes::new() }, routed, charge: Charge::default() }
}

/// Every event file with its text, by path below `root`.
pub(super) fn files(root: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    trial::walk(root, &mut |path: &Path, names| {
        if names.is_none() && path.extension().is_some_and(|extension| extension == "ndjson") {
            let name = path.strip_prefix(root).expect("below").to_str().expect("ASCII");
            files.insert(name.to_owned(), fs::read_to_string(path).expect("text"));
        }
    });
    files
}

fn text(root: &Path) -> String {
    files(root).into_values().collect()
}

fn line(kind: &str, id: u64) -> String {
    format!("{{\"type\":\"{kind}\",\"id\":{id}}}\n")
}

fn one(id: u64) -> Parcel {
    parcel(&lanes(&["other"]), &[(0, "a", ARRIVAL_MS, id)])
}

fn open(root: &Path) -> Store {
    Store::open(root, &Settings::default()).expect("a store").0
}

const A_FOLDER: &str = "lane=a/date=2026-01-01/hour=00";

fn a_file(generation: u64, number: u64) -> String {
    format!("{A_FOLDER}/part-{generation:08}-{number:06}.ndjson")
}

struct Place {
    _dir: tempfile::TempDir,
    root: PathBuf,
}

fn place() -> Place {
    let dir = tempfile::tempdir().expect("a folder");
    let root = dir.path().join("events");
    Place { _dir: dir, root }
}

#[test]
fn files_events_by_lane_and_hour_in_their_order() {
    let Place { root, .. } = &place();
    let mut store = open(root);
    let table = lanes(&["other", "page"]);
    let hour = 3_600_000;
    let events = [
        (1, "page.view", ARRIVAL_MS, 1),
        (1, "page.view", ARRIVAL_MS - 1, 2),
        (0, "Some_Type", ARRIVAL_MS + hour, 3),
        (1, "page.leave", ARRIVAL_MS, 4),
        (1, "page.leave", ARRIVAL_MS - 30 * 24 * hour, 5),
    ];
    store.write(1, &parcel(&table, &events)).expect("taken");
    assert_eq!(text(root), "", "nothing is visible before the flush");
    store.flush().expect("written");
    let file = |folder: &str, number: u64, lines: &[String]| {
        (format!("{folder}/part-00000001-{number:06}.ndjson"), lines.concat())
    };
    let page = [line("page.view", 1), line("page.leave", 4), line("page.leave", 5)];
    assert_eq!(
        files(root),
        BTreeMap::from([
            file("lane=page/date=2026-01-01/hour=00", 1, &page),
            file("lane=page/date=2025-12-31/hour=23", 3, &[line("page.view", 2)]),
            file("lane=some-type/date=2026-01-01/hour=01", 2, &[line("Some_Type", 3)]),
        ])
    );
}

#[test]
fn writes_before_memory_runs_over_and_begins_a_new_file_when_one_is_full() {
    let Place { root, .. } = &place();
    let bytes = line("a", 1).len();
    for (settings, batches, visible) in [
        (Settings { buffer_bytes_max: bytes, ..Settings::default() }, 3, vec![2]),
        (Settings { write_bytes: 2 * bytes, ..Settings::default() }, 4, vec![2]),
        (Settings { buffer_bytes_max: 0, file_bytes_max: 1, ..Settings::default() }, 4, vec![1; 3]),
    ] {
        let (mut store, _) = Store::open(root, &settings).expect("a store");
        for id in 1..=batches {
            store.write(id, &one(id)).expect("taken");
        }
        let found: Vec<_> = files(root).values().map(|text| text.lines().count()).collect();
        assert_eq!(found, visible);
    }
}

#[test]
fn after_a_crash_everything_behind_the_checkpoint_is_undone_and_comes_again() {
    let Place { root, .. } = &place();
    let mut store = open(root);
    store.write(1, &one(1)).expect("taken");
    assert_eq!(store.checkpoint().expect("durable"), 2);
    let b = parcel(&lanes(&["other"]), &[(0, "b", ARRIVAL_MS, 3)]);
    for _ in 0..2 {
        store.write(2, &one(2)).expect("taken");
        store.write(7, &b).expect("taken");
        store.flush().expect("written");
        assert_eq!(files(root).len(), 2);
        drop(store);
        let (again, opened) = Store::open(root, &Settings::default()).expect("a store");
        store = again;
        assert_eq!(opened.next_seq, Some(2));
        assert_eq!((opened.removed_files, opened.truncated_files), (1, 1));
        assert_eq!(files(root), BTreeMap::from([(a_file(1, 1), line("a", 1))]));
    }
}

#[test]
fn before_the_first_checkpoint_a_crash_undoes_everything() {
    let Place { root, .. } = &place();
    for _ in 0..2 {
        let (mut store, opened) = Store::open(root, &Settings::default()).expect("a store");
        assert_eq!((opened.next_seq, text(root)), (None, String::new()));
        store.write(5, &one(1)).expect("taken");
        store.flush().expect("written");
        assert_eq!(text(root), line("a", 1));
    }
}

#[test]
fn a_removal_that_a_power_cut_undoes_brings_no_event_back() {
    let Place { root, .. } = &place();
    trial::arm(None);
    let settings =
        Settings { file_bytes_max: line("a", 1).len() as u64 + 1, ..Settings::default() };
    let (mut store, _) = Store::open(root, &settings).expect("a store");
    store.write(1, &one(1)).expect("taken");
    store.checkpoint().expect("durable");
    trial::settle(root);
    for id in [2, 3] {
        store.write(id, &one(id)).expect("taken");
        store.flush().expect("written");
    }
    assert_eq!(files(root).len(), 2, "the third event begins a file");
    drop(store);
    let (mut store, opened) = Store::open(root, &settings).expect("a store");
    assert_eq!((opened.removed_files, opened.truncated_files), (1, 1));
    for id in [2, 3] {
        store.write(id, &one(id)).expect("taken");
    }
    store.checkpoint().expect("durable, and this time in one file");
    drop(store);
    let mut dice = [0].into_iter();
    trial::power_cut(root, &mut |_| dice.next().unwrap_or(1));
    let (_store, opened) = Store::open(root, &settings).expect("a store");
    assert_eq!(opened.next_seq, Some(4));
    assert_eq!(files(root).len(), 2, "the removed file is back");
    assert_eq!(text(root), [1, 2, 3].map(|id| line("a", id)).concat());
}

#[test]
fn goes_on_in_the_same_file_after_checkpoints_and_restarts() {
    let Place { root, .. } = &place();
    for id in 1..=5 {
        let mut store = open(root);
        store.write(id, &one(id)).expect("taken");
        assert_eq!(store.checkpoint().expect("durable"), id + 1);
        store.pass(id + 1);
        assert_eq!(store.settled_seq(), Some(id + 1));
    }
    let lines: String = (1..=5).map(|id| line("a", id)).collect();
    assert_eq!(files(root), BTreeMap::from([(a_file(1, 1), lines)]));
}

#[test]
fn files_that_rest_or_are_too_many_are_finished() {
    let Place { root, .. } = &place();
    let settings = Settings { idle_checkpoints_max: 2, files_max: 8, ..Settings::default() };
    let (mut store, _) = Store::open(root, &settings).expect("a store");
    let kinds: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
    let table = lanes(&["other"]);
    for (seq, kind) in (1..).zip(&kinds) {
        store.write(seq, &parcel(&table, &[(0, kind, ARRIVAL_MS, seq)])).expect("taken");
        assert!(store.parts.list.len() <= 8, "{}", store.parts.list.len());
    }
    for seq in 41..44 {
        store.write(seq, &one(seq)).expect("taken");
        store.checkpoint().expect("durable");
    }
    assert_eq!(store.parts.list.len(), 1, "only the file that is written to");
    drop(store);
    let (store, _) = Store::open(root, &settings).expect("a store");
    assert_eq!(store.parts.list.len(), 1);
    assert_eq!(text(root).lines().count(), 43);
}

#[test]
fn holds_no_more_handles_than_allowed() {
    let Place { root, .. } = &place();
    let settings = Settings { open_files_max: 3, ..Settings::default() };
    let (mut store, _) = Store::open(root, &settings).expect("a store");
    let kinds: Vec<String> = (0..10).map(|number| format!("k{number}")).collect();
    for seq in 1..=5 {
        let events: Vec<_> = kinds.iter().map(|kind| (0, kind.as_str(), ARRIVAL_MS, seq)).collect();
        store.write(seq, &parcel(&lanes(&["other"]), &events)).expect("taken");
        store.flush().expect("written");
        let open = store.parts.list.iter().filter(|part| part.handle.is_some()).count();
        assert!(open <= 3 && open == store.parts.open, "{open} are open");
    }
    store.checkpoint().expect("durable");
    assert_eq!(files(root).values().map(|text| text.lines().count()).collect::<Vec<_>>(), [5; 10]);
}

#[test]
fn reports_files_that_a_user_removed_or_shortened() {
    let Place { root, .. } = &place();
    let mut store = open(root);
    let table = lanes(&["other"]);
    let events = [(0, "a", ARRIVAL_MS, 1), (0, "b", ARRIVAL_MS, 2), (0, "c", ARRIVAL_MS, 3)];
    store.write(1, &parcel(&table, &events)).expect("taken");
    store.checkpoint().expect("durable");
    drop(store);
    let names: Vec<_> = files(root).into_keys().map(|name| root.join(name)).collect();
    fs::remove_file(&names[0]).expect("there");
    fs::write(&names[1], "x\n").expect("there");
    let (mut store, opened) = Store::open(root, &Settings::default()).expect("a store");
    assert_eq!(opened.missing_files, names[..1]);
    assert_eq!(opened.short_files, names[1..2]);
    store.write(2, &parcel(&table, &events)).expect("taken");
    store.checkpoint().expect("durable");
    let found: Vec<_> = files(root).into_values().collect();
    let c_lines = line("c", 3).repeat(2);
    assert_eq!(found, [line("a", 1), "x\n".to_owned(), line("b", 2), c_lines]);
}

#[test]
fn loses_no_line_when_a_user_removes_or_changes_a_file_in_use() {
    let Place { root, .. } = &place();
    let settings = Settings { open_files_max: 1, ..Settings::default() };
    let (mut store, _) = Store::open(root, &settings).expect("a store");
    let table = lanes(&["other"]);
    let mut seq = 0;
    let mut write = |store: &mut Store, kind: &str| {
        seq += 1;
        store.write(seq, &parcel(&table, &[(0, kind, ARRIVAL_MS, seq)])).expect("taken");
        store.flush().expect("written");
        seq
    };
    for close in [false, true] {
        let first = write(&mut store, "a");
        let (path, _) =
            files(root).into_iter().rfind(|(name, _)| name.contains("=a/")).expect("it");
        if close {
            write(&mut store, "b");
        }
        fs::remove_dir_all(root.join("lane=a")).expect("there");
        let second = write(&mut store, "a");
        assert!(!text(root).contains(&line("a", first)) && text(root).contains(&line("a", second)));
        let (newer, _) =
            files(root).into_iter().rfind(|(name, _)| name.contains("=a/")).expect("it");
        assert!(newer > path);
        if close {
            write(&mut store, "b");
        }
        let mut file = fs::OpenOptions::new().append(true).open(root.join(&newer)).expect("there");
        file.write_all(b"mine\n").expect("room");
        let third = write(&mut store, "a");
        let fourth = write(&mut store, "a");
        for id in [second, third, fourth] {
            assert_eq!(text(root).matches(&line("a", id)).count(), 1, "event {id}");
        }
    }
    store.checkpoint().expect("durable");
}

#[test]
fn a_full_disk_costs_nothing_but_time() {
    let Place { root, .. } = &place();
    let mut store = open(root);
    store.write(1, &one(1)).expect("taken");
    store.flush().expect("written");
    store.write(2, &one(2)).expect("taken");
    trial::arm(Some((None, 0)));
    let error = store.flush().expect_err("the disk is full");
    assert!(matches!(error, Error::Io { .. }) && !error.is_broken(), "{error}");
    assert_eq!(text(root), line("a", 1), "half a line was cut off again");
    store.write(3, &one(3)).expect("taken");
    store.flush().expect("written");
    assert_eq!(text(root), [1, 2, 3].map(|id| line("a", id)).concat());
}

#[test]
fn a_batch_that_is_refused_for_lack_of_room_is_not_taken_in_part() {
    let Place { root, .. } = &place();
    let settings = Settings { buffer_bytes_max: 1, ..Settings::default() };
    let (mut store, _) = Store::open(root, &settings).expect("a store");
    store.write(1, &one(1)).expect("taken");
    trial::arm(Some((None, 0)));
    store.write(2, &one(2)).expect_err("the disk is full");
    assert_eq!(store.next_seq(), Some(2));
    store.write(2, &one(2)).expect("taken");
    store.flush().expect("written");
    assert_eq!(text(root), [1, 2].map(|id| line("a", id)).concat());
}

#[test]
fn after_a_failed_sync_only_opening_again_helps() {
    let Place { root, .. } = &place();
    let mut store = open(root);
    store.write(1, &one(1)).expect("taken");
    store.flush().expect("written");
    trial::arm(Some((None, 0)));
    assert!(matches!(store.checkpoint(), Err(Error::Broken { .. })));
    assert!(matches!(store.checkpoint(), Err(Error::GivenUp)));
    assert!(matches!(store.write(2, &one(2)), Err(Error::GivenUp)));
    let (_again, opened) = Store::open(root, &Settings::default()).expect("the old one let go");
    assert_eq!((opened.next_seq, text(root)), (None, String::new()));
}

#[test]
fn refuses_what_would_be_twice_or_torn() {
    let Place { root, .. } = &place();
    let mut store = open(root);
    store.write(5, &one(1)).expect("taken");
    assert!(matches!(store.write(5, &one(1)), Err(Error::Order { seq: 5, next: 6 })));
    for (start, end) in [(3, 2), (0, 500), (0, u32::MAX), (0, 3)] {
        let mut torn = one(1);
        torn.routed.rows[0].value = Span { start, end };
        assert!(matches!(store.write(6, &torn), Err(Error::Row { seq: 6, row: 0 })));
    }
    store.restart_at(1).expect("durable");
    store.write(1, &one(2)).expect("taken");
    store.flush().expect("written");
    assert_eq!(text(root), line("a", 1) + &line("a", 2));
}

#[test]
fn refuses_to_guess_without_a_sound_checkpoint() {
    let Place { root, .. } = &place();
    let mut store = open(root);
    store.write(1, &one(1)).expect("taken");
    store.checkpoint().expect("durable");
    assert!(matches!(Store::open(root, &Settings::default()), Err(Error::Locked(_))));
    drop(store);
    let path = root.join(super::checkpoint::NAME);
    fs::write(&path, "{}").expect("room");
    assert!(matches!(Store::open(root, &Settings::default()), Err(Error::Damaged { .. })));
    fs::remove_file(&path).expect("there");
    let error = Store::open(root, &Settings::default()).err().expect("refused");
    assert!(matches!(error, Error::Orphaned { files: 1, .. }), "{error}");
    assert_eq!(text(root), line("a", 1), "nothing was touched");
}

#[test]
fn leaves_files_of_others_alone() {
    let Place { root, .. } = &place();
    drop(open(root));
    let folder = root.join(A_FOLDER);
    fs::create_dir_all(&folder).expect("room");
    let theirs = ["part-9-x.ndjson", "merged.ndjson", "part-00000009-000001.ndjson.gz"];
    for name in theirs {
        fs::write(folder.join(name), "theirs\n").expect("room");
    }
    fs::create_dir(folder.join("part-00000009-000001.ndjson")).expect("room");
    std::os::unix::fs::symlink(&folder, root.join("lane=link")).expect("room");
    let (_store, opened) = Store::open(root, &Settings::default()).expect("a store");
    assert_eq!(opened.removed_files, 0);
    assert!(theirs.iter().all(|name| folder.join(name).exists()));
}

#[test]
fn tells_the_types_it_has_seen_also_from_outside() {
    let Place { root, .. } = &place();
    assert_eq!(seen(root).expect("nothing yet"), []);
    let settings = Settings { types_max: 1, ..Settings::default() };
    let (mut store, _) = Store::open(root, &settings).expect("a store");
    let kinds = ["a", "b", "c", "a"];
    let events: Vec<_> = kinds.iter().map(|kind| (0, *kind, ARRIVAL_MS, 1)).collect();
    store.write(1, &parcel(&lanes(&["other"]), &events)).expect("taken");
    let found = store.seen();
    let told: Vec<_> = found.iter().map(|seen| (&*seen.kind, &*seen.lane, seen.events)).collect();
    assert_eq!(told, [("", "other", 2), ("a", "a", 2)]);
    assert_eq!(seen(root).expect("readable"), [], "not before a checkpoint");
    store.checkpoint().expect("durable");
    assert_eq!(seen(root).expect("readable"), found);
}

#[test]
fn is_due_by_time_and_by_bytes() {
    let Place { root, .. } = &place();
    let settings = Settings { checkpoint_bytes: 60, ..Settings::default() };
    let (mut store, _) = Store::open(root, &settings).expect("a store");
    assert!(!store.flush_due(0) && !store.checkpoint_due(0));
    store.write(1, &one(1)).expect("taken");
    for (now_ms, flush, checkpoint) in [
        (1_000, false, false),
        (1_249, false, false),
        (1_250, true, false),
        (500, false, false),
        (750, true, false),
        (60_499, true, false),
        (60_500, true, true),
    ] {
        assert_eq!((store.flush_due(now_ms), store.checkpoint_due(now_ms)), (flush, checkpoint));
    }
    store.checkpoint().expect("durable");
    assert!(!store.flush_due(99_999) && !store.checkpoint_due(99_999));
    for seq in 2..5 {
        store.write(seq, &one(seq)).expect("taken");
    }
    assert!(store.checkpoint_due(0), "{} bytes came", 3 * line("a", 1).len());
}
