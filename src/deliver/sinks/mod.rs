//! Where batches go. One folder each; a sink decides nothing.
//!
//! [`Cluster`] is what a Kafka client has to offer: it takes a whole HTTP batch at once, so that
//! another client can take the place of today's in one folder. [`file`] is the embedded store.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::Tracker;
use crate::model::batch::made_id;
use crate::model::{Owed, Parcel, owed};

pub mod dead;
pub mod file;
pub mod kafka;

/// A Kafka cluster as the delivery policy sees it.
pub trait Cluster: Send + Sync {
    /// Hands over the owed records of a batch and never blocks; each is reported to the tracker,
    /// also those that the client has no room for.
    fn produce(&self, parcel: &Arc<Parcel>, owed: Owed, wake: Option<Sender<()>>) -> Arc<Tracker>;

    /// Records inside the client.
    fn depth(&self) -> u64;

    /// Asks whether a topic exists and has its leaders; may take a moment.
    fn looks_well(&self, topic: &str) -> Result<(), String>;

    /// Waits until the client is empty or the time is over.
    fn flush(&self, patience: Duration);
}

/// What a client sent for one record, and the id to file it under: an event's own bytes, or the
/// whole body for tier 1.
pub fn original(parcel: &Parcel, bit: u32) -> (String, Vec<u8>) {
    let facts = &parcel.record.facts;
    let routed = &parcel.routed;
    let row = routed.rows.iter().find(|row| owed::event(row.index) == bit);
    match row {
        Some(row) => {
            let own = crate::model::Span { start: row.own_start, end: row.value.end };
            let bytes = [b"{", own.of(&routed.values)].concat();
            let id = crate::json::field(&bytes, &["id".to_owned()])
                .and_then(|id| id.strip_prefix(b"\"")?.strip_suffix(b"\""))
                .map_or_else(
                    || made_id(facts.batch, row.index).to_string(),
                    |id| String::from_utf8_lossy(id).into_owned(),
                );
            (id, bytes)
        }
        None => (facts.batch.to_string(), parcel.record.body.to_vec()),
    }
}
