//! `tidegate ledger`: the books of clients and gateway side by side.
//!
//! Reads tier 1 from journals, from Kafka, or from both, and changes nothing anywhere.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::say;
use crate::deliver::sinks::kafka::{self, tier1};
use crate::journal::{self, Entry};
use crate::ledger::{Ledger, Rules, Scope, Source};
use crate::settings::Settings;

/// Arguments of `ledger`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A data directory, instead of the configured one; may stand several times, one per node.
    #[arg(long, value_name = "DIR")]
    data: Vec<PathBuf>,
    /// With --data: read the configured clusters as well.
    #[arg(long, requires = "data")]
    kafka: bool,
    /// Only epochs whose first batch came at this time or later: RFC 3339, or Unix milliseconds.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<i64>,
    /// Only epochs whose first batch came before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<i64>,
    /// Only this app.
    #[arg(long)]
    app: Option<String>,
    /// Only this instance.
    #[arg(long)]
    instance: Option<String>,
    /// Memory that the books may take, in MiB; beyond it the command fails and says so.
    #[arg(long, value_name = "MIB", default_value_t = 256,
          value_parser = clap::value_parser!(u16).range(1..=16_384))]
    memory_mb: u16,
    /// Print the books as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(settings: &Settings, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let configured = arguments.data.is_empty();
    let clusters: Vec<kafka::Settings> = if configured || arguments.kafka {
        let first = Some(settings.kafka.clone()).filter(|kafka| !kafka.brokers.is_empty());
        first.into_iter().chain(settings.kafka.second()).collect()
    } else {
        Vec::new()
    };
    anyhow::ensure!(
        !(arguments.kafka && clusters.is_empty()),
        "kafka.brokers is empty; set it, or TIDEGATE__KAFKA__BROKERS=host:port"
    );
    let dirs = if configured { vec![settings.data_dir.clone()] } else { arguments.data };
    let mut rules = Rules::new(settings.rulebook()?);
    for dir in &dirs {
        rules.add_dir(dir.join("rules"));
    }
    for cluster in &clusters {
        // Not without them: records whose rules nobody has are counted as such.
        match tier1::rules(cluster) {
            Ok(texts) => rules.add_texts(texts),
            Err(error) => tracing::warn!(%error, "no rules texts from kafka"),
        }
    }
    let scope = Scope {
        since_ms: arguments.since,
        until_ms: arguments.until,
        app: arguments.app,
        instance: arguments.instance,
        bytes_max: usize::from(arguments.memory_mb) << 20,
    };
    let mut ledger = Ledger::new(scope, rules);
    // In the direction in which records move while this reads: journal, park logs, Kafka.
    for dir in &dirs {
        let journals = journals(dir)?;
        // Beside a cluster there may be none yet, or on another machine.
        anyhow::ensure!(
            !journals.is_empty() || (configured && !clusters.is_empty()),
            "{} holds no journal",
            dir.display()
        );
        for journal in journals {
            read_journal(&mut ledger, &journal, clusters.is_empty())?;
        }
    }
    for cluster in &clusters {
        read_topic(&mut ledger, cluster)?;
    }
    let books = ledger.close();
    if arguments.json {
        say(&serde_json::to_string_pretty(&books)?);
    } else {
        books.table().iter().for_each(|line| say(line));
    }
    Ok(if books.closes { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn read_topic(ledger: &mut Ledger, cluster: &kafka::Settings) -> anyhow::Result<()> {
    let read = tier1::records(cluster, |(place, record)| {
        match record {
            Ok(record) => ledger.take(&record, || place)?,
            Err(why) => ledger.unreadable(place, why),
        }
        Ok::<(), anyhow::Error>(())
    })?;
    let name = format!("topic {} at {}", read.topic, cluster.brokers);
    ledger.source(Source { name, records: read.records, corrupt: 0, cut: read.cut });
    Ok(())
}

/// Takes all of a journal in. Without a cluster it is all there is; with one, what it deleted is
/// there.
fn read_journal(ledger: &mut Ledger, dir: &Path, is_all: bool) -> anyhow::Result<()> {
    let mut records = 0;
    let scanned = journal::scan(dir, |frame| {
        if let Entry::Record { record, .. } = &frame.entry {
            records += 1;
            ledger.take(record, || format!("{} frame {}", dir.display(), frame.seq))?;
        }
        Ok::<(), anyhow::Error>(())
    });
    let scanned = scanned.with_context(|| format!("journal {}", dir.display()))?;
    let (corrupt, cut) = (scanned.corrupt_frames, scanned.cut && is_all);
    ledger.source(Source { name: format!("journal {}", dir.display()), records, corrupt, cut });
    Ok(())
}

/// The journal of a data directory, and those of its parked topics.
fn journals(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> =
        Some(dir.join("journal")).filter(|j| j.is_dir()).into_iter().collect();
    for cluster in folders(&dir.join("park"))? {
        found.extend(folders(&cluster)?);
    }
    Ok(found)
}

fn folders(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let named = || format!("cannot read {}", dir.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(named)? {
        let path = entry.with_context(named)?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn moment(text: &str) -> Result<i64, String> {
    if let Ok(ms) = text.parse() {
        return Ok(ms);
    }
    let at = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "neither like 2026-01-31T12:00:00Z nor Unix milliseconds".to_owned())?;
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        assert_eq!(moment("1767225600000"), Ok(1_767_225_600_000));
        assert_eq!(moment("2026-01-01T00:00:00Z"), Ok(1_767_225_600_000));
        assert_eq!(moment("2026-01-01T01:00:00.5+01:00"), Ok(1_767_225_600_500));
        assert!(moment("yesterday").is_err());
    }
}
