//! What one line of a journal still owes to its cluster, shared by the live path and the drainer.
//!
//! In: frames that were appended, and how far the drainer is. Out: whether new batches have to
//! queue up behind, and the trackers of frames whose records are inside the client already.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::tracker::Tracker;
use crate::model::Owed;

/// See the file's header.
#[derive(Debug, Default)]
pub struct Backlog {
    /// The last frame that owes something, or did.
    last_owed: AtomicU64,
    /// The next frame that the drainer will hand to the client.
    next_handed: AtomicU64,
    /// Whether something that was handed over is late or came back.
    troubled: AtomicBool,
    /// Frames that were journalled while their records were inside the client.
    pending: Mutex<FxHashMap<u64, Pending>>,
}

/// A batch that was journalled while some of its records were inside the client.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Its reports.
    pub tracker: Arc<Tracker>,
    /// The records that its frame owes.
    pub mask: Owed,
}

impl Backlog {
    /// Whether new batches have to queue up behind the journal: it holds something that the client
    /// has not been given, or the client does not get rid of what it has.
    pub fn is_behind(&self) -> bool {
        self.troubled.load(Ordering::Acquire)
            || self.last_owed.load(Ordering::Acquire) >= self.next_handed.load(Ordering::Acquire)
    }

    /// A frame that owes something was appended.
    pub fn owes(&self, seq: u64) {
        self.last_owed.fetch_max(seq, Ordering::AcqRel);
    }

    /// A frame was appended whose records are inside the client; call it before [`Self::owes`].
    pub fn pends(&self, seq: u64, pending: Pending) {
        self.pending.lock().insert(seq, pending);
    }

    /// The drainer has handed over everything below `seq`.
    pub fn handed(&self, seq: u64) {
        self.next_handed.store(seq, Ordering::Release);
    }

    /// The drainer says whether the cluster is late.
    pub fn set_troubled(&self, troubled: bool) {
        self.troubled.store(troubled, Ordering::Release);
    }

    /// The drainer takes over the reports of a pending frame.
    pub fn claim(&self, seq: u64) -> Option<Pending> {
        self.pending.lock().remove(&seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_batches_queue_behind_what_the_client_was_not_given() {
        let backlog = Backlog::default();
        backlog.handed(1);
        assert!(!backlog.is_behind(), "an empty journal owes nothing");
        backlog.owes(7);
        assert!(backlog.is_behind());
        backlog.handed(8);
        assert!(!backlog.is_behind(), "what is inside the client keeps its order there");
        backlog.set_troubled(true);
        assert!(backlog.is_behind());
    }
}
