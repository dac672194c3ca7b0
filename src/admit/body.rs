//! Reads a body under its limits: bytes and time.
//!
//! Out comes a copy of its own, even of a single frame: a frame is a slice of the connection's read
//! buffer and pins all of it, which the budget would not know (measured: 6.5 KiB more for each tiny
//! batch that waits for Kafka).

use std::time::Duration;

use bytes::Bytes;
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
    let bytes_max_here = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let announced = usize::try_from(announced.unwrap_or(0)).unwrap_or(usize::MAX);
    let mut all: Vec<u8> = Vec::with_capacity(announced.min(bytes_max_here));
    while let Some(frame) = body.frame().await {
        let Ok(more) = frame.map_err(|_| Refusal::BodyBroken)?.into_data() else {
            // Trailers carry nothing that the protocol knows.
            continue;
        };
        let bytes = all.len() + more.len();
        if bytes > bytes_max_here {
            return Err(Refusal::BodyTooLarge(bytes_max));
        }
        if bytes > all.capacity() {
            // Doubled as usual, but never beyond what the budget was charged for it.
            let capacity = all.capacity().saturating_mul(2).clamp(bytes, bytes_max_here);
            all.reserve_exact(capacity - all.len());
        }
        all.extend_from_slice(&more);
    }
    // Room that nothing came for goes back, so that the body's length is what it holds.
    Ok(Bytes::from(all.into_boxed_slice()))
}
