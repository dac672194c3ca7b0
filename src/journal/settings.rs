//! What an operator may set for the journal: sizes, limits and waits, each with a safe default.
//!
//! In: the `[journal]` section. Out: [`Settings`], checked once when the journal opens.

use serde::{Deserialize, Serialize};

use super::Error;
use super::frame::PAYLOAD_BYTES_MAX;

/// The `[journal]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Size at which a segment file is closed and a new one begun; space is taken and freed in this
    /// unit. On small disks at most a twentieth of the disk.
    pub segment_bytes: u64,
    /// The most that one write and one `fdatasync` cover.
    pub group_bytes_max: u64,
    /// The most that may wait in memory for the writer; beyond it appends are refused at once.
    pub queue_bytes_max: u64,
    /// The most that segments which still owe something may take on disk; beyond it appends of
    /// records are refused. Settlements may go over it by one segment, because they free space.
    pub bytes_max: u64,
    /// What must stay free on the file system; with less, appends of records are refused and
    /// settlements are not. On small disks a twentieth of the disk.
    pub min_free_bytes: u64,
    /// Size of a file that is deleted when the disk is full, so that cursors and settlements can
    /// still be written. At most a twentieth of the disk; 0 for none.
    pub reserve_bytes: u64,
    /// How long a busy writer lets entries gather for its next sync. It is busy when the last group
    /// had several; an entry that comes alone is never kept waiting. 0 for never.
    pub gather_us: u64,
    /// How long a settlement that nobody waits for may wait for a record to ride with.
    pub quiet_ms: u64,
    /// How long the journal waits, once it is down, before it probes the disk again.
    pub probe_ms: u64,
    /// Records that may wait for the follower with what they hold in memory; what comes on top
    /// is read back from the log.
    pub follow_max: usize,
    /// What a reader fetches with one call.
    pub read_ahead_bytes: u64,
    /// The most that copies of torn tails and damaged frames may take; beyond it damage is only
    /// counted.
    pub broken_bytes_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            group_bytes_max: 4 << 20,
            queue_bytes_max: 64 << 20,
            bytes_max: 10 << 30,
            min_free_bytes: 256 << 20,
            reserve_bytes: 16 << 20,
            gather_us: 2_000,
            quiet_ms: 200,
            probe_ms: 1_000,
            follow_max: 4_096,
            read_ahead_bytes: 1 << 20,
            broken_bytes_max: 256 << 20,
        }
    }
}

impl Settings {
    /// Refuses values under which the journal could not work.
    pub fn check(&self) -> Result<(), Error> {
        let payload = PAYLOAD_BYTES_MAX as u64;
        for (key, holds, wanted) in [
            ("segment_bytes", self.segment_bytes >= 4_096, "at least 4096"),
            ("group_bytes_max", self.group_bytes_max > 0, "more than 0"),
            ("queue_bytes_max", self.queue_bytes_max > payload, "more than the largest frame"),
            ("bytes_max", self.bytes_max >= self.segment_bytes, "at least segment_bytes"),
            ("quiet_ms", self.quiet_ms > 0, "more than 0"),
            ("gather_us", self.gather_us <= 100_000, "at most 100000"),
            ("probe_ms", self.probe_ms > 0, "more than 0"),
            ("follow_max", self.follow_max > 0, "more than 0"),
            ("read_ahead_bytes", self.read_ahead_bytes >= 64, "at least 64"),
        ] {
            if !holds {
                return Err(Error::Settings { key, wanted });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_work() {
        assert!(Settings::default().check().is_ok());
    }

    #[test]
    fn refuses_a_queue_that_the_largest_frame_does_not_fit() {
        let settings = Settings { queue_bytes_max: 1 << 20, ..Settings::default() };
        let error = settings.check().unwrap_err();
        assert!(matches!(error, Error::Settings { key: "queue_bytes_max", .. }), "{error}");
    }

    #[test]
    fn survives_toml_and_refuses_unknown_keys() {
        let text = toml::to_string(&Settings::default()).unwrap();
        assert_eq!(toml::from_str::<Settings>(&text).unwrap(), Settings::default());
        assert!(toml::from_str::<Settings>("segment_byte = 1").is_err());
    }
}
