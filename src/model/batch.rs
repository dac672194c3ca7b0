//! What split found in one inflated body: the header and every event, as spans of that body.
//!
//! Nothing here owns event bytes; a [`Span`] is only meaningful with the body it was cut from.
//! An event is either kept, filtered or rejected; all are listed, in the order they were sent.

use uuid::Uuid;

use super::{Format, Reason};

/// A half-open byte range of the inflated body. `u32` because a body is at most a few MiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes of the span; empty if it does not lie inside `body`.
    pub fn of(self, body: &[u8]) -> &[u8] {
        body.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Whether it covers no byte, which stands for "absent".
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// A whole batch after the split.
#[derive(Debug)]
pub struct Batch {
    /// How events were framed.
    pub format: Format,
    /// The client's batch id, or the one the gateway made.
    pub id: Uuid,
    /// Whether the gateway made it.
    pub id_made: bool,
    /// What line 1 said; empty when there was none.
    pub header: Header,
    /// Events that may be delivered, with their verdicts. Rejected ones stand in `rejected`.
    pub events: Vec<Event>,
    /// Events that were refused: their index in the batch and why, ascending.
    pub rejected: Vec<(u32, Reason)>,
}

/// The header line, as spans of the body (the strings without their quotes).
#[derive(Debug, Default, Clone)]
pub struct Header {
    /// `sdk`, the text between the quotes, escapes as sent.
    pub sdk: Span,
    /// `instance`.
    pub instance: Span,
    /// `epoch`.
    pub epoch: Span,
    /// `class`, if told.
    pub class: Option<u8>,
    /// `config`: the version of the SDK document that the client has.
    pub config: Option<u64>,
    /// `context`, the whole JSON object.
    pub context: Span,
    /// `report`, the whole JSON object.
    pub report: Span,
}

/// One event that is valid JSON with a valid envelope.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its position in the batch, from 0; events that were rejected count too.
    pub index: u32,
    /// The whole object, from `{` to `}`.
    pub span: Span,
    /// Whether line breaks stand between its tokens and must be taken out.
    pub broken: bool,
    /// `id` without its quotes; empty when absent.
    pub id: Span,
    /// `type` without its quotes.
    pub kind: Span,
    /// `seq`, if told.
    pub seq: Option<u64>,
    /// Effective time, Unix milliseconds.
    pub ts_ms: i64,
    /// Effective weight: the client's times that of a sampling rule.
    pub weight: f64,
    /// The rule that filtered it (its position in the table); `None` is keep.
    pub filtered_by: Option<u16>,
}

impl Batch {
    /// Events of a time that no honest clock shows: more than a day ahead of their arrival, or more
    /// than ten years before it.
    pub fn impossible(&self, arrival_ms: i64) -> u64 {
        const DAY_MS: i64 = 86_400_000;
        let possible =
            arrival_ms.saturating_sub(3_653 * DAY_MS)..=arrival_ms.saturating_add(DAY_MS);
        self.events.iter().filter(|event| !possible.contains(&event.ts_ms)).count() as u64
    }
}

/// The id of an event that came without one: the version-5 UUID of its index, as decimal text, in
/// the namespace of its batch id. A retry of the batch gives the same.
pub fn made_id(batch: Uuid, index: u32) -> Uuid {
    Uuid::new_v5(&batch, itoa::Buffer::new().format(index).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_ids_are_pinned() {
        let batch = Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0001);
        assert_eq!(made_id(batch, 0), Uuid::new_v5(&batch, b"0"));
        assert_eq!(made_id(batch, 41).get_version_num(), 5);
        assert_ne!(made_id(batch, 1), made_id(batch, 11));
    }
}
