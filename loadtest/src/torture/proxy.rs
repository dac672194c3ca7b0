//! A TCP proxy that can be poisoned (toxiproxy), before a broker.
//!
//! In: toxics by their names there. Out: a port that brokers advertise. Must never outlive us.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;
use tempfile::TempDir;

use crate::clock::poll_until;
use crate::ports;
use crate::process::Process;

/// A running toxiproxy with one proxy in it.
#[derive(Debug)]
pub struct Proxy {
    api: SocketAddr,
    listen: u16,
    toxics: u32,
    _process: Process,
    _dir: TempDir,
}

impl Proxy {
    /// Starts one before a port of this machine.
    pub fn start(upstream: u16) -> anyhow::Result<Self> {
        let program = program().context("toxiproxy is not installed: .ci/setup torture")?;
        let dir = tempfile::Builder::new().prefix("tidegate-proxy-").tempdir()?;
        let (api, listen) = (ports::free()?, ports::free()?);
        let process = Process::start(
            &program,
            |command| {
                command.args(["-host", "127.0.0.1", "-port", &api.to_string()]);
            },
            &dir.path().join("log"),
        )?;
        let api = SocketAddr::from((Ipv4Addr::LOCALHOST, api));
        let proxy = Self { api, listen, toxics: 0, _process: process, _dir: dir };
        poll_until(PATIENCE, || proxy.call("GET", "/version", "").ok())
            .context("toxiproxy does not answer")?;
        let body = json!({
            "name": NAME,
            "listen": format!("127.0.0.1:{listen}"),
            "upstream": format!("127.0.0.1:{upstream}"),
        });
        proxy.call("POST", "/proxies", &body.to_string())?;
        Ok(proxy)
    }

    /// What clients have to connect to.
    pub fn port(&self) -> u16 {
        self.listen
    }

    /// Poisons both directions.
    pub fn poison(&mut self, kind: &str, attributes: &toml::Table) -> anyhow::Result<()> {
        for stream in ["upstream", "downstream"] {
            self.toxics += 1;
            let name = format!("{kind}-{}", self.toxics);
            let body = json!({
                "name": name, "type": kind, "stream": stream, "attributes": attributes,
            });
            self.call("POST", &format!("/proxies/{NAME}/toxics"), &body.to_string())?;
        }
        Ok(())
    }

    /// Takes all poison away.
    pub fn clean(&self) -> anyhow::Result<()> {
        self.call("POST", "/reset", "")
    }

    fn call(&self, method: &str, path: &str, body: &str) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect_timeout(&self.api, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (api, length) = (self.api, body.len());
        let head = format!(
            "{method} {path} HTTP/1.0\r\nhost: {api}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(head.as_bytes())?;
        let mut answer = String::new();
        stream.take(1 << 16).read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        ensure!(status.starts_with('2'), "toxiproxy {method} {path}: {answer}");
        Ok(())
    }
}

/// Where the program is, if it is installed.
pub fn program() -> Option<PathBuf> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/toxiproxy-server");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let elsewhere = std::env::split_paths(&path).map(|dir| dir.join("toxiproxy-server"));
    std::iter::once(ours).chain(elsewhere).find(|path| path.is_file())
}

const NAME: &str = "kafka";
const PATIENCE: Duration = Duration::from_secs(5);
