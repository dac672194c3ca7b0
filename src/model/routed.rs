//! Tier 2 of one batch: every kept event as its final bytes, with lane, key and time.
//!
//! All values stand in one shared buffer, each followed by a line feed, so that a file sink can
//! copy runs of them and a Kafka sink can cut slices. A pure function of record and rules made it.

use std::sync::Arc;

use super::Span;

/// Number of a lane in the route table. [`LaneId::OTHER`] is where unrouted types go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(pub u16);

impl LaneId {
    /// Lane `other`: always the first of the table.
    pub const OTHER: Self = Self(0);
}

/// A lane's name and its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// As in the route table.
    pub name: String,
    /// The Kafka topic of tier 2.
    pub topic: String,
}

/// The tier-2 records of one batch.
#[derive(Debug, Default)]
pub struct Routed {
    /// All values, each with a line feed behind it.
    pub values: Vec<u8>,
    /// Bytes of partition keys.
    pub keys: Vec<u8>,
    /// One row per kept event, in the order of the batch.
    pub rows: Vec<Row>,
    /// The batch's `instance`, unescaped; empty when the header told none.
    pub instance: String,
    /// The lanes of the table that routed it, by [`LaneId`].
    pub lanes: Arc<[Lane]>,
}

/// One tier-2 record.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its index in the batch; [`super::owed::event`] gives its bit.
    pub index: u32,
    /// Where it goes.
    pub lane: LaneId,
    /// Its bytes in `values`, without the line feed behind.
    pub value: Span,
    /// Where in `values` the event's own bytes go on behind their opening brace.
    pub own_start: u32,
    /// Its `type` in `values`.
    pub kind: Span,
    /// Its key in `keys`; empty for none.
    pub key: Span,
    /// Effective event time, Unix milliseconds.
    pub ts_ms: i64,
}

impl Routed {
    /// Bytes that this takes while it waits to be delivered.
    pub fn bytes(&self) -> usize {
        self.values.len() + self.keys.len() + self.rows.len() * size_of::<Row>()
    }
}
