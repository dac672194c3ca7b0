//! One event: a walk that validates its JSON and notes its protocol keys, then the envelope's rules.
//!
//! In: the position of its first byte. Out: an [`Event`] of spans and numbers, or the reason why it
//! is none. `null` stands for absent, and other keys pass untouched.

use std::ops::Range;

use super::time;
use crate::json::{self, Blanks, Fault, Kind, Members};
use crate::model::{Event, Facts, Reason, Span};

/// What one walk over a value found.
pub(super) struct Walked {
    /// Behind the value.
    pub end: usize,
    object: bool,
    reserved: bool,
    repeated: bool,
    fields: [Option<Field>; KEYS],
}

/// The value of a protocol key.
#[derive(Debug, Clone, Copy)]
struct Field {
    span: Span,
    kind: Kind,
}

/// Protocol keys by their place in [`Walked`].
const ID: usize = 0;
const SEQ: usize = 1;
const TS: usize = 2;
const AGE: usize = 3;
const TYPE: usize = 4;
const WEIGHT: usize = 5;
const PROPS: usize = 6;
const KEYS: usize = 7;

const ID_BYTES_MAX: usize = 128;
const TYPE_BYTES_MAX: usize = 128;

/// Validates the value at `at` and notes the protocol keys, if it is an object.
pub(super) fn walk(body: &[u8], at: usize, blanks: &mut Blanks) -> Result<Walked, Fault> {
    let mut walked =
        Walked { end: at, object: false, reserved: false, repeated: false, fields: [None; KEYS] };
    if body.get(at) != Some(&b'{') {
        walked.end = json::skip(body, at, 0, blanks)?;
        return Ok(walked);
    }
    walked.object = true;
    let mut members = Members::open(body, at, blanks)?;
    while let Some(member) = members.advance()? {
        match key(body.get(member.key).unwrap_or_default()) {
            Key::Protocol(place) => {
                if let Some(field) = walked.fields.get_mut(place) {
                    walked.repeated |= field.is_some();
                    *field = Some(Field { span: span(&member.value), kind: member.kind });
                }
            }
            Key::Reserved => walked.reserved = true,
            Key::Other => {}
        }
    }
    walked.end = members.at();
    Ok(walked)
}

/// Reads the envelope; checks go in this order: reserved and repeated keys, type, id, seq, ts, age,
/// weight.
pub(super) fn read(
    body: &[u8],
    start: usize,
    walked: &Walked,
    facts: &Facts,
) -> Result<Event, Reason> {
    if !walked.object {
        return Err(Reason::NotObject);
    }
    if walked.reserved {
        return Err(Reason::ReservedKey);
    }
    if walked.repeated {
        return Err(Reason::DuplicateKey);
    }
    let kind = walked.told(TYPE).ok_or(Reason::NoType)?;
    let kind = kind.text(body, is_type).ok_or(Reason::BadType)?;
    let id = match walked.told(ID) {
        Some(field) => field.text(body, is_id).ok_or(Reason::BadId)?,
        None => Span::default(),
    };
    let seq = walked.count(SEQ, body, Reason::BadSeq)?;
    let ts = walked.integer(TS, body, Reason::BadTs)?;
    let age = walked.count(AGE, body, Reason::BadAge)?;
    Ok(Event {
        index: 0,
        span: span(&(start..walked.end)),
        broken: false,
        id,
        kind,
        seq,
        ts_ms: time::effective_ms(facts, ts, age),
        weight: walked.weight(body)?,
        filtered_by: None,
    })
}

enum Key {
    Protocol(usize),
    Reserved,
    Other,
}

/// What a raw key means. Nearly all are written without escapes, and decoding costs.
#[inline]
fn key(raw: &[u8]) -> Key {
    match raw {
        b"id" => Key::Protocol(ID),
        b"seq" => Key::Protocol(SEQ),
        b"ts" => Key::Protocol(TS),
        b"age" => Key::Protocol(AGE),
        b"type" => Key::Protocol(TYPE),
        b"weight" => Key::Protocol(WEIGHT),
        b"props" => Key::Protocol(PROPS),
        b"_tg" => Key::Reserved,
        _ if raw.contains(&b'\\') => decoded_key(raw),
        _ => Key::Other,
    }
}

#[cold]
fn decoded_key(raw: &[u8]) -> Key {
    let text = json::unescape(raw);
    // A decoded key with a backslash in it is none of ours, and must not be decoded again.
    if text.contains('\\') { Key::Other } else { key(text.as_bytes()) }
}

impl Walked {
    /// The value of a key, if it is there and not null.
    fn told(&self, place: usize) -> Option<Field> {
        self.fields.get(place).copied().flatten().filter(|field| field.kind != Kind::Null)
    }

    fn integer(&self, place: usize, body: &[u8], reason: Reason) -> Result<Option<i64>, Reason> {
        let Some(field) = self.told(place) else { return Ok(None) };
        if field.kind != Kind::Number {
            return Err(reason);
        }
        json::integer(field.span.of(body)).map(Some).ok_or(reason)
    }

    fn count(&self, place: usize, body: &[u8], reason: Reason) -> Result<Option<u64>, Reason> {
        let value = self.integer(place, body, reason)?;
        value.map(|value| u64::try_from(value).map_err(|_| reason)).transpose()
    }

    fn weight(&self, body: &[u8]) -> Result<f64, Reason> {
        let Some(field) = self.told(WEIGHT) else { return Ok(1.0) };
        if field.kind != Kind::Number {
            return Err(Reason::BadWeight);
        }
        json::float(field.span.of(body))
            .filter(|weight| weight.is_finite() && *weight > 0.0)
            .ok_or(Reason::BadWeight)
    }
}

impl Field {
    /// The span between its quotes, if it is a string that is `allowed`.
    fn text(self, body: &[u8], allowed: impl Fn(&[u8]) -> bool) -> Option<Span> {
        if self.kind != Kind::String {
            return None;
        }
        let inner = Span { start: self.span.start + 1, end: self.span.end - 1 };
        allowed(inner.of(body)).then_some(inner)
    }
}

fn is_type(text: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(byte);
    (1..=TYPE_BYTES_MAX).contains(&text.len()) && text.iter().all(allowed)
}

/// Printable ASCII without escapes; quotes cannot stand in a raw string.
fn is_id(text: &[u8]) -> bool {
    let allowed = |byte: &u8| (b' '..=b'~').contains(byte) && *byte != b'\\';
    (1..=ID_BYTES_MAX).contains(&text.len()) && text.iter().all(allowed)
}

/// A range as a span of the body, whose length the entry of this stage has checked.
pub(super) fn span(range: &Range<usize>) -> Span {
    let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { start: narrow(range.start), end: narrow(range.end) }
}
