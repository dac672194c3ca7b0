//! The batches that all benches work on: 50 events of about 270 bytes over twenty Zipf types, gzip
//! level 6, as the load generator seals them.
//!
//! In: how many. Out: records as the gateway holds them on arrival. The same on every machine.

use std::sync::Arc;

use loadtest::batch::{Generator, Origin, Plan};
use tidegate::model::{Coding, Facts, Format, KeyKind, Record};
use uuid::Uuid;

/// The gateway's allocator, so that nothing is measured on another one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events in a batch.
pub(crate) const EVENTS: u16 = 50;

/// What clients call themselves.
pub(crate) const USER_AGENT: &str = "tidegate-bench";

/// A fixed moment in 2026, so that the bytes never change.
const START_MS: u64 = 1_767_225_600_000;
/// Between sealing and sending.
const WAIT_MS: u64 = 40;

/// The first batches of the plan, as records that have just arrived.
pub(crate) fn records(count: u32) -> Vec<Record> {
    let plan = Plan { seed: 11, start_ms: START_MS, batch_events: EVENTS, instances: 1_000 };
    let mut generator = Generator::new(plan.clone());
    let seal = |number| {
        let body = generator.seal(number).body;
        Record { facts: facts(&plan.origin(number)), body }
    };
    (0..count).map(seal).collect()
}

fn facts(origin: &Origin) -> Facts {
    let sent_ms = START_MS.saturating_add(WAIT_MS).cast_signed();
    Facts {
        app: Arc::from(origin.app.name),
        key_kind: if origin.app.secret { KeyKind::Secret } else { KeyKind::Public },
        address: [127, 1, 1, 1].into(),
        user_agent: USER_AGENT.into(),
        coding: Coding::Gzip,
        format: Format::Unknown,
        arrival_ms: sent_ms,
        sent_ms: Some(sent_ms),
        wait_ms: Some(WAIT_MS),
        attempt: 1,
        class: origin.class,
        batch: origin.id,
        batch_made: false,
        rules: 0,
        node: Uuid::from_u128(2),
    }
}
