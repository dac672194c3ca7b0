//! Events and bytes per app: whether a batch of this class may be read at all.
//!
//! What it holds is not known before, so it is charged afterwards and the quota may go into debt,
//! which is paid first. Bulk events may use 70 % of what is saved up, normal ones 90 %, critical
//! ones all of it: so bulk is refused first, and a debt keeps bulk away for longest.

use super::layers::Check;
use super::limits::{Account, Bucket, Rate, millis};
use super::visit::Visit;
use crate::model::Refusal;

/// The check.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quotas;

/// The share of a quota that each class may use up, in percent.
const SHARES: [u64; 3] = [100, 90, 70];

impl<B> Check<Visit<'_, B>> for Quotas {
    fn check(&self, visit: &mut Visit<'_, B>) -> Result<(), Refusal> {
        if !visit.carries_events() {
            return Ok(());
        }
        let refused = |_: &Refusal| visit.entry.account.key.refused();
        admit(&visit.entry.account, visit.class, visit.now_ns).inspect_err(refused)
    }
}

/// Lets a batch of a class pass, or says how long each class has to wait.
pub fn admit(account: &Account, class: u8, now_ns: u64) -> Result<(), Refusal> {
    let of_class = |waits: &[u64; 3]| waits.get(usize::from(class)).copied().unwrap_or(0);
    let waits = |bucket: &Bucket, rate: Option<Rate>| {
        rate.filter(|_| !bucket.is_empty(now_ns)).map_or([0; 3], |rate| {
            SHARES.map(|percent| millis(bucket.wait_below_ns(now_ns, rate, percent)))
        })
    };
    let events = waits(&account.app.events, account.rates.events);
    let bytes = waits(&account.app.bytes, account.rates.bytes);
    let (for_events, for_bytes) = (of_class(&events), of_class(&bytes));
    if for_events == 0 && for_bytes == 0 {
        return Ok(());
    }
    // A class that either of them keeps away has to wait for both.
    let both = [0, 1, 2].map(|class| events[class].max(bytes[class]));
    let refusal =
        if for_events >= for_bytes { Refusal::AppEventsRate } else { Refusal::AppBytesRate };
    Err(refusal(class, both))
}
