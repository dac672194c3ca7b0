//! Decides who has to have a batch before the client hears 200: Kafka, the journal, or both in
//! turn.
//!
//! In: a parcel. Out: a [`Receipt`]. The journal is asked whenever Kafka is not there, not in time
//! or still behind; what is inside the client at that moment is journalled as pending, not sent
//! twice; what belongs to a parked topic goes to that topic's own log.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backlog::{Backlog, Pending};
use super::dedupe::Rest;
use super::health::Health;
use super::park::{Parks, Share};
use super::sinks::{Cluster, dead};
use super::tracker::Tracker;
use crate::journal::{Draft, Journal};
use crate::model::{Owed, Parcel, Refusal, owed};
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

/// What a second cluster is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It takes what the first does not take, until the first has been well for a while.
    Failover,
    /// It has to have everything, like the first.
    Mirror,
}

/// How a batch was made durable.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Events that were not taken, because the park log of their lane is full.
    pub refused: Owed,
}

/// A batch that is not durable, or not all of it.
#[derive(Debug)]
pub struct Unsent {
    /// What the client hears.
    pub refusal: Refusal,
    /// What is missing.
    pub rest: Rest,
}

/// One cluster and all that belongs to it.
pub struct Target {
    /// The cluster.
    pub cluster: Arc<dyn Cluster>,
    /// What is known of it.
    pub health: Arc<Health>,
    /// What the drainer and the live path tell each other.
    pub backlog: Arc<Backlog>,
    /// Its parked topics.
    pub parks: Arc<Parks>,
}

/// The delivery policy.
pub struct Deliver {
    /// The one durable log.
    pub journal: Journal,
    /// The clusters, the first one first; none means the embedded store.
    pub targets: Vec<Target>,
    /// What the second one is for.
    pub mode: Mode,
    /// When to acknowledge.
    pub ack: Ack,
    /// How long to wait for Kafka.
    pub divert: Duration,
    /// How long the first cluster has to be well before it is used again.
    pub failback: Duration,
    /// For records that nobody takes.
    pub dead_dir: std::path::PathBuf,
}

/// What Kafka still gets when the gateway stops, before the journal takes over.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

/// Records inside one cluster's client.
struct Flight {
    place: usize,
    tracker: Arc<Tracker>,
    /// Whether they were sent for an earlier attempt of the same batch.
    earlier: bool,
}

/// What has to be written down for one batch.
#[derive(Default)]
struct Writing {
    /// What each cluster is owed and was not given.
    queued: Vec<Owed>,
    /// What is inside the clients, and late.
    pending: Vec<(usize, Pending)>,
    /// What belongs to parked topics, with its reports when it is inside the client.
    shares: Vec<(usize, Share, Option<Arc<Tracker>>)>,
}

impl Target {
    fn is_usable(&self) -> bool {
        self.health.cluster().is_closed() && !self.backlog.is_behind()
    }
}

impl Deliver {
    /// A policy without any cluster: what the journal has is durable.
    pub fn embedded(journal: Journal) -> Self {
        Self {
            journal,
            targets: Vec::new(),
            mode: Mode::Failover,
            ack: Ack::Disk,
            divert: Duration::ZERO,
            failback: Duration::ZERO,
            dead_dir: std::path::PathBuf::new(),
        }
    }

    /// Makes a batch durable: all of it, or the rest that an earlier attempt left.
    /// `stopping` cuts the wait for Kafka short.
    pub async fn send(
        &self,
        parcel: &Arc<Parcel>,
        rest: Option<Rest>,
        stopping: impl Future<Output = ()>,
    ) -> Result<Receipt, Unsent> {
        if self.targets.is_empty() {
            let appended = self.append(parcel, &[], None).await;
            let unsent = |refusal| Unsent { refusal, rest: Rest::default() };
            return appended.map(|_| Receipt::default()).map_err(unsent);
        }
        let mut writing =
            Writing { queued: vec![Owed::default(); self.targets.len()], ..Writing::default() };
        let (owed, open) = rest.map_or((None, Vec::new()), |rest| (Some(rest.owed), rest.open));
        let mut flights = self.launch(parcel, self.aim(parcel, owed), &mut writing);
        let open = open.into_iter();
        flights.extend(open.map(|(place, tracker)| Flight { place, tracker, earlier: true }));
        let in_time = self.wait(&flights, stopping).await;
        self.land(parcel, flights, in_time, &mut writing).await?;
        self.write(parcel, writing).await
    }

    /// Which cluster is to have what.
    fn aim(&self, parcel: &Parcel, rest: Option<Vec<Owed>>) -> Vec<(usize, Owed)> {
        let one = |rest: Option<Vec<Owed>>| match rest {
            None => parcel.owed(),
            Some(rest) => rest.iter().fold(Owed::default(), |mut all, owed| {
                all.extend(owed);
                all
            }),
        };
        match (self.targets.len(), self.mode) {
            (1, _) => vec![(0, one(rest))],
            (_, Mode::Failover) => vec![(self.choose(), one(rest))],
            (clusters, Mode::Mirror) => {
                let rest = rest.unwrap_or_else(|| vec![parcel.owed(); clusters]);
                rest.into_iter().enumerate().collect()
            }
        }
    }

    /// The first cluster, or the second while the first is not well.
    fn choose(&self) -> usize {
        let is_well =
            |target: &Target| target.is_usable() && target.health.cluster().is_well(self.failback);
        let usable = |place: usize| self.targets.get(place).is_some_and(Target::is_usable);
        match self.targets.first() {
            Some(first) if is_well(first) || !usable(1) => 0,
            _ => 1,
        }
    }

    /// Hands over what may go to a client now.
    fn launch(
        &self,
        parcel: &Arc<Parcel>,
        aims: Vec<(usize, Owed)>,
        writing: &mut Writing,
    ) -> Vec<Flight> {
        let mut flights = Vec::with_capacity(aims.len());
        for (place, owed) in aims {
            let Some(target) = self.targets.get(place) else { continue };
            let (owed, shares) = target.parks.part(parcel, owed);
            writing.shares.extend(shares.into_iter().map(|share| (place, share, None)));
            if owed.is_empty() {
                continue;
            }
            // What is large waits on disk rather than in the client when memory is short.
            let tight = parcel.charge.is_tight();
            if self.ack == Ack::Kafka && target.is_usable() && !tight {
                let tracker = target.cluster.produce(parcel, owed, None);
                flights.push(Flight { place, tracker, earlier: false });
                continue;
            }
            if self.ack == Ack::Kafka {
                divert_cause(if tight { "memory" } else { "behind" });
            }
            if let Some(queued) = writing.queued.get_mut(place) {
                *queued = owed;
            }
        }
        flights
    }

    async fn wait(&self, flights: &[Flight], stopping: impl Future<Output = ()>) -> bool {
        if flights.is_empty() {
            return true;
        }
        let all = async {
            for flight in flights {
                let usable = self.targets.get(flight.place).is_some_and(Target::is_usable);
                if usable || !flight.earlier {
                    flight.tracker.wait().await;
                }
            }
        };
        tokio::select! {
            () = all => true,
            () = tokio::time::sleep(self.divert) => false,
            () = async { stopping.await; tokio::time::sleep(STOP_PATIENCE).await } => false,
        }
    }

    /// Looks at what arrived; what did not is to be written down.
    async fn land(
        &self,
        parcel: &Arc<Parcel>,
        flights: Vec<Flight>,
        in_time: bool,
        writing: &mut Writing,
    ) -> Result<(), Unsent> {
        for Flight { place, tracker, earlier } in flights {
            if tracker.is_done() {
                for (bit, reason) in tracker.take_undeliverable(&parcel.owed()) {
                    if let Err(refusal) = self.bury(parcel, bit, reason).await {
                        // Nothing of it is known to be anywhere: a retry sends all of it again.
                        return Err(Unsent { refusal, rest: Rest::default() });
                    }
                }
            }
            let left = tracker.left();
            if left.is_empty() {
                continue;
            }
            let Some(target) = self.targets.get(place) else { continue };
            if !in_time && !earlier && !tracker.has_progress() {
                target.health.cluster().failure("late");
            }
            divert_cause(tracker.cause().unwrap_or("late"));
            let (left, shares) = target.parks.part(parcel, left);
            for share in shares {
                let reports = tracker.is_out(&share.1).then(|| Arc::clone(&tracker));
                writing.shares.push((place, share, reports));
            }
            if tracker.is_out(&left) {
                writing.pending.push((place, Pending { tracker, mask: left }));
            } else if let Some(queued) = writing.queued.get_mut(place) {
                queued.extend(&left);
            }
        }
        Ok(())
    }

    /// Writes down what the clusters do not have; durable when it returns.
    async fn write(&self, parcel: &Arc<Parcel>, writing: Writing) -> Result<Receipt, Unsent> {
        let Writing { queued, pending, shares } = writing;
        let mut failed = None;
        if queued.iter().any(|owed| !owed.is_empty()) {
            match self.append(parcel, &queued, None).await {
                Ok(seq) => self.owes(seq, &queued),
                Err(refusal) => failed = Some(refusal),
            }
        }
        for (place, pending) in &pending {
            let mut owed = vec![Owed::default(); self.targets.len()];
            if let Some(mine) = owed.get_mut(*place) {
                *mine = pending.mask.clone();
            }
            match self.append(parcel, &owed, Some((*place, pending.clone()))).await {
                Ok(seq) => self.owes(seq, &owed),
                Err(refusal) => failed = Some(refusal),
            }
        }
        let mut receipt = Receipt::default();
        for (place, share, tracker) in &shares {
            match self.park(*place, share, parcel, tracker.clone()).await {
                Ok(true) => {}
                Ok(false) => receipt.refused.extend(&share.1),
                Err(refusal) => failed = Some(refusal),
            }
        }
        let Some(refusal) = failed else { return Ok(receipt) };
        // All of it is said to be missing: what was written down is sent twice at worst.
        let open = pending.into_iter().map(|(place, pending)| (place, pending.tracker));
        let mut rest = Rest { owed: queued, open: open.collect() };
        for (place, (_, mask), tracker) in shares {
            match tracker {
                // One tracker may be late for the journal and for a park log; it is followed once.
                Some(tracker) if rest.follows(&tracker) => {}
                Some(tracker) => rest.open.push((place, tracker)),
                None => rest.owed.get_mut(place).into_iter().for_each(|owed| owed.extend(&mask)),
            }
        }
        Err(Unsent { refusal, rest })
    }

    /// Puts a share into its topic's log; `false` when that is full and its events may be refused.
    async fn park(
        &self,
        place: usize,
        share: &Share,
        parcel: &Arc<Parcel>,
        tracker: Option<Arc<Tracker>>,
    ) -> Result<bool, Refusal> {
        let Some(target) = self.targets.get(place) else { return Err(Refusal::NotDurable) };
        let kept = target.parks.keep(share, parcel, tracker).await;
        let (topic, mask) = share;
        let mirrored = self.targets.len() > 1 && self.mode == Mode::Mirror;
        match kept {
            Ok(()) => Ok(true),
            // Tier 1 is all or nothing, and so is a mirror: there the whole batch is refused.
            Err(error) if error.is_full() && !mask.contains(owed::RAW) && !mirrored => {
                metrics::counter!(names::LANE_PARKED, "topic" => topic.to_string())
                    .increment(u64::from(mask.len()));
                Ok(false)
            }
            Err(error) => {
                tracing::debug!(%error, "a park log refused a batch");
                Err(Refusal::NotDurable)
            }
        }
    }

    fn owes(&self, seq: u64, owed: &[Owed]) {
        for (target, owed) in self.targets.iter().zip(owed) {
            if !owed.is_empty() {
                target.backlog.owes(seq);
            }
        }
    }

    async fn append(
        &self,
        parcel: &Arc<Parcel>,
        owed: &[Owed],
        pending: Option<(usize, Pending)>,
    ) -> Result<u64, Refusal> {
        let draft = Draft::Record { pending: pending.is_some(), owed, record: &parcel.record };
        // A part of a batch, or one that is inside the client, is drained from its frame: only
        // there it says what it owes.
        let rides = pending.is_none() && self.is_usual(parcel, owed) && !parcel.charge.is_tight();
        let passenger = rides.then(|| Arc::clone(parcel));
        match self.journal.append(draft, passenger).await {
            Ok(seq) => {
                if let Some((place, pending)) = pending
                    && let Some(target) = self.targets.get(place)
                {
                    target.backlog.pends(seq, pending);
                }
                Ok(seq)
            }
            Err(error) => {
                // Logged at debug: under a full disk this is every request, and the metric says it.
                tracing::debug!(%error, "journal refused a batch");
                Err(Refusal::NotDurable)
            }
        }
    }

    /// Whether a drainer may take it for granted what a batch owes: see [`super::drain::Line`].
    fn is_usual(&self, parcel: &Parcel, owed: &[Owed]) -> bool {
        let (all, nothing) = (parcel.owed(), Owed::default());
        let mirrored = self.mode == Mode::Mirror;
        owed.iter()
            .enumerate()
            .all(|(place, owed)| *owed == *(if place == 0 || mirrored { &all } else { &nothing }))
    }

    async fn bury(
        &self,
        parcel: &Arc<Parcel>,
        bit: u32,
        reason: &'static str,
    ) -> Result<(), Refusal> {
        let (dir, parcel) = (self.dead_dir.clone(), Arc::clone(parcel));
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
}

fn divert_cause(cause: &'static str) {
    metrics::counter!(names::DIVERTED, "cause" => cause).increment(1);
}
