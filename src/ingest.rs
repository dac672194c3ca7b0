//! Floor 3, the page: what happens to a batch, from its bytes to its reply.
//!
//! decode -> split -> route -> deliver -> reply. [`refine`] is the pure part: the live path, the
//! drainer and every replay run the same function on a record. Must never know HTTP or Kafka.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use crate::aside::Aside;
use crate::deliver::Deliver;
use crate::deliver::dedupe::{Claim, Dedupe, Ended};
use crate::model::budget::LARGE_BODY_BYTES;
use crate::model::{
    Admitted, Batch, Budget, Cargo, Coding, Facts, Outcome, Owed, Parcel, Reason, Record, Refusal,
    Reply, Routed, Signal, Tally, owed,
};
use crate::rulebook::{Rulebook, Rulebooks};
use crate::telemetry::metrics as names;
use crate::{decode, route, split};

/// The data path, shared by all workers.
pub struct Ingest {
    /// Rules and routes.
    pub books: Arc<Rulebooks>,
    /// Where batches go.
    pub deliver: Deliver,
    /// Batches that were delivered or are on their way.
    pub dedupe: Arc<Dedupe>,
    /// This node.
    pub node: Uuid,
    /// What a batch costs until it is settled.
    pub cost: Cost,
    /// Where large bodies are worked on.
    pub aside: Aside,
    /// What clients are told about the state of the gateway.
    pub signal: Arc<Signal>,
    /// The version of an app's SDK document, for the reply.
    pub document_version: Box<dyn Fn(&str) -> u64 + Send + Sync>,
    /// The door's number of the instance that a batch names, or why nothing is taken from it now.
    pub instance: Box<Known>,
    /// Turns true when the process is to end.
    pub stopping: watch::Receiver<bool>,
}

/// Who an instance is to the door: from arrival facts and its name.
pub type Known = dyn Fn(&Facts, &[u8]) -> Result<Option<u64>, Refusal> + Send + Sync;

/// What a body may inflate to on the thread that answers requests; one that goes on is large, too.
const INFLATED_BYTES_HERE: u64 = 1 << 20;

/// How long a retry waits for the end of the same batch in flight, before it is told to come again.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);

impl Ingest {
    /// Takes one batch through the whole path. Must run in a task that no disconnect cancels.
    pub async fn ingest(self: Arc<Self>, admitted: Admitted) -> Reply {
        let promised = admitted.promised;
        let app = Arc::clone(&admitted.caller.app);
        let book = self.books.current();
        let here = if admitted.body.len() as u64 > LARGE_BODY_BYTES {
            Err(Halt::Large(Box::new(admitted)))
        } else {
            self.prepare(admitted, &book, INFLATED_BYTES_HERE)
        };
        let refined = match here {
            Err(Halt::Large(admitted)) => {
                let (this, book) = (Arc::clone(&self), Arc::clone(&book));
                let work = move || this.prepare(*admitted, &book, u64::MAX);
                self.aside.run(work).await.unwrap_or(Err(Halt::Refused(Refusal::Busy)))
            }
            here => here,
        };
        let (parcel, mut summary, mut tally) = match refined {
            Ok(refined) => refined,
            Err(Halt::Refused(refusal)) => return self.refuse(&refusal),
            Err(Halt::Large(_)) => return self.refuse(&Refusal::Busy),
        };
        // A batch of which nothing is left has nothing to lose, but tier 1 keeps all that came.
        match self.make_durable(&parcel).await {
            Ok((kept, refused)) => {
                summary.park(&parcel, &refused, &mut tally);
                let cargo = summary.cargo(&tally, kept);
                let kept = if promised { kept } else { Outcome::Unacknowledged };
                let (accepted, filtered) = (tally.kept(), tally.filtered());
                tally.settle(kept);
                summary.count(&book);
                let rejected = summary
                    .rejected
                    .iter()
                    .map(|(index, reason)| (*index, reason_name(*reason, &book)));
                let config = (self.document_version)(&app);
                let advice = self.signal.advice();
                let batch = summary.batch;
                Reply::settled(batch, accepted, filtered, rejected, config, advice).of(cargo)
            }
            Err(refusal) => {
                tally.settle(Outcome::Refused);
                self.refuse(&refusal)
            }
        }
    }

    /// The reply to a request that is refused as a whole.
    pub fn refuse(&self, refusal: &Refusal) -> Reply {
        metrics::counter!(names::REFUSALS, "reason" => refusal.name()).increment(1);
        Reply::refused(refusal, self.signal.advice())
    }

    fn prepare(
        &self,
        mut admitted: Admitted,
        book: &Rulebook,
        inflated_bytes_max: u64,
    ) -> Result<(Arc<Parcel>, Summary, Tally), Halt> {
        let coding = decode::sniff(&admitted.body, admitted.said)?;
        let mut record = self.record(&mut admitted, coding, book);
        let mut charge = std::mem::take(&mut admitted.charge);
        let (mut tally, mut instance) = (None, Ok(None));
        charge.becomes_batch();
        let received = record.body.len();
        if !charge.resize(Cost::guessed(received, coding)) {
            return Err(Refusal::Busy.into());
        }
        // Asked for before it is written: the output is the largest part.
        let room = |batch: &Batch, body: &[u8]| {
            charge.resize(Cost::expected(received, coding, batch, body))
        };
        let look = |facts: &Facts, batch: &Batch, body: &[u8]| {
            tally = Some(Tally::count(&facts.app, batch, body));
            instance = (self.instance)(facts, batch.header.instance.of(body));
            metrics::counter!(names::INFLATED_BYTES).increment(body.len() as u64);
        };
        let limits = book.shape.decode.within(inflated_bytes_max);
        let refined = refine_within(&mut record, admitted.class, book, &limits, room, look);
        let (batch, routed) = match refined {
            Err(Refusal::InflatedTooLarge(at)) if at < book.shape.decode.inflated_bytes_max => {
                charge.resize(received as u64);
                return Err(Halt::Large(Box::new(admitted.again(record, charge))));
            }
            refined => refined?,
        };
        let tally = tally.ok_or(Refusal::Busy)?;
        let instance = match instance {
            Ok(instance) => instance,
            Err(refusal) => {
                tally.settle(Outcome::Refused);
                return Err(refusal.into());
            }
        };
        if !charge.resize(self.cost.known(&record, &routed, batch.events.len())) {
            tally.settle(Outcome::Refused);
            return Err(Refusal::Busy.into());
        }
        let filtered_by = batch.events.iter().filter_map(|event| event.filtered_by).collect();
        let impossible = batch.impossible(record.facts.arrival_ms);
        let (rejected, batch) = (batch.rejected, batch.id);
        let summary = Summary { batch, rejected, filtered_by, impossible, instance };
        Ok((Arc::new(Parcel { record, routed, charge }), summary, tally))
    }

    /// What is known of a batch before it is looked into; takes it from `admitted`.
    fn record(&self, admitted: &mut Admitted, coding: Coding, book: &Rulebook) -> Record {
        let caller = &mut admitted.caller;
        let facts = Facts {
            app: Arc::clone(&caller.app),
            key_kind: caller.kind,
            address: caller.address,
            user_agent: std::mem::take(&mut caller.user_agent),
            coding,
            format: crate::model::Format::Unknown,
            arrival_ms: admitted.arrival_ms,
            sent_ms: admitted.sent_ms,
            wait_ms: admitted.wait_ms,
            attempt: admitted.attempt,
            class: admitted.class.unwrap_or(caller.class),
            batch: Uuid::now_v7(),
            batch_made: true,
            rules: book.hash,
            node: self.node,
        };
        Record { facts, body: std::mem::take(&mut admitted.body) }
    }

    /// Delivers a batch, unless the same bytes have been or are being delivered; gives the events
    /// that were refused.
    async fn make_durable(&self, parcel: &Arc<Parcel>) -> Result<(Outcome, Owed), Refusal> {
        let facts = &parcel.record.facts;
        if facts.batch_made {
            let sent = self.deliver.send(parcel, None, self.stopped()).await;
            let accepted = sent.map(|receipt| (Outcome::Accepted, receipt.refused));
            return accepted.map_err(|unsent| unsent.refusal);
        }
        let repeated = |result: &'static str| {
            metrics::counter!(names::REPEATED, "result" => result).increment(1);
        };
        match self.dedupe.claim(facts, &parcel.record.body) {
            Claim::New(ticket, rest) => {
                if rest.is_some() {
                    repeated("rest");
                }
                match self.deliver.send(parcel, rest, self.stopped()).await {
                    Ok(receipt) => {
                        ticket.settle(Ended::Durable(receipt.refused.clone()));
                        Ok((Outcome::Accepted, receipt.refused))
                    }
                    Err(unsent) => {
                        ticket.give_up(unsent.rest);
                        Err(unsent.refusal)
                    }
                }
            }
            Claim::Done(refused) => {
                repeated("done");
                Ok((Outcome::Repeated, refused))
            }
            Claim::Joined(mut flight) => {
                repeated("joined");
                let durable = tokio::select! {
                    ended = flight.wait_for(Option::is_some) => {
                        ended.is_ok_and(|durable| *durable == Some(true))
                    }
                    () = tokio::time::sleep(JOIN_PATIENCE) => false,
                    () = self.stopped() => false,
                };
                let joined = durable.then(|| (Outcome::Repeated, Owed::default()));
                joined.ok_or(Refusal::NotDurable)
            }
            Claim::Conflict => {
                repeated("conflict");
                Err(Refusal::Conflict)
            }
        }
    }

    async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        // An error means that the sender is gone, which is a stop as well.
        stopping.wait_for(|stopping| *stopping).await.map(drop).unwrap_or_default();
    }
}

/// Why a batch does not go on here.
enum Halt {
    /// It is refused.
    Refused(Refusal),
    /// It is too large for this thread.
    Large(Box<Admitted>),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

struct Summary {
    batch: Uuid,
    rejected: Vec<(u32, Reason)>,
    filtered_by: Vec<u16>,
    impossible: u64,
    instance: Option<u64>,
}

impl Summary {
    /// What the batch held, for those who count it.
    fn cargo(&self, tally: &Tally, kept: Outcome) -> Cargo {
        let events = tally.kept() + tally.filtered() + self.rejected.len() as u64;
        let Self { impossible, instance, .. } = *self;
        Cargo { events, impossible, repeated: kept == Outcome::Repeated, instance }
    }

    /// Moves events whose lane takes nothing more from the accepted to the rejected.
    fn park(&mut self, parcel: &Parcel, refused: &Owed, tally: &mut Tally) {
        let routed = &parcel.routed;
        for row in routed.rows.iter().filter(|row| refused.contains(owed::event(row.index))) {
            tally.reject(row.kind.of(&routed.values));
            self.rejected.push((row.index, Reason::LaneParked));
        }
        self.rejected.sort_unstable_by_key(|(index, _)| *index);
    }

    fn count(&self, book: &Rulebook) {
        count_by(&self.filtered_by, names::EVENTS_FILTERED, "rule", |rule| book.rules.name(*rule));
        let reasons = self.rejected.iter().map(|(_, reason)| reason);
        count_by(reasons, names::EVENTS_REJECTED, "reason", |reason| reason_name(*reason, book));
    }
}

/// Adds to one counter per distinct item, once for the whole batch.
fn count_by<'a, 'n, T: PartialEq + 'a>(
    items: impl IntoIterator<Item = &'a T>,
    counter: &'static str,
    label: &'static str,
    name: impl Fn(&T) -> &'n str,
) {
    let mut counts: Vec<(&T, u64)> = Vec::new();
    for item in items {
        match counts.iter_mut().find(|(known, _)| *known == item) {
            Some((_, count)) => *count += 1,
            None => counts.push((item, 1)),
        }
    }
    for (item, count) in counts {
        metrics::counter!(counter, label => name(item).to_owned()).increment(count);
    }
}

/// What a batch costs, in bytes of the memory budget.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// How often bodies and tier-2 values lie in memory: the Kafka client has copies of its own.
    pub copies: u64,
}

/// More than logs inflate to as a rule; what it comes to is charged when it is known.
const RATIO_GUESSED: usize = 16;
/// Bookkeeping for an event: its place in trackers, the Kafka client's record around it.
const EVENT_BYTES: u64 = 256;
/// Bookkeeping for a batch: facts, tracker, the record of tier 1 inside the client. Measured: a
/// batch of one tiny event holds 12.7 KiB until Kafka has it, 8 of them its buffer of values.
const BATCH_BYTES: u64 = 4_096;
/// The most that `_tg` adds to an event, without what the header tells.
const ADDED_BYTES: u64 = 800;

impl Cost {
    /// Once it is routed: the body, the output with all that its buffers pin, the bookkeeping.
    pub fn known(self, record: &Record, routed: &Routed, events: usize) -> u64 {
        let pinned = routed.values.capacity() - routed.values.len() + routed.bytes();
        let copied = (record.body.len() + routed.values.len()) as u64 * (self.copies - 1);
        let held = (record.body.len() + pinned) as u64;
        held + copied + EVENT_BYTES * events as u64 + BATCH_BYTES
    }

    /// Before it is inflated: the body, and what most bodies of this length inflate to.
    fn guessed(received: usize, coding: Coding) -> u64 {
        let inflated = if coding == Coding::Identity { 0 } else { received * RATIO_GUESSED };
        (received + inflated) as u64
    }

    /// Before it is routed: the inflated body, and the most that will probably be known then.
    fn expected(received: usize, coding: Coding, batch: &Batch, body: &[u8]) -> u64 {
        let header = &batch.header;
        let told = [header.context, header.instance, header.epoch];
        let told: usize = told.iter().map(|span| span.of(body).len()).sum();
        let events = batch.events.len() as u64;
        let inflated = if coding == Coding::Identity { 0 } else { body.len() };
        let output = body.len() as u64 + events * (ADDED_BYTES + told as u64);
        (received + inflated) as u64 + output + EVENT_BYTES * events + BATCH_BYTES
    }
}

/// The pure part: bytes, facts and rules in, tier 2 out. Completes the facts with what line 1 says.
pub fn refine(
    record: &mut Record,
    class: Option<u8>,
    book: &Rulebook,
    look: impl FnOnce(&Facts, &Batch, &[u8]),
) -> Result<(Batch, Routed), Refusal> {
    refine_within(record, class, book, &book.shape.decode, |_, _| true, look)
}

/// The same, if there is `room` for what split found, which is asked before the output is written.
fn refine_within(
    record: &mut Record,
    class: Option<u8>,
    book: &Rulebook,
    limits: &decode::Limits,
    room: impl FnOnce(&Batch, &[u8]) -> bool,
    look: impl FnOnce(&Facts, &Batch, &[u8]),
) -> Result<(Batch, Routed), Refusal> {
    SCRATCH.with_borrow_mut(|scratch| {
        let Record { facts, body } = record;
        let inflated = decode::decode(body, facts.coding, limits, scratch);
        let is_large = inflated.as_ref().map_or(true, |body| body.len() > SCRATCH_BYTES_KEPT);
        let refined = inflated.and_then(|body| cut(body, facts, class, book, room, look));
        if is_large {
            *scratch = decode::Scratch::default();
        }
        refined
    })
}

fn cut(
    body: &[u8],
    facts: &mut Facts,
    class: Option<u8>,
    book: &Rulebook,
    room: impl FnOnce(&Batch, &[u8]) -> bool,
    look: impl FnOnce(&Facts, &Batch, &[u8]),
) -> Result<(Batch, Routed), Refusal> {
    let shape = &book.shape;
    let batch = split::split(body, facts, class, &shape.split, &book.rules)?;
    (facts.batch, facts.batch_made) = (batch.id, batch.id_made);
    facts.format = batch.format;
    facts.class = batch.header.class.unwrap_or(facts.class);
    if !room(&batch, body) {
        return Err(Refusal::Busy);
    }
    let routed = route::route(&batch, body, facts, &book.table, shape.output_bytes_max)?;
    look(facts, &batch, body);
    Ok((batch, routed))
}

/// Scratch space that a thread keeps from body to body. Whatever it had grown to, kept by every
/// thread, would be memory that no charge knows.
const SCRATCH_BYTES_KEPT: usize = 1 << 20;

/// Rebuilds a stored record's parcel under the rules that it names, for the drainer.
pub fn restore(
    books: &Rulebooks,
    budget: &Arc<Budget>,
    cost: Cost,
    mut record: Record,
) -> Result<Parcel, String> {
    let book = books.find(record.facts.rules).map_err(|error| error.to_string())?;
    let class = None;
    let (batch, routed) =
        refine(&mut record, class, &book, |_, _, _| ()).map_err(|refusal| refusal.to_string())?;
    let charge = budget.take_for_drain(cost.known(&record, &routed, batch.events.len()));
    Ok(Parcel { record, routed, charge })
}

/// The word for a rejection: the protocol's own, or the rule's.
pub fn reason_name(reason: Reason, book: &Rulebook) -> &str {
    match reason {
        Reason::Rule(rule) => book.rules.reason(rule),
        other => other.name(),
    }
}

thread_local! {
    static SCRATCH: RefCell<decode::Scratch> = RefCell::default();
}
