//! Row (d2): the same records to the same topics through rust-rdkafka's `BaseProducer`, with the
//! gateway's client settings, and nothing else.
//!
//! What is prepared before it counts: all bytes of keys, values and headers. What counts: handing a
//! batch's records over, all threads of librdkafka, and the polling thread, which collects reports
//! as the gateway's does. As many batches are in flight as there are connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::{JoinHandle, park_timeout, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use crossbeam_channel::{Receiver, Sender, bounded};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use tidegate::clock;
use tidegate::config::texts;
use tidegate::deliver::sinks::kafka::{client, headers};
use tidegate::ingest;
use tidegate::model::{Record, Routed};
use tidegate::settings::Settings;

use crate::table::Figure;
use crate::{Load, cpu};

/// A producer and what it sends.
pub(crate) struct Bare {
    producer: Arc<BaseProducer<Reports>>,
    flight: Arc<Flight>,
    landed: Receiver<usize>,
    parcels: Vec<Parcel>,
    raw_topic: String,
    poller: Option<JoinHandle<()>>,
}

/// Batches that are prepared, and sent in turns.
const PARCELS: usize = 64;

/// One batch with all its bytes.
struct Parcel {
    record: Record,
    routed: Routed,
    headers: Vec<(&'static str, String)>,
}

/// Batches on their way, one slot each.
struct Flight {
    left: Box<[AtomicU32]>,
    reports: AtomicU64,
    failed: AtomicU64,
    stopping: AtomicBool,
}

struct Reports {
    flight: Arc<Flight>,
    landed: Sender<usize>,
}

impl ClientContext for Reports {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        eprintln!("librdkafka {facility}: {message}");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: usize) {
        self.flight.reports.fetch_add(1, Ordering::Relaxed);
        if result.is_err() {
            self.flight.failed.fetch_add(1, Ordering::Relaxed);
        }
        let left = self.flight.left.get(slot);
        if left.is_some_and(|left| left.fetch_sub(1, Ordering::AcqRel) == 1) {
            // There is room for every slot.
            self.landed.try_send(slot).unwrap_or_default();
        }
    }
}

impl Bare {
    /// Connects as a gateway with these settings would, and prepares the load's first batches.
    pub(crate) fn start(settings: &Settings, load: &Load, at_once: usize) -> anyhow::Result<Self> {
        let flight = Arc::new(Flight {
            left: (0..at_once).map(|_| AtomicU32::new(0)).collect(),
            reports: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        });
        let (land, landed) = bounded(at_once);
        for slot in 0..at_once {
            land.send(slot)?;
        }
        let reports = Reports { flight: Arc::clone(&flight), landed: land };
        let client = client::config(&settings.kafka, settings.record_bytes_max());
        let producer: BaseProducer<Reports> = client.create_with_context(reports)?;
        let producer = Arc::new(producer);
        let report = Duration::from_millis(settings.kafka.report_ms);
        let poller = {
            let (producer, flight) = (Arc::clone(&producer), Arc::clone(&flight));
            std::thread::Builder::new()
                .name("bare-poll".to_owned())
                .spawn(move || poll(&producer, &flight, report))?
        };
        let raw_topic = format!("{}.raw", settings.kafka.topic_prefix);
        let parcels = prepare(settings, load)?;
        Ok(Self { producer, flight, landed, parcels, raw_topic, poller: Some(poller) })
    }

    /// What it spends on so many batches: flat out, or each at its moment, in microseconds. Nothing
    /// else may run in this process.
    pub(crate) fn round(&self, batches: usize, moments: Option<&[u64]>) -> anyhow::Result<Figure> {
        let (whole, generator) = (cpu::this_process(), cpu::this_thread());
        let (start, mut sending) = (Instant::now(), Duration::ZERO);
        for (number, parcel) in (0..batches).zip(self.parcels.iter().cycle()) {
            wait(start, moments.and_then(|moments| moments.get(number)));
            let slot = self.landed.recv()?;
            let before = cpu::this_thread();
            self.send(parcel, slot)?;
            if let Some(poller) = &self.poller {
                poller.thread().unpark();
            }
            sending += cpu::this_thread().saturating_sub(before);
        }
        let slots = self.flight.left.len();
        let last: Vec<_> = self.landed.iter().take(slots).collect();
        let took = start.elapsed();
        // Waiting for the next batch's turn is the load's work, not the producer's.
        let waiting = cpu::this_thread().saturating_sub(generator + sending);
        let spent = cpu::this_process().saturating_sub(whole + waiting);
        for slot in last {
            self.producer.context().landed.send(slot)?;
        }
        let failed = self.flight.failed.load(Ordering::Relaxed);
        ensure!(failed == 0, "{failed} records were not delivered");
        Ok(Figure::of(batches, spent, took))
    }

    fn send(&self, parcel: &Parcel, slot: usize) -> anyhow::Result<()> {
        let Parcel { record, routed, headers } = parcel;
        let records = u32::try_from(routed.rows.len() + 1)?;
        self.flight.left.get(slot).context("a slot")?.store(records, Ordering::Release);
        let arrival_ms = record.facts.arrival_ms;
        let head = OwnedHeaders::new_with_capacity(headers.len());
        let head = headers.iter().fold(head, |head, (key, value)| {
            head.insert(Header { key, value: Some(value.as_str()) })
        });
        let raw = BaseRecord::with_opaque_to(&self.raw_topic, slot)
            .key(routed.instance.as_bytes())
            .payload(&record.body[..])
            .timestamp(arrival_ms)
            .headers(head);
        self.producer.send(raw).map_err(|(error, _)| error)?;
        for row in &routed.rows {
            let lane = routed.lanes.get(usize::from(row.lane.0)).context("a lane")?;
            let event = BaseRecord::with_opaque_to(&lane.topic, slot)
                .key(row.key.of(&routed.keys))
                .payload(row.value.of(&routed.values))
                .timestamp(arrival_ms);
            self.producer.send(event).map_err(|(error, _)| error)?;
        }
        Ok(())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.flight.stopping.store(true, Ordering::Release);
        if let Some(poller) = self.poller.take() {
            poller.thread().unpark();
            if poller.join().is_err() {
                eprintln!("the polling thread panicked");
            }
        }
    }
}

/// Moments that are this near are taken together: a sleep is no shorter anyway.
const NEAR: Duration = Duration::from_micros(100);

fn wait(start: Instant, moment: Option<&u64>) {
    let due = moment.map(|micros| Duration::from_micros(*micros));
    let left = due.and_then(|due| due.checked_sub(start.elapsed()));
    if let Some(left) = left.filter(|left| *left > NEAR) {
        sleep(left);
    }
}

/// As the gateway's polling thread does it: on a timer, everything that is there.
fn poll(producer: &BaseProducer<Reports>, flight: &Flight, report: Duration) {
    while !flight.stopping.load(Ordering::Acquire) {
        if producer.in_flight_count() == 0 {
            // Nothing is out: whoever produces unparks.
            park_timeout(IDLE_POLL);
        }
        sleep(report);
        loop {
            let before = flight.reports.load(Ordering::Relaxed);
            producer.poll(Duration::ZERO);
            if flight.reports.load(Ordering::Relaxed) == before {
                break;
            }
        }
    }
}

/// How often an idle client is asked for errors.
const IDLE_POLL: Duration = Duration::from_millis(100);

/// The batches as the gateway would write them, under its rules and its node's name.
fn prepare(settings: &Settings, load: &Load) -> anyhow::Result<Vec<Parcel>> {
    let book = settings.rulebook()?;
    let node = texts::node_id(&settings.data_dir)?;
    let mut parcels = Vec::with_capacity(PARCELS);
    for mut record in load.records.iter().take(PARCELS).cloned() {
        record.facts.arrival_ms = clock::now_ms();
        (record.facts.node, record.facts.rules) = (node, book.hash);
        let class = Some(record.facts.class);
        let (_, routed) = ingest::refine(&mut record, class, &book, |_, _, _| ())?;
        let headers = headers::pairs(&record.facts);
        parcels.push(Parcel { record, routed, headers });
    }
    Ok(parcels)
}
