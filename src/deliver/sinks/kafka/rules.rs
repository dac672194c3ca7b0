//! The rules text on its compacted topic, under its hash: tried until the cluster has it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord};

use super::reports::{Opaque, Reports};
use super::state::State;

/// Between two attempts.
const RETRY_EVERY: Duration = Duration::from_mins(1);

/// A text that is to be known to the cluster.
pub(super) struct Announcement {
    topic: String,
    hash: String,
    text: String,
    next: Instant,
}

impl Announcement {
    pub(super) fn new(prefix: &str, (hash, text): (String, String)) -> Self {
        Self { topic: format!("{prefix}.rules"), hash, text, next: Instant::now() }
    }

    /// Produces it, if it is time to.
    pub(super) fn announce(&mut self, producer: &BaseProducer<Reports>, state: &State) {
        if state.rules_known.load(Ordering::Acquire) || Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + RETRY_EVERY;
        let record = BaseRecord::with_opaque_to(&self.topic, Opaque::RULES.into())
            .key(&self.hash)
            .payload(&self.text);
        if let Err((error, _)) = producer.send(record) {
            tracing::debug!(%error, "the rules text is announced later");
        }
    }
}
