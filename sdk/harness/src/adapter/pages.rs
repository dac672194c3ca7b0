//! Browsers that serve one scenario after the other.
//!
//! In: a scenario's folder. Out: a browser whose page is new, of an origin that nobody had before,
//! so that nothing stored by one scenario is seen by another. A browser that was killed is started
//! again on its own profile and origin, and only for the scenario that killed it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

use super::websocket::Browser;

/// The browsers of a run; clones are the same one. Those that wait end with the last of them.
#[derive(Clone, Default)]
pub struct Pages(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    /// Their next page is on its way.
    free: Vec<Browser>,
    /// What killed ones left, by the folder of the scenario that killed them.
    killed: BTreeMap<PathBuf, Remains>,
}

/// What a browser leaves when it is killed.
pub(super) struct Remains {
    pub(super) profile: TempDir,
    pub(super) origin: u32,
}

impl Pages {
    /// What the scenario of this folder killed.
    pub(super) fn remains(&self, home: &Path) -> Option<Remains> {
        let mut waiting = self.lock();
        waiting.killed.retain(|home, _| home.exists());
        waiting.killed.remove(home)
    }

    pub(super) fn free(&self) -> Option<Browser> {
        self.lock().free.pop()
    }

    pub(super) fn put(&self, browser: Browser) {
        self.lock().free.push(browser);
    }

    pub(super) fn bury(&self, home: PathBuf, remains: Remains) {
        self.lock().killed.insert(home, remains);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
