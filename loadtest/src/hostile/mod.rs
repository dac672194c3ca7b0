//! The hostile lane: attacks on one gateway, and what a well-behaved client and the gateway itself
//! felt before, during and after each of them.
//!
//! In: a gateway binary, which attacks. Out: one readable report. Everything runs on loopback, is
//! bounded in number and time, and ends only what it started. Tools that are not installed are
//! named in the report and skipped.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::clock::now_ms;
use crate::send::idle;
use report::Report;
use scene::Scene;
use tls::Certificates;

pub mod bombs;
pub mod calm;
pub mod crowd;
pub mod flood;
pub mod frames;
pub mod report;
pub mod scene;
pub mod slow;
pub mod tls;
pub mod tools;
pub mod watch;

/// What to play.
#[derive(Debug, Clone, Args)]
pub struct Line {
    /// Only these parts: bombs, slow, floods, h2spec, tls, schema
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// The tidegate binary
    #[arg(long, default_value = "target/release/tidegate")]
    pub gateway: PathBuf,
    /// Bombs of each sort at the same time
    #[arg(long, default_value_t = 1_000)]
    pub bombs: usize,
    /// Only bombs in whose name this stands
    #[arg(long, default_value = "")]
    pub sort: String,
    /// Connections of each slow mode
    #[arg(long, default_value_t = 5_000)]
    pub connections: usize,
    /// Streams that are opened and reset, and frames of each flood
    #[arg(long, default_value_t = 100_000)]
    pub frames: usize,
    /// Seconds of each slow mode, and of each flood
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
    /// Requests that schemathesis makes up for each operation
    #[arg(long, default_value_t = 300)]
    pub examples: usize,
    /// Where `.ci/setup hostile` has put tools that no package brings
    #[arg(long, default_value = "target/tools")]
    pub tools: PathBuf,
    /// Where the reports go
    #[arg(long, default_value = "target/hostile")]
    pub out: PathBuf,
}

/// A part of the lane.
type Part = fn(&Line, &mut Report) -> anyhow::Result<()>;

const PARTS: [(&str, Part); 6] = [
    ("bombs", crowd::bombs),
    ("slow", slow::modes),
    ("floods", flood::floods),
    ("h2spec", tools::h2spec),
    ("tls", tools::testssl),
    ("schema", tools::schemathesis),
];

/// Plays what was asked for; whether everything stayed within its bounds.
pub fn hostile(line: &Line) -> anyhow::Result<bool> {
    ensure!(line.gateway.is_file(), "no gateway binary at {}", line.gateway.display());
    for name in &line.only {
        ensure!(PARTS.iter().any(|(known, _)| known == name), "no part {name}");
    }
    idle::allow_many_files();
    fs::create_dir_all(&line.out).with_context(|| line.out.display().to_string())?;
    let path = line.out.join(format!("{}.md", now_ms() / 1000));
    let mut report = Report::new(&path);
    report.say(&format!("Gateway {}, {}.", line.gateway.display(), machine()));
    for (name, part) in PARTS {
        if line.only.is_empty() || line.only.iter().any(|only| only == name) {
            println!("== {name}");
            report.begin(name);
            if let Err(error) = part(line, &mut report) {
                report.fail(&format!("{name} could not be played: {error:#}"));
            }
            report.write()?;
        }
    }
    println!("{}", path.display());
    Ok(report.is_clean())
}

/// A gateway for one part, with a calm client and a watcher.
fn scene(line: &Line, configuration: &str) -> anyhow::Result<Scene> {
    Scene::set(&line.gateway, configuration, None)
}

/// The same with TLS, which the calm client speaks as well.
fn scene_with_tls(line: &Line, certificates: &Certificates) -> anyhow::Result<Scene> {
    let client = certificates.client(b"http/1.1")?;
    Scene::set(&line.gateway, &certificates.configuration(), Some(client))
}

fn machine() -> String {
    let said = Command::new("nproc").output().map(|out| out.stdout).unwrap_or_default();
    format!("{} cores shared by both sides", String::from_utf8_lossy(&said).trim())
}
