//! Who is too different from the rest: a pure judgement over one window.
//!
//! In: what each address did, and settings. Out: verdicts. The crowd is kept as a histogram of 128
//! counters and its loudest 256 addresses, whatever its size.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Settings;
use crate::admit::limits::{Window, is_private};

/// Addresses that are looked at singly: the loudest.
const LOUDEST_MAX: usize = 256;
/// Steps of the histogram: four for each doubling.
const STEPS: usize = 128;
/// The part of batches that repeat, or of events with impossible times, that is no accident.
const STRANGE_PERCENT: u64 = 80;
/// The share of `rate_min` that makes strange requests a matter for the guard.
const STRANGE_SHARE: u64 = 10;

/// One window of a crowd.
#[derive(Debug)]
pub struct Sketch {
    counts: [u64; STEPS],
    active: u64,
    loudest: BinaryHeap<Reverse<(u64, u64)>>,
    windows: Vec<(u64, Window)>,
}

/// Why somebody is guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Far more requests than the peers'.
    Rate,
    /// Nothing but batches that had been sent before.
    Repeats,
    /// Nothing but events of times that cannot be.
    Times,
}

/// One address that is to be guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Which.
    pub address: u64,
    /// Why.
    pub cause: Cause,
    /// What it sent in the window.
    pub window: Window,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rate, Self::Repeats, Self::Times];

    /// The word in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Repeats => "repeats",
            Self::Times => "times",
        }
    }
}

impl Default for Sketch {
    fn default() -> Self {
        let (loudest, windows) = (BinaryHeap::new(), Vec::new());
        Self { counts: [0; STEPS], active: 0, loudest, windows }
    }
}

impl Sketch {
    /// Adds what one address did.
    pub fn add(&mut self, address: u64, window: Window) {
        self.active += 1;
        if let Some(count) = self.counts.get_mut(step(own(&window))) {
            *count += 1;
        }
        if self.loudest.len() >= LOUDEST_MAX {
            let least = self.loudest.peek().map_or(0, |Reverse((requests, _))| *requests);
            if window.requests <= least {
                return;
            }
            self.loudest.pop();
        }
        self.loudest.push(Reverse((window.requests, address)));
        self.windows.push((address, window));
        if self.windows.len() >= 4 * LOUDEST_MAX {
            self.forget_quiet();
        }
    }

    /// Addresses that sent something.
    pub fn active(&self) -> u64 {
        self.active
    }

    /// The number of requests that 99 of 100 addresses do not exceed; never too small. Of fewer
    /// than 100 it is all but the loudest, who must not be compared with himself.
    pub fn requests_p99(&self) -> u64 {
        let others = self.active.saturating_sub(1).max(1);
        let rank = (self.active * 99).div_ceil(100).min(others);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank && self.active > 0 {
                return most(at);
            }
        }
        0
    }

    /// The loudest addresses, the loudest first.
    pub fn loudest(&mut self) -> &[(u64, Window)] {
        self.forget_quiet();
        &self.windows
    }

    fn forget_quiet(&mut self) {
        self.windows.sort_by_key(|(address, window)| (Reverse(window.requests), *address));
        self.windows.truncate(LOUDEST_MAX);
    }
}

/// Says who is to be guarded.
pub fn judge(sketch: &mut Sketch, window_ms: u64, settings: &Settings) -> Vec<Verdict> {
    if !settings.enabled {
        return Vec::new();
    }
    let floor = (settings.rate_min * window_ms / 1_000).max(1);
    let usual = sketch.requests_p99().max(1);
    let comparable = sketch.active() >= settings.peers_min;
    let guarded = |(address, window): &(u64, Window)| {
        if is_private(*address) && !settings.private {
            return None;
        }
        let (address, window, own) = (*address, *window, own(window));
        let strange = |part: u64, of: u64| {
            own * STRANGE_SHARE >= floor && part > 0 && part * 100 >= of * STRANGE_PERCENT
        };
        let cause = if comparable && own >= floor && own > usual.saturating_mul(settings.factor) {
            Cause::Rate
        } else if strange(window.repeats, own - window.refused.min(own)) {
            Cause::Repeats
        } else if strange(window.impossible, window.events) {
            Cause::Times
        } else {
            return None;
        };
        Some(Verdict { address, cause, window })
    };
    sketch.loudest().iter().filter_map(guarded).collect()
}

/// Requests that nobody vouches for: a server with a secret key may send for thousands.
fn own(window: &Window) -> u64 {
    window.requests.saturating_sub(window.trusted)
}

/// The step of the histogram that a number falls into.
fn step(number: u64) -> usize {
    let number = number.min(u64::from(u32::MAX));
    let Some(log) = number.checked_ilog2() else { return 0 };
    // Two bits below the highest one.
    let fine = if log >= 2 { number >> (log - 2) & 3 } else { number << (2 - log) & 3 };
    (log as usize * 4 + usize::try_from(fine).unwrap_or(0)).min(STEPS - 1)
}

/// The largest number of a step.
fn most(step: usize) -> u64 {
    let (log, fine) = (step / 4, step as u64 % 4);
    if log < 2 {
        return (4 + fine) >> (2 - log);
    }
    ((4 + fine + 1) << (log - 2)) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(requests: u64) -> Window {
        Window { requests, ..Window::default() }
    }

    /// Public addresses that sent so much each.
    fn crowd(windows: impl IntoIterator<Item = Window>) -> Sketch {
        let mut sketch = Sketch::default();
        for (address, window) in (1 << 32 | 0x0808_0000..).zip(windows) {
            sketch.add(address, window);
        }
        sketch
    }

    fn causes(sketch: &mut Sketch, settings: &Settings) -> Vec<Cause> {
        judge(sketch, 5_000, settings).iter().map(|verdict| verdict.cause).collect()
    }

    #[test]
    fn one_far_above_its_peers_is_guarded_and_nobody_else() {
        let settings = Settings::default();
        let peers = || std::iter::repeat_n(asked(5), 200);
        let mut sketch = crowd(peers().chain([asked(10_000), asked(900)]));
        let verdicts = judge(&mut sketch, 5_000, &settings);
        let guarded: Vec<_> = verdicts.iter().map(|one| (one.cause, one.window.requests)).collect();
        assert_eq!(guarded, [(Cause::Rate, 10_000)], "900 are below the floor of 1,000");
        // Half of the crowd being loud is a crowd, not an outlier.
        let loud = std::iter::repeat_n(asked(10_000), 100);
        assert_eq!(causes(&mut crowd(peers().chain(loud)), &settings), []);
        // Few peers are no distribution.
        let few = std::iter::repeat_n(asked(5), 50).chain([asked(1_000_000)]);
        assert_eq!(causes(&mut crowd(few), &settings), []);
        let off = Settings { enabled: false, ..settings };
        assert_eq!(causes(&mut crowd(peers().chain([asked(1_000_000)])), &off), []);
    }

    #[test]
    fn servers_with_secrets_and_private_networks_are_not_judged() {
        let settings = Settings { peers_min: 10, ..Settings::default() };
        let peers = || std::iter::repeat_n(asked(5), 200);
        let server = Window { requests: 100_000, trusted: 100_000, ..Window::default() };
        assert_eq!(causes(&mut crowd(peers().chain([server])), &settings), []);
        let mut sketch = crowd(peers());
        sketch.add(1 << 32 | 0x0a00_0001, asked(100_000));
        assert_eq!(causes(&mut sketch, &settings), []);
        let strict = Settings { private: true, ..settings };
        assert_eq!(causes(&mut sketch, &strict), [Cause::Rate]);
    }

    #[test]
    fn repeats_and_impossible_times_need_no_peers() {
        let settings = Settings::default();
        let repeats = Window { requests: 200, repeats: 190, ..Window::default() };
        let times = Window { requests: 200, events: 2_000, impossible: 1_700, ..Window::default() };
        let honest = Window { requests: 200, repeats: 20, events: 2_000, impossible: 100, ..times };
        let rare = Window { requests: 20, repeats: 20, ..Window::default() };
        let found = causes(&mut crowd([repeats, times, honest, rare]), &settings);
        assert_eq!(found, [Cause::Repeats, Cause::Times]);
    }

    #[test]
    fn steps_and_their_limits_fit_together() {
        for number in (0..100_000).chain([u64::from(u32::MAX), u64::MAX]) {
            let at = step(number);
            assert!(number.min(u64::from(u32::MAX)) <= most(at).max(1), "{number} in step {at}");
            if at > 8 {
                assert!(number.min(u64::from(u32::MAX)) > most(at - 1), "{number} in step {at}");
            }
        }
    }

    proptest! {
        /// The 99th percentile is never told too small, and at most a quarter too large.
        #[test]
        fn the_percentile_is_close(mut sent in prop::collection::vec(1..100_000_u64, 1..400)) {
            let sketch = crowd(sent.iter().copied().map(asked));
            sent.sort_unstable();
            let others = (sent.len() - 1).max(1);
            let exact = sent[(sent.len() * 99).div_ceil(100).min(others) - 1];
            let told = sketch.requests_p99();
            prop_assert!(told >= exact && told <= exact + exact / 4 + 1, "{told} for {exact}");
        }

        /// Whatever a crowd does: nobody below the floor is guarded for his rate, whoever is
        /// guarded stays so when he sends more, and never more than the loudest are judged.
        #[test]
        fn more_requests_never_help(
            sent in prop::collection::vec(1..50_000_u64, 100..400),
            more in 1..1_000_000_u64,
        ) {
            let settings = Settings::default();
            let verdicts = judge(&mut crowd(sent.iter().copied().map(asked)), 5_000, &settings);
            prop_assert!(verdicts.len() <= LOUDEST_MAX);
            prop_assert!(verdicts.iter().all(|verdict| verdict.window.requests >= 1_000));
            if let Some(at) = sent.iter().position(|own| {
                verdicts.iter().any(|verdict| verdict.window.requests == *own)
            }) {
                let mut louder = sent.clone();
                louder[at] += more;
                let again = judge(&mut crowd(louder.iter().copied().map(asked)), 5_000, &settings);
                prop_assert!(again.iter().any(|one| one.window.requests == sent[at] + more));
            }
        }
    }
}
