//! Inflated bodies: every event has one place, spans lie in the body, and tier 2 holds the event's
//! own bytes behind `_tg`. Header lines mean what `serde_json` reads in them.

use serde_json::Value;
use tidegate::model::{Batch, Parcel, Span};
use tidegate::{json, route, split};

/// Room for tier 2; small bodies never need it.
const OUTPUT_BYTES_MAX: u64 = 64 << 20;

/// Any inflated body.
pub fn body(data: &[u8]) {
    let facts = Parcel::empty().record.facts;
    let Some(batch) = cut(data) else { return };
    let mut places: Vec<u32> = batch.events.iter().map(|event| event.index).collect();
    places.extend(batch.rejected.iter().map(|(index, _)| *index));
    places.sort_unstable();
    assert!((0..).zip(&places).all(|(wanted, place)| wanted == *place), "{places:?}");
    let table = route::Table::compile(&[], "t").expect("no routes");
    let Ok(routed) = route::route(&batch, data, &facts, &table, OUTPUT_BYTES_MAX) else { return };
    assert_eq!(routed.rows.len(), batch.events.len());
    for (row, event) in routed.rows.iter().zip(&batch.events) {
        let value = row.value.of(&routed.values);
        assert!(std::str::from_utf8(value).is_ok() && !value.contains(&b'\n'));
        assert_eq!(json::validate(value), Ok(()), "{}", value.escape_ascii());
        let own = event.span.of(data).strip_prefix(b"{").expect("an object");
        // Line breaks between tokens are the only bytes that may go.
        let kept = own.iter().filter(|byte| !event.broken || !matches!(byte, b'\n' | b'\r'));
        assert!(value.iter().rev().zip(kept.rev()).all(|(one, other)| one == other));
    }
}

/// What follows the version in a header line, and two events behind it.
pub fn header_line(data: &[u8]) {
    let whole = [b"{\"tidegate\":1", data, b"\n{\"type\":\"a\"}\n{\"type\":\"b\"}\n"].concat();
    for body in [data, &whole] {
        let Some(batch) = cut(body) else { continue };
        if let Some(line) = header_of(body) {
            check_header(&batch, body, &line);
        }
    }
}

fn cut(data: &[u8]) -> Option<Batch> {
    let facts = Parcel::empty().record.facts;
    let rules = split::Rules::compile(&[]).expect("no rules");
    split::split(data, &facts, None, &split::Limits::default(), &rules).ok()
}

/// The first line, if `serde_json` finds a header in it.
fn header_of(body: &[u8]) -> Option<Value> {
    let start = body.iter().position(|byte| !b" \t\r\n".contains(byte))?;
    let line = body.get(start..)?.split(|byte| *byte == b'\n').next()?;
    let value: Value = serde_json::from_slice(line).ok()?;
    line.starts_with(b"{\"tidegate\":").then_some(value)
}

/// The batch was taken, so that its header says what `serde_json` says.
fn check_header(batch: &Batch, body: &[u8], said: &Value) {
    assert_eq!(said["tidegate"], 1);
    let header = &batch.header;
    let text = |span: Span| -> Value {
        let quoted = [b"\"", span.of(body), b"\""].concat();
        if span.is_empty() { Value::Null } else { parse(&quoted) }
    };
    for (name, span) in
        [("sdk", header.sdk), ("instance", header.instance), ("epoch", header.epoch)]
    {
        let empty = said[name].as_str() == Some("");
        assert!(empty || text(span) == said[name], "{name}: {said}");
    }
    for (name, span) in [("context", header.context), ("report", header.report)] {
        let value = if span.is_empty() { Value::Null } else { parse(span.of(body)) };
        assert_eq!(value, said[name], "{name}");
        assert!(value.is_null() || value.is_object(), "{name}: {value}");
    }
    assert_eq!(said["class"].as_u64(), header.class.map(u64::from), "{said}");
    assert_eq!(said["config"].as_u64(), header.config, "{said}");
    let events = (batch.events.len() + batch.rejected.len()) as u64;
    assert!(said["count"].is_null() || said["count"].as_u64() == Some(events), "{said}");
    assert_eq!(said["batch"].is_null(), batch.id_made, "{said}");
    let id = said["batch"].as_str().map(str::to_ascii_lowercase);
    assert!(id.is_none_or(|id| id == batch.id.to_string()), "{said}");
}

fn parse(text: &[u8]) -> Value {
    serde_json::from_slice(text).expect("what the split took is JSON")
}
