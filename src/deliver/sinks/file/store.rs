//! The store itself: takes batches, makes them visible, and makes them durable at checkpoints.
//!
//! In: batches that are durable in the journal, in its order. Out: visible lines at every flush, at
//! every checkpoint the number below which the journal is not needed any more. Must never take a
//! batch in part, nor say that a number is safe before a sync has said so.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::checkpoint::Checkpoint;
use super::lanes::{self, Lanes, Seen};
use super::part::Part;
use super::partition::Window;
use super::parts::Parts;
use super::{Error, Settings, recover};
use crate::model::{LaneId, Parcel, Routed};

/// The embedded store, open for writing. Dropping it is safe and keeps no line that still waits.
///
/// **Why every event is in the files exactly once.** Checkpoint `G` names the first batch that it
/// does not cover and the lengths of the files that may still grow; files made behind it have
/// `G + 1` in their names. Before it replaces the one before, all bytes, folders and names are
/// synced, so whatever it covers survives a power cut. Opening undoes whatever came later, then the
/// journal gives it again:
/// - files of generation `G + 1` hold later events only: emptied, synced, removed;
/// - listed files hold later events only behind their listed length: cut there and synced;
/// - files of a generation up to `G` that are not listed were complete and synced at that or an
///   earlier checkpoint and were never opened again: left alone;
/// - a listed file that a user removed or shortened is reported and left, and never grows again.
///
/// Users may remove files and folders at any time; what is written later begins a new file. The
/// first checkpoint is written before the first file, so event files without one mean that somebody
/// took it away: the store refuses to guess. The checkpoint's own name is synced again when the
/// store is opened, before anybody frees the journal on its word. Which type has its own lane
/// follows from the types in the checkpoint and the order of the batches behind it.
///
/// **After an error.** `Error::Io` (a full disk): no line is lost, the file is cut back to its last
/// whole write, the lines wait in memory, and a batch is taken whole or not at all: make the same
/// call again, a little later. `Error::Broken` (a failed sync, a cut that failed): drop the store,
/// open it, and hand over the journal from `next_seq` on. A reader that looks during a write may
/// see the last line cut short; the next look shows it whole.
pub struct Store {
    /// Locked, so that one process writes.
    root: File,
    window: Window,
    lanes: Lanes,
    pub(super) parts: Parts,
    next_seq: Option<u64>,
    /// `next_seq` of the checkpoint on the disk.
    settled_seq: Option<u64>,
    bytes_since: u64,
    flush_from_ms: Option<i64>,
    checkpoint_from_ms: Option<i64>,
    broken: bool,
}

/// What opening found and did.
#[derive(Debug, Default)]
pub struct Opened {
    /// The first batch that is not in the files; `None` if nothing ever was: begin with the oldest.
    pub next_seq: Option<u64>,
    /// Files that were newer than the checkpoint; their events come again.
    pub removed_files: u64,
    /// Files that were cut back to the checkpoint; their later events come again.
    pub truncated_files: u64,
    /// Files that somebody removed since the checkpoint; their events do not come again.
    pub missing_files: Vec<PathBuf>,
    /// Files that somebody shortened since the checkpoint; they are left as they are.
    pub short_files: Vec<PathBuf>,
}

impl Store {
    /// Opens the store in a folder, which is made if it is not there, and brings it back to its
    /// checkpoint. Batches from `next_seq` on have to be written again.
    pub fn open(dir: &Path, settings: &Settings) -> Result<(Self, Opened), Error> {
        recover::make_root(dir)?;
        let root = File::open(dir).map_err(Error::io("open", dir))?;
        match root.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked(dir.to_owned())),
            Err(TryLockError::Error(error)) => {
                tracing::warn!(path = %dir.display(), %error, "this filesystem has no locks");
            }
        }
        let checkpoint = recover::first_or_last(dir)?;
        let mut lanes = Lanes::new(settings.types_max, &checkpoint.types);
        let mut parts = Parts::new(dir, settings, checkpoint.generation);
        let next_seq = checkpoint.next_seq;
        let found = recover::recover(dir, checkpoint)?;
        let kept = found.kept.into_iter().map(|listed| {
            let lane = lanes.number(&listed.lane);
            Part {
                made: Some((listed.generation, listed.number)),
                bytes: listed.bytes,
                idle: listed.idle,
                ..Part::new(lane, lanes.name(lane), listed.hour)
            }
        });
        parts.adopt(kept.collect());
        let opened = Opened {
            next_seq,
            removed_files: found.removed,
            truncated_files: found.truncated,
            missing_files: found.missing,
            short_files: found.short,
        };
        let store = Self {
            root,
            window: Window::new(settings),
            lanes,
            parts,
            next_seq,
            settled_seq: next_seq,
            bytes_since: 0,
            flush_from_ms: None,
            checkpoint_from_ms: None,
            broken: false,
        };
        Ok((store, opened))
    }

    /// Takes a batch whose frame is durable in the journal, or nothing of it. Numbers rise, with
    /// gaps. Its lines become visible with the next [`Self::flush`].
    pub fn write(&mut self, seq: u64, parcel: &Parcel) -> Result<(), Error> {
        let taken = self.take(seq, parcel);
        self.noted(taken)
    }

    /// Tells that everything below holds nothing for the store, so that it is not asked for again.
    pub fn pass(&mut self, below_seq: u64) {
        self.next_seq = self.next_seq.max(Some(below_seq));
    }

    /// The journal is another one, whose numbers begin anew: the next batch has this one.
    pub fn restart_at(&mut self, seq: u64) -> Result<(), Error> {
        self.next_seq = Some(seq);
        self.checkpoint().map(|_| ())
    }

    /// Makes every line visible to readers.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.usable()?;
        self.flush_from_ms = None;
        let flushed = self.parts.flush();
        self.noted(flushed)
    }

    /// Makes everything durable; gives the number below which the journal is not needed any more.
    pub fn checkpoint(&mut self) -> Result<u64, Error> {
        let settled = self.settle();
        self.noted(settled)
    }

    /// Whether lines have waited for `flush_ms`. The first call after a line came begins the wait.
    pub fn flush_due(&mut self, now_ms: i64) -> bool {
        let limit_ms = self.parts.limits.flush_ms;
        self.parts.waits() && waited(&mut self.flush_from_ms, now_ms, limit_ms)
    }

    /// Whether batches have waited for `checkpoint_ms`, or `checkpoint_bytes` have come. The first
    /// call after a batch came begins the wait.
    pub fn checkpoint_due(&mut self, now_ms: i64) -> bool {
        let Settings { checkpoint_ms, checkpoint_bytes, .. } = self.parts.limits;
        self.bytes_since >= checkpoint_bytes.max(1)
            || self.next_seq != self.settled_seq
                && waited(&mut self.checkpoint_from_ms, now_ms, checkpoint_ms)
    }

    /// The first batch that is not taken yet.
    pub fn next_seq(&self) -> Option<u64> {
        self.next_seq
    }

    /// The first batch that is not durable yet; the journal is needed from there on.
    pub fn settled_seq(&self) -> Option<u64> {
        self.settled_seq
    }

    /// Event types without a route and how often they came, most frequent first.
    pub fn seen(&self) -> Vec<Seen> {
        lanes::seen(&self.lanes.kinds())
    }

    fn take(&mut self, seq: u64, parcel: &Parcel) -> Result<(), Error> {
        self.usable()?;
        if let Some(next) = self.next_seq.filter(|next| seq < *next) {
            return Err(Error::Order { seq, next });
        }
        let routed = &parcel.routed;
        if let Some(row) = routed.rows.iter().position(|row| !is_line(routed, row.value)) {
            return Err(Error::Row { seq, row });
        }
        if self.parts.list_is_full(self.parts.list.len()) {
            self.settle()?;
        }
        self.parts.make_room(routed.values.len())?;
        // From here on nothing can fail.
        self.place(parcel);
        self.next_seq = Some(seq + 1);
        self.bytes_since += routed.values.len() as u64;
        self.parts.meters.events.increment(routed.rows.len() as u64);
        Ok(())
    }

    fn place(&mut self, parcel: &Parcel) {
        let Routed { values, rows, lanes, .. } = &parcel.routed;
        let hours = self.window.around(parcel.record.facts.arrival_ms);
        self.lanes.route_by(lanes);
        let mut kind: (&[u8], u32) = (b"", 0);
        let (mut run_part, mut run) = (0, 0..0);
        for row in rows {
            let lane = if row.lane == LaneId::OTHER {
                let name = row.kind.of(values);
                if name != kind.0 {
                    kind = (name, self.lanes.kind(name));
                }
                self.lanes.count(kind.1, 1)
            } else {
                self.lanes.routed(row.lane)
            };
            let part = self.parts.find(lane, hours.of(row.ts_ms), &self.lanes);
            let span = row.value.start as usize..row.value.end as usize + 1;
            if part == run_part && span.start == run.end {
                run.end = span.end;
                continue;
            }
            if !run.is_empty() {
                self.parts.push(run_part, &values[run]);
            }
            (run_part, run) = (part, span);
        }
        if !run.is_empty() {
            self.parts.push(run_part, &values[run]);
        }
    }

    fn settle(&mut self) -> Result<u64, Error> {
        self.usable()?;
        if self.next_seq == self.settled_seq {
            return Ok(self.next_seq.unwrap_or(0));
        }
        let began = Instant::now();
        self.parts.flush()?;
        self.parts.sync(&self.root)?;
        self.parts.finish();
        let mut checkpoint = Checkpoint::new(self.parts.generation + 1, self.next_seq);
        checkpoint.files = self.parts.listed();
        checkpoint.types = self.lanes.kinds();
        checkpoint.write(&self.parts.root)?;
        self.parts.settled(checkpoint.generation);
        self.settled_seq = self.next_seq;
        self.bytes_since = 0;
        (self.flush_from_ms, self.checkpoint_from_ms) = (None, None);
        self.parts.meters.checkpoint_seconds.record(began.elapsed());
        Ok(self.next_seq.unwrap_or(0))
    }

    fn usable(&self) -> Result<(), Error> {
        if self.broken { Err(Error::GivenUp) } else { Ok(()) }
    }

    /// Counts an error; after one that breaks the store somebody else may open it.
    fn noted<T>(&mut self, done: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &done {
            self.parts.meters.errors.increment(1);
            if error.is_broken() && !std::mem::replace(&mut self.broken, true) {
                tracing::error!(%error, "the event store has to be rebuilt from its checkpoint");
                if let Err(error) = self.root.unlock() {
                    tracing::debug!(%error, "the lock goes with the process");
                }
            }
        }
        done
    }
}

/// The event types that a store has seen, from its checkpoint; the store may be in use.
pub fn seen(dir: &Path) -> Result<Vec<Seen>, Error> {
    let checkpoint = Checkpoint::read(dir)?;
    Ok(checkpoint.map(|checkpoint| lanes::seen(&checkpoint.types)).unwrap_or_default())
}

/// Whether a span is one line of the values and the line feed behind it.
fn is_line(routed: &Routed, value: crate::model::Span) -> bool {
    value.start <= value.end && routed.values.get(value.end as usize) == Some(&b'\n')
}

fn waited(from_ms: &mut Option<i64>, now_ms: i64, limit_ms: u64) -> bool {
    // A clock that was set back begins the wait anew.
    let from_ms = from_ms.get_or_insert(now_ms);
    *from_ms = now_ms.min(*from_ms);
    now_ms.abs_diff(*from_ms) >= limit_ms
}
