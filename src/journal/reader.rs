//! Reads the log back, in order, while it is being written.
//!
//! In: a seq to begin at. Out: frames that are durable, never others. Damaged frames are skipped,
//! counted and kept aside; a trimmed range is skipped. Must never wait for the writer.

use std::sync::Arc;

use bytes::Bytes;

use super::shared::Shared;
use super::table::Segment;
use super::walk::{Bounds, Step, Walk};
use super::{Entry, Error, broken};

/// A frame that was read.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Its seq.
    pub seq: u64,
    /// What it takes on disk.
    pub bytes: u64,
    /// What it says.
    pub entry: Entry,
}

/// A position in the log.
pub struct Reader {
    shared: Arc<Shared>,
    next_seq: u64,
    open: Option<Open>,
    corrupt_frames: u64,
}

struct Open {
    first: u64,
    walk: Walk,
    /// How far the segment was durable when the walk was told.
    extent: u64,
    /// How many of its missing frames were counted.
    counted: u64,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, next_seq: u64) -> Self {
        Self { shared, next_seq, open: None, corrupt_frames: 0 }
    }

    /// The next durable frame, or `None` when it has read all that there are.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        while self.next_seq <= self.shared.synced() {
            let Some(mut open) = self.opened()? else { return Ok(None) };
            let name = super::segment::name(open.first);
            let step = open.walk.step().map_err(|source| Error::disk("read", &name, source))?;
            match step {
                Some(Step::Frame { header, .. }) if header.seq < self.next_seq => {
                    open.counted = open.walk.missing();
                }
                Some(Step::Frame { offset, header }) => {
                    let missing = open.walk.missing();
                    self.count(&name, &mut open, missing);
                    self.next_seq = header.seq + 1;
                    let payload = Bytes::copy_from_slice(open.walk.payload(offset, &header));
                    let bytes = header.span() as u64;
                    match Entry::decode(header.kind, &payload) {
                        Ok(Some(entry)) => {
                            self.open = Some(open);
                            return Ok(Some(Frame { seq: header.seq, bytes, entry }));
                        }
                        Ok(None) => {}
                        Err(error) => {
                            let journal = &self.shared.name;
                            tracing::error!(%error, journal, name, seq = header.seq, "unreadable frame");
                            self.corrupt(1);
                            self.keep(&name, offset, bytes);
                        }
                    }
                }
                Some(Step::Damage { offset, bytes }) => {
                    let journal = &self.shared.name;
                    tracing::error!(journal, name, offset, bytes, "damage in the journal");
                    self.keep(&name, offset, bytes);
                }
                None => {
                    if self.finished(&name, &mut open) {
                        continue;
                    }
                }
            }
            self.open = Some(open);
        }
        Ok(None)
    }

    /// The seq that the next frame has at least.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Goes on at a later seq; an earlier one changes nothing.
    pub fn skip_to(&mut self, seq: u64) {
        self.next_seq = self.next_seq.max(seq);
    }

    /// Acknowledged frames that it could not give.
    pub fn corrupt_frames(&self) -> u64 {
        self.corrupt_frames
    }

    /// The segment that has the next seq.
    fn opened(&mut self) -> Result<Option<Open>, Error> {
        let kept = self.open.take();
        let table = self.shared.table.lock();
        let Some(segment) = table.holding(self.next_seq) else { return Ok(None) };
        if let Some(open) = kept.filter(|open| open.first == segment.first) {
            return Ok(Some(open));
        }
        let Segment { first, last, bytes: end, .. } = *segment;
        let (expected, at) = segment.nearest(self.next_seq);
        drop(table);
        let name = super::segment::name(first);
        match self.shared.room.disk.open(&name) {
            Ok(file) => {
                let bounds = Bounds { at, expected, last, end };
                let read_ahead_bytes = self.shared.settings.read_ahead_bytes;
                let walk = Walk::new(file, self.shared.seed, bounds, read_ahead_bytes);
                Ok(Some(Open { first, walk, extent: end, counted: 0 }))
            }
            // Trimmed since we looked? Then the table does not name it any more.
            Err(_) if self.shared.table.lock().named(first).is_none() => self.opened(),
            Err(source) => Err(Error::disk("open", &name, source)),
        }
    }

    /// Whether the segment has no more frames for us; if it has grown, the walk goes on.
    fn finished(&mut self, name: &str, open: &mut Open) -> bool {
        let table = self.shared.table.lock();
        let Some(segment) = table.named(open.first) else { return true };
        let Segment { last, bytes, holes, .. } = *segment;
        drop(table);
        if open.extent < bytes {
            open.extent = bytes;
            open.walk.extend(bytes, last);
            return false;
        }
        let missing = open.walk.missing_up_to(last, holes);
        self.count(name, open, missing);
        self.next_seq = self.next_seq.max(last.saturating_add(1));
        true
    }

    fn count(&mut self, name: &str, open: &mut Open, missing: u64) {
        let frames = missing.saturating_sub(open.counted);
        if frames > 0 {
            let journal = &self.shared.name;
            tracing::error!(journal, name, frames, "acknowledged frames are missing");
            self.corrupt(frames);
            open.counted = missing;
        }
    }

    fn corrupt(&mut self, frames: u64) {
        self.corrupt_frames += frames;
        self.shared.meters.corrupt_frames.increment(frames);
    }

    fn keep(&self, name: &str, offset: u64, bytes: u64) {
        let kept = broken::keep(&self.shared.room, &self.shared.settings, name, offset, bytes);
        if let Err(error) = kept {
            let journal = &self.shared.name;
            tracing::warn!(%error, journal, name, offset, "cannot keep a damaged range");
        }
    }
}
