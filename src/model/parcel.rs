//! One batch on its way out: the record for tier 1, the rows for tier 2, and the memory they hold.
//!
//! Shared by the live path, the journal and the drainer; its [`Charge`] goes back to the budget
//! when the last of them lets go.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use uuid::Uuid;

use super::{Coding, Facts, Format, KeyKind, Owed, Record, Routed, owed};

/// A batch ready for delivery.
#[derive(Debug)]
pub struct Parcel {
    /// Tier 1.
    pub record: Record,
    /// Tier 2.
    pub routed: Routed,
    /// The memory that it holds.
    pub charge: Charge,
}

impl Parcel {
    /// Everything that a Kafka cluster has to confirm for this batch.
    pub fn owed(&self) -> Owed {
        std::iter::once(owed::RAW)
            .chain(self.routed.rows.iter().map(|row| owed::event(row.index)))
            .collect()
    }

    /// A batch of app `demo` without events, for tests and measurements.
    pub fn empty() -> Self {
        let facts = Facts {
            app: Arc::from("demo"),
            key_kind: KeyKind::Open,
            address: IpAddr::from([127, 0, 0, 1]),
            user_agent: Box::default(),
            coding: Coding::Identity,
            format: Format::BareLines,
            arrival_ms: 1_767_225_600_000,
            sent_ms: None,
            wait_ms: None,
            attempt: 0,
            class: 1,
            batch: Uuid::nil(),
            batch_made: true,
            rules: 0,
            node: Uuid::nil(),
        };
        let record = Record { facts, body: Bytes::new() };
        Self { record, routed: Routed::default(), charge: Charge::default() }
    }
}

/// Rebuilds a parcel from a stored record, under the rules that its facts name.
pub type Refine = dyn Fn(Record) -> Result<Parcel, String> + Send + Sync;

/// Bytes taken from a budget, given back on drop.
#[derive(Debug, Default)]
pub struct Charge {
    bytes: u64,
    limit: u64,
    used: Option<Arc<AtomicU64>>,
}

impl Charge {
    /// Takes `bytes` of `limit`, or nothing if they are not there. Never waits.
    pub fn take(used: &Arc<AtomicU64>, bytes: u64, limit: u64) -> Option<Self> {
        used.try_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            now.checked_add(bytes).filter(|sum| *sum <= limit)
        })
        .ok()
        .map(|_| Self { bytes, limit, used: Some(Arc::clone(used)) })
    }

    /// Changes the charge to `bytes`; growth over `limit` is refused and changes nothing.
    pub fn resize(&mut self, bytes: u64, limit: u64) -> bool {
        let Some(used) = self.used.clone() else { return true };
        if bytes > self.bytes {
            let Some(mut more) = Self::take(&used, bytes - self.bytes, limit) else {
                return false;
            };
            more.used = None;
        } else {
            used.fetch_sub(self.bytes - bytes, Ordering::AcqRel);
        }
        self.bytes = bytes;
        true
    }

    /// Whether more than half of the budget is in use: then nothing that can wait on disk should
    /// wait in memory.
    pub fn is_tight(&self) -> bool {
        self.used.as_ref().is_some_and(|used| used.load(Ordering::Acquire) > self.limit / 2)
    }

    /// The bytes that it holds.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(used) = &self.used {
            used.fetch_sub(self.bytes, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_it_took() {
        let used = Arc::new(AtomicU64::new(0));
        let mut one = Charge::take(&used, 60, 100).expect("room");
        assert!(Charge::take(&used, 50, 100).is_none());
        assert!(one.resize(90, 100));
        assert!(!one.resize(110, 100));
        assert!(one.is_tight());
        assert!(one.resize(10, 100));
        assert_eq!(used.load(Ordering::Acquire), 10);
        drop(one);
        assert_eq!(used.load(Ordering::Acquire), 0);
    }
}
