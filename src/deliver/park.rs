//! Park logs: what is owed to a topic that is missing, forbidden or stuck waits in a journal of its
//! own, so that it holds up nothing else.
//!
//! In: the records of a batch that belong to such a topic. Out: the same records to the topic, by a
//! drainer of their own, once its breaker lets them through. A park log takes a quarter of
//! `journal.bytes_max`; beyond it new events of its lane are refused. Must never drop one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use serde::Serialize;

use super::backlog::{Backlog, Pending};
use super::breaker::Breaker;
use super::drain::cluster::{Drainer, Parts};
use super::drain::{self, Line};
use super::health::Health;
use super::sinks::Cluster;
use super::tracker::Tracker;
use crate::journal::{self, Appended, Draft, Journal};
use crate::model::parcel::Refine;
use crate::model::{Owed, Parcel, owed};
use crate::telemetry::metrics as names;

/// Park logs of one cluster. When all are in use, further topics stay in the main journal.
const PARKS_MAX: usize = 64;
/// Of `journal.bytes_max`, for one topic.
const SHARE: u64 = 4;
/// Segments of a park log; small, as there may be many logs.
const SEGMENT_BYTES: u64 = 8 << 20;

/// What park logs are made of.
pub struct Ground {
    /// `data/park/<cluster>`.
    pub dir: PathBuf,
    /// The main journal's settings.
    pub journal: journal::Settings,
    /// Where records go.
    pub cluster: Arc<dyn Cluster>,
    /// What is known of it.
    pub health: Arc<Health>,
    /// Rebuilds batches from frames.
    pub refine: Arc<Refine>,
    /// The topic of tier 1.
    pub raw_topic: String,
    /// A batch is late after this.
    pub divert: std::time::Duration,
    /// For records that nobody takes.
    pub dead_dir: PathBuf,
}

/// The park logs of one cluster.
pub struct Parks {
    ground: Ground,
    open: RwLock<BTreeMap<Arc<str>, Arc<Park>>>,
    opening: Mutex<()>,
}

struct Park {
    journal: Journal,
    backlog: Arc<Backlog>,
    breaker: Arc<Breaker>,
    drainer: Mutex<Option<Drainer>>,
}

/// A topic that is not served directly, for operators.
#[derive(Debug, Clone, Serialize)]
pub struct Parked {
    /// Its name.
    pub topic: String,
    /// Why.
    pub cause: &'static str,
    /// What waits for it.
    pub bytes: u64,
}

/// Why a park log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its journal.
    #[error("park log of {topic}: {source}")]
    Journal {
        /// Whose.
        topic: String,
        /// What is wrong.
        source: journal::Error,
    },
    /// Its drainer.
    #[error("park log of {topic}: {source}")]
    Drain {
        /// Whose.
        topic: String,
        /// What is wrong.
        source: drain::Error,
    },
    /// The folder.
    #[error("{0}")]
    Folder(#[from] std::io::Error),
}

impl Error {
    /// Whether the log has no room, so that its lane has to refuse.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Journal { source: journal::Error::Full { .. }, .. })
    }
}

/// The records of a batch that belong to one parked topic.
pub type Share = (Arc<str>, Owed);

impl Parks {
    /// Opens what an earlier life of the process left behind.
    pub fn open(ground: Ground) -> Result<Arc<Self>, Error> {
        let parks = Self { ground, open: RwLock::default(), opening: Mutex::default() };
        if parks.ground.dir.is_dir() {
            for entry in std::fs::read_dir(&parks.ground.dir)? {
                if let Ok(topic) = entry?.file_name().into_string() {
                    parks.find_or_open(&topic)?;
                }
            }
        }
        Ok(Arc::new(parks))
    }

    /// Parts what is owed into what may go now and what has to be parked.
    pub fn part(&self, parcel: &Parcel, owed: Owed) -> (Owed, Vec<Share>) {
        // Nearly always: no topic ever had trouble.
        if !self.ground.health.has_topics() {
            return (owed, Vec::new());
        }
        let all = owed.clone();
        let (mut rest, mut shares): (_, Vec<Share>) = (owed, Vec::new());
        let mut park = |topic: &str, mask: Owed| {
            if mask.is_empty() || !self.is_parked(topic) {
                return;
            }
            rest = rest.minus(&mask);
            match shares.iter_mut().find(|(known, _)| **known == *topic) {
                Some((_, known)) => known.extend(&mask),
                None => shares.push((Arc::from(topic), mask)),
            }
        };
        if all.contains(owed::RAW) {
            park(&self.ground.raw_topic, [owed::RAW].into_iter().collect());
        }
        for (lane, at) in parcel.routed.lanes.iter().zip(0u16..) {
            let rows = parcel.routed.rows.iter().filter(|row| row.lane.0 == at);
            let bits = rows.map(|row| owed::event(row.index)).filter(|bit| all.contains(*bit));
            park(&lane.topic, bits.collect());
        }
        (rest, shares)
    }

    /// Puts records into their topic's log; durable when it returns. For threads that may wait.
    pub fn put(&self, share: &Share, parcel: &Parcel) -> Result<(), Error> {
        let park = self.find_or_open(&share.0)?;
        let seq = park.append(share, parcel, false).wait();
        park.booked(share, seq, None)
    }

    /// The same on the live path. With a tracker the records are inside the client, and are not
    /// sent again before it says so.
    pub async fn keep(
        self: &Arc<Self>,
        share: &Share,
        parcel: &Parcel,
        tracker: Option<Arc<Tracker>>,
    ) -> Result<(), Error> {
        let park = if let Some(park) = self.find(&share.0) {
            park
        } else {
            // Making a log takes several syncs.
            let (parks, topic) = (Arc::clone(self), Arc::clone(&share.0));
            let opened = tokio::task::spawn_blocking(move || parks.find_or_open(&topic));
            opened.await.map_err(std::io::Error::other)??
        };
        let seq = park.append(share, parcel, tracker.is_some()).await;
        park.booked(share, seq, tracker)
    }

    /// Topics that are not served directly.
    pub fn parked(&self) -> Vec<Parked> {
        let open = self.open.read();
        let mut found = Vec::new();
        for (topic, park) in open.iter() {
            let bytes = park.journal.usage().owed_bytes;
            #[expect(clippy::cast_precision_loss, reason = "a gauge of bytes")]
            metrics::gauge!(names::PARKED_BYTES, "topic" => topic.to_string()).set(bytes as f64);
            if !park.breaker.is_closed() || park.backlog.is_behind() {
                let (topic, cause) = (topic.to_string(), park.breaker.cause());
                found.push(Parked { topic, cause, bytes });
            }
        }
        found
    }

    /// Stops all drainers and closes the logs.
    pub fn close(&self) {
        for park in self.open.read().values() {
            drop(park.drainer.lock().take());
            park.journal.close();
        }
    }

    /// Hands over nothing more, before a stop.
    pub fn pause(&self) {
        for park in self.open.read().values() {
            if let Some(drainer) = &*park.drainer.lock() {
                drainer.pause();
            }
        }
    }

    fn is_parked(&self, topic: &str) -> bool {
        let open = self.open.read();
        if let Some(park) = open.get(topic) {
            return !park.breaker.is_closed() || park.backlog.is_behind();
        }
        let breaker = self.ground.health.topic(topic);
        open.len() < PARKS_MAX && breaker.is_some_and(|breaker| !breaker.is_closed())
    }

    fn find(&self, topic: &str) -> Option<Arc<Park>> {
        self.open.read().get(topic).cloned()
    }

    fn find_or_open(&self, topic: &str) -> Result<Arc<Park>, Error> {
        if let Some(park) = self.find(topic) {
            return Ok(park);
        }
        let _one_at_a_time = self.opening.lock();
        if let Some(park) = self.find(topic) {
            return Ok(park);
        }
        let park = Arc::new(self.make(topic)?);
        self.open.write().insert(Arc::from(topic), Arc::clone(&park));
        Ok(park)
    }

    fn make(&self, topic: &str) -> Result<Park, Error> {
        let ground = &self.ground;
        let failed = |source| Error::Journal { topic: topic.to_owned(), source };
        let settings = journal::Settings {
            segment_bytes: ground.journal.segment_bytes.min(SEGMENT_BYTES),
            bytes_max: (ground.journal.bytes_max / SHARE).max(SEGMENT_BYTES),
            // The main journal's is for everybody.
            reserve_bytes: 0,
            ..ground.journal.clone()
        };
        let name = format!("park-{topic}");
        let (journal, recovered) =
            journal::open(&name, &ground.dir.join(topic), &settings).map_err(failed)?;
        let mut cursor = journal.cursor(LINE).map_err(failed)?;
        if cursor.load().is_none() {
            cursor.save(recovered.next_seq).map_err(failed)?;
        }
        let backlog = Arc::new(Backlog::default());
        backlog.owes(recovered.next_seq.saturating_sub(1));
        let breaker = ground.health.make(topic);
        let breaker = breaker.unwrap_or_else(|| {
            Arc::new(Breaker::new(topic.to_owned(), &super::breaker::Settings::default()))
        });
        let line = Line {
            journal: journal.clone(),
            name,
            sink: LINE,
            place: 0,
            backlog: Arc::clone(&backlog),
            born_seq: recovered.next_seq,
            rides: false,
        };
        let parts = Parts {
            line,
            cluster: Arc::clone(&ground.cluster),
            health: Arc::clone(&ground.health),
            topic: Some(Arc::clone(&breaker)),
            probe_topic: topic.to_owned(),
            parks: None,
            refine: Arc::clone(&ground.refine),
            settled: drain::settled_of(&recovered, 0),
            divert: ground.divert,
            dead_dir: ground.dead_dir.clone(),
        };
        let drainer = Drainer::start(parts, cursor)
            .map_err(|source| Error::Drain { topic: topic.to_owned(), source })?;
        for name in [names::PARKED, names::LANE_PARKED] {
            metrics::counter!(name, "topic" => topic.to_owned()).increment(0);
        }
        tracing::warn!(topic, cause = breaker.cause(), "topic is parked");
        Ok(Park { journal, backlog, breaker, drainer: Mutex::new(Some(drainer)) })
    }
}

impl Park {
    fn append(&self, (_, mask): &Share, parcel: &Parcel, pending: bool) -> Appended {
        let owed = [mask.clone()];
        self.journal.append(Draft::Record { pending, owed: &owed, record: &parcel.record }, None)
    }

    fn booked(
        &self,
        (topic, mask): &Share,
        seq: Result<u64, journal::Error>,
        tracker: Option<Arc<Tracker>>,
    ) -> Result<(), Error> {
        let seq = seq.map_err(|source| Error::Journal { topic: topic.to_string(), source })?;
        if let Some(tracker) = tracker {
            self.backlog.pends(seq, Pending { tracker, mask: mask.clone() });
        }
        self.backlog.owes(seq);
        metrics::counter!(names::PARKED, "topic" => topic.to_string())
            .increment(u64::from(mask.len()));
        Ok(())
    }
}

/// The name of a park log's only cursor.
const LINE: &str = "kafka";
