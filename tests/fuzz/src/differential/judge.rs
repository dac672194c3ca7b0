//! One event by the protocol, read with `serde_json`.
//!
//! In: the bytes of a line or an element. Out: what a gateway has to take it for, or its reason.
//! Where the protocol is stricter than `serde_json` (nesting, lone surrogates, repeated and
//! reserved keys, ranges) that is written out here; which fault counts is told by how far
//! `serde_json` can read before it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use tidegate::model::Reason;

use super::EVENT_BYTES_MAX;

/// An event that is taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept<'a> {
    /// From brace to brace.
    pub text: &'a [u8],
    /// `type` without its quotes.
    pub kind: &'a [u8],
    /// `id` without its quotes; empty when absent.
    pub id: &'a [u8],
    /// `seq`.
    pub seq: Option<u64>,
    /// `ts`.
    pub ts: Option<i64>,
    /// `weight`, 1 when absent.
    pub weight: f64,
    /// Whether line breaks stand between its tokens.
    pub broken: bool,
}

/// What becomes of an event.
pub type Verdict<'a> = Result<Kept<'a>, Reason>;

/// How deep an event may nest.
const DEPTH_MAX: usize = 64;
/// 2^53-1.
const INTEGER_MAX: i128 = (1 << 53) - 1;
const PROTOCOL_KEYS: [&str; 7] = ["id", "seq", "ts", "age", "type", "weight", "props"];

/// Judges one event; `counted` are its bytes as the size limit counts them.
pub fn judge(piece: &[u8], counted: usize) -> Verdict<'_> {
    if counted as u64 > EVENT_BYTES_MAX {
        return Err(Reason::TooLarge);
    }
    let text = std::str::from_utf8(piece).map_err(|_| Reason::InvalidUtf8)?;
    first_fault(text)?;
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    if !text.starts_with('{') {
        return Err(Reason::NotObject);
    }
    let Members(members) = serde_json::from_str(text).map_err(|_| Reason::InvalidJson)?;
    if members.iter().any(|(key, _)| key == "_tg") {
        return Err(Reason::ReservedKey);
    }
    let repeated = |name: &&str| members.iter().filter(|(key, _)| key == name).count() > 1;
    if PROTOCOL_KEYS.iter().any(repeated) {
        return Err(Reason::DuplicateKey);
    }
    let told = |name: &str| {
        let found = members.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.get()).filter(|value| *value != "null")
    };
    let kind = told("type").ok_or(Reason::NoType)?;
    let kind = string(kind, is_type).ok_or(Reason::BadType)?;
    let id = told("id").map(|id| string(id, is_id).ok_or(Reason::BadId)).transpose()?;
    let seq = told("seq").map(|seq| integer(seq, 0).ok_or(Reason::BadSeq)).transpose()?;
    let ts = told("ts").map(|ts| integer(ts, -INTEGER_MAX).ok_or(Reason::BadTs)).transpose()?;
    told("age").map(|age| integer(age, 0).ok_or(Reason::BadAge)).transpose()?;
    let weight = told("weight").map(|text| weight(text).ok_or(Reason::BadWeight)).transpose()?;
    Ok(Kept {
        text: text.as_bytes(),
        kind,
        id: id.unwrap_or_default(),
        seq: seq.and_then(|seq| u64::try_from(seq).ok()),
        ts: ts.and_then(|ts| i64::try_from(ts).ok()),
        weight: weight.unwrap_or(1.0),
        broken: text.contains(['\n', '\r']),
    })
}

/// What is wrong first, from left to right: nesting, half a pair of surrogates, or the grammar.
pub fn first_fault(text: &str) -> Result<(), Reason> {
    let bytes = text.as_bytes();
    let (mut depth, mut quoted, mut at) = (0_usize, false, 0);
    while let Some(byte) = bytes.get(at) {
        let mut step = 1;
        match (quoted, byte) {
            (true, b'\\') => {
                step = 2;
                match (unit(bytes, at), unit(bytes, at + 6)) {
                    (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => step = 12,
                    (Some(0xd800..=0xdfff), _) if is_beginning(text.get(..at + 6)) => {
                        return Err(Reason::LoneSurrogate);
                    }
                    _ => {}
                }
            }
            (_, b'"') => quoted = !quoted,
            (false, b'[' | b'{') => {
                depth += 1;
                if depth > DEPTH_MAX && is_beginning(text.get(..=at)) {
                    return Err(Reason::TooDeep);
                }
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += step;
    }
    serde_json::from_str::<IgnoredAny>(text).map(drop).map_err(|_| Reason::InvalidJson)
}

/// Whether `serde_json` finds nothing wrong with a text but that it ends.
fn is_beginning(text: Option<&str>) -> bool {
    let read = text.map(serde_json::from_str::<IgnoredAny>);
    read.is_some_and(|read| read.is_err_and(|error| error.is_eof()))
}

/// The code unit of a `\uXXXX`.
fn unit(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let digits = std::str::from_utf8(digits).ok()?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
    u32::from_str_radix(digits, 16).ok()
}

fn string(raw: &str, allowed: fn(u8) -> bool) -> Option<&[u8]> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?.as_bytes();
    let good = (1..=128).contains(&inner.len()) && inner.iter().all(|byte| allowed(*byte));
    good.then_some(inner)
}

fn is_type(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b':' | b'-')
}

fn is_id(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'\\'
}

fn integer(raw: &str, from: i128) -> Option<i128> {
    raw.parse().ok().filter(|number| (from..=INTEGER_MAX).contains(number))
}

fn weight(raw: &str) -> Option<f64> {
    let number = raw.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    let value: f64 = if number { raw.parse().ok()? } else { return None };
    (value.is_finite() && value > 0.0).then_some(value)
}

/// The members of an object in their order, repeated ones too.
pub struct Members<'a>(pub Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}
