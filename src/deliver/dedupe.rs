//! Remembers batches by app and batch id, so that a retry is answered and not stored again.
//!
//! In: a client's batch id and a checksum of the body. Out: go on, perhaps with a part of it only;
//! wait for the one in flight; it is done already; or the id was used for other bytes. Per node and
//! best effort: bounded by number and time, rebuilt from the journal's tail after a restart.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use uuid::Uuid;

use super::tracker::Tracker;
use crate::journal::{Entry, Error, Journal};
use crate::model::{Facts, Owed};

/// `[dedupe]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long a batch is remembered at least, unless `batches_max` is reached.
    pub window_ms: u64,
    /// Batches remembered; about 100 bytes each.
    pub batches_max: usize,
    /// Bytes of the journal's tail that are read at start to remember again.
    pub rebuild_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { window_ms: 600_000, batches_max: 200_000, rebuild_bytes: 256 << 20 }
    }
}

/// What is known of a batch.
#[derive(Debug)]
pub enum Claim {
    /// Deliver it, then settle the ticket. After a failure only the rest.
    New(Ticket, Option<Rest>),
    /// The same bytes were made durable before, but for the events that were refused: answer as
    /// then.
    Done(Owed),
    /// The same bytes are on their way; the value turns `Some(durable)` at their end.
    Joined(watch::Receiver<Option<bool>>),
    /// The id was used for other bytes.
    Conflict,
}

/// How a batch ended.
#[derive(Debug)]
pub enum Ended {
    /// It is durable, but for these events, which were refused.
    Durable(Owed),
    /// This is missing; a retry sends no more than that. Nothing at all means that it is not known
    /// what is missing, so that everything has to be sent again.
    Partly(Rest),
    /// As if it had never come.
    Forgotten,
}

/// What is missing of a batch that was refused after a part of it was sent.
#[derive(Debug, Clone, Default)]
pub struct Rest {
    /// What each cluster was not given, or gave back.
    pub owed: Vec<Owed>,
    /// What is still on its way, by cluster: a retry writes it down, but does not send it again.
    pub open: Vec<(usize, Arc<Tracker>)>,
}

/// The right and the duty to say how a batch ended. Dropped unsettled, the batch is forgotten.
#[derive(Debug)]
pub struct Ticket {
    dedupe: Arc<Dedupe>,
    key: Key,
    ended: watch::Sender<Option<bool>>,
}

/// The memory.
#[derive(Debug)]
pub struct Dedupe {
    state: Mutex<State>,
    half_window: Duration,
    half_batches: usize,
}

type Key = (Arc<str>, Uuid);

/// Two generations: what is older than a whole window goes all at once, without a walk.
#[derive(Debug)]
struct State {
    young: FxHashMap<Key, Known>,
    old: FxHashMap<Key, Known>,
    turned: Instant,
}

#[derive(Debug, Clone)]
struct Known {
    checksum: u64,
    stage: Stage,
}

#[derive(Debug, Clone)]
enum Stage {
    /// The value turns `Some(durable)` at its end.
    Flight(watch::Receiver<Option<bool>>),
    /// Durable, but for these events.
    Done(Owed),
    Partly(Rest),
}

impl Dedupe {
    /// An empty memory.
    pub fn new(settings: &Settings) -> Arc<Self> {
        let (young, old) = (FxHashMap::default(), FxHashMap::default());
        Arc::new(Self {
            state: Mutex::new(State { young, old, turned: Instant::now() }),
            half_window: Duration::from_millis(settings.window_ms / 2),
            half_batches: (settings.batches_max / 2).max(1),
        })
    }

    /// Remembers what the journal's tail holds of the window before `now_ms`.
    pub fn rebuild(
        &self,
        journal: &Journal,
        settings: &Settings,
        now_ms: i64,
    ) -> Result<usize, Error> {
        let since_ms = now_ms.saturating_sub_unsigned(settings.window_ms);
        let mut reader = journal.reader(journal.tail_seq(settings.rebuild_bytes));
        let mut count = 0;
        while let Some(frame) = reader.next_frame()? {
            let Entry::Record { record, .. } = frame.entry else { continue };
            let facts = &record.facts;
            if !facts.batch_made && facts.arrival_ms >= since_ms {
                let stage = Stage::Done(Owed::default());
                let known = Known { checksum: checksum(&record.body), stage };
                self.state.lock().remember(key(facts), known, self);
                count += 1;
            }
        }
        Ok(count)
    }

    /// Asks for a batch with a client's own id.
    pub fn claim(self: &Arc<Self>, facts: &Facts, body: &[u8]) -> Claim {
        let (key, checksum) = (key(facts), checksum(body));
        let mut state = self.state.lock();
        let known = state.young.get(&key).or_else(|| state.old.get(&key));
        let rest = match known {
            Some(known) if known.checksum != checksum => return Claim::Conflict,
            Some(Known { stage: Stage::Done(refused), .. }) => return Claim::Done(refused.clone()),
            Some(Known { stage: Stage::Flight(flight), .. }) => {
                return Claim::Joined(flight.clone());
            }
            Some(Known { stage: Stage::Partly(rest), .. }) => Some(rest.clone()),
            None => None,
        };
        let (ended, flight) = watch::channel(None);
        state.remember(key.clone(), Known { checksum, stage: Stage::Flight(flight) }, self);
        Claim::New(Ticket { dedupe: Arc::clone(self), key, ended }, rest)
    }
}

impl State {
    fn remember(&mut self, key: Key, known: Known, limits: &Dedupe) {
        let full = self.young.len() >= limits.half_batches;
        if full || self.turned.elapsed() >= limits.half_window {
            self.old = std::mem::take(&mut self.young);
            self.turned = Instant::now();
        }
        self.old.remove(&key);
        self.young.insert(key, known);
    }

    fn set(&mut self, key: &Key, stage: Stage) {
        if let Some(known) = self.young.get_mut(key).or_else(|| self.old.get_mut(key)) {
            known.stage = stage;
        }
    }
}

impl Ticket {
    /// Says how it ended.
    pub fn settle(self, ended: Ended) {
        let stage = match ended {
            Ended::Durable(refused) => Stage::Done(refused),
            Ended::Partly(rest) if !rest.is_unknown() => rest.stage(),
            Ended::Partly(_) | Ended::Forgotten => return,
        };
        let durable = matches!(stage, Stage::Done(_));
        self.dedupe.state.lock().set(&self.key, stage);
        self.ended.send_replace(Some(durable));
    }

    /// As [`Self::settle`] with [`Ended::Partly`]; what is on its way is forgotten when its reports
    /// are in, because it holds the batch in memory.
    pub fn give_up(self, rest: Rest) {
        let (dedupe, key, open) = (Arc::clone(&self.dedupe), self.key.clone(), rest.open.clone());
        self.settle(Ended::Partly(rest));
        if open.is_empty() {
            return;
        }
        tokio::spawn(async move {
            for (_, tracker) in open {
                tracker.finished().await;
            }
            dedupe.close(&key);
        });
    }
}

impl Dedupe {
    /// Turns what has come back of a refused batch into what is missing of it.
    fn close(&self, key: &Key) {
        let mut state = self.state.lock();
        let known = state.young.get(key).or_else(|| state.old.get(key));
        let Some(Known { stage: Stage::Partly(rest), .. }) = known else { return };
        let closed = rest.clone().stage();
        state.set(key, closed);
    }
}

impl Rest {
    /// Whether these reports are among those that are waited for.
    pub fn follows(&self, tracker: &Arc<Tracker>) -> bool {
        self.open.iter().any(|(_, open)| Arc::ptr_eq(open, tracker))
    }

    fn is_unknown(&self) -> bool {
        self.owed.is_empty() && self.open.is_empty()
    }

    /// Without what has come back meanwhile; done, if nothing is missing after all.
    fn stage(mut self) -> Stage {
        let (done, open) = self.open.into_iter().partition(|(_, tracker)| tracker.is_done());
        self.open = open;
        let done: Vec<(usize, Arc<Tracker>)> = done;
        for (place, tracker) in done {
            if self.owed.len() <= place {
                self.owed.resize(place + 1, Owed::default());
            }
            self.owed.get_mut(place).into_iter().for_each(|owed| owed.extend(&tracker.left()));
        }
        let whole = self.open.is_empty() && self.owed.iter().all(Owed::is_empty);
        if whole { Stage::Done(Owed::default()) } else { Stage::Partly(self) }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.ended.borrow().is_none() {
            let mut state = self.dedupe.state.lock();
            state.young.remove(&self.key);
            state.old.remove(&self.key);
            drop(state);
            self.ended.send_replace(Some(false));
        }
    }
}

fn key(facts: &Facts) -> Key {
    (Arc::clone(&facts.app), facts.batch)
}

/// Tells other bytes from the same; not made against somebody who looks for collisions, who could
/// only hide his own batch.
fn checksum(body: &[u8]) -> u64 {
    (body.len() as u64) << 32 | u64::from(crc32c::crc32c(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::tracker::Fate;
    use crate::model::Parcel;

    fn facts(batch: u128) -> Facts {
        Facts { batch: Uuid::from_u128(batch), ..Parcel::empty().record.facts }
    }

    fn ticket(claim: Claim) -> Ticket {
        match claim {
            Claim::New(ticket, None) => ticket,
            other => panic!("not new: {other:?}"),
        }
    }

    #[test]
    fn a_retry_joins_then_is_answered_and_other_bytes_conflict() {
        let dedupe = Dedupe::new(&Settings::default());
        let first = ticket(dedupe.claim(&facts(1), b"body"));
        let Claim::Joined(flight) = dedupe.claim(&facts(1), b"body") else { panic!("not joined") };
        assert!(matches!(dedupe.claim(&facts(1), b"other"), Claim::Conflict));
        first.settle(Ended::Durable(Owed::default()));
        assert_eq!(*flight.borrow(), Some(true));
        assert!(matches!(dedupe.claim(&facts(1), b"body"), Claim::Done(_)));
        assert!(matches!(dedupe.claim(&facts(1), b"other"), Claim::Conflict));
        let app = Arc::from("another");
        assert!(matches!(dedupe.claim(&Facts { app, ..facts(1) }, b"body"), Claim::New(_, None)));
    }

    #[test]
    fn what_failed_or_was_dropped_is_new_again() {
        let dedupe = Dedupe::new(&Settings::default());
        ticket(dedupe.claim(&facts(1), b"body")).settle(Ended::Forgotten);
        let second = ticket(dedupe.claim(&facts(1), b"body"));
        let Claim::Joined(flight) = dedupe.claim(&facts(1), b"body") else { panic!("not joined") };
        drop(second);
        assert_eq!(*flight.borrow(), Some(false));
        assert!(matches!(dedupe.claim(&facts(1), b"body"), Claim::New(_, None)));
    }

    #[test]
    fn after_a_failure_a_retry_owes_only_the_rest() {
        let dedupe = Dedupe::new(&Settings::default());
        let owed: Vec<Owed> = vec![[0, 3].into_iter().collect()];
        let rest = Rest { owed: owed.clone(), open: Vec::new() };
        ticket(dedupe.claim(&facts(1), b"body")).settle(Ended::Partly(rest));
        assert!(matches!(dedupe.claim(&facts(1), b"other"), Claim::Conflict));
        let Claim::New(second, Some(left)) = dedupe.claim(&facts(1), b"body") else {
            panic!("not the rest")
        };
        assert_eq!((left.owed, left.open.len()), (owed, 0));
        let refused: Owed = [4].into_iter().collect();
        second.settle(Ended::Durable(refused.clone()));
        let Claim::Done(again) = dedupe.claim(&facts(1), b"body") else { panic!("not done") };
        assert_eq!(again, refused, "the answer is the first one");
        // What was on its way arrived after the refusal: then nothing is left to send.
        let nothing = Rest { owed: vec![Owed::default()], open: Vec::new() };
        ticket(dedupe.claim(&facts(2), b"body")).settle(Ended::Partly(nothing));
        assert!(matches!(dedupe.claim(&facts(2), b"body"), Claim::Done(_)));
    }

    #[tokio::test]
    async fn what_is_on_its_way_is_the_retrys_until_it_has_come_back() {
        let dedupe = Dedupe::new(&Settings::default());
        let owed: Owed = [0, 1].into_iter().collect();
        let tracker = Arc::new(Tracker::new(Arc::new(Parcel::empty()), owed, None));
        let rest = Rest { owed: vec![Owed::default()], open: vec![(0, Arc::clone(&tracker))] };
        ticket(dedupe.claim(&facts(1), b"body")).give_up(rest);
        let Claim::New(second, Some(left)) = dedupe.claim(&facts(1), b"body") else {
            panic!("not the rest")
        };
        assert_eq!(left.open.len(), 1, "a retry does not have to wait for the reports");
        second.give_up(left);
        tracker.report(0, Fate::Delivered, 1);
        tracker.report(1, Fate::Retry("x"), 1);
        while Arc::strong_count(&tracker) > 1 {
            tokio::task::yield_now().await;
        }
        let Claim::New(_, Some(left)) = dedupe.claim(&facts(1), b"body") else {
            panic!("not the rest")
        };
        let missing: Owed = [1].into_iter().collect();
        assert_eq!((left.owed, left.open.len()), (vec![missing], 0));
    }

    #[test]
    fn memory_is_bounded() {
        let settings = Settings { batches_max: 100, ..Settings::default() };
        let dedupe = Dedupe::new(&settings);
        for batch in 0..1_000 {
            ticket(dedupe.claim(&facts(batch), b"body")).settle(Ended::Durable(Owed::default()));
            let state = dedupe.state.lock();
            assert!(state.young.len() + state.old.len() <= 100);
        }
        assert!(matches!(dedupe.claim(&facts(999), b"body"), Claim::Done(_)));
        assert!(matches!(dedupe.claim(&facts(0), b"body"), Claim::New(_, None)));
    }
}
