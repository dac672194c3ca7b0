//! The one thread that writes segments: take a group, write it, sync it, tell everybody.
//!
//! In: groups from the queue. Out: durable frames, woken waiters, fed followers. Must never
//! acknowledge before the sync, sync a file twice after a failure, or write behind a failed group:
//! what follows goes to a fresh file.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::TrySendError;

use super::Error;
use super::disk::DiskFile;
use super::frame::{self, HEADER_BYTES, Header, Seed};
use super::queue::{Pending, Taken};
use super::segment::{self, FIRST_AT, Start};
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
    /// A file that holds nothing and could not be deleted.
    leftover: Option<String>,
}

/// A group as large as this says that many append at once, and that more are on their way.
const BUSY_FRAMES: usize = 8;

/// The segment that is being written.
struct Active {
    file: Box<dyn DiskFile>,
    name: String,
    /// Bytes that are durable.
    bytes: u64,
}

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
            match self.shared.queue.take(&mut self.group, self.probe_at) {
                Taken::Group => self.commit(),
                Taken::Nothing => self.probe(),
                Taken::Closed => return,
            }
        }
    }

    /// Does what is there to do, without waiting.
    #[cfg(test)]
    pub(super) fn turn(&mut self) {
        if self.shared.queue.poll(&mut self.group) == Taken::Group {
            self.commit();
        }
    }

    /// Looks whether a segment can be created again.
    pub(super) fn probe(&mut self) {
        if self.probe_at.take().is_some() && self.begin().is_ok() {
            tracing::info!("journal is up again");
            self.shared.meters.down.set(0.0);
            self.shared.down.store(false, Ordering::Release);
        }
    }

    fn commit(&mut self) {
        self.last_group = self.group.len();
        let bytes: u64 = self.group.iter().map(Pending::bytes).sum();
        let began = Instant::now();
        match self.write(bytes) {
            Ok(()) => {
                let meters = &self.shared.meters;
                meters.syncs.increment(1);
                let spent_us = began.elapsed().as_micros();
                meters.sync_us.increment(u64::try_from(spent_us).unwrap_or(u64::MAX));
                meters.frames.increment(self.group.len() as u64);
                meters.bytes.increment(bytes);
                self.publish();
            }
            Err(error) => {
                self.shared.meters.failures.increment(1);
                tracing::error!(%error, entries = self.group.len(), "journal group failed");
                for pending in self.group.drain(..) {
                    tell(pending.waiter, Err(error.clone()));
                }
            }
        }
        self.shared.queue.release(bytes);
    }

    /// Writes and syncs the group. When this fails, nothing of the group counts.
    fn write(&mut self, bytes: u64) -> Result<(), Error> {
        if self.probe_at.is_some() {
            return Err(Error::Down);
        }
        let full = self.active.as_ref().is_some_and(|active| {
            active.bytes > FIRST_AT && active.bytes + bytes > self.shared.settings.segment_bytes
        });
        if full {
            // Its last group is synced, so nothing is left to do for it.
            self.active = None;
        }
        if self.active.is_none() {
            self.begin()?;
        }
        let Some(active) = &mut self.active else { return Err(Error::Down) };
        let first = self.next_seq;
        for (pending, place) in self.group.iter_mut().zip(0u16..) {
            number(pending, self.next_seq, place, self.shared.seed);
            self.next_seq += 1;
        }
        let written = active
            .file
            .append(&mut slices(&self.group))
            .map_err(|source| Error::disk("write", &active.name, source))
            .and_then(|()| {
                active.file.sync().map_err(|source| Error::disk("sync", &active.name, source))
            });
        if let Err(error) = written {
            self.poison();
            return Err(error);
        }
        active.bytes += bytes;
        let (last, end) = (self.next_seq - 1, active.bytes);
        self.shared.with_table(|table| table.grow(first, last, end));
        Ok(())
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

    /// Begins a segment: durable content first, then its durable name, and only then frames.
    pub(super) fn begin(&mut self) -> Result<(), Error> {
        let begun = self.try_begin();
        if begun.is_err() {
            self.fall();
        }
        begun
    }

    fn try_begin(&mut self) -> Result<(), Error> {
        let disk = Arc::clone(&self.shared.disk);
        if let Some(name) = &self.leftover {
            disk.unlink(name).map_err(|source| Error::disk("delete", name, source))?;
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
        let name = segment::name(first);
        // Whatever becomes of it, this name is used up.
        self.next_seq += 1;
        let file = disk.create_new(&name).map_err(|source| Error::disk("create", &name, source))?;
        let prepared = file
            .append(&mut [IoSlice::new(&start.encode())])
            .and_then(|()| file.sync())
            .and_then(|()| disk.sync_names());
        if let Err(source) = prepared {
            drop(file);
            self.remove(&name);
            return Err(Error::disk("prepare", &name, source));
        }
        self.next_seq = first;
        self.shared.with_table(|table| table.push(Segment::begun(first, created_ms)));
        self.active = Some(Active { file, name, bytes: FIRST_AT });
        Ok(())
    }

    /// Gives the segment up: after a failed sync nobody knows what it holds beyond the last one.
    fn poison(&mut self) {
        let Some(active) = self.active.take() else { return };
        if active.bytes > FIRST_AT {
            if let Err(error) = active.file.truncate(active.bytes) {
                tracing::warn!(%error, name = active.name, "cannot cut a failed segment");
            }
            return;
        }
        self.shared.with_table(Table::drop_newest);
        drop(active.file);
        self.remove(&active.name);
        // A fresh file failed as well: that is the disk, not the file.
        self.fall();
    }

    fn remove(&mut self, name: &str) {
        if let Err(error) = self.shared.disk.unlink(name) {
            tracing::warn!(%error, name, "cannot delete an unused segment");
            self.leftover = Some(name.to_owned());
        }
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
