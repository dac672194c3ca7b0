//! Drains the journal into the embedded store: one thread, batches in journal order.
//!
//! Lines become visible every `flush_ms`; a checkpoint moves the cursor. A store that cannot be
//! written is opened again from its last checkpoint, and the journal fed to it once more.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::{Error, Feed};
use crate::clock;
use crate::deliver::sinks::file::{Opened, Settings, Store};
use crate::journal::{Cursor, Journal};
use crate::model::Parcel;
use crate::model::parcel::Refine;
use crate::telemetry::metrics as names;

/// What the drainer needs.
#[derive(Clone)]
pub struct Parts {
    /// The log, which is tier 1 here.
    pub journal: Journal,
    /// Rebuilds batches from frames.
    pub refine: Arc<Refine>,
    /// `data/events`.
    pub dir: PathBuf,
    /// `[store]`.
    pub settings: Settings,
    /// How long drained segments stay.
    pub retain_ms: u64,
    /// How many bytes of drained segments stay.
    pub retain_bytes: u64,
}

/// A running drainer.
pub struct Drainer {
    stop: Sender<()>,
    stopping: Arc<AtomicBool>,
    healthy: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drainer {
    /// Opens the store, which recovers it, and starts the thread behind its checkpoint.
    pub fn start(parts: Parts) -> Result<Self, Error> {
        let (stop, stopped) = bounded(1);
        let stopping = Arc::new(AtomicBool::new(false));
        let healthy = Arc::new(AtomicBool::new(true));
        let (flag, health) = (Arc::clone(&stopping), Arc::clone(&healthy));
        let first = Work::open(parts.clone(), &stopping, &healthy)?;
        let thread =
            std::thread::Builder::new().name("drain-files".to_owned()).spawn(move || {
                let mut next = Some(first);
                // The old store goes before the new one comes: it holds the lock.
                while let Some(mut work) = next.take() {
                    let Err(error) = work.run(&stopped, &flag) else { return };
                    drop(work);
                    health.store(false, Ordering::Release);
                    tracing::error!(%error, "the store cannot be written; trying again");
                    next = reopen(&parts, &stopped, &flag, &health);
                    health.store(next.is_some(), Ordering::Release);
                }
            })?;
        Ok(Self { stop, stopping, healthy, thread: Some(thread) })
    }

    /// Whether the store takes what it is given.
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Acquire)
    }
}

impl Drop for Drainer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        self.stop.try_send(()).unwrap_or_default();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's drainer panicked");
        }
    }
}

/// Writes everything that the journal holds for the store, once; for a change to Kafka.
pub fn catch_up(parts: Parts) -> Result<(), Error> {
    let mut work = Work::open(parts, &Arc::default(), &Arc::default())?;
    while work.step()? {}
    work.checkpoint()
}

/// How long batches collect before they are written on; well below `flush_ms`.
const COLLECT: Duration = Duration::from_millis(4);
/// Between attempts to open a store again.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

fn reopen(
    parts: &Parts,
    stopped: &Receiver<()>,
    stopping: &Arc<AtomicBool>,
    healthy: &Arc<AtomicBool>,
) -> Option<Work> {
    while !stopping.load(Ordering::Acquire) {
        stopped.recv_timeout(REOPEN_EVERY).unwrap_or_default();
        match Work::open(parts.clone(), stopping, healthy) {
            Ok(work) => return Some(work),
            Err(error) => tracing::error!(%error, "the store cannot be opened; trying again"),
        }
    }
    None
}

fn report(opened: &Opened) {
    let Opened { removed_files, truncated_files, .. } = opened;
    if removed_files + truncated_files > 0 {
        tracing::info!(removed_files, truncated_files, "store brought back to its checkpoint");
    }
    for path in opened.missing_files.iter().chain(&opened.short_files) {
        tracing::warn!(path = %path.display(), "somebody removed or shortened this file");
    }
}

struct Work {
    parts: Parts,
    store: Store,
    cursor: Cursor,
    feed: Feed,
    stopping: Arc<AtomicBool>,
    healthy: Arc<AtomicBool>,
}

impl Work {
    fn open(
        parts: Parts,
        stopping: &Arc<AtomicBool>,
        healthy: &Arc<AtomicBool>,
    ) -> Result<Self, Error> {
        let (mut store, opened) = Store::open(&parts.dir, &parts.settings)?;
        let mut next = opened.next_seq.unwrap_or(1);
        let synced = parts.journal.synced();
        if next > synced + 1 {
            tracing::warn!(next, synced, "the store is ahead of the journal, which was replaced");
            next = 1;
            store.restart_at(next)?;
        }
        report(&opened);
        let cursor = parts.journal.cursor("store")?;
        parts.journal.set_owed_from("store", next);
        let (journal, refine) = (parts.journal.clone(), Arc::clone(&parts.refine));
        // The store is owed nothing by name: its place is its checkpoint.
        let feed = Feed::new(journal, next, u64::MAX, refine, Box::new(|_| Vec::new()));
        let (stopping, healthy) = (Arc::clone(stopping), Arc::clone(healthy));
        Ok(Self { parts, store, cursor, feed, stopping, healthy })
    }

    fn run(&mut self, stopped: &Receiver<()>, stopping: &AtomicBool) -> Result<(), Error> {
        let flush_every = Duration::from_millis(self.parts.settings.flush_ms);
        while !stopping.load(Ordering::Acquire) {
            let fed = self.step()?;
            if self.store.flush_due(clock::now_ms()) {
                self.flush()?;
            }
            if self.store.checkpoint_due(clock::now_ms()) {
                self.checkpoint()?;
            }
            if !fed {
                self.wait(stopped, flush_every);
            }
        }
        while self.step()? {}
        self.checkpoint()
    }

    /// Writes a few batches; `false` when there is none.
    fn step(&mut self) -> Result<bool, Error> {
        for _ in 0..256 {
            let Some(fed) = self.feed.advance()? else { return Ok(false) };
            match fed.parcel {
                // What is owed to a cluster belongs to it; the store takes what was meant for it.
                Some(parcel) if fed.owed.is_empty() => self.write(fed.seq, &parcel)?,
                _ => self.store.pass(fed.seq + 1),
            }
        }
        Ok(true)
    }

    /// A full disk is waited for: the batch is offered again until it is taken.
    fn write(&mut self, seq: u64, parcel: &Parcel) -> Result<(), Error> {
        loop {
            match self.store.write(seq, parcel) {
                Err(error) if !error.is_broken() && !self.stopping.load(Ordering::Acquire) => {
                    tracing::error!(%error, "the store does not take a batch; trying again");
                    self.healthy.store(false, Ordering::Release);
                    std::thread::sleep(REOPEN_EVERY);
                }
                taken => {
                    self.healthy.store(true, Ordering::Release);
                    return Ok(taken?);
                }
            }
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.store.flush()?;
        let lag =
            self.parts.journal.synced().saturating_add(1).saturating_sub(self.feed.next_seq());
        #[expect(clippy::cast_precision_loss, reason = "a gauge of frames")]
        metrics::gauge!(names::DRAIN_LAG, "line" => "store").set(lag as f64);
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), Error> {
        self.store.pass(self.feed.next_seq());
        let next = self.store.checkpoint()?;
        // So that the next start reads the journal from here on only.
        self.cursor.save(next)?;
        self.parts.journal.set_owed_from("store", next);
        let freed = self.parts.journal.trim(
            next,
            self.parts.retain_ms,
            self.parts.retain_bytes,
            clock::now_ms(),
        )?;
        tracing::debug!(next, freed, "checkpoint");
        Ok(())
    }

    fn wait(&mut self, stopped: &Receiver<()>, flush_every: Duration) {
        // Batches collect for a moment: a wake-up for each would cost more than the batch itself.
        let ended = stopped.recv_timeout(COLLECT).is_ok();
        if ended || !self.feed.follower().is_empty() {
            return;
        }
        let followed = select! {
            recv(stopped) -> _ => None,
            recv(self.feed.follower()) -> followed => followed.ok(),
            default(flush_every) => None,
        };
        if let Some(followed) = followed {
            self.feed.put_back(followed);
        }
    }
}
