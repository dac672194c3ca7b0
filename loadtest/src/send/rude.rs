//! Clients that go away: in the middle of a body, or right behind it without waiting for the
//! answer.
//!
//! In: batches of the feeder. Out: claims to nothing. What was sent in half must never be found,
//! what was sent whole may be.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::connection::{connect, source};
use super::{Crowd, Random};
use crate::claims::Fate;

/// Runs so many of them until the load ends.
pub async fn hang_up(crowd: Arc<Crowd>, clients: usize) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..clients {
        let crowd = Arc::clone(&crowd);
        tasks.spawn(async move { be_rude(&crowd, number).await });
    }
    while tasks.join_next().await.is_some() {}
}

async fn be_rude(crowd: &Crowd, number: usize) {
    let mut random = Random::new(crowd.plan.seed ^ 0x7275_6465 ^ number as u64);
    while crowd.feeder.aside() {
        let Some(sealed) = crowd.feeder.next().await else { return };
        let origin = crowd.plan.origin(sealed.number);
        let length = sealed.body.len();
        let half = random.below(2) == 0;
        let end = if half { random.below(length as u64) } else { length as u64 };
        let body = sealed.body.get(..usize::try_from(end).unwrap_or(length)).unwrap_or_default();
        let head = format!(
            "POST /v1/batch HTTP/1.1\r\nhost: gateway.example.com\r\n\
             authorization: Bearer {}\r\ncontent-type: application/x-ndjson\r\n\
             content-encoding: gzip\r\ncontent-length: {length}\r\n\r\n",
            origin.app.key
        );
        if !half {
            crowd.claims.sent(&sealed);
            crowd.claims.unclear(sealed.number);
            crowd.claims.end(sealed.number, Fate::GivenUp);
        }
        if let Ok(mut stream) = connect(crowd.manners.target, source(RUDE + number)).await {
            let written = stream.write_all(head.as_bytes()).await;
            let whole = match written {
                Ok(()) => stream.write_all(body).await,
                failed => failed,
            };
            // A gateway that is being killed may be gone already: then nothing was done to it.
            drop((whole, stream));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Their addresses lie behind those of the others.
const RUDE: usize = 30_000;
const PAUSE: Duration = Duration::from_millis(20);
