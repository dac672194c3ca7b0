//! The wire: lines by the letter, sealed bytes, attempts, sizes.
//!
//! In: batch requests as they came. Out: what is against R1-R10, R78 and R143.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Evidence, option};
use crate::gateway::Sent;

const HEADER: [&str; 10] = [
    "tidegate", "batch", "sdk", "instance", "epoch", "class", "count", "config", "context",
    "report",
];
const EVENT: [&str; 7] = ["id", "seq", "ts", "age", "type", "weight", "props"];
/// Keys that may be left out of an event, and of a header.
const OPTIONAL: [&str; 5] = ["age", "weight", "props", "config", "context"];
const INTEGER_MAX: i64 = (1 << 53) - 1;
const HEADER_BYTES_MAX: usize = 16_384;

/// Every batch request by itself, then those of one id together.
pub(super) fn check(evidence: &Evidence<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    let record = evidence.record;
    if record.preflights > 0 {
        faults.push(format!("{} preflights", record.preflights));
    }
    let mut first: BTreeMap<&str, &Sent> = BTreeMap::new();
    let mut attempts: BTreeMap<&str, i64> = BTreeMap::new();
    for sent in &record.sends {
        let id = sent.batch();
        faults.extend(one(sent, evidence).into_iter().map(|what| format!("batch {id}: {what}")));
        let known = *first.entry(id).or_insert(sent);
        if known.raw != sent.raw {
            faults.push(format!("batch {id} was sent with other bytes"));
        }
        let attempt = sent.query("attempt").unwrap_or(-1);
        if attempts.insert(id, attempt).is_some_and(|before| before >= attempt) {
            faults.push(format!("batch {id}: attempt {attempt} does not grow"));
        }
    }
    faults
}

fn one(sent: &Sent, evidence: &Evidence<'_>) -> Vec<String> {
    let mut faults: Vec<String> = sent.fault.iter().cloned().collect();
    let mut fault = |what: &str| faults.push(what.to_owned());
    let header = sent.shown.get("header").cloned().unwrap_or_default();
    let keys: Vec<&str> = list(&sent.shown, "header_keys");
    if !ordered(&keys, &HEADER) {
        fault(&format!("header keys {keys:?}"));
    }
    let same = |name: &str| header.get(name).and_then(Value::as_i64) == sent.query(name);
    if header.get("tidegate") != Some(&Value::from(1)) || !same("class") {
        fault("version or class of the header line is wrong");
    }
    if header.get("count").and_then(Value::as_u64) != Some(sent.count() as u64) {
        fault("the header's count is not the number of lines");
    }
    for name in ["batch", "epoch"] {
        if !uuid7(header.get(name)) {
            fault(&format!("{name} is no UUIDv7"));
        }
    }
    let text = &sent.plain;
    if text.last() != Some(&b'\n') || text.contains(&b'\r') || blank_line(text) {
        fault("lines end by one newline each and are never blank");
    }
    let first = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    if first > HEADER_BYTES_MAX {
        fault("the header line is too long");
    }
    let most = option(evidence.options, "batch_bytes_max").unwrap_or(i64::MAX);
    if sent.count() > 1 && i64::try_from(text.len()).unwrap_or(i64::MAX) > most {
        fault(&format!("{} bytes of body, at most {most}", text.len()));
    }
    let most = option(evidence.options, "batch_events_max").unwrap_or(i64::MAX);
    if i64::try_from(sent.count()).unwrap_or(i64::MAX) > most {
        fault(&format!("{} events, at most {most}", sent.count()));
    }
    if std::str::from_utf8(text).is_err() {
        fault("the body is not UTF-8");
    }
    let event_keys: Vec<&str> = list(&sent.shown, "event_keys");
    for (event, keys) in sent.events().iter().zip(event_keys) {
        if let Some(what) = event_fault(event, keys) {
            fault(&what);
        }
    }
    if !sent.shown.get("content_type").is_some_and(allowed_type) {
        fault("the content type is neither application/x-ndjson nor text/plain");
    }
    faults
}

fn allowed_type(value: &Value) -> bool {
    matches!(value.as_str(), Some("application/x-ndjson" | "text/plain"))
}

fn event_fault(event: &Value, keys: &str) -> Option<String> {
    let keys: Vec<&str> = keys.split(',').collect();
    if !ordered(&keys, &EVENT) {
        return Some(format!("event keys {keys:?}"));
    }
    if !uuid7(event.get("id")) {
        return Some("an event's id is no UUIDv7".to_owned());
    }
    let whole = |name: &str, least: i64| {
        let number = event.get(name).and_then(Value::as_i64);
        number.is_some_and(|number| (least..=INTEGER_MAX).contains(&number))
    };
    let aged = event.get("age").is_none() || whole("age", 1_001);
    if !whole("seq", 1) || !whole("ts", 0) || !aged {
        return Some(format!("seq, ts or age are wrong: {event}"));
    }
    let weight = event.get("weight");
    if weight.is_some_and(|weight| weight.as_f64().is_none_or(|weight| weight <= 1.0)) {
        return Some(format!("weight is {weight:?}"));
    }
    let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    if !(1..=128).contains(&kind.len()) || !kind.bytes().all(allowed) {
        return Some(format!("type {kind:?}"));
    }
    let props = event.get("props");
    let fine = props.is_none_or(|props| props.as_object().is_some_and(|props| !props.is_empty()));
    (!fine).then(|| format!("props {props:?}"))
}

/// Whether keys are those of a list, in its order, each at most once, and none is missing that may
/// not be.
fn ordered(keys: &[&str], all: &[&str]) -> bool {
    let expected: Vec<&str> =
        all.iter().copied().filter(|key| keys.contains(key) || !OPTIONAL.contains(key)).collect();
    expected == keys
}

fn uuid7(value: Option<&Value>) -> bool {
    let text = value.and_then(Value::as_str).unwrap_or_default();
    let places = text.char_indices().all(|(at, sign)| match at {
        8 | 13 | 18 | 23 => sign == '-',
        14 => sign == '7',
        19 => matches!(sign, '8' | '9' | 'a' | 'b'),
        _ => matches!(sign, '0'..='9' | 'a'..='f'),
    });
    text.len() == 36 && places
}

fn blank_line(text: &[u8]) -> bool {
    text.starts_with(b"\n") || text.windows(2).any(|pair| pair == b"\n\n")
}

fn list<'a>(shown: &'a Value, name: &str) -> Vec<&'a str> {
    let items = shown.get(name).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).collect()
}
