//! Floor 5, the assembly: every floor built, in the order in which they need each other, and taken
//! down in the order in which they may let go.
//!
//! In: settings. Out: a running gateway. What is started is listed in `start`, top to bottom.

mod changes;
mod delivery;
mod fit;
mod handles;
mod lookout;
mod memory;
mod reload;
mod state;

pub use reload::Source;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use uuid::Uuid;

use crate::accept::{self, tls::Certificates};
use crate::admin;
use crate::admit::{self, Counters, Documents, Door, Edge, Policy, watch as pressure};
use crate::aside::Aside;
use crate::clock;
use crate::config::texts;
use crate::deliver::drain::{self, files};
use crate::deliver::park;
use crate::deliver::sinks::kafka;
use crate::ingest::Ingest;
use crate::journal::{self, Journal};
use crate::model::{Budget, Signal};
use crate::rulebook::{self, Rulebooks};
use crate::settings::{self, Settings};
use crate::telemetry::metrics as names;

use self::reload::{Reloader, Standing};
use self::state::Status;

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
    /// The SDK documents.
    #[error(transparent)]
    Document(#[from] admit::DocumentError),
    /// A listener.
    #[error("{key} = {address}: {source}")]
    Listen {
        /// The option.
        key: &'static str,
        /// Its value.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] accept::tls::Error),
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

/// Makes a stop shorter.
pub struct Hurry(watch::Sender<bool>);

impl Hurry {
    /// Open requests are cut off now. What was acknowledged is as safe as ever.
    pub fn now(&self) {
        self.0.send_replace(true);
    }
}

/// A running gateway.
pub struct Gateway {
    ingest_address: Option<SocketAddr>,
    admin_address: SocketAddr,
    drain: Duration,
    stop: watch::Sender<bool>,
    hurry: watch::Sender<bool>,
    gone: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
    admin: Option<JoinHandle<()>>,
    clusters: Vec<delivery::Served>,
    files: Option<Arc<files::Drainer>>,
    journal: Journal,
    reloader: Reloader,
}

impl Gateway {
    /// Starts every floor, for good: there is nothing to reload from. `render` gives the metrics
    /// page its text.
    pub fn start(settings: Settings, render: Option<PrometheusHandle>) -> Result<Self, Error> {
        Self::start_from(settings, None, render)
    }

    /// Starts every floor with what was read from `source`, which is read again on reloads.
    #[expect(clippy::too_many_lines, reason = "the list of all that is started, top to bottom")]
    pub fn start_from(
        mut settings: Settings,
        source: Option<Source>,
        render: Option<PrometheusHandle>,
    ) -> Result<Self, Error> {
        settings.check()?;
        handles::reserve(&settings);
        let written = settings.clone();
        let certificates = accept::tls::Certificates::load(&settings.tls)?;
        fit::to_clusters(&mut settings)?;
        let (node, books) = ground(&settings)?;
        let counters = Counters::new(settings.limits.addresses_max);
        let policy = Arc::new(ArcSwap::from_pointee(policy(&settings, &counters)?));
        let (stop, stopping) = watch::channel(false);
        let (gone, is_gone) = watch::channel(false);
        let (budget, signal, cost) = memory::plan(&settings);

        let delivery = delivery::Delivery::start(&settings, &books, &budget, cost)?;
        let watching = Watching::new(&settings, &budget, &delivery, &signal);
        let standing = Arc::new(ArcSwap::from_pointee(Standing::first(written, &settings)));
        let edge = edge(
            &policy,
            &counters,
            Door::new(&budget, &signal),
            Ingest {
                books: Arc::clone(&books),
                dedupe: delivery.dedupe,
                deliver: delivery.policy,
                node,
                cost,
                aside: Aside::start()?,
                signal: Arc::clone(&signal),
                document_version: versions(&policy),
                instance: admit::rates::instances(&policy, &counters),
                stopping: stopping.clone(),
            },
        );
        let guarding = (Arc::clone(&policy), Arc::clone(&counters));
        let drain = Duration::from_millis(settings.drain_ms);
        let (hurry, hurried) = watch::channel(false);
        let connections = Arc::default();
        let life = accept::Life { stopping, drain, hurry: hurried, connections, budget };
        let listeners = listeners(&settings)?;
        let ingest_address = listeners.iter().flatten().find_map(accept::Listener::tcp);
        let admin = admin_listener(settings.admin.listen)?;
        let reloader = Reloader::start(reload::Parts {
            source,
            books: Arc::clone(&books),
            policy: Arc::clone(&policy),
            counters: Arc::clone(&counters),
            certificates: certificates.clone(),
            clusters: delivery.clusters.clone(),
            standing: Arc::clone(&standing),
        })?;
        let status = Status {
            render,
            life: life.clone(),
            journal: delivery.journal.clone(),
            clusters: delivery.clusters.clone(),
            files: delivery.files.clone(),
            signal,
            books,
            policy,
            counters,
            standing,
            orders: reloader.orders(),
            certificates: certificates.clone(),
        };
        let front = front(&settings, certificates.clone(), life);
        Ok(Self {
            ingest_address,
            admin_address: admin.local_addr()?,
            drain,
            workers: workers(listeners, &edge, &front)?,
            admin: Some(thread("admin", operate(admin, status, watching, guarding, is_gone))?),
            stop,
            hurry,
            gone,
            clusters: delivery.clusters,
            files: delivery.files,
            journal: delivery.journal,
            reloader,
        })
    }

    /// Where batches come in: the first TCP listener. Without one it is 0.0.0.0:0.
    pub fn ingest_address(&self) -> SocketAddr {
        self.ingest_address.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Where operators look.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Reads the configuration again; the log, `/admin/state` and the metrics say what came of it.
    pub fn reload(&self, cause: &'static str) {
        self.reloader.order(cause);
    }

    /// Makes a stop shorter, whoever is just waiting for it.
    pub fn hurry(&self) -> Hurry {
        Hurry(self.hurry.clone())
    }

    /// Stops: no new connections, open requests finish, Kafka is flushed, the rest is journalled,
    /// synced, and everything is closed.
    pub fn stop(mut self) {
        let until = Instant::now() + self.drain;
        self.stop.send_replace(true);
        // Before the clusters go: it knows them, too.
        self.reloader.stop();
        for worker in self.workers.drain(..) {
            join(worker);
        }
        for cluster in &self.clusters {
            cluster.flush(until, || *self.hurry.borrow());
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

/// Who this node is, and the rules that it begins with.
fn ground(settings: &Settings) -> Result<(Uuid, Arc<Rulebooks>), Error> {
    let data = |source| Error::Data { dir: settings.data_dir.display().to_string(), source };
    let node = texts::node_id(&settings.data_dir).map_err(data)?;
    let book = settings.rulebook().map_err(settings::Error::from)?;
    Ok((node, Arc::new(Rulebooks::open(settings.data_dir.join("rules"), book)?)))
}

fn admin_listener(address: SocketAddr) -> Result<TcpListener, Error> {
    let refused = |source| not_listening("admin.listen", &address, source);
    Ok(accept::bind(address, 1).map_err(refused)?.remove(0))
}

/// The version of an app's SDK document, whatever it is at the moment.
fn versions(policy: &Arc<ArcSwap<Policy>>) -> Box<dyn Fn(&str) -> u64 + Send + Sync> {
    let policy = Arc::clone(policy);
    Box::new(move |app| policy.load().documents.version(app))
}

fn edge(
    policy: &Arc<ArcSwap<Policy>>,
    counters: &Arc<Counters>,
    door: Door,
    ingest: Ingest,
) -> Arc<Edge> {
    Arc::new(Edge {
        policy: Arc::clone(policy),
        counters: Arc::clone(counters),
        door,
        ingest: Arc::new(ingest),
        tasks: admit::Tasks::default(),
    })
}

/// What the edge obeys under these settings.
fn policy(settings: &Settings, counters: &Counters) -> Result<Policy, Error> {
    let documents = Documents::open(settings.documents(), &settings.announced(), clock::now_ms())?;
    let policy = Policy::compile(&settings.terms(), documents, counters);
    Ok(policy.map_err(settings::Error::from)?)
}

/// What the watch over the pressure needs.
struct Watching {
    inputs: Box<dyn Fn() -> pressure::Inputs + Send>,
    settings: crate::model::pressure::Settings,
    signal: Arc<Signal>,
}

impl Watching {
    fn new(
        settings: &Settings,
        budget: &Arc<Budget>,
        delivery: &delivery::Delivery,
        signal: &Arc<Signal>,
    ) -> Self {
        Self {
            inputs: Box::new(memory::inputs(settings, budget, delivery)),
            settings: settings.pressure.clone(),
            signal: Arc::clone(signal),
        }
    }
}

/// The operators' pages, and beside them the watch over the pressure and the guard.
async fn operate(
    admin: TcpListener,
    status: Status,
    watching: Watching,
    guarding: (Arc<ArcSwap<Policy>>, Arc<Counters>),
    gone: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let Watching { inputs, settings, signal } = watching;
    let is_gone = gone.clone();
    tokio::spawn(supervise("pressure", move || {
        pressure::run(inputs(), settings.clone(), Arc::clone(&signal), is_gone.clone())
    }));
    let ((policy, counters), is_gone) = (guarding, gone.clone());
    tokio::spawn(supervise("guard", move || {
        admit::guard::run(Arc::clone(&policy), Arc::clone(&counters), is_gone.clone())
    }));
    admin::serve(admin, Arc::new(status), gone).await
}

/// Between the end of a watch that panicked and the next one.
const WATCH_AGAIN: Duration = Duration::from_secs(1);

/// Keeps a watch alive: without that over the pressure the level would stay as it is for ever, and
/// a level that does not rise is how memory runs out; without the guard nobody would be judged.
async fn supervise<W>(watch: &'static str, begin: impl Fn() -> W)
where
    W: Future<Output = ()> + Send + 'static,
{
    let restarts = metrics::counter!(names::WATCH_RESTARTS, "watch" => watch);
    restarts.increment(0);
    while let Err(error) = tokio::spawn(begin()).await {
        restarts.increment(1);
        tracing::error!(watch, %error, "a watch ended badly; it begins again");
        tokio::time::sleep(WATCH_AGAIN).await;
    }
}

fn not_listening(key: &'static str, address: &impl ToString, source: std::io::Error) -> Error {
    Error::Listen { key, address: address.to_string(), source }
}

/// The listeners of every worker.
fn listeners(settings: &Settings) -> Result<Vec<Vec<accept::Listener>>, Error> {
    let (count, mode) = (settings.workers(), settings.http.socket_mode.0);
    let mut workers: Vec<_> = (0..count).map(|_| Vec::new()).collect();
    for wanted in settings.wanted() {
        let opened = accept::open(&wanted, count, mode)
            .map_err(|source| not_listening("listen", &wanted.address, source))?;
        for (of_worker, more) in workers.iter_mut().zip(opened) {
            of_worker.extend(more);
        }
        let (address, tls, proxy) = (wanted.address, wanted.tls, wanted.proxy);
        tracing::info!(%address, tls, proxy, "listening");
    }
    Ok(workers)
}

fn front(
    settings: &Settings,
    certificates: Option<Arc<Certificates>>,
    life: accept::Life,
) -> Arc<accept::Front> {
    let trusted = accept::Networks::new(&settings.trusted_proxies);
    let handshake = Duration::from_millis(settings.tls.handshake_ms);
    let tls = certificates.map(|certificates| (certificates, handshake));
    accept::Front::new(settings.http.clone(), settings.connections(), trusted, tls, life)
}

fn workers(
    listeners: Vec<Vec<accept::Listener>>,
    edge: &Arc<Edge>,
    front: &Arc<accept::Front>,
) -> Result<Vec<JoinHandle<()>>, Error> {
    let mut workers = Vec::with_capacity(listeners.len());
    for (at, listeners) in listeners.into_iter().enumerate() {
        let tasks = edge.tasks.clone();
        let (edge, front) = (Arc::clone(edge), Arc::clone(front));
        let answer = move |request, peer| {
            let edge = Arc::clone(&edge);
            async move { edge.answer(request, peer).await }
        };
        let serve = async move {
            accept::serve(listeners, Arc::clone(&front), answer).await?;
            tokio::select! {
                () = tasks.idle() => {}
                () = front.patience() => tracing::warn!("batches were cut off"),
            }
            Ok(())
        };
        workers.push(thread(&format!("worker-{at}"), serve)?);
    }
    Ok(workers)
}

/// Blocking threads per worker, for dead letters.
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
