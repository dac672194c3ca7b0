//! Drains the journal into a Kafka cluster.
//!
//! A window of batches is inside the client at a time. What comes back bad leaves memory and is
//! read again from the journal later, so one sick topic does not stop the others. The cursor
//! follows the oldest frame that is not settled; behind it segments may go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::{Error, Fed, Feed};
use crate::deliver::policy::Backlog;
use crate::deliver::sinks::{self, Cluster, dead};
use crate::deliver::tracker::Tracker;
use crate::journal::{Cursor, Draft, Entry, Journal};
use crate::model::parcel::Refine;
use crate::model::{Owed, Parcel};
use crate::telemetry::metrics as names;

/// Batches inside the client because of the drainer.
const WINDOW_BATCHES_MAX: usize = 1_024;
/// Bytes of them.
const WINDOW_BYTES_MAX: usize = 32 << 20;
/// Batches that wait to be sent again; beyond it the drainer stands still until some are settled.
const RETRIES_MAX: usize = 65_536;
/// How long a batch that came back waits before it is sent again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long the drainer waits after an error that only an operator can mend.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// How often the cursor is written and segments are freed.
const CURSOR_EVERY: Duration = Duration::from_secs(1);

/// What the drainer needs.
pub struct Parts {
    /// The log.
    pub journal: Journal,
    /// The target.
    pub cluster: Arc<dyn Cluster>,
    /// Shared with the live path.
    pub backlog: Arc<Backlog>,
    /// Rebuilds batches from frames.
    pub refine: Arc<Refine>,
    /// What settle frames said at recovery: what is left of a frame.
    pub settled: BTreeMap<u64, Owed>,
    /// The first frame of this life of the process.
    pub born_seq: u64,
    /// A batch is late after this.
    pub divert: Duration,
    /// For records that nobody takes.
    pub dead_dir: std::path::PathBuf,
}

/// A running drainer.
pub struct Drainer {
    stop: Sender<()>,
    stopping: Arc<AtomicBool>,
    paused: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drainer {
    /// Starts the thread at the cursor.
    pub fn start(parts: Parts, cursor: Cursor) -> Result<Self, Error> {
        let (stop, stopped) = bounded(1);
        let stopping = Arc::new(AtomicBool::new(false));
        let paused = Arc::new(AtomicBool::new(false));
        let (flag, pause) = (Arc::clone(&stopping), Arc::clone(&paused));
        let next = cursor.load().unwrap_or(parts.born_seq);
        parts.journal.set_owed_from("kafka", next);
        let thread =
            std::thread::Builder::new().name("drain-kafka".to_owned()).spawn(move || {
                let mut work = Work::new(parts, cursor, next, pause);
                while let Err(error) = work.run(&stopped, &flag) {
                    tracing::error!(%error, "the kafka drainer is stuck; trying again");
                    stopped.recv_timeout(RESTART_AFTER).unwrap_or_default();
                }
                work.save_cursor();
            })?;
        Ok(Self { stop, stopping, paused, thread: Some(thread) })
    }

    /// Hands over nothing more; reports are still taken. For the flush before a stop.
    pub fn pause(&self) {
        self.paused.store(true, Ordering::Release);
    }
}

impl Drop for Drainer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        self.stop.try_send(()).unwrap_or_default();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the kafka drainer panicked");
        }
    }
}

/// One frame that is not settled.
enum Slot {
    /// Its records are inside the client.
    Out { tracker: Arc<Tracker>, bytes: usize, was_pending: bool },
    /// The live path has journalled it and is about to hand over its tracker.
    Awaited,
}

/// Records that came back: they are read again and sent after `at`.
struct Retry {
    owed: Owed,
    at: Instant,
}

struct Work {
    parts: Parts,
    cursor: Cursor,
    feed: Feed,
    slots: BTreeMap<u64, Slot>,
    retries: BTreeMap<u64, Retry>,
    paused: Arc<AtomicBool>,
    out: usize,
    out_bytes: usize,
    wake: Sender<()>,
    woken: Receiver<()>,
    saved: (u64, Instant),
}

impl Work {
    fn new(parts: Parts, cursor: Cursor, next: u64, paused: Arc<AtomicBool>) -> Self {
        let (wake, woken) = bounded(1);
        let owed_of = |parcel: &Parcel| vec![parcel.owed()];
        let (journal, refine) = (parts.journal.clone(), Arc::clone(&parts.refine));
        let feed = Feed::new(journal, next, parts.born_seq, refine, owed_of);
        parts.backlog.handed(next);
        let saved = (next, Instant::now());
        Self {
            parts,
            cursor,
            feed,
            slots: BTreeMap::new(),
            retries: BTreeMap::new(),
            paused,
            out: 0,
            out_bytes: 0,
            wake,
            woken,
            saved,
        }
    }

    fn run(&mut self, stopped: &Receiver<()>, stopping: &AtomicBool) -> Result<(), Error> {
        while !stopping.load(Ordering::Acquire) {
            self.reap();
            self.resend()?;
            let fed = self.fill()?;
            self.tell();
            if self.saved.1.elapsed() >= CURSOR_EVERY {
                self.save_cursor();
            }
            if !fed {
                self.wait(stopped);
            }
        }
        self.reap();
        Ok(())
    }

    /// Hands over what fits; `true` when it may be worth trying again at once.
    fn fill(&mut self) -> Result<bool, Error> {
        for _ in 0..64 {
            if self.is_full() {
                return Ok(false);
            }
            let Some(fed) = self.feed.advance()? else {
                self.parts.backlog.handed(self.feed.next_seq());
                return Ok(false);
            };
            self.hand(fed);
            self.parts.backlog.handed(self.feed.next_seq());
        }
        Ok(true)
    }

    fn is_full(&self) -> bool {
        self.out >= WINDOW_BATCHES_MAX
            || self.out_bytes >= WINDOW_BYTES_MAX
            || self.retries.len() >= RETRIES_MAX
            || self.paused.load(Ordering::Acquire)
    }

    fn hand(&mut self, fed: Fed) {
        let Fed { seq, parcel, owed } = fed;
        let settled = self.parts.settled.remove(&seq);
        let Some(owed) = settled.or_else(|| owed.into_iter().next()) else { return };
        match parcel {
            _ if owed.is_empty() => {}
            Some(parcel) => self.produce(seq, &parcel, owed, false),
            None => {
                // Its records are inside the client already: reports are waited for, not resent.
                self.slots.insert(seq, Slot::Awaited);
                self.adopt(seq);
            }
        }
    }

    fn produce(&mut self, seq: u64, parcel: &Arc<Parcel>, owed: Owed, was_pending: bool) {
        let tracker = self.parts.cluster.produce(parcel, owed, Some(self.wake.clone()));
        self.put_out(seq, tracker, was_pending);
    }

    fn put_out(&mut self, seq: u64, tracker: Arc<Tracker>, was_pending: bool) {
        let parcel = tracker.parcel();
        let bytes = parcel.record.body.len() + parcel.routed.bytes();
        self.out += 1;
        self.out_bytes += bytes;
        self.slots.insert(seq, Slot::Out { tracker, bytes, was_pending });
    }

    fn adopt(&mut self, seq: u64) {
        if let Some(tracker) = self.parts.backlog.claim(seq) {
            self.put_out(seq, tracker, true);
        }
    }

    /// Settles what has all its reports.
    fn reap(&mut self) {
        let awaited = |slot: &Slot| matches!(slot, Slot::Awaited);
        let seqs: Vec<u64> =
            self.slots.iter().filter(|(_, slot)| awaited(slot)).map(|(seq, _)| *seq).collect();
        for seq in seqs {
            self.adopt(seq);
        }
        let done = |slot: &Slot| matches!(slot, Slot::Out { tracker, .. } if tracker.is_done());
        let seqs: Vec<u64> =
            self.slots.iter().filter(|(_, slot)| done(slot)).map(|(seq, _)| *seq).collect();
        for seq in seqs {
            if let Some(Slot::Out { tracker, bytes, was_pending }) = self.slots.remove(&seq) {
                self.out -= 1;
                self.out_bytes -= bytes;
                self.settle(seq, &tracker, was_pending);
            }
        }
    }

    fn settle(&mut self, seq: u64, tracker: &Tracker, was_pending: bool) {
        let undeliverable = tracker.take_undeliverable();
        let mut left = tracker.left();
        for (bit, reason) in undeliverable {
            let parcel = tracker.parcel();
            let (_, bytes) = sinks::original(parcel, bit);
            let facts = &parcel.record.facts;
            if let Err(error) = dead::keep(&self.parts.dead_dir, facts, bit, reason, &bytes) {
                tracing::error!(%error, seq, "a dead letter could not be kept; it stays owed");
                left.insert(bit);
            }
        }
        if was_pending {
            // So that a restart does not send again what has arrived meanwhile.
            let draft = Draft::Settle { record: seq, cluster: 0, owed: &left };
            if let Err(error) = self.parts.journal.append_quiet(draft) {
                tracing::debug!(%error, seq, "not noted as settled; a restart sends it again");
            }
        }
        if !left.is_empty() {
            self.retries.insert(seq, Retry { owed: left, at: Instant::now() + RETRY_AFTER });
        }
    }

    /// Sends again what came back, read from the journal.
    fn resend(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        if self.paused.load(Ordering::Acquire) {
            return Ok(());
        }
        let room = WINDOW_BATCHES_MAX.saturating_sub(self.out) / 4;
        let due = self.retries.iter().filter(|(_, retry)| retry.at <= now);
        let seqs: Vec<u64> = due.map(|(seq, _)| *seq).take(room).collect();
        for seq in seqs {
            let frame = self.parts.journal.reader(seq).next_frame()?;
            let record = frame.filter(|frame| frame.seq == seq).map(|frame| frame.entry);
            let parcel = match record {
                Some(Entry::Record { record, .. }) => (self.parts.refine)(record).ok(),
                _ => None,
            };
            let Some(parcel) = parcel else {
                // It stays owed, and the cursor stays before it.
                metrics::counter!(names::UNREADABLE).increment(1);
                tracing::error!(seq, "a frame to be sent again cannot be read; trying again");
                if let Some(retry) = self.retries.get_mut(&seq) {
                    retry.at = now + RESTART_AFTER;
                }
                continue;
            };
            if let Some(retry) = self.retries.remove(&seq) {
                self.produce(seq, &Arc::new(parcel), retry.owed, false);
            }
        }
        Ok(())
    }

    /// Tells the live path whether to queue up behind the journal.
    fn tell(&self) {
        // The oldest one tells: those behind it are younger.
        let late = self.slots.values().find_map(|slot| match slot {
            Slot::Out { tracker, .. } => Some(tracker.age() > self.parts.divert),
            Slot::Awaited => None,
        });
        self.parts.backlog.set_troubled(!self.retries.is_empty() || late == Some(true));
    }

    fn settled_below(&self) -> u64 {
        let next = self.feed.next_seq();
        let first = |seq: Option<&u64>| seq.copied().unwrap_or(next);
        first(self.slots.keys().next()).min(first(self.retries.keys().next()))
    }

    fn save_cursor(&mut self) {
        let next = self.settled_below();
        if next != self.saved.0 {
            if let Err(error) = self.cursor.save(next) {
                tracing::error!(%error, "the drainer's cursor could not be saved");
            }
            self.parts.journal.set_owed_from("kafka", next);
            if let Err(error) = self.parts.journal.trim(next, 0, 0, crate::clock::now_ms()) {
                tracing::error!(%error, "journal segments could not be freed");
            }
        }
        self.saved = (next, Instant::now());
        let lag = self.parts.journal.synced().saturating_add(1).saturating_sub(next);
        #[expect(clippy::cast_precision_loss, reason = "a gauge of frames")]
        metrics::gauge!(names::DRAIN_LAG).set(lag as f64);
    }

    fn wait(&mut self, stopped: &Receiver<()>) {
        // With a full window only reports can help; else fresh batches can as well.
        let fresh = if self.is_full() { &crossbeam_channel::never() } else { self.feed.follower() };
        let idle = self.slots.is_empty() && self.retries.is_empty();
        let patience = if idle { CURSOR_EVERY } else { Duration::from_millis(20) };
        let followed = select! {
            recv(self.woken) -> _ => None,
            recv(stopped) -> _ => None,
            recv(fresh) -> followed => followed.ok(),
            default(patience) => None,
        };
        if let Some(followed) = followed {
            self.feed.put_back(followed);
        }
    }
}
