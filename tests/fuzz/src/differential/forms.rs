//! Which events a body holds, told with `serde_json` and the protocol's words on forms.
//!
//! In: a body. Out: a verdict for each event, or for the first ones, or no opinion: what a broken
//! array or wrapper still holds is for the split to say, and its own tests pin that.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tidegate::model::Reason;

use super::judge::{Members, Verdict, first_fault, judge};

/// What a body has to come to.
#[derive(Debug)]
pub enum Wanted<'a> {
    /// A refusal: there is nothing in it.
    Empty,
    /// Exactly these.
    All(Vec<Verdict<'a>>),
    /// These, and then others.
    Beginning(Vec<Verdict<'a>>),
    /// No opinion.
    Unknown,
}

/// The header line that this knows.
pub const HEADER: &[u8] = b"{\"tidegate\":1}\n";

const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// Reads a body.
pub fn read(body: &[u8]) -> Wanted<'_> {
    if let Some(behind) = body.strip_prefix(HEADER) {
        return Wanted::All(lines(behind));
    }
    let trimmed = trim(body);
    match trimmed.first() {
        None => Wanted::Empty,
        Some(b'[') => array(body, trimmed),
        Some(b'{') => object(body, trimmed),
        Some(_) => Wanted::All(lines(body)),
    }
}

/// One event a line; lines of blanks are none.
fn lines(body: &[u8]) -> Vec<Verdict<'_>> {
    let all = body.split(|byte| *byte == b'\n').filter(|line| !trim(line).is_empty());
    all.map(|line| judge(line, line.strip_suffix(b"\r").unwrap_or(line).len())).collect()
}

/// Elements as far as they can be read; the last one of a broken array may be anything.
fn array<'a>(body: &'a [u8], trimmed: &'a [u8]) -> Wanted<'a> {
    let mut reader = serde_json::Deserializer::from_slice(trimmed);
    let elements = Elements::deserialize(&mut reader);
    let Ok(Elements { mut found, whole }) = elements else { return Wanted::Unknown };
    if whole && reader.end().is_ok() {
        if found.is_empty() {
            return Wanted::Empty;
        }
        return Wanted::All(found.into_iter().map(|raw| element(body, raw)).collect());
    }
    if !whole {
        found.pop();
    }
    Wanted::Beginning(found.into_iter().map(|raw| element(body, raw)).collect())
}

/// The size of an element that nests too deep or holds half a pair counts up to its comma.
fn element<'a>(body: &'a [u8], raw: &'a RawValue) -> Verdict<'a> {
    let text = raw.get();
    let counted = if first_fault(text).is_ok() {
        text.len()
    } else {
        let start = text.as_ptr().addr() - body.as_ptr().addr();
        let behind = body.get(start + text.len()..).unwrap_or_default();
        let blank = |byte: &&u8| b" \t\r\n".contains(byte);
        text.len() + behind.iter().take_while(blank).count()
    };
    judge(text.as_bytes(), counted)
}

/// A body that begins with a brace: the wrapper, one event, or the first of many lines.
fn object<'a>(body: &'a [u8], trimmed: &'a [u8]) -> Wanted<'a> {
    let first_key = trimmed.split(|byte| *byte == b':').next().unwrap_or_default();
    let first_key = trim(first_key.get(1..).unwrap_or_default());
    if first_key.contains(&b'\\') || first_key.starts_with(b"\"tidegate") {
        return Wanted::Unknown;
    }
    let is_json = serde_json::from_slice::<IgnoredAny>(trimmed).is_ok();
    let value = trimmed.splitn(2, |byte| *byte == b':').nth(1).unwrap_or_default();
    if first_key == b"\"batch\"" && trim(value).starts_with(b"[") {
        return if is_json { wrapper(body, trimmed) } else { Wanted::Unknown };
    }
    let one_line = !trimmed.contains(&b'\n');
    match (is_json, one_line) {
        (_, true) => Wanted::All(lines(body)),
        (true, false) => spread(trimmed),
        (false, false) => first_of_many(body, trimmed),
    }
}

/// An object over many lines is one event.
fn spread(trimmed: &[u8]) -> Wanted<'_> {
    match judge(trimmed, trimmed.len()) {
        // Where the first line ends before the fault or behind it makes two forms of it.
        Err(Reason::TooDeep | Reason::LoneSurrogate | Reason::TooLarge | Reason::InvalidUtf8) => {
            Wanted::Unknown
        }
        verdict => Wanted::All(vec![verdict]),
    }
}

/// Many lines: the object that begins on the first one does not go on to the end of the body.
fn first_of_many<'a>(body: &'a [u8], trimmed: &'a [u8]) -> Wanted<'a> {
    let first = trimmed.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let fault = |text| std::str::from_utf8(text).ok().map(first_fault);
    match (fault(first), fault(trimmed)) {
        // Nesting and half pairs leave an object's brackets whole, over as many lines as they are.
        (Some(Ok(())), _) | (_, Some(Err(Reason::InvalidJson))) => Wanted::All(lines(body)),
        _ => Wanted::Unknown,
    }
}

/// `{"batch":[…]}` with anything behind the array but a type.
fn wrapper<'a>(body: &'a [u8], trimmed: &'a [u8]) -> Wanted<'a> {
    let Ok(text) = std::str::from_utf8(trimmed) else { return Wanted::Unknown };
    let Ok(Members(members)) = serde_json::from_str::<Members<'a>>(text) else {
        return Wanted::Unknown;
    };
    let Some(((_, batch), others)) = members.split_first() else { return Wanted::Unknown };
    // A member behind the array that is no text of ours breaks the envelope, and not an event.
    let nests = |value: &RawValue| value.get().matches(['[', '{']).count() > 60;
    if others.iter().any(|(_, value)| first_fault(value.get()).is_err() || nests(value)) {
        return Wanted::Unknown;
    }
    if others.iter().any(|(key, _)| key == "type") {
        return if trimmed.contains(&b'\n') { spread(trimmed) } else { Wanted::All(lines(body)) };
    }
    array(body, batch.get().as_bytes())
}

fn trim(bytes: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| BLANKS.contains(&char::from(*byte));
    let start = bytes.iter().position(|byte| !is_blank(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}

/// The elements of an array, up to the first that cannot be read.
struct Elements<'a> {
    found: Vec<&'a RawValue>,
    whole: bool,
}

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<'r, 'a>(&'r mut Elements<'a>);
        impl<'de> Visitor<'de> for Reader<'_, 'de> {
            type Value = ();

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<(), A::Error> {
                while let Some(element) = all.next_element()? {
                    self.0.found.push(element);
                }
                self.0.whole = true;
                Ok(())
            }
        }
        let mut elements = Elements { found: Vec::new(), whole: false };
        // What was found before an error counts, so that the error itself does not.
        drop(deserializer.deserialize_seq(Reader(&mut elements)));
        Ok(elements)
    }
}
