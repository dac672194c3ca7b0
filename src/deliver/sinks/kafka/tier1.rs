//! Tier 1 read back: every record of the raw topic, and the rules texts that records name.
//!
//! In: a cluster. Out: records in the order of their partitions, to the end as it was when the
//! reading began, without a consumer group. Only reads. Must never take the end of its patience for
//! the end of a topic.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::security::Login;
use super::{Settings, client, headers};
use crate::model::Record;

/// How long the cluster may say nothing before the reading fails.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the client may fetch ahead.
const AHEAD_KBYTES: u32 = 32_768;
/// All rules texts together; the topic is compacted, and a text has some kilobytes.
const RULES_BYTES_MAX: usize = 64 << 20;

/// Why a topic cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client or the cluster says no.
    #[error("topic {topic} at {brokers}: {message}")]
    Cluster {
        /// The topic.
        topic: String,
        /// Where.
        brokers: String,
        /// What was said.
        message: String,
    },
    /// Nothing came for too long.
    #[error("topic {topic} at {brokers} says nothing after {read} records")]
    Stalled {
        /// The topic.
        topic: String,
        /// Where.
        brokers: String,
        /// Records read until then.
        read: u64,
    },
    /// More rules texts than anybody has.
    #[error("topic {topic} holds more than {RULES_BYTES_MAX} bytes of rules texts")]
    Rules {
        /// The topic.
        topic: String,
    },
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The topic.
    pub topic: String,
    /// Its records.
    pub records: u64,
    /// Whether it held older ones once, which were deleted.
    pub cut: bool,
}

/// Where a record stands, and the record, or why it is none.
pub type Found = (String, Result<Record, String>);

/// Hands out every record of the raw topic, until `each` fails.
pub fn records<E: From<Error>>(
    settings: &Settings,
    mut each: impl FnMut(Found) -> Result<(), E>,
) -> Result<Read, E> {
    let topic = format!("{}.raw", settings.topic_prefix);
    let mut reader = Reader::open(settings, topic)?;
    let records = reader.read(|message| {
        let place = format!("{}/{}@{}", message.topic(), message.partition(), message.offset());
        each((place, record(message)))
    })?;
    Ok(Read { topic: reader.topic, records, cut: reader.cut })
}

/// The rules texts by their hash; none if there is no such topic.
pub fn rules(settings: &Settings) -> Result<Vec<(u64, String)>, Error> {
    let topic = format!("{}.rules", settings.topic_prefix);
    let mut reader = Reader::open(settings, topic.clone())?;
    let (mut texts, mut bytes) = (Vec::new(), 0);
    reader.read(|message| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        let hash = message.key().and_then(text);
        let hash = hash.and_then(|hash| u64::from_str_radix(&hash, 16).ok());
        if let Some((hash, text)) = hash.zip(message.payload().and_then(text)) {
            bytes += text.len();
            texts.push((hash, text));
        }
        if bytes > RULES_BYTES_MAX { Err(Error::Rules { topic: topic.clone() }) } else { Ok(()) }
    })?;
    Ok(texts)
}

fn record(message: &BorrowedMessage<'_>) -> Result<Record, String> {
    let body = message.payload().ok_or("it has no value")?;
    let known = message.headers().ok_or("it has no headers")?;
    let facts = headers::read(|name| {
        let header = known.iter().find(|header| header.key == name)?;
        std::str::from_utf8(header.value.unwrap_or_default()).ok()
    })?;
    Ok(Record { facts, body: Bytes::copy_from_slice(body) })
}

/// A topic, and where its partitions begin and end.
struct Reader {
    consumer: BaseConsumer<Login>,
    topic: String,
    brokers: String,
    /// The next offset and the end of each partition.
    spans: Vec<(i64, i64)>,
    cut: bool,
}

impl Reader {
    fn open(settings: &Settings, topic: String) -> Result<Self, Error> {
        let mut config = ClientConfig::new();
        client::secure(&mut config, settings);
        config.set_log_level(RDKafkaLogLevel::Error);
        for (name, value) in [
            ("bootstrap.servers", settings.brokers.as_str()),
            ("client.id", "tidegate-ledger"),
            ("group.id", "tidegate-ledger"),
            ("enable.auto.commit", "false"),
            ("enable.partition.eof", "true"),
            ("allow.auto.create.topics", "false"),
            ("check.crcs", "true"),
        ] {
            config.set(name, value);
        }
        config.set("queued.max.messages.kbytes", AHEAD_KBYTES.to_string());
        let brokers = settings.brokers.clone();
        let failed = |error: &KafkaError| Error::Cluster {
            topic: topic.clone(),
            brokers: brokers.clone(),
            message: client::told(error),
        };
        let login = settings.security.login();
        let consumer: BaseConsumer<Login> =
            config.create_with_context(login).map_err(|error| failed(&error))?;
        // The client asks for its token while it is polled, and for nothing else before.
        let until = Instant::now() + PATIENCE;
        let waits = settings.security.wants_token();
        while waits && !consumer.context().is_given() && Instant::now() < until {
            if let Some(Err(error)) = consumer.poll(Duration::from_millis(100))
                && !passes(&error)
            {
                return Err(failed(&error));
            }
        }
        let metadata = consumer.fetch_metadata(Some(&topic), PATIENCE);
        let metadata = metadata.map_err(|error| failed(&error))?;
        let found = metadata.topics().first();
        if let Some(code) = found.and_then(rdkafka::metadata::MetadataTopic::error) {
            return Err(failed(&KafkaError::MetadataFetch(code.into())));
        }
        let partitions = found.map_or(0, |found| found.partitions().len());
        let mut spans = Vec::with_capacity(partitions);
        for partition in (0..).take(partitions) {
            let marks = consumer.fetch_watermarks(&topic, partition, PATIENCE);
            spans.push(marks.map_err(|error| failed(&error))?);
        }
        let cut = spans.iter().any(|(begin, _)| *begin > 0);
        Ok(Self { consumer, topic, brokers, spans, cut })
    }

    /// Reads every partition to the end that it had when it was opened.
    fn read<E: From<Error>>(
        &mut self,
        mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut list = TopicPartitionList::new();
        for (partition, (next, end)) in (0..).zip(&self.spans) {
            if next < end {
                list.add_partition_offset(&self.topic, partition, Offset::Offset(*next))
                    .map_err(|error| self.failed(&error))?;
            }
        }
        self.consumer.assign(&list).map_err(|error| self.failed(&error))?;
        let (mut read, mut heard) = (0, Instant::now());
        while self.spans.iter().any(|(next, end)| next < end) {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let at = usize::try_from(message.partition()).unwrap_or(usize::MAX);
                    let Some((next, end)) = self.spans.get_mut(at) else { continue };
                    // Fetches bring whole batches, also what lies in front of and behind the span.
                    if (*next..*end).contains(&message.offset()) {
                        *next = message.offset() + 1;
                        each(&message)?;
                        read += 1;
                    }
                }
                // The last offsets of a compacted topic may stand for nothing.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    let at = usize::try_from(partition).unwrap_or(usize::MAX);
                    if let Some((next, end)) = self.spans.get_mut(at) {
                        *next = *end;
                    }
                }
                Some(Err(error)) if !passes(&error) => return Err(self.failed(&error).into()),
                _ if heard.elapsed() > PATIENCE => {
                    let (topic, brokers) = (self.topic.clone(), self.brokers.clone());
                    return Err(Error::Stalled { topic, brokers, read }.into());
                }
                _ => {}
            }
        }
        Ok(read)
    }

    fn failed(&self, error: &KafkaError) -> Error {
        let (topic, brokers) = (self.topic.clone(), self.brokers.clone());
        Error::Cluster { topic, brokers, message: client::told(error) }
    }
}

/// Whether librdkafka goes on by itself after this.
fn passes(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
        )
    )
}
