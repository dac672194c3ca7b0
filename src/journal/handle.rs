//! The journal as everybody sees it: append, follow, read back, trim, close.
//!
//! In: drafts from the live path. Out: [`Appended`] promises, readers and cursors. Cheap to clone.
//! Must never do I/O on the thread of an append.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::model::Parcel;

use super::disk::{Directory, Disk, Space};
use super::queue::{Pending, Refusal};
use super::recover::recover;
use super::room::Room;
use super::shared::Shared;
use super::writer::Writer;
use super::{Appended, Cursor, Draft, Error, Followed, Reader, Recovered, Settings, Usage};

/// The one durable log of this node.
#[derive(Clone)]
pub struct Journal {
    open: Arc<Open>,
}

struct Open {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The longest name of a thread that Linux shows.
const THREAD_NAME_BYTES_MAX: usize = 15;

/// Opens the journal in a directory, recovers it, and starts its writer. A process may have
/// several, each in a directory of its own; the name tells them apart in metrics and logs.
pub fn open(
    name: &str,
    directory: &Path,
    settings: &Settings,
) -> Result<(Journal, Recovered), Error> {
    settings.check()?;
    let span = tracing::error_span!("journal", name);
    let entered = span.enter();
    let disk = Arc::new(Directory::claim(directory)?);
    let (journal, writer, recovered) = prepare(name, disk, settings)?;
    journal.warn_of_a_small_disk();
    let frames = recovered.corrupt_frames;
    if frames > 0 {
        tracing::error!(frames, "acknowledged frames are missing");
    }
    drop(entered);
    let thread = std::thread::Builder::new()
        .name(thread_name(name))
        .spawn(move || span.in_scope(|| writer.run()))
        .map_err(|source| Error::disk("start the writer of", "journal", source))?;
    *journal.open.thread.lock() = Some(thread);
    Ok((journal, recovered))
}

/// Recovers the journal on a disk; the writer does not run yet.
pub(super) fn prepare(
    name: &str,
    disk: Arc<dyn Disk>,
    settings: &Settings,
) -> Result<(Journal, Writer, Recovered), Error> {
    let room = Arc::new(Room::new(disk, settings));
    let opened = recover(&room, settings)?;
    room.look();
    let next_seq = opened.recovered.next_seq;
    let shared =
        Arc::new(Shared::new(name, room, settings.clone(), opened.journal, opened.table, next_seq));
    let writer = Writer::new(Arc::clone(&shared), next_seq);
    let journal = Journal { open: Arc::new(Open { shared, thread: Mutex::default() }) };
    Ok((journal, writer, opened.recovered))
}

impl Journal {
    /// Appends an entry. Never blocks: it is queued, or refused at once. The passenger is handed to
    /// every follower together with the seq.
    pub fn append(&self, draft: Draft<'_>, passenger: Option<Arc<Parcel>>) -> Appended {
        let (sender, receiver) = oneshot::channel();
        match self.queue(draft, Some(sender), passenger) {
            Ok(()) => Appended::waiting(receiver),
            Err(error) => Appended::refused(error),
        }
    }

    /// Appends and waits, on a thread that is not part of an async runtime.
    pub fn append_wait(
        &self,
        draft: Draft<'_>,
        passenger: Option<Arc<Parcel>>,
    ) -> Result<u64, Error> {
        self.append(draft, passenger).wait()
    }

    /// Appends what nobody waits for: it rides with the next group, or goes alone after `quiet_ms`.
    /// If it is lost, a record comes twice.
    pub fn append_quiet(&self, draft: Draft<'_>) -> Result<(), Error> {
        self.queue(draft, None, None)
    }

    /// The last seq that is durable. Stored before anybody is woken for it.
    pub fn synced(&self) -> u64 {
        self.open.shared.synced()
    }

    /// Whether the disk refuses, so that appends are refused too. The writer probes by itself.
    pub fn is_down(&self) -> bool {
        self.open.shared.down.load(Ordering::Acquire)
    }

    /// Every record from now on, once it is durable, in order; each call adds a follower, which
    /// ends when its receiver is dropped. What finds the channel full is not sent: after emptying
    /// the channel, and before it waits, a follower compares its position with [`Journal::synced`]
    /// and reads the log up to there.
    pub fn follow(&self) -> Receiver<Followed> {
        let (sender, receiver) = bounded(self.open.shared.settings.follow_max);
        self.open.shared.followers.lock().push(sender);
        receiver
    }

    /// Reads the log from a seq on.
    pub fn reader(&self, from_seq: u64) -> Reader {
        Reader::new(Arc::clone(&self.open.shared), from_seq)
    }

    /// Where a reader begins that wants the last `bytes`, or what there is of them.
    pub fn tail_seq(&self, bytes: u64) -> u64 {
        self.open.shared.with_table(|table| table.tail_seq(bytes)).min(self.synced() + 1)
    }

    /// The durable position of a sink.
    pub fn cursor(&self, sink: &str) -> Result<Cursor, Error> {
        let shared = &self.open.shared;
        let cursor = Cursor::open(Arc::clone(&shared.room), shared.journal, sink)?;
        shared.table.lock().attach(sink, cursor.durable());
        Ok(cursor)
    }

    /// Tells the lowest seq that is still owed to a sink; if its cursor is open, only what is saved
    /// there counts. Nothing at or above the lowest of all sinks is ever trimmed, and `bytes_max`
    /// counts from there. A sink that never said anything holds what its cursor file said at the
    /// start; everything is owed as long as there is no sink at all.
    pub fn set_owed_from(&self, sink: &str, seq: u64) {
        self.open.shared.set_owed_from(sink, seq, Instant::now());
    }

    /// Says that a sink is out of use, so that its cursor holds nothing back any more.
    pub fn release(&self, sink: &str) {
        self.open.shared.with_table(|table| table.release(sink));
    }

    /// Deletes whole segments below `below_seq` and below what is owed, oldest first, that are
    /// older than `retain_ms` or too much for `retain_bytes` of drained segments. Gives the freed
    /// bytes.
    pub fn trim(
        &self,
        below_seq: u64,
        retain_ms: u64,
        retain_bytes: u64,
        now_ms: i64,
    ) -> Result<u64, Error> {
        let shared = &self.open.shared;
        let taken = shared
            .with_table(|table| table.take_drained(below_seq, retain_ms, retain_bytes, now_ms));
        let mut freed = 0;
        let mut taken = taken.into_iter();
        while let Some(segment) = taken.next() {
            let name = segment.name();
            match shared.room.disk.unlink(&name) {
                Err(source) if source.kind() != ErrorKind::NotFound => {
                    let rest = std::iter::once(segment).chain(taken).collect();
                    shared.with_table(|table| table.put_back(rest));
                    return Err(Error::disk("delete", &name, source));
                }
                // Somebody else deleted it: gone is gone.
                Ok(()) | Err(_) => freed += segment.bytes,
            }
        }
        if freed > 0 {
            let place = shared.room.disk.place().display().to_string();
            shared.room.disk.sync_names().map_err(|source| Error::disk("sync", &place, source))?;
        }
        shared.trimmed(freed, Instant::now());
        Ok(freed)
    }

    /// How long a client that was refused should wait: `None` while records are taken, else what
    /// is lacking divided by how fast room was made lately, or as long again as it has lasted, if
    /// nothing was made since; between a second and a minute. A queue that is full for a moment
    /// does not count. To be asked often: it notes when refusing begins.
    pub fn retry_after(&self) -> Option<Duration> {
        self.open.shared.retry_after(Instant::now())
    }

    /// How much lies on disk.
    pub fn usage(&self) -> Usage {
        self.open.shared.usage()
    }

    /// Refuses appends from now on, makes what is queued durable and stops the writer.
    pub fn close(&self) {
        self.open.close();
    }

    fn queue(
        &self,
        draft: Draft<'_>,
        waiter: Option<oneshot::Sender<Result<u64, Error>>>,
        passenger: Option<Arc<Parcel>>,
    ) -> Result<(), Error> {
        let shared = &*self.open.shared;
        let Shared { settings, meters, queue, room, .. } = shared;
        if self.is_down() {
            meters.refused_down.increment(1);
            return Err(Error::Down);
        }
        let is_record = matches!(draft, Draft::Record { .. });
        if is_record && room.is_short() {
            meters.refused_free.increment(1);
            return Err(Error::Full { limit: "min_free_bytes", bytes_max: room.floor_bytes() });
        }
        // A full journal empties by settling.
        let more = if is_record { 0 } else { settings.segment_bytes };
        let bytes_max = settings.bytes_max.saturating_add(more);
        let pending = Pending { encoded: draft.encode()?, waiter, passenger };
        let bytes = pending.bytes();
        let pushed = queue.push(pending, shared.left(bytes_max));
        if is_record {
            shared.set_unfit(if pushed == Err(Refusal::Disk) { bytes } else { 0 });
        }
        pushed.map_err(|refusal| match refusal {
            Refusal::Queue => {
                meters.refused_queue.increment(1);
                let bytes_max = settings.queue_bytes_max;
                Error::Full { limit: "queue_bytes_max", bytes_max }
            }
            Refusal::Disk => {
                meters.refused_disk.increment(1);
                Error::Full { limit: "bytes_max", bytes_max }
            }
            Refusal::Closed => Error::Closed,
        })
    }

    fn warn_of_a_small_disk(&self) {
        let Shared { room, settings, .. } = &*self.open.shared;
        let wanted = settings.bytes_max.saturating_sub(self.usage().bytes);
        match room.disk.space() {
            Ok(Space { free_bytes, .. }) if free_bytes < wanted => {
                let bytes_max = settings.bytes_max;
                tracing::warn!(free_bytes, bytes_max, "the disk is too small for the journal");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "cannot tell how large the disk is"),
        }
    }
}

/// The main journal's is `journal`; of others as much of the name is shown as fits.
fn thread_name(name: &str) -> String {
    if name == "main" {
        return "journal".to_owned();
    }
    let mut thread = format!("j-{name}");
    let mut end = thread.len().min(THREAD_NAME_BYTES_MAX);
    while !thread.is_char_boundary(end) {
        end -= 1;
    }
    thread.truncate(end);
    thread
}

impl Open {
    fn close(&self) {
        self.shared.queue.close();
        // Held while joining: whoever closes second returns only when everything is durable too.
        let mut thread = self.thread.lock();
        if thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(journal = self.shared.name, "the journal's writer has panicked");
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.close();
    }
}
