//! What has to hold after every scenario, whatever it was about.
//!
//! In: what the gateway saw, the driver's log of what it tracked, and `stats()`. Out: sentences
//! about what does not hold. An invariant that knows of exceptions is none, so there are few, each
//! named.

mod ledger;
mod wire;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::gateway::Record;

/// What is known at the end of a scenario.
pub struct Evidence<'a> {
    /// What the scripted gateway saw.
    pub record: &'a Record,
    /// Types by marker of everything that was tracked.
    pub tracked: &'a BTreeMap<i64, String>,
    /// Of every client whose process lives.
    pub ledgers: &'a [Ledger],
    /// Options of the first `init`.
    pub options: &'a Map<String, Value>,
    /// There was an opt-out, which erases ledgers.
    pub erased: bool,
    /// Processes that were started; more than one, and ledgers are not whole in one place.
    pub lives: u32,
}

/// One client's word.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// `stats()` as the adapter sent it.
    pub stats: Value,
    /// What `on_drop` was told, if the adapter knows.
    pub drops: Option<Value>,
}

/// Everything.
pub fn check(evidence: &Evidence<'_>) -> Vec<String> {
    let mut faults = wire::check(evidence);
    faults.extend(ledger::reports(evidence.record));
    faults.extend(ledger::identities(evidence));
    faults.extend(ledger::balance(evidence));
    if evidence.lives <= 1 {
        let closed = &ledger::closed(evidence.record);
        faults.extend(ledgers(evidence.ledgers, closed, evidence.options, evidence.erased));
    } else {
        for one in evidence.ledgers {
            faults.extend(ledger::stats(one, evidence.options));
        }
    }
    faults
}

/// What can be said of clients alone, with the last reports of epochs that they have closed.
pub fn ledgers(
    ledgers: &[Ledger],
    closed: &BTreeMap<String, &Value>,
    options: &Map<String, Value>,
    erased: bool,
) -> Vec<String> {
    let mut faults = Vec::new();
    for one in ledgers {
        faults.extend(ledger::stats(one, options));
        // An opt-out tells `on_drop` of what it erases, and begins a new ledger.
        if !erased {
            let alone = (ledgers.len() == 1).then_some(closed);
            faults.extend(ledger::drops(one, alone));
        }
    }
    faults
}

/// An option as an integer.
fn option(options: &Map<String, Value>, name: &str) -> Option<i64> {
    options.get(name).and_then(Value::as_i64)
}

#[cfg(test)]
mod tests;
