//! Faults inside the gateway's process, by libraries that are loaded before the C library: fsync
//! that is slow or fails, and a wall clock that is off.
//!
//! In: a word into a control file. Out: environment variables for the gateway. The libraries are
//! compiled here (sync) or come from a package (clock).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

use super::disk::run;

/// The control files, and what the gateway needs in its environment.
#[derive(Debug)]
pub struct Shim {
    dir: TempDir,
    tokens: u64,
}

impl Shim {
    /// Compiles the library and writes control files that disturb nothing.
    pub fn make() -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("tidegate-shim-").tempdir()?;
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/sync.c");
        let (source, library) = (source.display().to_string(), dir.path().join(LIBRARY));
        let library = library.display().to_string();
        run("cc", &["-shared", "-fPIC", "-O2", "-Wall", "-o", &library, &source, "-ldl"])?;
        let shim = Self { dir, tokens: 0 };
        shim.write(SYNC, "whole")?;
        shim.write(CLOCK, "+0")?;
        Ok(shim)
    }

    /// For the gateway's environment.
    pub fn environment(&self, data_dir: &Path, clock: bool) -> Vec<(String, String)> {
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let mut libraries = path(LIBRARY);
        if let Some(faketime) = faketime().filter(|_| clock) {
            libraries = format!("{libraries}:{}", faketime.display());
        }
        let entries = [
            ("LD_PRELOAD", libraries),
            ("TORTURE_SYNC_DIR", data_dir.display().to_string()),
            ("TORTURE_SYNC_CONTROL", path(SYNC)),
            ("FAKETIME_TIMESTAMP_FILE", path(CLOCK)),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        entries.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Every sync takes so long from now on.
    pub fn slow(&self, ms: u64) -> anyhow::Result<()> {
        self.write(SYNC, &format!("slow {ms}"))
    }

    /// So many syncs fail from now on; 0 is all of them.
    pub fn fail(&mut self, times: u32) -> anyhow::Result<()> {
        self.tokens += 1;
        self.write(SYNC, &format!("fail {times} {}", self.tokens))
    }

    /// Syncs say that they worked, and do nothing.
    pub fn lie(&self) -> anyhow::Result<()> {
        self.write(SYNC, "lie")
    }

    /// Syncs work again.
    pub fn mend(&self) -> anyhow::Result<()> {
        self.write(SYNC, "whole")
    }

    /// Sets the wall clock.
    pub fn clock(&self, offset_s: i64) -> anyhow::Result<()> {
        self.write(CLOCK, &format!("{offset_s:+}"))
    }

    /// In one piece: the file is read at any moment.
    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let (path, fresh) = (self.dir.path().join(name), self.dir.path().join("fresh"));
        fs::write(&fresh, text).context("a control file")?;
        fs::rename(fresh, path).context("a control file")
    }
}

/// Where the library that fakes the wall clock is, if it is installed.
pub fn faketime() -> Option<PathBuf> {
    let places =
        ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/usr/lib64"];
    let paths = places.map(|place| Path::new(place).join("faketime/libfaketime.so.1"));
    paths.into_iter().find(|path| path.is_file())
}

const LIBRARY: &str = "sync.so";
const SYNC: &str = "sync";
const CLOCK: &str = "clock";
