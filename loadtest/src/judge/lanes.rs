//! How many events arrived in each lane, and how late, apart for each phase of the load.
//!
//! In: tier-2 values with the time at which the broker appended them. Out: a line per lane and
//! phase. Needs brokers that stamp records themselves (`LogAppendTime`), on the gateway's clock.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::record::Phase;

/// The counts of all lanes.
#[derive(Debug, Default)]
pub struct Lanes {
    phases: Vec<(Phase, u64)>,
    ended_ms: u64,
    seen: BTreeMap<(String, Phase), Histogram<u64>>,
}

/// One lane in one phase.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// The lane.
    pub lane: String,
    /// The phase in which the broker appended the events.
    pub phase: Phase,
    /// How many.
    pub events: u64,
    /// How many per second of the phase.
    pub per_s: f64,
    /// From the arrival at the gateway to the append, half are faster.
    pub p50_ms: u64,
    /// 99 of 100 are faster.
    pub p99_ms: u64,
    /// The slowest.
    pub max_ms: u64,
}

impl Lanes {
    /// Divides time: each phase with its beginning in Unix milliseconds, in order, and the end.
    pub fn divide(&mut self, phases: Vec<(Phase, u64)>, ended_ms: u64) {
        (self.phases, self.ended_ms) = (phases, ended_ms);
    }

    /// Counts one value.
    pub fn see(&mut self, lane: &str, value: &[u8], appended_ms: Option<i64>) {
        let appended_ms = appended_ms.and_then(|time| u64::try_from(time).ok());
        let (Some(appended_ms), Some(received_ms)) = (appended_ms, received_ms(value)) else {
            return;
        };
        let begun = |(_, from): &&(Phase, u64)| *from <= appended_ms;
        let Some((phase, _)) = self.phases.iter().rev().find(begun).or(self.phases.first()) else {
            return;
        };
        let times = self.seen.entry((lane.to_owned(), *phase)).or_insert_with(a_day);
        times.saturating_record(appended_ms.saturating_sub(received_ms));
    }

    /// Forgets what was counted.
    pub fn clear(&mut self) {
        self.seen.clear();
    }

    /// The lines, by lane.
    pub fn lines(&self) -> Vec<Line> {
        let length_s = |phase: Phase| {
            let at = self.phases.iter().position(|(known, _)| *known == phase)?;
            let (_, from) = self.phases.get(at)?;
            let to = self.phases.get(at + 1).map_or(self.ended_ms, |(_, next)| *next);
            Some(to.saturating_sub(*from).max(1) as f64 / 1000.0)
        };
        let line = |((lane, phase), times): (&(String, Phase), &Histogram<u64>)| Line {
            lane: lane.clone(),
            phase: *phase,
            events: times.len(),
            per_s: times.len() as f64 / length_s(*phase).unwrap_or(1.0),
            p50_ms: times.value_at_quantile(0.5),
            p99_ms: times.value_at_quantile(0.99),
            max_ms: times.max(),
        };
        self.seen.iter().map(line).collect()
    }
}

fn a_day() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 86_400_000, 3).expect("the bounds are constants")
}

/// The gateway's own time of arrival, out of the envelope.
fn received_ms(value: &[u8]) -> Option<u64> {
    const NAME: &[u8] = br#""recv":"#;
    const WITHIN_BYTES: usize = 400;
    let start = value.get(..value.len().min(WITHIN_BYTES))?;
    let at = start.windows(NAME.len()).position(|window| window == NAME)?;
    let digits = start.get(at + NAME.len()..)?.split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_the_phase_of_the_append() {
        let mut lanes = Lanes::default();
        lanes.divide(vec![(Phase::Before, 1000), (Phase::During, 2000)], 4000);
        let value = br#"{"_tg":{"v":1,"recv":1500,"app":"x"},"id":"y"}"#;
        lanes.see("page", value, Some(1510));
        lanes.see("page", value, Some(2500));
        lanes.see("page", value, Some(2600));
        lanes.see("page", value, None);
        lanes.see("page", b"{}", Some(1));
        let found = lanes.lines();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].phase, found[0].events, found[0].max_ms), (Phase::Before, 1, 10));
        assert_eq!((found[1].events, found[1].p50_ms, found[1].max_ms), (2, 1000, 1100));
        assert!((found[1].per_s - 1.0).abs() < 1e-9);
        lanes.clear();
        assert!(lanes.lines().is_empty());
    }
}
