//! The gateway itself: the binary that was just built, in a process of its own, with the load's
//! eight lanes and no rules, everything else as it comes.
//!
//! Its CPU counts from the first request of a round until everything has reached its sink.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use loadtest::gateway::{configuration, probe};
use loadtest::process::Process;
use tempfile::TempDir;
use tidegate::settings::Settings;
use toml::{Table, Value};

use crate::arguments::{Arguments, Combination};
use crate::client::{Client, SETTLE};
use crate::table::Figure;
use crate::{Load, cpu, load};

/// Where its batches go.
pub(crate) enum Sink<'a> {
    /// Journal and files.
    Store,
    /// A broker, 200 after the delivery reports.
    Kafka {
        /// `host:port`.
        brokers: String,
        /// First part of every topic's name.
        prefix: String,
        /// The settings under test.
        combination: &'a Combination,
    },
}

/// A gateway and its clients.
pub(crate) struct Gateway {
    process: Process,
    client: Client,
    admin: SocketAddr,
    settings: Settings,
    is_store: bool,
    _dir: TempDir,
}

/// What one round of a gateway gave.
pub(crate) struct Round {
    /// Its cost.
    pub(crate) figure: Figure,
    /// The same by name of thread.
    pub(crate) threads: BTreeMap<String, Duration>,
    /// Of each reply, in microseconds.
    pub(crate) delays: Vec<u32>,
    /// When requests came, in microseconds since the first, ascending.
    pub(crate) arrivals: Vec<u64>,
}

/// How long it may take to be ready.
const READY: Duration = Duration::from_secs(30);
/// Longer than the store keeps lines to itself.
const QUIET: Duration = Duration::from_millis(400);
/// How long the last batch may take to reach the files.
const DRAIN: Duration = Duration::from_mins(1);

impl Gateway {
    /// Starts it, with its topics created, and connects to it.
    pub(crate) fn start(arguments: &Arguments, sink: &Sink<'_>) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("tidegate-floor-").tempdir_in(&arguments.dir)?;
        let file = dir.path().join("tidegate.toml");
        let address = || {
            let port = loadtest::ports::free()?;
            anyhow::Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        };
        let (listen, admin) = (address()?, address()?);
        fs::write(&file, configure(dir.path(), listen, admin, sink).to_string())?;
        let settings = Settings::load(Some(&file))?;
        if let Sink::Kafka { combination, .. } = sink {
            apply_topics(&arguments.gateway, &file, combination.partitions)?;
        }
        let run = |command: &mut Command| {
            command.arg("run").arg("--config").arg(&file);
        };
        let process = Process::start(&arguments.gateway, run, &dir.path().join("gateway.log"))?;
        wait_until_ready(&process, admin)?;
        let client = Client::new(listen, arguments.connections)?;
        let is_store = matches!(sink, Sink::Store);
        Ok(Self { process, client, admin, settings, is_store, _dir: dir })
    }

    /// What it runs with.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What it spends on these requests, and how long each reply takes.
    pub(crate) fn round(
        &self,
        load: &Load,
        range: Range<usize>,
        rate: Option<f64>,
    ) -> anyhow::Result<Round> {
        let streams = self.client.connect()?;
        let before = cpu::child_threads(self.process.id())?;
        let batches = range.len();
        let seen = self.client.send(streams, &load.requests, range, rate);
        let seen = seen.with_context(|| self.process.log_tail())?;
        self.drain()?;
        let mut threads = cpu::child_threads(self.process.id())?;
        for (name, spent) in &mut threads {
            *spent = spent.saturating_sub(before.get(name).copied().unwrap_or_default());
        }
        let spent = threads.values().sum();
        let figure = Figure::of(batches, spent, seen.took);
        Ok(Round { figure, threads, delays: seen.delays, arrivals: seen.departures })
    }

    /// Waits without asking the gateway, which would cost it something.
    fn drain(&self) -> anyhow::Result<()> {
        if !self.is_store {
            // What is answered has its delivery reports; only its memory is still given back.
            sleep(SETTLE);
            return Ok(());
        }
        let until = Instant::now() + DRAIN;
        let mut last = (self.store_bytes()?, Instant::now());
        while last.1.elapsed() < QUIET {
            sleep(Duration::from_millis(25));
            let bytes = self.store_bytes()?;
            if bytes != last.0 {
                last = (bytes, Instant::now());
            }
            ensure!(Instant::now() < until, "the store still grows after {DRAIN:?}");
        }
        Ok(())
    }

    /// Whether each event of so many batches stands in the store, once.
    pub(crate) fn check_store(&self, batches: usize) -> anyhow::Result<()> {
        let mut lines = 0;
        for file in self.store_files()? {
            let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
            lines += memchr::memchr_iter(b'\n', &bytes).count();
        }
        let sent = batches * usize::from(load::EVENTS);
        ensure!(lines == sent, "{sent} events were acknowledged, {lines} are in the store");
        Ok(())
    }

    /// Batches that went to the journal because Kafka was late.
    pub(crate) fn diverted(&self) -> anyhow::Result<f64> {
        let (_, text) = probe::get(self.admin, "/metrics")?;
        let lines = text.lines().filter(|line| line.starts_with("tidegate_diverted_batches_total"));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    fn store_bytes(&self) -> anyhow::Result<u64> {
        self.store_files()?.iter().map(|file| Ok(fs::metadata(file)?.len())).sum()
    }

    fn store_files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let (mut files, mut open) = (Vec::new(), vec![self.settings.data_dir.join("events")]);
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    open.push(path);
                } else if path.extension().is_some_and(|extension| extension == "ndjson") {
                    files.push(path);
                }
            }
        }
        Ok(files)
    }
}

fn configure(dir: &Path, listen: SocketAddr, admin: SocketAddr, sink: &Sink<'_>) -> Table {
    let mut table = configuration::of_load();
    // Nothing is filtered, so that every event is paid for.
    table.remove("rules");
    let text = |text: &dyn ToString| Value::from(text.to_string());
    table.insert("listen".to_owned(), text(&listen));
    table.insert("data_dir".to_owned(), text(&dir.join("data").display()));
    let one = |key: &str, value| Value::Table(Table::from_iter([(key.to_owned(), value)]));
    table.insert("admin".to_owned(), one("listen", text(&admin)));
    table.insert("log".to_owned(), one("level", "warn".into()));
    if let Sink::Kafka { brokers, prefix, combination } = sink {
        let linger_ms = i64::try_from(combination.linger_ms).unwrap_or(i64::MAX);
        let kafka = Table::from_iter([
            ("brokers".to_owned(), text(brokers)),
            ("topic_prefix".to_owned(), text(prefix)),
            ("linger_ms".to_owned(), linger_ms.into()),
            ("compression".to_owned(), text(&combination.compression)),
        ]);
        table.insert("kafka".to_owned(), kafka.into());
    }
    table
}

fn apply_topics(binary: &Path, file: &Path, partitions: u32) -> anyhow::Result<()> {
    let mut command = Command::new(binary);
    command.args(["topics", "apply", "--replication", "1", "--partitions"]);
    let output = command.arg(partitions.to_string()).arg("--config").arg(file).output()?;
    if !output.status.success() {
        bail!("tidegate topics apply: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn wait_until_ready(process: &Process, admin: SocketAddr) -> anyhow::Result<()> {
    let until = Instant::now() + READY;
    loop {
        let answer = probe::get(admin, "/readyz");
        if matches!(answer, Ok((200, _))) {
            return Ok(());
        }
        if Instant::now() > until {
            bail!("the gateway is not ready: {answer:?}\n{}", process.log_tail());
        }
        sleep(Duration::from_millis(20));
    }
}
