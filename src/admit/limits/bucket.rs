//! A leaky bucket in one number (GCRA): the time at which it will be empty again.
//!
//! In: a rate, the time, and what is poured in. Out: whether it fits, or how long until it does.
//! The rate stands beside the bucket, so that it may change while the bucket is in use. A time that
//! goes back only finds the bucket fuller. Must never read a clock.

use std::sync::atomic::{AtomicU64, Ordering};

/// How fast a bucket drains, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// What one unit adds, in 2^-32 nanoseconds, rounded up: never more than the rate.
    unit: u64,
    /// The same for one request, in whole nanoseconds.
    one_ns: u64,
    /// What the bucket holds, as the time that it takes to drain.
    depth_ns: u64,
}

/// What is in it, as the time at which it will have drained.
#[derive(Debug, Default)]
pub struct Bucket(AtomicU64);

const NANOS: u64 = 1_000_000_000;

impl Rate {
    /// So many requests a second, and so many at once; none for a rate of 0.
    pub fn of_requests(per_s: u64, burst: u64) -> Option<Self> {
        let (unit, one_ns) = Self::unit(per_s)?;
        Some(Self { unit, one_ns, depth_ns: one_ns.saturating_mul(burst.max(1)) })
    }

    /// So many units a second; what was not used may be saved up for `burst_ms`. None for a rate
    /// of 0.
    pub fn of_quota(per_s: u64, burst_ms: u64) -> Option<Self> {
        let (unit, one_ns) = Self::unit(per_s)?;
        Some(Self { unit, one_ns, depth_ns: burst_ms.max(1).saturating_mul(1_000_000) })
    }

    fn unit(per_s: u64) -> Option<(u64, u64)> {
        (per_s > 0).then(|| ((NANOS << 32).div_ceil(per_s), NANOS.div_ceil(per_s)))
    }

    /// How long so many units take to drain.
    fn cost_ns(self, units: u64) -> u64 {
        let cost = (u128::from(units) * u128::from(self.unit)).div_ceil(1 << 32);
        u64::try_from(cost).unwrap_or(u64::MAX)
    }
}

impl Bucket {
    /// Nanoseconds until one request fits; 0 when it fits now.
    pub fn wait_ns(&self, now_ns: u64, rate: Rate) -> u64 {
        self.level_ns(now_ns).saturating_add(rate.one_ns).saturating_sub(rate.depth_ns)
    }

    /// Pours one request in, or says in how many nanoseconds it will fit.
    pub fn take(&self, now_ns: u64, rate: Rate) -> Result<(), u64> {
        let fits = |drained: u64| {
            let after = drained.max(now_ns).saturating_add(rate.one_ns);
            (after - now_ns <= rate.depth_ns).then_some(after)
        };
        self.0
            .try_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map(drop)
            .map_err(|_| self.wait_ns(now_ns, rate).max(1))
    }

    /// Nanoseconds until less than this share of it is full; 0 when that is so now.
    pub fn wait_below_ns(&self, now_ns: u64, rate: Rate, percent: u64) -> u64 {
        let share_ns = rate.depth_ns / 100 * percent;
        (self.level_ns(now_ns) + 1).saturating_sub(share_ns.max(1))
    }

    /// Pours in what has been used, even beyond its rim: that is a debt, which drains first.
    pub fn pour(&self, now_ns: u64, rate: Rate, units: u64) {
        let cost_ns = rate.cost_ns(units);
        self.0.update(Ordering::Relaxed, Ordering::Relaxed, |drained| {
            drained.max(now_ns).saturating_add(cost_ns)
        });
    }

    /// Whether there is nothing in it that would have to be remembered.
    pub fn is_empty(&self, now_ns: u64) -> bool {
        self.level_ns(now_ns) == 0
    }

    /// Forgets what is in it.
    pub(super) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn level_ns(&self, now_ns: u64) -> u64 {
        self.0.load(Ordering::Relaxed).saturating_sub(now_ns)
    }
}

/// From nanoseconds to the milliseconds that a client is told: never too short.
pub(in crate::admit) fn millis(ns: u64) -> u64 {
    ns.div_ceil(1_000_000)
}
