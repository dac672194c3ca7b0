//! Judges the addresses of each window and keeps the list of those that are guarded.
//!
//! In: the policy and the counters. Out: entries under the tighter limit, the list for operators, a
//! gauge, and two log lines for each episode. Must never be on the way of a request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::judge::{Cause, Sketch, judge};
use crate::admit::limits::{ADDRESSES_MAX, Counters, Guarded, Talker, Talkers, is_instance, shown};
use crate::admit::policy::Policy;
use crate::telemetry::metrics as names;

/// Episodes at once; beyond it nobody else is guarded.
const EPISODES_MAX: usize = 4_096;

/// One address or instance under the tighter limit.
#[derive(Debug, Clone, Copy)]
struct Episode {
    cause: Cause,
    until_ns: u64,
    requests: u64,
}

/// Judges until `gone`.
pub async fn run(
    policy: Arc<ArcSwap<Policy>>,
    counters: Arc<Counters>,
    mut gone: watch::Receiver<bool>,
) {
    for cause in Cause::ALL {
        // So that the counters are there before anybody is guarded.
        metrics::counter!(names::GUARD_EPISODES, "cause" => cause.name()).increment(0);
    }
    let mut watchman = Watchman { episodes: BTreeMap::new(), looked: Instant::now() };
    watchman.look(&policy.load(), &counters);
    loop {
        let window = Duration::from_millis(policy.load().guard.window_ms);
        let ended = async { gone.wait_for(|gone| *gone).await.map(drop).unwrap_or_default() };
        tokio::select! {
            () = tokio::time::sleep(window) => watchman.look(&policy.load(), &counters),
            () = ended => return,
        }
    }
}

struct Watchman {
    episodes: BTreeMap<u64, Episode>,
    looked: Instant,
}

impl Watchman {
    #[expect(clippy::cast_precision_loss, reason = "gauges")]
    fn look(&mut self, policy: &Policy, counters: &Counters) {
        let settings = &policy.guard;
        let window = self.looked.elapsed();
        self.looked = Instant::now();
        let now_ns = counters.ns(self.looked);
        let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX).max(1);
        // Addresses are compared with addresses, instances with instances.
        let (mut addresses, mut instances) = (Sketch::default(), Sketch::default());
        for (who, window) in counters.addresses.windows() {
            let sketch = if is_instance(who) { &mut instances } else { &mut addresses };
            sketch.add(who, window);
        }
        let verdicts = judge(&mut addresses, window_ms, settings);
        for verdict in verdicts.into_iter().chain(judge(&mut instances, window_ms, settings)) {
            let until_ns = now_ns.saturating_add(settings.hold_ms.saturating_mul(1_000_000));
            let requests = verdict.window.requests;
            let episode = Episode { cause: verdict.cause, until_ns, requests };
            self.guard(verdict.address, episode, window_ms, counters);
        }
        self.release(now_ns, settings.enabled, counters);
        counters.show(self.talkers(&mut addresses, window_ms, now_ns, counters));
        let (known, evicted) = counters.addresses.counts();
        metrics::gauge!(names::GUARDED).set(self.episodes.len() as f64);
        metrics::gauge!(names::ADDRESSES_KNOWN).set(known as f64);
        metrics::counter!(names::ADDRESSES_EVICTED).absolute(evicted);
    }

    fn guard(&mut self, address: u64, episode: Episode, window_ms: u64, counters: &Counters) {
        let known = self.episodes.contains_key(&address);
        if !known && self.episodes.len() >= EPISODES_MAX {
            return;
        }
        let Some(entry) = counters.addresses.find(address) else { return };
        entry.guard(episode.until_ns);
        let cause = episode.cause.name();
        if !known {
            let (who, requests) = (shown(address), episode.requests);
            tracing::warn!(%who, cause, requests, window_ms, "somebody is guarded");
            metrics::counter!(names::GUARD_EPISODES, "cause" => cause).increment(1);
        }
        self.episodes.insert(address, episode);
    }

    /// Ends the episodes whose time is over; all of them when the guard is switched off.
    fn release(&mut self, now_ns: u64, enabled: bool, counters: &Counters) {
        self.episodes.retain(|address, episode| {
            let stays = enabled && episode.until_ns > now_ns;
            if !stays {
                if let Some(entry) = counters.addresses.find(*address) {
                    entry.guard(0);
                }
                tracing::info!(who = %counters.shown(*address), "somebody is no longer guarded");
                counters.forget(*address);
            }
            stays
        });
    }

    fn talkers(
        &self,
        sketch: &mut Sketch,
        window_ms: u64,
        now_ns: u64,
        counters: &Counters,
    ) -> Talkers {
        let requests_p99 = sketch.requests_p99();
        let loudest = sketch.loudest().iter().take(ADDRESSES_MAX);
        let addresses = loudest.map(|(address, window)| Talker::of(*address, window)).collect();
        let guarded = self.episodes.iter().map(|(address, episode)| Guarded {
            who: counters.shown(*address),
            cause: episode.cause.name(),
            left_ms: episode.until_ns.saturating_sub(now_ns) / 1_000_000,
            requests: episode.requests,
        });
        Talkers {
            window_ms,
            addresses_active: sketch.active(),
            requests_p99,
            addresses,
            guarded: guarded.collect(),
            ..Talkers::default()
        }
    }
}
