//! The floor table of one machine: what each part of the gateway's work costs when it is done bare,
//! their sum, and beside it the gateway itself on the same batches, in both modes.
//!
//! `cargo bench --bench floor` (Java and Maven for a real Kafka; `-- --embedded-only` without). CPU
//! ns per event of all threads of the part alone, never of the load or the broker; median of
//! rounds, in which all parts take turns. [`table`] says what each row contains.

use std::ops::Range;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Parser as _;
use loadtest::broker::{Broker, BrokerOptions};
use tidegate::model::Record;

mod arguments;
mod client;
mod cpu;
mod duel;
mod echo;
mod gateway;
mod journal;
mod kafka;
#[path = "../load/mod.rs"]
mod load;
mod request;
mod stages;
mod table;

use arguments::{Arguments, Combination};
use duel::Duel;
use gateway::{Gateway, Sink};
use table::Table;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(port) = arguments.echo {
        return echo::serve(port);
    }
    if !arguments.bench {
        // `cargo test --all-targets` runs benches too, without this word.
        println!("the floor is only measured by `cargo bench --bench floor`");
        return Ok(());
    }
    let load = Load::seal(&arguments);
    let busy = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load average of this machine before the start: {}", busy.trim());
    let combinations = arguments.combinations();
    let mut broker = None;
    if !arguments.embedded_only {
        broker = Some(Broker::start(BrokerOptions::default()).context("starting Kafka")?);
    }
    let first = combinations.first().context("there is always one combination")?;
    let parts = Parts::start(&arguments, &load)?;
    let mut duel = match &broker {
        Some(broker) => Some(Duel::start(&arguments, broker, first, 0, &load)?),
        None => None,
    };
    let mut table = Table::default();
    let start = Instant::now();
    for round in 0..arguments.rounds {
        parts.round(&load, round, &mut table)?;
        if let Some(duel) = &mut duel {
            duel.round(&load, round, &mut table)?;
        }
        eprintln!("round {} of {}, {:.1?}", round + 1, arguments.rounds, start.elapsed());
    }
    parts.finish(&load, &mut table)?;
    if let Some(duel) = duel {
        duel.finish(&load, &mut table)?;
    }
    print!("{table}");
    if let (Some(broker), true) = (&broker, combinations.len() > 1) {
        sweep(&arguments, broker, &combinations, &load, &table)?;
    }
    Ok(())
}

/// Every further combination of Kafka settings, one after the other, against the same bare parts.
fn sweep(
    arguments: &Arguments,
    broker: &Broker,
    combinations: &[Combination],
    load: &Load,
    first: &Table,
) -> anyhow::Result<()> {
    println!("\n{}", table::SWEEP_HEAD);
    println!("{}", first.sweep_row(&combinations[0]));
    for (number, combination) in combinations.iter().enumerate().skip(1) {
        let mut table = first.bare_only();
        let mut duel = Duel::start(arguments, broker, combination, number, load)?;
        for round in 0..arguments.rounds {
            duel.round(load, round, &mut table)?;
        }
        duel.finish(load, &mut table)?;
        println!("{}", table.sweep_row(combination));
    }
    Ok(())
}

/// All batches of a run. No gateway is sent the same one twice.
struct Load {
    records: Arc<[Record]>,
    requests: Arc<[Bytes]>,
    /// Batches in a round.
    batches: usize,
    rounds: usize,
}

/// Batches by which caches, connections and branch predictors get warm.
const WARM: Range<usize> = 0..1_000;

impl Load {
    fn seal(arguments: &Arguments) -> Self {
        let (rounds, batches) = (arguments.rounds, arguments.batches);
        let count = WARM.end + rounds * batches + batches;
        let records = load::records(u32::try_from(count).unwrap_or(u32::MAX));
        let sent: usize = records.iter().map(|record| record.body.len()).sum();
        let plain: u64 = records.iter().map(|record| request::plain_bytes(&record.body)).sum();
        let (sent, plain) = (sent / count, plain / count as u64);
        println!("{count} batches of {} events; {sent} bytes each, {plain} inflated", load::EVENTS);
        let requests = records.iter().map(request::compose).collect();
        Self { records: records.into(), requests, batches, rounds }
    }

    /// What a round sends; the one after the last is for the half load.
    fn round(&self, round: usize) -> Range<usize> {
        let start = WARM.end + round * self.batches;
        start..start + self.batches
    }

    fn half(&self) -> Range<usize> {
        self.round(self.rounds)
    }
}

/// What is measured without Kafka.
struct Parts {
    echo: echo::Echo,
    journal: journal::Bare,
    embedded: Gateway,
}

impl Parts {
    fn start(arguments: &Arguments, load: &Load) -> anyhow::Result<Self> {
        let echo = echo::Echo::start(arguments)?;
        let journal = journal::Bare::open(arguments)?;
        let embedded = Gateway::start(arguments, &Sink::Store)?;
        echo.round(load, WARM)?;
        journal.round(load, WARM)?;
        embedded.round(load, WARM, None)?;
        Ok(Self { echo, journal, embedded })
    }

    fn round(&self, load: &Load, round: usize, table: &mut Table) -> anyhow::Result<()> {
        let range = load.round(round);
        table.echo.push(self.echo.round(load, range.clone())?);
        let settings = self.embedded.settings();
        let threads = settings.workers();
        table.inflate.push(stages::inflate(load, range.clone(), threads)?);
        table.split.push(stages::split(load, range.clone(), threads)?);
        table.refine.push(stages::refine(load, range.clone(), settings)?);
        table.journal.push(self.journal.round(load, range.clone())?);
        table.embedded.push(self.embedded.round(load, range, None)?);
        Ok(())
    }

    fn finish(self, load: &Load, table: &mut Table) -> anyhow::Result<()> {
        let rate = table.embedded.rate() / f64::from(load::EVENTS) / 2.0;
        table.embedded.half = self.embedded.round(load, load.half(), Some(rate))?.delays;
        self.embedded.check_store(load.half().end)
    }
}
