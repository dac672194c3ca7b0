//! Random histories of appends, failures, crashes and reopenings against the model in `world`.
//!
//! Three kinds of disks: sectors of 64 bytes, 512 bytes and 4 KiB, which survive a loss of power or
//! do not, each by itself. And the other way round: a journal whose disk leaves one of its syncs
//! out has to be caught, or the histories prove nothing.

use std::cell::RefCell;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use super::memory::{Faults, Sync};
use super::settings;
use super::world::{Seen, World};
use crate::journal::Settings;

/// One step of a history.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Append {
        bytes: usize,
    },
    Settle,
    Turn,
    Follow {
        messages: usize,
    },
    FailSyncs(u32),
    FullSyncs(u32),
    FullCreates(u32),
    FailNameSyncs(u32),
    FailUnlink,
    FailResize,
    Fill {
        room: usize,
    },
    ReadOnly,
    NoAllocation,
    PowerGoes {
        after: u32,
    },
    Heal,
    Probe,
    Look,
    /// All but the last `kept` of 255 parts of what is owed is done.
    Trim {
        kept: u8,
        retain_bytes: u64,
    },
    Reopen,
    Crash {
        seed: u64,
    },
    /// The power goes again while the journal recovers.
    CrashTwice {
        seed: u64,
        after: u32,
    },
    /// The power goes while a group is written.
    CrashInGroup {
        seed: u64,
        after: u32,
        bytes: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let trouble = prop_oneof![
        4 => (1u32..3).prop_map(Step::FailSyncs),
        1 => Just(Step::FailSyncs(u32::MAX)),
        2 => (1u32..3).prop_map(Step::FullSyncs),
        2 => (1u32..3).prop_map(Step::FullCreates),
        4 => (1u32..3).prop_map(Step::FailNameSyncs),
        3 => Just(Step::FailUnlink),
        3 => Just(Step::FailResize),
        6 => (0usize..4_000).prop_map(|room| Step::Fill { room }),
        2 => Just(Step::ReadOnly),
        2 => Just(Step::NoAllocation),
        3 => (0u32..40).prop_map(|after| Step::PowerGoes { after }),
    ];
    let step = prop_oneof![
        16 => (0usize..700).prop_map(|bytes| Step::Append { bytes }),
        2 => Just(Step::Settle),
        12 => Just(Step::Turn),
        4 => (0usize..8).prop_map(|messages| Step::Follow { messages }),
        5 => trouble,
        3 => Just(Step::Heal),
        2 => Just(Step::Probe),
        2 => Just(Step::Look),
        4 => (any::<u8>(), 0u64..6_000)
            .prop_map(|(kept, retain_bytes)| Step::Trim { kept, retain_bytes }),
        2 => Just(Step::Reopen),
        2 => any::<u64>().prop_map(|seed| Step::Crash { seed }),
        2 => (any::<u64>(), 0u32..12).prop_map(|(seed, after)| Step::CrashTwice { seed, after }),
        2 => (any::<u64>(), 0u32..8, 0usize..700)
            .prop_map(|(seed, after, bytes)| Step::CrashInGroup { seed, after, bytes }),
    ];
    vec(step, 1..80)
}

/// A kind of disk, and how much larger than in the other tests everything is on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) sector: usize,
    pub(super) scale: usize,
}

const SHAPES: [Shape; 3] = [
    Shape { sector: 64, scale: 1 },
    Shape { sector: 512, scale: 4 },
    Shape { sector: 4_096, scale: 16 },
];

impl Shape {
    pub(super) fn settings(self) -> Settings {
        let (small, scale) = (settings(), self.scale as u64);
        Settings {
            segment_bytes: small.segment_bytes * scale,
            group_bytes_max: small.group_bytes_max * scale,
            queue_bytes_max: small.queue_bytes_max * scale,
            bytes_max: small.bytes_max * scale,
            broken_bytes_max: small.broken_bytes_max * scale,
            min_free_bytes: 300 * scale,
            reserve_bytes: 700 * scale,
            ..small
        }
    }
}

/// Histories for each kind of disk.
const HISTORIES: u32 = 2_500;

fn history(shape: Shape, steps: &[Step], faults: Faults) -> Result<Seen, TestCaseError> {
    let mut world = World::new(shape, faults);
    world.open()?;
    for step in steps {
        world.step(*step)?;
    }
    world.finish()?;
    Ok(world.seen)
}

fn runner(histories: u32, rng_seed: RngSeed) -> TestRunner {
    let quiet = Config { failure_persistence: None, max_shrink_iters: 50_000, ..Config::default() };
    TestRunner::new(Config { rng_seed, cases: histories, ..quiet })
}

/// The same histories on every run; `TIDEGATE_HISTORIES=<number>` runs so many others.
#[test]
fn nothing_acknowledged_is_lost_and_nothing_alien_appears() {
    let more = std::env::var("TIDEGATE_HISTORIES").ok().and_then(|number| number.parse().ok());
    let rng_seed = if more.is_some() { RngSeed::Random } else { RngSeed::Fixed(75) };
    let histories = more.unwrap_or(HISTORIES);
    for shape in SHAPES {
        let all = RefCell::new(Seen::default());
        let run = runner(histories, rng_seed).run(&steps(), |steps| {
            all.borrow_mut().add(history(shape, &steps, Faults::default())?);
            Ok(())
        });
        if let Err(failed) = run {
            panic!("{shape:?}: {failed}");
        }
        let seen = all.into_inner();
        println!("{histories} histories with sectors of {} bytes: {seen:?}", shape.sector);
        assert!(seen.each().into_iter().all(|times| times > 100), "too tame: {seen:?}");
    }
}

/// The shortest history that shows that this sync is left out.
fn caught(left_out: Sync) -> Vec<Step> {
    let faults = Faults { skipped: Some(left_out), ..Faults::default() };
    let mut runner = runner(HISTORIES, RngSeed::Fixed(1));
    let run = |steps: &[Step]| history(SHAPES[0], steps, faults.clone()).map(drop);
    let mut steps = match runner.run(&steps(), |steps| run(&steps)) {
        Err(TestError::Fail(_, steps)) => steps,
        other => panic!("the left-out sync of the {left_out:?} is not found: {other:?}"),
    };
    // What was needed before the values were made small may not be needed any more.
    loop {
        let fewer = without_one(&steps).find(|fewer| run(fewer).is_err());
        let Some(fewer) = fewer else { break };
        steps = fewer;
    }
    let reason = run(&steps).expect_err("it failed just now");
    println!("without the sync of the {left_out:?}: {reason}: {steps:?}");
    steps
}

fn without_one(steps: &[Step]) -> impl Iterator<Item = Vec<Step>> + '_ {
    (0..steps.len()).map(|at| [&steps[..at], &steps[at + 1..]].concat())
}

fn appends(step: &Step) -> bool {
    matches!(step, Step::Append { .. } | Step::Settle)
}

#[test]
fn a_journal_that_does_not_sync_its_segments_is_caught() {
    let steps = caught(Sync::Segment);
    assert!(steps.len() <= 3 && steps.iter().any(appends), "{steps:?}");
}

#[test]
fn a_journal_that_does_not_sync_its_directory_is_caught() {
    let steps = caught(Sync::Directory);
    assert!(steps.len() <= 3 && steps.iter().any(appends), "{steps:?}");
}

#[test]
fn a_journal_that_does_not_sync_its_cursors_is_caught() {
    let steps = caught(Sync::Cursor);
    assert!(steps.len() <= 3, "{steps:?}");
    assert!(steps.iter().any(|step| matches!(step, Step::Trim { .. })), "{steps:?}");
}
