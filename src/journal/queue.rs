//! The bounded queue between everybody who appends and the one writer.
//!
//! In: encoded entries. Out: groups of them for one write and one sync. Must never block a caller,
//! and never wake the writer when it is awake or when nobody waits for the entry: wake-ups are the
//! largest cost of an append.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;

use crate::model::Parcel;

use super::entry::Encoded;
use super::frame::{ALIGN, HEADER_BYTES};
use super::{Error, Settings};

/// An entry that waits for the writer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) encoded: Encoded,
    /// Who is told; `None` for entries that nobody waits for.
    pub(super) waiter: Option<oneshot::Sender<Result<u64, Error>>>,
    pub(super) passenger: Option<Arc<Parcel>>,
}

impl Pending {
    /// What it takes on disk.
    pub(super) fn bytes(&self) -> u64 {
        let payload = self.encoded.payload_bytes as usize;
        (HEADER_BYTES + payload).next_multiple_of(ALIGN) as u64
    }
}

/// What the writer got.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Entries to commit.
    Group,
    /// Nothing, in the time that it wanted to wait.
    Nothing,
    /// Nothing, and nothing will come any more.
    Closed,
}

/// The most frames that one group holds, so that places in it fit a `u16`.
const GROUP_FRAMES_MAX: usize = 16_384;

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Pending>,
    /// How many of them somebody waits for.
    loud: usize,
    /// Bytes of entries that wait or are just being written.
    bytes: u64,
    sleep: Sleep,
    closed: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Sleep {
    #[default]
    Awake,
    /// Until anything comes.
    Idle,
    /// Until something comes that somebody waits for, or the time is over.
    Dozing,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    group_bytes_max: u64,
    waiting_bytes_max: u64,
    quiet: Duration,
}

impl Queue {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            state: Mutex::default(),
            work: Condvar::new(),
            group_bytes_max: settings.group_bytes_max,
            waiting_bytes_max: settings.queue_bytes_max,
            quiet: Duration::from_millis(settings.quiet_ms),
        }
    }

    /// Puts an entry behind the others, or refuses it at once. `room` is what the limit of the disk
    /// leaves.
    pub(super) fn push(&self, pending: Pending, room: u64) -> Result<(), Refusal> {
        let bytes = pending.bytes();
        let loud = pending.waiter.is_some();
        let mut state = self.state.lock();
        if state.closed {
            return Err(Refusal::Closed);
        }
        if state.bytes + bytes > self.waiting_bytes_max {
            return Err(Refusal::Queue);
        }
        if state.bytes + bytes > room {
            return Err(Refusal::Disk);
        }
        state.bytes += bytes;
        state.loud += usize::from(loud);
        state.entries.push_back(pending);
        let wake = match state.sleep {
            Sleep::Awake => false,
            Sleep::Idle => true,
            Sleep::Dozing => loud,
        };
        if wake {
            state.sleep = Sleep::Awake;
            drop(state);
            self.work.notify_one();
        }
        Ok(())
    }

    /// Waits for a group, but not beyond `until`.
    pub(super) fn take(&self, group: &mut Vec<Pending>, until: Option<Instant>) -> Taken {
        let mut state = self.state.lock();
        let mut quiet_until = None;
        loop {
            let now = Instant::now();
            let doze = (!state.entries.is_empty())
                .then(|| *quiet_until.get_or_insert_with(|| now + self.quiet));
            if state.loud > 0 || state.closed || doze.is_some_and(|end| end <= now) {
                return self.fill(state, group);
            }
            if until.is_some_and(|end| end <= now) {
                return Taken::Nothing;
            }
            state.sleep = if doze.is_some() { Sleep::Dozing } else { Sleep::Idle };
            match doze.into_iter().chain(until).min() {
                Some(end) => {
                    self.work.wait_until(&mut state, end);
                }
                None => self.work.wait(&mut state),
            }
            state.sleep = Sleep::Awake;
        }
    }

    /// Takes what is there.
    #[cfg(test)]
    pub(super) fn poll(&self, group: &mut Vec<Pending>) -> Taken {
        self.fill(self.state.lock(), group)
    }

    fn fill(&self, mut state: MutexGuard<'_, State>, group: &mut Vec<Pending>) -> Taken {
        let mut bytes = 0;
        while let Some(pending) = state.entries.front() {
            bytes += pending.bytes();
            let full = bytes > self.group_bytes_max || group.len() == GROUP_FRAMES_MAX;
            if full && !group.is_empty() {
                break;
            }
            state.loud -= usize::from(pending.waiter.is_some());
            group.extend(state.entries.pop_front());
        }
        match (group.is_empty(), state.closed) {
            (false, _) => Taken::Group,
            (true, false) => Taken::Nothing,
            (true, true) => Taken::Closed,
        }
    }

    /// Bytes that wait or are just being written.
    pub(super) fn bytes(&self) -> u64 {
        self.state.lock().bytes
    }

    /// Gives the room of a group back.
    pub(super) fn release(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// Refuses everything from now on; the writer gets what is there, then [`Taken::Closed`].
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.work.notify_one();
    }

    /// Closes and drops what is there, which tells its waiters: the writer is gone.
    pub(super) fn abandon(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let entries = std::mem::take(&mut state.entries);
        state.loud = 0;
        state.bytes = 0;
        drop(state);
        drop(entries);
    }
}

/// Why an entry was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too much waits in memory.
    Queue,
    /// Too much lies on disk.
    Disk,
    /// Closed.
    Closed,
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn pending(bytes: u32) -> Pending {
        let encoded = Encoded {
            kind: 1,
            head: Vec::new(),
            body: Bytes::new(),
            payload_bytes: bytes - 28,
            payload_crc: 0,
        };
        Pending { encoded, waiter: None, passenger: None }
    }

    fn queue() -> Queue {
        Queue::new(&Settings {
            group_bytes_max: 128,
            queue_bytes_max: 256,
            quiet_ms: 1,
            ..Settings::default()
        })
    }

    #[test]
    fn refuses_what_does_not_fit_until_room_is_given_back() {
        let queue = queue();
        assert_eq!(queue.push(pending(200), 199), Err(Refusal::Disk));
        assert_eq!(queue.push(pending(200), 200), Ok(()));
        assert_eq!(queue.push(pending(64), 1_000), Err(Refusal::Queue));
        assert_eq!(queue.poll(&mut Vec::new()), Taken::Group);
        assert_eq!(queue.push(pending(64), 1_000), Err(Refusal::Queue));
        queue.release(200);
        assert_eq!(queue.push(pending(64), 1_000), Ok(()));
        queue.close();
        assert_eq!(queue.push(pending(64), 1_000), Err(Refusal::Closed));
    }

    #[test]
    fn cuts_groups_and_lets_a_large_entry_have_its_own() {
        let queue = queue();
        for bytes in [64, 64, 64] {
            queue.push(pending(bytes), u64::MAX).unwrap();
        }
        let mut group = Vec::new();
        assert_eq!((queue.poll(&mut group), group.len()), (Taken::Group, 2));
        group.clear();
        assert_eq!((queue.poll(&mut group), group.len()), (Taken::Group, 1));
        queue.release(192);
        queue.push(pending(240), u64::MAX).unwrap();
        group.clear();
        assert_eq!((queue.poll(&mut group), group.len()), (Taken::Group, 1));
    }

    #[test]
    fn takes_what_nobody_waits_for_when_its_time_is_over() {
        let queue = queue();
        queue.push(pending(64), u64::MAX).unwrap();
        let mut group = Vec::new();
        assert_eq!((queue.take(&mut group, None), group.len()), (Taken::Group, 1));
        assert_eq!(queue.take(&mut Vec::new(), Some(Instant::now())), Taken::Nothing);
        queue.close();
        assert_eq!(queue.take(&mut Vec::new(), None), Taken::Closed);
    }
}
