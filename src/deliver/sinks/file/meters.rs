//! What the store counts. The names of its metrics stand here and nowhere else.
//!
//! In: increments per batch, write or checkpoint, never per event. Out: the process's metrics.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// Counter: events taken, those that were rebuilt after a crash among them.
pub const EVENTS: &str = "tidegate_store_events_total";
/// Counter: bytes written into event files.
pub const BYTES: &str = "tidegate_store_bytes_total";
/// Counter: event files made.
pub const FILES_MADE: &str = "tidegate_store_files_made_total";
/// Counter: event files that somebody else removed or changed while they were in use.
pub const FILES_LOST: &str = "tidegate_store_files_lost_total";
/// Gauge: event files that may still be appended to.
pub const FILES: &str = "tidegate_store_files";
/// Histogram: seconds that a checkpoint took, synchronous writes included.
pub const CHECKPOINT_SECONDS: &str = "tidegate_store_checkpoint_seconds";
/// Counter: errors; after each the store was called again or opened again.
pub const ERRORS: &str = "tidegate_store_errors_total";

/// The store's metrics, looked up once.
pub(super) struct Meters {
    pub(super) events: Counter,
    pub(super) bytes: Counter,
    pub(super) files_made: Counter,
    pub(super) files_lost: Counter,
    pub(super) files: Gauge,
    pub(super) checkpoint_seconds: Histogram,
    pub(super) errors: Counter,
}

impl Meters {
    pub(super) fn new() -> Self {
        Self {
            events: counter!(EVENTS),
            bytes: counter!(BYTES),
            files_made: counter!(FILES_MADE),
            files_lost: counter!(FILES_LOST),
            files: gauge!(FILES),
            checkpoint_seconds: histogram!(CHECKPOINT_SECONDS),
            errors: counter!(ERRORS),
        }
    }
}
