//! The real gateway as a target: the product's own binary with its embedded store.
//!
//! In: a program and a folder. Out: an address, and the markers of the events that lie in its store.
//! It ends with SIGKILL, as the worst end that there is.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long it may take until it listens.
const START: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);

/// A gateway, running or killed.
#[derive(Debug)]
pub struct Gateway {
    program: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
    child: Option<Child>,
}

/// Why it does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something of the operating system.
    #[error("the gateway cannot be started: {0}")]
    Start(#[from] std::io::Error),
    /// It ended, or does not listen.
    #[error("the gateway does not listen; its log is {0}")]
    Silent(String),
}

impl Gateway {
    /// Starts it on a free port, with its data below `folder`.
    pub fn start(program: &Path, folder: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(folder)?;
        // Free now, and most likely still free in a moment; a restart needs the same one.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let (program, folder) = (program.to_owned(), folder.to_owned());
        let mut gateway = Self { program, folder, address, child: None };
        gateway.up()?;
        Ok(gateway)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts it again, if it was killed.
    pub fn up(&mut self) -> Result<(), Error> {
        if self.child.is_some() {
            return Ok(());
        }
        let path = self.folder.join("log");
        let log = std::fs::File::options().create(true).append(true).open(&path)?;
        let child = Command::new(&self.program)
            .arg("run")
            .env("TIDEGATE__LISTEN", self.address.to_string())
            .env("TIDEGATE__ADMIN__LISTEN", "127.0.0.1:0")
            .env("TIDEGATE__DATA_DIR", self.folder.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        self.child = Some(child);
        let until = Instant::now() + START;
        while TcpStream::connect(self.address).is_err() {
            let ended =
                self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if ended || Instant::now() > until {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                return Err(Error::Silent(text));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Markers in the store; distinct ones, or with repetitions.
    pub fn arrived(&self, distinct: bool) -> Vec<i64> {
        let mut markers = Vec::new();
        let mut open = vec![self.folder.join("data").join("events")];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    open.push(path);
                } else if let Ok(text) = std::fs::read_to_string(&path) {
                    markers.extend(text.lines().filter_map(marker));
                }
            }
        }
        markers.sort_unstable();
        if distinct {
            markers.dedup();
        }
        markers
    }
}

/// A line that is just being written is no JSON yet.
fn marker(line: &str) -> Option<i64> {
    let event: Value = serde_json::from_str(line).ok()?;
    event.pointer("/props/n")?.as_i64()
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}
