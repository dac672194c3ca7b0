//! What librdkafka is told: the promises first, then `[kafka]` with its security, and
//! `[kafka.properties]` last.
//!
//! In: settings and the largest record there can be. Out: a client's configuration. The floor bench
//! uses it too, so that the bare producer is the same one. Must never show a value that it refuses.

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;

use super::Settings;

/// A producer's configuration.
pub fn config(settings: &Settings, record_bytes_max: u64) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Warning);
    let number = |value: u64| value.to_string();
    for (name, value) in [
        ("bootstrap.servers", settings.brokers.clone()),
        ("client.id", "tidegate".to_owned()),
        ("enable.idempotence", "true".to_owned()),
        ("acks", "all".to_owned()),
        // As Java clients have it, so that a key lands in the same partition whoever writes it.
        ("partitioner", "murmur2_random".to_owned()),
        ("allow.auto.create.topics", "false".to_owned()),
        ("linger.ms", number(settings.linger_ms)),
        ("compression.type", settings.compression.clone()),
        ("message.timeout.ms", number(settings.message_timeout_ms)),
        ("queue.buffering.max.messages", number(u64::from(settings.queue_records_max))),
        ("queue.buffering.max.kbytes", number(settings.queue_bytes_max / 1_024)),
        ("message.max.bytes", number(record_bytes_max)),
        ("batch.size", number(1_000_000)),
        ("request.timeout.ms", number(10_000)),
        ("socket.timeout.ms", number(15_000)),
        ("reconnect.backoff.max.ms", number(2_000)),
        ("retry.backoff.max.ms", number(1_000)),
        ("topic.metadata.propagation.max.ms", number(10_000)),
        ("socket.keepalive.enable", "true".to_owned()),
    ] {
        config.set(name, value);
    }
    secure(&mut config, settings);
    config
}

/// Sets who the client is, and what the operator says beyond that.
pub(super) fn secure(config: &mut ClientConfig, settings: &Settings) {
    for (name, value) in settings.security.properties() {
        config.set(name, value);
    }
    for (name, value) in settings.properties.iter() {
        config.set(name, value);
    }
}

/// What the client says is wrong; of a property its name alone, as its value may be a secret.
pub(super) fn told(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, name, _) => {
            format!("librdkafka does not know the property {name}, or not with this value")
        }
        other => other.to_string(),
    }
}
