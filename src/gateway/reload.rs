//! Another configuration while the gateway runs: all of it, or nothing.
//!
//! In: an order (a signal, `POST /admin/reload`, a file that has changed). Out: everything that may
//! change is read, checked and compiled first and put in force afterwards, or one line that says
//! why not. One thread does this, so orders never overlap. Must never leave a mixture behind, nor
//! touch a worker's thread.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tokio::sync::oneshot;

use super::changes::Changes;
use super::lookout::Lookout;
use super::{Error, delivery, fit};
use crate::accept::tls::Certificates;
use crate::admit::{Counters, Policy};
use crate::clock;
use crate::rulebook::Rulebooks;
use crate::settings::{self, Settings};
use crate::telemetry::metrics as names;

/// Where a configuration comes from, to be read again.
pub struct Source {
    /// The file, if there is one.
    pub path: Option<PathBuf>,
    /// Reads file, environment and files with secrets.
    pub read: Box<dyn Fn() -> Result<Settings, settings::Error> + Send + Sync>,
}

impl Source {
    /// The usual one: a file and the environment of this process.
    pub fn file(path: Option<PathBuf>) -> Self {
        let from = path.clone();
        Self { path, read: Box::new(move || Settings::load(from.as_deref())) }
    }
}

/// Why another configuration is not put in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// It cannot be used, whoever starts with it.
    #[error("{0}")]
    Invalid(#[from] Error),
    /// It cannot be used without a restart.
    #[error("these options need a restart: {0}; nothing was changed")]
    Fixed(String),
    /// Kafka's client was started for smaller records.
    #[error(
        "limits: records would have up to {new} bytes, and kafka's client was started for {old}; \
         restart for that"
    )]
    Records {
        /// What it comes to now.
        new: u64,
        /// What it came to at the start.
        old: u64,
    },
    /// Whoever embeds the gateway gave it settings, not a source.
    #[error("there is no configuration to read again")]
    NoSource,
}

/// A configuration in force, and what became of later ones.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    /// What was read.
    pub(super) settings: Settings,
    /// The same, fitted to what the clusters take.
    pub(super) effective: Settings,
    /// Grows by one with each configuration that comes into force; 1 at the start.
    pub(super) version: u64,
    /// When it came into force, in Unix milliseconds.
    pub(super) since_ms: i64,
    /// Why the latest one was refused, and when; none once a good one has come.
    pub(super) rejected: Option<(i64, String)>,
}

impl Standing {
    /// What a start puts in force.
    pub(super) fn first(settings: Settings, effective: &Settings) -> Self {
        let effective = effective.clone();
        Self { settings, effective, version: 1, since_ms: clock::now_ms(), rejected: None }
    }
}

/// What a reload can replace, and what it needs for it.
pub(super) struct Parts {
    pub(super) source: Option<Source>,
    pub(super) books: Arc<Rulebooks>,
    pub(super) policy: Arc<ArcSwap<Policy>>,
    pub(super) counters: Arc<Counters>,
    pub(super) certificates: Option<Arc<Certificates>>,
    pub(super) clusters: Vec<delivery::Served>,
    pub(super) standing: Arc<ArcSwap<Standing>>,
}

/// What an order came to: a status for HTTP and a JSON text.
pub(super) type Outcome = (u16, String);

enum Order {
    Reload(&'static str, Option<oneshot::Sender<Outcome>>),
    Stop,
}

/// Orders that may wait.
const ORDERS_MAX: usize = 16;
/// How often the thread looks up when nothing is watched.
const IDLE: Duration = Duration::from_mins(1);

/// The thread that reloads.
pub(super) struct Reloader {
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

/// Gives orders.
#[derive(Clone)]
pub(super) struct Orders(Sender<Order>);

impl Orders {
    /// Orders a reload and gives what will come of it; `None` when too many wait, or it has ended.
    pub(super) fn reload(&self, cause: &'static str) -> Option<oneshot::Receiver<Outcome>> {
        let (reply, outcome) = oneshot::channel();
        self.0.try_send(Order::Reload(cause, Some(reply))).ok().map(|()| outcome)
    }
}

impl Reloader {
    pub(super) fn start(parts: Parts) -> Result<Self, Error> {
        for result in RESULTS {
            metrics::counter!(names::CONFIG_RELOADS, "result" => result).increment(0);
        }
        parts.show();
        let (orders, queue) = bounded(ORDERS_MAX);
        let thread = std::thread::Builder::new()
            .name("reload".to_owned())
            .spawn(move || parts.serve(&queue))?;
        Ok(Self { orders, thread: Some(thread) })
    }

    pub(super) fn orders(&self) -> Orders {
        Orders(self.orders.clone())
    }

    /// Orders a reload and does not wait for it.
    pub(super) fn order(&self, cause: &'static str) {
        if self.orders.try_send(Order::Reload(cause, None)).is_err() {
            tracing::warn!(cause, "too many reloads wait already");
        }
    }

    /// Ends the thread, and waits for it: it knows the clusters.
    pub(super) fn stop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // Fails only if the thread has ended already.
        let stopped = self.orders.send(Order::Stop);
        if thread.join().is_err() || stopped.is_err() {
            tracing::error!("the reload thread had ended before its time");
        }
    }
}

impl Drop for Reloader {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The results of [`names::CONFIG_RELOADS`].
const RESULTS: [&str; 3] = ["applied", "unchanged", "refused"];

impl Parts {
    fn serve(self, queue: &Receiver<Order>) {
        let standing = self.standing.load();
        let every = Duration::from_millis(standing.settings.watch_ms);
        let mut watch = (!every.is_zero() && self.source.is_some()).then(|| {
            let files = self.files();
            Lookout::new(files)
        });
        drop(standing);
        let mut looked = Instant::now();
        loop {
            let patience = if watch.is_some() { every } else { IDLE };
            match queue.recv_timeout(patience.saturating_sub(looked.elapsed())) {
                Ok(Order::Reload(cause, reply)) => {
                    let outcome = self.reload(cause);
                    if let Some(Err(_)) = reply.map(|reply| reply.send(outcome)) {
                        tracing::debug!(cause, "nobody waits for what became of a reload");
                    }
                }
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    looked = Instant::now();
                    if let Some(watch) = &mut watch
                        && watch.has_settled(self.files())
                    {
                        drop(self.reload("file"));
                    }
                }
            }
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let path = self.source.as_ref().and_then(|source| source.path.clone());
        path.into_iter().chain(self.standing.load().settings.files()).collect()
    }

    /// Reads, checks, compiles, and puts in force; or changes nothing.
    fn reload(&self, cause: &'static str) -> Outcome {
        let before = self.standing.load_full();
        match self.apply(&before) {
            Ok(changes) if changes.is_empty() => {
                if before.rejected.is_some() {
                    self.standing.store(Arc::new(Standing { rejected: None, ..(*before).clone() }));
                }
                self.count("unchanged");
                tracing::info!(cause, "the configuration was read again and says the same");
                (200, self.reply("unchanged", &[]))
            }
            Ok(changes) => {
                self.count("applied");
                let rules = format!("{:016x}", self.books.current().hash);
                let (version, what) = (before.version + 1, changes.join(" "));
                tracing::info!(
                    cause,
                    version,
                    rules,
                    changed = what,
                    "another configuration is in force"
                );
                (200, self.reply("applied", &changes))
            }
            Err(refused) => {
                let error = refused.to_string().replace('\n', " ");
                let rejected = Some((clock::now_ms(), error.clone()));
                self.standing.store(Arc::new(Standing { rejected, ..(*before).clone() }));
                self.count("refused");
                tracing::error!(cause, error, "a configuration is refused; the one before stays");
                let text = serde_json::json!({
                    "error": error, "reason": "config_rejected", "version": before.version,
                });
                (422, format!("{text}\n"))
            }
        }
    }

    fn apply(&self, before: &Standing) -> Result<Vec<String>, Refused> {
        let source = self.source.as_ref().ok_or(Refused::NoSource)?;
        let settings = (source.read)().map_err(Error::from)?;
        let Changes { live, fixed } = Changes::between(&before.settings, &settings);
        if !fixed.is_empty() {
            return Err(Refused::Fixed(fixed.into_iter().collect::<Vec<_>>().join(", ")));
        }
        let mut changes: Vec<String> = live.into_iter().collect();
        let mut effective = settings.clone();
        let reshaped = changes.iter().any(|key| key.starts_with("limits") || key == "routes");
        if reshaped {
            fit::to_clusters(&mut effective).map_err(Error::from)?;
        } else {
            effective.limits = before.effective.limits.clone();
        }
        let (old, new) = (before.effective.record_bytes_max(), effective.record_bytes_max());
        if new > old && !self.clusters.is_empty() {
            return Err(Refused::Records { new, old });
        }
        let book = effective.rulebook().map_err(settings::Error::from).map_err(Error::from)?;
        let policy = super::policy(&effective, &self.counters)?;
        let now = self.policy.load();
        policy.documents.may_follow(&now.documents).map_err(Error::from)?;
        if policy.documents.differ(&now.documents) {
            changes.push("sdk documents".to_owned());
        }
        let shown = match &self.certificates {
            Some(in_force) => {
                let read = in_force.prepare(&effective.tls).map_err(Error::from)?;
                read.map(|read| (in_force, read))
            }
            None => None,
        };
        if shown.is_some() {
            changes.push("certificates".to_owned());
        }
        if changes.is_empty() {
            return Ok(changes);
        }
        // From here on nothing fails but the disk, and that before anything has changed.
        let (hash, text) = (format!("{:016x}", book.hash), book.text.clone());
        self.books.replace(book).map_err(Error::from)?;
        self.policy.store(Arc::new(policy));
        if let Some((in_force, read)) = shown {
            in_force.replace(read);
        }
        for cluster in &self.clusters {
            cluster.kafka.announce(hash.clone(), text.clone());
        }
        self.standing.store(Arc::new(Standing {
            settings,
            effective,
            version: before.version + 1,
            since_ms: clock::now_ms(),
            rejected: None,
        }));
        Ok(changes)
    }

    fn reply(&self, result: &str, changed: &[String]) -> String {
        let version = self.standing.load().version;
        let rules = format!("{:016x}", self.books.current().hash);
        let text = serde_json::json!({
            "result": result, "version": version, "rules": rules, "changed": changed,
        });
        format!("{text}\n")
    }

    fn count(&self, result: &'static str) {
        metrics::counter!(names::CONFIG_RELOADS, "result" => result).increment(1);
        self.show();
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges")]
    fn show(&self) {
        let standing = self.standing.load();
        let rejected = if standing.rejected.is_some() { 1.0 } else { 0.0 };
        metrics::gauge!(names::CONFIG_REJECTED).set(rejected);
        metrics::gauge!(names::CONFIG_VERSION).set(standing.version as f64);
        metrics::gauge!(names::CONFIG_SINCE).set(standing.since_ms as f64 / 1_000.0);
    }
}
