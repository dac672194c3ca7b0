//! Follows one batch through a broker client: which records are still out, which came back bad.
//!
//! In: one report per record, from the client's polling thread. Out: a wake-up when all are in, and
//! at any time the set of records that are not confirmed. Must never count a record twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
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
            state: Mutex::new(State { open: owed, ..State::default() }),
            done: Notify::new(),
            wake,
        }
    }

    /// The batch that it follows.
    pub fn parcel(&self) -> &Arc<Parcel> {
        &self.parcel
    }

    /// Takes one report; `true` when it was the last.
    pub fn report(&self, bit: u32, fate: Fate) -> bool {
        {
            let mut state = self.state.lock();
            if !state.open.contains(bit) {
                return false;
            }
            state.open.remove(bit);
            match fate {
                Fate::Delivered => {}
                Fate::Retry(cause) => {
                    state.retry.insert(bit);
                    state.cause = Some(cause);
                }
                Fate::Undeliverable(reason) => state.undeliverable.push((bit, reason)),
            }
        }
        let last = self.remaining.fetch_sub(1, Ordering::AcqRel) == 1;
        if last {
            self.done.notify_one();
            if let Some(wake) = &self.wake {
                // A full channel means that a wake-up is already on its way.
                wake.try_send(()).unwrap_or_default();
            }
        }
        last
    }

    /// Whether every report is in.
    pub fn is_done(&self) -> bool {
        self.remaining.load(Ordering::Acquire) == 0
    }

    /// Waits until every report is in. For one waiter.
    pub async fn wait(&self) {
        while !self.is_done() {
            self.done.notified().await;
        }
    }

    /// Records that are not confirmed: still out, to be sent again, or undeliverable and not taken.
    pub fn left(&self) -> Owed {
        let state = self.state.lock();
        let stuck = state.undeliverable.iter().map(|(bit, _)| *bit);
        state.open.iter().chain(state.retry.iter()).chain(stuck).collect()
    }

    /// Takes the records that nobody will ever take, with the reason for each.
    pub fn take_undeliverable(&self) -> Vec<(u32, &'static str)> {
        std::mem::take(&mut self.state.lock().undeliverable)
    }

    /// Why the latest record has to be sent again.
    pub fn cause(&self) -> Option<&'static str> {
        self.state.lock().cause
    }

    /// How long it has been out.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::owed::RAW;

    fn tracker(bits: &[u32]) -> Tracker {
        Tracker::new(Arc::new(Parcel::empty()), bits.iter().copied().collect(), None)
    }

    #[test]
    fn is_done_when_the_last_report_is_in() {
        let tracker = tracker(&[RAW, 1, 2]);
        assert!(!tracker.report(1, Fate::Delivered));
        assert!(!tracker.report(1, Fate::Delivered), "a record reports once");
        assert!(!tracker.report(RAW, Fate::Retry("timeout")));
        assert!(!tracker.is_done());
        assert_eq!(tracker.left().iter().collect::<Vec<_>>(), [RAW, 2]);
        assert!(tracker.report(2, Fate::Undeliverable("too large")));
        assert!(tracker.is_done());
        assert_eq!(tracker.left().iter().collect::<Vec<_>>(), [RAW, 2]);
        assert_eq!(tracker.take_undeliverable(), [(2, "too large")]);
        assert_eq!(tracker.left().iter().collect::<Vec<_>>(), [RAW]);
        assert_eq!(tracker.cause(), Some("timeout"));
    }
}
