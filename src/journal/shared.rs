//! What the handle, the writer and readers share.
//!
//! `synced` is the truth for everybody who reads: it is stored after the table covers it, and
//! before anybody is woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::Sender;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::model::Parcel;

use super::disk::Disk;
use super::frame::Seed;
use super::meters::Meters;
use super::queue::Queue;
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
    pub(super) disk: Arc<dyn Disk>,
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
}

impl Shared {
    pub(super) fn new(
        name: &str,
        disk: Arc<dyn Disk>,
        settings: Settings,
        journal: Uuid,
        table: Table,
        next_seq: u64,
    ) -> Self {
        let shared = Self {
            name: name.to_owned(),
            disk,
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
    pub(super) fn room(&self, bytes_max: u64) -> u64 {
        bytes_max.saturating_sub(self.owed_bytes.load(Ordering::Acquire))
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
