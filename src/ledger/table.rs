//! The books as a table for people.
//!
//! In: [`Books`]. Out: lines of text: a row for each epoch, what explains it below, then the sums
//! and everything that is not as it should be. Texts of clients are cut, never trusted to be short.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::entry::{Entry, State, Sums};
use super::report::{POST, PRE};
use super::{Books, Total};

/// Characters of a client's text that are shown.
const TEXT_MAX: usize = 40;
/// The columns of numbers.
const COLUMNS: [&str; 11] = [
    "tracked",
    "pre",
    "admitted",
    "acked",
    "held",
    "post",
    "accepted",
    "filtered",
    "rejected",
    "gaps",
    "remainder",
];

type Cells = Vec<String>;

impl Books {
    /// The lines.
    pub fn table(&self) -> Vec<String> {
        let names = ["app", "key", "instance", "epoch", "state"];
        let mut rows = vec![(cells(&names, &COLUMNS.map(str::to_owned)), Vec::new())];
        rows.extend(self.epochs.iter().map(|entry| (entry.cells(), entry.notes())));
        rows.extend(self.totals.iter().map(|total| (total.cells(), total.notes())));
        let mut lines = aligned(rows);
        lines.extend(self.remarks());
        lines
    }

    fn remarks(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for source in &self.sources {
            let cut = if source.cut { "; older ones are deleted" } else { "" };
            lines.push(format!("read {}: {} records{cut}", source.name, source.records));
            if source.corrupt > 0 {
                lines.push(format!("  {} records are damaged or missing there", source.corrupt));
            }
        }
        for stranger in &self.without_epoch {
            lines.push(format!(
                "without an epoch, so not in the books: {} records with {} events of {} ({} key)",
                stranger.records, stranger.events, stranger.app, stranger.key_kind
            ));
        }
        if !self.unknown_rules.is_empty() {
            let names = self.unknown_rules.join(", ");
            lines.push(format!("rules that nobody has, their events are not judged: {names}"));
        }
        if self.unreadable.records > 0 {
            lines.push(format!("{} records cannot be read:", self.unreadable.records));
            let named = self.unreadable.named.iter();
            lines.extend(named.map(|(place, why)| format!("  {place}: {why}")));
        }
        let open: u64 = self.totals.iter().map(|total| total.open + total.unreported).sum();
        let all: u64 = self.totals.iter().map(|total| total.epochs).sum();
        let verdict = if self.closes { "the books close" } else { "the books do not close" };
        lines.push(format!(
            "{verdict}: remainder {} in {all} epochs, {open} of them still open",
            self.remainder
        ));
        lines
    }
}

impl Entry {
    /// The order of entries: by total, then by first arrival.
    pub(super) fn place(&self) -> (&str, &str, i64, &str, &str) {
        (&self.app, self.key_kind, self.first_ms, &self.instance, &self.epoch)
    }

    fn cells(&self) -> Cells {
        let Self { app, key_kind, instance, epoch, state, .. } = self;
        cells(&[app, key_kind, instance, epoch, state.name()], &self.sums.cells())
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.sums.notes();
        if self.gap_runs > 0 {
            let shown = self.gaps.iter().map(|(first, last)| {
                if first == last { first.to_string() } else { format!("{first}-{last}") }
            });
            let shown = shown.collect::<Vec<_>>().join(", ");
            let more = if self.gap_runs > self.gaps.len() as u64 { ", ..." } else { "" };
            notes.push(format!(
                "gaps: {} in {} runs: {shown}{more}",
                self.sums.gap_events, self.gap_runs
            ));
        }
        if self.may_lie_before > 0 {
            let may = self.may_lie_before;
            notes.push(format!("began before the oldest record: up to {may} may lie there"));
        }
        match self.state {
            State::Closed => {}
            State::Open => notes.push(format!("open; its last batch came {}", date(self.last_ms))),
            State::Unreported => notes.push("no valid report, so nothing to compare".to_owned()),
            State::Refused => {
                notes.push("its sequence numbers lie too far apart to be kept".to_owned());
            }
        }
        if let Some(why) = &self.invalid_why {
            notes.push(format!("reports ignored: {}; {why}", self.sums.invalid_reports));
        }
        notes
    }
}

impl Total {
    fn cells(&self) -> Cells {
        let epochs = format!("{} epochs", self.epochs);
        cells(&[&self.app, self.key_kind, "all", &epochs, ""], &self.sums.cells())
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.sums.notes();
        if self.key_kind == "public" {
            notes.push("public keys can lie: these numbers are what clients say".to_owned());
        }
        notes
    }
}

impl Sums {
    fn cells(&self) -> [String; 11] {
        let sum = |rows: &[(&str, u8, u64)]| rows.iter().map(|(_, _, count)| count).sum::<u64>();
        [
            self.tracked,
            sum(&self.pre.rows(&PRE)),
            self.admitted,
            self.acked,
            self.held,
            sum(&self.post.rows(&POST)),
            self.accepted,
            self.filtered,
            self.rejected,
            self.gap_events,
            self.remainder,
        ]
        .map(|number| number.to_string())
    }

    /// What explains the numbers, and what is odd about them; zeros are left out.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (side, rows) in [("pre", self.pre.rows(&PRE)), ("post", self.post.rows(&POST))] {
            if !rows.is_empty() {
                let rows =
                    rows.iter().map(|(name, class, count)| format!("{name}/{class} {count}"));
                notes.push(format!("{side}: {}", rows.collect::<Vec<_>>().join(", ")));
            }
        }
        for (number, text) in [
            (self.missing, "acknowledged events are not here: MISSING"),
            (self.surplus, "events are here that the client's books have no room for: SURPLUS"),
            (self.unjudged, "events whose rules nobody has, so not judged"),
            (self.unused, "numbers were reserved and never seen"),
            (self.beyond, "sequence numbers above what was admitted"),
            (self.repeated_batches, "batches came again"),
            (self.repeated_events, "events came again in another batch"),
        ] {
            if number > 0 {
                notes.push(format!("{number} {text}"));
            }
        }
        notes
    }
}

fn cells(texts: &[&str; 5], numbers: &[String; 11]) -> Cells {
    let short = |text: &&str| match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => (*text).to_owned(),
    };
    texts.iter().map(short).chain(numbers.iter().cloned()).collect()
}

/// Texts to the left, numbers to the right, notes below their row.
fn aligned(rows: Vec<(Cells, Vec<String>)>) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|(cells, _)| cells.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..5 + COLUMNS.len()).map(width).collect();
    let mut lines = Vec::new();
    for (cells, notes) in rows {
        let padded = cells.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < 5 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        lines.push(padded.collect::<Vec<_>>().join("  ").trim_end().to_owned());
        lines.extend(notes.into_iter().map(|note| format!("    {note}")));
    }
    lines
}

fn date(ms: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| format!("at {ms} ms"))
}
