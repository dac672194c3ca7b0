//! Delivery reports: from librdkafka's integer back to the tracker that waits for it.
//!
//! The integer holds a slab slot and a record's bit, so producing allocates nothing per event.
//! Runs on the polling thread: must never block, panic or log per record.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::Message as _;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use slab::Slab;

use super::letter::Letter;
use super::security::Login;
use super::state::State;
use crate::deliver::health::{Blame, Health};
use crate::deliver::tracker::{Fate, Tracker};
use crate::model::Owed;
use crate::telemetry::metrics as names;

/// Slot, dead-letter mark and bit in one integer: `slot << 16 | dead << 15 | bit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opaque(usize);

impl Opaque {
    /// The rules text, which no tracker waits for.
    pub(super) const RULES: Self = Self(usize::MAX);

    pub(super) fn new(slot: usize, bit: u32) -> Self {
        Self(slot << 16 | (bit & 0x7fff) as usize)
    }

    pub(super) fn dead(self) -> Self {
        Self(self.0 | 0x8000)
    }

    fn is_dead(self) -> bool {
        self.0 & 0x8000 != 0
    }

    fn slot(self) -> usize {
        self.0 >> 16
    }

    #[expect(clippy::cast_possible_truncation, reason = "fifteen bits")]
    pub(super) fn bit(self) -> u32 {
        (self.0 & 0x7fff) as u32
    }
}

impl From<Opaque> for usize {
    fn from(opaque: Opaque) -> Self {
        opaque.0
    }
}

/// Trackers by slot. A slot is free again when its last report is in, so none is ever confused.
#[derive(Default)]
pub(super) struct Slots {
    trackers: Mutex<Slab<Arc<Tracker>>>,
}

impl Slots {
    pub(super) fn insert(&self, tracker: Arc<Tracker>) -> usize {
        self.trackers.lock().insert(tracker)
    }

    pub(super) fn find(&self, opaque: Opaque) -> Option<Arc<Tracker>> {
        self.trackers.lock().get(opaque.slot()).cloned()
    }

    /// Batches of which something lags behind, with what it is.
    pub(super) fn lagging(&self, now_ms: u64, isolate_ms: u64) -> Vec<(Arc<Tracker>, Owed)> {
        let trackers = self.trackers.lock();
        let lagging = trackers.iter().filter_map(|(_, tracker)| {
            Some((Arc::clone(tracker), tracker.lagging(now_ms, isolate_ms)?))
        });
        lagging.collect()
    }

    /// Books one report; gives the tracker if it was its last.
    pub(super) fn report(&self, opaque: Opaque, fate: Fate, now_ms: u64) -> Option<Arc<Tracker>> {
        let mut trackers = self.trackers.lock();
        let tracker = trackers.get(opaque.slot())?;
        if !tracker.report(opaque.bit(), fate, now_ms) {
            return None;
        }
        let tracker = trackers.remove(opaque.slot());
        drop(trackers);
        metrics::histogram!(names::KAFKA_ACK_SECONDS).record(tracker.age().as_secs_f64());
        Some(tracker)
    }
}

/// librdkafka's callbacks.
#[derive(Clone)]
pub(super) struct Reports {
    pub(super) slots: Arc<Slots>,
    pub(super) letters: Sender<Letter>,
    pub(super) state: Arc<State>,
    pub(super) health: Arc<Health>,
    pub(super) results: Results,
    pub(super) login: Login,
}

/// Delivery reports by result; looked up once, because there is one for every record.
#[derive(Clone)]
pub(super) struct Results {
    ok: metrics::Counter,
    retry: metrics::Counter,
    dead: metrics::Counter,
}

impl Results {
    pub(super) fn new() -> Self {
        let counter =
            |result: &'static str| metrics::counter!(names::KAFKA_REPORTS, "result" => result);
        Self { ok: counter("ok"), retry: counter("retry"), dead: counter("dead") }
    }
}

impl ClientContext for Reports {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(
        &self,
        _config: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.login.token()
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // A fatal error comes under its own code; the polling thread asks the client.
        self.state.suspect.store(true, Ordering::Release);
        self.state.complain(self.health.name(), &error, reason);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "librdkafka");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        self.state.reports.fetch_add(1, Ordering::Relaxed);
        let opaque = Opaque(opaque);
        if opaque == Opaque::RULES {
            self.state.rules_known.store(result.is_ok(), Ordering::Release);
            return;
        }
        let fate = match result {
            Ok(_) => {
                self.results.ok.increment(1);
                self.state.delivered();
                Fate::Delivered
            }
            Err((error, message)) => match permanent(error) {
                Some(reason) if opaque.is_dead() => {
                    self.results.dead.increment(1);
                    Fate::Undeliverable(reason)
                }
                Some(reason) => {
                    self.results.dead.increment(1);
                    let letter = Letter::new(opaque, reason, message);
                    match self.letters.try_send(letter) {
                        Ok(()) => return,
                        Err(_) => Fate::Retry("dead letter queue is full"),
                    }
                }
                None => {
                    self.results.retry.increment(1);
                    self.health.blame(message.topic(), blame(error, self.state.is_flowing()));
                    Fate::Retry(cause(error))
                }
            },
        };
        if let Some(tracker) = self.slots.report(opaque, fate, self.state.now_ms())
            && tracker.cause().is_none()
        {
            self.health.cluster().success();
        }
    }
}

/// Errors of a record that no retry heals.
fn permanent(error: &KafkaError) -> Option<&'static str> {
    match error.rdkafka_error_code()? {
        Code::MessageSizeTooLarge => Some("message_too_large"),
        Code::InvalidMessage | Code::BadMessage => Some("invalid_message"),
        Code::InvalidRecord => Some("invalid_record"),
        _ => None,
    }
}

/// A fixed word for the metric and the log.
pub(super) fn cause(error: &KafkaError) -> &'static str {
    match error.rdkafka_error_code() {
        Some(Code::QueueFull) => "queue_full",
        Some(Code::MessageTimedOut) => "timed_out",
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
            "unknown_topic"
        }
        Some(Code::TopicAuthorizationFailed) => "unauthorized",
        Some(Code::PurgeQueue | Code::PurgeInflight) => "purged",
        Some(Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend) => "not_enough_replicas",
        Some(Code::BrokerTransportFailure | Code::AllBrokersDown) => "no_broker",
        Some(Code::Fatal) => "fatal",
        _ => "other",
    }
}

/// Whose fault it is. While other records arrive, a record that timed out blames its topic.
pub(super) fn blame(error: &KafkaError, is_flowing: bool) -> Blame {
    let cause = cause(error);
    match cause {
        "unknown_topic" | "unauthorized" | "not_enough_replicas" => Blame::Topic(cause),
        "timed_out" if is_flowing => Blame::Topic(cause),
        "purged" | "fatal" => Blame::Nobody,
        _ => Blame::Cluster(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opaque_holds_slot_bit_and_mark() {
        let opaque = Opaque::new(70_000, 5_001);
        assert_eq!((opaque.slot(), opaque.bit(), opaque.is_dead()), (70_000, 5_001, false));
        let dead = opaque.dead();
        assert_eq!((dead.slot(), dead.bit(), dead.is_dead()), (70_000, 5_001, true));
    }
}
