//! `[store]`: the embedded store's limits and intervals.

use serde::{Deserialize, Serialize};

/// How tier 2 is written into files. Every number may be anything; 0 means "as small as it goes".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// An event that claims to be older than this at its arrival is filed under its arrival.
    pub window_past_ms: u64,
    /// An event that claims to come from further ahead than this is filed under its arrival.
    pub window_future_ms: u64,
    /// Longest time until an event is visible to readers.
    pub flush_ms: u64,
    /// Longest time between two checkpoints, and so the most that is rebuilt after a crash.
    pub checkpoint_ms: u64,
    /// Bytes after which a checkpoint is due in any case.
    pub checkpoint_bytes: u64,
    /// A file that has reached this size is followed by a new one.
    pub file_bytes_max: u64,
    /// File handles kept open; the least recently written ones are closed.
    pub open_files_max: usize,
    /// Files that may still be appended to, over all lanes and hours. When one batch has gone
    /// beyond, a checkpoint is made at once and the least recently written half is finished.
    pub files_max: usize,
    /// Checkpoints without a new event after which a file is finished.
    pub idle_checkpoints_max: u32,
    /// Lines held in memory; beyond it they are written before the next batch is taken.
    pub buffer_bytes_max: usize,
    /// A file with this much in memory is written without waiting for the flush.
    pub write_bytes: usize,
    /// Event types without a route that get a lane of their own; the rest goes to lane `other`.
    pub types_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window_past_ms: 7 * 86_400_000,
            window_future_ms: 86_400_000,
            flush_ms: 250,
            checkpoint_ms: 60_000,
            checkpoint_bytes: 256 << 20,
            file_bytes_max: 256 << 20,
            open_files_max: 256,
            files_max: 4_096,
            idle_checkpoints_max: 10,
            buffer_bytes_max: 16 << 20,
            write_bytes: 128 << 10,
            types_max: 1_000,
        }
    }
}
