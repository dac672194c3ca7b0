//! `tidegate topics plan|apply`: the Kafka topics that the routes need, compared and created.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};

use super::say;
use crate::deliver::sinks::file;
use crate::deliver::sinks::kafka::topics::{self, Wanted};
use crate::settings::Settings;

/// What to do with topics.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what differs; exits 2 if anything does.
    Plan {
        #[command(flatten)]
        shape: Shape,
        /// Propose routes for the types that the embedded store has seen; needs no broker.
        #[arg(long)]
        seen: bool,
    },
    /// Create what is missing and set limits and retention.
    Apply {
        #[command(flatten)]
        shape: Shape,
    },
}

/// What topics look like; each overrides `[kafka.topics]`.
#[derive(Debug, Args)]
pub(super) struct Shape {
    /// Partitions of new topics.
    #[arg(long)]
    partitions: Option<u32>,
    /// Replicas of new topics.
    #[arg(long)]
    replication: Option<u32>,
    /// Milliseconds that topics keep records.
    #[arg(long)]
    retention_ms: Option<u64>,
}

pub(super) fn run(settings: &Settings, command: &Command) -> anyhow::Result<ExitCode> {
    let (shape, apply) = match command {
        Command::Plan { seen: true, .. } => return propose(settings),
        Command::Plan { shape, .. } => (shape, false),
        Command::Apply { shape } => (shape, true),
    };
    if settings.kafka.brokers.is_empty() {
        bail!("kafka.brokers is empty; set it, or TIDEGATE__KAFKA__BROKERS=host:port");
    }
    let mut wanted_shape = settings.kafka.topics.clone();
    wanted_shape.partitions = shape.partitions.unwrap_or(wanted_shape.partitions);
    wanted_shape.replication = shape.replication.unwrap_or(wanted_shape.replication);
    wanted_shape.retention_ms = shape.retention_ms.unwrap_or(wanted_shape.retention_ms);
    let wanted = wanted(settings, &wanted_shape)?;
    let mut differs = false;
    for cluster in std::iter::once(settings.kafka.clone()).chain(settings.kafka.second()) {
        let differences = topics::compare(&cluster, &wanted)?;
        if differences.is_empty() {
            say(&format!("{}: {} topics are as they should be", cluster.brokers, wanted.len()));
            continue;
        }
        differs = true;
        for difference in &differences {
            say(&difference.to_string());
        }
        if apply {
            let done = topics::apply(&cluster, &differences)?;
            say(&format!("{}: {done} changes applied", cluster.brokers));
        }
    }
    Ok(if differs && !apply { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

/// Every topic that this configuration writes to.
fn wanted(settings: &Settings, shape: &topics::Settings) -> anyhow::Result<Vec<Wanted>> {
    let book = settings.rulebook()?;
    let prefix = &settings.kafka.topic_prefix;
    let bytes = settings.record_bytes_max();
    let single = |name: &str| format!("{prefix}.{name}");
    let lanes = book.table.lanes().iter().map(|lane| lane.topic.clone());
    let mut wanted: Vec<Wanted> = std::iter::once(single("raw"))
        .chain(lanes)
        .chain([single("dead"), single("report"), single("audit")])
        .map(|name| Wanted::new(name, shape, bytes))
        .collect();
    wanted.push(Wanted::compacted(single("rules"), shape, bytes));
    Ok(wanted)
}

/// Routes for what has been seen: one lane per first part of the type's name.
fn propose(settings: &Settings) -> anyhow::Result<ExitCode> {
    let seen = file::seen(&settings.data_dir.join("events"))?;
    if seen.is_empty() {
        say("# the embedded store has seen no types yet (its checkpoint is written every minute)");
        return Ok(ExitCode::SUCCESS);
    }
    let book = settings.rulebook()?;
    let mut lanes: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
    for file::Seen { kind, events: count, .. } in seen {
        if kind.is_empty() {
            // All types beyond types_max together, which have no name to route by.
            continue;
        }
        if book.table.target(&kind).route.is_none() {
            let first = kind.split(['.', ':', '_']).next().unwrap_or(&kind);
            let lane = first.to_ascii_lowercase();
            let lane = if lane.is_empty() { "unnamed".to_owned() } else { lane };
            lanes.entry(lane).or_default().push((kind, count));
        }
    }
    for (lane, mut kinds) in lanes {
        kinds.sort();
        let total: u64 = kinds.iter().map(|(_, count)| count).sum();
        let names: Vec<_> = kinds.iter().map(|(kind, _)| format!("{kind:?}")).collect();
        say(&format!(
            "# {total} events\n[[routes]]\ntypes = [{}]\nlane = {lane:?}\n",
            names.join(", ")
        ));
    }
    Ok(ExitCode::SUCCESS)
}
