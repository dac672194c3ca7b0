//! The drainer's source: every record frame once, in order, from memory or from the journal.
//!
//! The journal's writer passes live batches along after their fsync while there is room; a gap in
//! their numbers, or silence, is filled by reading the log. A frame that cannot be refined (its
//! rules text is gone) is an error and is tried again: passing over it would drop what is owed.

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
    owed_of: Box<OwedOf>,
}

/// What a batch that comes along in memory owes.
type OwedOf = dyn Fn(&Parcel) -> Vec<Owed> + Send;

/// How long a synced batch may take from the journal's writer to here before the log is read.
const FOLLOW_WAIT: Duration = Duration::from_millis(20);

impl Feed {
    /// Starts at frame `next`; frames from `born_seq` on were written by this process.
    pub fn new(
        journal: Journal,
        next: u64,
        born_seq: u64,
        refine: Arc<Refine>,
        owed_of: Box<OwedOf>,
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
            let fed = match frame.entry {
                Entry::Record { pending, owed, record } => {
                    Some(self.refine(frame.seq, pending, owed, record)?)
                }
                Entry::Settle { .. } => None,
            };
            self.next = frame.seq + 1;
            if fed.is_some() {
                return Ok(fed);
            }
        }
        Ok(None)
    }

    fn refine(
        &mut self,
        seq: u64,
        pending: bool,
        owed: Vec<Owed>,
        record: Record,
    ) -> Result<Fed, Error> {
        if pending && seq >= self.born_seq {
            return Ok(Fed { seq, parcel: None, owed });
        }
        match (self.refine)(record) {
            Ok(parcel) => {
                metrics::counter!(names::DRAINED, "source" => "journal").increment(1);
                Ok(Fed { seq, parcel: Some(Arc::new(parcel)), owed })
            }
            Err(message) => {
                metrics::counter!(names::UNREADABLE).increment(1);
                // The reader is past the frame; the next attempt begins at it again.
                self.reader = None;
                Err(Error::Frame { seq, message })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::journal::{self, Draft};
    use crate::model::Charge;

    #[test]
    fn a_frame_whose_rules_are_gone_is_tried_again_and_never_passed_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let (journal, _) =
            journal::open("main", dir.path(), &journal::Settings::default()).expect("new");
        let record = Parcel::empty().record;
        for _ in 0..2 {
            let draft = Draft::Record { pending: false, owed: &[], record: &record };
            journal.append_wait(draft, None).expect("synced");
        }
        let mended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&mended);
        let refine = move |record| {
            let parcel = Parcel { record, charge: Charge::default(), ..Parcel::empty() };
            seen.load(Ordering::Acquire).then_some(parcel).ok_or_else(|| "no rules".to_owned())
        };
        let mut feed = Feed::new(journal, 1, u64::MAX, Arc::new(refine), Box::new(|_| Vec::new()));
        for _ in 0..2 {
            assert!(matches!(feed.advance(), Err(Error::Frame { seq: 1, .. })));
            assert_eq!(feed.next_seq(), 1);
        }
        mended.store(true, Ordering::Release);
        for seq in 1..=2 {
            assert_eq!(feed.advance().expect("readable").map(|fed| fed.seq), Some(seq));
        }
        assert!(feed.advance().expect("readable").is_none());
    }
}
