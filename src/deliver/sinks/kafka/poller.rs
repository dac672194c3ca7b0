//! The one thread that serves librdkafka: reports, dead letters, topics that lag, and a producer
//! that has to be made anew.
//!
//! In: the client's events. Out: reports to trackers. Must never wait inside librdkafka, and never
//! drop a producer whose records have not all been reported.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{park_timeout, sleep};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crossbeam_channel::Receiver;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer as _, PurgeConfig};

use super::letter::Letter;
use super::reports::Reports;
use super::rules::Announcement;
use crate::model::{Parcel, owed};
use crate::telemetry::metrics as names;

/// How often an idle client is asked for errors, and the thread looks whether it has to stop.
const IDLE_POLL: Duration = Duration::from_millis(100);
/// How often it is looked for topics that lag.
const SCAN_EVERY_MS: u64 = 100;
/// How long a purged client may take to give back what it had.
const PURGE_PATIENCE: Duration = Duration::from_secs(10);
/// Between two attempts to make a producer.
const REBUILD_EVERY: Duration = Duration::from_secs(1);

/// The producer in use; another one after a fatal error.
pub(super) type Current = Arc<ArcSwap<BaseProducer<Reports>>>;

/// See the file's header.
pub(super) struct Poller {
    pub(super) current: Current,
    pub(super) reports: Reports,
    pub(super) config: ClientConfig,
    pub(super) letters: Receiver<Letter>,
    pub(super) rules: Announcement,
    pub(super) raw_topic: String,
    pub(super) dead_topic: String,
    pub(super) report: Duration,
    pub(super) scanned_ms: u64,
}

impl Poller {
    /// Runs until the sink stops.
    pub(super) fn run(mut self) {
        let state = Arc::clone(&self.reports.state);
        while !state.stopping.load(Ordering::Acquire) {
            let producer = self.current.load_full();
            self.rules.announce(&producer, &state);
            // Never in a poll that waits: it spins through the last millisecond of its patience.
            if producer.in_flight_count() == 0 {
                // Nothing is out: whoever produces unparks.
                park_timeout(IDLE_POLL);
            }
            // Collected on a timer: a wake-up per report would cost more than the report.
            sleep(self.report);
            state.tick();
            self.serve(&producer);
            for letter in self.letters.try_iter() {
                letter.send(&producer, &self.dead_topic, &self.reports);
            }
            self.scan();
            if state.suspect.swap(false, Ordering::AcqRel)
                && let Some((code, reason)) = producer.client().fatal_error()
            {
                tracing::error!(?code, reason, "the kafka producer is dead, and is made anew");
                self.rebuild(&producer);
            }
        }
    }

    /// A poll without a wait serves one event; this serves all that are there.
    fn serve(&self, producer: &BaseProducer<Reports>) {
        let reports = &self.reports.state.reports;
        loop {
            let before = reports.load(Ordering::Relaxed);
            producer.poll(Duration::ZERO);
            if reports.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }

    /// Finds topics whose records lag while everything else arrives, and ends the wait for them.
    fn scan(&mut self) {
        let (state, health) = (&self.reports.state, &self.reports.health);
        let (now_ms, isolate) = (state.now_ms(), health.isolate());
        let isolate_ms = u64::try_from(isolate.as_millis()).unwrap_or(u64::MAX);
        if now_ms.saturating_sub(self.scanned_ms) < SCAN_EVERY_MS {
            return;
        }
        self.scanned_ms = now_ms;
        // After a standstill of the whole cluster everything lags; that is nobody's fault.
        if state.flowing_ms() < isolate_ms.saturating_mul(2) {
            return;
        }
        for (tracker, open) in self.reports.slots.lagging(now_ms, isolate_ms) {
            for topic in topics(tracker.parcel(), &open, &self.raw_topic) {
                health.lags(topic);
            }
            tracker.release();
        }
    }

    /// A fatal error ends a producer for good: everything in it is given back, and another is made.
    fn rebuild(&self, old: &BaseProducer<Reports>) {
        metrics::counter!(names::KAFKA_REBUILDS, "cluster" => self.reports.health.name())
            .increment(1);
        let new = loop {
            match create(&self.config, self.reports.clone()) {
                Ok(new) => break new,
                Err(error) => {
                    tracing::error!(%error, "no new kafka producer; trying again");
                    sleep(REBUILD_EVERY);
                    if self.reports.state.stopping.load(Ordering::Acquire) {
                        return;
                    }
                }
            }
        };
        self.current.store(Arc::new(new));
        old.purge(PurgeConfig::default().queue().inflight());
        let until = Instant::now() + PURGE_PATIENCE;
        while old.in_flight_count() > 0 && Instant::now() < until {
            self.serve(old);
            sleep(self.report);
        }
        if old.in_flight_count() > 0 {
            tracing::error!(records = old.in_flight_count(), "a dead producer kept records back");
        }
    }
}

/// Makes a producer.
pub(super) fn create(
    config: &ClientConfig,
    reports: Reports,
) -> Result<BaseProducer<Reports>, KafkaError> {
    config.create_with_context(reports)
}

/// The topics of some records of a batch.
fn topics<'a>(parcel: &'a Parcel, open: &owed::Owed, raw: &'a str) -> Vec<&'a str> {
    let routed = &parcel.routed;
    let mut topics = Vec::new();
    if open.contains(owed::RAW) {
        topics.push(raw);
    }
    for row in routed.rows.iter().filter(|row| open.contains(owed::event(row.index))) {
        if let Some(lane) = routed.lanes.get(usize::from(row.lane.0))
            && !topics.contains(&lane.topic.as_str())
        {
            topics.push(&lane.topic);
        }
    }
    topics
}
