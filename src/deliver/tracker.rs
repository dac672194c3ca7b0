//! Follows one batch through a broker client: which records are still out, which came back bad.
//!
//! In: one report per record, from the client's polling thread. Out: a wake-up when all are in, and
//! at any time the set of records that are not confirmed. Must never count a record twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::model::{Owed, Parcel};

/// What a delivery report says of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The cluster has it.
    Delivered,
    /// Not this time; the same record may pass later.
    Retry(&'static str),
    /// Neither its topic nor the dead letters will ever take it.
    Undeliverable(&'static str),
}

/// The reports of one batch.
#[derive(Debug)]
pub struct Tracker {
    parcel: Arc<Parcel>,
    started: Instant,
    remaining: AtomicU32,
    /// When the latest record was delivered, by the client's coarse clock; 0 for never.
    progress_ms: AtomicU64,
    released: AtomicBool,
    state: Mutex<State>,
    done: Notify,
    wake: Option<Sender<()>>,
}

#[derive(Debug, Default)]
struct State {
    open: Owed,
    retry: Owed,
    undeliverable: Vec<(u32, &'static str)>,
    cause: Option<&'static str>,
}

impl Tracker {
    /// Expects a report for every record of `owed`; `wake` is poked when the last one is in.
    pub fn new(parcel: Arc<Parcel>, owed: Owed, wake: Option<Sender<()>>) -> Self {
        Self {
            parcel,
            started: Instant::now(),
            remaining: AtomicU32::new(owed.len()),
            progress_ms: AtomicU64::new(0),
            released: AtomicBool::new(false),
            state: Mutex::new(State { open: owed, ..State::default() }),
            done: Notify::new(),
            wake,
        }
    }

    /// The batch that it follows.
    pub fn parcel(&self) -> &Arc<Parcel> {
        &self.parcel
    }

    /// Takes one report at a time of the client's coarse clock; `true` when it was the last.
    pub fn report(&self, bit: u32, fate: Fate, now_ms: u64) -> bool {
        {
            let mut state = self.state.lock();
            if !state.open.contains(bit) {
                return false;
            }
            state.open.remove(bit);
            match fate {
                Fate::Delivered => self.progress_ms.store(now_ms, Ordering::Relaxed),
                Fate::Retry(cause) => {
                    state.retry.insert(bit);
                    state.cause = Some(cause);
                }
                Fate::Undeliverable(reason) => state.undeliverable.push((bit, reason)),
            }
        }
        let last = self.remaining.fetch_sub(1, Ordering::AcqRel) == 1;
        if last {
            self.wake();
        }
        last
    }

    /// Whether every report is in.
    pub fn is_done(&self) -> bool {
        self.remaining.load(Ordering::Acquire) == 0
    }

    /// Whether a record of this set is still out.
    pub fn is_out(&self, mask: &Owed) -> bool {
        !self.is_done() && self.state.lock().open.intersects(mask)
    }

    /// Waits until every report is in, or nobody should wait any longer.
    pub async fn wait(&self) {
        loop {
            let told = self.done.notified();
            if self.is_done() || self.released.load(Ordering::Acquire) {
                return;
            }
            told.await;
        }
    }

    /// Waits until every report is in, however long: the client gives every record back in the end.
    pub async fn finished(&self) {
        loop {
            let told = self.done.notified();
            if self.is_done() {
                return;
            }
            told.await;
        }
    }

    /// Whether anything of it has arrived.
    pub fn has_progress(&self) -> bool {
        self.progress_ms.load(Ordering::Relaxed) > 0
    }

    /// What is out although others of the same batch arrived that long ago; `None` when nothing.
    pub fn lagging(&self, now_ms: u64, isolate_ms: u64) -> Option<Owed> {
        let progress_ms = self.progress_ms.load(Ordering::Relaxed);
        let lags = progress_ms > 0 && now_ms.saturating_sub(progress_ms) >= isolate_ms;
        (lags && !self.is_done()).then(|| self.state.lock().open.clone())
    }

    /// Ends the wait: what is still out is known to be stuck.
    pub fn release(&self) {
        self.released.store(true, Ordering::Release);
        self.wake();
    }

    /// Records that are not confirmed: still out, to be sent again, or undeliverable and not taken.
    pub fn left(&self) -> Owed {
        let state = self.state.lock();
        let stuck = state.undeliverable.iter().map(|(bit, _)| *bit);
        state.open.iter().chain(state.retry.iter()).chain(stuck).collect()
    }

    /// Takes those records of a set that nobody will ever take, with the reason for each.
    pub fn take_undeliverable(&self, mask: &Owed) -> Vec<(u32, &'static str)> {
        let mut state = self.state.lock();
        let (taken, kept) = state.undeliverable.drain(..).partition(|(bit, _)| mask.contains(*bit));
        state.undeliverable = kept;
        taken
    }

    /// Why the latest record has to be sent again.
    pub fn cause(&self) -> Option<&'static str> {
        self.state.lock().cause
    }

    /// How long it has been out.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    fn wake(&self) {
        self.done.notify_waiters();
        if let Some(wake) = &self.wake {
            // A full channel means that a wake-up is already on its way.
            wake.try_send(()).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::owed::RAW;

    fn tracker(bits: &[u32]) -> Tracker {
        Tracker::new(Arc::new(Parcel::empty()), bits.iter().copied().collect(), None)
    }

    fn set(bits: &[u32]) -> Owed {
        bits.iter().copied().collect()
    }

    #[test]
    fn is_done_when_the_last_report_is_in() {
        let tracker = tracker(&[RAW, 1, 2]);
        assert!(!tracker.report(1, Fate::Delivered, 1));
        assert!(!tracker.report(1, Fate::Delivered, 1), "a record reports once");
        assert!(!tracker.report(RAW, Fate::Retry("timeout"), 2));
        assert!(!tracker.is_done() && tracker.is_out(&set(&[1, 2])) && !tracker.is_out(&set(&[1])));
        assert_eq!(tracker.left(), set(&[RAW, 2]));
        assert!(tracker.report(2, Fate::Undeliverable("too large"), 3));
        assert!(tracker.is_done() && !tracker.is_out(&set(&[2])));
        assert_eq!(tracker.left(), set(&[RAW, 2]));
        assert!(tracker.take_undeliverable(&set(&[1])).is_empty());
        assert_eq!(tracker.take_undeliverable(&set(&[1, 2])), [(2, "too large")]);
        assert_eq!(tracker.left(), set(&[RAW]));
        assert_eq!(tracker.cause(), Some("timeout"));
    }

    #[test]
    fn what_is_out_lags_only_behind_something_that_arrived() {
        let tracker = tracker(&[RAW, 1, 2]);
        assert_eq!(tracker.lagging(10_000, 500), None, "nothing arrived: that is the cluster");
        tracker.report(1, Fate::Delivered, 10_000);
        assert_eq!(tracker.lagging(10_499, 500), None);
        assert_eq!(tracker.lagging(10_500, 500), Some(set(&[RAW, 2])));
        tracker.report(RAW, Fate::Delivered, 10_500);
        assert_eq!(tracker.lagging(10_900, 500), None);
        tracker.report(2, Fate::Delivered, 10_900);
        assert_eq!(tracker.lagging(99_000, 500), None, "nothing is out");
    }
}
