//! Everything that the door counts, for all workers and all policies of this process.
//!
//! In: requests at the door, and what they came to. Out: buckets to ask, and who talks the most.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::Mutex;

use super::addresses::{Addresses, instance, shown as shown_as};
use super::meters::{Account, AppMeter, KeyMeter, Meters};
use super::talkers::{KeyTalker, Talkers};
use crate::model::Reply;

/// The counters.
#[derive(Debug)]
pub struct Counters {
    started: Instant,
    /// The addresses.
    pub addresses: Addresses,
    meters: Meters,
    refusals: Mutex<BTreeMap<&'static str, u64>>,
    talkers: Mutex<Talkers>,
    /// Names of guarded instances that came back.
    names: Mutex<BTreeMap<u64, String>>,
    random: RandomState,
}

/// Names that are kept.
const NAMES_MAX: usize = 1_024;
/// Characters of a name that are kept.
const NAME_MAX: usize = 64;

impl Counters {
    /// Room for so many addresses.
    pub fn new(addresses_max: usize) -> Arc<Self> {
        let random = RandomState::new();
        let seed = (random.hash_one(0_u8), random.hash_one(1_u8));
        Arc::new(Self {
            started: Instant::now(),
            addresses: Addresses::new(addresses_max, seed),
            meters: Meters::default(),
            refusals: Mutex::default(),
            talkers: Mutex::default(),
            names: Mutex::default(),
            random,
        })
    }

    /// The door's own time: nanoseconds since these counters were made, from a clock that never
    /// goes back.
    pub fn ns(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_nanos()).unwrap_or(u64::MAX)
    }

    /// The meters of a key.
    pub fn meters(&self, name: &str, app: &Arc<str>) -> (Arc<KeyMeter>, Arc<AppMeter>) {
        self.meters.of(name, app)
    }

    /// Drops meters of keys that no policy names any more.
    pub fn forget_unused(&self) {
        self.meters.forget_unused();
    }

    /// The number of an instance of an app.
    pub fn instance(&self, app: &str, name: &[u8]) -> u64 {
        instance(self.random.hash_one((app, name)))
    }

    /// Keeps the name of a guarded instance, for those who look; says so once.
    pub(in crate::admit) fn name(&self, instance: u64, app: &str, name: &[u8]) {
        let mut names = self.names.lock();
        if names.len() >= NAMES_MAX || names.contains_key(&instance) {
            return;
        }
        let shown: String = String::from_utf8_lossy(name).chars().take(NAME_MAX).collect();
        tracing::warn!(who = %shown_as(instance), app, name = ?shown, "a guarded instance came back");
        names.insert(instance, format!("{app}/{shown}"));
    }

    /// The name of an address or an instance, as far as it is known.
    pub(in crate::admit) fn shown(&self, who: u64) -> String {
        self.names.lock().get(&who).cloned().unwrap_or_else(|| shown_as(who))
    }

    /// Forgets the name of one that is no longer guarded.
    pub(in crate::admit) fn forget(&self, who: u64) {
        self.names.lock().remove(&who);
    }

    /// Counts a refusal by its reason, of which there is a closed list.
    pub fn refused(&self, reason: &'static str) {
        *self.refusals.lock().entry(reason).or_default() += 1;
    }

    /// Who talks the most, as of the guard's last look, with keys and refusals as of now.
    pub fn talkers(&self) -> Talkers {
        let mut talkers = self.talkers.lock().clone();
        talkers.keys = self.meters.keys().iter().map(|meter| KeyTalker::of(meter)).collect();
        talkers.keys.sort_by_key(|key| std::cmp::Reverse(key.requests));
        talkers.keys.truncate(super::talkers::KEYS_MAX);
        talkers.refusals = self.refusals.lock().clone();
        (talkers.addresses_known, talkers.addresses_evicted) = self.addresses.counts();
        talkers
    }

    /// What the guard saw.
    pub(in crate::admit) fn show(&self, talkers: Talkers) {
        *self.talkers.lock() = talkers;
    }
}

/// What a batch owes for what it really held, to be paid once its end is known.
#[derive(Debug)]
pub struct Toll {
    /// Where it is counted.
    pub counters: Arc<Counters>,
    /// Whose it is.
    pub account: Arc<Account>,
    /// Where it came from.
    pub address: u64,
    /// When it came.
    pub at_ns: u64,
    /// Bytes of its body as received.
    pub bytes: u64,
}

impl Toll {
    /// Charges the app for bytes and events. Nothing is owed for what the gateway did not take now,
    /// which comes again, nor for what it had taken before; a batch that could not be split owes
    /// its bytes.
    pub fn pay(self, reply: &Reply) {
        let Self { counters, account, address, at_ns, bytes } = self;
        let cargo = &reply.cargo;
        let owes = reply.status < 500 && reply.status != 429 && !cargo.repeated;
        let (bytes, events) = if owes { (bytes, cargo.events) } else { (0, 0) };
        for who in [Some(address), cargo.instance].into_iter().flatten() {
            if let Some(entry) = counters.addresses.find(who) {
                entry.carried(bytes, events, cargo.impossible, cargo.repeated);
            }
        }
        if !owes {
            return;
        }
        account.key.bytes.fetch_add(bytes, Ordering::Relaxed);
        account.key.events.fetch_add(events, Ordering::Relaxed);
        if let Some(rate) = account.rates.bytes {
            account.app.bytes.pour(at_ns, rate, bytes);
        }
        if let Some(rate) = account.rates.events {
            account.app.events.pour(at_ns, rate, events);
        }
    }
}
