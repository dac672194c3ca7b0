//! The account of one epoch: what its client says, and what came.
//!
//! In: arrivals in any order, again and again. Out: an [`Entry`], with what cannot be explained.
//! State grows by holes in the numbers and by batches, both of which are counted for the limit.

use rustc_hash::FxHashSet;
use uuid::Uuid;

use super::arrival::{Arrival, Verdict};
use super::entry::{Entry, State, Sums};
use super::report::{Invalid, Report};
use super::seqs::Seqs;

/// Runs of numbers that are kept of one epoch. An SDK that loses events has a run for each loss;
/// this many is no SDK's history.
pub const RUNS_MAX: usize = 65_536;

/// What an account takes by itself with its entry, and for each run and batch, at most.
pub(super) const ACCOUNT_BYTES: usize = 3_072;
const RUN_BYTES: usize = 48;
const BATCH_BYTES: usize = 40;
/// Holes that are named in an entry.
const HOLES_NAMED: usize = 8;

/// One epoch so far.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) first_ms: i64,
    last_ms: i64,
    report: Option<Report>,
    /// The number of the first report that is there, and how many events may have come before it.
    lowest: Option<(u64, u64)>,
    invalid: u64,
    invalid_why: Option<Invalid>,
    batches: FxHashSet<Uuid>,
    repeated: u64,
    seqs: Seqs,
    /// Events without a number.
    unnumbered: u64,
    events_again: u64,
    verdicts: [u64; 4],
    refused: bool,
}

impl Account {
    pub(super) fn begin(first_ms: i64) -> Self {
        Self {
            first_ms,
            last_ms: first_ms,
            report: None,
            lowest: None,
            invalid: 0,
            invalid_why: None,
            batches: FxHashSet::default(),
            repeated: 0,
            seqs: Seqs::default(),
            unnumbered: 0,
            events_again: 0,
            verdicts: [0; 4],
            refused: false,
        }
    }

    /// Bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        ACCOUNT_BYTES + self.seqs.runs() * RUN_BYTES + self.batches.len() * BATCH_BYTES
    }

    /// Takes one record in. A batch counts once, and so does every number.
    pub(super) fn note(&mut self, arrival: &Arrival) {
        self.first_ms = self.first_ms.min(arrival.came_ms);
        self.last_ms = self.last_ms.max(arrival.came_ms);
        if self.refused {
            return;
        }
        if !self.batches.insert(arrival.batch) {
            self.repeated += 1;
            return;
        }
        if let Some(report) = &arrival.report {
            let own = arrival.events.len() as u64;
            if let Err(invalid) =
                report.as_ref().map_err(|why| *why).and_then(|report| self.hear(report, own))
            {
                self.invalid += 1;
                self.invalid_why = Some(invalid);
            }
        }
        for (seq, verdict) in &arrival.events {
            self.count(*seq, *verdict);
        }
        if self.seqs.runs() > RUNS_MAX {
            self.refused = true;
            (self.seqs, self.batches) = (Seqs::default(), FxHashSet::default());
        }
    }

    fn count(&mut self, seq: u64, verdict: Verdict) {
        if seq == 0 {
            self.unnumbered += 1;
        } else if !self.seqs.insert(seq) {
            self.events_again += 1;
            return;
        }
        if let Some(count) = self.verdicts.get_mut(verdict as usize) {
            *count += 1;
        }
    }

    /// Keeps the report with the highest number; those below it only have to be lower.
    fn hear(&mut self, report: &Report, own: u64) -> Result<(), Invalid> {
        if let Some(known) = &self.report {
            if known.n == report.n && known != report {
                return Err(Invalid::Twice);
            }
            let (newer, older) = if known.n > report.n { (known, report) } else { (report, known) };
            if newer.falls_behind(older) {
                return Err(Invalid::Falls);
            }
        }
        if self.lowest.is_none_or(|(n, _)| report.n < n) {
            let before = report.acked.saturating_add(report.held).saturating_sub(own);
            self.lowest = Some((report.n, before));
        }
        if self.report.as_ref().is_none_or(|known| known.n < report.n) {
            self.report = Some(*report);
        }
        Ok(())
    }

    /// The entry as it stands. `cut` says that older records than those which were read are gone.
    pub(super) fn entry(&self, cut: bool) -> Entry {
        let report = self.report.unwrap_or_default();
        let received = self.seqs.count() + self.unnumbered;
        let early = self.lowest.filter(|(n, _)| cut && *n > 1).map_or(0, |(_, before)| before);
        let allowed = report.unconfirmed().saturating_add(report.held);
        let judged = self.report.is_some() && !self.refused;
        let due = report.acked.saturating_sub(early);
        let missing = if judged { due.saturating_sub(received) } else { 0 };
        let most = report.acked.saturating_add(allowed);
        let surplus = if judged { received.saturating_sub(most) } else { 0 };
        let holes = || self.seqs.holes(report.admitted);
        let [accepted, filtered, rejected, unjudged] = self.verdicts;
        let sums = Sums {
            tracked: report.tracked,
            pre: report.pre,
            admitted: report.admitted,
            acked: report.acked,
            held: report.held,
            post: report.post,
            received,
            accepted,
            filtered,
            rejected,
            unjudged,
            batches: self.batches.len() as u64,
            repeated_batches: self.repeated,
            repeated_events: self.events_again,
            gap_events: holes().map(|(first, last)| last - first + 1).sum(),
            beyond: self.seqs.above(report.admitted),
            unused: report.reserved.map_or(0, |top| top.saturating_sub(report.admitted)),
            invalid_reports: self.invalid,
            missing,
            surplus,
            remainder: missing.saturating_add(surplus),
        };
        Entry {
            first_ms: self.first_ms,
            last_ms: self.last_ms,
            state: self.state(),
            n: report.n,
            reserved: report.reserved,
            invalid_why: self.invalid_why.map(|why| why.to_string()),
            may_lie_before: early,
            gaps: holes().take(HOLES_NAMED).collect(),
            gap_runs: holes().count() as u64,
            sums,
            ..Entry::default()
        }
    }

    fn state(&self) -> State {
        match self.report {
            _ if self.refused => State::Refused,
            None => State::Unreported,
            Some(report) if report.fin => State::Closed,
            Some(_) => State::Open,
        }
    }
}
