//! The drainer's source: every record frame once, in order, from memory or from the journal.
//!
//! The journal's writer passes live batches along after their fsync while there is room; a gap in
//! their numbers, or silence, is filled by reading the log. A frame that cannot be refined is
//! passed over with a log line and counted, never fatal: its bytes stay in the journal's segment.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::Error;
use crate::journal::{Entry, Followed, Journal, Reader};
use crate::model::parcel::Refine;
use crate::model::{Owed, Parcel, Record};
use crate::telemetry::metrics as names;

/// One batch for the sink.
#[derive(Debug)]
pub struct Fed {
    /// Its frame.
    pub seq: u64,
    /// The batch; `None` when its records are inside the client already.
    pub parcel: Option<Arc<Parcel>>,
    /// What each cluster owes; empty in the embedded mode.
    pub owed: Vec<Owed>,
}

/// The source.
pub struct Feed {
    journal: Journal,
    follow: Receiver<Followed>,
    stash: Option<Followed>,
    reader: Option<Reader>,
    next: u64,
    /// Up to here the log is read without waiting for the same batches to come along in memory.
    read_to: u64,
    born_seq: u64,
    refine: Arc<Refine>,
    /// What a batch that comes along in memory owes.
    owed_of: fn(&Parcel) -> Vec<Owed>,
}

/// How long a synced batch may take from the journal's writer to here before the log is read.
const FOLLOW_WAIT: Duration = Duration::from_millis(20);

impl Feed {
    /// Starts at frame `next`; frames from `born_seq` on were written by this process.
    pub fn new(
        journal: Journal,
        next: u64,
        born_seq: u64,
        refine: Arc<Refine>,
        owed_of: fn(&Parcel) -> Vec<Owed>,
    ) -> Self {
        let follow = journal.follow();
        let read_to = journal.synced();
        let (stash, reader) = (None, None);
        Self { journal, follow, stash, reader, next, read_to, born_seq, refine, owed_of }
    }

    /// The next frame number that it will look at.
    pub fn next_seq(&self) -> u64 {
        self.next
    }

    /// Where fresh batches announce themselves; wait on it when [`Feed::advance`] gives nothing.
    pub fn follower(&self) -> &Receiver<Followed> {
        &self.follow
    }

    /// Takes back what a waiter took from [`Feed::follower`].
    pub fn put_back(&mut self, followed: Followed) {
        self.stash = Some(followed);
    }

    /// The next batch, if there is one already.
    pub fn advance(&mut self) -> Result<Option<Fed>, Error> {
        loop {
            let followed = self.stash.take().or_else(|| self.follow.try_recv().ok());
            let fed = match followed {
                Some(followed) if followed.seq < self.next => None,
                Some(followed) if followed.from <= self.next => self.take(followed)?,
                Some(followed) => {
                    let until = followed.seq;
                    self.stash = Some(followed);
                    self.read(until)?
                }
                None if self.next > self.journal.synced() => return Ok(None),
                None if self.next <= self.read_to => self.read(self.read_to + 1)?,
                None => {
                    match self.follow.recv_timeout(FOLLOW_WAIT) {
                        Ok(followed) => self.stash = Some(followed),
                        Err(_) => self.read_to = self.journal.synced(),
                    }
                    None
                }
            };
            if fed.is_some() {
                return Ok(fed);
            }
        }
    }

    /// A batch that came along in memory.
    fn take(&mut self, followed: Followed) -> Result<Option<Fed>, Error> {
        let Some(parcel) = followed.passenger else {
            // Diverted batches come without: what they owe is in their frame alone.
            return self.read(followed.seq + 1);
        };
        self.next = followed.seq + 1;
        self.reader = None;
        metrics::counter!(names::DRAINED, "source" => "memory").increment(1);
        let owed = (self.owed_of)(&parcel);
        Ok(Some(Fed { seq: followed.seq, parcel: Some(parcel), owed }))
    }

    /// Reads the log up to, not including, `until`; gives the first record there.
    fn read(&mut self, until: u64) -> Result<Option<Fed>, Error> {
        while self.next < until {
            let next = self.next;
            let reader = self.reader.get_or_insert_with(|| self.journal.reader(next));
            let Some(frame) = reader.next_frame()?.filter(|frame| frame.seq < until) else {
                // Nothing readable is left below `until`: settlements, or quarantined damage.
                self.reader = None;
                self.next = until;
                return Ok(None);
            };
            self.next = frame.seq + 1;
            if let Entry::Record { pending, owed, record } = frame.entry
                && let Some(fed) = self.refine(frame.seq, pending, owed, record)
            {
                return Ok(Some(fed));
            }
        }
        Ok(None)
    }

    fn refine(&self, seq: u64, pending: bool, owed: Vec<Owed>, record: Record) -> Option<Fed> {
        if pending && seq >= self.born_seq {
            return Some(Fed { seq, parcel: None, owed });
        }
        match (self.refine)(record) {
            Ok(parcel) => {
                metrics::counter!(names::DRAINED, "source" => "journal").increment(1);
                Some(Fed { seq, parcel: Some(Arc::new(parcel)), owed })
            }
            Err(message) => {
                tracing::error!(seq, message, "a journal frame cannot be drained");
                metrics::counter!(names::UNREADABLE).increment(1);
                None
            }
        }
    }
}
