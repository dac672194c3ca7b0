//! What clients are told about the state of the gateway, and what the door obeys itself.
//!
//! In: the level and the waiting time that one watcher sets a few times a second. Out: [`Advice`]
//! for every reply. Must never cost a request more than two loads.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// The class of bulk events, which pauses first.
const BULK: u8 = 2;
/// Critical events never pause.
const CRITICAL: u8 = 0;

/// What a client is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Advice {
    /// 0 normal, 1 sample bulk events, 2 bulk events pause, 3 all but critical ones pause.
    pub level: u8,
    /// How long a client that was refused should wait.
    pub retry_ms: u64,
    /// How long a class pauses that has to.
    pub pause_ms: u64,
}

impl Advice {
    /// Whether batches of a class have to wait.
    pub fn pauses(self, class: u8) -> bool {
        match self.level {
            0 | 1 => false,
            2 => class >= BULK,
            _ => class > CRITICAL,
        }
    }

    /// The classes that pause.
    pub fn paused(self) -> impl Iterator<Item = u8> {
        (CRITICAL..=BULK).filter(move |class| self.pauses(*class))
    }
}

/// The advice in force, shared by all workers.
#[derive(Debug)]
pub struct Signal {
    level: AtomicU8,
    retry_ms: AtomicU64,
    retry_ms_min: u64,
    hold_ms: u64,
}

/// The longest wait that is ever asked for; an estimate is not worth more.
const RETRY_MS_MAX: u64 = 600_000;

impl Signal {
    /// Level 0. A refused client waits `retry_ms_min` at least; no class pauses for less than
    /// `hold_ms`, because the level cannot fall before.
    pub fn new(retry_ms_min: u64, hold_ms: u64) -> Self {
        let retry_ms = AtomicU64::new(retry_ms_min);
        Self { level: AtomicU8::new(0), retry_ms, retry_ms_min, hold_ms }
    }

    /// Sets what is told from now on. `retry_ms` is how long it will take until there is room
    /// again, if anybody knows.
    pub fn set(&self, level: u8, retry_ms: Option<u64>) {
        let retry_ms = retry_ms.unwrap_or(0).min(RETRY_MS_MAX).max(self.retry_ms_min);
        self.retry_ms.store(retry_ms, Ordering::Relaxed);
        self.level.store(level, Ordering::Relaxed);
    }

    /// What to tell now.
    pub fn advice(&self) -> Advice {
        let retry_ms = self.retry_ms.load(Ordering::Relaxed);
        let level = self.level.load(Ordering::Relaxed);
        Advice { level, retry_ms, pause_ms: retry_ms.max(self.hold_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_pauses_first_and_critical_never() {
        let paused = |level| {
            let advice = Advice { level, ..Advice::default() };
            advice.paused().collect::<Vec<_>>()
        };
        assert!(paused(0).is_empty());
        assert!(paused(1).is_empty());
        assert_eq!(paused(2), [2]);
        assert_eq!(paused(3), [1, 2]);
    }

    #[test]
    fn waits_are_neither_shorter_than_configured_nor_endless() {
        let signal = Signal::new(5_000, 10_000);
        let told = |level, retry_ms| {
            signal.set(level, retry_ms);
            let advice = signal.advice();
            (advice.level, advice.retry_ms, advice.pause_ms)
        };
        assert_eq!(told(0, None), (0, 5_000, 10_000));
        assert_eq!(told(2, Some(20)), (2, 5_000, 10_000));
        assert_eq!(told(2, Some(42_000)), (2, 42_000, 42_000));
        assert_eq!(told(3, Some(u64::MAX)), (3, RETRY_MS_MAX, RETRY_MS_MAX));
    }
}
