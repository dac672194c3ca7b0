//! The figures of all rounds, and how they are shown: medians, sums, ratios.
//!
//! The floor of a mode is the sum of the parts that no gateway can do without, each measured bare.
//! Routing (the `_tg` object, topics, keys), books, metrics and the store's files are not in it.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::arguments::Combination;
use crate::gateway::Round;
use crate::load::EVENTS;

/// One measurement of one part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    /// CPU nanoseconds per event.
    pub(crate) ns: f64,
    /// Events per second of wall time.
    pub(crate) per_s: f64,
}

impl Figure {
    /// From totals of so many batches.
    pub(crate) fn of(batches: usize, spent: Duration, took: Duration) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "millions of events")]
        let events = (batches * usize::from(EVENTS)) as f64;
        Self { ns: spent.as_secs_f64() * 1e9 / events, per_s: events / took.as_secs_f64() }
    }

    /// The middle of several rates.
    pub(crate) fn median_rate(figures: &[Self]) -> f64 {
        middle(figures.iter().map(|figure| figure.per_s).collect())
    }
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// (a) An HTTP server that reads bodies and answers.
    pub(crate) echo: Vec<Figure>,
    /// (b) The gateway's decoder on one body after the other.
    pub(crate) inflate: Vec<Figure>,
    /// (c) The gateway's split, which validates everything, without rules.
    pub(crate) split: Vec<Figure>,
    /// Decode, split and route as one; not in any sum.
    pub(crate) refine: Vec<Figure>,
    /// (d1) The same bodies into a journal, with its syncs.
    pub(crate) journal: Vec<Figure>,
    /// (d2) The same records into Kafka at the gateway's moments, until their reports.
    pub(crate) paced: Vec<Figure>,
    /// The same flat out; not in any sum.
    pub(crate) flat_out: Vec<Figure>,
    /// The gateway with journal and store.
    pub(crate) embedded: Rounds,
    /// The gateway with Kafka, `ack = "kafka"`.
    pub(crate) kafka: Rounds,
    /// Batches that Kafka did not take in time, all rounds together.
    pub(crate) diverted: f64,
}

/// The rounds of one gateway.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    figures: Vec<Figure>,
    threads: BTreeMap<String, Vec<Figure>>,
    /// Of each reply of all rounds, in microseconds.
    delays: Vec<u32>,
    /// The same at half the load.
    pub(crate) half: Vec<u32>,
}

impl Rounds {
    /// Adds one.
    pub(crate) fn push(&mut self, round: Round) {
        for (name, spent) in round.threads {
            let figure = Figure::of(round.delays.len(), spent, Duration::from_secs(1));
            self.threads.entry(name).or_default().push(figure);
        }
        self.figures.push(round.figure);
        self.delays.extend(round.delays);
    }

    /// Events per second.
    pub(crate) fn rate(&self) -> f64 {
        Figure::median_rate(&self.figures)
    }

    /// The dearest kinds of threads with their cost.
    fn dearest(&self) -> String {
        let mut threads: Vec<_> =
            self.threads.iter().map(|(name, figures)| (median(figures), name)).collect();
        threads.sort_by(|one, other| other.0.total_cmp(&one.0));
        let texts = threads.iter().take(THREADS_SHOWN).map(|(ns, name)| format!("{name} {ns:.0}"));
        texts.collect::<Vec<_>>().join(", ")
    }
}

/// Kinds of threads in the table.
const THREADS_SHOWN: usize = 6;

/// The columns of [`Table::sweep_row`].
pub(crate) const SWEEP_HEAD: &str = concat!(
    "linger partitions compression     (d2)    floor  gateway  ratio   events/s  ",
    "p50 ms  p99 ms  half load: p50 ms  p99 ms",
);

impl Table {
    /// The parts that do not depend on Kafka's settings.
    pub(crate) fn bare_only(&self) -> Self {
        let (echo, inflate, split) = (self.echo.clone(), self.inflate.clone(), self.split.clone());
        Self { echo, inflate, split, ..Self::default() }
    }

    /// One combination of settings as a row.
    pub(crate) fn sweep_row(&self, combination: &Combination) -> String {
        let Combination { linger_ms, partitions, compression } = combination;
        let (d2, floor, gateway) =
            (median(&self.paced), self.floor(&self.paced), median(&self.kafka.figures));
        let rate = thousands(self.kafka.rate());
        let [p50, p99] = percentiles(&self.kafka.delays);
        let [half_p50, half_p99] = percentiles(&self.kafka.half);
        let ratio = gateway / floor;
        let settings = format!("{linger_ms:>6} {partitions:>10} {compression:<11}");
        let costs = format!("{d2:>8.0} {floor:>8.0} {gateway:>8.0} {ratio:>6.2} {rate:>10}");
        format!("{settings} {costs} {p50:>7.1} {p99:>7.1} {half_p50:>18.1} {half_p99:>7.1}")
    }

    fn floor(&self, durable: &[Figure]) -> f64 {
        let parts = [&self.echo[..], &self.inflate, &self.split, durable];
        parts.into_iter().map(median).sum()
    }

    fn mode(&self, f: &mut Formatter<'_>, mode: &Mode<'_>) -> fmt::Result {
        let Mode { name, sum, durable, gateway } = mode;
        let (floor, cost) = (self.floor(durable), median(&gateway.figures));
        let [p50, p99] = percentiles(&gateway.delays);
        let [half_p50, half_p99] = percentiles(&gateway.half);
        let (rate, spread) = (thousands(gateway.rate()), spread(&gateway.figures));
        writeln!(f)?;
        line(f, &format!("{name} floor"), floor, "", sum)?;
        line(f, &format!("{name} gateway"), cost, &rate, &format!("all of it ({spread})"))?;
        writeln!(f, "    by thread: {}", gateway.dearest())?;
        writeln!(f, "    replies flat out: p50 {p50:.1} ms, p99 {p99:.1} ms")?;
        writeln!(f, "    replies at half this load: p50 {half_p50:.1} ms, p99 {half_p99:.1} ms")?;
        writeln!(f, "{:<34} {:>8.2}", format!("{name} ratio"), cost / floor)
    }
}

fn line(f: &mut Formatter<'_>, name: &str, ns: f64, rate: &str, note: &str) -> fmt::Result {
    writeln!(f, "{name:<34} {ns:>8.0} {rate:>12}  {note}")
}

struct Mode<'a> {
    name: &'static str,
    sum: &'static str,
    durable: &'a [Figure],
    gateway: &'a Rounds,
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rounds = self.echo.len();
        writeln!(
            f,
            "CPU ns per event, all threads, median of {rounds} rounds; batches of {EVENTS}"
        )?;
        writeln!(f, "{:<34} {:>8} {:>12}  what it is", "part", "ns/event", "events/s")?;
        for (name, figures, note) in [
            (
                "(a) hyper echo",
                &self.echo,
                "http1, a thread per worker: reads bodies, answers 100 bytes",
            ),
            ("(b) inflate", &self.inflate, "the gateway's decoder, a thread per worker"),
            (
                "(c) split",
                &self.split,
                "the gateway's split, validating, no rules, a thread per worker",
            ),
            ("    inflate + split + route", &self.refine, "as the gateway calls them; in no sum"),
            ("(d1) journal append", &self.journal, "as many at once as connections, each synced"),
            (
                "(d2) kafka, as they came",
                &self.paced,
                "both tiers, each batch when the gateway got it",
            ),
            ("     kafka, flat out", &self.flat_out, "the same without pacing; in no sum"),
        ] {
            if !figures.is_empty() {
                let rate = thousands(Figure::median_rate(figures));
                line(f, name, median(figures), &rate, &format!("{note} ({})", spread(figures)))?;
            }
        }
        let (durable, gateway) = (&self.journal, &self.embedded);
        self.mode(f, &Mode { name: "embedded", sum: "a + b + c + d1", durable, gateway })?;
        if self.kafka.figures.is_empty() {
            return Ok(());
        }
        let (durable, gateway) = (&self.paced, &self.kafka);
        self.mode(f, &Mode { name: "kafka", sum: "a + b + c + d2", durable, gateway })?;
        if self.diverted > 0.0 {
            writeln!(f, "{} batches were diverted to the journal: not a clean run", self.diverted)?;
        }
        Ok(())
    }
}

fn median(figures: &[Figure]) -> f64 {
    middle(figures.iter().map(|figure| figure.ns).collect())
}

fn spread(figures: &[Figure]) -> String {
    let ns = || figures.iter().map(|figure| figure.ns);
    let (low, high) = (ns().fold(f64::INFINITY, f64::min), ns().fold(0.0, f64::max));
    format!("{low:.0} to {high:.0}")
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The 50th and the 99th percentile in milliseconds.
fn percentiles(delays: &[u32]) -> [f64; 2] {
    let mut sorted = delays.to_vec();
    sorted.sort_unstable();
    [50, 99].map(|percent| {
        let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(at).map_or(f64::NAN, |micros| f64::from(*micros) / 1_000.0)
    })
}

fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
