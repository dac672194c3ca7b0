//! Random histories against a model: batches, flushes, checkpoints, a failure at any step of any of
//! them, killed processes and power cuts, then everything is counted.
//!
//! Whatever happened, at the end every event lies once in its lane and hour, in journal order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::disk::Op;
use super::tests::{ARRIVAL_MS, Event, files, lanes, parcel};
use super::{Error, Settings, Store, lanes::lane_name, partition, trial};
use crate::model::Parcel;

const KINDS: [&str; 6] = ["page.view", "Click", "click", "error", "a:b", "scroll"];
const TABLES: [&[&str]; 3] = [&["other"], &["other", "page", "click"], &["other", "click"]];
const TYPES_MAX: usize = 4;
const HOUR_MS: i64 = 3_600_000;

/// One event of a batch: lane, type, hours from the arrival.
type Drawn = (u16, usize, i64);

#[derive(Debug, Clone)]
enum Step {
    /// A batch, this far behind the last, routed by this table.
    Write(u64, usize, Vec<Drawn>),
    Flush,
    Checkpoint,
    /// The first so many of the batches that the store lacks, and a checkpoint in the middle.
    Half(usize),
    Kill,
    /// With the numbers that decide what is lost.
    PowerCut(Vec<usize>),
    /// So many disk operations later, of one kind or of all, one fails, and then this happens.
    Fail(Option<Op>, u32, Then),
}

#[derive(Debug, Clone)]
enum Then {
    /// The same is called again, or the store is opened again if it says so.
    Retry,
    /// The process dies there.
    Kill,
    /// The machine dies there.
    PowerCut(Vec<usize>),
}

struct Machine {
    root: PathBuf,
    settings: Settings,
    store: Option<Store>,
    journal: BTreeMap<u64, Parcel>,
    next_seq: u64,
    next_id: u64,
    /// The journal is gone below this one.
    freed: u64,
    /// Lane, hour and number of every event, in journal order.
    expected: Vec<(String, u64)>,
    types: BTreeSet<&'static str>,
    then: Then,
}

impl Machine {
    fn new(dir: &Path, settings: &Settings) -> Self {
        let root = dir.join("events");
        trial::arm(None);
        trial::settle(dir);
        Self {
            root,
            settings: settings.clone(),
            store: None,
            journal: BTreeMap::new(),
            next_seq: 1,
            next_id: 1,
            freed: 0,
            expected: Vec::new(),
            types: BTreeSet::new(),
            then: Then::Retry,
        }
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Write(gap, table, drawn) => {
                let seq = self.next_seq + gap;
                let parcel = self.accept(*table, drawn);
                self.journal.insert(seq, parcel);
                self.next_seq = seq + 1;
                self.hand_over();
            }
            Step::Flush => self.until_done(Store::flush),
            Step::Checkpoint => self.checkpoint(),
            Step::Half(batches) => self.half(*batches),
            Step::Kill => self.store = None,
            Step::PowerCut(dice) => self.power_cut(dice),
            Step::Fail(op, left, then) => {
                trial::arm(Some((*op, *left)));
                self.then = then.clone();
            }
        }
    }

    fn power_cut(&mut self, dice: &[usize]) {
        self.store = None;
        let mut dice = dice.iter().cycle();
        let above = self.root.parent().expect("the test's folder");
        trial::power_cut(above, &mut |below| dice.next().map_or(0, |throw| throw % below));
    }

    /// Draws up a batch and remembers where its events belong.
    fn accept(&mut self, table: usize, drawn: &[Drawn]) -> Parcel {
        let table = TABLES[table];
        let mut events: Vec<Event<'static>> = Vec::new();
        for (lane, kind, hours) in drawn {
            let (id, kind, ts_ms) = (self.next_id, KINDS[*kind], ARRIVAL_MS + hours * HOUR_MS);
            self.next_id += 1;
            let lane = *lane % u16::try_from(table.len()).expect("short");
            if lane == 0 && self.types.len() < TYPES_MAX {
                self.types.insert(kind);
            }
            let name = match table[usize::from(lane)] {
                "other" if self.types.contains(kind) => lane_name(kind.as_bytes()).expect("short"),
                name => name.to_owned(),
            };
            let inside = (-7 * 24..=24).contains(hours);
            let hour = ARRIVAL_MS / HOUR_MS + if inside { *hours } else { 0 };
            self.expected.push((partition::folder(&name, hour), id));
            events.push((lane, kind, ts_ms, id));
        }
        parcel(&lanes(table), &events)
    }

    /// Opens the store, if it is not open, however often that takes.
    fn opened(&mut self) -> &mut Store {
        while self.store.is_none() {
            match Store::open(&self.root, &self.settings) {
                Ok((store, opened)) => {
                    let next_seq = opened.next_seq.unwrap_or(0);
                    assert!(next_seq >= self.freed, "{next_seq} is gone, below {}", self.freed);
                    assert_eq!((opened.missing_files, opened.short_files), (vec![], vec![]));
                    self.store = Some(store);
                }
                Err(error) => self.after(&error),
            }
        }
        self.store.as_mut().expect("just opened")
    }

    /// Hands over what the store does not have yet, as the drainer does.
    fn hand_over(&mut self) {
        while self.hand_over_one() {}
    }

    /// Tries to hand over one batch; false if there is none.
    fn hand_over_one(&mut self) -> bool {
        let next_seq = self.opened().next_seq().unwrap_or(0);
        let Some((seq, parcel)) = self.journal.range(next_seq..).next() else { return false };
        let store = self.store.as_mut().expect("just opened");
        if let Err(error) = store.write(*seq, parcel) {
            self.after(&error);
        }
        true
    }

    fn half(&mut self, batches: usize) {
        for _ in 0..batches {
            self.hand_over_one();
        }
        match self.opened().checkpoint() {
            Ok(freed) => self.freed = freed,
            Err(error) => self.after(&error),
        }
    }

    fn until_done<T>(&mut self, mut call: impl FnMut(&mut Store) -> Result<T, Error>) -> T {
        loop {
            self.hand_over();
            match call(self.opened()) {
                Ok(done) => return done,
                Err(error) => self.after(&error),
            }
        }
    }

    fn checkpoint(&mut self) {
        self.freed = self.until_done(Store::checkpoint);
        assert!(self.freed >= self.journal.keys().last().map_or(0, |seq| seq + 1));
        let listed = self.opened().parts.list.len();
        assert!(listed <= self.settings.files_max, "{listed} files are listed");
    }

    fn after(&mut self, error: &Error) {
        assert!(trial::failed(), "{error}");
        match std::mem::replace(&mut self.then, Then::Retry) {
            Then::Kill => self.store = None,
            Then::PowerCut(dice) => self.power_cut(&dice),
            Then::Retry if error.is_broken() => self.store = None,
            Then::Retry => {}
        }
    }

    /// Every event once, in its folder, in order; and the types as they were.
    fn judge(mut self) {
        trial::arm(None);
        self.checkpoint();
        let mut expected: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for (folder, id) in &self.expected {
            expected.entry(folder).or_default().push(*id);
        }
        let found_files = files(&self.root);
        let mut found: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for (name, text) in &found_files {
            let (folder, _) = name.rsplit_once('/').expect("a folder");
            for line in text.lines() {
                let (_, id) = line.rsplit_once(':').expect("an event");
                let id = id.trim_end_matches('}').parse().expect("a number");
                found.entry(folder).or_default().push(id);
            }
        }
        assert_eq!(found, expected);
        let seen = self.opened().seen();
        let types: BTreeSet<_> = seen.iter().map(|seen| &*seen.kind).collect();
        assert!(self.types.iter().all(|kind| types.contains(kind)));
        let routed = |parcel: &Parcel| parcel.routed.rows.iter().filter(|r| r.lane.0 == 0).count();
        let unrouted: usize = self.journal.values().map(routed).sum();
        assert_eq!(seen.iter().map(|seen| seen.events).sum::<u64>(), unrouted as u64);
    }
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let hours = prop_oneof![8 => -2..2i64, 1 => -170..30i64];
    (0..3u16, 0..KINDS.len(), hours)
}

fn step() -> impl Strategy<Value = Step> {
    let rows = proptest::collection::vec(drawn(), 0..6);
    let gap = prop_oneof![3 => Just(0), 1 => 1..5u64];
    prop_oneof![
        8 => (gap, 0..TABLES.len(), rows)
            .prop_map(|(gap, table, rows)| Step::Write(gap, table, rows)),
        3 => Just(Step::Flush),
        3 => Just(Step::Checkpoint),
        2 => Just(Step::Kill),
        2 => (0..3usize).prop_map(Step::Half),
        2 => dice().prop_map(Step::PowerCut),
        2 => (0..60u32, then()).prop_map(|(left, then)| Step::Fail(None, left, then)),
        4 => (op(), 0..12u32, then()).prop_map(|(op, left, then)| Step::Fail(Some(op), left, then)),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    use Op::{Append, Cut, Make, Open, Remove, Rename, Sync, SyncFolder};
    proptest::sample::select(&[Make, Open, Append, Cut, Sync, SyncFolder, Remove, Rename])
}

fn then() -> impl Strategy<Value = Then> {
    prop_oneof![Just(Then::Retry), Just(Then::Kill), dice().prop_map(Then::PowerCut)]
}

fn dice() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(any::<usize>(), 32)
}

fn settings() -> impl Strategy<Value = Settings> {
    let small = Settings::default();
    (0..400usize, 1..300u64, 1..4usize, 8..40usize, 0..3u32).prop_map(
        move |(
            buffer_bytes_max,
            file_bytes_max,
            open_files_max,
            files_max,
            idle_checkpoints_max,
        )| {
            Settings {
                buffer_bytes_max,
                file_bytes_max,
                open_files_max,
                files_max,
                idle_checkpoints_max,
                write_bytes: 100,
                types_max: TYPES_MAX,
                ..small.clone()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]
    #[test]
    fn every_event_is_in_the_files_once_whatever_happens(
        settings in settings(),
        steps in proptest::collection::vec(step(), 1..50),
    ) {
        // In memory, because what a sync keeps is the model's business here.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let dir = dir.expect("a folder");
        let mut machine = Machine::new(dir.path(), &settings);
        for step in &steps {
            machine.run(step);
        }
        machine.judge();
    }
}
