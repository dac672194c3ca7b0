//! The real `tidegate` binary as a process of its own, and its other commands.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use loadtest::process::Process;
use tempfile::TempDir;

use super::{Client, Request, eventually};

/// A folder with a configuration, and the process that serves it, if any.
pub(crate) struct Binary {
    // Before the folder: fields are dropped in order, and the process must be gone first.
    process: Option<Process>,
    addresses: Option<(SocketAddr, SocketAddr)>,
    variables: Vec<(String, String)>,
    lives: u32,
    dir: TempDir,
}

/// How long a stop may take; the gateway's own `drain_ms` is below it.
const STOP: Duration = Duration::from_secs(30);

impl Binary {
    /// Prepares a folder with this configuration; addresses and folders come from variables.
    pub(crate) fn prepare(configuration: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("tidegate-suite-").tempdir().expect("a folder");
        fs::write(dir.path().join(CONFIGURATION), configuration).expect("room for a file");
        let data = dir.path().join("data").display().to_string();
        let variables = [
            ("TIDEGATE__LISTEN", "127.0.0.1:0".to_owned()),
            ("TIDEGATE__ADMIN__LISTEN", "127.0.0.1:0".to_owned()),
            ("TIDEGATE__DATA_DIR", data),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).into();
        Self { process: None, addresses: None, variables, lives: 0, dir }
    }

    /// Prepares a folder and serves it.
    pub(crate) fn start(configuration: &str) -> Self {
        let mut binary = Self::prepare(configuration);
        binary.run();
        binary
    }

    /// Sets a variable for whatever is started from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Serves, after a stop or a kill on other ports; waits until it is ready.
    pub(crate) fn run(&mut self) {
        self.listen();
        eventually("the gateway is ready", || (self.readiness()? == 200).then_some(()));
    }

    /// The status of `/readyz`, if it answers.
    pub(crate) fn readiness(&self) -> Option<u16> {
        let admin = self.addresses?.1;
        let answer = Client::try_connect(admin).ok()?.try_send(&Request::get("/readyz")).ok()?;
        Some(answer.status)
    }

    /// Serves, and does not ask whether it is ready.
    pub(crate) fn listen(&mut self) {
        self.lives += 1;
        let log = self.log_path();
        let mut process = Process::start(
            program(),
            |command| {
                command.arg("run");
                self.configure(command);
            },
            &log,
        )
        .expect("the binary");
        let addresses = eventually("the gateway says where it listens", || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let ended = process.ended().expect("a process of ours");
            assert!(ended.is_none(), "the gateway ended at its start:\n{text}");
            addresses(&text)
        });
        self.addresses = Some(addresses);
        self.process = Some(process);
    }

    /// A signal to the process.
    pub(crate) fn signal(&mut self, signal: rustix::process::Signal) {
        let process = self.process.as_mut().expect("a process");
        process.signal(signal).expect("a process of ours");
    }

    /// What it has logged in its present life.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let id = self.process.as_ref().expect("a process").id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("its status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
        let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
        kib.expect("a number") << 10
    }

    /// Where operators look.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.addresses.expect("a gateway that runs").1
    }

    /// A file beside the configuration.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, text).expect("room for a file");
        path
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.take().expect("a process").kill().expect("a process of ours");
    }

    /// SIGTERM, and no waiting.
    pub(crate) fn terminate(&mut self) {
        let process = self.process.as_mut().expect("a process");
        process.signal(rustix::process::Signal::TERM).expect("a process of ours");
    }

    /// SIGTERM, and the exit status.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.process.take().expect("a process").stop(STOP).expect("it stops in time")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses.expect("a gateway that runs").0
    }

    /// The text of `/metrics`.
    pub(crate) fn metrics(&self) -> String {
        let admin = self.addresses.expect("a gateway that runs").1;
        Client::connect(admin).send(&Request::get("/metrics")).text()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Replaces the configuration file, for the next start.
    pub(crate) fn configure_anew(&self, configuration: &str) {
        fs::write(self.dir.path().join(CONFIGURATION), configuration).expect("room for a file");
    }

    /// Runs another command with the same configuration to its end.
    pub(crate) fn command(&self, words: &[&str]) -> Output {
        let mut command = Command::new(program());
        command.args(words);
        self.configure(&mut command);
        command.output().expect("the binary")
    }

    /// The configuration and the variables, for a process that is started in another way.
    pub(crate) fn configure(&self, command: &mut Command) {
        command.arg("--config").arg(self.dir.path().join(CONFIGURATION));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join(format!("gateway-{}.log", self.lives))
    }
}

const CONFIGURATION: &str = "tidegate.toml";

/// The binary that cargo built beside this suite.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_tidegate"))
}

/// From the line `ingest on http://…, admin on http://…`; with TLS the first is `https`.
fn addresses(log: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line = log.lines().find(|line| line.contains("ingest on http"))?;
    let mut found = line
        .split("://")
        .skip(1)
        .map(|rest| rest.split([',', ' ', '"']).next().and_then(|address| address.parse().ok()));
    Some((found.next()??, found.next()??))
}
