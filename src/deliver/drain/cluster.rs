//! Drains a log into a Kafka cluster, the main journal or a park log: the thread and its switches.
//!
//! In: a line and where to. Out: a running drainer, which starts again after errors that only an
//! operator can mend, and says that it is stuck meanwhile. [`super::work`] does the work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;

use super::work::Work;
use super::{Error, Line};
use crate::deliver::breaker::Breaker;
use crate::deliver::health::Health;
use crate::deliver::park::Parks;
use crate::deliver::sinks::Cluster;
use crate::journal::Cursor;
use crate::model::Owed;
use crate::model::parcel::Refine;

/// How long the drainer waits after an error that only an operator can mend.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// What the drainer needs.
pub struct Parts {
    /// From where to where.
    pub line: Line,
    /// The target.
    pub cluster: Arc<dyn Cluster>,
    /// What is known of it.
    pub health: Arc<Health>,
    /// The breaker of a park log's one topic.
    pub topic: Option<Arc<Breaker>>,
    /// The topic that is asked for before a probe.
    pub probe_topic: String,
    /// Where records of parked topics go; a park log has none.
    pub parks: Option<Arc<Parks>>,
    /// Rebuilds batches from frames.
    pub refine: Arc<Refine>,
    /// What settle frames said at recovery: what is left of a frame.
    pub settled: BTreeMap<u64, Owed>,
    /// A batch is late after this.
    pub divert: Duration,
    /// For records that nobody takes.
    pub dead_dir: std::path::PathBuf,
}

/// A running drainer.
pub struct Drainer {
    stop: Sender<()>,
    flags: Arc<Flags>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the drainer is told, and what it tells.
#[derive(Default)]
pub(super) struct Flags {
    stopping: AtomicBool,
    pub(super) paused: AtomicBool,
    pub(super) stuck: AtomicBool,
}

impl Drainer {
    /// Starts the thread at the cursor.
    pub fn start(parts: Parts, cursor: Cursor) -> Result<Self, Error> {
        let (stop, stopped) = bounded(1);
        let flags = Arc::new(Flags::default());
        let next = cursor.load().unwrap_or(parts.line.born_seq);
        parts.line.journal.set_owed_from(parts.line.sink, next);
        let mut work = Work::new(parts, cursor, next, Arc::clone(&flags));
        let seen = Arc::clone(&flags);
        let thread =
            std::thread::Builder::new().name("drain-kafka".to_owned()).spawn(move || {
                while let Err(error) = work.run(&stopped, &seen.stopping) {
                    seen.stuck.store(true, Ordering::Release);
                    let line = work.name();
                    tracing::error!(%error, line, "a kafka drainer is stuck; trying again");
                    stopped.recv_timeout(RESTART_AFTER).unwrap_or_default();
                }
                work.save_cursor();
            })?;
        Ok(Self { stop, flags, thread: Mutex::new(Some(thread)) })
    }

    /// Hands over nothing more; reports are still taken. For the flush before a stop.
    pub fn pause(&self) {
        self.flags.paused.store(true, Ordering::Release);
    }

    /// Whether it cannot read what it is to send.
    pub fn is_stuck(&self) -> bool {
        self.flags.stuck.load(Ordering::Acquire)
    }
}

impl Drainer {
    /// Ends the thread; it saves its cursor first.
    pub fn stop(&self) {
        self.flags.stopping.store(true, Ordering::Release);
        self.stop.try_send(()).unwrap_or_default();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("a kafka drainer panicked");
        }
    }
}

impl Drop for Drainer {
    fn drop(&mut self) {
        self.stop();
    }
}
