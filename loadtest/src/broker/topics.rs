//! Topics of a broker: create, list, count, read from the beginning to the end.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::consume::{Message, Reader};
use crate::clock::poll_until;

/// Why a topic could not be created or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client or the broker.
    #[error("topic {topic}: {source}")]
    Kafka {
        /// Which topic.
        topic: String,
        /// What librdkafka said.
        source: KafkaError,
    },
    /// It exists but some partition has no leader.
    #[error("topic {0}: some partition had no leader after {LIMIT:?}")]
    Leaderless(String),
    /// Nothing came for too long.
    #[error("topic {topic}: nothing for {LIMIT:?}, {read} messages after the start")]
    Stalled {
        /// Which topic.
        topic: String,
        /// How many had come.
        read: u64,
    },
}

/// A handle on the topics of one broker or cluster; costs nothing until it is asked.
#[derive(Debug, Clone)]
pub struct Topics {
    brokers: String,
}

impl Topics {
    /// Of the brokers `host:port[,host:port…]`.
    pub fn at(brokers: &str) -> Self {
        Self { brokers: brokers.to_owned() }
    }

    /// Creates a topic and waits until every partition has a leader; existing ones are left alone.
    pub fn create(&self, topic: &str, partitions: i32) -> Result<(), Error> {
        self.create_with(topic, partitions, &[])
    }

    /// The same with topic settings such as `("max.message.bytes", "1000")`.
    pub fn create_with(
        &self,
        topic: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> Result<(), Error> {
        let failed = |source| Error::Kafka { topic: topic.to_owned(), source };
        let admin: AdminClient<DefaultClientContext> = self.client().create().map_err(failed)?;
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            new = new.set(key, value);
        }
        let options = options();
        let answers = admin.create_topics([&new], &options);
        for answer in futures_executor::block_on(answers).map_err(failed)? {
            match answer {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(failed(KafkaError::AdminOp(code))),
            }
        }
        let client: BaseConsumer = self.client().create().map_err(failed)?;
        poll_until(LIMIT, || led(&client, topic, partitions).then_some(()))
            .ok_or_else(|| Error::Leaderless(topic.to_owned()))
    }

    /// Deletes a topic with everything in it.
    pub fn delete(&self, topic: &str) -> Result<(), Error> {
        let failed = |source| Error::Kafka { topic: topic.to_owned(), source };
        let admin: AdminClient<DefaultClientContext> = self.client().create().map_err(failed)?;
        let options = options();
        let answers = admin.delete_topics(&[topic], &options);
        for answer in futures_executor::block_on(answers).map_err(failed)? {
            answer.map_err(|(_, code)| failed(KafkaError::AdminOp(code)))?;
        }
        Ok(())
    }

    /// Gives a topic more partitions, `partitions` in all.
    pub fn widen(&self, topic: &str, partitions: usize) -> Result<(), Error> {
        let failed = |source| Error::Kafka { topic: topic.to_owned(), source };
        let admin: AdminClient<DefaultClientContext> = self.client().create().map_err(failed)?;
        let options = options();
        let wider = NewPartitions::new(topic, partitions);
        let answers = admin.create_partitions([&wider], &options);
        for answer in futures_executor::block_on(answers).map_err(failed)? {
            answer.map_err(|(_, code)| failed(KafkaError::AdminOp(code)))?;
        }
        Ok(())
    }

    /// Names of all topics, sorted, without Kafka's own.
    pub fn list(&self) -> Result<Vec<String>, Error> {
        let failed = |source| Error::Kafka { topic: "*".to_owned(), source };
        let client: BaseConsumer = self.client().create().map_err(failed)?;
        let metadata = client.fetch_metadata(None, LIMIT).map_err(failed)?;
        let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with("__")).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The end offset (high watermark) of every partition, by partition number.
    pub fn end_offsets(&self, topic: &str) -> Result<Vec<i64>, Error> {
        Reader::open(&self.brokers, topic)?.end_offsets()
    }

    /// Every message from the beginning to the end as it was when called.
    pub fn consume_all(&self, topic: &str) -> Result<Vec<Message>, Error> {
        let mut messages = Vec::new();
        self.consume_each(topic, |message| messages.push(Message::from(message)))?;
        Ok(messages)
    }

    /// The same one at a time and without copies, for millions; returns how many there were.
    pub fn consume_each(
        &self,
        topic: &str,
        each: impl FnMut(&BorrowedMessage<'_>),
    ) -> Result<u64, Error> {
        Reader::open(&self.brokers, topic)?.read_on(each)
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(LIMIT)).request_timeout(Some(LIMIT))
}

fn led(client: &BaseConsumer, topic: &str, partitions: i32) -> bool {
    let Ok(metadata) = client.fetch_metadata(Some(topic), Duration::from_secs(5)) else {
        return false;
    };
    metadata.topics().iter().all(|found| {
        found.partitions().len() >= usize::try_from(partitions).unwrap_or_default()
            && found.partitions().iter().all(|partition| partition.leader() >= 0)
    })
}

/// How long any one step may take.
pub(super) const LIMIT: Duration = Duration::from_secs(90);
