//! The command line: run a load, run a case, have a broker.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use loadtest::broker::{Broker, BrokerOptions};
use loadtest::report::Report;
use loadtest::run::Settings;
use loadtest::{cases, hostile, run, torture};

/// Load generator and loss oracle for Tidegate.
#[derive(Parser)]
#[command(version)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts a fresh gateway (and broker), sends, reads back what arrived, and judges
    Run(Box<Settings>),
    /// Runs a load case of the folder `loadtest/cases`; without a name lists them
    Case {
        /// Its folder's name
        name: Option<String>,
        /// Another tidegate binary than the case names
        #[arg(long)]
        gateway: Option<PathBuf>,
        /// Writes the report as JSON
        #[arg(long)]
        report: Option<PathBuf>,
    },
    /// Faults under load: nothing acknowledged may be missing afterwards
    Torture(torture::Line),
    /// Attacks on a gateway, and what a well-behaved client feels of them
    Hostile(hostile::Line),
    /// Starts a Kafka broker, prints its address, and keeps it until the input ends or ^C
    Kafka {
        /// Topics to create, NAME or NAME:PARTITIONS
        #[arg(long)]
        topic: Vec<String>,
        /// Its port; by default one is picked
        #[arg(long)]
        port: Option<u16>,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Line::parse().command {
        Command::Run(settings) => {
            let report = run::run(&settings)?;
            conclude(&report, &[])
        }
        Command::Case { name: None, .. } => list(),
        Command::Case { name: Some(name), gateway, report } => {
            let mut case = cases::read(&cases::dir(), &name)?;
            println!("{name}: {}", case.goal.trim());
            case.run.gateway = gateway.unwrap_or(case.run.gateway);
            case.run.report = report.or(case.run.report);
            let (report, broken) = case.run()?;
            conclude(&report, &broken)
        }
        Command::Torture(line) => {
            let well = torture::torture(&line)?;
            Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Hostile(line) => {
            let well = hostile::hostile(&line)?;
            Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Kafka { topic, port } => kafka(&topic, port),
    }
}

/// Prints and writes the report; the exit code says whether all is well.
fn conclude(report: &Report, broken: &[String]) -> anyhow::Result<ExitCode> {
    if let Some(path) = &report.settings.report {
        let json = serde_json::to_string_pretty(&report.to_json())?;
        std::fs::write(path, json).with_context(|| path.display().to_string())?;
    }
    for expectation in broken {
        println!("not as expected: {expectation}");
    }
    println!("{report}");
    let well = report.is_clean() && broken.is_empty();
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn list() -> anyhow::Result<ExitCode> {
    for name in cases::names(&cases::dir())? {
        let case = cases::read(&cases::dir(), &name)?;
        println!("{name}: {}", case.goal.trim());
    }
    Ok(ExitCode::SUCCESS)
}

fn kafka(topics: &[String], port: Option<u16>) -> anyhow::Result<ExitCode> {
    let broker = Broker::start(BrokerOptions { port, ..BrokerOptions::default() })?;
    for topic in topics {
        let (name, partitions) = topic.split_once(':').unwrap_or((topic, "4"));
        broker.topics().create(name, partitions.parse().context("NAME:PARTITIONS")?)?;
    }
    println!("{}", broker.addr());
    // The input of a terminal ends with ^D; ^C ends us, and the kernel ends the broker with us.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(ExitCode::SUCCESS)
}
