//! The outcome of a run as figures: for people on stdout, for machines as JSON.

use std::collections::BTreeMap;
use std::time::Instant;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::judge::Tier;
use crate::process::Usage;
use crate::record::{Phase, Record, Totals};
use crate::run::Settings;
use crate::send::greedy::Greedy;

mod text;

/// Everything that a run has to say.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was asked for.
    pub settings: Settings,
    /// From the first batch to the last answer.
    pub load_s: f64,
    /// Attempts per second, of any outcome.
    pub requests_per_s: f64,
    /// Acknowledged events per second.
    pub events_per_s: f64,
    /// How attempts ended: an HTTP status, or what broke.
    pub statuses: BTreeMap<String, u64>,
    /// Sums over the run.
    pub totals: Totals,
    /// Latency and statuses before, during and after the disturbance.
    pub phases: Vec<PhaseReport>,
    /// How the greedy client fared, if there was one.
    pub greedy: Option<Greedy>,
    /// CPU and memory.
    pub costs: Costs,
    /// How long it took until everything was behind the gateway.
    pub arrival: Arrival,
    /// The verdict on raw batches; none where they cannot be read.
    pub tier1: Option<Tier>,
    /// The verdict on events.
    pub tier2: Tier,
    /// The first faults in words.
    pub examples: Vec<String>,
    /// Why the gateway did not stop by itself at the end.
    pub stop_error: Option<String>,
    /// The end of the gateway's log, if anything is wrong.
    pub gateway_log: String,
}

/// One phase of a run.
#[derive(Debug, Clone, Serialize)]
pub struct PhaseReport {
    /// Which.
    pub phase: Phase,
    /// Its length.
    pub seconds: f64,
    /// How attempts that began in it ended.
    pub statuses: BTreeMap<String, u64>,
    /// From sending to the end of a definitive 200.
    pub reply: Percentiles,
    /// From when a batch was due, over all its attempts, to its definitive 200.
    pub settled: Percentiles,
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half are faster.
    pub p50_ms: f64,
    /// Nine of ten are faster.
    pub p90_ms: f64,
    /// 99 of 100 are faster.
    pub p99_ms: f64,
    /// 999 of 1,000 are faster.
    pub p999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

/// What the run cost.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Costs {
    /// CPU of making batches, most of it before the clock started.
    pub generator_cpu_s: f64,
    /// CPU of the clients while the load ran.
    pub client_cpu_s: f64,
    /// CPU of the gateway from readiness to the arrival of everything, over all its lives; peak
    /// memory.
    pub gateway: Usage,
    /// How often the gateway was started.
    pub gateway_lives: u32,
    /// CPU of its last life by thread name.
    pub gateway_threads_cpu_s: BTreeMap<String, f64>,
    /// CPU of the broker over the whole run.
    pub broker_cpu_s: Option<f64>,
    /// Idle connections that were still open at the end.
    pub idle_open: u64,
}

/// When everything had arrived.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Arrival {
    /// Whether nothing claimed was missing in the end.
    pub complete: bool,
    /// Since the last answer; the judge's own reading is part of it.
    pub after_load_s: f64,
    /// Since the disturbance was over.
    pub after_mending_s: Option<f64>,
    /// Records in the dead-letter topic.
    pub dead_letters: u64,
}

impl Report {
    /// The client's part; the rest is filled in by the judge.
    pub(crate) fn new(
        settings: &Settings,
        record: &Record,
        begun: Instant,
        ended: Instant,
    ) -> Self {
        let load_s = ended.saturating_duration_since(begun).as_secs_f64();
        let statuses = record.statuses();
        let requests: u64 = statuses.values().sum();
        let ends = record.stretches.iter().skip(1).map(|next| next.begun).chain([ended]);
        let phases = record.stretches.iter().zip(ends).map(|(stretch, end)| PhaseReport {
            phase: stretch.phase,
            seconds: end.saturating_duration_since(stretch.begun).as_secs_f64(),
            statuses: stretch.statuses.clone(),
            reply: Percentiles::of(&stretch.reply),
            settled: Percentiles::of(&stretch.settled),
        });
        Self {
            settings: settings.clone(),
            load_s,
            requests_per_s: requests as f64 / load_s.max(f64::EPSILON),
            events_per_s: record.totals.accepted as f64 / load_s.max(f64::EPSILON),
            statuses,
            totals: record.totals.clone(),
            phases: phases.collect(),
            greedy: record.greedy.clone(),
            costs: Costs::default(),
            arrival: Arrival::default(),
            tier1: None,
            tier2: Tier::default(),
            examples: Vec::new(),
            stop_error: None,
            gateway_log: String::new(),
        }
    }

    /// Whether nothing is missing, alien or corrupted, and no reply counted wrongly. Without a
    /// broker in between, nothing may be duplicated by the gateway alone either.
    pub fn is_clean(&self) -> bool {
        let tiers = || self.tier1.iter().chain([&self.tier2]);
        let faults = tiers().map(|tier| tier.missing + tier.aliens() + tier.corruptions());
        let embedded = self.tier1.is_none();
        faults.sum::<u64>() == 0
            && self.totals.miscounted == 0
            && self.stop_error.is_none()
            && !(embedded && self.tier2.duplicated.by_us > 0)
    }

    /// CPU nanoseconds of the gateway per event that it answered for.
    pub fn cpu_ns_per_event(&self) -> f64 {
        let events = self.totals.accepted + self.totals.filtered;
        self.costs.gateway.cpu_s * 1e9 / (events.max(1) as f64)
    }

    /// The report as JSON, below the sums that a reader would otherwise have to make.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "verdict": self.verdict(),
            "clean": self.is_clean(),
            "gateway_cpu_ns_per_event": self.cpu_ns_per_event(),
            "report": self,
        })
    }
}

impl Percentiles {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Self {
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: histogram.max() as f64 / 1000.0,
        }
    }
}

#[cfg(test)]
mod tests;
