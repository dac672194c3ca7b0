//! Reads every partition of a topic from where it stood to the end, without a consumer group.
//!
//! The end is asked for once per pass, so a pass over a topic that still grows comes to an end too.

use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::topics::{Error, LIMIT};

/// One message, copied out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its partition.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its key, if it has one.
    pub key: Option<Vec<u8>>,
    /// Its value; none for a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers in their order; a header without a value has an empty one here.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl From<&BorrowedMessage<'_>> for Message {
    fn from(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let copy = |header: rdkafka::message::Header<'_, &[u8]>| {
            (header.key.to_owned(), header.value.unwrap_or_default().to_vec())
        };
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.map(copy).collect(),
        }
    }
}

/// A topic and how far each of its partitions has been read.
pub struct Reader {
    consumer: BaseConsumer,
    topic: String,
    /// The next offset to read, by partition number.
    next: Vec<i64>,
}

impl Reader {
    /// Stands before the first message of every partition.
    pub fn open(brokers: &str, topic: &str) -> Result<Self, Error> {
        let failed = |source| Error::Kafka { topic: topic.to_owned(), source };
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "loadtest")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("check.crcs", "true")
            .set("queued.max.messages.kbytes", "32768")
            .create()
            .map_err(failed)?;
        let metadata = consumer.fetch_metadata(Some(topic), LIMIT).map_err(failed)?;
        let found = metadata.topics().first();
        if let Some(code) = found.and_then(rdkafka::metadata::MetadataTopic::error) {
            return Err(failed(KafkaError::MetadataFetch(code.into())));
        }
        let partitions = found.map_or(0, |found| found.partitions().len());
        Ok(Self { consumer, topic: topic.to_owned(), next: vec![0; partitions] })
    }

    /// The end offset (high watermark) of every partition, by partition number.
    pub fn end_offsets(&self) -> Result<Vec<i64>, Error> {
        Ok(self.watermarks()?.into_iter().map(|(_, end)| end).collect())
    }

    /// Reads on to the end as it is now; returns how many messages there were.
    pub fn read_on(&mut self, mut each: impl FnMut(&BorrowedMessage<'_>)) -> Result<u64, Error> {
        let mut ends = self.assign()?;
        let mut read = 0;
        let mut stalled_at = Instant::now() + LIMIT;
        while self.next.iter().zip(&ends).any(|(next, end)| next < end) {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let at = usize::try_from(message.partition()).unwrap_or(usize::MAX);
                    let (Some(next), Some(end)) = (self.next.get_mut(at), ends.get(at)) else {
                        continue;
                    };
                    // Fetches bring whole batches: what lies behind the end belongs to the next
                    // pass.
                    if message.offset() < *end && message.offset() >= *next {
                        *next = message.offset() + 1;
                        each(&message);
                        read += 1;
                        stalled_at = Instant::now() + LIMIT;
                    }
                }
                // The last offsets of a compacted topic may stand for nothing.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    let at = usize::try_from(partition).unwrap_or(usize::MAX);
                    if let (Some(next), Some(end)) = (self.next.get_mut(at), ends.get_mut(at)) {
                        *next = *end;
                    }
                }
                Some(Err(error)) if !passing(&error) => return Err(self.failed(error)),
                _ if Instant::now() > stalled_at => {
                    return Err(Error::Stalled { topic: self.topic.clone(), read });
                }
                _ => {}
            }
        }
        let nothing = TopicPartitionList::new();
        self.consumer.assign(&nothing).map_err(|source| self.failed(source))?;
        Ok(read)
    }

    /// Points the consumer at where we stand, in partitions that have something; returns the ends.
    fn assign(&mut self) -> Result<Vec<i64>, Error> {
        let marks = self.watermarks()?;
        let mut list = TopicPartitionList::new();
        for (partition, (next, (begin, end))) in (0..).zip(self.next.iter_mut().zip(&marks)) {
            *next = (*next).max(*begin);
            if *next < *end {
                list.add_partition_offset(&self.topic, partition, Offset::Offset(*next))
                    .map_err(|source| Error::Kafka { topic: self.topic.clone(), source })?;
            }
        }
        self.consumer.assign(&list).map_err(|source| self.failed(source))?;
        Ok(marks.into_iter().map(|(_, end)| end).collect())
    }

    fn watermarks(&self) -> Result<Vec<(i64, i64)>, Error> {
        let partitions = (0..).zip(&self.next).map(|(partition, _)| partition);
        partitions
            .map(|partition| self.consumer.fetch_watermarks(&self.topic, partition, LIMIT))
            .collect::<Result<_, _>>()
            .map_err(|source| self.failed(source))
    }

    fn failed(&self, source: KafkaError) -> Error {
        Error::Kafka { topic: self.topic.clone(), source }
    }
}

/// Whether librdkafka goes on by itself after this.
fn passing(error: &KafkaError) -> bool {
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
