//! One real Apache Kafka broker (KRaft) on free ports of this machine, for tests and load runs.
//!
//! In: options. Out: an address that answers. It can be stopped, killed, frozen and started again
//! on the same port and log directory. Must never outlive this process, nor leave files behind.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::clock::poll_until;
use crate::ports;
use crate::process::{Process, Usage, log_tail};

pub mod consume;
pub mod jars;
mod properties;
pub mod topics;

pub use consume::{Message, Reader};
pub use topics::Topics;

/// What may differ between brokers.
#[derive(Debug, Clone)]
pub struct BrokerOptions {
    /// The port for clients, from [`crate::ports::free`]; by default one is picked.
    pub port: Option<u16>,
    /// The port that clients are told, if something stands in between.
    pub advertised: Option<u16>,
    /// The cluster to join; by default it is a cluster of its own.
    pub join: Option<Membership>,
    /// Further listeners, by Kafka's name of their protocol (`SSL`, `SASL_SSL`), with their ports.
    pub listeners: Vec<(&'static str, u16)>,
    /// Users of SCRAM that it is formatted with, as `SCRAM-SHA-512=[name=...,password=...]`.
    pub scram: Vec<String>,
    /// Further lines of `server.properties`, which win over ours.
    pub properties: Vec<(String, String)>,
    /// Heap of the JVM in MiB. Default 512.
    pub heap_mib: u32,
    /// How long a start may take until it answers. Default 60 s.
    pub start_ms: u64,
    /// How long a stop may take before it becomes a kill. Default 30 s.
    pub stop_ms: u64,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self {
            port: None,
            advertised: None,
            join: None,
            listeners: Vec::new(),
            scram: Vec::new(),
            properties: Vec::new(),
            heap_mib: 512,
            start_ms: 60_000,
            stop_ms: 30_000,
        }
    }
}

/// What the second and later brokers of a cluster have to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Its number, from 2 on.
    pub node: u32,
    /// The cluster's id.
    pub cluster: String,
    /// Where the first broker's controller listens.
    pub controller: u16,
}

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The jars could not be had.
    #[error(transparent)]
    Jars(#[from] jars::Error),
    /// A file, port or process of this machine.
    #[error("{doing}: {source}")]
    Local {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Java or Kafka gave up.
    #[error("the broker ended while {doing}; the end of its log:\n{log}")]
    Ended {
        /// What was being done.
        doing: &'static str,
        /// The last part of its output.
        log: String,
    },
    /// It runs but does not answer.
    #[error("the broker does not answer after {waited_ms} ms; the end of its log:\n{log}")]
    Silent {
        /// How long it was waited for.
        waited_ms: u64,
        /// The last part of its output.
        log: String,
    },
    /// librdkafka refused to be set up.
    #[error("client for the broker: {0}")]
    Client(#[from] rdkafka::error::KafkaError),
}

/// A broker and its directory.
#[derive(Debug)]
pub struct Broker {
    // Before the directory: fields are dropped in order, and the process must be gone first.
    process: Option<Process>,
    earlier: Usage,
    options: BrokerOptions,
    jars: PathBuf,
    port: u16,
    membership: Membership,
    dir: TempDir,
}

impl Broker {
    /// Starts a fresh one and waits until it answers.
    pub fn start(options: BrokerOptions) -> Result<Self, Error> {
        let jars = jars::fetch()?;
        let doing = local("preparing the broker's directory");
        let dir = tempfile::Builder::new().prefix("tidegate-kafka-").tempdir().map_err(doing)?;
        let port = options.port.map_or_else(ports::free, Ok);
        let port = port.map_err(local("looking for a port"))?;
        let controls = options.join.is_none();
        let membership = match options.join.clone() {
            Some(membership) => membership,
            None => Membership {
                node: 1,
                cluster: properties::cluster_id(),
                controller: ports::free().map_err(local("looking for a port"))?,
            },
        };
        let Membership { node: id, controller, .. } = membership;
        let advertised = options.advertised.unwrap_or(port);
        let node = properties::Node { id, controls, port, advertised, controller };
        let text = properties::text(node, dir.path(), &options.listeners, &options.properties);
        std::fs::write(dir.path().join(PROPERTIES), text).map_err(doing)?;
        let earlier = Usage::default();
        let mut broker = Self { process: None, earlier, options, jars, port, membership, dir };
        broker.format()?;
        broker.launch()?;
        Ok(broker)
    }

    /// What the next broker of this cluster has to be started with.
    pub fn invite(&self, node: u32) -> Membership {
        Membership { node, ..self.membership.clone() }
    }

    /// Runs one of Kafka's own tools, such as `kafka.admin.ConfigCommand`, against this broker.
    pub fn tool(&self, class: &str, words: &[&str]) -> Result<(), Error> {
        let mut process = self.java(&[class, "--bootstrap-server", &self.addr()], words)?;
        self.finished(&mut process, "running one of its tools")
    }

    /// Where clients connect: `127.0.0.1:port`, the same for its whole life.
    pub fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Creating, listing and reading topics.
    pub fn topics(&self) -> Topics {
        Topics::at(&self.addr())
    }

    /// SIGTERM: partitions are closed and the log is flushed.
    pub fn stop(&mut self) -> Result<(), Error> {
        let limit = Duration::from_millis(self.options.stop_ms);
        self.end(|process| process.stop(limit).map(drop)).map_err(local("stopping the broker"))
    }

    /// SIGKILL, as if it had crashed.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.end(Process::kill).map_err(local("killing the broker"))
    }

    /// SIGSTOP: connections stay open and nothing answers.
    pub fn pause(&mut self) -> Result<(), Error> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT after [`Self::pause`].
    pub fn resume(&mut self) -> Result<(), Error> {
        self.signal(Signal::CONT)
    }

    /// Starts it again on the same port and log directory; kills it first if it still runs.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.kill()?;
        self.launch()
    }

    /// CPU time and peak memory of all its lives.
    pub fn usage(&self) -> Usage {
        let mut sum = self.earlier;
        sum += self.process.as_ref().map(Process::usage).unwrap_or_default();
        sum
    }

    /// Keeps its directory when it is dropped, and says where that is.
    pub fn keep(&mut self) -> &std::path::Path {
        self.dir.disable_cleanup(true);
        self.dir.path()
    }

    /// The last part of its output.
    pub fn log(&self) -> String {
        log_tail(&self.dir.path().join(LOG))
    }

    fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        let Some(process) = &mut self.process else { return Ok(()) };
        process.signal(signal).map_err(local("signalling the broker"))
    }

    fn end(&mut self, how: impl FnOnce(&mut Process) -> io::Result<()>) -> io::Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let result = how(&mut process);
        self.earlier += process.usage();
        result
    }

    fn format(&mut self) -> Result<(), Error> {
        let cluster = self.membership.cluster.as_str();
        let properties = self.properties();
        let mut words = vec!["format", "-t", cluster, "-c", properties.as_str()];
        if self.options.join.is_none() {
            words.push("--standalone");
        }
        for user in &self.options.scram {
            words.extend(["--add-scram", user]);
        }
        let mut process = self.java(&["kafka.tools.StorageTool"], &words)?;
        self.finished(&mut process, "formatting its directory")
    }

    fn finished(&self, process: &mut Process, doing: &'static str) -> Result<(), Error> {
        let limit = Duration::from_millis(self.options.start_ms);
        let ended = poll_until(limit, || process.ended().transpose());
        match ended.transpose().map_err(local(doing))? {
            Some(status) if status.success() => Ok(()),
            Some(_) => Err(Error::Ended { doing, log: self.log() }),
            None => Err(Error::Silent { waited_ms: self.options.start_ms, log: self.log() }),
        }
    }

    fn launch(&mut self) -> Result<(), Error> {
        let process = self.java(&["kafka.Kafka"], &[&self.properties()])?;
        let process = self.process.insert(process);
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", format!("127.0.0.1:{}", self.port))
            .create()?;
        let limit = Duration::from_millis(self.options.start_ms);
        let answer = poll_until(limit, || match process.ended() {
            Ok(None) => client
                .fetch_metadata(None, Duration::from_millis(500))
                .is_ok_and(|metadata| !metadata.brokers().is_empty())
                .then_some(Ok(true)),
            Ok(Some(_)) => Some(Ok(false)),
            Err(error) => Some(Err(error)),
        });
        match answer.transpose().map_err(local("waiting for the broker"))? {
            Some(true) => Ok(()),
            Some(false) => Err(Error::Ended { doing: "starting", log: self.log() }),
            None => Err(Error::Silent { waited_ms: self.options.start_ms, log: self.log() }),
        }
    }

    fn properties(&self) -> String {
        self.dir.path().join(PROPERTIES).display().to_string()
    }

    /// A JVM with the broker's jars.
    fn java(&self, words: &[&str], further: &[&str]) -> Result<Process, Error> {
        let heap = format!("-Xmx{}m", self.options.heap_mib);
        let path = self.jars.join("*");
        Process::start(
            "java".as_ref(),
            |command| {
                // The quick compiler alone: a test's broker rarely lives long enough for the other.
                command.args(["-Xms256m", &heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
                command.arg("-cp").arg(path).args(words).args(further);
            },
            &self.dir.path().join(LOG),
        )
        .map_err(local("starting java"))
    }
}

fn local(doing: &'static str) -> impl Fn(io::Error) -> Error + Copy {
    move |source| Error::Local { doing, source }
}

const PROPERTIES: &str = "server.properties";
const LOG: &str = "broker.log";

#[cfg(test)]
mod tests;
