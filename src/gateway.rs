//! Floor 5, the assembly: every floor built, in the order in which they need each other, and taken
//! down in the order in which they may let go.
//!
//! In: settings. Out: a running gateway. What is started is listed in `start`, top to bottom.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

use crate::accept;
use crate::admin;
use crate::admit::{self, Document, Door, Edge, Keys, retry, watch as pressure};
use crate::clock;
use crate::config::texts;
use crate::deliver::drain::{self, cluster, files};
use crate::deliver::policy::{Backlog, Direct};
use crate::deliver::sinks::Cluster;
use crate::deliver::sinks::kafka::{self, Kafka};
use crate::deliver::{Dedupe, Deliver};
use crate::ingest::{self, Cost, Ingest};
use crate::journal::{self, Entry, Journal};
use crate::model::parcel::Refine;
use crate::model::{Budget, Signal};
use crate::rulebook::{self, Rulebooks};
use crate::settings::{self, Settings};
use crate::telemetry::metrics as names;

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration.
    #[error(transparent)]
    Settings(#[from] settings::Error),
    /// Rules.
    #[error(transparent)]
    Rules(#[from] rulebook::Error),
    /// The journal.
    #[error("journal in {dir}: {source}")]
    Journal {
        /// Where.
        dir: String,
        /// What is wrong.
        source: journal::Error,
    },
    /// The drainer or its store.
    #[error(transparent)]
    Drain(#[from] drain::Error),
    /// The Kafka client.
    #[error(transparent)]
    Kafka(#[from] kafka::Error),
    /// The SDK document.
    #[error(transparent)]
    Document(#[from] admit::DocumentError),
    /// A listener.
    #[error("{key} = {address}: {source}")]
    Listen {
        /// The option.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The data directory.
    #[error("data_dir {dir}: {source}")]
    Data {
        /// Where.
        dir: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The journal belongs to Kafka.
    #[error(
        "the journal still owes batches to kafka (from frame {0} on), but kafka.brokers is empty; \
         set it until they are drained, or use another data_dir"
    )]
    OwedToKafka(u64),
    /// A thread.
    #[error("thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A running gateway.
pub struct Gateway {
    ingest_address: SocketAddr,
    admin_address: SocketAddr,
    drain: Duration,
    stop: watch::Sender<bool>,
    gone: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
    admin: Option<JoinHandle<()>>,
    kafka: Option<(Arc<Kafka>, cluster::Drainer)>,
    files: Option<Arc<files::Drainer>>,
    journal: Journal,
}

impl Gateway {
    /// Starts every floor. `render` gives the metrics page its text.
    pub fn start(mut settings: Settings, render: Option<PrometheusHandle>) -> Result<Self, Error> {
        settings.check()?;
        fit_to_cluster(&mut settings)?;
        let data = |source| Error::Data { dir: settings.data_dir.display().to_string(), source };
        let node = texts::node_id(&settings.data_dir).map_err(data)?;
        let books = Rulebooks::open(
            settings.data_dir.join("rules"),
            settings.rulebook().map_err(settings::Error::from)?,
        )?;
        let books = Arc::new(books);
        let document = Document::open(&settings.sdk.document)?;
        let (stop, stopping) = watch::channel(false);
        let (gone, is_gone) = watch::channel(false);
        let (budget, signal, cost) = memory(&settings);

        let delivery = Delivery::start(&settings, &books, &budget, cost)?;
        let inputs = inputs(&settings, &budget, &delivery);
        let watching = (inputs, settings.pressure.clone(), Arc::clone(&signal));

        let version = document.as_ref().map_or(0, |document| document.version);
        let edge = Arc::new(Edge {
            door: Door {
                keys: Keys::new(&settings.keys).map_err(settings::Error::from)?,
                settings: settings.door(),
                budget: Arc::clone(&budget),
                signal: Arc::clone(&signal),
            },
            ingest: Arc::new(Ingest {
                books,
                dedupe: delivery.dedupe,
                deliver: delivery.policy,
                node,
                cost,
                signal,
                document_version: Box::new(move |_| version),
                stopping: stopping.clone(),
            }),
            document,
        });
        let drain = Duration::from_millis(settings.drain_ms);
        let connections = Arc::default();
        let life = accept::Life { stopping, drain, connections, budget };
        let listen = |key, address| move |source| Error::Listen { key, address, source };
        let listeners = accept::bind(settings.listen, settings.workers())
            .map_err(listen("listen", settings.listen))?;
        let admin = accept::bind(settings.admin.listen, 1)
            .map_err(listen("admin.listen", settings.admin.listen))?
            .remove(0);
        let status = Status {
            render,
            life: life.clone(),
            journal: delivery.journal.clone(),
            kafka: delivery.kafka.as_ref().map(|(kafka, _)| Arc::clone(kafka)),
            files: delivery.files.clone(),
        };
        let first = |listener: Option<&TcpListener>| {
            listener.map_or(Ok(settings.listen), TcpListener::local_addr)
        };
        Ok(Self {
            ingest_address: first(listeners.first())?,
            admin_address: admin.local_addr()?,
            drain,
            workers: workers(listeners, &edge, &life, &settings)?,
            admin: Some(thread("admin", operate(admin, status, watching, is_gone))?),
            stop,
            gone,
            kafka: delivery.kafka,
            files: delivery.files,
            journal: delivery.journal,
        })
    }

    /// Where batches come in.
    pub fn ingest_address(&self) -> SocketAddr {
        self.ingest_address
    }

    /// Where operators look.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Stops: no new connections, open requests finish, Kafka is flushed, the rest is journalled,
    /// synced, and everything is closed.
    pub fn stop(mut self) {
        let until = Instant::now() + self.drain;
        self.stop.send_replace(true);
        for worker in self.workers.drain(..) {
            join(worker);
        }
        if let Some((kafka, drainer)) = self.kafka.take() {
            drainer.pause();
            kafka.flush(until.saturating_duration_since(Instant::now()));
            drop(drainer);
        }
        // The store's drainer writes what the journal still holds for it.
        drop(self.files.take());
        self.gone.send_replace(true);
        if let Some(admin) = self.admin.take() {
            join(admin);
        }
        self.journal.close();
    }
}

fn fit_to_cluster(settings: &mut Settings) -> Result<(), settings::Error> {
    if settings.kafka.brokers.is_empty() {
        return Ok(());
    }
    let book = settings.rulebook()?;
    let lanes = book.table.lanes().iter().map(|lane| lane.topic.clone());
    let raw = format!("{}.raw", settings.kafka.topic_prefix);
    let topics: Vec<String> = lanes.chain([raw]).collect();
    if let Some(bytes) = kafka::topics::record_bytes_max(&settings.kafka, &topics) {
        settings.fit(bytes);
    }
    Ok(())
}

/// Everything behind the page.
struct Delivery {
    policy: Deliver,
    dedupe: Arc<Dedupe>,
    journal: Journal,
    kafka: Option<(Arc<Kafka>, cluster::Drainer)>,
    files: Option<Arc<files::Drainer>>,
    backlog: Option<Arc<Backlog>>,
}

impl Delivery {
    fn start(
        settings: &Settings,
        books: &Arc<Rulebooks>,
        budget: &Arc<Budget>,
        cost: Cost,
    ) -> Result<Self, Error> {
        let dir = settings.data_dir.join("journal");
        let failed = |source| Error::Journal { dir: dir.display().to_string(), source };
        let (journal, recovered) = journal::open(&dir, &settings.journal).map_err(failed)?;
        let dedupe = Dedupe::new(&settings.dedupe);
        let known = dedupe.rebuild(&journal, &settings.dedupe, clock::now_ms()).map_err(failed)?;
        tracing::debug!(known, "batches remembered from the journal");
        let refine: Arc<Refine> = {
            let (books, budget) = (Arc::clone(books), Arc::clone(budget));
            Arc::new(move |record| ingest::restore(&books, &budget, cost, record))
        };
        let events_dir = settings.data_dir.join("events");
        let had_store = events_dir.exists();
        let store = files::Parts {
            journal: journal.clone(),
            refine: Arc::clone(&refine),
            dir: events_dir,
            settings: settings.store.clone(),
            retain_ms: settings.raw.retain_ms,
            retain_bytes: settings.raw.retain_bytes,
        };
        let mut cursor = journal.cursor("kafka").map_err(failed)?;
        if settings.kafka.brokers.is_empty() {
            if let Some(from) = cursor.load() {
                refuse_what_kafka_is_owed(&journal, from).map_err(failed)??;
            }
            let files = Some(Arc::new(files::Drainer::start(store)?));
            let policy = Deliver::new(journal.clone(), None);
            return Ok(Self { policy, dedupe, journal, kafka: None, files, backlog: None });
        }
        if had_store {
            // The gateway ran embedded before: what it took then ends in the files.
            files::catch_up(store)?;
        }
        let born_seq = recovered.next_seq;
        if cursor.load().is_none() {
            // Before anything is accepted: a lost start would look like a new sink at the tail.
            cursor.save(born_seq).map_err(failed)?;
        }
        let kafka = Arc::new({
            let book = books.current();
            let rules = (format!("{:016x}", book.hash), book.text.clone());
            Kafka::start(&settings.kafka, settings.record_bytes_max(), rules)?
        });
        let cluster: Arc<dyn Cluster> = Arc::clone(&kafka) as Arc<dyn Cluster>;
        let backlog = Arc::new(Backlog::default());
        backlog.owes(born_seq.saturating_sub(1));
        let divert = Duration::from_millis(settings.kafka.divert_ms);
        let dead_dir = settings.data_dir.join("dead");
        let parts = cluster::Parts {
            journal: journal.clone(),
            cluster: Arc::clone(&cluster),
            backlog: Arc::clone(&backlog),
            refine,
            settled: recovered
                .settled
                .into_iter()
                .filter_map(|(seq, mut clusters)| clusters.remove(&0).map(|owed| (seq, owed)))
                .collect(),
            born_seq,
            divert,
            dead_dir: dead_dir.clone(),
        };
        let drainer = cluster::Drainer::start(parts, cursor)?;
        let ack = settings.kafka.ack;
        let direct = Direct { cluster, backlog: Arc::clone(&backlog), ack, divert, dead_dir };
        let policy = Deliver::new(journal.clone(), Some(direct));
        let (kafka, backlog) = (Some((kafka, drainer)), Some(backlog));
        Ok(Self { policy, dedupe, journal, kafka, files: None, backlog })
    }
}

fn memory(settings: &Settings) -> (Arc<Budget>, Arc<Signal>, Cost) {
    let plan = settings.memory_plan();
    let connections = plan.connections_bytes() / settings.http.connection_bytes();
    if connections < settings.http.connections_max {
        tracing::info!(connections, "fewer than http.connections_max fit in the memory budget");
    }
    let signal = Arc::new(Signal::new(settings.retry_ms, settings.pressure.hold_ms));
    (Budget::new(plan), signal, Cost { copies: settings.copies() })
}

/// The operators' pages, and the watch over the pressure beside them.
async fn operate(
    admin: TcpListener,
    status: Status,
    (inputs, settings, signal): (pressure::Inputs, crate::model::pressure::Settings, Arc<Signal>),
    gone: watch::Receiver<bool>,
) -> std::io::Result<()> {
    tokio::spawn(pressure::run(inputs, settings, signal, gone.clone()));
    admin::serve(admin, Arc::new(status), gone).await
}

/// What the pressure is made of.
fn inputs(settings: &Settings, budget: &Arc<Budget>, delivery: &Delivery) -> pressure::Inputs {
    let bytes_max = settings.journal.bytes_max;
    let (fill, owed, late) =
        (delivery.journal.clone(), delivery.journal.clone(), delivery.journal.clone());
    let (backlog, files) = (delivery.backlog.clone(), delivery.files.clone());
    let kafka = delivery.kafka.as_ref().map(|(kafka, _)| Arc::clone(kafka));
    let usual_bytes = 2 * settings.journal.segment_bytes;
    let enough_bytes = bytes_max / 100 * settings.pressure.journal_leave_percent[0];
    let (started, mut trend) = (Instant::now(), retry::Trend::default());
    pressure::Inputs {
        budget: Arc::clone(budget),
        journal_percent: Box::new(move || {
            let owed_bytes = fill.usage().owed_bytes;
            (owed_bytes.saturating_mul(100)).checked_div(bytes_max).unwrap_or(100).min(100)
        }),
        is_behind: Box::new(move || {
            // Under load something is always on its way: late is what trouble or the mass of it
            // keeps from moving.
            let stuck = || {
                kafka.as_ref().is_some_and(|kafka| kafka.trouble().is_some())
                    || late.usage().owed_bytes > usual_bytes
            };
            backlog.as_ref().is_some_and(|backlog| backlog.is_behind() && stuck())
                || files.as_ref().is_some_and(|files| !files.is_healthy())
        }),
        // An estimate from outside, until the journal says it itself.
        retry_after: Box::new(move || {
            let now_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            trend.look(now_ms, owed.usage().owed_bytes, enough_bytes)
        }),
    }
}

fn refuse_what_kafka_is_owed(
    journal: &Journal,
    from: u64,
) -> Result<Result<(), Error>, journal::Error> {
    let mut reader = journal.reader(from);
    while let Some(frame) = reader.next_frame()? {
        if let Entry::Record { owed, .. } = &frame.entry
            && owed.iter().any(|owed| !owed.is_empty())
        {
            return Ok(Err(Error::OwedToKafka(frame.seq)));
        }
    }
    Ok(Ok(()))
}

fn workers(
    listeners: Vec<TcpListener>,
    edge: &Arc<Edge>,
    life: &accept::Life,
    settings: &Settings,
) -> Result<Vec<JoinHandle<()>>, Error> {
    let mut workers = Vec::with_capacity(listeners.len());
    for (at, listener) in listeners.into_iter().enumerate() {
        let (edge, life, http) = (Arc::clone(edge), life.clone(), settings.http.clone());
        let answer = move |request, peer| {
            let edge = Arc::clone(&edge);
            async move { edge.answer(request, peer).await }
        };
        workers.push(thread(&format!("worker-{at}"), accept::serve(listener, http, life, answer))?);
    }
    Ok(workers)
}

/// Blocking threads per worker, for large bodies and dead letters.
const BLOCKING_MAX: usize = 2;

fn thread(
    name: &str,
    work: impl Future<Output = std::io::Result<()>> + Send + 'static,
) -> Result<JoinHandle<()>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_MAX)
        .build()?;
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        if let Err(error) = runtime.block_on(work) {
            tracing::error!(%error, "a listener ended");
        }
    })?;
    Ok(spawned)
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread panicked");
    }
}

/// What the admin pages show.
struct Status {
    render: Option<PrometheusHandle>,
    life: accept::Life,
    journal: Journal,
    kafka: Option<Arc<Kafka>>,
    files: Option<Arc<files::Drainer>>,
}

impl admin::Status for Status {
    fn ready(&self) -> (bool, String) {
        let stopping = *self.life.stopping.borrow();
        let journal = !self.journal.is_down();
        let store = self.files.as_ref().is_none_or(|files| files.is_healthy());
        // With Kafka away the journal keeps the promises, so this alone does not end readiness.
        let kafka = self.kafka.as_ref().map(|kafka| kafka.trouble().unwrap_or("ok".to_owned()));
        let ready = journal && store && !stopping;
        let text = serde_json::json!({
            "ready": ready, "stopping": stopping, "journal": journal, "store": store, "kafka": kafka,
        });
        (ready, format!("{text}\n"))
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges")]
    fn metrics(&self) -> String {
        let budget = &self.life.budget;
        let mut used = 0;
        for (part, bytes) in budget.parts() {
            metrics::gauge!(names::MEMORY, "part" => part).set(bytes as f64);
            used += bytes;
        }
        metrics::gauge!(names::MEMORY_USED).set(used as f64);
        metrics::gauge!(names::MEMORY_BUDGET).set(budget.bytes() as f64);
        if let Some(kafka) = &self.kafka {
            metrics::gauge!(names::KAFKA_QUEUE).set(kafka.depth() as f64);
        }
        metrics::gauge!(names::CONNECTIONS)
            .set(self.life.connections.load(Ordering::Acquire) as f64);
        self.render.as_ref().map(PrometheusHandle::render).unwrap_or_default()
    }

    fn tick(&self) {
        if let Some(render) = &self.render {
            render.run_upkeep();
        }
    }
}
