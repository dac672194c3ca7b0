//! How long until there is room on disk again: what an honest `Retry-After` is made of.
//!
//! In: what the journal owes, a few times a second. Out: a wait, estimated from the speed at which
//! that falls. Pure; the time is handed in.

use std::time::Duration;

/// Follows what the journal owes.
#[derive(Debug, Default)]
pub struct Trend {
    last: Option<(u64, u64)>,
    /// Bytes a second by which it falls.
    speed: f64,
}

/// Weight of the past in the speed halves in this time: segments go at once, so it has to be long.
const HALF_LIFE_MS: f64 = 10_000.0;
/// What a client waits when nothing shows how long it will take.
const UNKNOWN: Duration = Duration::from_mins(1);

impl Trend {
    /// Takes in what is owed; gives how long it will take to come down to `enough_bytes`, or
    /// nothing when it is there.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn look(&mut self, now_ms: u64, owed_bytes: u64, enough_bytes: u64) -> Option<Duration> {
        if let Some((last_ms, last_bytes)) = self.last.replace((now_ms, owed_bytes)) {
            let passed_ms = now_ms.saturating_sub(last_ms).max(1) as f64;
            let fell = last_bytes as f64 - owed_bytes as f64;
            let past = (-passed_ms / HALF_LIFE_MS).exp2();
            self.speed = self.speed * past + fell * 1_000.0 / passed_ms * (1.0 - past);
        }
        let over = owed_bytes.checked_sub(enough_bytes).filter(|over| *over > 0)?;
        let seconds = over as f64 / self.speed;
        let known = self.speed > 0.0 && seconds < UNKNOWN.as_secs_f64() * 10.0;
        Some(if known { Duration::from_secs_f64(seconds) } else { UNKNOWN })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn nothing_is_to_be_waited_for_below_the_mark() {
        let mut trend = Trend::default();
        assert_eq!(trend.look(0, 10 * MIB, 10 * MIB), None);
        assert_eq!(trend.look(200, 11 * MIB, 10 * MIB), Some(UNKNOWN), "it rises");
    }

    #[test]
    fn a_steady_fall_tells_the_time() {
        let mut trend = Trend::default();
        let mut told = None;
        // One MiB a second for two minutes, in pieces of 4 MiB as whole segments go.
        for step in 0..600u64 {
            let owed = 1_000 * MIB - (step / 20) * 4 * MIB;
            told = trend.look(step * 200, owed, 500 * MIB);
        }
        let seconds = told.expect("a wait").as_secs();
        assert!((300..480).contains(&seconds), "384 MiB at 1 MiB a second: {seconds}");
    }

    #[test]
    fn a_standstill_is_unknown() {
        let mut trend = Trend::default();
        for step in 0..10 {
            assert_eq!(trend.look(step * 200, 100 * MIB, 0), Some(UNKNOWN));
        }
    }
}
