//! What came of a round: a ledger line, the verdict, and everything that explains it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::case::{Case, Expect};
use super::clusters::Cluster;
use super::timeline::Moment;
use super::watch::{Sample, Seen, metric};
use super::{cut, step::Step};
use crate::judge::Tier;
use crate::judge::lanes::Line;
use crate::record::{Phase, Record};
use crate::run::Mode;

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing acknowledged is missing, and all expectations hold.
    Passed,
    /// Something is not so.
    Failed,
    /// This machine cannot play it.
    Skipped,
}

/// A round.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The case's name.
    pub name: String,
    /// Its seed.
    pub seed: u64,
    /// How it ended.
    pub verdict: Verdict,
    /// The figures in one place.
    pub ledger: Ledger,
    /// What went wrong while things were broken or mended.
    pub errors: Vec<String>,
    /// What was expected and is not so.
    pub broken: Vec<String>,
    /// The verdict on raw batches, where they can be read.
    pub tier1: Option<Tier>,
    /// The verdict on events.
    pub tier2: Tier,
    /// The first faults in words.
    pub examples: Vec<String>,
    /// What is known about the first batch that is missing.
    pub evidence: Vec<String>,
    /// The verdicts on copies of the disk.
    pub cuts: Vec<cut::Verdict>,
    /// The books of each cluster, where there are two.
    pub clusters: Vec<Cluster>,
    /// Records in the dead-letter topic.
    pub dead_letters: u64,
    /// What was done when.
    pub timeline: Vec<Moment>,
    /// Figures now and then.
    pub samples: Vec<Sample>,
    /// What arrived in each lane, by phase.
    pub lanes: Vec<Line>,
    /// When the load ended, Unix milliseconds.
    pub load_ended_ms: u64,
    /// The case as it was played.
    pub case: Case,
    /// The gateway's log, if anything is wrong.
    #[serde(skip)]
    pub log: String,
    /// The gateway's metrics at the end.
    #[serde(skip)]
    pub metrics: String,
    mode: Mode,
}

/// The figures of a round in one place.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Ledger {
    /// Attempts, of any outcome.
    pub sent: u64,
    /// Batches with a definitive 200.
    pub acknowledged: u64,
    /// Events in them that have to be found.
    pub claimed: u64,
    /// How attempts ended otherwise: a status, or what broke.
    pub refused: BTreeMap<String, u64>,
    /// Batches whose clients stopped trying.
    pub given_up: u64,
    /// Definitive 200s with wrong numbers.
    pub miscounted: u64,
    /// Values read behind the gateway.
    pub read: u64,
    /// Events and batches that were acknowledged and are not there.
    pub missing: u64,
    /// Never sent, filtered or rejected, and found.
    pub alien: u64,
    /// Found with other bytes.
    pub corrupted: u64,
    /// Surplus copies: of what was sent once, after a refusal, after no answer.
    pub duplicates: [u64; 3],
    /// Not found, but the rig destroyed where they lay.
    pub excused: u64,
    /// Found as dead letters.
    pub buried: u64,
    /// Further starts of the gateway.
    pub restarts: u32,
    /// Milliseconds from a start to the first answer: median and longest.
    pub start_ms: [u64; 2],
    /// The longest time without a 200.
    pub silence_ms: u64,
    /// Refusals with 503 that said when to come back, and those that did not.
    pub retry_after: [u64; 2],
    /// What they said, and how long it was until the next 200; medians, milliseconds.
    pub retry_said_was_ms: [f64; 2],
    /// Waits that were told right within a factor of two, too short, too long.
    pub retry_judged: [u64; 3],
    /// p50 and p99 of replies 200 in milliseconds, by phase.
    pub reply_ms: BTreeMap<Phase, [f64; 2]>,
    /// p99 of `/healthz` in milliseconds, by phase.
    pub healthz_p99_ms: BTreeMap<Phase, f64>,
    /// The load.
    pub load_s: f64,
    /// From the end of the load until everything claimed had arrived.
    pub arrived_s: f64,
    /// Power cuts, and how many of them were not clean.
    pub cuts: [usize; 2],
}

impl Outcome {
    pub(super) fn new(name: &str, case: &Case, seed: u64) -> Self {
        Self {
            name: name.to_owned(),
            seed,
            verdict: Verdict::Failed,
            ledger: Ledger::default(),
            errors: Vec::new(),
            broken: Vec::new(),
            tier1: None,
            tier2: Tier::default(),
            examples: Vec::new(),
            evidence: Vec::new(),
            cuts: Vec::new(),
            clusters: Vec::new(),
            dead_letters: 0,
            timeline: Vec::new(),
            samples: Vec::new(),
            lanes: Vec::new(),
            load_ended_ms: 0,
            case: case.clone(),
            log: String::new(),
            metrics: String::new(),
            mode: case.stage.mode,
        }
    }

    pub(super) fn watched(&mut self, seen: Seen) {
        let p99 = |(phase, times): (Phase, hdrhistogram::Histogram<u64>)| {
            (phase, times.value_at_quantile(0.99) as f64 / 1000.0)
        };
        self.ledger.healthz_p99_ms = seen.healthz.into_iter().map(p99).collect();
        self.samples = seen.samples;
    }

    pub(super) fn recorded(&mut self, record: &Record) {
        let statuses = record.statuses();
        let ledger = &mut self.ledger;
        ledger.sent = statuses.values().sum();
        ledger.refused = statuses.into_iter().filter(|(name, _)| name != "200").collect();
        ledger.acknowledged = record.totals.acknowledged;
        ledger.given_up = record.totals.given_up;
        ledger.miscounted = record.totals.miscounted;
        let silence = &record.silence;
        ledger.silence_ms = u64::try_from(silence.longest.as_millis()).unwrap_or(u64::MAX);
        ledger.retry_after = [silence.told, silence.untold];
        let median = |times: &hdrhistogram::Histogram<u64>| times.value_at_quantile(0.5) as f64;
        ledger.retry_said_was_ms = [median(&silence.said) / 1e3, median(&silence.was) / 1e3];
        ledger.retry_judged = silence.judged;
        for stretch in &record.stretches {
            let at = |quantile| stretch.reply.value_at_quantile(quantile) as f64 / 1000.0;
            ledger.reply_ms.insert(stretch.phase, [at(0.5), at(0.99)]);
        }
    }

    pub(super) fn started(&mut self, times_ms: &[u64]) {
        let mut sorted = times_ms.to_vec();
        sorted.sort_unstable();
        let at = |place: usize| sorted.get(place).copied().unwrap_or_default();
        self.ledger.start_ms = [at(sorted.len() / 2), at(sorted.len().saturating_sub(1))];
    }

    pub(super) fn judged(&mut self, one: Option<Tier>, two: Tier, examples: Vec<String>) {
        let ledger = &mut self.ledger;
        ledger.claimed = two.claimed;
        for tier in one.iter().chain([&two]) {
            ledger.read += tier.read;
            ledger.missing += tier.missing;
            ledger.alien += tier.aliens();
            ledger.corrupted += tier.corruptions();
            ledger.excused += tier.excused;
            ledger.buried += tier.buried;
            let copies = tier.duplicated;
            let copies = [copies.by_us, copies.after_refusal, copies.by_retry];
            for (sum, more) in ledger.duplicates.iter_mut().zip(copies) {
                *sum += more;
            }
        }
        (self.tier1, self.tier2, self.examples) = (one, two, examples);
    }

    /// Whether the gateway's log is worth keeping, as far as is known by now.
    pub(super) fn is_suspect(&self) -> bool {
        self.ledger.faults() > 0 || !self.errors.is_empty()
    }

    /// Draws the conclusion.
    pub(super) fn conclude(&mut self, expect: &Expect) {
        self.ledger.cuts =
            [self.cuts.len(), self.cuts.iter().filter(|cut| !cut.is_clean()).count()];
        let planned: u32 = self.case.steps.iter().map(Step::cuts).sum();
        if self.cuts.len() < planned as usize {
            self.broken.push(format!("{} of {planned} power cuts were judged", self.cuts.len()));
        }
        self.broken.extend(expect.broken(&self.ledger, &self.metrics));
        if self.mode == Mode::Embedded && self.ledger.duplicates[0] > 0 {
            self.broken.push("the store holds copies of what was sent once".to_owned());
        }
        let well = self.ledger.faults() == 0
            && (self.ledger.cuts[1] == 0 || expect.unclean_cuts_min.is_some())
            && self.ledger.acknowledged > 0
            && self.errors.is_empty()
            && self.broken.is_empty();
        self.verdict = if well { Verdict::Passed } else { Verdict::Failed };
    }
}

impl Ledger {
    fn faults(&self) -> u64 {
        self.missing + self.alien + self.corrupted + self.miscounted
    }
}

impl Expect {
    fn broken(&self, ledger: &Ledger, metrics: &str) -> Vec<String> {
        let mut broken = Vec::new();
        let mut over = |what: &str, is: f64, max: Option<f64>| {
            if let Some(max) = max.filter(|max| is > *max) {
                broken.push(format!("{what} is {is:.1}, expected at most {max}"));
            }
        };
        let during =
            |of: &BTreeMap<Phase, f64>| of.get(&Phase::During).copied().unwrap_or_default();
        let reply = ledger.reply_ms.get(&Phase::During).map_or(0.0, |[_, p99]| *p99);
        let number = |number: Option<u64>| number.map(|number| number as f64);
        over("silence_ms", ledger.silence_ms as f64, number(self.silence_ms_max));
        over("healthz_p99_ms", during(&ledger.healthz_p99_ms), self.healthz_p99_ms_max);
        over("reply p99 during", reply, self.during_p99_ms_max);
        over("given_up", ledger.given_up as f64, number(self.given_up_max));
        over("excused", ledger.excused as f64, number(self.excused_max));
        over("buried", ledger.buried as f64, Some(self.buried_max as f64));
        for (name, max) in &self.metrics_max {
            over(name, metric(metrics, name), Some(*max));
        }
        let [told, untold] = ledger.retry_after;
        if self.retry_after {
            over("503 without Retry-After", untold as f64, Some(0.0));
        }
        let mut under = |what: &str, is: f64, min: Option<f64>| {
            if let Some(min) = min.filter(|min| is < *min) {
                broken.push(format!("{what} is {is:.1}, expected at least {min}"));
            }
        };
        under("503 answers", (told + untold) as f64, number(self.refused_503_min));
        under("cuts that are not clean", ledger.cuts[1] as f64, number(self.unclean_cuts_min));
        under("buried", ledger.buried as f64, number(self.buried_min));
        for (name, min) in &self.metrics_min {
            under(name, metric(metrics, name), Some(*min));
        }
        broken
    }
}
