//! `harness`: runs SDKs through the contract and writes the matrix.
//!
//! In: `sdk/*/adapter.toml`, scenarios, vectors. Out: a line for each failure, the counts, and an
//! exit code that is 0 only if nothing failed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use harness::adapter::{Adapter, Manifest, Pages, discover};
use harness::driver::{self, Setup, Verdict};
use harness::matrix::{self, Column};
use harness::scenario::{Book, Scenario};
use harness::vectors;

#[derive(Parser)]
#[command(about = "Runs SDKs through the contract")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Scenarios and vectors of some SDKs
    Run(Which),
    /// Everything of every SDK, and the table in sdk/README.md
    Matrix {
        #[command(flatten)]
        which: Which,
        /// Only compares the table with the file
        #[arg(long)]
        check: bool,
    },
    /// Scenarios with their groups and rules
    List(Which),
}

#[derive(Args)]
struct Which {
    /// The folder sdk/ of the repository
    #[arg(long, default_value = "sdk")]
    root: PathBuf,
    /// Only SDKs of this name; may stand several times
    #[arg(long)]
    sdk: Vec<String>,
    /// Only scenarios whose id or group contains this
    #[arg(long)]
    only: Option<String>,
    /// How often everything is run; every repetition has to end alike
    #[arg(long, default_value_t = 1)]
    times: u32,
    /// Scenarios that run at the same time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// No vectors
    #[arg(long)]
    no_vectors: bool,
    /// The real gateway's program, for the scenarios that want it
    #[arg(long)]
    gateway: Option<PathBuf>,
}

/// How long requests may take to settle in real time, on a machine that is busy with other things.
const SETTLE: Duration = Duration::from_mins(1);

/// Scenarios that take longer are named, because everything is run 20 times before a release.
const SLOW: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("harness: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<bool> {
    match &cli.command {
        Command::Run(which) => {
            let (_, columns) = columns(which)?;
            Ok(columns.iter().all(clean))
        }
        Command::Matrix { which, check } => {
            anyhow::ensure!(which.only.is_none(), "the matrix is of all scenarios");
            let (book, columns) = columns(which)?;
            println!("{}", all(&columns));
            let kept = write(&which.root.join("README.md"), &book, &columns, *check)?;
            Ok(kept && columns.iter().all(clean))
        }
        Command::List(which) => {
            for scenario in &book(which)?.scenarios {
                let (group, id) = (&scenario.group, &scenario.id);
                println!("{group:12} {id:44} {}", scenario.rules.join(" "));
            }
            Ok(true)
        }
    }
}

fn book(which: &Which) -> anyhow::Result<Book> {
    let mut book = Book::open(&which.root.join("contract").join("scenarios"))?;
    if let Some(only) = &which.only {
        book.scenarios.retain(|one| one.id.contains(only) || one.group.contains(only));
        anyhow::ensure!(!book.scenarios.is_empty(), "no scenario is called like {only}");
    }
    Ok(book)
}

fn columns(which: &Which) -> anyhow::Result<(Book, Vec<Column>)> {
    let book = book(which)?;
    let mut manifests = discover(&which.root)?;
    let wanted = |one: &Manifest| which.sdk.is_empty() || which.sdk.contains(&one.name);
    manifests.retain(wanted);
    anyhow::ensure!(!manifests.is_empty(), "no adapter below {}", which.root.display());
    let mut columns = Vec::new();
    for manifest in &manifests {
        let mut column = column(which, &book, manifest)?;
        for repetition in 1..which.times {
            let again = self::column(which, &book, manifest)?;
            for (id, verdict) in again.verdicts {
                let before = column.verdicts.insert(id.clone(), verdict.clone());
                if let Some(before) = before.filter(|before| *before != verdict) {
                    let text = format!("repetition {repetition}: {verdict:?} after {before:?}");
                    println!("FLAKY   {} {id}: {text}", manifest.name);
                    column.verdicts.insert(id, Verdict::Failed(text));
                }
            }
        }
        columns.push(column);
    }
    Ok((book, columns))
}

fn column(which: &Which, book: &Book, manifest: &Manifest) -> anyhow::Result<Column> {
    let contract = which.root.join("contract");
    let gateway = which.gateway.as_deref().map(Path::canonicalize).transpose();
    let gateway = gateway.context("the gateway's program")?;
    let pages = Pages::default();
    let start = |home: &Path| Adapter::start(manifest, &contract, home, &pages);
    let setup = Setup { book, start: &start, gateway: gateway.as_deref(), patience: SETTLE };
    let mut column = Column { name: manifest.name.clone(), ..Column::default() };
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(BTreeMap::new());
    // Each scenario has processes, a gateway and a folder of its own, and its own time.
    thread::scope(|scope| {
        for _ in 0..which.jobs.max(1) {
            scope.spawn(|| {
                while let Some(scenario) = book.scenarios.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let verdict = one(&setup, scenario, &manifest.name);
                    let mut verdicts = verdicts.lock().unwrap_or_else(PoisonError::into_inner);
                    verdicts.insert(scenario.id.clone(), verdict);
                }
            });
        }
    });
    column.verdicts = verdicts.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !which.no_vectors {
        let home = tempfile::tempdir()?;
        let mut adapter = Adapter::start(manifest, &contract, home.path(), &pages)?;
        column.vectors = vectors::run(&mut adapter, &contract.join("vectors"))?;
        for outcome in &column.vectors {
            for what in &outcome.failed {
                println!("FAILED  {} vector {}: {what}", manifest.name, outcome.function);
            }
        }
    }
    println!("{}", counts(&column));
    Ok(column)
}

/// Runs one scenario and prints a line about it.
fn one(setup: &Setup<'_>, scenario: &Scenario, name: &str) -> Verdict {
    let started = Instant::now();
    let verdict = driver::run(setup, scenario);
    let took = started.elapsed();
    let id = &scenario.id;
    if took > SLOW {
        println!("slow    {name} {id}: {:.1} s", took.as_secs_f64());
    }
    match &verdict {
        Verdict::Failed(what) => println!("FAILED  {name} {id}: {what}"),
        Verdict::NotSupported(why) => println!("no      {name} {id}: {why}"),
        Verdict::Passed => println!("ok      {name} {id}"),
    }
    verdict
}

fn counts(column: &Column) -> String {
    let count = |wanted: fn(&Verdict) -> bool| {
        column.verdicts.values().filter(|verdict| wanted(verdict)).count()
    };
    let vectors: usize = column.vectors.iter().map(|outcome| outcome.passed).sum();
    let wrong: usize = column.vectors.iter().map(|outcome| outcome.failed.len()).sum();
    format!(
        "{}: {} passed, {} not supported, {} failed; vectors: {vectors} passed, {wrong} failed",
        column.name,
        count(|verdict| *verdict == Verdict::Passed),
        count(|verdict| matches!(verdict, Verdict::NotSupported(_))),
        count(|verdict| matches!(verdict, Verdict::Failed(_))),
    )
}

/// All columns together, in the form in which CI counts.
fn all(columns: &[Column]) -> String {
    let verdicts = || columns.iter().flat_map(|column| column.verdicts.values());
    let vectors = || columns.iter().flat_map(|column| &column.vectors);
    let passed = verdicts().filter(|verdict| **verdict == Verdict::Passed).count();
    let failed = verdicts().filter(|verdict| matches!(verdict, Verdict::Failed(_))).count();
    let passed = passed + vectors().map(|outcome| outcome.passed).sum::<usize>();
    let failed = failed + vectors().map(|outcome| outcome.failed.len()).sum::<usize>();
    format!("sdk matrix: {passed} passed, {failed} failed")
}

fn clean(column: &Column) -> bool {
    let failed = |verdict: &Verdict| matches!(verdict, Verdict::Failed(_));
    !column.verdicts.values().any(failed)
        && column.vectors.iter().all(|outcome| outcome.failed.is_empty())
}

/// Writes or compares the table; false if it is not what the file says.
fn write(path: &Path, book: &Book, columns: &[Column], check: bool) -> anyhow::Result<bool> {
    let before = std::fs::read_to_string(path).unwrap_or_else(|_| "# SDKs\n".to_owned());
    let after = matrix::place(&before, &matrix::table(book, columns));
    if check {
        let differences = matrix::differences(&before, &after);
        for difference in &differences {
            println!("FAILED  {}: {difference}; write it anew with `matrix`", path.display());
        }
        return Ok(differences.is_empty());
    }
    std::fs::write(path, after)?;
    Ok(true)
}
