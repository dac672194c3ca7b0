//! A journal on a disk in memory, and what it is known to owe to whoever used it.
//!
//! What must hold after every step: what was acknowledged and not trimmed is read back, identical,
//! at its seq and in order; nothing is read that was not appended, and nothing twice; nothing is
//! called corrupt, as nothing here damages durable bytes; the follower misses nothing unknowingly;
//! no segment is deleted that a durable cursor does not stand behind, and a deletion is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crossbeam_channel::Receiver;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::histories::{Shape, Step};
use super::memory::{Faults, Memory, Unlinked};
use super::record;
use crate::journal::handle::prepare;
use crate::journal::writer::Writer;
use crate::journal::{
    Appended, Cursor, Draft, Entry, Error, Followed, Frame, Journal, frame, segment,
};
use crate::model::Owed;

/// What was appended under a number: a record's body, or a settlement.
type Content = Option<Vec<u8>>;

/// What came about in histories; what never does is not tested.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) acknowledged: u64,
    pub(super) refused: u64,
    pub(super) full: u64,
    pub(super) down: u64,
    pub(super) opened: u64,
    pub(super) unopened: u64,
    pub(super) torn: u64,
    pub(super) deleted: u64,
}

impl Seen {
    pub(super) fn each(&self) -> [u64; 8] {
        let Self { acknowledged, refused, full, down, opened, unopened, torn, deleted } = *self;
        [acknowledged, refused, full, down, opened, unopened, torn, deleted]
    }

    pub(super) fn add(&mut self, other: Self) {
        let sums = std::array::from_fn(|at| self.each()[at] + other.each()[at]);
        let [acknowledged, refused, full, down, opened, unopened, torn, deleted] = sums;
        *self = Self { acknowledged, refused, full, down, opened, unopened, torn, deleted };
    }
}

pub(super) struct World {
    pub(super) seen: Seen,
    shape: Shape,
    disk: Memory,
    life: Option<Life>,
    issued: BTreeMap<u64, Content>,
    /// By seq: the number of what was acknowledged.
    acknowledged: BTreeMap<u64, u64>,
    waiting: Vec<(Appended, u64)>,
    /// Nothing below this has to be there any more.
    owed_from: u64,
    /// The last cursor save that worked, and the highest that was tried.
    saved: u64,
    tried: u64,
}

/// One run of the program.
struct Life {
    journal: Journal,
    writer: Writer,
    cursor: Cursor,
    follower: Receiver<Followed>,
    /// The follower's position, and what it has got.
    began: u64,
    position: u64,
    got: Vec<u64>,
}

fn body(number: u64, bytes: usize) -> Vec<u8> {
    // Bodies that look like frames must not lead anybody astray.
    let pattern = if number.is_multiple_of(3) { frame::MAGIC } else { [7, 0, 0, 255] };
    pattern.into_iter().cycle().take(bytes).collect()
}

fn owed(number: u64) -> Owed {
    [u32::try_from(number % 100).unwrap()].into_iter().collect()
}

const SETTLED: u64 = 1 << 40;

impl World {
    pub(super) fn new(shape: Shape, faults: Faults) -> Self {
        let disk = Memory::with_sectors(shape.sector);
        disk.faults(|slot| *slot = faults);
        Self {
            seen: Seen::default(),
            shape,
            disk,
            life: None,
            issued: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            waiting: Vec::new(),
            owed_from: 0,
            saved: 0,
            tried: 0,
        }
    }

    /// Starts the program, if the disk lets it, and checks what it recovers.
    pub(super) fn open(&mut self) -> Result<(), TestCaseError> {
        let disk = Arc::new(self.disk.clone());
        let (journal, writer, recovered) = match prepare("main", disk, &self.shape.settings()) {
            Ok(opened) => opened,
            Err(error) => {
                prop_assert!(matches!(error, Error::Disk { .. }), "refused to open: {error}");
                self.seen.unopened += 1;
                return Ok(());
            }
        };
        prop_assert_eq!(recovered.corrupt_frames, 0);
        self.seen.opened += 1;
        self.seen.torn += u64::from(recovered.torn_bytes > 0);
        let highest = self.acknowledged.last_key_value().map_or(0, |(seq, _)| *seq);
        prop_assert!(recovered.next_seq > highest, "seq {} again", recovered.next_seq);
        for (seq, number) in self.acknowledged.range(recovered.cursor_seq.max(self.owed_from)..) {
            if self.issued[number].is_none() {
                let settled = recovered.settled.get(&(SETTLED + number));
                let found = settled.and_then(|clusters| clusters.get(&1));
                prop_assert_eq!(found, Some(&owed(*number)), "settlement {}", seq);
            }
        }
        let cursor = journal.cursor("kafka").unwrap();
        let loaded = cursor.load().unwrap_or_default();
        prop_assert!((self.saved..=self.tried).contains(&loaded), "cursor at {loaded}");
        // A save that failed may have come through all the same: the sink goes on from there.
        self.saved = loaded;
        self.owed_from = self.owed_from.max(loaded);
        journal.set_owed_from("kafka", self.owed_from);
        let follower = journal.follow();
        let began = recovered.next_seq;
        let (position, got) = (began, Vec::new());
        self.life = Some(Life { journal, writer, cursor, follower, began, position, got });
        Ok(())
    }

    pub(super) fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let scale = self.shape.scale;
        match step {
            Step::FailSyncs(times) => self.disk.faults(|faults| faults.syncs = times),
            Step::FullSyncs(times) => self.disk.faults(|faults| faults.full_syncs = times),
            Step::FullCreates(times) => self.disk.faults(|faults| faults.full_creates = times),
            Step::FailNameSyncs(times) => self.disk.faults(|faults| faults.name_syncs = times),
            Step::FailUnlink => self.disk.faults(|faults| faults.unlinks = 1),
            Step::FailResize => self.disk.faults(|faults| faults.resizes = 1),
            Step::Fill { room } => self.disk.faults(|faults| faults.room = Some(room * scale)),
            Step::ReadOnly => self.disk.faults(|faults| faults.read_only = true),
            Step::NoAllocation => self.disk.faults(|faults| faults.no_allocation = true),
            Step::PowerGoes { after } => self.disk.faults(|faults| faults.power = Some(after)),
            Step::Heal => self.disk.faults(|faults| {
                let (power, skipped) = (faults.power, faults.skipped);
                *faults = Faults { power, skipped, ..Faults::default() };
            }),
            Step::Reopen => {
                self.end();
                self.open()?;
            }
            Step::Crash { seed } => {
                self.crash(seed);
                self.open()?;
            }
            Step::CrashTwice { seed, after } => {
                self.crash(seed);
                self.disk.faults(|faults| faults.power = Some(after));
                self.open()?;
                self.crash(seed.rotate_left(17));
                self.open()?;
            }
            Step::CrashInGroup { seed, after, bytes } => {
                self.step_alive(Step::Append { bytes })?;
                self.step_alive(Step::Append { bytes: bytes / 2 })?;
                self.disk.faults(|faults| faults.power = Some(after));
                self.step_alive(Step::Turn)?;
                self.crash(seed);
                self.open()?;
            }
            _ => self.step_alive(step)?,
        }
        self.check()
    }

    /// After the last power cut the disk is well: the journal opens and takes one more.
    pub(super) fn finish(&mut self) -> Result<(), TestCaseError> {
        self.step(Step::Crash { seed: 0 })?;
        prop_assert!(self.life.is_some(), "does not open on a disk that is well");
        let before = self.acknowledged.len();
        self.step(Step::Append { bytes: 10 })?;
        self.step(Step::Turn)?;
        prop_assert_eq!(self.acknowledged.len(), before + 1, "takes nothing more");
        Ok(())
    }

    fn end(&mut self) {
        self.life = None;
        self.waiting.clear();
    }

    fn crash(&mut self, seed: u64) {
        self.end();
        let mut random = seed;
        self.disk.crash(|| {
            // From seed 0 nothing comes but 0: whatever is not durable is gone.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random >> 33 & 1 == 1
        });
    }

    fn step_alive(&mut self, step: Step) -> Result<(), TestCaseError> {
        let Some(life) = &mut self.life else { return Ok(()) };
        let number = self.issued.len() as u64;
        match step {
            Step::Append { bytes } => {
                let body = body(number, bytes * self.shape.scale);
                let record = record(u128::from(number), &body);
                let owed = [owed(number)];
                let draft = Draft::Record {
                    pending: number.is_multiple_of(2),
                    owed: &owed,
                    record: &record,
                };
                self.waiting.push((life.journal.append(draft, None), number));
                self.issued.insert(number, Some(body));
            }
            Step::Settle => {
                let owed = owed(number);
                let draft = Draft::Settle { record: SETTLED + number, cluster: 1, owed: &owed };
                self.waiting.push((life.journal.append(draft, None), number));
                self.issued.insert(number, None);
            }
            Step::Turn => {
                life.writer.turn();
                self.collect()?;
            }
            Step::Follow { messages } => life.follow(messages)?,
            Step::Probe => life.writer.probe(),
            Step::Look => life.writer.look(),
            Step::Trim { kept, retain_bytes } => self.trim(kept, retain_bytes)?,
            _ => {}
        }
        Ok(())
    }

    /// As every drainer does: the cursor first, and behind it the segments; even if the cursor
    /// could not be saved, and then nothing more may go.
    fn trim(&mut self, kept: u8, retain_bytes: u64) -> Result<(), TestCaseError> {
        let Some(life) = &mut self.life else { return Ok(()) };
        let span = life.journal.synced().saturating_sub(self.owed_from);
        let from = self.owed_from + span * u64::from(255 - kept) / 255;
        self.tried = self.tried.max(from);
        if life.cursor.save(from).is_ok() {
            self.saved = from;
            self.owed_from = from;
        }
        life.journal.set_owed_from("kafka", from);
        let retain_bytes = retain_bytes * self.shape.scale as u64;
        match life.journal.trim(from, 0, retain_bytes, i64::MAX) {
            Ok(0) | Err(Error::Disk { .. }) => Ok(()),
            Err(error) => Err(fail(&error)),
            Ok(_) if self.disk.is_careless() => Ok(()),
            Ok(_) => {
                let unsynced = self.disk.unsynced_names();
                prop_assert!(unsynced.is_empty(), "trimmed without a sync of {unsynced:?}");
                Ok(())
            }
        }
    }

    /// Behind every segment that was deleted stood a durable cursor.
    fn check_deleted(&mut self) -> Result<(), TestCaseError> {
        for Unlinked { name, next, cursor } in self.disk.take_unlinked() {
            // The newest is only deleted when it holds nothing.
            let Some(next) = next.as_deref().and_then(segment::first_of) else { continue };
            let held = self.acknowledged.range(segment::first_of(&name).unwrap()..next);
            let last = held.last().map(|(seq, _)| *seq);
            self.seen.deleted += 1;
            prop_assert!(
                last.is_none() || last < cursor,
                "{name} deleted with {last:?}, cursor at {cursor:?}"
            );
        }
        Ok(())
    }

    /// Notes what was acknowledged.
    fn collect(&mut self) -> Result<(), TestCaseError> {
        let mut context = Context::from_waker(Waker::noop());
        let mut still = Vec::new();
        for (mut appended, number) in self.waiting.drain(..) {
            match Pin::new(&mut appended).poll(&mut context) {
                Poll::Pending => still.push((appended, number)),
                Poll::Ready(Ok(seq)) => {
                    let highest = self.acknowledged.last_key_value().map_or(0, |(seq, _)| *seq);
                    prop_assert!(seq > highest, "seq {seq} after {highest}");
                    self.acknowledged.insert(seq, number);
                    self.seen.acknowledged += 1;
                }
                Poll::Ready(Err(error)) => {
                    self.seen.refused += 1;
                    self.seen.full += u64::from(matches!(error, Error::Full { .. }));
                    self.seen.down += u64::from(matches!(error, Error::Down));
                }
            }
        }
        self.waiting = still;
        Ok(())
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        self.check_deleted()?;
        let Some(life) = &mut self.life else { return Ok(()) };
        let frames = read(&life.journal, 0)?;
        let mut found = BTreeMap::new();
        let mut numbers = BTreeSet::new();
        for frame in &frames {
            let number = match &frame.entry {
                Entry::Record { pending, owed: owes, record } => {
                    let number = u64::try_from(record.facts.batch.as_u128()).unwrap();
                    prop_assert_eq!(*pending, number.is_multiple_of(2));
                    prop_assert_eq!(owes, &vec![owed(number)]);
                    let issued = self.issued.get(&number).and_then(Option::as_ref);
                    prop_assert_eq!(issued.map(Vec::as_slice), Some(&record.body[..]));
                    number
                }
                Entry::Settle { record, cluster: 1, owed: owes } => {
                    let number = record - SETTLED;
                    prop_assert_eq!(owes, &owed(number));
                    prop_assert_eq!(self.issued.get(&number), Some(&None));
                    number
                }
                Entry::Settle { .. } => return Err(TestCaseError::fail("alien settlement")),
            };
            prop_assert!(numbers.insert(number), "number {number} twice");
            prop_assert!(found.insert(frame.seq, number).is_none_or(|_| false));
        }
        prop_assert!(frames.is_sorted_by_key(|frame| frame.seq));
        for (seq, number) in self.acknowledged.range(self.owed_from..) {
            prop_assert_eq!(found.get(seq), Some(number), "acknowledged seq {}", seq);
        }
        // Reading from the middle gives the same as reading from the start.
        let middle = self.owed_from + 3;
        let tail = read(&life.journal, middle)?;
        let expected = frames.iter().map(|frame| frame.seq).filter(|seq| *seq >= middle);
        prop_assert!(tail.iter().map(|frame| frame.seq).eq(expected));
        life.has_missed_nothing(&frames)
    }
}

fn read(journal: &Journal, from: u64) -> Result<Vec<Frame>, TestCaseError> {
    let mut reader = journal.reader(from);
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame().map_err(|error| fail(&error))? {
        frames.push(frame);
    }
    prop_assert_eq!(reader.corrupt_frames(), 0);
    Ok(frames)
}

fn fail(error: &Error) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

impl Life {
    /// Follows as the drainer does: from memory while nothing was missed, else from the log, and
    /// from the log too when the channel is empty.
    fn follow(&mut self, messages: usize) -> Result<(), TestCaseError> {
        for _ in 0..messages {
            let Ok(followed) = self.follower.try_recv() else {
                return self.read_up_to(self.journal.synced() + 1);
            };
            if followed.from > self.position {
                self.read_up_to(followed.from)?;
            }
            if followed.seq >= self.position {
                self.got.push(followed.seq);
                self.position = followed.seq + 1;
            }
        }
        Ok(())
    }

    /// What it has got is what the log holds up to its position.
    fn has_missed_nothing(&self, frames: &[Frame]) -> Result<(), TestCaseError> {
        let records = frames.iter().filter(|frame| matches!(frame.entry, Entry::Record { .. }));
        let passed = self.began..self.position;
        let all: Vec<u64> =
            records.map(|frame| frame.seq).filter(|seq| passed.contains(seq)).collect();
        let trimmed = self.got.partition_point(|seq| all.first().is_none_or(|first| seq < first));
        prop_assert_eq!(&self.got[trimmed..], &all[..], "followed");
        Ok(())
    }

    fn read_up_to(&mut self, end: u64) -> Result<(), TestCaseError> {
        for frame in read(&self.journal, self.position)? {
            if frame.seq < end && matches!(frame.entry, Entry::Record { .. }) {
                self.got.push(frame.seq);
            }
        }
        self.position = self.position.max(end);
        Ok(())
    }
}
