//! One file per subcommand, each on top of the same floors.
//!
//! Exit codes: 0 done, 1 failed, 2 a difference was found (`topics plan`) or the command line is
//! wrong, 64 the configuration cannot be used. A failure is one clear line on standard error.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::settings::{self, Settings};

mod check;
mod explain;
mod journal;
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

/// One line on standard output.
#[expect(clippy::print_stdout, reason = "this is where the commands speak")]
fn say(line: &str) {
    println!("{line}");
}
