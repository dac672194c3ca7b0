//! The books of clients and gateway side by side: `tidegate ledger`.
//!
//! In: records of tier 1, in any order, from any number of places, again and again. Out: [`Books`]:
//! for each epoch what its client reports, what the gateway holds, and what neither can explain. A
//! batch id counts once, and so does a sequence number. Must never guess: what cannot be read, has
//! no report or is too much is named, and nothing is skipped in silence.
//!
//! Decode and split run again under the rules that a record names, so the verdicts are the
//! gateway's. Sources are read in the direction in which records move (journal, park logs, Kafka),
//! so that one on its way is met at least once.
//!
//! The balance of an epoch is the protocol's: `0 <= received - acked <= unconfirmed + held`, where
//! `received` is the number of different events here. Less is `missing`, more is `surplus`, and
//! both together are the `remainder`. It holds at every moment, also for epochs that are open,
//! because a report tells what was true when its batch was sealed.
//!
//! # Limits
//!
//! State grows with epochs, with holes in their sequence numbers and with batches; it is counted,
//! and beyond [`Scope::bytes_max`] the books are refused. One epoch keeps at most [`RUNS_MAX`] runs
//! of numbers, and [`UNREADABLE_NAMED`] records that cannot be read are named; all are counted.

mod account;
mod arrival;
mod entry;
mod report;
mod rules;
mod seqs;
mod table;
#[cfg(test)]
mod tests;

pub use account::RUNS_MAX;
pub use entry::{Entry, State, Sums, Total};
pub use report::{Counts, POST, PRE};
pub use rules::Rules;

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::model::Record;
use account::{ACCOUNT_BYTES, Account};
use arrival::{Arrival, Reading};

/// What the name of an account takes beside its texts, which stand in its entry once more.
const OWNER_BYTES: usize = 256;

/// Records that cannot be read and are named.
pub const UNREADABLE_NAMED: usize = 100;

/// Which epochs the books are about, and how much memory they may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Epochs whose first batch came before this are left out.
    pub since_ms: Option<i64>,
    /// So are those whose first batch came at this time or later.
    pub until_ms: Option<i64>,
    /// Only this application.
    pub app: Option<String>,
    /// Only this instance.
    pub instance: Option<String>,
    /// What the state may take. Default 256 MiB.
    pub bytes_max: usize,
}

impl Default for Scope {
    fn default() -> Self {
        Self { since_ms: None, until_ms: None, app: None, instance: None, bytes_max: 256 << 20 }
    }
}

/// The books need more memory than they may take.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the books of {epochs} epochs need more than {} MiB: raise --memory-mb, or narrow them with \
     --since, --app or --instance",
    bytes_max >> 20
)]
pub struct Full {
    epochs: usize,
    bytes_max: usize,
}

/// Where records came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Its name, for people.
    pub name: String,
    /// Records that were read.
    pub records: u64,
    /// Acknowledged records that are damaged or missing there.
    pub corrupt: u64,
    /// Whether older records were there once, and are deleted.
    pub cut: bool,
}

/// Books in the making.
pub struct Ledger {
    scope: Scope,
    reading: Reading,
    /// By owner; `None` for epochs that began before the window.
    accounts: FxHashMap<Owner, Option<Box<Account>>>,
    bytes: usize,
    strangers: BTreeMap<(Arc<str>, &'static str), (u64, u64)>,
    sources: Vec<Source>,
    unreadable: Unreadable,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Owner {
    app: Arc<str>,
    key_kind: &'static str,
    instance: String,
    epoch: String,
}

/// Records that say nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// How many.
    pub records: u64,
    /// The first of them: where they are, and why they cannot be read.
    pub named: Vec<(String, String)>,
}

/// Batches without an epoch, which no report can concern: pixels, and whoever is no SDK.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stranger {
    /// The application that its key belongs to.
    pub app: String,
    /// `public`, `secret` or `open`.
    pub key_kind: &'static str,
    /// Records, each time they were found.
    pub records: u64,
    /// Events in them.
    pub events: u64,
}

/// The books, done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Books {
    /// Whether every balance holds and everything could be read.
    pub closes: bool,
    /// Of all epochs.
    pub remainder: u64,
    /// The window's begin, Unix milliseconds.
    pub since_ms: Option<i64>,
    /// The window's end.
    pub until_ms: Option<i64>,
    /// What was read.
    pub sources: Vec<Source>,
    /// By app and sort of key.
    pub totals: Vec<Total>,
    /// By first arrival within each total.
    pub epochs: Vec<Entry>,
    /// Batches without an epoch.
    pub without_epoch: Vec<Stranger>,
    /// Records that could not be read.
    pub unreadable: Unreadable,
    /// Rules that records name and nobody has; 16 hex digits.
    pub unknown_rules: Vec<String>,
}

impl Ledger {
    /// Empty books.
    pub fn new(scope: Scope, rules: Rules) -> Self {
        Self {
            scope,
            reading: Reading::new(rules),
            accounts: FxHashMap::default(),
            bytes: 0,
            strangers: BTreeMap::new(),
            sources: Vec::new(),
            unreadable: Unreadable::default(),
        }
    }

    /// Takes one record in; `place` names it if it cannot be read.
    pub fn take(&mut self, record: &Record, place: impl FnOnce() -> String) -> Result<(), Full> {
        if self.scope.app.as_deref().is_some_and(|app| *app != *record.facts.app) {
            return Ok(());
        }
        match self.reading.read(record) {
            Ok(arrival) => self.enter(arrival),
            Err(why) => {
                self.unreadable(place(), why);
                Ok(())
            }
        }
    }

    /// Counts a record that cannot even be handed over.
    pub fn unreadable(&mut self, place: String, why: String) {
        self.unreadable.records += 1;
        if self.unreadable.named.len() < UNREADABLE_NAMED {
            self.unreadable.named.push((place, why));
        }
    }

    /// Says where records came from.
    pub fn source(&mut self, source: Source) {
        self.sources.push(source);
    }

    fn enter(&mut self, arrival: Arrival) -> Result<(), Full> {
        if self.scope.instance.as_ref().is_some_and(|instance| *instance != arrival.instance) {
            return Ok(());
        }
        if arrival.epoch.is_empty() {
            let owner = (arrival.app, arrival.kind.name());
            let (records, events) = self.strangers.entry(owner).or_default();
            *records += 1;
            *events += arrival.events.len() as u64;
            return Ok(());
        }
        let owner = Owner {
            app: Arc::clone(&arrival.app),
            key_kind: arrival.kind.name(),
            instance: arrival.instance.clone(),
            epoch: arrival.epoch.clone(),
        };
        let texts = 2 * (owner.instance.len() + owner.epoch.len() + owner.app.len());
        let bytes = &mut self.bytes;
        let slot = self.accounts.entry(owner).or_insert_with(|| {
            *bytes += texts + OWNER_BYTES + ACCOUNT_BYTES;
            Some(Box::new(Account::begin(arrival.came_ms)))
        });
        let Some(account) = slot else { return Ok(()) };
        let before = account.bytes();
        if self.scope.since_ms.is_some_and(|since_ms| arrival.came_ms < since_ms) {
            // The first arrival only moves back, so it is out for good.
            *bytes = bytes.saturating_sub(before);
            *slot = None;
            return Ok(());
        }
        account.note(&arrival);
        *bytes = (*bytes + account.bytes()).saturating_sub(before);
        if *bytes > self.scope.bytes_max {
            let (epochs, bytes_max) = (self.accounts.len(), self.scope.bytes_max);
            return Err(Full { epochs, bytes_max });
        }
        Ok(())
    }

    /// Closes the books.
    pub fn close(self) -> Books {
        let cut = self.sources.iter().any(|source| source.cut);
        let until_ms = self.scope.until_ms;
        let mut epochs = Vec::new();
        for (owner, account) in self.accounts {
            let Some(account) = account else { continue };
            if until_ms.is_some_and(|until_ms| account.first_ms >= until_ms) {
                continue;
            }
            epochs.push(Entry {
                app: owner.app.to_string(),
                key_kind: owner.key_kind,
                instance: owner.instance,
                epoch: owner.epoch,
                ..account.entry(cut)
            });
        }
        epochs.sort_unstable_by(|one, other| one.place().cmp(&other.place()));
        let totals = totals(&epochs);
        let remainder =
            totals.iter().fold(0_u64, |sum, total| sum.saturating_add(total.sums.remainder));
        let refused = totals.iter().any(|total| total.refused > 0);
        let corrupt = self.sources.iter().any(|source| source.corrupt > 0);
        let strangers = self.strangers.into_iter();
        let without_epoch = strangers.map(|((app, key_kind), (records, events))| {
            let app = app.to_string();
            Stranger { app, key_kind, records, events }
        });
        Books {
            closes: remainder == 0 && !refused && !corrupt && self.unreadable.records == 0,
            remainder,
            since_ms: self.scope.since_ms,
            until_ms,
            sources: self.sources,
            totals,
            epochs,
            without_epoch: without_epoch.collect(),
            unreadable: self.unreadable,
            unknown_rules: self
                .reading
                .rules
                .unknown()
                .map(|hash| format!("{hash:016x}"))
                .collect(),
        }
    }
}

/// Sums of entries that are sorted by app and sort of key.
fn totals(epochs: &[Entry]) -> Vec<Total> {
    let mut totals: Vec<Total> = Vec::new();
    for entry in epochs {
        let last =
            totals.last().is_some_and(|t| (&t.app, t.key_kind) == (&entry.app, entry.key_kind));
        if !last {
            let (app, key_kind) = (entry.app.clone(), entry.key_kind);
            totals.push(Total { app, key_kind, ..Total::default() });
        }
        let Some(total) = totals.last_mut() else { continue };
        total.epochs += 1;
        total.open += u64::from(entry.state == State::Open);
        total.unreported += u64::from(entry.state == State::Unreported);
        total.refused += u64::from(entry.state == State::Refused);
        total.sums.add(&entry.sums);
    }
    totals
}
