//! What the handle, the writer and readers share.
//!
//! `synced` is the truth for everybody who reads: it is stored after the table covers it, and
//! before anybody is woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::model::Parcel;

use super::frame::Seed;
use super::meters::Meters;
use super::pace::{Pace, WAIT_MAX, WAIT_MIN};
use super::queue::Queue;
use super::room::Room;
use super::table::Table;
use super::{Settings, Usage};

/// A durable record, told to every follower.
#[derive(Debug, Clone)]
pub struct Followed {
    /// Its seq.
    pub seq: u64,
    /// No record lies from here up to `seq`: a follower whose next seq is at least this has missed
    /// nothing; any other reads the log from its own position.
    pub from: u64,
    /// What came with the append.
    pub passenger: Option<Arc<Parcel>>,
}

pub(super) struct Shared {
    /// What it is called in metrics and logs.
    pub(super) name: String,
    pub(super) room: Arc<Room>,
    pub(super) settings: Settings,
    pub(super) journal: Uuid,
    pub(super) seed: Seed,
    pub(super) queue: Queue,
    pub(super) table: Mutex<Table>,
    pub(super) followers: Mutex<Vec<Sender<Followed>>>,
    pub(super) meters: Meters,
    pub(super) down: AtomicBool,
    synced: AtomicU64,
    owed_bytes: AtomicU64,
    /// What the last record that found no room under `bytes_max` takes; 0 once one has found some.
    unfit_bytes: AtomicU64,
    /// How fast segments come to owe nothing, and how fast they are deleted.
    settled: Mutex<Pace>,
    trimmed: Mutex<Pace>,
    /// Since when records are refused.
    refusing_since: Mutex<Option<Instant>>,
}

impl Shared {
    pub(super) fn new(
        name: &str,
        room: Arc<Room>,
        settings: Settings,
        journal: Uuid,
        table: Table,
        next_seq: u64,
    ) -> Self {
        let now = Instant::now();
        let shared = Self {
            name: name.to_owned(),
            room,
            journal,
            seed: Seed::of(journal),
            queue: Queue::new(&settings),
            settings,
            table: Mutex::new(table),
            followers: Mutex::default(),
            meters: Meters::new(name),
            down: AtomicBool::new(false),
            synced: AtomicU64::new(next_seq.saturating_sub(1)),
            owed_bytes: AtomicU64::new(0),
            unfit_bytes: AtomicU64::new(0),
            settled: Mutex::new(Pace::new(now)),
            trimmed: Mutex::new(Pace::new(now)),
            refusing_since: Mutex::default(),
        };
        shared.with_table(|_| ());
        shared
    }

    /// The last seq that is durable.
    pub(super) fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Moves it on; the table has to cover it already.
    pub(super) fn set_synced(&self, seq: u64) {
        self.synced.store(seq, Ordering::Release);
    }

    /// What the limit of the disk leaves, of which the queue will take more.
    pub(super) fn left(&self, bytes_max: u64) -> u64 {
        bytes_max.saturating_sub(self.owed_bytes.load(Ordering::Acquire))
    }

    /// Notes that a sink wants nothing below `seq` any more.
    pub(super) fn set_owed_from(&self, sink: &str, seq: u64, now: Instant) {
        let settled = self.with_table(|table| {
            let before = table.owed_bytes();
            table.set_owed_from(sink, seq);
            before.saturating_sub(table.owed_bytes())
        });
        self.settled.lock().add(settled, now);
    }

    /// Notes that segments were deleted.
    pub(super) fn trimmed(&self, bytes: u64, now: Instant) {
        self.meters.trimmed_bytes.increment(bytes);
        self.trimmed.lock().add(bytes, now);
    }

    /// Notes a record that found no room under `bytes_max`, or with 0 that one did.
    pub(super) fn set_unfit(&self, bytes: u64) {
        // Looked at first: the line is shared by everybody who appends.
        if self.unfit_bytes.load(Ordering::Relaxed) != bytes {
            self.unfit_bytes.store(bytes, Ordering::Relaxed);
        }
    }

    /// How long until records pass, as far as can be told; `None` when they do.
    pub(super) fn retry_after(&self, now: Instant) -> Option<Duration> {
        let down = self.down.load(Ordering::Acquire);
        let lacking = Some(self.room.lacking_bytes()).filter(|bytes| *bytes > 0);
        let excess = self.excess();
        let since = {
            let mut since = self.refusing_since.lock();
            if !down && lacking.is_none() && excess.is_none() {
                *since = None;
                return None;
            }
            *since.get_or_insert(now)
        };
        // Nobody knows what heals a disk.
        let healed = down.then(|| now.saturating_duration_since(since).clamp(WAIT_MIN, WAIT_MAX));
        let freed = lacking.map(|bytes| self.trimmed.lock().forecast(bytes, since, now));
        let settled = excess.map(|bytes| self.settled.lock().forecast(bytes, since, now));
        [healed, freed, settled].into_iter().flatten().max()
    }

    /// What has to be settled until the last record that found no room finds some.
    fn excess(&self) -> Option<u64> {
        let unfit = Some(self.unfit_bytes.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)?;
        let wanted = unfit.saturating_add(self.queue.bytes());
        let excess = wanted.saturating_sub(self.left(self.settings.bytes_max));
        // Room is made by whole segments.
        let oldest = self.table.lock().oldest_owed_bytes();
        (excess > 0).then(|| excess.max(oldest))
    }

    /// Changes the table, and brings everything up to date that is counted from it.
    pub(super) fn with_table<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let mut table = self.table.lock();
        let changed = change(&mut table);
        let usage = table.usage(self.synced() + 1);
        self.owed_bytes.store(usage.owed_bytes, Ordering::Release);
        drop(table);
        self.meters.show(usage);
        changed
    }

    /// How much there is.
    pub(super) fn usage(&self) -> Usage {
        let table = self.table.lock();
        table.usage(self.synced() + 1)
    }
}
