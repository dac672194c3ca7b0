//! A gateway in this process, on free ports, in a folder of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidegate::gateway::Gateway;
use tidegate::settings::Settings;

use super::files::{self, Stored};
use super::{Client, Request, Response};

/// A gateway that is stopped, and its folder removed, when this is dropped.
pub(crate) struct Served {
    // Before the folder: fields are dropped in order, and the gateway must be gone first.
    gateway: Option<Gateway>,
    settings: Settings,
    dir: TempDir,
}

impl Served {
    /// Starts one with the embedded store and whatever `adjust` makes of it.
    pub(crate) fn start(adjust: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::Builder::new().prefix("tidegate-suite-").tempdir().expect("a folder");
        let mut settings = settings(dir.path());
        adjust(&mut settings);
        let mut served = Self { gateway: None, settings, dir };
        served.resume();
        served
    }

    /// Stops and starts it again, in the same folder, with other settings.
    pub(crate) fn restart(&mut self, adjust: impl FnOnce(&mut Settings)) {
        self.stop();
        adjust(&mut self.settings);
        self.resume();
    }

    /// Starts it after a stop.
    pub(crate) fn resume(&mut self) {
        let gateway = Gateway::start(self.settings.clone(), None).expect("a gateway");
        self.gateway = Some(gateway);
    }

    /// Stops it; then everything that it took is in its files.
    pub(crate) fn stop(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.stop();
        }
    }

    /// What it runs with.
    pub(crate) fn settings(&self) -> Settings {
        self.settings.clone()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.gateway.as_ref().expect("a gateway that runs").ingest_address()
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.gateway.as_ref().expect("a gateway that runs").admin_address()
    }

    /// Sends one request over a connection of its own.
    pub(crate) fn send(&self, request: &Request) -> Response {
        Client::connect(self.address()).send(request)
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What the store holds.
    pub(crate) fn stored(&self) -> Vec<Stored> {
        files::stored(&self.data_dir())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Defaults on free ports of this machine, with files that show up soon.
pub(crate) fn settings(dir: &Path) -> Settings {
    let mut settings = Settings::default();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    (settings.listen, settings.admin.listen) = (any, any);
    settings.data_dir = dir.join("data");
    settings.workers = 1;
    settings.store.flush_ms = 20;
    settings
}
