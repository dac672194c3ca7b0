//! `[kafka]`: the cluster, and how to produce to it.

use serde::{Deserialize, Serialize};

use super::{security, topics};
use crate::config::Properties;
use crate::deliver::{Ack, Mode, breaker};

/// How the gateway talks to Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Bootstrap brokers, `host:port,…`; empty means the embedded store.
    pub brokers: String,
    /// When a batch is acknowledged: `kafka` after all delivery reports, `disk` after the journal.
    pub ack: Ack,
    /// With `ack = "kafka"`: how long to wait for Kafka before the journal takes the batch.
    pub divert_ms: u64,
    /// First part of every topic name.
    pub topic_prefix: String,
    /// How long the client collects records for one partition.
    pub linger_ms: u64,
    /// `none`, `lz4`, `zstd`, `gzip` or `snappy`.
    pub compression: String,
    /// How long the client tries to deliver one record before it gives it back.
    pub message_timeout_ms: u64,
    /// Records inside the client.
    pub queue_records_max: u32,
    /// Bytes inside the client.
    pub queue_bytes_max: u64,
    /// How often delivery reports are collected; longer is cheaper, and adds to the latency.
    pub report_ms: u64,
    /// `[kafka.breaker]`.
    pub breaker: breaker::Settings,
    /// `[kafka.second]`.
    pub second: Second,
    /// `[kafka.topics]`.
    pub topics: topics::Settings,
    /// `[kafka.security]`.
    pub security: security::Settings,
    /// Passed to librdkafka as they are, and win over everything above.
    pub properties: Properties,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            ack: Ack::Kafka,
            divert_ms: 2_000,
            topic_prefix: "tidegate".to_owned(),
            linger_ms: 5,
            compression: "lz4".to_owned(),
            message_timeout_ms: 30_000,
            queue_records_max: 200_000,
            queue_bytes_max: 128 << 20,
            report_ms: 2,
            breaker: breaker::Settings::default(),
            second: Second::default(),
            topics: topics::Settings::default(),
            security: security::Settings::default(),
            properties: Properties::default(),
        }
    }
}

/// A second cluster. What is not said here is as in `[kafka]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Second {
    /// Bootstrap brokers; empty means that there is none.
    pub brokers: String,
    /// `failover`: it takes what the first does not take. `mirror`: both have to have everything.
    pub mode: Mode,
    /// With `failover`: how long the first has to be well before it is used again.
    pub failback_ms: u64,
    /// `[kafka.second.security]`, instead of `[kafka.security]` as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<security::Settings>,
    /// Passed to librdkafka as they are, on top of those of `[kafka.properties]`.
    pub properties: Properties,
}

impl Default for Second {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            mode: Mode::Failover,
            failback_ms: 30_000,
            security: None,
            properties: Properties::default(),
        }
    }
}

impl Settings {
    /// The second cluster's settings, if there is one.
    pub fn second(&self) -> Option<Self> {
        let Second { brokers, security, properties, .. } = &self.second;
        let (brokers, mut all) = (brokers.clone(), self.properties.clone());
        all.extend(properties.iter().map(|(name, value)| (name.clone(), value.clone())));
        let security = security.as_ref().unwrap_or(&self.security).clone();
        (!brokers.is_empty()).then(|| Self { brokers, security, properties: all, ..self.clone() })
    }
}
