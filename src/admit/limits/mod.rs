//! What limits count: buckets that drain, a bounded table of addresses, and the meters of keys and
//! apps.
//!
//! In: who sends, when, and what it came to. Out: how long somebody has to wait, and who talks the
//! most. The numbers of the limits are the policy's; what is counted here survives their change.
//! Must never read a clock, wait, or grow beyond what it was made for.

mod addresses;
mod bucket;
mod counters;
mod meters;
mod talkers;
#[cfg(test)]
mod tests;

pub(super) use addresses::is_private;
pub use addresses::{ADDRESS_BYTES, Addresses, Entry, Window, group, instance, is_instance, shown};
pub(super) use bucket::millis;
pub use bucket::{Bucket, Rate};
pub use counters::{Counters, Toll};
pub use meters::{Account, AppMeter, KeyMeter, Rates};
pub(super) use talkers::ADDRESSES_MAX;
pub use talkers::{Guarded, KeyTalker, Talker, Talkers};
