//! Floor 5, the assembly: every floor built, in the order in which they need each other, and taken
//! down in the order in which they may let go.
//!
//! In: settings. Out: a running gateway. What is started is listed in `start`, top to bottom.

mod delivery;
mod memory;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

use crate::accept;
use crate::admin;
use crate::admit::{self, Document, Door, Edge, Keys, Policy, watch as pressure};
use crate::config::texts;
use crate::deliver::drain::{self, files};
use crate::deliver::park;
use crate::deliver::sinks::Cluster as _;
use crate::deliver::sinks::kafka;
use crate::ingest::Ingest;
use crate::journal::{self, Journal};
use crate::model::Signal;
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
    /// A park log.
    #[error(transparent)]
    Park(#[from] park::Error),
    /// The journal belongs to a cluster that is gone.
    #[error(
        "the journal still owes batches to a cluster (from frame {seq} on), but {key} is empty; \
         set it until they are drained, or use another data_dir"
    )]
    Owed {
        /// The option.
        key: &'static str,
        /// The first frame that owes something.
        seq: u64,
    },
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
    clusters: Vec<delivery::Served>,
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
        let (budget, signal, cost) = memory::plan(&settings);

        let delivery = delivery::Delivery::start(&settings, &books, &budget, cost)?;
        let inputs = memory::inputs(&settings, &budget, &delivery);
        let watching = (inputs, settings.pressure.clone(), Arc::clone(&signal));

        let policy = Arc::new(ArcSwap::from_pointee(Policy {
            keys: Keys::new(&settings.keys).map_err(settings::Error::from)?,
            settings: settings.door(),
            document,
        }));
        let told = Arc::clone(&policy);
        let edge = Arc::new(Edge {
            policy,
            door: Door { budget: Arc::clone(&budget), signal: Arc::clone(&signal) },
            ingest: Arc::new(Ingest {
                books,
                dedupe: delivery.dedupe,
                deliver: delivery.policy,
                node,
                cost,
                signal,
                document_version: Box::new(move |_| {
                    told.load().document.as_ref().map_or(0, |document| document.version)
                }),
                stopping: stopping.clone(),
            }),
            tasks: admit::Tasks::default(),
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
            clusters: delivery.clusters.clone(),
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
            clusters: delivery.clusters,
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
        for cluster in &self.clusters {
            cluster.flush(until);
        }
        // The store's drainer writes what the journal still holds for it.
        drop(self.files.take());
        self.gone.send_replace(true);
        if let Some(admin) = self.admin.take() {
            join(admin);
        }
        for cluster in self.clusters.drain(..) {
            cluster.drainer.stop();
            cluster.parks.close();
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
    let clusters = std::iter::once(settings.kafka.clone()).chain(settings.kafka.second());
    for (cluster, name) in clusters.collect::<Vec<_>>().iter().zip(delivery::CLUSTERS) {
        if let Some(bytes) = record_bytes_max(&settings.data_dir, cluster, name, &topics) {
            settings.fit(bytes);
        }
    }
    Ok(())
}

/// What a cluster takes, or took when it last answered: who starts again while it is away should
/// neither wait for it nor forget.
fn record_bytes_max(
    data_dir: &Path,
    cluster: &kafka::Settings,
    name: &str,
    topics: &[String],
) -> Option<u64> {
    let file = format!("{name}.record-bytes-max");
    let known = texts::recall(data_dir, &file).and_then(|text| text.trim().parse().ok());
    let told = kafka::topics::record_bytes_max(cluster, topics, known.is_some());
    if let Some(bytes) = told
        && let Err(error) = texts::remember(data_dir, &file, &format!("{bytes}\n"))
    {
        tracing::warn!(%error, "cannot remember what {name} takes");
    }
    told.or(known)
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

fn workers(
    listeners: Vec<TcpListener>,
    edge: &Arc<Edge>,
    life: &accept::Life,
    settings: &Settings,
) -> Result<Vec<JoinHandle<()>>, Error> {
    let mut workers = Vec::with_capacity(listeners.len());
    for (at, listener) in listeners.into_iter().enumerate() {
        let (tasks, drain) = (edge.tasks.clone(), life.drain);
        let (edge, life, http) = (Arc::clone(edge), life.clone(), settings.http.clone());
        let answer = move |request, peer| {
            let edge = Arc::clone(&edge);
            async move { edge.answer(request, peer).await }
        };
        let serve = async move {
            accept::serve(listener, http, life, answer).await?;
            if tokio::time::timeout(drain, tasks.idle()).await.is_err() {
                tracing::warn!("batches were cut off after drain_ms");
            }
            Ok(())
        };
        workers.push(thread(&format!("worker-{at}"), serve)?);
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
    clusters: Vec<delivery::Served>,
    files: Option<Arc<files::Drainer>>,
}

impl admin::Status for Status {
    fn ready(&self) -> (bool, String) {
        let stopping = *self.life.stopping.borrow();
        let journal = !self.journal.is_down();
        let store = self.files.as_ref().is_none_or(|files| files.is_healthy());
        // With Kafka away the journal keeps the promises, so this alone does not end readiness.
        let clusters: Vec<_> = self.clusters.iter().map(delivery::Served::status).collect();
        let stuck = self.clusters.iter().any(|cluster| cluster.drainer.is_stuck());
        let ready = journal && store && !stopping && !stuck;
        let text = serde_json::json!({
            "ready": ready, "stopping": stopping, "journal": journal, "store": store,
            "clusters": clusters,
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
        for cluster in &self.clusters {
            let depth = cluster.kafka.depth() as f64;
            metrics::gauge!(names::KAFKA_QUEUE, "cluster" => cluster.name).set(depth);
            // Shows its bytes.
            drop(cluster.parks.parked());
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
