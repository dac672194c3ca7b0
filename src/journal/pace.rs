//! How fast room is made, and so how long until there is some.
//!
//! In: freed bytes and when. Out: bytes a second, smoothed, and a wait for a client. Pure: the time
//! is passed in. Must never promise a wait below or beyond what a client can be told.

use std::time::{Duration, Instant};

/// The time over which the pace is smoothed: a few segments of a busy node.
const SMOOTHED_OVER: Duration = Duration::from_secs(30);
/// The shortest wait: less would bring everybody back at once.
pub(super) const WAIT_MIN: Duration = Duration::from_secs(1);
/// The longest wait, also for when nothing was freed lately: an operator may mend it meanwhile.
pub(super) const WAIT_MAX: Duration = Duration::from_mins(1);

/// Freed bytes a second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Bytes a second, each weighted by its age.
    weighted: f64,
    began: Instant,
    last: Instant,
}

impl Pace {
    /// Nothing was freed yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { weighted: 0.0, began: now, last: now }
    }

    /// So many bytes were freed.
    #[expect(clippy::cast_precision_loss, reason = "a rate; 2^53 bytes suffice")]
    pub(super) fn add(&mut self, bytes: u64, now: Instant) {
        self.weighted = self.faded(now) + bytes as f64 / SMOOTHED_OVER.as_secs_f64();
        self.last = self.last.max(now);
    }

    /// Bytes a second.
    pub(super) fn bytes_per_second(&self, now: Instant) -> f64 {
        // What was freed before we looked is not known: the short past stands for it.
        let seen = now.saturating_duration_since(self.began).max(WAIT_MIN);
        self.faded(now) / (1.0 - (-seen.div_duration_f64(SMOOTHED_OVER)).exp())
    }

    /// How long it is likely to take until there is room, if there has been none since `since`.
    ///
    /// While room is being made, its pace tells. Without any since then nobody knows, and what has
    /// lasted for so long is likely to last as long again: who waits for that is never later than
    /// twice the time that was needed.
    pub(super) fn forecast(&self, bytes: u64, since: Instant, now: Instant) -> Duration {
        let quiet = now.saturating_duration_since(since.max(self.last));
        let wait = match self.wait(bytes, now) {
            WAIT_MAX => quiet,
            known => known.max(quiet),
        };
        wait.clamp(WAIT_MIN, WAIT_MAX)
    }

    /// How long until so many bytes are freed.
    #[expect(clippy::cast_precision_loss, reason = "an estimate; 2^53 bytes suffice")]
    fn wait(&self, bytes: u64, now: Instant) -> Duration {
        let seconds = bytes as f64 / self.bytes_per_second(now);
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or(WAIT_MAX);
        wait.clamp(WAIT_MIN, WAIT_MAX)
    }

    fn faded(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.last);
        self.weighted * (-age.div_duration_f64(SMOOTHED_OVER)).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Frees `bytes` every second for so long.
    fn steady(bytes: u64, seconds: u64) -> (Pace, Instant) {
        let began = Instant::now();
        let mut pace = Pace::new(began);
        for second in 1..=seconds {
            pace.add(bytes, began + Duration::from_secs(second));
        }
        (pace, began + Duration::from_secs(seconds))
    }

    #[test]
    fn a_steady_pace_is_seen_after_seconds_and_after_minutes() {
        for seconds in [2, 10, 60, 600] {
            let (pace, now) = steady(10 * MIB, seconds);
            let wait = pace.wait(200 * MIB, now).as_secs_f64();
            assert!((19.0..=21.0).contains(&wait), "{wait} s after {seconds} s");
        }
    }

    #[test]
    fn a_pace_that_ends_is_forgotten() {
        let (pace, now) = steady(10 * MIB, 120);
        let after = |seconds| pace.wait(100 * MIB, now + Duration::from_secs(seconds));
        assert!(after(0) < after(20) && after(20) < after(60));
        assert_eq!(after(600), WAIT_MAX);
    }

    #[test]
    fn what_nobody_mends_is_forecast_to_last_as_long_again() {
        let (pace, since) = steady(10 * MIB, 60);
        let at = |seconds| {
            let now = since + Duration::from_secs(seconds);
            pace.forecast(25 * MIB, since, now).as_secs()
        };
        assert_eq!(at(0), 2, "the pace tells");
        assert_eq!([at(10), at(40), at(59), at(300)], [10, 40, 59, 60]);
        let idle = Pace::new(since);
        let later = since + Duration::from_secs(7);
        assert_eq!(idle.forecast(1, since, later).as_secs(), 7);
        assert_eq!(idle.forecast(1, later, later), WAIT_MIN);
    }

    #[test]
    fn waits_have_a_floor_and_a_ceiling() {
        let (pace, now) = steady(10 * MIB, 60);
        assert_eq!(pace.wait(1, now), WAIT_MIN);
        assert_eq!(pace.wait(u64::MAX, now), WAIT_MAX);
        let idle = Pace::new(now);
        assert_eq!(idle.wait(1, now), WAIT_MAX);
        assert_eq!(idle.wait(0, now + WAIT_MIN), WAIT_MAX);
    }
}
