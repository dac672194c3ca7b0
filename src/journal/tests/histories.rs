//! Random histories of appends, failures, crashes and reopenings against a model.
//!
//! What must hold after every step: what was acknowledged and not trimmed is read back, identical,
//! at its seq and in order; nothing is read that was not appended, and nothing twice; nothing is
//! called corrupt, as nothing here damages durable bytes; the follower misses nothing unknowingly.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crossbeam_channel::Receiver;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use super::memory::{Faults, Memory, Sync};
use super::{record, settings};
use crate::journal::handle::prepare;
use crate::journal::writer::Writer;
use crate::journal::{Appended, Cursor, Draft, Entry, Error, Followed, Frame, Journal, frame};
use crate::model::Owed;

/// One step of a history.
#[derive(Debug, Clone, Copy)]
enum Step {
    Append { bytes: usize },
    Settle,
    Turn,
    Follow { messages: usize },
    FailSyncs(u32),
    FailNameSyncs(u32),
    FailUnlink,
    FailTruncate,
    Fill { room: usize },
    Heal,
    Probe,
    Trim { share: u8, retain_bytes: u64 },
    SaveCursor,
    Reopen,
    Crash { seed: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0usize..700).prop_map(|bytes| Step::Append { bytes }),
        2 => Just(Step::Settle),
        8 => Just(Step::Turn),
        4 => (0usize..8).prop_map(|messages| Step::Follow { messages }),
        1 => (1u32..3).prop_map(Step::FailSyncs),
        1 => (1u32..3).prop_map(Step::FailNameSyncs),
        1 => Just(Step::FailUnlink),
        1 => Just(Step::FailTruncate),
        1 => (0usize..1_500).prop_map(|room| Step::Fill { room }),
        2 => Just(Step::Heal),
        2 => Just(Step::Probe),
        2 => (any::<u8>(), 0u64..6_000)
            .prop_map(|(share, retain_bytes)| Step::Trim { share, retain_bytes }),
        2 => Just(Step::SaveCursor),
        2 => Just(Step::Reopen),
        2 => any::<u64>().prop_map(|seed| Step::Crash { seed }),
    ];
    vec(step, 1..80)
}

/// What was appended under a number: a record's body, or a settlement.
type Content = Option<Vec<u8>>;

struct World {
    disk: Memory,
    life: Option<Life>,
    issued: BTreeMap<u64, Content>,
    /// By seq: the number of what was acknowledged.
    acknowledged: BTreeMap<u64, u64>,
    waiting: Vec<(Appended, u64)>,
    /// Nothing below this has to be there any more.
    owed_from: u64,
    /// Cursor saves that worked, and the highest that was tried.
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
    fn new(faults: Faults) -> Self {
        let disk = Memory::default();
        disk.faults(|slot| *slot = faults);
        Self {
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
    fn open(&mut self) -> Result<(), TestCaseError> {
        let (journal, writer, recovered) =
            match prepare("main", Arc::new(self.disk.clone()), &settings()) {
                Ok(opened) => opened,
                Err(error) => {
                    prop_assert!(matches!(error, Error::Disk { .. }), "refused to open: {error}");
                    return Ok(());
                }
            };
        prop_assert_eq!(recovered.corrupt_frames, 0);
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
        journal.set_owed_from("kafka", self.owed_from);
        let follower = journal.follow();
        let began = recovered.next_seq;
        let (position, got) = (began, Vec::new());
        self.life = Some(Life { journal, writer, cursor, follower, began, position, got });
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::FailSyncs(times) => self.disk.faults(|faults| faults.syncs = times),
            Step::FailNameSyncs(times) => self.disk.faults(|faults| faults.name_syncs = times),
            Step::FailUnlink => self.disk.faults(|faults| faults.unlinks = 1),
            Step::FailTruncate => self.disk.faults(|faults| faults.resizes = 1),
            Step::Fill { room } => self.disk.faults(|faults| faults.room = Some(room)),
            Step::Heal => self.disk.faults(|faults| faults.room = None),
            Step::Reopen | Step::Crash { .. } => {
                self.life = None;
                self.waiting.clear();
                if let Step::Crash { seed } = step {
                    let mut random = seed | 1;
                    self.disk.crash(|| {
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        random >> 33 & 1 == 1
                    });
                }
                self.open()?;
            }
            _ => self.step_alive(step)?,
        }
        self.check()
    }

    fn step_alive(&mut self, step: Step) -> Result<(), TestCaseError> {
        let Some(life) = &mut self.life else { return Ok(()) };
        let number = self.issued.len() as u64;
        match step {
            Step::Append { bytes } => {
                let body = body(number, bytes);
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
            Step::Trim { share, retain_bytes } => {
                let span = life.journal.synced().saturating_sub(self.owed_from);
                let from = self.owed_from + span * u64::from(share) / 255;
                self.owed_from = from;
                life.journal.set_owed_from("kafka", from);
                let trimmed = life.journal.trim(from, 0, retain_bytes, i64::MAX);
                let expected = matches!(trimmed, Ok(_) | Err(Error::Disk { .. }));
                prop_assert!(expected, "trimmed {trimmed:?}");
            }
            Step::SaveCursor => {
                self.tried = self.owed_from;
                if life.cursor.save(self.owed_from).is_ok() {
                    self.saved = self.owed_from;
                }
            }
            _ => {}
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
                }
                Poll::Ready(Err(_)) => {}
            }
        }
        self.waiting = still;
        Ok(())
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
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

fn history(steps: &[Step], faults: Faults) -> Result<(), TestCaseError> {
    let mut world = World::new(faults);
    world.open()?;
    for step in steps {
        world.step(*step)?;
    }
    world.step(Step::Crash { seed: 0x9e37_79b9_7f4a_7c15 })
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]
    #[test]
    fn nothing_acknowledged_is_lost_and_nothing_alien_appears(steps in steps()) {
        history(&steps, Faults::default())?;
    }
}

/// A test that finds nothing proves nothing: this one finds a sync that is left out.
fn finds(faults: &Faults) -> Vec<Step> {
    let config = Config {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        cases: 2_000,
        ..Config::default()
    };
    match TestRunner::new(config).run(&steps(), |steps| history(&steps, faults.clone())) {
        Err(TestError::Fail(_, steps)) => steps,
        other => panic!("left-out sync not found: {other:?}"),
    }
}

#[test]
fn finds_a_left_out_sync_of_the_file() {
    let steps = finds(&Faults { skipped: Some(Sync::Segment), ..Faults::default() });
    println!("{steps:?}");
    assert!(steps.iter().any(|step| matches!(step, Step::Append { .. } | Step::Settle)));
}

#[test]
fn finds_a_left_out_sync_of_the_directory() {
    let steps = finds(&Faults { skipped: Some(Sync::Directory), ..Faults::default() });
    println!("{steps:?}");
    assert!(steps.iter().any(|step| matches!(step, Step::Append { .. } | Step::Settle)));
}
