//! The split as a whole, from bodies to batches.

mod any;
mod events;
mod forms;
mod headers;

use std::net::IpAddr;

use uuid::Uuid;

use super::{Limits, Rules, split};
use crate::model::{Batch, Coding, Facts, Format, KeyKind, Reason, Refusal};

/// A batch id of an SDK.
const ID: &str = "0198a7c1-5b7e-7cc2-9d5e-0a1b2c3d4e5f";

/// Facts of a batch without clocks, whose id the gateway made.
pub(super) fn facts() -> Facts {
    Facts {
        app: "demo".into(),
        key_kind: KeyKind::Public,
        address: IpAddr::from([192, 0, 2, 7]),
        user_agent: "curl/8".into(),
        coding: Coding::Identity,
        format: Format::Unknown,
        arrival_ms: 1_767_225_600_000,
        sent_ms: None,
        wait_ms: None,
        attempt: 1,
        class: 1,
        batch: Uuid::from_u128(7),
        batch_made: true,
        rules: 0,
        node: Uuid::from_u128(9),
    }
}

fn run(body: impl AsRef<[u8]>) -> Result<Batch, Refusal> {
    split(body.as_ref(), &facts(), None, &Limits::default(), &Rules::default())
}

fn refusal(body: &str) -> Refusal {
    run(body).expect_err(body)
}

/// The kinds of the kept events, and the rejections.
fn found(body: impl AsRef<[u8]>) -> (Format, Vec<String>, Vec<(u32, Reason)>) {
    let batch = run(&body).unwrap();
    let read = |raw: &[u8]| String::from_utf8(raw.to_vec()).unwrap();
    let kinds = batch.events.iter().map(|event| read(event.kind.of(body.as_ref()))).collect();
    (batch.format, kinds, batch.rejected)
}
