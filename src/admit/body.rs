//! Reads a body under its limits: bytes and time. One frame is handed on without a copy.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::Settings;
use crate::model::Refusal;

/// Reads to the end, or refuses; the caller closes the connection after a refusal.
pub(super) async fn read(
    body: &mut Incoming,
    announced: Option<u64>,
    settings: &Settings,
) -> Result<Bytes, Refusal> {
    let collect = collect(body, announced, settings.body_bytes_max);
    tokio::time::timeout(Duration::from_millis(settings.body_ms), collect)
        .await
        .unwrap_or(Err(Refusal::BodyTimeout(settings.body_ms)))
}

async fn collect(
    body: &mut Incoming,
    announced: Option<u64>,
    bytes_max: u64,
) -> Result<Bytes, Refusal> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(more) = frame.map_err(|_| Refusal::BodyBroken)?.into_data() else {
            // Trailers carry nothing that the protocol knows.
            continue;
        };
        if (first.len() + all.len() + more.len()) as u64 > bytes_max {
            return Err(Refusal::BodyTooLarge(bytes_max));
        }
        if first.is_empty() && all.is_empty() {
            first = more;
            continue;
        }
        if all.is_empty() {
            let expected = usize::try_from(announced.unwrap_or(0)).unwrap_or(0);
            all.reserve(expected.max(first.len() + more.len()));
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&more);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}
