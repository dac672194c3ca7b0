//! What was done when: on stderr at once, and in the report.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;

/// The moments of a round.
#[derive(Debug)]
pub struct Timeline {
    begun: Instant,
    moments: Mutex<Vec<Moment>>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// Milliseconds after the round began.
    pub at_ms: u64,
    /// What was done or seen.
    pub what: String,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { begun: Instant::now(), moments: Mutex::default() }
    }
}

impl Timeline {
    /// Notes what is done now, and shows it.
    pub fn note(&self, what: impl Into<String>) {
        let what = what.into();
        eprintln!("  {:8.3} s  {what}", self.begun.elapsed().as_secs_f64());
        self.keep(what);
    }

    /// Notes it without showing it: there may be a thousand.
    pub fn keep(&self, what: impl Into<String>) {
        let moment = Moment { at_ms: self.now_ms(), what: what.into() };
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        if moments.len() < MOMENTS_MAX {
            moments.push(moment);
        }
    }

    /// The clock of its moments.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Everything noted so far.
    pub fn moments(&self) -> Vec<Moment> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

const MOMENTS_MAX: usize = 20_000;
