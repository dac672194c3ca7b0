//! The one thread that writes segments: take a group, write it, sync it, tell everybody.
//!
//! In: groups from the queue. Out: durable frames, woken waiters, fed followers. A group that fails
//! is written once more, to a fresh segment; if that fails too the journal is down. Must never
//! acknowledge before the sync.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::TrySendError;

use super::Error;
use super::active::Active;
use super::frame::{self, HEADER_BYTES, Header, Seed};
use super::queue::{Pending, Taken};
use super::segment::{FIRST_AT, Start};
use super::shared::{Followed, Shared};
use super::table::{Segment, Table};

/// The writer's own state.
pub(super) struct Writer {
    shared: Arc<Shared>,
    active: Option<Active>,
    group: Vec<Pending>,
    /// Entries of the last group.
    last_group: usize,
    next_seq: u64,
    /// Everything below this and above the last record that was followed is no record.
    follow_from: u64,
    /// When the journal is down: when to probe the disk.
    probe_at: Option<Instant>,
    /// When to look how much of the disk is free.
    look_at: Instant,
    /// A file that holds nothing and could not be deleted.
    leftover: Option<String>,
}

/// A group as large as this says that many append at once, and that more are on their way.
const BUSY_FRAMES: usize = 8;
/// How often the writer looks how much of the disk is free.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, next_seq: u64) -> Self {
        Self {
            shared,
            active: None,
            group: Vec::new(),
            last_group: 0,
            next_seq,
            follow_from: next_seq,
            probe_at: None,
            look_at: Instant::now() + LOOK_EVERY,
            leftover: None,
        }
    }

    /// Runs until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let gather = Duration::from_micros(self.shared.settings.gather_us);
        loop {
            // Each sync and each round of wake-ups costs the same for few entries as for many.
            if self.last_group >= BUSY_FRAMES && !gather.is_zero() {
                std::thread::sleep(gather);
            }
            let until = self.probe_at.map_or(self.look_at, |at| at.min(self.look_at));
            match self.shared.queue.take(&mut self.group, Some(until)) {
                Taken::Group => self.commit(),
                Taken::Nothing => {}
                Taken::Closed => break,
            }
            let now = Instant::now();
            if self.look_at <= now {
                self.look_at = now + LOOK_EVERY;
                self.look();
            }
            if self.probe_at.is_some_and(|at| at <= now) {
                self.probe();
            }
        }
        if let Some(active) = self.active.take() {
            active.seal();
        }
    }

    /// Does what is there to do, without waiting.
    #[cfg(test)]
    pub(super) fn turn(&mut self) {
        if self.shared.queue.poll(&mut self.group) == Taken::Group {
            self.commit();
        }
    }

    /// Looks how much of the disk is free.
    pub(super) fn look(&mut self) {
        let room = &self.shared.room;
        room.look();
        if !room.is_short()
            && let Some(active) = &mut self.active
            && let Err(error) = active.widen(room, room.segment_bytes())
        {
            room.ran_out(&error);
        }
        self.shared.meters.show_lacking(room.lacking_bytes());
    }

    /// Looks whether a segment can be created again.
    pub(super) fn probe(&mut self) {
        if self.probe_at.take().is_none() {
            return;
        }
        self.shared.room.look();
        match self.begin(0) {
            Ok(()) => {
                tracing::info!("journal is up again");
                self.shared.meters.down.set(0.0);
                self.shared.down.store(false, Ordering::Release);
            }
            Err(error) => {
                self.learn(&error);
                self.fall();
            }
        }
    }

    fn commit(&mut self) {
        self.last_group = self.group.len();
        let taken = bytes(&self.group);
        if self.probe_at.is_some() {
            self.refuse(&Error::Down);
        } else {
            self.write_or_refuse();
        }
        self.shared.queue.release(taken);
    }

    fn write_or_refuse(&mut self) {
        let began = Instant::now();
        self.roll();
        if self.group.is_empty() {
            return;
        }
        let mut written = self.write();
        if let Err(error) = &written {
            let entries = self.group.len();
            tracing::error!(%error, entries, "journal group failed; once more in a fresh segment");
            self.learn(error);
            written = self.write();
            self.shared.meters.rewritten.increment(u64::from(written.is_ok()));
        }
        match written {
            Ok(()) => {
                let meters = &self.shared.meters;
                meters.syncs.increment(1);
                let spent_us = began.elapsed().as_micros();
                meters.sync_us.increment(u64::try_from(spent_us).unwrap_or(u64::MAX));
                meters.frames.increment(self.group.len() as u64);
                meters.bytes.increment(bytes(&self.group));
                self.publish();
            }
            Err(error) => {
                tracing::error!(%error, entries = self.group.len(), "journal group failed again");
                self.learn(&error);
                self.fall();
                self.refuse(&error);
            }
        }
    }

    /// Seals a segment that is full. Where one has to be begun and the disk has no room for it,
    /// records are refused; settlements go on, because they make room.
    fn roll(&mut self) {
        let grown = |active: &Active| active.bytes() + bytes(&self.group);
        let segment_bytes = self.shared.room.segment_bytes();
        let full = |active: &Active| !active.is_empty() && grown(active) > segment_bytes;
        if self.active.as_ref().is_some_and(full)
            && let Some(active) = self.active.take()
        {
            active.seal();
        }
        if self.active.is_some() {
            return;
        }
        self.look();
        let room = &self.shared.room;
        if room.is_short() {
            let error = Error::Full { limit: "min_free_bytes", bytes_max: room.floor_bytes() };
            let is_record = |pending: &mut Pending| pending.encoded.kind == frame::RECORD;
            for pending in self.group.extract_if(.., is_record) {
                self.shared.meters.refused_free.increment(1);
                tell(pending.waiter, Err(error.clone()));
            }
        }
    }

    /// Writes and syncs the group. When this fails, nothing of the group counts.
    fn write(&mut self) -> Result<(), Error> {
        let bytes = bytes(&self.group);
        if self.active.is_none() {
            self.begin(bytes)?;
        }
        let Some(active) = &mut self.active else { return Err(Error::Down) };
        let first = self.next_seq;
        for (pending, place) in self.group.iter_mut().zip(0u16..) {
            number(pending, self.next_seq, place, self.shared.seed);
            self.next_seq += 1;
        }
        if let Err(error) = active.commit(&mut slices(&self.group), bytes) {
            self.poison();
            return Err(error);
        }
        let (last, end) = (self.next_seq - 1, active.bytes());
        self.shared.with_table(|table| table.grow(first, last, end));
        Ok(())
    }

    /// Notes a failure, and what it says about the room on the disk.
    fn learn(&mut self, error: &Error) {
        self.shared.meters.failures.increment(1);
        if let Some(source) = error.system() {
            self.shared.room.ran_out(source);
            self.shared.meters.show_lacking(self.shared.room.lacking_bytes());
        }
    }

    fn refuse(&mut self, error: &Error) {
        for pending in self.group.drain(..) {
            tell(pending.waiter, Err(error.clone()));
        }
    }

    /// Readers first, then the followers, then the waiters.
    fn publish(&mut self) {
        let last = self.next_seq - 1;
        let first = self.next_seq - self.group.len() as u64;
        self.shared.set_synced(last);
        self.follow(first);
        for (pending, seq) in self.group.drain(..).zip(first..) {
            tell(pending.waiter, Ok(seq));
        }
    }

    /// Feeds the followers; a full channel is a gap that they will notice.
    fn follow(&mut self, first: u64) {
        let mut followers = self.shared.followers.lock();
        for (pending, seq) in self.group.iter_mut().zip(first..) {
            if pending.encoded.kind != frame::RECORD {
                continue;
            }
            let passenger = pending.passenger.take();
            let told = Followed { seq, from: self.follow_from, passenger };
            self.follow_from = seq + 1;
            followers.retain(|sender| match sender.try_send(told.clone()) {
                Ok(()) => true,
                Err(TrySendError::Full(_)) => {
                    self.shared.meters.unfollowed.increment(1);
                    true
                }
                Err(TrySendError::Disconnected(_)) => false,
            });
        }
    }

    /// Begins a segment with room for a group of so many bytes, and for all that may follow if the
    /// disk has as much.
    pub(super) fn begin(&mut self, bytes: u64) -> Result<(), Error> {
        let room = &self.shared.room;
        if let Some(name) = &self.leftover {
            room.disk.unlink(name).map_err(|source| Error::disk("delete", name, source))?;
            self.leftover = None;
        }
        let first = self.next_seq;
        let (previous, acknowledged, holes) =
            self.shared.table.lock().newest().map_or((0, 0, 0), |newest| {
                (newest.first, newest.last, u32::try_from(newest.holes).unwrap_or(u32::MAX))
            });
        let created_ms = crate::clock::now_ms();
        let journal = self.shared.journal;
        let start = Start { first, previous, acknowledged, journal, created_ms, holes };
        let wanted = FIRST_AT + bytes;
        let promise =
            if room.is_short() { wanted } else { wanted.max(self.shared.room.segment_bytes()) };
        match Active::begin(room, &start, promise) {
            Ok(active) => self.active = Some(active),
            Err(unbegun) => {
                // The name is used up: its deletion may be undone.
                self.next_seq += 1;
                self.leftover = unbegun.leftover;
                return Err(unbegun.error);
            }
        }
        self.shared.with_table(|table| table.push(Segment::begun(first, created_ms)));
        Ok(())
    }

    /// Gives the segment up: after a failed sync nobody knows what it holds beyond the last one.
    fn poison(&mut self) {
        let Some(active) = self.active.take() else { return };
        if active.is_empty() {
            self.shared.with_table(Table::drop_newest);
        }
        self.leftover = active.give_up(&self.shared.room);
    }

    /// Refuses appends until a probe succeeds.
    fn fall(&mut self) {
        self.probe_at = Some(Instant::now() + Duration::from_millis(self.shared.settings.probe_ms));
        if !self.shared.down.swap(true, Ordering::AcqRel) {
            tracing::error!("journal is down");
            self.shared.meters.down.set(1.0);
        }
    }
}

impl Drop for Writer {
    /// A writer that is gone, for whatever reason, takes nothing more.
    fn drop(&mut self) {
        self.shared.queue.abandon();
    }
}

/// Fills in the header, now that the seq is known.
fn number(pending: &mut Pending, seq: u64, place: u16, seed: Seed) {
    let encoded = &mut pending.encoded;
    let header = Header {
        kind: encoded.kind,
        flags: 0,
        place,
        seq,
        payload_bytes: encoded.payload_bytes,
        payload_crc: encoded.payload_crc,
    };
    if let Some(room) = encoded.head.first_chunk_mut::<HEADER_BYTES>() {
        *room = header.encode(seed);
    }
}

/// What a group takes on disk.
fn bytes(group: &[Pending]) -> u64 {
    group.iter().map(Pending::bytes).sum()
}

/// The bytes of a group, where they lie.
fn slices(group: &[Pending]) -> Vec<IoSlice<'_>> {
    const ZEROS: [u8; frame::ALIGN] = [0; frame::ALIGN];
    let mut slices = Vec::with_capacity(group.len() * 3);
    for Pending { encoded, .. } in group {
        let bytes = encoded.head.len() + encoded.body.len();
        let padding = bytes.next_multiple_of(frame::ALIGN) - bytes;
        let pieces = [&encoded.head[..], &encoded.body[..], &ZEROS[..padding]];
        slices.extend(pieces.into_iter().filter(|piece| !piece.is_empty()).map(IoSlice::new));
    }
    slices
}

fn tell(
    waiter: Option<tokio::sync::oneshot::Sender<Result<u64, Error>>>,
    outcome: Result<u64, Error>,
) {
    if let Some(waiter) = waiter
        && waiter.send(outcome).is_err()
    {
        // The client went away; its batch is as durable as any other.
        tracing::trace!("nobody waits for a journal entry any more");
    }
}
