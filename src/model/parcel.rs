//! One batch on its way out: the record for tier 1, the rows for tier 2, and the memory they hold.
//!
//! Shared by the live path, the journal and the drainer; its [`Charge`] goes back to the budget
//! when the last of them lets go.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{Charge, Coding, Facts, Format, KeyKind, Owed, Record, Routed, owed};

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
