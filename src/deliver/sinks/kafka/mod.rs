//! The Kafka sink on librdkafka: idempotent, `acks=all`, one polling thread.
//!
//! In: whole HTTP batches. Out: delivery reports to their trackers, dead letters to their topic.
//! Must never block a caller, drop a record without a report, or choose a topic by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

pub mod client;
pub mod headers;
mod letter;
mod reports;
mod rules;
pub mod settings;
pub mod topics;

pub use settings::Settings;

use self::reports::{Opaque, Reports, Results, Slots};
use self::rules::Announcement;
use super::Cluster;
use crate::deliver::tracker::{Fate, Tracker};
use crate::model::{Owed, Parcel, Row, owed};

/// Why the sink cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// librdkafka refuses a setting.
    #[error("kafka settings: {0}")]
    Settings(#[source] KafkaError),
    /// The polling thread could not be started.
    #[error("kafka polling thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// One cluster through one librdkafka producer.
pub struct Kafka {
    producer: Arc<BaseProducer<Reports>>,
    slots: Arc<Slots>,
    raw_topic: String,
    state: Arc<State>,
    poller: Mutex<Option<JoinHandle<()>>>,
    poller_thread: Thread,
}

/// What librdkafka last said of itself, for readiness and logs.
#[derive(Debug, Default)]
pub struct State {
    stopping: AtomicBool,
    reports: AtomicU64,
    rules_known: AtomicBool,
    troubled: AtomicBool,
    trouble: Mutex<Option<String>>,
}

/// How often an idle client is asked for errors, and the thread looks whether it has to stop.
const IDLE_POLL: Duration = Duration::from_millis(100);
/// Dead letters between a report and their own produce call; beyond it the record is retried.
const LETTERS_MAX: usize = 10_000;

impl Kafka {
    /// Starts the client; an absent broker is no error, the client keeps trying.
    ///
    /// `rules` is the rules text in force and its name: it is produced to `<prefix>.rules` until
    /// the cluster has it, so that whoever splits tier 1 finds it there.
    pub fn start(
        settings: &Settings,
        record_bytes_max: u64,
        rules: (String, String),
    ) -> Result<Self, Error> {
        let slots = Arc::new(Slots::default());
        let state = Arc::new(State::default());
        let (letters, queue) = bounded(LETTERS_MAX);
        let reports = Reports {
            slots: Arc::clone(&slots),
            letters,
            state: Arc::clone(&state),
            results: Results::new(),
        };
        let producer: BaseProducer<Reports> = client::config(settings, record_bytes_max)
            .create_with_context(reports)
            .map_err(Error::Settings)?;
        let producer = Arc::new(producer);
        let poller = {
            let (producer, state, slots) = (producer.clone(), state.clone(), slots.clone());
            let dead_topic = format!("{}.dead", settings.topic_prefix);
            let report_ms = Duration::from_millis(settings.report_ms);
            let mut rules = Announcement::new(&settings.topic_prefix, rules);
            std::thread::Builder::new().name("kafka-poll".to_owned()).spawn(move || {
                while !state.stopping.load(Ordering::Acquire) {
                    rules.announce(&producer, &state);
                    poll(&producer, &state, report_ms);
                    for letter in queue.try_iter() {
                        letter.send(&producer, &dead_topic, &slots);
                    }
                }
            })?
        };
        Ok(Self {
            producer,
            slots,
            raw_topic: format!("{}.raw", settings.topic_prefix),
            state,
            poller_thread: poller.thread().clone(),
            poller: Mutex::new(Some(poller)),
        })
    }

    /// What the client complains about since its last success; `None` when it is well.
    pub fn trouble(&self) -> Option<String> {
        self.state.trouble.lock().clone()
    }

    fn send_raw(&self, parcel: &Parcel, opaque: usize) -> Result<(), KafkaError> {
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
            .headers(headers::facts(facts, 0));
        self.producer.send(record).map_err(|(error, _)| error)
    }

    fn send_row(&self, parcel: &Parcel, row: &Row, opaque: usize) -> Result<(), KafkaError> {
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
        self.producer.send(record).map_err(|(error, _)| error)
    }
}

impl Cluster for Kafka {
    fn produce(&self, parcel: &Arc<Parcel>, owed: Owed, wake: Option<Sender<()>>) -> Arc<Tracker> {
        let tracker = Arc::new(Tracker::new(Arc::clone(parcel), owed.clone(), wake));
        if owed.is_empty() {
            return tracker;
        }
        let slot = self.slots.insert(Arc::clone(&tracker));
        let mut full = None;
        let mut send = |bit: u32, sent: &mut dyn FnMut(usize) -> Result<(), KafkaError>| {
            // Once the queue is full the rest is not tried: order within the batch stays.
            if let Some(cause) = full.map_or_else(
                || sent(Opaque::new(slot, bit).into()).err().map(|error| reports::cause(&error)),
                Some,
            ) {
                full = Some(cause);
                self.slots.report(Opaque::new(slot, bit), Fate::Retry(cause));
            }
        };
        if owed.contains(owed::RAW) {
            send(owed::RAW, &mut |opaque| self.send_raw(parcel, opaque));
        }
        for row in &parcel.routed.rows {
            let bit = owed::event(row.index);
            if owed.contains(bit) {
                send(bit, &mut |opaque| self.send_row(parcel, row, opaque));
            }
        }
        self.poller_thread.unpark();
        tracker
    }

    fn depth(&self) -> u64 {
        u64::try_from(self.producer.in_flight_count()).unwrap_or(0)
    }

    fn flush(&self, patience: Duration) {
        // The polling thread serves reports; here it is only waited for, in small steps.
        let until = std::time::Instant::now() + patience;
        while self.depth() > 0 && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.state.stopping.store(true, Ordering::Release);
        self.poller_thread.unpark();
        if let Some(poller) = self.poller.lock().take()
            && poller.join().is_err()
        {
            tracing::error!("the kafka polling thread panicked");
        }
    }
}

fn poll(producer: &BaseProducer<Reports>, state: &State, report_ms: Duration) {
    // Never in a poll that waits: it spins through the last millisecond of its patience.
    if producer.in_flight_count() == 0 {
        // Nothing is out: whoever produces unparks.
        std::thread::park_timeout(IDLE_POLL);
    }
    // Collected on a timer: a wake-up per report would cost more than the report.
    std::thread::sleep(report_ms);
    serve_all(producer, state);
}

/// A poll without a wait serves one event; this serves all that are there.
fn serve_all(producer: &BaseProducer<Reports>, state: &State) {
    loop {
        let before = state.reports.load(Ordering::Relaxed);
        producer.poll(Duration::ZERO);
        if state.reports.load(Ordering::Relaxed) == before {
            return;
        }
    }
}
