//! Counts and times every attempt, apart for before, during and after a disturbance.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::clock::now_ms;

/// The stretch of a run in which an attempt began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Until the disturbance begins; all of an undisturbed run.
    Before,
    /// While something is broken.
    During,
    /// Whole again, with a backlog to work off.
    Draining,
    /// From the end of the disturbance on.
    After,
}

/// The record of a run, shared by all connections.
#[derive(Debug)]
pub struct Recorder(Mutex<Record>);

/// What was recorded.
#[derive(Debug, Clone)]
pub struct Record {
    /// The phases in which something happened, in their order.
    pub stretches: Vec<Stretch>,
    /// Sums over the run.
    pub totals: Totals,
    /// The longest times without an answer that claims something, and what refusals promised.
    pub silence: Silence,
    /// Replies since somebody last asked for them.
    recent: Histogram<u64>,
}

/// How long nobody was told 200, and how right `Retry-After` was about it.
#[derive(Debug, Clone)]
pub struct Silence {
    last_200: Instant,
    /// Per class: since when it is refused, and who waits.
    classes: [Refused; 3],
    /// The longest time between two definitive 200s, over all clients.
    pub longest: Duration,
    /// Of the 503 answers: how many said when to come back.
    pub told: u64,
    /// How many did not.
    pub untold: u64,
    /// What they said.
    pub said: Histogram<u64>,
    /// How long it really took from the refusal to the next 200 of the same class.
    pub was: Histogram<u64>,
    /// Waits that ended: told right within a factor of two of how long the class was refused in
    /// all (a header tells whole seconds), too short, too long.
    pub judged: [u64; 3],
}

/// Refusals of one class since its last 200: when each was, and what it was told.
#[derive(Debug, Clone, Default)]
struct Refused {
    since: Option<Instant>,
    waiting: Vec<(Instant, Duration)>,
}

/// One phase.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// Which.
    pub phase: Phase,
    /// When it began.
    pub begun: Instant,
    /// The same in Unix milliseconds.
    pub begun_ms: u64,
    /// How attempts ended: an HTTP status, or what broke.
    pub statuses: BTreeMap<String, u64>,
    /// From sending to the end of the reply, of attempts answered with a definitive 200.
    pub reply: Histogram<u64>,
    /// From when the batch was due, over all its attempts, to its definitive 200.
    pub settled: Histogram<u64>,
}

/// Sums over the run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Batches with a definitive 200.
    pub acknowledged: u64,
    /// Events accepted in them.
    pub accepted: u64,
    /// Events filtered in them.
    pub filtered: u64,
    /// Events rejected in them, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Batches refused for good, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Batches whose client stopped trying.
    pub given_up: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Definitive 200s whose numbers are not those that the rules make.
    pub miscounted: u64,
}

impl Default for Recorder {
    fn default() -> Self {
        let first = Stretch::begin(Phase::Before);
        Self(Mutex::new(Record {
            stretches: vec![first],
            totals: Totals::default(),
            silence: Silence::default(),
            recent: empty(),
        }))
    }
}

impl Recorder {
    /// From now on attempts belong to `phase`. A phase without any attempt is forgotten.
    pub fn enter(&self, phase: Phase) {
        let mut record = self.record();
        record.stretches.retain(|stretch| !stretch.statuses.is_empty());
        record.stretches.push(Stretch::begin(phase));
    }

    /// The present phase.
    pub fn phase(&self) -> Phase {
        self.record().stretches.last().map_or(Phase::Before, |stretch| stretch.phase)
    }

    /// An attempt with a batch of `class` that began in `phase` ended as `status` after `reply`.
    pub fn attempt(&self, phase: Phase, class: u8, status: &str, reply: Option<Duration>) {
        let mut record = self.record();
        let Some(stretch) = record.stretch(phase) else { return };
        match stretch.statuses.get_mut(status) {
            Some(count) => *count += 1,
            None => drop(stretch.statuses.insert(status.to_owned(), 1)),
        }
        if let Some(reply) = reply {
            stretch.reply.saturating_record(microseconds(reply));
            record.recent.saturating_record(microseconds(reply));
            record.silence.answered(class);
        }
    }

    /// A 503 that told, or did not tell, when to come back.
    pub fn refused(&self, class: u8, retry_after: Option<Duration>) {
        self.record().silence.refused(class, retry_after);
    }

    /// A batch that was first due in `phase` was acknowledged after `settled`.
    pub fn acknowledged(&self, phase: Phase, settled: Duration) {
        let mut record = self.record();
        if let Some(stretch) = record.stretch(phase) {
            stretch.settled.saturating_record(microseconds(settled));
        }
    }

    /// Changes the sums.
    pub fn add(&self, change: impl FnOnce(&mut Totals)) {
        change(&mut self.record().totals);
    }

    /// Latencies of definitive 200s since this was last asked.
    pub fn recent(&self) -> Histogram<u64> {
        std::mem::replace(&mut self.record().recent, empty())
    }

    /// Events acknowledged so far.
    pub fn accepted(&self) -> u64 {
        self.record().totals.accepted
    }

    /// Definitive 200s so far, and refusals with 503.
    pub fn answers(&self) -> (u64, u64) {
        let record = self.record();
        (record.totals.acknowledged, record.silence.told + record.silence.untold)
    }

    /// What was recorded so far.
    pub fn snapshot(&self) -> Record {
        self.record().clone()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    /// How attempts ended, over all phases.
    pub fn statuses(&self) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for (status, count) in self.stretches.iter().flat_map(|stretch| &stretch.statuses) {
            *sums.entry(status.clone()).or_default() += count;
        }
        sums
    }

    /// An attempt may end when its phase is over; a forgotten phase's falls to the first one.
    fn stretch(&mut self, phase: Phase) -> Option<&mut Stretch> {
        let at = self.stretches.iter().position(|stretch| stretch.phase == phase);
        self.stretches.get_mut(at.unwrap_or_default())
    }
}

impl Silence {
    fn refused(&mut self, class: u8, retry_after: Option<Duration>) {
        match retry_after {
            None => self.untold += 1,
            Some(told) => {
                self.told += 1;
                self.said.saturating_record(microseconds(told));
                let now = Instant::now();
                let Some(refused) = self.classes.get_mut(usize::from(class)) else { return };
                refused.since.get_or_insert(now);
                if refused.waiting.len() < WAITING_MAX {
                    refused.waiting.push((now, told));
                }
            }
        }
    }

    fn answered(&mut self, class: u8) {
        let now = Instant::now();
        self.longest = self.longest.max(now.saturating_duration_since(self.last_200));
        self.last_200 = now;
        let Some(refused) = self.classes.get_mut(usize::from(class)) else { return };
        let Some(since) = refused.since.take() else { return };
        let lasted = now.saturating_duration_since(since);
        for (at, told) in refused.waiting.drain(..) {
            self.was.saturating_record(microseconds(now.saturating_duration_since(at)));
            let back = at.saturating_duration_since(since) + told;
            let place = if (back + WHOLE_SECOND) * 2 < lasted {
                1
            } else if back > lasted * 2 + WHOLE_SECOND {
                2
            } else {
                0
            };
            self.judged[place] += 1;
        }
    }
}

impl Default for Silence {
    fn default() -> Self {
        let (last_200, longest) = (Instant::now(), Duration::ZERO);
        let (said, was) = (empty(), empty());
        let classes = <[Refused; 3]>::default();
        Self { last_200, classes, longest, told: 0, untold: 0, said, was, judged: [0; 3] }
    }
}

impl Stretch {
    fn begin(phase: Phase) -> Self {
        let statuses = BTreeMap::new();
        let (begun, begun_ms) = (Instant::now(), now_ms());
        Self { phase, begun, begun_ms, statuses, reply: empty(), settled: empty() }
    }
}

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are constants")
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// One hour; longer ones count as that.
const LATENCY_US_MAX: u64 = 3_600_000_000;
/// What `Retry-After` cannot tell.
const WHOLE_SECOND: Duration = Duration::from_secs(1);
/// Refusals that wait for the next 200; more in one stretch of refusals are only counted.
const WAITING_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_stay_in_the_phase_in_which_they_began() {
        let recorder = Recorder::default();
        let before = recorder.phase();
        recorder.attempt(before, 1, "200", Some(Duration::from_millis(2)));
        recorder.enter(Phase::During);
        recorder.attempt(before, 1, "timeout", None);
        recorder.attempt(recorder.phase(), 1, "503", None);
        recorder.acknowledged(Phase::During, Duration::from_millis(9));
        let record = recorder.snapshot();
        let counts: Vec<_> =
            record.stretches.iter().map(|stretch| stretch.statuses.values().sum::<u64>()).collect();
        assert_eq!(counts, [2, 1]);
        assert_eq!(record.stretches[0].reply.len(), 1);
        assert_eq!(record.stretches[1].settled.max() / 1000, 9);
        assert_eq!(record.statuses().len(), 3);
    }

    #[test]
    fn a_phase_without_attempts_is_forgotten() {
        let recorder = Recorder::default();
        recorder.enter(Phase::During);
        assert_eq!(recorder.snapshot().stretches.len(), 1);
        assert_eq!(recorder.phase(), Phase::During);
    }
}
