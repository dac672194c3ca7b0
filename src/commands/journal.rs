//! `tidegate journal verify|dump|export|import`: works on a journal that no gateway has open.

use std::path::{Path, PathBuf};
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
    /// Write every record that is still owed into one file, for another node; see --help.
    ///
    /// For a node that will not come back: its gateway is stopped, or its disk is mounted here.
    /// Each record goes with what it still owes, and stays owed to the sinks that it was owed to.
    /// The journal is not changed, so delete it before its node starts again, or the records come
    /// twice. The other node also needs the rules texts that the summary names: copy them from
    /// `rules/` of this data directory into its own. Exits 1, with one line that says why, if the
    /// journal is in use, of a newer format or damaged; with damage, the file holds everything that
    /// is whole.
    Export {
        /// The directory; without it, `journal` in the configured data directory.
        dir: Option<PathBuf>,
        /// The file to write; it must not exist yet.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// The first frame; without it, the lowest that any sink still wants.
        #[arg(long, value_name = "SEQ")]
        from: Option<u64>,
        /// Print the summary as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Append what `export` wrote to a journal; see --help.
    ///
    /// The journal may be fresh, but no gateway may have it open: stop it first. The file is
    /// checked to its end before anything is appended, and every record is durable when the
    /// command ends. The gateway then delivers them like its own, if it finds the rules texts that
    /// the summary names in `rules/` of its data directory. Importing a file twice delivers its
    /// records twice. Exits 1, with one line that says why, if the journal is in use or full, or if
    /// the file is damaged or of a newer format.
    Import {
        /// What `export` wrote.
        file: PathBuf,
        /// The directory; without it, `journal` in the configured data directory.
        #[arg(long, value_name = "DIR")]
        into: Option<PathBuf>,
        /// Print the summary as JSON.
        #[arg(long)]
        json: bool,
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
        Command::Export { dir, to, from, json } => {
            let summary = journal::export(dir.as_ref().unwrap_or(&usual), to, *from)?;
            tell(&summary, "exported", to, *json)?;
            let corrupt = summary.corrupt_frames;
            anyhow::ensure!(
                corrupt == 0,
                "{corrupt} acknowledged frames are damaged or missing; {} holds the others",
                to.display(),
            );
            Ok(ExitCode::SUCCESS)
        }
        Command::Import { file, into, json } => {
            let into = into.as_ref().unwrap_or(&usual);
            let summary = journal::import(file, into, &settings.journal)?;
            tell(&summary, "imported", into, *json)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn tell(summary: &journal::Summary, done: &str, to: &Path, json: bool) -> anyhow::Result<()> {
    if json {
        say(&serde_json::to_string_pretty(summary)?);
        return Ok(());
    }
    let journal::Summary { records, bytes, rules, .. } = summary;
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let rules = if rules.is_empty() { "none".to_owned() } else { rules.join(", ") };
    say(&format!("{done} {records} records, {bytes} bytes, to {}", to.display()));
    say(&format!("rules texts that they need: {rules}"));
    Ok(())
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
