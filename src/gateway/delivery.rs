//! Everything behind the page, built in the order in which its parts need each other: the journal,
//! the clusters with their health, park logs and drainers, or the embedded store.
//!
//! In: settings and the rulebooks. Out: a policy that is ready to take batches, and what has to be
//! stopped in the end. Must never start over a journal that owes something to a sink that is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Error;
use crate::clock;
use crate::deliver::drain::{Line, cluster, files, settled_of};
use crate::deliver::park::{Ground, Parked};
use crate::deliver::policy::Target;
use crate::deliver::sinks::Cluster;
use crate::deliver::sinks::kafka::{self, Kafka};
use crate::deliver::{Backlog, Dedupe, Deliver, Health, Mode, Parks};
use crate::ingest::{self, Cost};
use crate::journal::{self, Entry, Journal, Recovered};
use crate::model::parcel::Refine;
use crate::model::{Budget, Owed};
use crate::rulebook::Rulebooks;
use crate::settings::Settings;

/// The names of the clusters: of their cursors, their park logs and in metrics.
pub(super) const CLUSTERS: [&str; 2] = ["kafka", "kafka-second"];

/// How long a flush goes on before it looks whether it should hurry.
const FLUSH_STEP: Duration = Duration::from_millis(50);

/// What takes batches, and what carries them on.
pub(super) struct Delivery {
    pub(super) policy: Deliver,
    pub(super) dedupe: Arc<Dedupe>,
    pub(super) journal: Journal,
    pub(super) clusters: Vec<Served>,
    pub(super) files: Option<Arc<files::Drainer>>,
}

/// One cluster that is being served.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) name: &'static str,
    pub(super) kafka: Arc<Kafka>,
    pub(super) health: Arc<Health>,
    pub(super) parks: Arc<Parks>,
    pub(super) backlog: Arc<Backlog>,
    pub(super) drainer: Arc<cluster::Drainer>,
}

impl Delivery {
    pub(super) fn start(
        settings: &Settings,
        books: &Arc<Rulebooks>,
        budget: &Arc<Budget>,
        cost: Cost,
    ) -> Result<Self, Error> {
        let dir = settings.data_dir.join("journal");
        let failed = |source| Error::Journal { dir: dir.display().to_string(), source };
        let (journal, recovered) =
            journal::open("main", &dir, &settings.journal).map_err(failed)?;
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
        let wanted: Vec<kafka::Settings> = match settings.kafka.brokers.as_str() {
            "" => Vec::new(),
            _ => std::iter::once(settings.kafka.clone()).chain(settings.kafka.second()).collect(),
        };
        for (place, name) in CLUSTERS.into_iter().enumerate().skip(wanted.len()) {
            refuse_what_is_owed(&journal, &recovered, place, name).map_err(failed)??;
        }
        let mut policy = Deliver {
            journal: journal.clone(),
            targets: Vec::new(),
            mode: settings.kafka.second.mode,
            ack: settings.kafka.ack,
            divert: Duration::from_millis(settings.kafka.divert_ms),
            failback: Duration::from_millis(settings.kafka.second.failback_ms),
            dead_dir: settings.data_dir.join("dead"),
        };
        let mut clusters = Vec::new();
        if wanted.is_empty() {
            let files = Some(Arc::new(files::Drainer::start(store)?));
            return Ok(Self { policy, dedupe, journal, clusters, files });
        }
        if had_store {
            // The gateway ran embedded before: what it took then ends in the files.
            files::catch_up(store)?;
        }
        journal.release("store");
        for (place, cluster) in wanted.iter().enumerate() {
            let site = Site { settings, cluster, place, recovered: &recovered, refine: &refine };
            let (target, served) = site.build(&journal, books)?;
            policy.targets.push(target);
            clusters.push(served);
        }
        Ok(Self { policy, dedupe, journal, clusters, files: None })
    }
}

/// What one cluster is built from.
struct Site<'a> {
    settings: &'a Settings,
    cluster: &'a kafka::Settings,
    place: usize,
    recovered: &'a Recovered,
    refine: &'a Arc<Refine>,
}

impl Site<'_> {
    fn build(&self, journal: &Journal, books: &Arc<Rulebooks>) -> Result<(Target, Served), Error> {
        let Self { settings, place, .. } = *self;
        let dir = settings.data_dir.join("journal").display().to_string();
        let failed = |source| Error::Journal { dir: dir.clone(), source };
        let name = CLUSTERS.get(place).copied().unwrap_or(CLUSTERS[0]);
        let born_seq = self.recovered.next_seq;
        let mut cursor = journal.cursor(name).map_err(failed)?;
        if cursor.load().is_none() {
            // Before anything is accepted: a lost start would look like a new sink at the tail.
            cursor.save(born_seq).map_err(failed)?;
        }
        let mode = settings.kafka.second.mode;
        let health = Arc::new(Health::new(name, &settings.kafka.breaker));
        let kafka = Arc::new({
            let book = books.current();
            let rules = (format!("{:016x}", book.hash), book.text.clone());
            let marked = place > 0 && mode == Mode::Failover;
            let bytes_max = settings.record_bytes_max();
            Kafka::start(self.cluster, bytes_max, rules, Arc::clone(&health), marked)?
        });
        let cluster: Arc<dyn Cluster> = Arc::clone(&kafka) as Arc<dyn Cluster>;
        let backlog = Arc::new(Backlog::default());
        backlog.owes(born_seq.saturating_sub(1));
        let divert = Duration::from_millis(settings.kafka.divert_ms);
        let dead_dir = settings.data_dir.join("dead");
        let raw_topic = format!("{}.raw", settings.kafka.topic_prefix);
        let parks = Parks::open(Ground {
            dir: settings.data_dir.join("park").join(name),
            journal: settings.journal.clone(),
            cluster: Arc::clone(&cluster),
            health: Arc::clone(&health),
            refine: Arc::clone(self.refine),
            raw_topic: raw_topic.clone(),
            divert,
            dead_dir: dead_dir.clone(),
        })?;
        let line = Line {
            journal: journal.clone(),
            name: name.to_owned(),
            sink: name,
            place,
            backlog: Arc::clone(&backlog),
            born_seq,
            rides: place == 0 || mode == Mode::Mirror,
        };
        let work = cluster::Parts {
            line,
            cluster: Arc::clone(&cluster),
            health: Arc::clone(&health),
            topic: None,
            probe_topic: raw_topic,
            parks: Some(Arc::clone(&parks)),
            refine: Arc::clone(self.refine),
            settled: settled_of(self.recovered, u8::try_from(place).unwrap_or(u8::MAX)),
            divert,
            dead_dir,
        };
        let drainer = Arc::new(cluster::Drainer::start(work, cursor)?);
        let (known, waiting) = (Arc::clone(&health), Arc::clone(&backlog));
        let target = Target { cluster, health: known, backlog: waiting, parks: Arc::clone(&parks) };
        Ok((target, Served { name, kafka, health, parks, backlog, drainer }))
    }
}

impl Served {
    /// Hands over nothing more, and waits for what is inside the client.
    pub(super) fn flush(&self, until: Instant, is_hurried: impl Fn() -> bool) {
        self.drainer.pause();
        self.parks.pause();
        if !self.health.cluster().is_closed() {
            // Nothing arrives there: what is inside is owed by the journal already.
            return;
        }
        while self.kafka.depth() > 0 && !is_hurried() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.kafka.flush(left.min(FLUSH_STEP));
        }
    }

    /// How it is, for `/readyz`.
    pub(super) fn status(&self) -> serde_json::Value {
        let parked: Vec<Parked> = self.parks.parked();
        serde_json::json!({
            "name": self.name,
            "state": if self.health.cluster().is_closed() { "ok" } else { "open" },
            "trouble": self.kafka.trouble(),
            "parked": parked,
            "stuck": self.drainer.is_stuck(),
        })
    }
}

/// A sink that is not configured any more must not be owed anything.
fn refuse_what_is_owed(
    journal: &Journal,
    recovered: &Recovered,
    place: usize,
    name: &'static str,
) -> Result<Result<(), Error>, journal::Error> {
    let Some(from) = journal.cursor(name)?.load() else { return Ok(Ok(())) };
    let settled = settled_of(recovered, u8::try_from(place).unwrap_or(u8::MAX));
    let mut reader = journal.reader(from);
    while let Some(frame) = reader.next_frame()? {
        let Entry::Record { owed, .. } = &frame.entry else { continue };
        let left = settled.get(&frame.seq).or_else(|| owed.get(place));
        if left.is_some_and(|left: &Owed| !left.is_empty()) {
            let key = if place == 0 { "kafka.brokers" } else { "kafka.second.brokers" };
            return Ok(Err(Error::Owed { key, seq: frame.seq }));
        }
    }
    journal.release(name);
    Ok(Ok(()))
}
