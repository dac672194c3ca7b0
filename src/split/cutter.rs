//! Collects events and rejections in the order in which they were sent.
//!
//! In: pieces of the body, each with what one walk over it found. Out: the batch. Numbers them, so
//! that every piece has exactly one place, kept or rejected.

use std::ops::Range;

use uuid::Uuid;

use super::event::{self, Walked};
use super::header::Read;
use super::rules::Pass;
use super::{Limits, Rules};
use crate::json::Fault;
use crate::model::{Batch, Event, Facts, Format, Header, Reason, Refusal};

/// The shortest event there is, `{"type":"a"}`, and its line feed.
const EVENT_BYTES_MIN: usize = 13;

/// A usual event; says how much room is taken in advance when the header does not tell a count.
const EVENT_BYTES_USUAL: usize = 256;

/// A line or an element, and what is in it.
pub(super) struct Piece<'w> {
    /// The bytes that the size limit counts.
    pub whole: Range<usize>,
    /// Where the value begins.
    pub start: usize,
    /// Whether line breaks stand between its tokens.
    pub broken: bool,
    /// The walk over the value.
    pub walked: Result<&'w Walked, Fault>,
}

/// A batch in the making.
pub(super) struct Cutter<'a> {
    /// All of the body.
    pub body: &'a [u8],
    /// What the batch will say of its framing.
    pub format: Format,
    /// Whether the whole body is known to be UTF-8.
    utf8: bool,
    facts: &'a Facts,
    limits: &'a Limits,
    pass: Pass<'a>,
    id: Uuid,
    id_made: bool,
    header: Header,
    events: Vec<Event>,
    rejected: Vec<(u32, Reason)>,
    next: u32,
}

impl<'a> Cutter<'a> {
    /// Begins a batch with what its header told, if it has one.
    pub(super) fn begin(
        body: &'a [u8],
        utf8: bool,
        facts: &'a Facts,
        limits: &'a Limits,
        rules: &'a Rules,
        read: Option<Read>,
    ) -> Self {
        let format = if read.is_some() { Format::Lines } else { Format::Unknown };
        let read = read.unwrap_or_default();
        let told = read.count.and_then(|count| usize::try_from(count).ok());
        let room = told
            .unwrap_or(body.len() / EVENT_BYTES_USUAL + 1)
            .min(body.len() / EVENT_BYTES_MIN)
            .min(limits.events_max as usize);
        let id = read.batch.unwrap_or(facts.batch);
        Self {
            body,
            format,
            utf8,
            facts,
            limits,
            pass: Pass::begin(rules, facts, read.header.class.unwrap_or(facts.class), id),
            id,
            id_made: read.batch.is_none(),
            header: read.header,
            events: Vec::with_capacity(room),
            rejected: Vec::new(),
            next: 0,
        }
    }

    /// Numbers a piece and judges it.
    pub(super) fn take(&mut self, piece: &Piece<'_>) -> Result<(), Refusal> {
        let index = self.number()?;
        match self.judge(piece, index) {
            Ok(event) => self.events.push(event),
            Err(reason) => self.rejected.push((index, reason)),
        }
        Ok(())
    }

    /// Numbers what follows from `at` as one event that cannot be read.
    pub(super) fn reject_rest(&mut self, at: usize) -> Result<(), Refusal> {
        let whole = at..self.body.len();
        self.take(&Piece { whole, start: at, broken: false, walked: Err(Fault::Syntax(at)) })
    }

    /// Everything that was numbered.
    pub(super) fn count(&self) -> u64 {
        u64::from(self.next)
    }

    /// Events that were not rejected.
    pub(super) fn kept(&self) -> usize {
        self.events.len()
    }

    /// Forgets all pieces, because the body turned out to have another form.
    pub(super) fn clear(&mut self) {
        self.events.clear();
        self.rejected.clear();
        self.next = 0;
    }

    /// The batch.
    pub(super) fn finish(self) -> Batch {
        Batch {
            format: self.format,
            id: self.id,
            id_made: self.id_made,
            header: self.header,
            events: self.events,
            rejected: self.rejected,
        }
    }

    fn number(&mut self) -> Result<u32, Refusal> {
        if self.next >= self.limits.events_max {
            return Err(Refusal::TooManyEvents(u64::from(self.limits.events_max)));
        }
        self.next += 1;
        Ok(self.next - 1)
    }

    /// The order of checks is part of the contract: size, UTF-8, JSON (what comes first in the
    /// text), object, reserved and repeated keys, the envelope in the order of [`event::read`],
    /// rules.
    fn judge(&mut self, piece: &Piece<'_>, index: u32) -> Result<Event, Reason> {
        if piece.whole.len() as u64 > self.limits.event_bytes_max {
            return Err(Reason::TooLarge);
        }
        if !self.utf8 {
            let whole = self.body.get(piece.whole.clone()).unwrap_or_default();
            simdutf8::basic::from_utf8(whole).map_err(|_| Reason::InvalidUtf8)?;
        }
        let walked = piece.walked.map_err(|fault| match fault {
            Fault::Syntax(_) | Fault::Eof(_) => Reason::InvalidJson,
            Fault::Depth(_) => Reason::TooDeep,
            Fault::LoneSurrogate(_) => Reason::LoneSurrogate,
        })?;
        let mut event = event::read(self.body, piece.start, walked, self.facts)?;
        event.index = index;
        event.broken = piece.broken;
        self.pass.judge(&mut event, self.body)?;
        Ok(event)
    }
}
