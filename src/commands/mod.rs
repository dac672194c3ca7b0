//! One file per subcommand, each on top of the same floors.
//!
//! Exit codes: 0 done, 1 failed (`ledger`: the books do not close), 2 a difference was found
//! (`topics plan`) or the command line is wrong, 64 the configuration cannot be used. A failure is
//! one clear line on standard error.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{self, ExitCode};

use clap::{Parser, Subcommand};

use crate::settings::{self, Settings};

mod check;
mod explain;
mod journal;
mod ledger;
mod run;
mod topics;

/// Edge log-ingestion gateway: durable batches over HTTP, split into two tiers of Kafka.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, about)]
struct Arguments {
    /// The configuration file; without it every option has its default.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT.
    Run,
    /// Validate the configuration and print the effective one, keys masked.
    Check,
    /// Compare or create the Kafka topics that the routes need.
    #[command(subcommand)]
    Topics(topics::Command),
    /// Say what would become of one event, and why.
    Explain(explain::Arguments),
    /// Join what SDKs report with what is here: what became of every event; see --help.
    ///
    /// Reads tier 1 and prints, for each app, sort of key, instance and epoch: what the SDK
    /// reports (calls of track; what never entered its queue, by reason; what was acknowledged,
    /// is held, or left without an answer, by reason), what the gateway holds (accepted,
    /// filtered, rejected), the holes in the sequence numbers, and the remainder: events that
    /// were acknowledged and are not here, or are here and stand in no book of their client.
    ///
    /// Without --data it reads what the configuration names: with brokers the topic
    /// `<prefix>.raw` of each cluster and what the journal still owes, else the journal of the
    /// embedded store. The gateway may run meanwhile. A batch that is found in several places
    /// counts once.
    ///
    /// Exit code 0: everything closes. 1: a remainder is not zero, a record is unreadable, an
    /// epoch could not be judged, or a source cannot be read. 2: the command line is wrong.
    Ledger(ledger::Arguments),
    /// Look into the journal of a gateway that is not running.
    #[command(subcommand)]
    Journal(journal::Command),
}

/// The exit code of an unusable configuration (EX_USAGE).
const BAD_CONFIGURATION: u8 = 64;

/// Parses the command line and runs it.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let settings = match Settings::load(arguments.config.as_deref()) {
        Ok(settings) => settings,
        Err(error) => return fail(&anyhow::Error::new(error), BAD_CONFIGURATION),
    };
    let done = match arguments.command {
        Command::Run => run::run(settings, arguments.config),
        Command::Check => check::run(&settings),
        Command::Topics(command) => topics::run(&settings, &command),
        Command::Explain(arguments) => explain::run(&settings, &arguments),
        Command::Ledger(arguments) => ledger::run(&settings, arguments),
        Command::Journal(command) => journal::run(&settings, &command),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            let code = if error.is::<settings::Error>() { BAD_CONFIGURATION } else { 1 };
            fail(&error, code)
        }
    }
}

#[expect(clippy::print_stderr, reason = "this is where the command speaks")]
fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("tidegate: {error:#}");
    ExitCode::from(code)
}

/// One line on standard output. Ends the process where nobody reads it: `tidegate check | head`.
fn say(line: &str) {
    let Err(error) = writeln!(io::stdout(), "{line}") else { return };
    if error.kind() == io::ErrorKind::BrokenPipe {
        process::exit(0);
    }
    fail(&anyhow::Error::new(error).context("cannot write to standard output"), 1);
    process::exit(1);
}
