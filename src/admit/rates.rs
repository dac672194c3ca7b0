//! Requests per address and per key, and the tighter limit of those who are guarded.
//!
//! All buckets are asked before anything is poured: a request that one of them refuses takes
//! nothing from the others, and the time that is told is the time for all of them.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;

use super::layers::Check;
use super::limits::{Account, Bucket, Counters, Rate, group, millis};
use super::policy::Policy;
use super::visit::Visit;
use crate::ingest::Known;
use crate::model::{Facts, KeyKind, Refusal};

/// The check.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestRates<'a> {
    pub policy: &'a Policy,
    pub counters: &'a Counters,
}

impl<B> Check<Visit<'_, B>> for RequestRates<'_> {
    fn check(&self, visit: &mut Visit<'_, B>) -> Result<(), Refusal> {
        let address = group(visit.caller.address);
        admit(self.policy, self.counters, &visit.entry.account, address, visit.now_ns)
    }
}

/// What the page asks for each batch, under whatever policy is in force.
pub fn instances(policy: &Arc<ArcSwap<Policy>>, counters: &Arc<Counters>) -> Box<Known> {
    let (policy, counters) = (Arc::clone(policy), Arc::clone(counters));
    Box::new(move |facts, name| instance(&policy.load(), &counters, facts, name))
}

/// Counts a batch of an instance, which stands in its header, so that it is known only once the
/// batch has been split; while it is guarded its batches keep to the tighter limit as well.
fn instance(
    policy: &Policy,
    counters: &Counters,
    facts: &Facts,
    name: &[u8],
) -> Result<Option<u64>, Refusal> {
    if name.is_empty() || facts.key_kind == KeyKind::Secret || !policy.guard.enabled {
        return Ok(None);
    }
    let now_ns = counters.ns(Instant::now());
    let who = counters.instance(&facts.app, name);
    let entry = counters.addresses.entry(who, now_ns);
    entry.asked(false);
    let Some(rate) = policy.tight.filter(|_| entry.is_guarded(now_ns)) else {
        return Ok(Some(who));
    };
    entry.tight.take(now_ns, rate).map(|()| Some(who)).map_err(|wait_ns| {
        entry.refused();
        counters.name(who, &facts.app, name);
        Refusal::Guarded(millis(wait_ns))
    })
}

/// A bucket, its rate if it is in force, and what it says when it is full.
type Line<'a> = (&'a Bucket, Option<Rate>, fn(u64) -> Refusal);

/// Lets one request pass, or says how long it has to wait.
pub fn admit(
    policy: &Policy,
    counters: &Counters,
    account: &Account,
    address: u64,
    now_ns: u64,
) -> Result<(), Refusal> {
    let entry = counters.addresses.entry(address, now_ns);
    entry.asked(account.trusted);
    account.key.asked();
    let guarded = !account.trusted && entry.is_guarded(now_ns);
    let lines: [Line<'_>; 3] = [
        (&entry.tight, policy.tight.filter(|_| guarded), Refusal::Guarded),
        (&entry.requests, policy.address, Refusal::AddressRate),
        (&account.key.bucket, account.rates.key, Refusal::KeyRate),
    ];
    let mut longest = (0, lines[0].2);
    for (bucket, rate, refusal) in lines {
        let wait_ns = rate.map_or(0, |rate| bucket.wait_ns(now_ns, rate));
        if wait_ns > longest.0 {
            longest = (wait_ns, refusal);
        }
    }
    for (bucket, rate, refusal) in lines {
        let Some(rate) = rate.filter(|_| longest.0 == 0) else { continue };
        // Another worker may have been faster.
        if let Err(wait_ns) = bucket.take(now_ns, rate) {
            longest = (wait_ns, refusal);
        }
    }
    if longest.0 == 0 {
        return Ok(());
    }
    entry.refused();
    account.key.refused();
    Err(longest.1(millis(longest.0)))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use hyper::HeaderMap;

    use super::*;
    use crate::admit::settings::{Key, Kind, Settings};
    use crate::admit::{Documents, Terms, quotas};
    use crate::model::Peer;

    const SECOND: u64 = 1_000_000_000;

    fn policy(counters: &Counters, adjust: impl FnOnce(&mut Settings)) -> Policy {
        let key = |key: &str| Key {
            key: key.into(),
            app: "app".into(),
            kind: Kind::Public,
            ..Key::default()
        };
        let mut terms = Terms { keys: vec![key("wk_one"), key("wk_two")], ..Terms::default() };
        adjust(&mut terms.limits);
        Policy::compile(&terms, Documents::default(), counters).expect("a policy")
    }

    fn account(policy: &Policy, key: &str) -> Arc<Account> {
        let peer = Peer::from(IpAddr::from([127, 0, 0, 1]));
        Arc::clone(&policy.keys.find(&HeaderMap::new(), Some(key), &peer).expect("known").account)
    }

    #[test]
    fn a_refusal_takes_nothing_from_the_others_and_tells_the_longest_wait() {
        let counters = Counters::new(1_000);
        let policy = policy(&counters, |limits| {
            (limits.address_rate, limits.address_burst) = (1, 2);
            (limits.key_rate, limits.key_burst) = (10, 1);
        });
        let (one, two) = (account(&policy, "wk_one"), account(&policy, "wk_two"));
        let ask = |account: &Account, now_ns| admit(&policy, &counters, account, 7, now_ns);
        assert_eq!(ask(&one, SECOND), Ok(()));
        for _ in 0..5 {
            assert_eq!(ask(&one, SECOND), Err(Refusal::KeyRate(100)));
        }
        assert_eq!(ask(&two, SECOND), Ok(()), "the address has lost nothing by it");
        assert_eq!(ask(&two, SECOND), Err(Refusal::AddressRate(1_000)), "longer than its key's");
        assert_eq!(ask(&two, 2 * SECOND), Ok(()), "as it was told");
        let talkers = counters.talkers();
        assert_eq!(talkers.keys.iter().map(|key| key.requests).sum::<u64>(), 9);
        assert_eq!(talkers.keys.iter().map(|key| key.refused).sum::<u64>(), 6);
    }

    #[test]
    fn a_guarded_address_keeps_to_the_tighter_limit_until_it_is_over() {
        let counters = Counters::new(1_000);
        let policy = policy(&counters, |_| ());
        let one = account(&policy, "wk_one");
        let passed = |from_ns: u64| {
            let asked = (0..1_000).map(|at| from_ns + at * SECOND / 1_000);
            asked.filter(|now_ns| admit(&policy, &counters, &one, 7, *now_ns).is_ok()).count()
        };
        assert_eq!(passed(SECOND), 1_000);
        counters.addresses.entry(7, SECOND).guard(60 * SECOND);
        assert_eq!(passed(10 * SECOND), 39, "20 at once, and 20 a second");
        assert_eq!(passed(61 * SECOND), 1_000);
    }

    #[test]
    fn classes_have_their_shares_of_a_quota() {
        let counters = Counters::new(1_000);
        let policy = policy(&counters, |limits| {
            (limits.app_events_rate, limits.app_burst_ms) = (10, 10_000);
            limits.app_bytes_rate = 1_000;
        });
        let (one, two) = (account(&policy, "wk_one"), account(&policy, "wk_two"));
        let rate = one.rates.events.expect("a quota");
        for (used, refused) in [(69, 0), (70, 1), (89, 1), (90, 2), (99, 2), (100, 3), (150, 3)] {
            let now_ns = 1_000 * SECOND * (used + 1);
            one.app.events.pour(now_ns, rate, used);
            let waiting: Vec<_> =
                (0..3).filter_map(|class| quotas::admit(&two, class, now_ns).err()).collect();
            assert_eq!(waiting.len(), refused, "{used} of 100: {waiting:?}");
            for refusal in waiting {
                let wait_ms = refusal.wait_ms().expect("a wait");
                let Refusal::AppEventsRate(class, _) = refusal else { panic!("{refusal:?}") };
                let then_ns = now_ns + wait_ms * 1_000_000;
                assert_eq!(quotas::admit(&two, class, then_ns), Ok(()), "as it was told");
            }
        }
    }
}
