//! Requests per address and per key, and the tighter limit of those who are guarded.
//!
//! All buckets are asked before anything is poured: a request that one of them refuses takes
//! nothing from the others, and the time that is told is the time for all of them.

use super::layers::Check;
use super::limits::{Account, Bucket, Counters, Rate, group};
use super::policy::Policy;
use super::visit::Visit;
use crate::model::Refusal;

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
    let lines: [(&Bucket, Option<Rate>, fn(u64) -> Refusal); 3] = [
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
    Err(longest.1(super::limits::millis(longest.0)))
}
