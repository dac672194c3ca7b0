//! The oracle's memory: what was sent, how often, and what the gateway said about it.
//!
//! In: every attempt and every answer. Out: a ledger with a row per batch and five bytes per event.
//! A claim is a definitive 200; only what is claimed can be missing, and only what was sent can be
//! found without being alien.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::batch::Sealed;

/// The memory, shared by all connections.
#[derive(Debug)]
pub struct Claims {
    begun: Instant,
    ledger: Mutex<Ledger>,
}

/// What is known at the end.
#[derive(Debug, Clone)]
pub struct Ledger {
    batch_events: usize,
    rows: Vec<Row>,
    fingerprints: Vec<u32>,
    marks: Vec<Mark>,
}

/// One batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Row {
    /// Of the body bytes.
    pub fingerprint: u64,
    /// How often it went out.
    pub sends: u16,
    /// How many of these had no definitive answer.
    pub unclear: u16,
    /// When it first went out, milliseconds after the memory was made.
    pub sent_ms: u32,
    /// When its fate was known, on the same clock.
    pub ended_ms: u32,
    /// How it ended.
    pub fate: Fate,
}

/// How a batch ended for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fate {
    /// Sealed or on its way; nobody knows.
    #[default]
    Open,
    /// A definitive 200: everything accepted in it is claimed.
    Acknowledged,
    /// A definitive refusal that no retry can heal.
    Refused,
    /// The client stopped trying: sent, but not claimed.
    GivenUp,
}

/// What the gateway must have done with one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mark {
    /// To be found in tier 2.
    #[default]
    Kept,
    /// Taken out by a rule of the load's configuration.
    Filtered,
    /// Refused by the gateway with a reason.
    Rejected,
}

impl Claims {
    /// An empty memory for batches of this size.
    pub fn new(batch_events: u16) -> Self {
        let batch_events = usize::from(batch_events);
        let empty = Ledger { batch_events, rows: vec![], fingerprints: vec![], marks: vec![] };
        Self { begun: Instant::now(), ledger: Mutex::new(empty) }
    }

    /// The clock of all times in the ledger: milliseconds since the memory was made.
    pub fn now_ms(&self) -> u32 {
        u32::try_from(self.begun.elapsed().as_millis()).unwrap_or(u32::MAX)
    }

    /// The ledger as it is at this moment.
    pub fn snapshot(&self) -> Ledger {
        self.ledger().clone()
    }

    /// The batch is about to be sent, for the first time or again.
    pub fn sent(&self, sealed: &Sealed) {
        let now_ms = self.now_ms();
        let mut ledger = self.ledger();
        ledger.grow(sealed.number);
        let first = ledger.first(sealed.number);
        let row = ledger.row_mut(sealed.number);
        row.sends = row.sends.saturating_add(1);
        if row.sends > 1 {
            return;
        }
        row.fingerprint = sealed.fingerprint;
        row.sent_ms = now_ms;
        let slots = ledger.fingerprints.get_mut(first..).unwrap_or_default();
        for (slot, fingerprint) in slots.iter_mut().zip(&sealed.events) {
            *slot = *fingerprint;
        }
        ledger.mark(first, &sealed.filtered, Mark::Filtered);
    }

    /// It turned out that not one byte of the last attempt had left.
    pub fn unsent(&self, number: u32) {
        let mut ledger = self.ledger();
        let row = ledger.row_mut(number);
        row.sends = row.sends.saturating_sub(1);
    }

    /// The last attempt had no definitive answer: it may or may not have been taken.
    pub fn unclear(&self, number: u32) {
        let mut ledger = self.ledger();
        let row = ledger.row_mut(number);
        row.unclear = row.unclear.saturating_add(1);
    }

    /// A definitive 200; the rejected events in it are not claimed.
    pub fn acknowledge(&self, number: u32, rejected: &[u16]) {
        {
            let mut ledger = self.ledger();
            let first = ledger.first(number);
            ledger.mark(first, rejected, Mark::Rejected);
        }
        self.end(number, Fate::Acknowledged);
    }

    /// Any other end.
    pub fn end(&self, number: u32, fate: Fate) {
        let ended_ms = self.now_ms();
        let mut ledger = self.ledger();
        let row = ledger.row_mut(number);
        row.fate = fate;
        row.ended_ms = ended_ms;
    }

    /// The ledger, once nobody writes any more.
    pub fn close(self) -> Ledger {
        self.ledger.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    /// The batches that were sent at least once, with their numbers.
    pub fn sent(&self) -> impl Iterator<Item = (u32, Row)> {
        (0..).zip(self.rows.iter().copied()).filter(|(_, row)| row.sends > 0)
    }

    /// A batch; `None` if it was never sent.
    pub fn row(&self, number: u32) -> Option<Row> {
        self.rows.get(number as usize).copied().filter(|row| row.sends > 0)
    }

    /// The fingerprint and mark of an event of a batch that was sent.
    pub fn event(&self, number: u32, index: u16) -> Option<(u32, Mark)> {
        let at = self.slot(number, index);
        Some((*self.fingerprints.get(at)?, *self.marks.get(at)?))
    }

    /// The place of an event in an array with one element per event.
    pub fn slot(&self, number: u32, index: u16) -> usize {
        self.first(number) + usize::from(index)
    }

    /// How many elements such an array has.
    pub fn slots(&self) -> usize {
        self.fingerprints.len()
    }

    /// Every event that must be found: its batch number and index.
    pub fn claimed(&self) -> impl Iterator<Item = (u32, u16)> {
        let events = u16::try_from(self.batch_events).unwrap_or(u16::MAX);
        let claimed = self.sent().filter(|(_, row)| row.fate == Fate::Acknowledged);
        claimed.flat_map(move |(number, _)| {
            (0..events).map(move |index| (number, index)).filter(|(number, index)| {
                self.event(*number, *index).is_some_and(|(_, mark)| mark == Mark::Kept)
            })
        })
    }

    /// What was sent by now, but claiming only what `earlier` had claimed already: for the state of
    /// a disk that was copied between the two moments.
    #[must_use]
    pub fn claiming_as(mut self, earlier: &Self) -> Self {
        let earlier = earlier.rows.iter().map(|row| row.fate).chain(std::iter::repeat(Fate::Open));
        for (row, fate) in self.rows.iter_mut().zip(earlier) {
            if row.fate == Fate::Acknowledged {
                row.fate = fate;
            }
        }
        self
    }

    /// Claiming only what was sent from a moment on; the rest may be found or not.
    #[must_use]
    pub fn claiming_since(mut self, since_ms: u32) -> Self {
        for row in self.rows.iter_mut().filter(|row| row.sent_ms < since_ms) {
            row.fate = Fate::Open;
        }
        self
    }

    fn first(&self, number: u32) -> usize {
        number as usize * self.batch_events
    }

    fn row_mut(&mut self, number: u32) -> &mut Row {
        self.grow(number);
        self.rows.get_mut(number as usize).expect("grown to hold it a line above")
    }

    fn mark(&mut self, first: usize, indexes: &[u16], mark: Mark) {
        for index in indexes {
            if let Some(slot) = self.marks.get_mut(first + usize::from(*index)) {
                *slot = mark;
            }
        }
    }

    /// Batches come in any order, because several threads seal and many connections send.
    fn grow(&mut self, number: u32) {
        let rows = number as usize + 1;
        if self.rows.len() < rows {
            self.rows.resize(rows, Row::default());
            self.fingerprints.resize(rows * self.batch_events, 0);
            self.marks.resize(rows * self.batch_events, Mark::Kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(number: u32, filtered: &[u16]) -> Sealed {
        let events = vec![number * 10, number * 10 + 1, number * 10 + 2];
        let fingerprint = u64::from(number) + 100;
        Sealed { number, body: "body".into(), fingerprint, events, filtered: filtered.to_vec() }
    }

    #[test]
    fn only_a_definitive_200_makes_claims() {
        let claims = Claims::new(3);
        for number in [4, 0, 2, 1] {
            claims.sent(&sealed(number, &[]));
        }
        claims.acknowledge(4, &[]);
        claims.end(0, Fate::Refused);
        claims.end(2, Fate::GivenUp);
        let ledger = claims.close();
        assert!(ledger.claimed().eq([(4, 0), (4, 1), (4, 2)]));
        assert_eq!(ledger.sent().count(), 4);
        assert_eq!(ledger.row(3), None);
        assert_eq!(ledger.row(9), None);
        assert_eq!(ledger.event(4, 2), Some((42, Mark::Kept)));
    }

    #[test]
    fn filtered_and_rejected_events_are_not_claimed() {
        let claims = Claims::new(3);
        claims.sent(&sealed(0, &[1]));
        claims.acknowledge(0, &[2]);
        let ledger = claims.close();
        assert!(ledger.claimed().eq([(0, 0)]));
        assert_eq!(ledger.event(0, 1), Some((1, Mark::Filtered)));
        assert_eq!(ledger.event(0, 2), Some((2, Mark::Rejected)));
    }

    #[test]
    fn attempts_are_counted_by_what_became_of_them() {
        let claims = Claims::new(3);
        claims.sent(&sealed(0, &[]));
        claims.unclear(0);
        claims.sent(&sealed(0, &[]));
        claims.unsent(0);
        claims.sent(&sealed(0, &[]));
        claims.acknowledge(0, &[]);
        let row = claims.close().row(0).unwrap();
        assert_eq!((row.sends, row.unclear, row.fate), (2, 1, Fate::Acknowledged));
        assert_eq!(row.fingerprint, 100);
    }
}
