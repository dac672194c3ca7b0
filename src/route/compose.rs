//! Writes tier-2 values: `{"_tg":{…},` and then the event's own bytes behind its opening brace.
//!
//! Everything that is the same for all events of a batch is written once and copied.

use std::io::Write as _;

use memchr::memchr2;

use super::key::{self, span};
use super::table::{Table, Target};
use crate::json;
use crate::model::batch::made_id;
use crate::model::routed::space;
use crate::model::{Batch, Event, Facts, Refusal, Routed, Row};

pub(super) fn compose(
    batch: &Batch,
    body: &[u8],
    facts: &Facts,
    table: &Table,
    output_bytes_max: u64,
) -> Result<Routed, Refusal> {
    let shared = Shared::new(batch, body, facts);
    let kept = || batch.events.iter().filter(|event| event.filtered_by.is_none());
    // Counted before anything is written: a context multiplies with the number of events.
    let each = shared.before.len() + shared.behind.len() + EACH_BYTES;
    let bytes: usize = kept()
        .map(|event| {
            event.span.of(body).len() + event.kind.of(body).len() + event.id.of(body).len() + each
        })
        .sum();
    if bytes as u64 > output_bytes_max {
        return Err(Refusal::OutputTooLarge(output_bytes_max));
    }
    let instance = json::unescape(batch.header.instance.of(body)).into_owned();
    let mut routed = Routed {
        values: space::take(bytes),
        keys: instance.clone().into_bytes(),
        rows: Vec::with_capacity(batch.events.len()),
        instance,
        lanes: std::sync::Arc::clone(table.lanes()),
    };
    let mut targets = Targets { table, seen: Vec::with_capacity(SEEN_MAX) };
    for event in kept() {
        let target = targets.find(event.kind.of(body));
        write_event(event, body, batch, &shared, target, &mut routed);
    }
    Ok(routed)
}

/// Room for what differs from event to event besides id and type: numbers and punctuation.
const EACH_BYTES: usize = 160;

/// The parts of `_tg` that all events of a batch share.
struct Shared {
    /// From `,"class":` to `"index":`.
    before: Vec<u8>,
    /// From `,"instance":` to the comma behind `_tg`.
    behind: Vec<u8>,
}

impl Shared {
    fn new(batch: &Batch, body: &[u8], facts: &Facts) -> Self {
        let mut before = Vec::with_capacity(192);
        write!(
            before,
            r#","class":{},"recv":{},"app":"{}","ip":"{}","batch":"{}","index":"#,
            facts.class, facts.arrival_ms, facts.app, facts.address, batch.id
        )
        .expect("writing to a Vec cannot fail");
        let mut behind = Vec::with_capacity(256);
        behind.extend_from_slice(br#","instance":"#);
        push_text(&mut behind, batch.header.instance.of(body));
        behind.extend_from_slice(br#","epoch":"#);
        push_text(&mut behind, batch.header.epoch.of(body));
        write!(behind, r#","rules":"{:016x}","node":"{}","ctx":"#, facts.rules, facts.node)
            .expect("writing to a Vec cannot fail");
        match batch.header.context.of(body) {
            [] => behind.extend_from_slice(b"null"),
            context => push_unbroken(&mut behind, context),
        }
        behind.extend_from_slice(b"},");
        Self { before, behind }
    }
}

/// A string that is already escaped, or `null`.
fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    if text.is_empty() {
        out.extend_from_slice(b"null");
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

/// In valid JSON a line break only stands between tokens, so it can go without harm.
fn push_unbroken(out: &mut Vec<u8>, mut json: &[u8]) {
    while let Some(at) = memchr2(b'\n', b'\r', json) {
        let (head, rest) = json.split_at(at);
        out.extend_from_slice(head);
        json = rest.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(json);
}

fn write_event(
    event: &Event,
    body: &[u8],
    batch: &Batch,
    shared: &Shared,
    target: &Target,
    routed: &mut Routed,
) {
    let own = event.span.of(body);
    let mut number = itoa::Buffer::new();
    let out = &mut routed.values;
    let start = out.len();
    out.extend_from_slice(br#"{"_tg":{"v":1,"id":""#);
    if event.id.is_empty() {
        let mut text = uuid::Uuid::encode_buffer();
        let id = made_id(batch.id, event.index).hyphenated().encode_lower(&mut text);
        out.extend_from_slice(id.as_bytes());
    } else {
        out.extend_from_slice(event.id.of(body));
    }
    out.extend_from_slice(br#"","type":""#);
    let kind_start = out.len();
    out.extend_from_slice(event.kind.of(body));
    let kind = span(kind_start, out.len());
    out.extend_from_slice(br#"","ts":"#);
    out.extend_from_slice(number.format(event.ts_ms).as_bytes());
    out.extend_from_slice(br#","weight":"#);
    push_weight(out, event.weight);
    out.extend_from_slice(&shared.before);
    out.extend_from_slice(number.format(event.index).as_bytes());
    out.extend_from_slice(&shared.behind);
    let own_start = out.len();
    let rest = own.get(1..).unwrap_or_default();
    if event.broken {
        push_unbroken(out, rest);
    } else {
        out.extend_from_slice(rest);
    }
    let value = span(start, out.len());
    out.push(b'\n');
    let key = key::append(&target.key, own, &routed.instance, &mut routed.keys);
    let own_start = span(own_start, own_start).start;
    routed.rows.push(Row {
        index: event.index,
        lane: target.lane,
        value,
        own_start,
        kind,
        key,
        ts_ms: event.ts_ms,
    });
}

fn push_weight(out: &mut Vec<u8>, weight: f64) {
    // Almost every event has weight one.
    if (weight - 1.0).abs() < f64::EPSILON {
        out.push(b'1');
    } else {
        write!(out, "{weight}").expect("writing to a Vec cannot fail");
    }
}

/// Remembers the targets of this batch's types, so that the table is asked once a type.
struct Targets<'a> {
    table: &'a Table,
    seen: Vec<(&'a [u8], &'a Target)>,
}

/// Types of one batch that are remembered; beyond it the table is asked each time.
const SEEN_MAX: usize = 32;

impl<'a> Targets<'a> {
    fn find(&mut self, kind: &'a [u8]) -> &'a Target {
        if let Some((_, target)) = self.seen.iter().find(|(seen, _)| *seen == kind) {
            return target;
        }
        let target = self.table.target(std::str::from_utf8(kind).unwrap_or_default());
        if self.seen.len() < SEEN_MAX {
            self.seen.push((kind, target));
        }
        target
    }
}
