//! A gateway as its own process, configured like a user would: one file and environment variables.
//!
//! In: the binary and what to configure. Out: addresses that are ready to serve. It can be killed
//! and started again on the same ports and data folder. Must never outlive this process.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::clock::poll_until;
use crate::ports;
use crate::process::{Process, Usage, log_tail, usage};

pub mod configuration;
pub mod probe;

/// How to start a gateway.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// The `tidegate` binary.
    pub binary: PathBuf,
    /// Kafka's `host:port`; empty for the embedded store.
    pub brokers: String,
    /// The configuration file: keys, rules, routes and whatever else.
    pub configuration: toml::Table,
    /// Environment variables beside those for addresses and folders.
    pub environment: Vec<(String, String)>,
    /// Its data folder; by default one inside its own folder.
    pub data_dir: Option<PathBuf>,
    /// Which page has to answer 200 before a start counts as done. Default `/readyz`.
    pub ready_path: &'static str,
    /// How long a start may take until that page answers 200. Default 30 s.
    pub ready_ms: u64,
    /// How long a stop may take before it becomes a kill. Default 60 s.
    pub stop_ms: u64,
}

impl GatewayOptions {
    /// With the load run's own keys and routes and the embedded store.
    pub fn new(binary: &Path) -> Self {
        Self {
            binary: binary.to_owned(),
            brokers: String::new(),
            configuration: configuration::of_load(),
            environment: Vec::new(),
            data_dir: None,
            ready_path: "/readyz",
            ready_ms: 30_000,
            stop_ms: 60_000,
        }
    }
}

/// Why there is no gateway.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, port or process of this machine.
    #[error("{doing}: {source}")]
    Local {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// It gave up.
    #[error("the gateway ended while starting; the end of its log:\n{0}")]
    Ended(String),
    /// It runs but does not become ready.
    #[error(
        "{path} of the gateway does not answer 200 after {waited_ms} ms; it said {said}; \
         the end of its log:\n{log}"
    )]
    NotReady {
        /// The page.
        path: &'static str,
        /// How long it was waited for.
        waited_ms: u64,
        /// The last answer or error.
        said: String,
        /// The last part of its output.
        log: String,
    },
    /// `tidegate topics apply` or another command did not succeed.
    #[error("tidegate {command}: {output}")]
    Command {
        /// Its words.
        command: String,
        /// What it said.
        output: String,
    },
}

/// A gateway and its folder.
#[derive(Debug)]
pub struct Gateway {
    // Before the folder: fields are dropped in order, and the process must be gone first.
    process: Option<Process>,
    earlier: Usage,
    lives: u32,
    options: GatewayOptions,
    listen: SocketAddr,
    admin: SocketAddr,
    dir: TempDir,
}

impl Gateway {
    /// Prepares folder, ports and configuration file, and starts nothing yet.
    pub fn prepare(options: GatewayOptions) -> Result<Self, Error> {
        let builder = tempfile::Builder::new().prefix("tidegate-gateway-").tempdir();
        let dir = builder.map_err(local("preparing the gateway's folder"))?;
        fs::write(dir.path().join(CONFIGURATION), options.configuration.to_string())
            .map_err(local("writing the gateway's configuration"))?;
        let port = || {
            let port = ports::free().map_err(local("looking for a port"))?;
            Ok::<_, Error>(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        };
        let (listen, admin) = (port()?, port()?);
        let earlier = Usage::default();
        Ok(Self { process: None, earlier, lives: 0, options, listen, admin, dir })
    }

    /// Prepares and starts one and waits until it is ready.
    pub fn start(options: GatewayOptions) -> Result<Self, Error> {
        let mut gateway = Self::prepare(options)?;
        gateway.restart()?;
        Ok(gateway)
    }

    /// Starts it on the same ports and folder and waits until it is ready; kills it first if it
    /// runs.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.kill()?;
        let log = self.dir.path().join(LOG);
        let process = Process::start(
            &self.options.binary,
            |command| {
                command.arg("run");
                self.configure(command);
            },
            &log,
        );
        self.process = Some(process.map_err(local("starting the gateway"))?);
        self.lives += 1;
        self.wait_ready()
    }

    /// Where batches go.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where `/readyz` and `/metrics` are.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The folder of its journal and store.
    pub fn data_dir(&self) -> PathBuf {
        self.options.data_dir.clone().unwrap_or_else(|| self.dir.path().join(DATA))
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// How it ended if it did so by itself; `None` while it runs.
    pub fn ended(&mut self) -> Result<Option<std::process::ExitStatus>, Error> {
        let Some(process) = &mut self.process else { return Ok(None) };
        process.ended().map_err(local("looking for the gateway"))
    }

    /// Sends it a signal, unless it has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        let Some(process) = &mut self.process else { return Ok(()) };
        process.signal(signal).map_err(local("signalling the gateway"))
    }

    /// How it was prepared, for a second one on a copy of its data.
    pub fn options(&self) -> &GatewayOptions {
        &self.options
    }

    /// How often it was started.
    pub fn lives(&self) -> u32 {
        self.lives
    }

    /// SIGKILL, as if it had crashed.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.end(Process::kill).map_err(local("killing the gateway"))
    }

    /// SIGTERM: it finishes what it holds. One that does not come to an end is killed: an error.
    pub fn stop(&mut self) -> Result<(), Error> {
        let limit = Duration::from_millis(self.options.stop_ms);
        self.end(|process| process.stop(limit).map(drop)).map_err(local("stopping the gateway"))
    }

    /// CPU time and peak memory of all its lives.
    pub fn usage(&self) -> Usage {
        let mut sum = self.earlier;
        sum += self.process.as_ref().map(Process::usage).unwrap_or_default();
        sum
    }

    /// CPU seconds by thread name in its present life.
    pub fn threads(&self) -> std::collections::BTreeMap<String, f64> {
        self.process.as_ref().map(|process| usage::threads(process.id())).unwrap_or_default()
    }

    /// The text of `/metrics`.
    pub fn metrics(&self) -> Result<String, Error> {
        let (_, text) = probe::get(self.admin, "/metrics").map_err(local("reading /metrics"))?;
        Ok(text)
    }

    /// All of its output.
    pub fn log_file(&self) -> PathBuf {
        self.dir.path().join(LOG)
    }

    /// The last part of its output.
    pub fn log(&self) -> String {
        log_tail(&self.dir.path().join(LOG))
    }

    /// Creates Kafka's topics as `tidegate topics apply` does.
    pub fn apply_topics(&self, partitions: u32, replication: u32) -> Result<(), Error> {
        let (partitions, replication) = (partitions.to_string(), replication.to_string());
        let words = ["topics", "apply", "--partitions", &partitions, "--replication", &replication];
        self.command(&words).map(drop)
    }

    /// Runs another `tidegate` command with this gateway's configuration; returns what it printed.
    pub fn command(&self, words: &[&str]) -> Result<String, Error> {
        let mut command = Command::new(&self.options.binary);
        command.args(words);
        self.configure(&mut command);
        let output = command.output().map_err(local("running the gateway's binary"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(text);
        }
        let output =
            format!("{}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
        Err(Error::Command { command: words.join(" "), output })
    }

    /// Keeps its folder when it is dropped, and says where that is.
    pub fn keep(&mut self) -> &Path {
        self.dir.disable_cleanup(true);
        self.dir.path()
    }

    fn configure(&self, command: &mut Command) {
        command.arg("--config").arg(self.dir.path().join(CONFIGURATION));
        command.env("TIDEGATE__LISTEN", self.listen.to_string());
        command.env("TIDEGATE__ADMIN__LISTEN", self.admin.to_string());
        command.env("TIDEGATE__DATA_DIR", self.data_dir());
        if !self.options.brokers.is_empty() {
            command.env("TIDEGATE__KAFKA__BROKERS", &self.options.brokers);
        }
        command.envs(self.options.environment.iter().map(|(key, value)| (key, value)));
    }

    fn wait_ready(&mut self) -> Result<(), Error> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let (admin, waited_ms) = (self.admin, self.options.ready_ms);
        let path = self.options.ready_path;
        let mut said = String::from("nothing");
        let limit = Duration::from_millis(waited_ms);
        let ready = poll_until(limit, || match (process.ended(), probe::get(admin, path)) {
            (Ok(None), Ok((200, _))) => Some(Ok(true)),
            (Ok(Some(_)), _) => Some(Ok(false)),
            (Err(error), _) => Some(Err(error)),
            (_, answer) => {
                said = format!("{answer:?}");
                None
            }
        });
        match ready.transpose().map_err(local("waiting for the gateway"))? {
            Some(true) => Ok(()),
            Some(false) => Err(Error::Ended(self.log())),
            None => Err(Error::NotReady { path, waited_ms, said, log: self.log() }),
        }
    }

    fn end(&mut self, how: impl FnOnce(&mut Process) -> io::Result<()>) -> io::Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let result = how(&mut process);
        self.earlier += process.usage();
        result
    }
}

fn local(doing: &str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Local { doing: doing.to_owned(), source }
}

const CONFIGURATION: &str = "tidegate.toml";
const DATA: &str = "data";
const LOG: &str = "gateway.log";
