//! Tests of the whole journal. `memory` is a disk that fails and loses power on demand.

mod histories;
mod memory;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::model::{Coding, Facts, Format, KeyKind, Record};

/// A batch that is told from others by its number.
pub(super) fn record(number: u128, body: &[u8]) -> Record {
    let facts = Facts {
        app: Arc::from("demo"),
        key_kind: KeyKind::Public,
        address: IpAddr::from([192, 0, 2, 7]),
        user_agent: "curl/8".into(),
        coding: Coding::Gzip,
        format: Format::Lines,
        arrival_ms: 1_767_225_600_000,
        sent_ms: None,
        wait_ms: None,
        attempt: 1,
        class: 1,
        batch: Uuid::from_u128(number),
        batch_made: false,
        rules: 0xdead_beef,
        node: Uuid::from_u128(9),
    };
    Record { facts, body: Bytes::copy_from_slice(body) }
}
