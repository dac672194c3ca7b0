//! The split as a whole.
use std::net::IpAddr;

use uuid::Uuid;

use crate::model::{Coding, Facts, Format, KeyKind};

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
