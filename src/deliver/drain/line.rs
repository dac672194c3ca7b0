//! One line from a log to a cluster: which log, which place in its frames, and how it gets on.
//!
//! In: what was settled. Out: metrics of the backlog: bytes left, their age, the rate, the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::clock;
use crate::deliver::backlog::Backlog;
use crate::journal::{Entry, Journal, Recovered};
use crate::model::Owed;
use crate::telemetry::metrics as names;

/// A log and a cluster.
pub struct Line {
    /// The log.
    pub journal: Journal,
    /// Its name in metrics.
    pub name: String,
    /// The name of the cursor.
    pub sink: &'static str,
    /// Which of a frame's owed sets is meant.
    pub place: usize,
    /// Shared with the live path.
    pub backlog: Arc<Backlog>,
    /// The first frame of this life of the process.
    pub born_seq: u64,
    /// Whether batches that come along in memory owe this cluster all they hold.
    pub rides: bool,
}

/// What settle frames said at recovery of one place: what is left of a frame.
pub fn settled_of(recovered: &Recovered, place: u8) -> BTreeMap<u64, Owed> {
    let of = |(seq, places): (&u64, &BTreeMap<u8, Owed>)| Some((*seq, places.get(&place)?.clone()));
    recovered.settled.iter().filter_map(of).collect()
}

/// How a line gets on.
pub(super) struct Progress {
    bytes: u64,
    rate: f64,
    at: Instant,
    drained: metrics::Counter,
    lag: metrics::Gauge,
    remaining: metrics::Gauge,
    oldest: metrics::Gauge,
    eta: metrics::Gauge,
}

/// The weight of the last second in the rate.
const FRESH: f64 = 0.3;

impl Progress {
    pub(super) fn new(line: &str) -> Self {
        let gauge = |name: &'static str| metrics::gauge!(name, "line" => line.to_owned());
        Self {
            bytes: 0,
            rate: 0.0,
            at: Instant::now(),
            drained: metrics::counter!(names::DRAINED_BYTES, "line" => line.to_owned()),
            lag: gauge(names::DRAIN_LAG),
            remaining: gauge(names::DRAIN_BYTES),
            oldest: gauge(names::DRAIN_AGE),
            eta: gauge(names::DRAIN_ETA),
        }
    }

    /// So much was settled.
    pub(super) fn settled(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Shows where the line is: the oldest frame that it owes, and when that batch came.
    #[expect(clippy::cast_precision_loss, reason = "gauges")]
    pub(super) fn show(&mut self, line: &Line, next: u64, oldest_ms: Option<i64>) {
        let spent = self.at.elapsed().as_secs_f64().max(0.001);
        let fresh = self.bytes as f64 / spent;
        self.rate =
            if self.rate > 0.0 { FRESH.mul_add(fresh - self.rate, self.rate) } else { fresh };
        self.drained.increment(self.bytes);
        (self.bytes, self.at) = (0, Instant::now());
        let lag = line.journal.synced().saturating_add(1).saturating_sub(next);
        let remaining = if lag == 0 { 0 } else { line.journal.usage().owed_bytes };
        let age_ms = oldest_ms.map_or(0, |ms| clock::now_ms().saturating_sub(ms).max(0));
        self.lag.set(lag as f64);
        self.remaining.set(remaining as f64);
        self.oldest.set(age_ms as f64 / 1_000.0);
        self.eta.set(match remaining {
            0 => 0.0,
            _ if self.rate < 1.0 => -1.0,
            bytes => bytes as f64 / self.rate,
        });
    }
}

/// When the batch of a frame came.
pub(super) fn arrival_ms(journal: &Journal, seq: u64) -> Option<i64> {
    let mut reader = journal.reader(seq);
    while let Ok(Some(frame)) = reader.next_frame() {
        if let Entry::Record { record, .. } = frame.entry {
            return Some(record.facts.arrival_ms);
        }
    }
    None
}
