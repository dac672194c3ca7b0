//! An outcome for people: the ledger line first, then whatever explains it.

use std::fmt::{self, Display, Formatter};

use super::outcome::{Ledger, Outcome, Verdict};
use super::watch::Sample;
use crate::judge::lanes::Line;

impl Display for Outcome {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Passed => "passed",
            Verdict::Failed => "FAILED",
            Verdict::Skipped => "SKIPPED, which is not a pass",
        };
        writeln!(to, "{verdict}: {} (seed {})", self.name, self.seed)?;
        if self.verdict != Verdict::Skipped {
            writeln!(to, "{}", self.ledger)?;
        }
        let failed = self.verdict == Verdict::Failed;
        let examples = self.examples.iter().filter(|_| failed);
        for line in self.errors.iter().chain(&self.broken).chain(examples) {
            writeln!(to, "  {line}")?;
        }
        for line in &self.evidence {
            writeln!(to, "  {line}")?;
        }
        for cluster in &self.clusters {
            writeln!(to, "  {cluster}")?;
        }
        for cut in self.cuts.iter().filter(|cut| !cut.is_clean()) {
            writeln!(to, "  cut {}: {:?}", cut.number, cut.error)?;
            for line in cut.examples.iter().take(CUT_EXAMPLES_MAX) {
                writeln!(to, "    {line}")?;
            }
        }
        Ok(())
    }
}

/// Of each power cut that is not clean.
const CUT_EXAMPLES_MAX: usize = 3;

/// The figures that took long to measure: what each lane did, and a row now and then.
pub fn tables(outcome: &Outcome) -> String {
    outcome.lanes.iter().map(lane_line).chain(outcome.samples.iter().map(sample_line)).collect()
}

fn lane_line(line: &Line) -> String {
    let Line { lane, events, per_s, p50_ms, p99_ms, max_ms, .. } = line;
    let phase = format!("{:?}", line.phase).to_lowercase();
    format!(
        "{lane:<8} {phase:<9} {events:>8} events {per_s:>8.0}/s  late ms: p50 {p50_ms:>6}, \
         p99 {p99_ms:>6}, max {max_ms:>6}\n"
    )
}

fn sample_line(row: &Sample) -> String {
    let Sample { at_ms, resident_mib, owed_mib, lag_frames, drained, .. } = row;
    let phase = format!("{:?}", row.phase).to_lowercase();
    let (rate, p99_ms) = (row.acknowledged_per_s, row.reply_p99_ms);
    format!(
        "{at_ms:>9} ms {phase:<9} {rate:>7.0} events/s acknowledged, p99 {p99_ms:>7.1} ms, \
         resident {resident_mib:>4} MiB, owed {owed_mib:>7.1} MiB, {lag_frames:>7} frames \
         behind, {drained:>8} batches drained\n"
    )
}

impl Display for Ledger {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        let refused: Vec<_> =
            self.refused.iter().map(|(name, count)| format!("{name} x {count}")).collect();
        let [once, refusal, retry] = self.duplicates;
        write!(
            to,
            "ledger: sent {}, acknowledged {}, refused [{}], given up {}, claimed {} events, \
             read {}, missing {}, alien {}, corrupted {}, duplicates {once} + {refusal} after a \
             refusal + {retry} by retry",
            self.sent,
            self.acknowledged,
            refused.join(", "),
            self.given_up,
            self.claimed,
            self.read,
            self.missing,
            self.alien,
            self.corrupted,
        )?;
        if self.excused + self.buried > 0 {
            write!(to, ", excused {}, dead letters {}", self.excused, self.buried)?;
        }
        if self.restarts > 0 {
            let [median, longest] = self.start_ms;
            write!(to, ", restarts {} (ms {median}, longest {longest})", self.restarts)?;
        }
        if self.cuts[0] > 0 {
            write!(to, ", power cuts {} ({} not clean)", self.cuts[0], self.cuts[1])?;
        }
        write!(to, ", longest without a 200 {} ms", self.silence_ms)?;
        let [told, untold] = self.retry_after;
        if told + untold > 0 {
            let [said, was] = self.retry_said_was_ms;
            let [right, short, long] = self.retry_judged;
            write!(
                to,
                ", Retry-After on {told} of {} (said {said:.0} ms, was {was:.0}; {right} right \
                 within a factor of two, {short} too short, {long} too long)",
                told + untold
            )?;
        }
        let phase = |(phase, [p50, p99]): (&crate::record::Phase, &[f64; 2])| {
            let healthz = self.healthz_p99_ms.get(phase).copied().unwrap_or_default();
            let phase = format!("{phase:?}").to_lowercase();
            format!("{phase} p50 {p50:.1} p99 {p99:.1} (healthz {healthz:.1})")
        };
        let phases: Vec<_> = self.reply_ms.iter().map(phase).collect();
        write!(to, "; ms {}; load {:.0} s", phases.join(", "), self.load_s)?;
        write!(to, ", arrived {:.1} s after it", self.arrived_s)
    }
}
