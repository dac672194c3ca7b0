//! When an event happened, by the rule of the protocol's section "Time".
//!
//! In: arrival facts, the event's `ts` and `age`. Out: Unix milliseconds. A client may claim any
//! number, so that all sums saturate.

use crate::model::Facts;

/// A clock that is off by no more than this is believed.
const SKEW_MS_MAX: i64 = 60_000;

/// The effective time of an event.
pub(super) fn effective_ms(facts: &Facts, ts: Option<i64>, age: Option<u64>) -> i64 {
    let arrival = facts.arrival_ms;
    if let Some(wait) = facts.wait_ms {
        let since = i64::try_from(wait.saturating_add(age.unwrap_or(0))).unwrap_or(i64::MAX);
        return arrival.saturating_sub(since);
    }
    let Some(ts) = ts else { return arrival };
    let skew = facts.sent_ms.map_or(0, |sent| arrival.saturating_sub(sent));
    if skew.unsigned_abs() > SKEW_MS_MAX.unsigned_abs() { ts.saturating_add(skew) } else { ts }
}

#[cfg(test)]
mod tests {
    use super::super::tests::facts;
    use super::*;

    #[test]
    fn monotonic_times_win_and_wrong_clocks_are_corrected() {
        let at = facts().arrival_ms;
        for (wait, sent, ts, age, expected) in [
            (Some(100), Some(5), Some(7), Some(2_000), at - 2_100),
            (Some(100), None, None, None, at - 100),
            (None, None, None, Some(5), at),
            (None, None, Some(7), Some(5), 7),
            (None, Some(at - 60_000), Some(7), None, 7),
            (None, Some(at - 60_001), Some(7), None, 60_008),
            (None, Some(at + 60_000), Some(7), None, 7),
            (None, Some(at + 90_000), Some(100_000), None, 10_000),
            (Some(u64::MAX), None, None, Some(u64::MAX), at.saturating_sub(i64::MAX)),
            (None, Some(i64::MIN), Some(i64::MAX), None, i64::MAX),
        ] {
            let facts = Facts { wait_ms: wait, sent_ms: sent, ..facts() };
            assert_eq!(effective_ms(&facts, ts, age), expected, "{wait:?} {sent:?} {ts:?} {age:?}");
        }
    }
}
