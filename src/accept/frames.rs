//! Counts the frames of HTTP/2 that cost work and bring nothing: pings, settings, resets, empty
//! data and their like.
//!
//! In: the bytes of a connection as they come. Out: an error when there are far more of them than
//! any honest client sends. The h2 library bounds the memory of such floods; this bounds their CPU.
//! Must never need more than a frame's head at a time.

use tokio::time::Instant;

use super::seen::Seen;

/// Such frames that may come at once: a client with 100 streams opens, cancels and updates windows.
const BURST: u64 = 1_000;
/// Such frames a second beside that.
const PER_SECOND: u64 = 100;
/// Such frames that each request earns when it has its reply.
const PER_REQUEST: u64 = 8;
/// A data frame earns one when it brings as much.
const DATA_BYTES: u32 = 1_024;

/// `PRI * HTTP/2.0…`, which stands before the first frame.
const PREFACE_BYTES: u32 = 24;
const HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;

/// A flood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flood;

/// One connection's frames.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes of the present frame that are still to come.
    skip: u32,
    head: [u8; HEAD_BYTES],
    have: usize,
    /// How many may come now.
    left: u64,
    requests: u64,
    refilled: Instant,
}

impl Frames {
    pub(super) fn new(now: Instant) -> Self {
        let (skip, head, left) = (PREFACE_BYTES, [0; HEAD_BYTES], BURST);
        Self { skip, head, have: 0, left, requests: 0, refilled: now }
    }

    /// Looks at what has just been read.
    pub(super) fn look(&mut self, bytes: &[u8], seen: &Seen) -> Result<(), Flood> {
        let requests = seen.ended();
        self.earn(PER_REQUEST * (requests - self.requests));
        self.requests = requests;
        let spent = self.count(bytes);
        if spent > self.left {
            // A clock is looked at only when it matters.
            self.refill(Instant::now());
        }
        self.left = self.left.checked_sub(spent).ok_or(Flood)?;
        Ok(())
    }

    fn earn(&mut self, frames: u64) {
        self.left = (self.left + frames).min(BURST);
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.refilled);
        self.earn(PER_SECOND * passed.as_secs());
        if passed.as_secs() > 0 {
            self.refilled = now;
        }
    }

    /// Walks from head to head; gives the number of frames that are counted.
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut spent = 0;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = bytes.len().min(self.skip as usize);
                self.skip -= u32::try_from(skipped).unwrap_or(self.skip);
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            let wanted = bytes.len().min(HEAD_BYTES - self.have);
            let (now, rest) = bytes.split_at_checked(wanted).unwrap_or((bytes, &[]));
            for (to, byte) in self.head.iter_mut().skip(self.have).zip(now) {
                *to = *byte;
            }
            self.have += wanted;
            bytes = rest;
            if self.have == HEAD_BYTES {
                self.have = 0;
                let [high, middle, low, kind, ..] = self.head;
                self.skip = u32::from_be_bytes([0, high, middle, low]);
                match kind {
                    DATA if self.skip >= DATA_BYTES => self.earn(1),
                    DATA if self.skip > 0 => (),
                    HEADERS => (),
                    _ => spent += 1,
                }
            }
        }
        spent
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::seen::Turn;
    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const PING: u8 = 6;

    fn frame(kind: u8, bytes: usize) -> Vec<u8> {
        let length = u32::try_from(bytes).expect("short").to_be_bytes();
        let head = [length[1], length[2], length[3], kind, 0, 0, 0, 0, 1];
        [&head[..], &vec![7; bytes]].concat()
    }

    fn fresh() -> Frames {
        let mut frames = Frames::new(Instant::now());
        assert_eq!(frames.count(PREFACE), 0);
        frames
    }

    #[test]
    fn floods_end_and_requests_earn_their_frames() {
        let seen = Arc::new(Seen::default());
        for kind in [PING, 4, 3, 2, 8, 9] {
            let mut frames = fresh();
            let flood = frame(kind, 8).repeat(1_000);
            assert_eq!(frames.look(&flood, &seen), Ok(()), "{kind}: the burst");
            assert_eq!(frames.look(&flood, &seen), Err(Flood), "{kind}");
        }
        let mut frames = fresh();
        assert_eq!(frames.look(&frame(DATA, 0).repeat(1_001), &seen), Err(Flood), "empty data");
        // A thousand requests with a cancelled neighbour and two windows each.
        let mut frames = fresh();
        let usual = [frame(HEADERS, 40), frame(DATA, 3_000), frame(8, 4), frame(8, 4), frame(3, 4)];
        for _ in 0..1_000 {
            assert_eq!(frames.look(&usual.concat(), &seen), Ok(()));
            drop(Turn::begin(&seen, None));
        }
    }

    #[test]
    fn seconds_earn_as_well() {
        let mut frames = fresh();
        frames.left = 0;
        frames.refill(frames.refilled + Duration::from_millis(999));
        assert_eq!(frames.left, 0);
        frames.refill(frames.refilled + Duration::from_secs(2));
        assert_eq!(frames.left, 200);
    }

    proptest! {
        /// However the bytes are cut, the same frames are counted.
        #[test]
        fn cuts_make_no_difference(
            kinds in prop::collection::vec((0..10u8, 0..40usize), 0..30),
            cuts in prop::collection::vec(1..50usize, 1..20),
        ) {
            let all: Vec<u8> = kinds.iter().flat_map(|(kind, bytes)| frame(*kind, *bytes)).collect();
            let cost = |(kind, bytes): &&(u8, usize)| *kind > HEADERS || *kind == DATA && *bytes == 0;
            let expected = kinds.iter().filter(cost).count() as u64;
            let mut frames = fresh();
            let (mut rest, mut spent) = (&all[..], 0);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                spent += frames.count(now);
                rest = later;
            }
            prop_assert_eq!(spent, expected);
        }
    }
}
