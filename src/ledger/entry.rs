//! The books as they are handed out: an entry for each epoch, sums for each app and sort of key.
//!
//! In: accounts. Out: plain numbers that serialise. What stands here is what `--json` prints, so
//! names never change; new ones may come.

use serde::{Serialize, Serializer};

use super::report::{Counts, POST, PRE};

/// One epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The application that its key belongs to.
    pub app: String,
    /// `public`, `secret` or `open`.
    pub key_kind: &'static str,
    /// The instance, as it was sent.
    pub instance: String,
    /// The epoch, as it was sent.
    pub epoch: String,
    /// When its first batch came, Unix milliseconds.
    pub first_ms: i64,
    /// When its last batch came.
    pub last_ms: i64,
    /// Whether it is at its end.
    pub state: State,
    /// The number of the report that counts, which is the highest.
    pub n: u64,
    /// The highest sequence number that was reserved, if it is at its end.
    pub reserved: Option<u64>,
    /// What is wrong with the last report that was ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invalid_why: Option<String>,
    /// Acknowledged events that may lie in records which are gone by now.
    pub may_lie_before: u64,
    /// The first holes in the sequence numbers up to `admitted`, first and last of each.
    pub gaps: Vec<(u64, u64)>,
    /// How many holes there are.
    pub gap_runs: u64,
    /// Everything that can be added up.
    #[serde(flatten)]
    pub sums: Sums,
}

/// How far an epoch has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its last report is here.
    Closed,
    /// More may come.
    #[default]
    Open,
    /// No valid report has come, so there is nothing to compare with.
    Unreported,
    /// Its sequence numbers lie too far apart to be kept: no SDK counts like that.
    Refused,
}

impl State {
    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        ["closed", "open", "unreported", "refused"][self as usize]
    }
}

/// Numbers of one epoch, or of many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// The client: calls of `track`, which is `admitted` and all of `pre`.
    pub tracked: u64,
    /// The client: why events did not enter the queue.
    #[serde(serialize_with = "pre")]
    pub pre: Counts,
    /// The client: events that entered, which is `acked`, `held` and all of `post`.
    pub admitted: u64,
    /// The client: events that were answered for.
    pub acked: u64,
    /// The client: events queued or on their way.
    pub held: u64,
    /// The client: why events left without an answer.
    #[serde(serialize_with = "post")]
    pub post: Counts,
    /// The gateway: different events that it holds, which is the next four together.
    pub received: u64,
    /// The gateway: events that it wrote to tier 2.
    pub accepted: u64,
    /// The gateway: events that a rule took out.
    pub filtered: u64,
    /// The gateway: events that it refused one by one.
    pub rejected: u64,
    /// Events that were accepted under rules which nobody can find any more.
    pub unjudged: u64,
    /// Different batches.
    pub batches: u64,
    /// Batches that came again under the same id; they count once.
    pub repeated_batches: u64,
    /// Events that came again in another batch; they count once.
    pub repeated_events: u64,
    /// Sequence numbers up to `admitted` that the gateway has not got.
    pub gap_events: u64,
    /// Sequence numbers above `admitted` that it has got.
    pub beyond: u64,
    /// Numbers that were reserved and never seen: at most what a kill took with it.
    pub unused: u64,
    /// Reports that were ignored, because they do not add up or fall.
    pub invalid_reports: u64,
    /// Acknowledged events that the gateway has not got.
    pub missing: u64,
    /// Events that the gateway has got, and the client's books have no room for.
    pub surplus: u64,
    /// `missing` and `surplus`: what nobody can explain.
    pub remainder: u64,
}

impl Sums {
    /// Adds another one's numbers.
    pub fn add(&mut self, more: &Self) {
        self.pre.add(&more.pre);
        self.post.add(&more.post);
        for (sum, number) in [
            (&mut self.tracked, more.tracked),
            (&mut self.admitted, more.admitted),
            (&mut self.acked, more.acked),
            (&mut self.held, more.held),
            (&mut self.received, more.received),
            (&mut self.accepted, more.accepted),
            (&mut self.filtered, more.filtered),
            (&mut self.rejected, more.rejected),
            (&mut self.unjudged, more.unjudged),
            (&mut self.batches, more.batches),
            (&mut self.repeated_batches, more.repeated_batches),
            (&mut self.repeated_events, more.repeated_events),
            (&mut self.gap_events, more.gap_events),
            (&mut self.beyond, more.beyond),
            (&mut self.unused, more.unused),
            (&mut self.invalid_reports, more.invalid_reports),
            (&mut self.missing, more.missing),
            (&mut self.surplus, more.surplus),
            (&mut self.remainder, more.remainder),
        ] {
            *sum = sum.saturating_add(number);
        }
    }
}

/// One app and one sort of key. Public keys can lie, so their numbers are never mixed with others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Total {
    /// The application.
    pub app: String,
    /// `public`, `secret` or `open`.
    pub key_kind: &'static str,
    /// Epochs in the window.
    pub epochs: u64,
    /// Of them: not at their end.
    pub open: u64,
    /// Of them: without a valid report.
    pub unreported: u64,
    /// Of them: refused.
    pub refused: u64,
    /// Their sums.
    #[serde(flatten)]
    pub sums: Sums,
}

fn pre<S: Serializer>(counts: &Counts, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(counts.rows(&PRE))
}

fn post<S: Serializer>(counts: &Counts, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(counts.rows(&POST))
}
