//! The Kafka sink on librdkafka: idempotent, `acks=all`, one polling thread.
//!
//! In: whole HTTP batches. Out: delivery reports to their trackers, dead letters to their topic.
//! Must never block a caller, drop a record without a report, or choose a topic by itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

pub mod client;
pub mod headers;
mod letter;
mod poller;
mod reports;
mod rules;
pub mod security;
pub mod settings;
mod state;
pub mod tier1;
pub mod topics;

pub use settings::Settings;

use self::poller::{Current, Poller};
use self::reports::{Opaque, Reports, Results, Slots};
use self::rules::{Announcement, Texts};
use self::state::State;
use super::Cluster;
use crate::deliver::health::Health;
use crate::deliver::tracker::{Fate, Tracker};
use crate::model::{Owed, Parcel, Row, owed};
use crate::telemetry::metrics as names;

/// Why the sink cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// librdkafka refuses a setting.
    #[error("kafka settings: {0}")]
    Settings(String),
    /// The polling thread could not be started.
    #[error("kafka polling thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// One cluster through one librdkafka producer.
pub struct Kafka {
    producer: Current,
    reports: Reports,
    raw_topic: String,
    /// Whether records carry [`FAILOVER`], because they belong to another cluster.
    marked: bool,
    rules: Arc<Texts>,
    poller: Mutex<Option<JoinHandle<()>>>,
    poller_thread: Thread,
}

/// Dead letters between a report and their own produce call; beyond it the record is retried.
const LETTERS_MAX: usize = 10_000;
/// The header of records that went to the second cluster because the first did not take them.
pub const FAILOVER: &str = "tg-failover";
/// How long a cluster may take to tell of one topic.
const LOOK_PATIENCE: Duration = Duration::from_secs(2);

impl Kafka {
    /// Starts the client; an absent broker is no error, the client keeps trying.
    ///
    /// `rules` is the rules text in force and its name: it is produced to `<prefix>.rules` until
    /// the cluster has it, so that whoever splits tier 1 finds it there.
    pub fn start(
        settings: &Settings,
        record_bytes_max: u64,
        rules: (String, String),
        health: Arc<Health>,
        marked: bool,
    ) -> Result<Self, Error> {
        metrics::counter!(names::KAFKA_REBUILDS, "cluster" => health.name()).increment(0);
        let (letters, queue) = bounded(LETTERS_MAX);
        let reports = Reports {
            slots: Arc::new(Slots::default()),
            letters,
            state: Arc::new(State::new()),
            health,
            results: Results::new(),
            login: settings.security.login(),
        };
        let texts = Arc::new(Texts::default());
        let (hash, text) = rules;
        texts.add(hash, text);
        let config = client::config(settings, record_bytes_max);
        let producer = poller::create(&config, reports.clone())
            .map_err(|error| Error::Settings(client::told(&error)))?;
        let producer: Current = Arc::new(ArcSwap::from_pointee(producer));
        let raw_topic = format!("{}.raw", settings.topic_prefix);
        let poller = Poller {
            current: Arc::clone(&producer),
            reports: reports.clone(),
            config,
            letters: queue,
            rules: Announcement::new(&settings.topic_prefix, Arc::clone(&texts)),
            raw_topic: raw_topic.clone(),
            dead_topic: format!("{}.dead", settings.topic_prefix),
            report: Duration::from_millis(settings.report_ms),
            scanned_ms: 0,
        };
        let poller = std::thread::Builder::new()
            .name("kafka-poll".to_owned())
            .spawn(move || poller.run())?;
        let poller_thread = poller.thread().clone();
        Ok(Self {
            producer,
            reports,
            raw_topic,
            marked,
            rules: texts,
            poller_thread,
            poller: Mutex::new(Some(poller)),
        })
    }

    /// Makes another rules text known to the cluster, as that of the start.
    pub fn announce(&self, hash: String, text: String) {
        self.rules.add(hash, text);
        self.poller_thread.unpark();
    }

    /// What the client complains about since its last success; `None` when it is well.
    pub fn trouble(&self) -> Option<String> {
        self.reports.state.trouble()
    }

    fn send_raw(
        &self,
        producer: &Producer,
        parcel: &Parcel,
        opaque: usize,
    ) -> Result<(), KafkaError> {
        let facts = &parcel.record.facts;
        let mut text = uuid::Uuid::encode_buffer();
        let instance = parcel.routed.instance.as_bytes();
        let key = if instance.is_empty() {
            facts.batch.hyphenated().encode_lower(&mut text).as_bytes()
        } else {
            instance
        };
        let record = BaseRecord::with_opaque_to(&self.raw_topic, opaque)
            .key(key)
            .payload(&parcel.record.body[..])
            .timestamp(facts.arrival_ms)
            .headers(self.mark(headers::facts(facts, 1)));
        producer.send(record).map_err(|(error, _)| error)
    }

    fn mark(&self, headers: OwnedHeaders) -> OwnedHeaders {
        if self.marked {
            headers.insert(Header { key: FAILOVER, value: Some("1") })
        } else {
            headers
        }
    }

    fn send_row(
        &self,
        producer: &Producer,
        parcel: &Parcel,
        row: &Row,
        opaque: usize,
    ) -> Result<(), KafkaError> {
        let routed = &parcel.routed;
        let Some(lane) = routed.lanes.get(usize::from(row.lane.0)) else {
            return Err(KafkaError::Canceled);
        };
        let mut record: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(&lane.topic, opaque)
                .payload(row.value.of(&routed.values))
                .timestamp(parcel.record.facts.arrival_ms);
        if !row.key.is_empty() {
            record = record.key(row.key.of(&routed.keys));
        }
        if self.marked {
            record = record.headers(self.mark(OwnedHeaders::new_with_capacity(1)));
        }
        producer.send(record).map_err(|(error, _)| error)
    }
}

impl Cluster for Kafka {
    fn produce(&self, parcel: &Arc<Parcel>, owed: Owed, wake: Option<Sender<()>>) -> Arc<Tracker> {
        let tracker = Arc::new(Tracker::new(Arc::clone(parcel), owed.clone(), wake));
        if owed.is_empty() {
            return tracker;
        }
        let slot = self.reports.slots.insert(Arc::clone(&tracker));
        let producer = self.producer.load();
        let mut full = false;
        if owed.contains(owed::RAW) {
            let opaque = Opaque::new(slot, owed::RAW);
            let sent = self.send_raw(&producer, parcel, opaque.into());
            full = self.note(sent, &self.raw_topic, opaque);
        }
        for row in &parcel.routed.rows {
            let opaque = Opaque::new(slot, owed::event(row.index));
            if !owed.contains(opaque.bit()) {
                continue;
            }
            if full {
                // Once the queue is full the rest is not tried: order within the batch stays.
                let now_ms = self.reports.state.now_ms();
                self.reports.slots.report(opaque, Fate::Retry("queue_full"), now_ms);
                continue;
            }
            let sent = self.send_row(&producer, parcel, row, opaque.into());
            let lane = parcel.routed.lanes.get(usize::from(row.lane.0));
            full = self.note(sent, lane.map_or("", |lane| &lane.topic), opaque);
        }
        self.poller_thread.unpark();
        tracker
    }

    fn depth(&self) -> u64 {
        u64::try_from(self.producer.load().in_flight_count()).unwrap_or(0)
    }

    fn looks_well(&self, topic: &str) -> Result<(), String> {
        // Asking also refreshes what the client believes of the topic.
        let producer = self.producer.load_full();
        let found = producer.client().fetch_metadata(Some(topic), LOOK_PATIENCE);
        let found = found.map_err(|error| error.to_string())?;
        let topics = found.topics().iter().filter(|found| found.name() == topic);
        let mut partitions = 0;
        for topic in topics {
            if let Some(error) = topic.error() {
                return Err(format!("{:?}", rdkafka::error::RDKafkaErrorCode::from(error)));
            }
            for partition in topic.partitions() {
                if partition.leader() < 0 {
                    return Err(format!("partition {} has no leader", partition.id()));
                }
                partitions += 1;
            }
        }
        if partitions == 0 { Err("it does not exist".to_owned()) } else { Ok(()) }
    }

    fn flush(&self, patience: Duration) {
        // The polling thread serves reports; here it is only waited for, in small steps.
        let until = std::time::Instant::now() + patience;
        while self.depth() > 0 && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Kafka {
    /// Reports what the client did not even take in; `true` when it has no room.
    fn note(&self, sent: Result<(), KafkaError>, topic: &str, opaque: Opaque) -> bool {
        let Err(error) = sent else { return false };
        let Reports { state, health, slots, .. } = &self.reports;
        let cause = reports::cause(&error);
        health.blame(topic, reports::blame(&error, state.is_flowing()));
        slots.report(opaque, Fate::Retry(cause), state.now_ms());
        cause == "queue_full"
    }
}

type Producer = BaseProducer<Reports>;

impl Drop for Kafka {
    fn drop(&mut self) {
        self.reports.state.stopping.store(true, Ordering::Release);
        self.poller_thread.unpark();
        if let Some(poller) = self.poller.lock().take()
            && poller.join().is_err()
        {
            tracing::error!("the kafka polling thread panicked");
        }
    }
}
