//! The pressure level: 0 normal, 1 SDKs sample bulk events, 2 bulk pauses, 3 all but critical do.
//!
//! In: how full memory and the journal are, how late delivery is, and the time. Out: a level. It
//! rises at once and falls one step at a time, each after a calm hold time, so that it never flaps.
//! A pure state machine: must never read a clock.

use serde::{Deserialize, Serialize};

/// `[pressure]`: where the levels 1, 2 and 3 begin and end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Share of the memory that batches may take, at which each level begins.
    pub memory_enter_percent: [u64; 3],
    /// Below this share a level may end.
    pub memory_leave_percent: [u64; 3],
    /// Share of `journal.bytes_max` that is owed, at which each level begins.
    pub journal_enter_percent: [u64; 3],
    /// Below this share a level may end.
    pub journal_leave_percent: [u64; 3],
    /// How long delivery may be behind before level 1 begins; on its own it raises no further,
    /// because what waits is durable.
    pub lag_ms: u64,
    /// How long it has to be calm before the level falls by one.
    pub hold_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // Under half nothing is tight: batches then wait in memory for the drainer on purpose.
            memory_enter_percent: [65, 80, 90],
            memory_leave_percent: [55, 70, 80],
            journal_enter_percent: [50, 70, 85],
            journal_leave_percent: [40, 60, 75],
            lag_ms: 30_000,
            hold_ms: 10_000,
        }
    }
}

impl Settings {
    /// What is wrong: the key, a value, and what it has to be.
    pub fn check(&self) -> Result<(), (&'static str, u64, &'static str)> {
        for (key, enter, leave) in [
            ("pressure.memory_enter_percent", self.memory_enter_percent, self.memory_leave_percent),
            (
                "pressure.journal_enter_percent",
                self.journal_enter_percent,
                self.journal_leave_percent,
            ),
        ] {
            let ascends = |of: [u64; 3]| of[0] < of[1] && of[1] < of[2];
            if !ascends(enter) || !ascends(leave) || enter[2] > 100 {
                return Err((key, enter[2], "and its leave_percent must ascend, to 100 at most"));
            }
            for (enter, leave) in enter.into_iter().zip(leave) {
                if leave >= enter {
                    return Err((key, enter, "must be above its leave_percent"));
                }
            }
        }
        if self.lag_ms == 0 {
            return Err(("pressure.lag_ms", 0, "must be more than 0"));
        }
        Ok(())
    }
}

/// What the level is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// Of the memory that batches may take, 0 to 100.
    pub memory_percent: u64,
    /// Of what the journal may owe, 0 to 100.
    pub journal_percent: u64,
    /// For how long delivery has been behind.
    pub lag_ms: u64,
}

/// The state machine.
#[derive(Debug)]
pub struct Pressure {
    settings: Settings,
    level: u8,
    /// Since when the level could be lower; `None` while it could not.
    calm_since_ms: Option<u64>,
}

impl Pressure {
    /// Begins at level 0.
    pub fn new(settings: Settings) -> Self {
        Self { settings, level: 0, calm_since_ms: None }
    }

    /// The level.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Takes a reading in; gives the level before, if it is another one now. `now_ms` must not run
    /// backwards.
    pub fn observe(&mut self, now_ms: u64, reading: Reading) -> Option<u8> {
        let before = self.level;
        let entered = self.settings.entered(reading);
        if entered > self.level {
            self.level = entered;
            self.calm_since_ms = None;
        } else if self.settings.holds(self.level, reading) {
            self.calm_since_ms = None;
        } else {
            let since_ms = *self.calm_since_ms.get_or_insert(now_ms);
            if now_ms.saturating_sub(since_ms) >= self.settings.hold_ms && self.level > 0 {
                self.level -= 1;
                // The next step has a hold of its own, if it is calm enough for it at all.
                let calm = !self.settings.holds(self.level, reading);
                self.calm_since_ms = calm.then_some(now_ms);
            }
        }
        (before != self.level).then_some(before)
    }
}

impl Settings {
    /// The highest level that a reading begins.
    fn entered(&self, reading: Reading) -> u8 {
        let reached = |percent: u64, of: [u64; 3]| of.iter().filter(|at| percent >= **at).count();
        let by_memory = reached(reading.memory_percent, self.memory_enter_percent);
        let by_journal = reached(reading.journal_percent, self.journal_enter_percent);
        let by_lag = usize::from(reading.lag_ms >= self.lag_ms);
        u8::try_from(by_memory.max(by_journal).max(by_lag)).unwrap_or(u8::MAX)
    }

    /// Whether a reading keeps a level from ending.
    fn holds(&self, level: u8, reading: Reading) -> bool {
        let Some(at) = usize::from(level).checked_sub(1) else { return true };
        let over = |percent: u64, of: &[u64; 3]| of.get(at).is_some_and(|leave| percent >= *leave);
        over(reading.memory_percent, &self.memory_leave_percent)
            || over(reading.journal_percent, &self.journal_leave_percent)
            || (level == 1 && reading.lag_ms >= self.lag_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn memory(percent: u64) -> Reading {
        Reading { memory_percent: percent, ..Reading::default() }
    }

    #[test]
    fn rises_at_once_and_falls_step_by_step() {
        let mut pressure = Pressure::new(Settings::default());
        assert_eq!(pressure.observe(0, memory(64)), None);
        assert_eq!(pressure.observe(200, memory(95)), Some(0));
        assert_eq!(pressure.level(), 3);
        assert_eq!(pressure.observe(400, memory(85)), None, "not yet below its end");
        assert_eq!(pressure.observe(600, memory(0)), None);
        assert_eq!(pressure.observe(10_599, memory(0)), None);
        for (now_ms, level) in [(10_600, 2), (20_600, 1), (30_600, 0)] {
            assert_eq!(pressure.observe(now_ms - 1, memory(0)), None);
            assert_eq!(pressure.observe(now_ms, memory(0)), Some(level + 1));
            assert_eq!(pressure.level(), level);
        }
        assert_eq!(pressure.observe(100_000, memory(0)), None);
    }

    #[test]
    fn every_input_counts_and_lag_alone_pauses_nobody() {
        let level = |reading| {
            let mut pressure = Pressure::new(Settings::default());
            pressure.observe(0, reading);
            pressure.level()
        };
        assert_eq!(level(Reading { journal_percent: 70, ..memory(65) }), 2);
        assert_eq!(level(Reading { journal_percent: 50, ..memory(90) }), 3);
        assert_eq!(level(Reading { lag_ms: 29_999, ..Reading::default() }), 0);
        assert_eq!(level(Reading { lag_ms: u64::MAX, ..Reading::default() }), 1);
    }

    #[test]
    fn thresholds_that_would_flap_are_refused() {
        assert_eq!(Settings::default().check(), Ok(()));
        for settings in [
            Settings { memory_enter_percent: [65, 60, 90], ..Settings::default() },
            Settings { memory_leave_percent: [65, 70, 80], ..Settings::default() },
            Settings { journal_enter_percent: [50, 70, 101], ..Settings::default() },
            Settings { journal_leave_percent: [40, 40, 40], ..Settings::default() },
            Settings { lag_ms: 0, ..Settings::default() },
        ] {
            assert!(settings.check().is_err(), "{settings:?}");
        }
    }

    fn reading() -> impl Strategy<Value = Reading> {
        (0..=100u64, 0..=100u64, prop_oneof![Just(0), 0..60_000u64]).prop_map(
            |(memory_percent, journal_percent, lag_ms)| Reading {
                memory_percent,
                journal_percent,
                lag_ms,
            },
        )
    }

    /// Times that pass between readings, and the readings.
    fn history() -> impl Strategy<Value = Vec<(u64, Reading)>> {
        prop::collection::vec((0..6_000u64, reading()), 1..80)
    }

    proptest! {
        /// It falls by one at a time, and never sooner than the hold after it last changed or was
        /// last kept up; so it cannot rise and fall again within the hold.
        #[test]
        fn never_flaps_within_the_hold(history in history()) {
            let settings = Settings::default();
            let mut pressure = Pressure::new(settings.clone());
            let (mut now_ms, mut kept_ms) = (0, 0);
            for (passed_ms, reading) in history {
                now_ms += passed_ms;
                let held = settings.holds(pressure.level(), reading);
                if let Some(before) = pressure.observe(now_ms, reading) {
                    if pressure.level() < before {
                        prop_assert_eq!(pressure.level(), before - 1);
                        prop_assert!(!held && now_ms - kept_ms >= settings.hold_ms);
                    } else {
                        prop_assert_eq!(pressure.level(), settings.entered(reading));
                    }
                    kept_ms = now_ms;
                } else if held {
                    kept_ms = now_ms;
                }
                prop_assert!(pressure.level() >= settings.entered(reading), "it rises at once");
            }
        }

        /// More of anything never makes the level lower.
        #[test]
        fn is_monotone_in_its_inputs(pairs in prop::collection::vec((history(), reading()), 1..3)) {
            for (history, more) in pairs {
                let mut low = Pressure::new(Settings::default());
                let mut high = Pressure::new(Settings::default());
                let mut now_ms = 0;
                for (at, (passed_ms, reading)) in history.into_iter().enumerate() {
                    now_ms += passed_ms;
                    low.observe(now_ms, reading);
                    // Now and then there is more of it: a different one each time.
                    let share = (at as u64 * 37) % 101;
                    let worse = Reading {
                        memory_percent: reading.memory_percent.max(more.memory_percent * share / 100),
                        journal_percent: reading.journal_percent.max(more.journal_percent),
                        lag_ms: reading.lag_ms.max(more.lag_ms),
                    };
                    high.observe(now_ms, worse);
                    prop_assert!(high.level() >= low.level(), "{} < {}", high.level(), low.level());
                }
            }
        }

        /// Whatever was: once it is calm, it takes a hold time for each level.
        #[test]
        fn returns_to_normal(history in history()) {
            let mut pressure = Pressure::new(Settings::default());
            let mut now_ms = 0;
            for (passed_ms, reading) in history {
                now_ms += passed_ms;
                pressure.observe(now_ms, reading);
            }
            let level = u64::from(pressure.level());
            for _ in 0..=level * 50 {
                now_ms += 200;
                pressure.observe(now_ms, Reading::default());
            }
            prop_assert_eq!(pressure.level(), 0);
        }
    }
}
