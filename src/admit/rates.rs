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
