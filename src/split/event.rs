//! One event: a walk that validates its JSON and notes its protocol keys, then the envelope's
//! rules.
//!
//! In: the position of its first byte. Out: an [`Event`] of spans and numbers, or the reason why it
//! is none. `null` stands for absent, and other keys pass untouched.

use super::time;
use crate::json::{self, Fault, Kind, Member, Members, Scanner};
use crate::model::{Event, Facts, Reason, Span};

/// What one walk over a value found; used again for the next one, because moving it costs.
#[derive(Debug)]
pub(super) struct Walked {
    /// Behind the value.
    pub end: usize,
    object: bool,
    reserved: bool,
    repeated: bool,
    /// A bit for each protocol key that was met.
    met: u8,
    /// Their values; absent ones are null, which means the same.
    fields: [Field; KEYS],
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

const NULL: Field = Field { span: Span { start: 0, end: 0 }, kind: Kind::Null };

const ID_BYTES_MAX: usize = 128;
const TYPE_BYTES_MAX: usize = 128;

/// Validates the value at `at` and notes the protocol keys in `walked`, if it is an object.
pub(super) fn walk(
    body: &[u8],
    at: usize,
    scanner: &mut Scanner,
    walked: &mut Walked,
) -> Result<(), Fault> {
    walked.object = body.get(at) == Some(&b'{');
    if !walked.object {
        walked.end = scanner.value(body, at)?;
        return Ok(());
    }
    walked.forget();
    let mut members = Members::open(body, at, scanner)?;
    walk_sdk_order(walked, &mut members)?;
    while let Some(member) = members.advance()? {
        match key(member.key) {
            Key::Protocol(place) => walked.note(place, &member),
            Key::Reserved => walked.reserved = true,
            Key::Other => {}
        }
    }
    walked.end = members.at();
    Ok(())
}

/// Takes the members that SDKs write, for as long as they are written in the order of the protocol.
fn walk_sdk_order(walked: &mut Walked, members: &mut Members<'_, '_>) -> Result<(), Fault> {
    let Some(id) = members.advance_past(b"\"id\":")? else { return Ok(()) };
    walked.note(ID, &id);
    let Some(seq) = members.advance_past(b",\"seq\":")? else { return Ok(()) };
    walked.note(SEQ, &seq);
    let Some(ts) = members.advance_past(b",\"ts\":")? else { return Ok(()) };
    walked.note(TS, &ts);
    if let Some(age) = members.advance_past(b",\"age\":")? {
        walked.note(AGE, &age);
    }
    let Some(kind) = members.advance_past(b",\"type\":")? else { return Ok(()) };
    walked.note(TYPE, &kind);
    if let Some(weight) = members.advance_past(b",\"weight\":")? {
        walked.note(WEIGHT, &weight);
    }
    Ok(())
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
        span: Span { start: narrow(start), end: narrow(walked.end) },
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
    /// Nothing yet.
    pub(super) fn new() -> Self {
        let (object, reserved, repeated) = (false, false, false);
        Self { end: 0, object, reserved, repeated, met: 0, fields: [NULL; KEYS] }
    }

    fn forget(&mut self) {
        (self.reserved, self.repeated, self.met) = (false, false, 0);
        for field in &mut self.fields {
            field.kind = Kind::Null;
        }
    }

    #[inline]
    fn note(&mut self, place: usize, member: &Member<'_>) {
        if let Some(field) = self.fields.get_mut(place) {
            *field = Field { span: span(member.at, member.value), kind: member.kind };
        }
        self.repeated |= self.met & 1 << place != 0;
        self.met |= 1 << place;
    }

    /// The value of a key, if it is there and not null.
    fn told(&self, place: usize) -> Option<Field> {
        self.fields.get(place).copied().filter(|field| field.kind != Kind::Null)
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
    (1..=TYPE_BYTES_MAX).contains(&text.len())
        && text.iter().all(|byte| TYPE_BYTES.get(usize::from(*byte)) == Some(&true))
}

/// Printable ASCII without escapes; quotes and control characters cannot stand in a raw string.
fn is_id(text: &[u8]) -> bool {
    // Without a way out of the loop, the compiler looks at many bytes at once.
    let is_wrong = |byte: u8| u8::from(byte > b'~') | u8::from(byte == b'\\');
    let wrong = text.iter().fold(0, |wrong, byte| wrong | is_wrong(*byte));
    (1..=ID_BYTES_MAX).contains(&text.len()) && wrong == 0
}

/// Bytes that may stand in a type.
const TYPE_BYTES: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0_u8;
    while byte.is_ascii() {
        allowed[byte as usize] =
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'-');
        byte += 1;
    }
    allowed
};

/// Where a part of the body lies that begins at `at`.
pub(super) fn span(at: usize, part: &[u8]) -> Span {
    Span { start: narrow(at), end: narrow(at + part.len()) }
}

/// The entry of this stage has checked that the body's length fits.
fn narrow(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
