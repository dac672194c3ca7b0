//! What the journal tells about itself: counters and gauges, looked up once.
//!
//! Every name begins with `tidegate_journal_`. The label `journal` tells the journals of a process
//! apart; must never carry a label from outside.

use metrics::{Counter, Gauge, Label, counter, gauge};

use super::Usage;

/// The journal's metrics.
pub(super) struct Meters {
    /// Frames that are durable.
    pub(super) frames: Counter,
    /// Bytes of them.
    pub(super) bytes: Counter,
    /// Completed syncs; frames per sync is how well groups form.
    pub(super) syncs: Counter,
    /// Time spent writing and syncing them.
    pub(super) sync_us: Counter,
    /// Attempts to write a group that failed.
    pub(super) failures: Counter,
    /// Groups that were acknowledged after a second attempt, in a fresh segment.
    pub(super) rewritten: Counter,
    /// Appends refused because too much waits in memory.
    pub(super) refused_queue: Counter,
    /// Appends refused because too much lies on disk.
    pub(super) refused_disk: Counter,
    /// Appends refused because the disk has too little free.
    pub(super) refused_free: Counter,
    /// Appends refused while the journal is down.
    pub(super) refused_down: Counter,
    /// Records that a follower has to read back from the log.
    pub(super) unfollowed: Counter,
    /// Acknowledged frames that a reader found damaged or missing.
    pub(super) corrupt_frames: Counter,
    /// Bytes that trimming freed.
    pub(super) trimmed_bytes: Counter,
    /// 1 while the journal is down.
    pub(super) down: Gauge,
    segments: Gauge,
    used_bytes: Gauge,
    owed_bytes: Gauge,
    lacking_bytes: Gauge,
}

impl Meters {
    /// Looks the metrics up; the recorder has to be installed before.
    pub(super) fn new(journal: &str) -> Self {
        let label = [Label::new("journal", journal.to_owned())];
        let refused = |reason: &'static str| {
            let labels = [label[0].clone(), Label::new("reason", reason)];
            counter!("tidegate_journal_refused_total", labels.iter())
        };
        Self {
            frames: counter!("tidegate_journal_frames_total", label.iter()),
            bytes: counter!("tidegate_journal_written_bytes_total", label.iter()),
            syncs: counter!("tidegate_journal_syncs_total", label.iter()),
            sync_us: counter!("tidegate_journal_sync_microseconds_total", label.iter()),
            failures: counter!("tidegate_journal_failures_total", label.iter()),
            refused_queue: refused("queue"),
            refused_disk: refused("disk"),
            refused_free: refused("free"),
            refused_down: refused("down"),
            unfollowed: counter!("tidegate_journal_unfollowed_total", label.iter()),
            corrupt_frames: counter!("tidegate_journal_corrupt_frames_total", label.iter()),
            trimmed_bytes: counter!("tidegate_journal_trimmed_bytes_total", label.iter()),
            down: gauge!("tidegate_journal_down", label.iter()),
            rewritten: counter!("tidegate_journal_rewritten_total", label.iter()),
            lacking_bytes: gauge!("tidegate_journal_lacking_bytes", label.iter()),
            segments: gauge!("tidegate_journal_segments", label.iter()),
            used_bytes: gauge!("tidegate_journal_bytes", label.iter()),
            owed_bytes: gauge!("tidegate_journal_owed_bytes", label.iter()),
        }
    }

    /// Shows how much there is.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; 2^53 bytes suffice")]
    pub(super) fn show(&self, usage: Usage) {
        self.segments.set(usage.segments as f64);
        self.used_bytes.set(usage.bytes as f64);
        self.owed_bytes.set(usage.owed_bytes as f64);
    }

    /// Shows what has to be freed until records may come.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; 2^53 bytes suffice")]
    pub(super) fn show_lacking(&self, bytes: u64) {
        self.lacking_bytes.set(bytes as f64);
    }
}
