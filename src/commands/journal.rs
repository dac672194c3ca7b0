//! `tidegate journal verify|dump`: looks into a journal that no gateway has open.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::say;
use crate::journal::{self, Entry};
use crate::settings::Settings;

/// What to do with the journal.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Read every frame and say whether all are whole; exits 1 if not.
    Verify {
        /// The directory; without it, `journal` in the configured data directory.
        dir: Option<PathBuf>,
    },
    /// Print every frame as one JSON object a line.
    Dump {
        /// The directory; without it, `journal` in the configured data directory.
        dir: Option<PathBuf>,
        /// The first frame to print.
        #[arg(long, default_value_t = 0)]
        from: u64,
    },
}

pub(super) fn run(settings: &Settings, command: &Command) -> anyhow::Result<ExitCode> {
    let usual = settings.data_dir.join("journal");
    match command {
        Command::Verify { dir } => {
            let report = journal::verify(dir.as_ref().unwrap_or(&usual))?;
            say(&serde_json::to_string_pretty(&report)?);
            Ok(if report.intact { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
        Command::Dump { dir, from } => {
            journal::dump(dir.as_ref().unwrap_or(&usual), *from, |frame| say(&line(&frame)))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn line(frame: &journal::Frame) -> String {
    let seq = frame.seq;
    let value = match &frame.entry {
        Entry::Record { pending, owed, record } => {
            let facts = &record.facts;
            serde_json::json!({
                "seq": seq,
                "kind": "record",
                "pending": pending,
                "owed": owed.iter().map(|owed| owed.iter().collect()).collect::<Vec<Vec<_>>>(),
                "app": &*facts.app,
                "batch": facts.batch.to_string(),
                "made": facts.batch_made,
                "recv": facts.arrival_ms,
                "class": facts.class,
                "coding": facts.coding.name(),
                "format": facts.format.name(),
                "rules": format!("{:016x}", facts.rules),
                "bytes": record.body.len(),
            })
        }
        Entry::Settle { record, cluster, owed } => serde_json::json!({
            "seq": seq,
            "kind": "settle",
            "record": record,
            "cluster": cluster,
            "owed": owed.iter().collect::<Vec<_>>(),
        }),
    };
    value.to_string()
}
