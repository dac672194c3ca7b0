//! The verdict on one tier, as counts by cause.

use std::collections::BTreeMap;

use serde::Serialize;

/// The verdict on one tier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tier {
    /// How many must be found: acknowledged, and neither filtered nor rejected.
    pub claimed: u64,
    /// How many values were read.
    pub read: u64,
    /// Claimed and not found.
    pub missing: u64,
    /// Claimed and not found, but the rig itself destroyed where they may have been.
    pub excused: u64,
    /// Found as a dead letter.
    pub buried: u64,
    /// Found and never issued, or found though it was filtered or rejected; by cause.
    pub alien: BTreeMap<&'static str, u64>,
    /// Found with other bytes, other envelope or in another lane than sent; by cause.
    pub corrupted: BTreeMap<&'static str, u64>,
    /// Found more than once; by cause.
    pub duplicated: Duplicated,
    /// Found, but the client never learned that it was taken: no fault.
    pub unclaimed: u64,
}

/// Surplus copies, by what may have caused them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Duplicated {
    /// Of batches that were sent once: the gateway's own doing.
    pub by_us: u64,
    /// Of batches that were sent again after a definitive refusal such as 503.
    pub after_refusal: u64,
    /// Of batches that were sent again because no definitive answer had come.
    pub by_retry: u64,
}

impl Tier {
    /// All aliens.
    pub fn aliens(&self) -> u64 {
        self.alien.values().sum()
    }

    /// All corrupted values.
    pub fn corruptions(&self) -> u64 {
        self.corrupted.values().sum()
    }

    /// All surplus copies.
    pub fn duplicates(&self) -> u64 {
        self.duplicated.by_us + self.duplicated.after_refusal + self.duplicated.by_retry
    }
}
