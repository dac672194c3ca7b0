//! One report of a client: what it says became of every call of `track` in one epoch.
//!
//! In: the `report` object of a header line. Out: a [`Report`] whose two sums hold, or why it is
//! none. Must never take a reason for another, or a number that does not add up.

use serde::Deserialize;

/// Why an event never entered the queue.
pub const PRE: [&str; 10] = [
    "sampled",
    "rate_limited",
    "invalid",
    "too_large",
    "no_consent",
    "killed",
    "before_send",
    "callback_error",
    "refused_full",
    "closed",
];

/// Why an event left the queue without a definitive reply.
pub const POST: [&str; 10] = [
    "queue_full",
    "store_full",
    "store_error",
    "expired",
    "retry_exhausted",
    "rejected_4xx",
    "rejected_413",
    "purged_kill",
    "shutdown_timeout",
    "unconfirmed",
];

/// The place of `unconfirmed` in [`POST`]: these may have arrived.
const UNCONFIRMED: usize = 9;

/// Counts by reason, then by class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([[u64; 3]; 10]);

/// What a report says. All numbers are cumulative for its epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Its number in the epoch, from 1.
    pub(super) n: u64,
    /// Calls of `track`.
    pub(super) tracked: u64,
    /// Events that entered the queue.
    pub(super) admitted: u64,
    /// Events of batches with a definitive 200.
    pub(super) acked: u64,
    /// Events that are queued or sealed.
    pub(super) held: u64,
    /// By the reasons of [`PRE`].
    pub(super) pre: Counts,
    /// By the reasons of [`POST`].
    pub(super) post: Counts,
    /// The highest sequence number reserved; told by the last report.
    pub(super) reserved: Option<u64>,
    /// Whether it is the last one of its epoch.
    pub(super) fin: bool,
}

/// Why a report counts as `invalid_report`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Invalid {
    /// A field is missing or of the wrong type.
    #[error("it is not of the protocol's form")]
    Form,
    /// A reason or class that the protocol does not know, or twice.
    #[error("a row has an unknown reason or class, or stands twice")]
    Row,
    /// `tracked = admitted + sum(pre)` or `admitted = acked + held + sum(post)` is wrong.
    #[error("its sums do not hold")]
    Sums,
    /// The last report of an epoch that still holds events.
    #[error("it is the last one, and something is held")]
    Held,
    /// Two batches have a report of this number, and they say different things.
    #[error("its number stands twice")]
    Twice,
    /// A number is lower than in an older report, or the other way round.
    #[error("a number falls")]
    Falls,
}

type Row = (String, usize, u64);

#[derive(Deserialize)]
struct Wire {
    n: u64,
    tracked: u64,
    admitted: u64,
    acked: u64,
    held: u64,
    #[serde(default)]
    pre: Vec<Row>,
    #[serde(default)]
    post: Vec<Row>,
    reserved: Option<u64>,
    fin: Option<u64>,
}

impl Report {
    /// Reads one.
    pub(super) fn read(json: &[u8]) -> Result<Self, Invalid> {
        let wire: Wire = serde_json::from_slice(json).map_err(|_| Invalid::Form)?;
        let report = Self {
            n: wire.n,
            tracked: wire.tracked,
            admitted: wire.admitted,
            acked: wire.acked,
            held: wire.held,
            pre: Counts::read(&wire.pre, &PRE).ok_or(Invalid::Row)?,
            post: Counts::read(&wire.post, &POST).ok_or(Invalid::Row)?,
            reserved: wire.reserved,
            fin: wire.fin == Some(1),
        };
        if report.n == 0 || wire.fin.is_some_and(|fin| fin != 1) {
            return Err(Invalid::Form);
        }
        let entered = report.pre.sum().and_then(|pre| pre.checked_add(report.admitted));
        let left = report.post.sum().and_then(|post| post.checked_add(report.acked));
        let left = left.and_then(|left| left.checked_add(report.held));
        if entered != Some(report.tracked) || left != Some(report.admitted) {
            return Err(Invalid::Sums);
        }
        if report.fin && report.held > 0 { Err(Invalid::Held) } else { Ok(report) }
    }

    /// Events that were given up after a send without a definitive reply.
    pub(super) fn unconfirmed(&self) -> u64 {
        self.post.of(UNCONFIRMED)
    }

    /// Whether a number that never falls is lower than in an `older` report.
    pub(super) fn falls_behind(&self, older: &Self) -> bool {
        let lower = [
            self.tracked < older.tracked,
            self.admitted < older.admitted,
            self.acked < older.acked,
        ];
        lower.contains(&true)
            || self.pre.falls_behind(&older.pre)
            || self.post.falls_behind(&older.post)
    }
}

impl Counts {
    fn read(rows: &[Row], names: &[&str; 10]) -> Option<Self> {
        let mut counts = Self::default();
        for (reason, class, count) in rows {
            let place = names.iter().position(|name| name == reason)?;
            let cell = counts.0.get_mut(place)?.get_mut(*class)?;
            if *cell > 0 || *count == 0 {
                return None;
            }
            *cell = *count;
        }
        Some(counts)
    }

    fn sum(&self) -> Option<u64> {
        self.0.iter().flatten().try_fold(0_u64, |sum, count| sum.checked_add(*count))
    }

    fn of(&self, place: usize) -> u64 {
        self.0.get(place).map_or(0, |classes| classes.iter().sum())
    }

    fn falls_behind(&self, older: &Self) -> bool {
        self.0.iter().flatten().zip(older.0.iter().flatten()).any(|(new, old)| new < old)
    }

    /// Adds another one's counts.
    pub fn add(&mut self, more: &Self) {
        for (sum, count) in self.0.iter_mut().flatten().zip(more.0.iter().flatten()) {
            *sum = sum.saturating_add(*count);
        }
    }

    /// As rows of reason, class and count, in the protocol's order, without zeros.
    pub fn rows(&self, names: &[&'static str; 10]) -> Vec<(&'static str, u8, u64)> {
        let mut rows = Vec::new();
        for (name, classes) in names.iter().zip(&self.0) {
            for (class, count) in (0..).zip(classes).filter(|(_, count)| **count > 0) {
                rows.push((*name, class, *count));
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"n":7,"tracked":1200,"admitted":1182,"acked":1130,"held":12,
        "pre":[["sampled",2,10],["rate_limited",1,8]],"post":[["queue_full",2,30],["unconfirmed",1,10]]}"#;

    #[test]
    fn the_protocols_own_example_is_read() {
        let report = Report::read(GOOD.as_bytes()).unwrap();
        assert_eq!((report.n, report.tracked, report.unconfirmed()), (7, 1200, 10));
        assert_eq!(report.pre.rows(&PRE), [("sampled", 2, 10), ("rate_limited", 1, 8)]);
        assert_eq!(report.post.rows(&POST), [("queue_full", 2, 30), ("unconfirmed", 1, 10)]);
        assert!(!report.fin && report.reserved.is_none());
    }

    #[test]
    fn what_does_not_add_up_is_invalid() {
        for (from, to, why) in [
            ("\"n\":7,", "", Invalid::Form),
            ("\"n\":7", "\"n\":0", Invalid::Form),
            ("\"n\":7", "\"n\":-7", Invalid::Form),
            ("\"n\":7", "\"n\":7.5", Invalid::Form),
            ("1200", "1201", Invalid::Sums),
            ("1182", "1183", Invalid::Sums),
            ("\"held\":12", "\"held\":13", Invalid::Sums),
            ("sampled", "unconfirmed", Invalid::Row),
            ("queue_full", "sampled", Invalid::Row),
            ("\"sampled\",2", "\"sampled\",3", Invalid::Row),
            ("rate_limited\",1,8", "sampled\",2,8", Invalid::Row),
            (",8]", ",0]", Invalid::Row),
            ("10]]}", "10]],\"fin\":1}", Invalid::Held),
            ("10]]}", "10]],\"fin\":2}", Invalid::Form),
            ("1200", "18446744073709551615", Invalid::Sums),
        ] {
            let bad = GOOD.replace(from, to);
            assert_ne!(bad, GOOD, "{from}");
            assert_eq!(Report::read(bad.as_bytes()), Err(why), "{from} -> {to}");
        }
        assert_eq!(Report::read(b"{}"), Err(Invalid::Form));
    }

    #[test]
    fn held_may_fall_and_nothing_else() {
        let old = Report::read(GOOD.as_bytes()).unwrap();
        let text = GOOD.replace("1130", "1140").replace("\"held\":12", "\"held\":2");
        let new = Report::read(text.as_bytes()).unwrap();
        assert!(!new.falls_behind(&old) && old.falls_behind(&new));
        let text = GOOD.replace("\"queue_full\",2", "\"queue_full\",1");
        let moved = Report::read(text.as_bytes()).unwrap();
        assert!(moved.falls_behind(&old), "from one class to another is a fall");
    }
}
