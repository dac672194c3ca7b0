//! What is counted of a key and of an app, and the numbers of a policy beside it.
//!
//! In: names. Out: meters that every policy shares which names the same key or app, so a change of
//! the numbers forgets nothing. As many as two policies have keys, no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::bucket::{Bucket, Rate};

/// What a key did since the start.
#[derive(Debug)]
pub struct KeyMeter {
    /// What it is called where people look: never the key itself.
    pub name: Box<str>,
    /// Whose events it writes.
    pub app: Arc<str>,
    /// Its requests.
    pub bucket: Bucket,
    /// How many they were.
    pub requests: AtomicU64,
    /// How many of them were refused for a rate or a quota.
    pub refused: AtomicU64,
    /// Events that came with it.
    pub events: AtomicU64,
    /// Bytes of bodies that came with it.
    pub bytes: AtomicU64,
}

/// What an app's quotas count.
#[derive(Debug, Default)]
pub struct AppMeter {
    /// Events.
    pub events: Bucket,
    /// Bytes as received.
    pub bytes: Bucket,
}

/// The numbers of one key in one policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Requests with the key.
    pub key: Option<Rate>,
    /// Events of the app.
    pub events: Option<Rate>,
    /// Bytes of the app.
    pub bytes: Option<Rate>,
}

/// A key in a policy: its meters and its numbers.
#[derive(Debug, Clone)]
pub struct Account {
    /// The key's meter.
    pub key: Arc<KeyMeter>,
    /// The app's meter.
    pub app: Arc<AppMeter>,
    /// The numbers.
    pub rates: Rates,
    /// Whether a secret key or a certificate stands behind it.
    pub trusted: bool,
}

/// All meters by name.
#[derive(Debug, Default)]
pub(super) struct Meters {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: FxHashMap<String, Arc<KeyMeter>>,
    apps: FxHashMap<String, Arc<AppMeter>>,
}

impl KeyMeter {
    fn new(name: &str, app: &Arc<str>) -> Self {
        Self {
            name: name.into(),
            app: Arc::clone(app),
            bucket: Bucket::default(),
            requests: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            events: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// One request came.
    pub fn asked(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// One request was refused.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

impl Meters {
    /// The meters of a key: those that are there, or new ones.
    pub(super) fn of(&self, name: &str, app: &Arc<str>) -> (Arc<KeyMeter>, Arc<AppMeter>) {
        let mut state = self.state.lock();
        // One name in two apps is two keys: an app must not inherit what another one used.
        let key = state
            .keys
            .entry(format!("{app}/{name}"))
            .or_insert_with(|| Arc::new(KeyMeter::new(name, app)));
        let key = Arc::clone(key);
        let app = state.apps.entry(app.to_string()).or_default();
        (key, Arc::clone(app))
    }

    /// Drops the meters that no policy names any more.
    pub(super) fn forget_unused(&self) {
        let mut state = self.state.lock();
        state.keys.retain(|_, meter| Arc::strong_count(meter) > 1);
        state.apps.retain(|_, meter| Arc::strong_count(meter) > 1);
    }

    /// Every key's meter.
    pub(super) fn keys(&self) -> Vec<Arc<KeyMeter>> {
        self.state.lock().keys.values().cloned().collect()
    }
}
