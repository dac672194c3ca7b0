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
    /// How long it will take until the level can begin to fall, if anybody knows.
    pub calm_ms: u64,
    /// How long it has to be calm before the level falls by one.
    pub hold_ms: u64,
}

impl Advice {
    /// Whether batches of a class have to wait.
    pub fn pauses(self, class: u8) -> bool {
        self.steps(class) > 0
    }

    /// How long a class pauses that has to: no shorter than the level needs to fall so far.
    pub fn pause_ms(self, class: u8) -> u64 {
        self.calm_ms.saturating_add(self.hold_ms.saturating_mul(self.steps(class)))
    }

    /// By how many levels the pressure has to fall until a class may come.
    fn steps(self, class: u8) -> u64 {
        let pauses_from = match class {
            CRITICAL => return 0,
            BULK.. => 2,
            _ => 3,
        };
        u64::from((self.level + 1).saturating_sub(pauses_from))
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
    /// How long until there is room again; 0 when nobody knows.
    room_ms: AtomicU64,
    retry_ms: u64,
    hold_ms: u64,
}

/// The shortest wait: less would bring everybody back at once.
const RETRY_MS_MIN: u64 = 1_000;
/// The longest wait that is ever asked for; an estimate is not worth more.
const RETRY_MS_MAX: u64 = 600_000;

impl Signal {
    /// Level 0. A refused client waits `retry_ms` unless a better figure is known; no class pauses
    /// for less than `hold_ms`, because the level cannot fall before.
    pub fn new(retry_ms: u64, hold_ms: u64) -> Self {
        Self { level: AtomicU8::new(0), room_ms: AtomicU64::new(0), retry_ms, hold_ms }
    }

    /// Sets what is told from now on. `room_ms` is how long it will take until there is room
    /// again, if anybody knows.
    pub fn set(&self, level: u8, room_ms: Option<u64>) {
        let room_ms = room_ms.map_or(0, |known| known.clamp(RETRY_MS_MIN, RETRY_MS_MAX));
        self.room_ms.store(room_ms, Ordering::Relaxed);
        self.level.store(level, Ordering::Relaxed);
    }

    /// What to tell now.
    pub fn advice(&self) -> Advice {
        let calm_ms = self.room_ms.load(Ordering::Relaxed);
        let level = self.level.load(Ordering::Relaxed);
        let retry_ms = if calm_ms > 0 { calm_ms } else { self.retry_ms };
        Advice { level, retry_ms, calm_ms, hold_ms: self.hold_ms }
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
    fn a_class_pauses_for_as_long_as_the_level_needs_to_fall() {
        let pauses = |level| {
            let advice = Advice { level, hold_ms: 10, calm_ms: 3, ..Advice::default() };
            [0, 1, 2].map(|class| advice.pauses(class).then(|| advice.pause_ms(class)))
        };
        assert_eq!(pauses(1), [None, None, None]);
        assert_eq!(pauses(2), [None, None, Some(13)]);
        assert_eq!(pauses(3), [None, Some(13), Some(23)]);
    }

    #[test]
    fn what_is_known_is_told_and_nothing_endless() {
        let signal = Signal::new(5_000, 10_000);
        let told = |level, room_ms| {
            signal.set(level, room_ms);
            let advice = signal.advice();
            (advice.level, advice.retry_ms, advice.pause_ms(2))
        };
        assert_eq!(told(2, None), (2, 5_000, 10_000));
        assert_eq!(told(2, Some(20)), (2, 1_000, 11_000));
        assert_eq!(told(3, Some(42_000)), (3, 42_000, 62_000));
        assert_eq!(told(3, Some(u64::MAX)), (3, RETRY_MS_MAX, RETRY_MS_MAX + 20_000));
    }
}
