//! A dead letter on its way to its topic: original bytes, with reason and facts in headers.

use rdkafka::Message as _;
use rdkafka::message::{BorrowedMessage, Header};
use rdkafka::producer::{BaseProducer, BaseRecord};

use super::headers;
use super::reports::{Opaque, Reports, cause};
use crate::deliver::sinks;
use crate::deliver::tracker::Fate;
use crate::telemetry::metrics as names;

/// A record that its topic will never take.
pub(super) struct Letter {
    opaque: Opaque,
    reason: &'static str,
    topic: String,
}

impl Letter {
    pub(super) fn new(opaque: Opaque, reason: &'static str, message: &BorrowedMessage<'_>) -> Self {
        Self { opaque, reason, topic: message.topic().to_owned() }
    }

    /// Produces it; its report goes to the same tracker, marked as a dead letter's.
    pub(super) fn send(self, producer: &BaseProducer<Reports>, topic: &str, reports: &Reports) {
        let Some(tracker) = reports.slots.find(self.opaque) else { return };
        let parcel = tracker.parcel();
        let (key, bytes) = sinks::original(parcel, self.opaque.bit());
        let headers = headers::facts(&parcel.record.facts, 2)
            .insert(Header { key: "tg-reason", value: Some(self.reason) })
            .insert(Header { key: "tg-topic", value: Some(self.topic.as_str()) });
        let record = BaseRecord::with_opaque_to(topic, self.opaque.dead().into())
            .key(&key)
            .payload(&bytes)
            .headers(headers);
        match producer.send(record) {
            Ok(()) => {
                metrics::counter!(names::DEAD_LETTERS, "place" => "topic").increment(1);
            }
            Err((error, _)) => {
                // Too large here as well: only a file can hold it.
                let fate = match error.rdkafka_error_code() {
                    Some(rdkafka::error::RDKafkaErrorCode::MessageSizeTooLarge) => {
                        Fate::Undeliverable(self.reason)
                    }
                    _ => Fate::Retry(cause(&error)),
                };
                reports.slots.report(self.opaque, fate, reports.state.now_ms());
            }
        }
    }
}
