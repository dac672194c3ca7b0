//! The anomaly guard: an address or instance that sends far more than its peers, repeats its
//! batches, or sends times that cannot be, is put under a tighter limit for a while, visibly.
//!
//! In: what everybody did in the last window. Out: who is guarded, a metric, and one log line for
//! each episode. Never on the way of a request, and never drops anything: who is guarded is told
//! 429 `guarded` and when to come back. Secret keys and certificates are not judged.

mod judge;
mod watch;

pub use judge::{Cause, Sketch, Verdict, judge};
pub use watch::run;

use serde::{Deserialize, Serialize};

/// `[guard]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether anybody is judged.
    pub enabled: bool,
    /// How long addresses are counted before they are judged.
    pub window_ms: u64,
    /// Addresses (or instances) that have to be active before one of them is compared with the
    /// others.
    pub peers_min: u64,
    /// How many times the rate of the 99th of 100 peers is too much.
    pub factor: u64,
    /// Requests a second below which no rate is too much.
    pub rate_min: u64,
    /// How long the tighter limit lasts.
    pub hold_ms: u64,
    /// The tighter limit, in requests a second.
    pub rate: u64,
    /// Whether addresses of private networks are judged.
    pub private: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            window_ms: 5_000,
            peers_min: 100,
            factor: 50,
            rate_min: 200,
            hold_ms: 60_000,
            rate: 20,
            private: false,
        }
    }
}

impl Settings {
    /// Refuses numbers that make no sense: the option, its value, and what it must be.
    pub fn check(&self) -> Result<(), (&'static str, u64, &'static str)> {
        let check = |key, value, ok, must| if ok { Ok(()) } else { Err((key, value, must)) };
        let window = (100..=600_000).contains(&self.window_ms);
        check("guard.window_ms", self.window_ms, window, "must be 100 to 600000")?;
        let hold = (self.window_ms..=86_400_000).contains(&self.hold_ms);
        check("guard.hold_ms", self.hold_ms, hold, "must be window_ms to 86400000")?;
        check("guard.peers_min", self.peers_min, self.peers_min >= 2, "must be at least 2")?;
        for (key, value) in [
            ("guard.factor", self.factor),
            ("guard.rate_min", self.rate_min),
            ("guard.rate", self.rate),
        ] {
            let ok = (1..=1_000_000_000).contains(&value);
            check(key, value, ok, "must be 1 to 1000000000")?;
        }
        Ok(())
    }
}
