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

impl Drop for Routed {
    fn drop(&mut self) {
        space::give(std::mem::take(&mut self.values));
    }
}

/// Buffers for [`Routed::values`] that go round: one thread fills them, another empties them, and
/// fresh pages for each batch would cost more than what is written to them.
pub mod space {
    use parking_lot::Mutex;

    /// Buffers kept.
    const BUFFERS_MAX: usize = 256;
    /// Capacities are rounded up to this, so that batches of similar size can share buffers.
    const STEP_BYTES: usize = 8 << 10;
    /// Largest buffer kept, so that the most that is held is their product, 16 MiB.
    const BUFFER_BYTES_MAX: usize = 64 << 10;

    /// The most that buffers which wait to be used take.
    pub const BYTES_MAX: u64 = (BUFFERS_MAX * BUFFER_BYTES_MAX) as u64;

    static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

    /// An empty buffer with at least this capacity.
    pub fn take(bytes: usize) -> Vec<u8> {
        let kept = if bytes <= BUFFER_BYTES_MAX { KEPT.lock().pop() } else { None };
        kept.filter(|buffer| buffer.capacity() >= bytes)
            .unwrap_or_else(|| Vec::with_capacity(bytes.next_multiple_of(STEP_BYTES)))
    }

    /// Takes a buffer back.
    pub(super) fn give(mut buffer: Vec<u8>) {
        let fits = (1..=BUFFER_BYTES_MAX).contains(&buffer.capacity());
        if fits {
            buffer.clear();
            let mut kept = KEPT.lock();
            if kept.len() < BUFFERS_MAX {
                kept.push(buffer);
            }
        }
    }
}

impl Routed {
    /// Bytes that this takes while it waits to be delivered.
    pub fn bytes(&self) -> usize {
        self.values.len() + self.keys.len() + self.rows.len() * size_of::<Row>()
    }
}
