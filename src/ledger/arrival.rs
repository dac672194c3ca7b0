//! One record of tier 1 as the books see it: whose it is, what it reports, which events it holds
//! and what the gateway decided about each.
//!
//! In: body, facts, and the rules that they name. Out: an [`Arrival`], or why it is unreadable.
//! Runs the same decode and split as the gateway did, so that its verdicts are the gateway's.

use std::sync::Arc;

use uuid::Uuid;

use super::report::{Invalid, Report};
use super::rules::Rules;
use crate::model::{Batch, Format, KeyKind, Record, Span};
use crate::{decode, json, split};

/// What became of an event at the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Verdict {
    Accepted = 0,
    Filtered = 1,
    Rejected = 2,
    /// The rules that it was judged by are not known here.
    Unjudged = 3,
}

/// A record, read.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) app: Arc<str>,
    pub(super) kind: KeyKind,
    pub(super) came_ms: i64,
    pub(super) batch: Uuid,
    pub(super) instance: String,
    /// Empty if the batch names none.
    pub(super) epoch: String,
    pub(super) report: Option<Result<Report, Invalid>>,
    /// Sequence number, 0 for none, and verdict of each event.
    pub(super) events: Vec<(u64, Verdict)>,
}

/// Reads records; keeps what one needs for the next.
pub(super) struct Reading {
    pub(super) rules: Rules,
    scratch: decode::Scratch,
}

impl Reading {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, scratch: decode::Scratch::default() }
    }

    /// Reads a record as the gateway did when it came.
    pub(super) fn read(&mut self, record: &Record) -> Result<Arrival, String> {
        let facts = &record.facts;
        let (book, known) = self.rules.find(facts.rules);
        let shape = &book.shape;
        let body = decode::decode(&record.body, facts.coding, &shape.decode, &mut self.scratch)
            .map_err(|refusal| refusal.to_string())?;
        let batch = split::split(body, facts, None, &shape.split, &book.rules)
            .map_err(|refusal| refusal.to_string())?;
        let header = &batch.header;
        let text = |span: Span| String::from_utf8_lossy(span.of(body)).into_owned();
        let report = header.report.of(body);
        Ok(Arrival {
            app: Arc::clone(&facts.app),
            kind: facts.key_kind,
            came_ms: facts.arrival_ms,
            batch: batch.id,
            instance: text(header.instance),
            epoch: text(header.epoch),
            report: (!report.is_empty()).then(|| Report::read(report)),
            events: events(body, &batch, known),
        })
    }
}

fn events(body: &[u8], batch: &Batch, known: bool) -> Vec<(u64, Verdict)> {
    let judged = |verdict| if known { verdict } else { Verdict::Unjudged };
    let kept = batch.events.iter().map(|event| {
        let filtered = event.filtered_by.is_some();
        let verdict = if filtered { Verdict::Filtered } else { Verdict::Accepted };
        (event.seq.unwrap_or(0), judged(verdict))
    });
    let mut events: Vec<_> = kept.collect();
    if !batch.rejected.is_empty() {
        let seqs = rejected_seqs(body, batch);
        events.extend(seqs.into_iter().map(|seq| (seq, judged(Verdict::Rejected))));
    }
    events
}

/// The numbers of events that the split only knows by their place; 0 where none can be read.
fn rejected_seqs(body: &[u8], batch: &Batch) -> Vec<u64> {
    if batch.format != Format::Lines {
        return vec![0; batch.rejected.len()];
    }
    let is_blank = |line: &&[u8]| line.iter().all(|byte| b" \t\r".contains(byte));
    let lines = body.trim_ascii_start().split(|byte| *byte == b'\n').skip(1);
    let mut lines = (0_u32..).zip(lines.filter(|line| !is_blank(line)));
    let path = ["seq".to_owned()];
    let seq = |line: &[u8]| u64::try_from(json::integer(json::field(line, &path)?)?).ok();
    let seq_at = |(index, _): &(u32, _)| {
        let found = lines.find(|(at, _)| at == index);
        found.and_then(|(_, line)| seq(line)).unwrap_or(0)
    };
    batch.rejected.iter().map(seq_at).collect()
}
