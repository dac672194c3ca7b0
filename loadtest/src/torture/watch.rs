//! Looks at the gateway from outside while it suffers: is it alive, how large is it, how far
//! behind.
//!
//! In: addresses. Out: latencies of `/healthz` by phase, and a row of figures now and then.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::timeline::Timeline;
use crate::gateway::probe;
use crate::process::Usage;
use crate::record::{Phase, Recorder};

/// What a watcher has seen.
#[derive(Debug)]
pub struct Watch {
    /// The gateway's process in its present life; 0 for none.
    pub process: AtomicU32,
    done: AtomicBool,
    seen: Mutex<Seen>,
}

/// The figures.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// Microseconds of `/healthz` answers, by phase.
    pub healthz: BTreeMap<Phase, Histogram<u64>>,
    /// How often it did not answer, by phase.
    pub silent: BTreeMap<Phase, u64>,
    /// A row now and then.
    pub samples: Vec<Sample>,
}

/// One row.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// Milliseconds after the round began.
    pub at_ms: u64,
    /// The phase of the load.
    pub phase: Phase,
    /// Acknowledged events per second since the last row.
    pub acknowledged_per_s: f64,
    /// p99 of replies 200 since the last row.
    pub reply_p99_ms: f64,
    /// The gateway's peak resident memory in this life.
    pub resident_mib_max: u64,
    /// Its resident memory now.
    pub resident_mib: u64,
    /// What its journal owes.
    pub owed_mib: f64,
    /// Frames that its drainer has not delivered.
    pub lag_frames: u64,
    /// Batches drained since it was started.
    pub drained: u64,
}

impl Default for Watch {
    fn default() -> Self {
        let (process, done) = (AtomicU32::new(0), AtomicBool::new(false));
        Self { process, done, seen: Mutex::default() }
    }
}

impl Watch {
    /// Looks until [`Self::end`]; a row every `sample_ms`.
    pub fn run(&self, admin: SocketAddr, recorder: &Recorder, times: &Timeline, sample_ms: u64) {
        let mut last = (Instant::now(), 0);
        let mut next = Instant::now();
        while !self.done.load(Ordering::Relaxed) {
            self.look(admin, recorder.phase());
            if Instant::now() >= next {
                next += Duration::from_millis(sample_ms.max(100));
                last = self.sample(admin, recorder, times, last);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// No more.
    pub fn end(&self) {
        self.done.store(true, Ordering::Relaxed);
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn look(&self, admin: SocketAddr, phase: Phase) {
        let asked = Instant::now();
        let answer = probe::get(admin, "/healthz");
        let took_us = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(answer, Ok((200, _))) {
            let healthz = seen.healthz.entry(phase).or_insert_with(|| {
                Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are constants")
            });
            healthz.saturating_record(took_us);
        } else {
            *seen.silent.entry(phase).or_default() += 1;
        }
    }

    fn sample(
        &self,
        admin: SocketAddr,
        recorder: &Recorder,
        times: &Timeline,
        (since, before): (Instant, u64),
    ) -> (Instant, u64) {
        let metrics = probe::get(admin, "/metrics").map(|(_, text)| text).unwrap_or_default();
        let process = self.process.load(Ordering::Relaxed);
        let (now, accepted) = (Instant::now(), recorder.accepted());
        let passed_s = (now - since).as_secs_f64().max(0.001);
        let peak = Usage::of(process).unwrap_or_default().resident_bytes_max;
        let row = Sample {
            at_ms: times.now_ms(),
            phase: recorder.phase(),
            acknowledged_per_s: accepted.saturating_sub(before) as f64 / passed_s,
            reply_p99_ms: recorder.recent().value_at_quantile(0.99) as f64 / 1000.0,
            resident_mib_max: peak >> 20,
            resident_mib: resident_mib(process),
            owed_mib: metric(&metrics, "tidegate_journal_owed_bytes") / f64::from(1 << 20),
            lag_frames: whole(metric(&metrics, "tidegate_drain_lag_frames")),
            drained: whole(metric(&metrics, "tidegate_drained_batches_total")),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.samples.len() < SAMPLES_MAX {
            seen.samples.push(row);
        }
        (now, accepted)
    }
}

/// The sum of a metric over its labels; 0 if it is not there.
pub fn metric(text: &str, name: &str) -> f64 {
    let lines = text.lines().filter_map(|line| line.strip_prefix(name));
    let ours = lines.filter(|rest| rest.starts_with([' ', '{']));
    ours.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts, never below 0"
)]
fn whole(number: f64) -> u64 {
    number as u64
}

fn resident_mib(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() >> 10
}

const LOOK_EVERY: Duration = Duration::from_millis(50);
const SAMPLES_MAX: usize = 5000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_over_their_labels() {
        let text = "# TYPE a counter\na{x=\"1\"} 2\na{x=\"2\"} 3.5\nab 9\nb 1\n";
        assert!((metric(text, "a") - 5.5).abs() < 1e-9);
        assert!((metric(text, "b") - 1.0).abs() < 1e-9);
        assert!(metric(text, "c").abs() < 1e-9);
    }
}
