//! The torture rig: faults under load, one after the other and interleaved at random, and a judge
//! who holds the gateway to every 200 that it gave.
//!
//! In: case files, a seed, how many rounds. Out: a folder with seed, timeline, figures and verdict
//! of every round, and an exit code. Everything runs in a mount namespace of its own, so that no
//! mount outlives it; it talks to loopback only and ends only what it started.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::batch::Random;
use crate::clock::now_ms;
use crate::send::idle;
use case::Case;
use outcome::{Outcome, Verdict};

pub mod case;
pub mod clusters;
pub mod cut;
pub mod disk;
pub mod evidence;
pub mod mix;
pub mod outcome;
pub mod proxy;
pub mod round;
pub mod scene;
pub mod shim;
pub mod stage;
pub mod step;
pub mod text;
pub mod timeline;
pub mod watch;

/// What to play.
#[derive(Debug, Clone, Args)]
pub struct Line {
    /// Names of cases in `loadtest/torture`; without any, all of them, or only `--rounds`
    pub names: Vec<String>,
    /// Shows the cases and their goals
    #[arg(long)]
    pub list: bool,
    /// A case that lies elsewhere, such as the `case.toml` of an earlier run
    #[arg(long)]
    pub file: Vec<PathBuf>,
    /// Only the short forms of the cases that have one
    #[arg(long)]
    pub quick: bool,
    /// Decides every random moment; by default one is drawn, and shown first
    #[arg(long)]
    pub seed: Option<u64>,
    /// Random interleavings of cases, after the named ones
    #[arg(long, default_value_t = 0)]
    pub rounds: u64,
    /// No new round begins after so many seconds
    #[arg(long)]
    pub seconds: Option<u64>,
    /// Kills of the gateway in a case, shared among its steps
    #[arg(long)]
    pub kills: Option<u32>,
    /// Minutes of the long waits (a minute or more in the file), such as that without Kafka
    #[arg(long)]
    pub minutes: Option<u64>,
    /// Power cuts in a case, shared among its steps
    #[arg(long)]
    pub cuts: Option<u32>,
    /// The tidegate binary
    #[arg(long, default_value = "target/release/tidegate")]
    pub gateway: PathBuf,
    /// Where reports go, a folder per run in it
    #[arg(long, default_value = "target/torture")]
    pub out: PathBuf,
}

/// Plays what was asked for; whether nothing failed.
pub fn torture(line: &Line) -> anyhow::Result<bool> {
    let all = case::all(&case::dir())?;
    if line.list {
        for (name, case) in &all {
            println!("{name}: {}", case.goal.trim());
        }
        return Ok(true);
    }
    ensure!(line.gateway.is_file(), "no gateway binary at {}", line.gateway.display());
    let seed = line.seed.unwrap_or_else(|| Random::new(now_ms()).draw() % 1_000_000);
    if !is_contained() {
        println!("seed {seed}");
    }
    contain(seed, &line.out)?;
    idle::allow_many_files();
    let folder = line.out.join(format!("{}-{seed}", now_ms() / 1000));
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let until = line.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut tally = Tally::default();
    for (name, case) in chosen(line, &all)? {
        if until.is_some_and(|until| Instant::now() > until) {
            println!("{name}: not begun, the time is up");
            continue;
        }
        tally.add(&round(&name, &case, line, seed, &folder)?);
    }
    for number in 0..line.rounds {
        if until.is_some_and(|until| Instant::now() > until) {
            break;
        }
        // Each round can be repeated by itself: its case is written beside its report.
        let seed = seed.wrapping_add(number);
        let (name, case) = mix::draw(&all, seed);
        tally.add(&round(&format!("mix-{seed}-{name}"), &case, line, seed, &folder)?);
    }
    tidy_up(&line.out);
    println!("{}; reports in {}", tally.line(), folder.display());
    ensure!(tally.passed + tally.failed + tally.skipped > 0, "nothing was played");
    Ok(tally.failed == 0)
}

fn is_contained() -> bool {
    std::env::var_os(CONTAINED).is_some()
}

/// Runs this program again with a folder of its own for everything that it will throw away, and,
/// if it may, in a mount namespace of its own.
fn contain(seed: u64, out: &Path) -> anyhow::Result<()> {
    if is_contained() {
        return Ok(());
    }
    let mut words: Vec<_> = std::env::args_os().skip(1).collect();
    if !words.iter().any(|word| word == "--seed") {
        words.extend(["--seed".into(), seed.to_string().into()]);
    }
    let scratch = out.join(format!("{SCRATCH}{}", std::process::id()));
    fs::create_dir_all(&scratch).with_context(|| scratch.display().to_string())?;
    let this = std::env::current_exe()?;
    let mut command = if rustix::process::geteuid().is_root() {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private", "--"]).arg(this);
        unshare
    } else {
        Command::new(this)
    };
    // Comes back only if it fails.
    let error =
        command.args(words).env(CONTAINED, "yes").env("TMPDIR", scratch.canonicalize()?).exec();
    bail!("unshare (util-linux): {error}")
}

/// Removes the folder that [`contain`] made, and nothing that anybody else may have named.
fn tidy_up(out: &Path) {
    let scratch = std::env::temp_dir();
    let named = scratch.file_name().is_some_and(|name| name.to_string_lossy().starts_with(SCRATCH));
    let inside = out.canonicalize().is_ok_and(|out| scratch.parent() == Some(&out));
    if named && inside {
        fs::remove_dir_all(&scratch).unwrap_or_else(|error| eprintln!("{SCRATCH}: {error}"));
    }
}

fn chosen(line: &Line, all: &[(String, Case)]) -> anyhow::Result<Vec<(String, Case)>> {
    let mut chosen = Vec::new();
    for name in &line.names {
        let found = all.iter().find(|(known, _)| known == name);
        chosen.push(found.with_context(|| format!("there is no case {name}; see --list"))?.clone());
    }
    for path in &line.file {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        chosen.push((name, case::read(path)?));
    }
    if chosen.is_empty() && (line.rounds == 0 || line.quick) {
        chosen = all.to_vec();
    }
    for (_, case) in &mut chosen {
        case.scale(line.kills, line.cuts);
        case.stretch(line.minutes);
    }
    if line.quick {
        chosen.retain(|(_, case)| case.quick.is_some());
        for (_, case) in &mut chosen {
            let quick = case.quick.unwrap_or_default();
            let number = |number: u32| Some(number).filter(|number| *number > 0);
            case.scale(number(quick.kills), number(quick.cuts));
        }
    }
    Ok(chosen)
}

/// Plays one and writes what is to be known about it.
fn round(
    name: &str,
    case: &Case,
    line: &Line,
    seed: u64,
    folder: &Path,
) -> anyhow::Result<Outcome> {
    println!("{name}: {}", case.goal.trim());
    let outcome = round::play(name, case, &line.gateway, seed);
    println!("{outcome}");
    let write = |ending: &str, text: &str| {
        let path = folder.join(format!("{name}.{ending}"));
        fs::write(&path, text).with_context(|| path.display().to_string())
    };
    write("toml", &toml::to_string(case)?)?;
    write("json", &serde_json::to_string_pretty(&outcome)?)?;
    let moments = outcome.timeline.iter();
    let moments = moments.map(|moment| format!("{:>9} ms  {}\n", moment.at_ms, moment.what));
    let (moments, tables) = (moments.collect::<String>(), text::tables(&outcome));
    write("txt", &format!("{outcome}\ntimeline:\n{moments}\n{tables}"))?;
    if outcome.verdict == Verdict::Failed {
        write("gateway.log", &outcome.log)?;
        write("metrics.txt", &outcome.metrics)?;
        let command = format!("loadtest torture {name} --seed {seed}");
        println!("  repeat it with: {command}, or --file {}/{name}.toml", folder.display());
    }
    Ok(outcome)
}

#[derive(Default)]
struct Tally {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Tally {
    fn add(&mut self, outcome: &Outcome) {
        match outcome.verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed => self.failed += 1,
            Verdict::Skipped => self.skipped += 1,
        }
    }

    fn line(&self) -> String {
        let Self { passed, failed, skipped } = self;
        format!("torture: {passed} passed, {failed} failed, {skipped} skipped (not passed)")
    }
}

const SCRATCH: &str = "scratch-";
const CONTAINED: &str = "TIDEGATE_TORTURE_CONTAINED";
