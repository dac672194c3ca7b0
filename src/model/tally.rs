//! Counts the events of one batch by type until their end is known.
//!
//! Made from what split found, settled once with how delivery ended. A tally that is dropped
//! unsettled counts its events as lost, so a forgotten path cannot hide.

use std::sync::Arc;

use super::{Batch, Outcome};
use crate::telemetry::events::{self, TypeNumber};

/// The events of one batch, by type.
#[derive(Debug)]
#[must_use = "a tally has to be settled"]
pub struct Tally {
    app: Arc<str>,
    rows: Vec<Row>,
    settled: bool,
}

/// Types in one batch, as a rule; more cost an allocation.
const TYPES_USUAL: usize = 24;

#[derive(Debug, Default, Clone)]
struct Row {
    kind: TypeNumber,
    kept: u64,
    filtered: u64,
    rejected: u64,
}

impl Tally {
    /// Counts what split found in `body`.
    pub fn count(app: &Arc<str>, batch: &Batch, body: &[u8]) -> Self {
        let mut tally =
            Self { app: Arc::clone(app), rows: Vec::with_capacity(TYPES_USUAL), settled: false };
        let mut last = (&b""[..], 0);
        for event in &batch.events {
            let kind = event.kind.of(body);
            if kind != last.0 || tally.rows.is_empty() {
                last = (kind, tally.row(events::type_number(kind)));
            }
            if let Some(row) = tally.rows.get_mut(last.1) {
                match event.filtered_by {
                    None => row.kept += 1,
                    Some(_) => row.filtered += 1,
                }
            }
        }
        if !batch.rejected.is_empty() {
            let at = tally.row(TypeNumber::UNKNOWN);
            if let Some(row) = tally.rows.get_mut(at) {
                row.rejected += batch.rejected.len() as u64;
            }
        }
        tally
    }

    /// An event that was to be delivered is rejected after all.
    pub fn reject(&mut self, kind: &[u8]) {
        let at = self.row(events::type_number(kind));
        if let Some(row) = self.rows.get_mut(at).filter(|row| row.kept > 0) {
            row.kept -= 1;
            row.rejected += 1;
        }
    }

    /// Ends the count: `kept` says what became of the events that were to be delivered.
    pub fn settle(mut self, kept: Outcome) {
        self.settled = true;
        self.book(kept);
    }

    /// Events that are to be delivered.
    pub fn kept(&self) -> u64 {
        self.rows.iter().map(|row| row.kept).sum()
    }

    /// Events that a rule dropped.
    pub fn filtered(&self) -> u64 {
        self.rows.iter().map(|row| row.filtered).sum()
    }

    fn row(&mut self, kind: TypeNumber) -> usize {
        if let Some(at) = self.rows.iter().position(|row| row.kind == kind) {
            return at;
        }
        self.rows.push(Row { kind, ..Row::default() });
        self.rows.len() - 1
    }

    fn book(&self, kept: Outcome) {
        let whole = matches!(kept, Outcome::Refused | Outcome::Repeated);
        for row in &self.rows {
            let received = row.kept + row.filtered + row.rejected;
            if whole {
                // Such a batch ends as a whole: its parts were, or will be, booked another time.
                events::book(&self.app, row.kind, received, &[(kept, received)]);
            } else {
                let ends = [
                    (kept, row.kept),
                    (Outcome::Filtered, row.filtered),
                    (Outcome::Rejected, row.rejected),
                ];
                events::book(&self.app, row.kind, received, &ends);
            }
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if !self.settled {
            self.book(Outcome::Lost);
            debug_assert!(std::thread::panicking(), "a tally was dropped unsettled");
        }
    }
}
