//! A circuit breaker: whether a cluster or a topic is worth trying, and how much at a time.
//!
//! In: successes, failures and the time. Out: closed, open, or half-open with one probe, and after
//! that a window that doubles with every success. [`Machine`] is pure; [`Breaker`] counts and logs
//! its transitions, each once. Must never keep a target out for longer than `open_ms_max`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::telemetry::metrics as names;

/// `[kafka.breaker]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Failures in a row that open it.
    pub failures_max: u32,
    /// How long it stays open before one probe is let through; doubles with every probe that fails.
    pub open_ms: u64,
    /// The most that `open_ms` grows to.
    pub open_ms_max: u64,
    /// How long the records of one topic may lag behind the rest of their batch before the topic is
    /// parked; nothing is parked while the whole cluster stands still.
    pub isolate_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { failures_max: 5, open_ms: 500, open_ms_max: 10_000, isolate_ms: 500 }
    }
}

/// Batches that may be out at once when all is well.
pub const WINDOW_MAX: usize = 1_024;

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Everything passes, up to the window.
    Closed {
        /// Failures since the last success.
        failures: u32,
        /// Batches that may be out at once.
        window: usize,
        /// Since when.
        since: Instant,
    },
    /// Nothing passes until then.
    Open {
        /// When one probe may pass.
        until: Instant,
        /// How often it opened without a success between.
        times: u32,
    },
    /// One probe passes.
    HalfOpen {
        /// As in `Open`.
        times: u32,
    },
}

/// The rules of the breaker, without a clock.
#[derive(Debug, Clone)]
pub struct Machine {
    state: State,
    settings: Settings,
}

impl Machine {
    /// A closed one.
    pub fn new(settings: &Settings, now: Instant) -> Self {
        let state = State::Closed { failures: 0, window: WINDOW_MAX, since: now };
        Self { state, settings: settings.clone() }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Something arrived.
    pub fn success(&mut self, now: Instant) {
        self.state = match self.state {
            State::Closed { window, since, .. } => {
                State::Closed { failures: 0, window: (window * 2).min(WINDOW_MAX), since }
            }
            State::Open { .. } | State::HalfOpen { .. } => {
                State::Closed { failures: 0, window: 1, since: now }
            }
        };
    }

    /// Something did not arrive. `certain` opens it at once.
    pub fn failure(&mut self, certain: bool, now: Instant) {
        self.state = match self.state {
            State::Closed { failures, window, since } => {
                if certain || failures + 1 >= self.settings.failures_max.max(1) {
                    self.open(0, now)
                } else {
                    State::Closed { failures: failures + 1, window, since }
                }
            }
            State::HalfOpen { times } => self.open(times.saturating_add(1), now),
            open @ State::Open { .. } => open,
        };
    }

    /// How many batches may be out; asking when its time is over makes it half-open.
    pub fn window(&mut self, now: Instant) -> usize {
        if let State::Open { until, times } = self.state
            && until <= now
        {
            self.state = State::HalfOpen { times };
        }
        match self.state {
            State::Closed { window, .. } => window,
            State::Open { .. } => 0,
            State::HalfOpen { .. } => 1,
        }
    }

    fn open(&self, times: u32, now: Instant) -> State {
        let ms = self.settings.open_ms.saturating_mul(1 << times.min(16));
        let ms = ms.min(self.settings.open_ms_max.max(1));
        State::Open { until: now + Duration::from_millis(ms), times }
    }
}

/// A breaker of one target, shared by the live path, the reports and the drainer.
#[derive(Debug)]
pub struct Breaker {
    target: String,
    machine: Mutex<Machine>,
    closed: AtomicBool,
    has_opened: AtomicBool,
    /// Closed, with the largest window and no failure: then a success changes nothing.
    perfect: AtomicBool,
    cause: Mutex<&'static str>,
    open: metrics::Gauge,
}

impl Breaker {
    /// A closed one for a target, which its metric and log lines name.
    pub fn new(target: String, settings: &Settings) -> Self {
        let open = metrics::gauge!(names::BREAKER_OPEN, "target" => target.clone());
        open.set(0.0);
        Self {
            target,
            machine: Mutex::new(Machine::new(settings, Instant::now())),
            closed: AtomicBool::new(true),
            has_opened: AtomicBool::new(false),
            perfect: AtomicBool::new(true),
            cause: Mutex::new(""),
            open,
        }
    }

    /// Whether everything passes.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether it has been closed for so long, or always.
    pub fn is_well(&self, for_long: Duration) -> bool {
        if !self.has_opened.load(Ordering::Acquire) {
            return true;
        }
        match self.machine.lock().state() {
            State::Closed { since, .. } => since.elapsed() >= for_long,
            _ => false,
        }
    }

    /// Why it opened last.
    pub fn cause(&self) -> &'static str {
        *self.cause.lock()
    }

    /// Something arrived.
    pub fn success(&self) {
        // Nearly always; and there is one for every batch.
        if !self.perfect.load(Ordering::Acquire) {
            self.change(|machine| machine.success(Instant::now()));
        }
    }

    /// Something did not arrive, which may have many reasons.
    pub fn failure(&self, cause: &'static str) {
        self.fail(cause, false);
    }

    /// The target itself said no.
    pub fn refused(&self, cause: &'static str) {
        self.fail(cause, true);
    }

    /// How many batches may be out at once.
    pub fn window(&self) -> usize {
        if self.perfect.load(Ordering::Acquire) {
            return WINDOW_MAX;
        }
        self.change(|machine| machine.window(Instant::now()))
    }

    fn fail(&self, cause: &'static str, certain: bool) {
        if self.is_closed() {
            *self.cause.lock() = cause;
        }
        self.change(|machine| machine.failure(certain, Instant::now()));
    }

    fn change<T>(&self, change: impl FnOnce(&mut Machine) -> T) -> T {
        let mut machine = self.machine.lock();
        let before = machine.state();
        let changed = change(&mut machine);
        let after = machine.state();
        let perfect = matches!(after, State::Closed { failures: 0, window: WINDOW_MAX, .. });
        self.perfect.store(perfect, Ordering::Release);
        let closed = matches!(after, State::Closed { .. });
        self.closed.store(closed, Ordering::Release);
        self.has_opened.fetch_or(!closed, Ordering::AcqRel);
        drop(machine);
        if name(before) != name(after) {
            self.tell(name(after));
        }
        changed
    }

    fn tell(&self, state: &'static str) {
        self.open.set(if state == "closed" { 0.0 } else { 1.0 });
        let target = self.target.clone();
        metrics::counter!(names::BREAKER, "target" => target, "state" => state).increment(1);
        let (target, cause) = (&self.target, self.cause());
        match state {
            "open" => tracing::warn!(target, cause, "breaker is open"),
            "closed" => tracing::info!(target, "breaker is closed"),
            _ => tracing::debug!(target, "breaker lets a probe through"),
        }
    }
}

fn name(state: State) -> &'static str {
    match state {
        State::Closed { .. } => "closed",
        State::Open { .. } => "open",
        State::HalfOpen { .. } => "half_open",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings() -> Settings {
        Settings { failures_max: 3, open_ms: 100, open_ms_max: 1_000, isolate_ms: 500 }
    }

    #[test]
    fn opens_probes_and_comes_back_in_steps() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut machine = Machine::new(&settings(), start);
        machine.failure(false, at(0));
        machine.failure(false, at(0));
        assert_eq!(machine.window(at(0)), WINDOW_MAX);
        machine.success(at(0));
        for _ in 0..3 {
            assert_eq!(machine.window(at(1)), WINDOW_MAX, "a success begins the count anew");
            machine.failure(false, at(1));
        }
        assert_eq!((machine.window(at(50)), machine.window(at(101))), (0, 1));
        machine.failure(false, at(101));
        assert_eq!((machine.window(at(300)), machine.window(at(301))), (0, 1), "twice as long");
        machine.success(at(302));
        let windows = [1, 2, 4, 8].map(|window| (machine.window(at(303)), window));
        for (is, _) in windows {
            assert_eq!(is, 1, "it grows with successes, not with questions");
        }
        machine.success(at(304));
        assert_eq!(machine.window(at(304)), 2);
        machine.failure(true, at(305));
        assert_eq!(machine.window(at(305)), 0, "a plain no opens it at once");
    }

    #[derive(Debug, Clone)]
    enum Step {
        Success,
        Failure(bool),
        Ask,
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::Success),
            any::<bool>().prop_map(Step::Failure),
            Just(Step::Ask),
            (0u64..2_000).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn never_keeps_a_target_out_too_long_nor_lets_two_probes_pass(
            steps in proptest::collection::vec(step(), 1..200)
        ) {
            let settings = settings();
            let mut now = Instant::now();
            let mut machine = Machine::new(&settings, now);
            let mut failures = 0;
            for step in steps {
                let before = machine.state();
                match step {
                    Step::Success => {
                        machine.success(now);
                        failures = 0;
                        let closed = matches!(machine.state(), State::Closed { .. });
                        prop_assert!(closed, "a success closes");
                    }
                    Step::Failure(certain) => {
                        machine.failure(certain, now);
                        failures = if certain { u32::MAX } else { failures.saturating_add(1) };
                    }
                    Step::Ask => {
                        let window = machine.window(now);
                        if !matches!(before, State::Closed { .. }) {
                            prop_assert!(window <= 1);
                        }
                    }
                    Step::Wait(ms) => now += Duration::from_millis(ms),
                }
                if let State::Open { until, .. } = machine.state() {
                    prop_assert!(until <= now + Duration::from_millis(settings.open_ms_max));
                    prop_assert!(failures >= settings.failures_max, "opened by too few failures");
                }
            }
            now += Duration::from_millis(settings.open_ms_max);
            prop_assert!(machine.window(now) >= 1, "after open_ms_max something passes");
        }
    }
}
