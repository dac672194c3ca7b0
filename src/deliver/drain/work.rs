//! What a Kafka drainer does, turn by turn: reap reports, send again, hand over, tell, save.
//!
//! A window of batches is inside the client at a time; the breakers say how large it is. What comes
//! back bad leaves memory and is read again from the log later; what belongs to a parked topic
//! moves to its park log. The cursor follows the oldest frame that is not settled; behind it
//! segments go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::cluster::{Flags, Parts};
use super::line::{Progress, arrival_ms};
use super::{Error, Fed, Feed, Line};
use crate::deliver::breaker::WINDOW_MAX;
use crate::deliver::sinks::{self, dead};
use crate::deliver::tracker::Tracker;
use crate::journal::{Cursor, Draft, Entry};
use crate::model::{Owed, Parcel};
use crate::telemetry::metrics as names;

/// Bytes inside the client because of one drainer.
const WINDOW_BYTES_MAX: usize = 32 << 20;
/// Batches that wait to be sent again; beyond it the drainer stands still until some are settled.
const RETRIES_MAX: usize = 65_536;
/// How long a batch that came back waits before it is sent again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long a frame that cannot be read is left alone.
const REREAD_AFTER: Duration = Duration::from_secs(1);
/// How long an idle drainer sleeps: a breaker that lets a probe through wakes nobody.
const IDLE_WAIT: Duration = Duration::from_millis(200);
/// How often the cursor is written and segments are freed.
const CURSOR_EVERY: Duration = Duration::from_millis(250);

/// One frame that is not settled.
enum Slot {
    /// Its records are inside the client.
    Out(Out),
    /// The live path has journalled it and is about to hand over its tracker.
    Awaited,
}

struct Out {
    tracker: Arc<Tracker>,
    /// The records that this frame owes; the tracker may follow others as well.
    mask: Owed,
    bytes: usize,
    /// Whether the live path handed it to the client.
    was_pending: bool,
}

/// Records that came back: they are read again and sent after `at`.
struct Retry {
    owed: Owed,
    at: Instant,
    arrival_ms: i64,
}

/// The drainer's state.
pub(super) struct Work {
    parts: Parts,
    cursor: Cursor,
    feed: Feed,
    slots: BTreeMap<u64, Slot>,
    retries: BTreeMap<u64, Retry>,
    flags: Arc<Flags>,
    /// Batches that may be in the client at once.
    window: usize,
    /// Batches that this drainer handed to the client.
    handed: usize,
    /// Bytes of all batches that it watches there.
    out_bytes: usize,
    /// Whether lateness was told to the breaker already.
    told_late: bool,
    wake: Sender<()>,
    woken: Receiver<()>,
    saved: (u64, Instant),
    progress: Progress,
}

impl Work {
    pub(super) fn new(parts: Parts, cursor: Cursor, next: u64, flags: Arc<Flags>) -> Self {
        let (wake, woken) = bounded(1);
        let Line { journal, name, place, backlog, born_seq, rides, .. } = &parts.line;
        let (place, rides) = (*place, *rides);
        let owed_of = move |parcel: &Parcel| {
            let mut owed = vec![Owed::default(); place + 1];
            if rides && let Some(mine) = owed.last_mut() {
                *mine = parcel.owed();
            }
            owed
        };
        let (log, refine) = (journal.clone(), Arc::clone(&parts.refine));
        let feed = Feed::new(log, next, *born_seq, refine, Box::new(owed_of));
        backlog.handed(next);
        let (saved, progress) = ((next, Instant::now()), Progress::new(name));
        Self {
            parts,
            cursor,
            feed,
            slots: BTreeMap::new(),
            retries: BTreeMap::new(),
            flags,
            window: 0,
            handed: 0,
            out_bytes: 0,
            told_late: false,
            wake,
            woken,
            saved,
            progress,
        }
    }

    /// The line that it works on.
    pub(super) fn name(&self) -> &str {
        &self.parts.line.name
    }

    /// Works until `stopping`.
    pub(super) fn run(
        &mut self,
        stopped: &Receiver<()>,
        stopping: &AtomicBool,
    ) -> Result<(), Error> {
        while !stopping.load(Ordering::Acquire) {
            self.reap();
            self.window = self.gate().min(WINDOW_MAX);
            self.resend(self.room())?;
            let fed = self.fill()?;
            self.flags.stuck.store(false, Ordering::Release);
            self.tell();
            if self.saved.1.elapsed() >= CURSOR_EVERY {
                self.save_cursor();
            }
            if !fed {
                self.wait(stopped);
            }
        }
        self.reap();
        Ok(())
    }

    /// How many batches may be handed over now.
    fn room(&self) -> usize {
        let full = self.out_bytes >= WINDOW_BYTES_MAX
            || self.retries.len() >= RETRIES_MAX
            || self.flags.paused.load(Ordering::Acquire);
        if full { 0 } else { self.window.saturating_sub(self.handed) }
    }

    /// How many batches the breakers let through at once. Before a probe that would sit in the
    /// client for long, the cluster is asked how things look; with nothing to send, that is the
    /// probe.
    fn gate(&self) -> usize {
        let Parts { health, cluster, topic, probe_topic, .. } = &self.parts;
        let mut window = health.cluster().window();
        let breaker = match topic {
            Some(breaker) => {
                window = window.min(breaker.window());
                &**breaker
            }
            None => health.cluster(),
        };
        if window == 0 || self.handed >= window || breaker.is_closed() {
            return window;
        }
        let has_nothing = self.retries.is_empty()
            && self.slots.is_empty()
            && self.feed.next_seq() > self.parts.line.journal.synced();
        match cluster.looks_well(probe_topic) {
            Ok(()) if has_nothing => breaker.success(),
            Ok(()) => {}
            Err(cause) => {
                tracing::debug!(topic = probe_topic, cause, "not yet");
                breaker.failure("not there");
                return 0;
            }
        }
        window
    }

    /// Hands over what fits; `true` when it may be worth trying again at once.
    fn fill(&mut self) -> Result<bool, Error> {
        for _ in 0..64 {
            if self.room() == 0 {
                return Ok(false);
            }
            let Some(fed) = self.feed.advance()? else {
                self.parts.line.backlog.handed(self.feed.next_seq());
                return Ok(false);
            };
            self.hand(fed);
            self.parts.line.backlog.handed(self.feed.next_seq());
        }
        Ok(true)
    }

    fn hand(&mut self, fed: Fed) {
        let Fed { seq, parcel, owed } = fed;
        let settled = self.parts.settled.remove(&seq);
        let Some(owed) = settled.or_else(|| owed.into_iter().nth(self.parts.line.place)) else {
            return;
        };
        match parcel {
            _ if owed.is_empty() => {}
            Some(parcel) => self.produce(seq, &parcel, owed),
            None => {
                // Its records are inside the client already: reports are waited for, not resent.
                self.slots.insert(seq, Slot::Awaited);
                self.adopt(seq);
            }
        }
    }

    fn produce(&mut self, seq: u64, parcel: &Arc<Parcel>, owed: Owed) {
        let (owed, was_parked) = self.park(seq, parcel, owed);
        if was_parked {
            self.note(seq, &owed);
        }
        if owed.is_empty() {
            return;
        }
        let wake = Some(self.wake.clone());
        let tracker = self.parts.cluster.produce(parcel, owed.clone(), wake);
        self.handed += 1;
        self.put_out(seq, tracker, owed, false);
    }

    fn put_out(&mut self, seq: u64, tracker: Arc<Tracker>, mask: Owed, was_pending: bool) {
        // The client copies what it takes, and the charge knows.
        let bytes = usize::try_from(tracker.parcel().charge.bytes()).unwrap_or(usize::MAX);
        self.out_bytes = self.out_bytes.saturating_add(bytes);
        self.slots.insert(seq, Slot::Out(Out { tracker, mask, bytes, was_pending }));
    }

    fn adopt(&mut self, seq: u64) {
        if let Some(pending) = self.parts.line.backlog.claim(seq) {
            self.put_out(seq, pending.tracker, pending.mask, true);
        }
    }

    /// Moves what belongs to parked topics to their logs; gives the rest. What a log does not take
    /// stays here.
    fn park(&self, seq: u64, parcel: &Parcel, owed: Owed) -> (Owed, bool) {
        let Some(parks) = &self.parts.parks else { return (owed, false) };
        let (mut rest, shares) = parks.part(parcel, owed);
        let mut was_parked = false;
        for share in shares {
            match parks.put(&share, parcel) {
                Ok(()) => was_parked = true,
                Err(error) => {
                    tracing::debug!(%error, seq, "not parked; it stays in the journal");
                    rest.extend(&share.1);
                }
            }
        }
        (rest, was_parked)
    }

    /// Settles what has all its reports.
    fn reap(&mut self) {
        let awaited = |slot: &Slot| matches!(slot, Slot::Awaited);
        let seqs: Vec<u64> =
            self.slots.iter().filter(|(_, slot)| awaited(slot)).map(|(seq, _)| *seq).collect();
        for seq in seqs {
            self.adopt(seq);
        }
        let done = |slot: &Slot| match slot {
            Slot::Out(out) => !out.tracker.is_out(&out.mask),
            Slot::Awaited => false,
        };
        let seqs: Vec<u64> =
            self.slots.iter().filter(|(_, slot)| done(slot)).map(|(seq, _)| *seq).collect();
        for seq in seqs {
            if let Some(Slot::Out(out)) = self.slots.remove(&seq) {
                self.handed -= usize::from(!out.was_pending);
                self.out_bytes = self.out_bytes.saturating_sub(out.bytes);
                self.settle(seq, &out);
            }
        }
    }

    fn settle(&mut self, seq: u64, out: &Out) {
        let parcel = out.tracker.parcel();
        let undeliverable = out.tracker.take_undeliverable(&out.mask);
        let mut left = out.tracker.left().and(&out.mask);
        for (bit, reason) in undeliverable {
            let (_, bytes) = sinks::original(parcel, bit);
            let facts = &parcel.record.facts;
            if let Err(error) = dead::keep(&self.parts.dead_dir, facts, bit, reason, &bytes) {
                tracing::error!(%error, seq, "a dead letter could not be kept; it stays owed");
                left.insert(bit);
            }
        }
        let (left, was_parked) = self.park(seq, parcel, left);
        if out.was_pending || was_parked {
            self.note(seq, &left);
        }
        if left.is_empty() {
            self.progress.settled(out.bytes);
            if let Some(breaker) = &self.parts.topic {
                breaker.success();
            }
        } else {
            let (at, arrival_ms) = (Instant::now() + RETRY_AFTER, parcel.record.facts.arrival_ms);
            self.retries.insert(seq, Retry { owed: left, at, arrival_ms });
        }
    }

    /// Notes what a frame still owes, so that a restart does not send again what has arrived.
    fn note(&self, seq: u64, left: &Owed) {
        let cluster = u8::try_from(self.parts.line.place).unwrap_or(u8::MAX);
        let draft = Draft::Settle { record: seq, cluster, owed: left };
        if let Err(error) = self.parts.line.journal.append_quiet(draft) {
            tracing::debug!(%error, seq, "not noted as settled; a restart sends it again");
        }
    }

    /// Sends again what came back, read from the log.
    fn resend(&mut self, room: usize) -> Result<(), Error> {
        let now = Instant::now();
        // Fresh batches get their share of the window.
        let room = if room > 4 { room / 4 } else { room };
        let due = self.retries.iter().filter(|(_, retry)| retry.at <= now);
        let seqs: Vec<u64> = due.map(|(seq, _)| *seq).take(room).collect();
        for seq in seqs {
            let frame = self.parts.line.journal.reader(seq).next_frame()?;
            let record = frame.filter(|frame| frame.seq == seq).map(|frame| frame.entry);
            let parcel = match record {
                Some(Entry::Record { record, .. }) => (self.parts.refine)(record).ok(),
                _ => None,
            };
            let Some(parcel) = parcel else {
                // It stays owed, and the cursor stays before it.
                metrics::counter!(names::UNREADABLE).increment(1);
                tracing::error!(seq, "a frame to be sent again cannot be read; trying again");
                if let Some(retry) = self.retries.get_mut(&seq) {
                    retry.at = now + REREAD_AFTER;
                }
                continue;
            };
            if let Some(retry) = self.retries.remove(&seq) {
                self.produce(seq, &Arc::new(parcel), retry.owed);
            }
        }
        Ok(())
    }

    /// Tells the live path whether to queue up behind, and the breakers of what is late.
    fn tell(&mut self) {
        // The oldest one tells: those behind it are younger.
        let late = self.slots.values().find_map(|slot| match slot {
            Slot::Out(out) => Some(out.tracker.age() > self.parts.divert),
            Slot::Awaited => None,
        });
        let late = late == Some(true);
        if late && !self.told_late {
            match &self.parts.topic {
                Some(breaker) => breaker.failure("late"),
                None => self.parts.health.cluster().failure("late"),
            }
        }
        self.told_late = late;
        self.parts.line.backlog.set_troubled(!self.retries.is_empty() || late);
    }

    fn settled_below(&self) -> u64 {
        let next = self.feed.next_seq();
        let first = |seq: Option<&u64>| seq.copied().unwrap_or(next);
        first(self.slots.keys().next()).min(first(self.retries.keys().next()))
    }

    /// Writes how far everything is settled, and frees what lies below.
    pub(super) fn save_cursor(&mut self) {
        let (next, line) = (self.settled_below(), &self.parts.line);
        if next != self.saved.0 {
            match self.cursor.save(next) {
                Ok(()) => {
                    self.saved.0 = next;
                    line.journal.set_owed_from(line.sink, next);
                    if let Err(error) = line.journal.trim(next, 0, 0, crate::clock::now_ms()) {
                        tracing::error!(%error, "journal segments could not be freed");
                    }
                }
                Err(error) => tracing::error!(%error, "a drainer's cursor could not be saved"),
            }
        }
        self.saved.1 = Instant::now();
        let oldest = match (self.slots.values().next(), self.retries.values().next()) {
            (Some(Slot::Out(out)), _) => Some(out.tracker.parcel().record.facts.arrival_ms),
            (_, Some(retry)) => Some(retry.arrival_ms),
            _ if next > line.journal.synced() => None,
            _ => arrival_ms(&line.journal, next),
        };
        self.progress.show(line, next, oldest);
    }

    fn wait(&mut self, stopped: &Receiver<()>) {
        // With a full window only reports can help; else fresh batches can as well.
        let never = crossbeam_channel::never();
        let fresh = if self.room() == 0 { &never } else { self.feed.follower() };
        let idle = self.slots.is_empty() && self.retries.is_empty();
        let patience = if idle { IDLE_WAIT } else { Duration::from_millis(20) };
        let followed = select! {
            recv(self.woken) -> _ => None,
            recv(stopped) -> _ => None,
            recv(fresh) -> followed => followed.ok(),
            default(patience) => None,
        };
        if let Some(followed) = followed {
            self.feed.put_back(followed);
        }
    }
}
