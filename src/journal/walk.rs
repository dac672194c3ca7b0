//! Walks the frames of one segment file, over damage, and counts the frames that are missing.
//!
//! In: an open file and [`Bounds`]. Out: a [`Step`] each: a valid frame or a damaged range. It is
//! the only reader of segment files. Must never hand out a frame beyond the bounds, or one that is
//! older than the frame before it: blocks may hold what another file once held.

use std::io;

use super::disk::DiskFile;
use super::frame::{self, ALIGN, Flaw, HEADER_BYTES, Header, Seed};
use super::segment::FIRST_AT;

/// Which part of a segment is walked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Offset of the first frame.
    pub(super) at: u64,
    /// The lowest seq that may stand there.
    pub(super) expected: u64,
    /// The last seq that counts; frames beyond it were never acknowledged.
    pub(super) last: u64,
    /// Where it ends.
    pub(super) end: u64,
}

impl Bounds {
    /// A whole segment.
    pub(super) fn whole(first: u64, last: u64, end: u64) -> Self {
        Self { at: FIRST_AT, expected: first, last, end }
    }
}

/// What was found next.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// A valid frame.
    Frame {
        /// Where it begins.
        offset: u64,
        /// Its header; [`Walk::payload`] has the rest.
        header: Header,
    },
    /// Bytes that are no valid frame.
    Damage {
        /// Where they begin.
        offset: u64,
        /// How many they are.
        bytes: u64,
    },
}

/// What a walk fetches first.
const FETCH_BYTES: usize = 64 << 10;

/// A position in a segment file.
pub(super) struct Walk {
    file: Box<dyn DiskFile>,
    seed: Seed,
    bounds: Bounds,
    buffer: Vec<u8>,
    origin: u64,
    read_ahead: usize,
    fetch: usize,
    /// Acknowledged frames that were passed over.
    missing: u64,
    /// The first seq of the group that we are in, and how many of its frames were passed over: they
    /// were acknowledged if there is a group behind it.
    group_first: u64,
    holes: u64,
}

impl Walk {
    /// Starts a walk.
    pub(super) fn new(
        file: Box<dyn DiskFile>,
        seed: Seed,
        bounds: Bounds,
        read_ahead_bytes: u64,
    ) -> Self {
        // Whole multiples, so that no magic stands across two fetches.
        let read_ahead = usize::try_from(read_ahead_bytes).unwrap_or(1 << 20);
        let read_ahead = read_ahead.next_multiple_of(ALIGN).max(HEADER_BYTES);
        let fetch = read_ahead.min(FETCH_BYTES);
        let buffer = Vec::new();
        let (origin, missing, group_first, holes) = (0, 0, 0, 0);
        Self { file, seed, bounds, buffer, origin, read_ahead, fetch, missing, group_first, holes }
    }

    /// The next frame or damage; `None` at the end of the bounds.
    pub(super) fn step(&mut self) -> io::Result<Option<Step>> {
        if self.bounds.at >= self.bounds.end {
            return Ok(None);
        }
        let offset = self.bounds.at;
        let parsed = self.parse()?;
        if self.bounds.at >= self.bounds.end {
            // The file is shorter than it should be.
            return Ok(None);
        }
        match parsed {
            Ok(header) if header.seq > self.bounds.last => return Ok(None),
            Ok(header) => {
                self.bounds.at += header.span() as u64;
                if header.seq >= self.bounds.expected {
                    self.account(&header);
                    return Ok(Some(Step::Frame { offset, header }));
                }
            }
            Err(Flaw::Payload { span, .. }) => self.bounds.at += span as u64,
            Err(Flaw::Short(_)) => self.bounds.at = self.bounds.end,
            Err(Flaw::Magic | Flaw::Header) => self.resync()?,
        }
        Ok(Some(Step::Damage { offset, bytes: self.bounds.at - offset }))
    }

    /// The payload of the frame that the last step gave.
    pub(super) fn payload(&self, offset: u64, header: &Header) -> &[u8] {
        let start = usize::try_from(offset - self.origin).unwrap_or(usize::MAX);
        let start = start.saturating_add(HEADER_BYTES);
        self.buffer.get(start..start + header.payload_bytes as usize).unwrap_or_default()
    }

    /// Moves the end of the bounds on, when the segment has grown.
    pub(super) fn extend(&mut self, end: u64, last: u64) {
        self.bounds.end = end;
        self.bounds.last = last;
    }

    /// Frames that were not found so far and are known to have been acknowledged.
    pub(super) fn missing(&self) -> u64 {
        self.missing
    }

    /// Frames of the last group that were not found, of which nobody knows.
    pub(super) fn holes(&self) -> u64 {
        self.holes
    }

    /// Frames that were not found, given that nothing follows and that everything up to `last` had
    /// been acknowledged but for `holes` frames of the last group.
    pub(super) fn missing_up_to(&self, last: u64, holes: u64) -> u64 {
        let behind = last.saturating_add(1).saturating_sub(self.bounds.expected);
        self.missing + (self.holes + behind).saturating_sub(holes)
    }

    /// Counts what lies between the last frame and this one.
    fn account(&mut self, header: &Header) {
        let expected = self.bounds.expected;
        let group_first = header.proves().saturating_add(1);
        if group_first != self.group_first {
            self.missing += self.holes + group_first.saturating_sub(expected);
            self.group_first = group_first;
            self.holes = 0;
        }
        self.holes += header.seq - expected.max(group_first);
        self.bounds.expected = header.seq.saturating_add(1);
    }

    fn parse(&mut self) -> io::Result<Result<Header, Flaw>> {
        let mut wanted = HEADER_BYTES;
        loop {
            let seed = self.seed;
            match frame::parse(self.window(wanted)?, seed) {
                Err(Flaw::Short(more)) if more > wanted => wanted = more,
                found => return Ok(found.map(|(frame, _)| frame.header)),
            }
        }
    }

    /// Goes to the next place where a frame may begin.
    fn resync(&mut self) -> io::Result<()> {
        self.bounds.at += ALIGN as u64;
        while self.bounds.at < self.bounds.end {
            let window = self.window(ALIGN)?;
            let step = frame::find(window);
            let skip = step.unwrap_or((window.len() / ALIGN * ALIGN).max(ALIGN));
            self.bounds.at += skip as u64;
            if step.is_some() {
                return Ok(());
            }
        }
        self.bounds.at = self.bounds.end;
        Ok(())
    }

    /// What is in memory from the position on: at least `wanted` bytes, if the segment has them.
    fn window(&mut self, wanted: usize) -> io::Result<&[u8]> {
        let Bounds { at, end, .. } = self.bounds;
        let held_to = self.origin + self.buffer.len() as u64;
        if at < self.origin || held_to < end.min(at + wanted as u64) {
            let left = usize::try_from(end - at).unwrap_or(usize::MAX);
            let fetch = wanted.max(self.fetch).min(left);
            // One frame is often all that somebody wants; who goes on gets more each time.
            self.fetch = (2 * self.fetch).min(self.read_ahead);
            self.buffer.resize(fetch, 0);
            self.buffer.shrink_to(self.read_ahead);
            let read = self.file.read_at(&mut self.buffer, at)?;
            self.buffer.truncate(read);
            self.origin = at;
            if read < fetch {
                self.bounds.end = at + read as u64;
            }
        }
        let start = usize::try_from(at - self.origin).unwrap_or(usize::MAX);
        Ok(self.buffer.get(start..).unwrap_or_default())
    }
}
