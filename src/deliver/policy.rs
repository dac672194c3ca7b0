//! Decides who has to have a batch before the client hears 200: Kafka, the journal, or both in
//! turn.
//!
//! In: a parcel. Out: a [`Receipt`]. The journal is asked whenever Kafka is not there, not in time
//! or still behind; what is inside the client at that moment is journalled as pending, not sent
//! twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::sinks::{Cluster, dead};
use super::tracker::Tracker;
use crate::journal::{Draft, Journal};
use crate::model::{Owed, Parcel, Refusal};
use crate::telemetry::metrics as names;

/// When a batch is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// After Kafka's delivery reports; the journal takes over when they do not come in time.
    Kafka,
    /// After the journal's fsync; Kafka follows behind.
    Disk,
}

/// Where a batch is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// Every record has its delivery report.
    Kafka,
    /// The frame with this number is synced.
    Journal(u64),
}

/// The delivery policy.
pub struct Deliver {
    journal: Journal,
    kafka: Option<Direct>,
}

/// The direct path to a cluster.
pub struct Direct {
    /// The cluster.
    pub cluster: Arc<dyn Cluster>,
    /// What the drainer and the live path tell each other.
    pub backlog: Arc<Backlog>,
    /// When to acknowledge.
    pub ack: Ack,
    /// How long to wait for Kafka.
    pub divert: Duration,
    /// For records that nobody takes.
    pub dead_dir: std::path::PathBuf,
}

/// What the journal still owes to the cluster, shared by the live path and the drainer.
#[derive(Debug, Default)]
pub struct Backlog {
    /// The last frame that owes something, or did.
    last_owed: AtomicU64,
    /// The next frame that the drainer will hand to the client.
    next_handed: AtomicU64,
    /// Whether something that was handed over is late or came back.
    troubled: AtomicBool,
    /// Frames that were journalled while their records were inside the client.
    pending: Mutex<FxHashMap<u64, Arc<Tracker>>>,
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

    /// The drainer has handed over everything below `seq`.
    pub fn handed(&self, seq: u64) {
        self.next_handed.store(seq, Ordering::Release);
    }

    /// The drainer says whether the cluster is late.
    pub fn set_troubled(&self, troubled: bool) {
        self.troubled.store(troubled, Ordering::Release);
    }

    /// The drainer takes over the tracker of a pending frame.
    pub fn claim(&self, seq: u64) -> Option<Arc<Tracker>> {
        self.pending.lock().remove(&seq)
    }
}

impl Deliver {
    /// A policy over a journal and, unless the embedded store is the sink, a cluster.
    pub fn new(journal: Journal, kafka: Option<Direct>) -> Self {
        Self { journal, kafka }
    }

    /// Makes a batch durable. `stopping` cuts the wait for Kafka short.
    pub async fn send(
        &self,
        parcel: Arc<Parcel>,
        stopping: impl Future<Output = ()>,
    ) -> Result<Receipt, Refusal> {
        let Some(kafka) = &self.kafka else {
            return self.append(&parcel, Vec::new(), false).await;
        };
        if kafka.ack == Ack::Disk {
            return self.append_owed(kafka, &parcel, parcel.owed(), false).await;
        }
        if kafka.backlog.is_behind() {
            divert_cause("behind");
            return self.append_owed(kafka, &parcel, parcel.owed(), false).await;
        }
        let tracker = kafka.cluster.produce(&parcel, parcel.owed(), None);
        let in_time = tokio::select! {
            () = tracker.wait() => true,
            () = tokio::time::sleep(kafka.divert) => false,
            () = async { stopping.await; tokio::time::sleep(STOP_PATIENCE).await } => false,
        };
        if in_time {
            for (bit, reason) in tracker.take_undeliverable() {
                bury(kafka, &parcel, bit, reason).await?;
            }
        }
        let left = tracker.left();
        if left.is_empty() && tracker.is_done() {
            return Ok(Receipt::Kafka);
        }
        divert_cause(tracker.cause().unwrap_or("late"));
        self.divert(kafka, &parcel, &tracker, left).await
    }

    /// Journals what Kafka has not confirmed; the drainer takes over the reports still to come.
    async fn divert(
        &self,
        kafka: &Direct,
        parcel: &Arc<Parcel>,
        tracker: &Arc<Tracker>,
        left: Owed,
    ) -> Result<Receipt, Refusal> {
        let receipt = self.append_owed(kafka, parcel, left, true).await?;
        if let Receipt::Journal(seq) = receipt {
            kafka.backlog.pending.lock().insert(seq, Arc::clone(tracker));
        }
        Ok(receipt)
    }

    async fn append_owed(
        &self,
        kafka: &Direct,
        parcel: &Arc<Parcel>,
        owed: Owed,
        pending: bool,
    ) -> Result<Receipt, Refusal> {
        let receipt = self.append(parcel, vec![owed], pending).await?;
        if let Receipt::Journal(seq) = receipt {
            kafka.backlog.owes(seq);
        }
        Ok(receipt)
    }

    async fn append(
        &self,
        parcel: &Arc<Parcel>,
        owed: Vec<Owed>,
        pending: bool,
    ) -> Result<Receipt, Refusal> {
        let draft = Draft::Record { pending, owed: &owed, record: &parcel.record };
        // A part of a batch, or one that is inside the client, is drained from its frame: only
        // there it says what it owes.
        let is_whole = owed.first().is_none_or(|owed| *owed == parcel.owed());
        let rides = is_whole && !pending && !parcel.charge.is_tight();
        let passenger = rides.then(|| Arc::clone(parcel));
        match self.journal.append(draft, passenger).await {
            Ok(seq) => Ok(Receipt::Journal(seq)),
            Err(error) => {
                // Logged at debug: under a full disk this is every request, and the metric says it.
                tracing::debug!(%error, "journal refused a batch");
                Err(Refusal::NotDurable)
            }
        }
    }
}

/// What Kafka still gets when the gateway stops, before the journal takes over.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

async fn bury(
    kafka: &Direct,
    parcel: &Arc<Parcel>,
    bit: u32,
    reason: &'static str,
) -> Result<(), Refusal> {
    let (dir, parcel) = (kafka.dead_dir.clone(), Arc::clone(parcel));
    let kept = tokio::task::spawn_blocking(move || {
        let (_, bytes) = super::sinks::original(&parcel, bit);
        dead::keep(&dir, &parcel.record.facts, bit, reason, &bytes)
    });
    match kept.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::error!(%error, reason, "a dead letter could not be kept");
            Err(Refusal::NotDurable)
        }
        Err(error) => {
            tracing::error!(%error, "the dead letter task ended badly");
            Err(Refusal::NotDurable)
        }
    }
}

fn divert_cause(cause: &'static str) {
    metrics::counter!(names::DIVERTED, "cause" => cause).increment(1);
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
