//! Reads how much there is to do, a few times a second, and sets what the door obeys and clients
//! are told.
//!
//! In: the memory budget, the journal's fill, whether delivery is behind. Out: the [`Signal`], a
//! gauge, and one log line for each change of the level. Must never be on the way of a request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::model::pressure::{Pressure, Reading, Settings};
use crate::model::{Budget, Signal};
use crate::telemetry::metrics as names;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(200);

/// What is looked at.
pub struct Inputs {
    /// Memory.
    pub budget: Arc<Budget>,
    /// Of what the journal may owe, how much it owes, 0 to 100.
    pub journal_percent: Box<dyn Fn() -> u64 + Send>,
    /// Whether what is accepted waits for its sink.
    pub is_behind: Box<dyn Fn() -> bool + Send>,
    /// How long until the journal has room again, if it lacks any.
    pub retry_after: Box<dyn FnMut() -> Option<Duration> + Send>,
}

/// Watches until `gone`.
pub async fn run(
    mut inputs: Inputs,
    settings: Settings,
    signal: Arc<Signal>,
    mut gone: watch::Receiver<bool>,
) {
    for class in ["1", "2"] {
        // So that the counters are there before anything is refused.
        metrics::counter!(names::PAUSED, "class" => class).increment(0);
    }
    let started = Instant::now();
    let mut pressure = Pressure::new(settings);
    let mut behind_since = None;
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let ended = async { gone.wait_for(|gone| *gone).await.map(drop).unwrap_or_default() };
        tokio::select! {
            _ = ticks.tick() => {}
            () = ended => return,
        }
        let now_ms = millis(started.elapsed());
        behind_since = (inputs.is_behind)().then(|| behind_since.unwrap_or(now_ms));
        let reading = Reading {
            memory_percent: inputs.budget.percent(),
            journal_percent: (inputs.journal_percent)(),
            lag_ms: behind_since.map_or(0, |since| now_ms.saturating_sub(since)),
        };
        if let Some(before) = pressure.observe(now_ms, reading) {
            tell(before, pressure.level(), reading);
        }
        metrics::gauge!(names::PRESSURE).set(f64::from(pressure.level()));
        signal.set(pressure.level(), (inputs.retry_after)().map(millis));
    }
}

fn tell(before: u8, level: u8, reading: Reading) {
    let Reading { memory_percent, journal_percent, lag_ms } = reading;
    if level > before {
        tracing::warn!(before, level, memory_percent, journal_percent, lag_ms, "pressure rises");
    } else {
        tracing::info!(before, level, memory_percent, journal_percent, lag_ms, "pressure falls");
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
