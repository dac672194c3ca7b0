//! An outcome for people: the ledger line first, then whatever explains it.

use std::fmt::{self, Display, Formatter};

use super::outcome::{Ledger, Outcome, Verdict};

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
        for line in self.errors.iter().chain(&self.broken).chain(&self.examples) {
            writeln!(to, "  {line}")?;
        }
        for line in &self.evidence {
            writeln!(to, "  {line}")?;
        }
        for cut in self.cuts.iter().filter(|cut| !cut.is_clean()) {
            writeln!(to, "  cut {}: {:?}", cut.number, cut.error)?;
            for line in &cut.examples {
                writeln!(to, "    {line}")?;
            }
        }
        Ok(())
    }
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
            write!(
                to,
                ", Retry-After on {told} of {} (said {said:.0} ms, was {was:.0})",
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
