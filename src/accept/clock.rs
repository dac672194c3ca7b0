//! How long a connection may take for what: first byte, head, silence between requests, replies
//! that nobody takes, and its whole life.
//!
//! In: the counts of what has happened, and the time. Out: until when all is well, or what has to
//! be done. Pure: it looks at no clock, so it is tested with made-up times. Bodies have their own
//! limits, at the door.

use std::time::Duration;

use tokio::time::Instant;

use super::seen::Counts;

/// The limits of one connection.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) first_byte: Duration,
    pub(super) head: Duration,
    pub(super) idle: Duration,
    pub(super) write: Duration,
    pub(super) age: Duration,
    pub(super) requests: u64,
    /// HTTP/2: bytes between requests may be pings, so they do not begin a head.
    pub(super) streams: bool,
}

/// How long a connection that was told to go may still take.
const LEAVE: Duration = Duration::from_mins(1);

/// What has to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing before this instant.
    Wait(Instant),
    /// No more requests after those that are open, for this reason.
    Leave(&'static str),
    /// Close it, for this reason.
    Close(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has come yet.
    First,
    /// A head has begun.
    Head,
    /// Between requests.
    Idle,
    /// Requests are open.
    Busy,
}

/// One connection's.
#[derive(Debug)]
pub(super) struct Clock {
    terms: Terms,
    phase: Phase,
    since: Instant,
    last: Counts,
    /// Since when nothing is taken of what is written.
    stuck: Option<Instant>,
    /// Since when replies lie here and none of them goes.
    unsent: Option<Instant>,
    ends: Instant,
    left: Option<Instant>,
}

impl Clock {
    pub(super) fn new(terms: Terms, now: Instant) -> Self {
        let (last, ends) = (Counts::default(), now + terms.age);
        let (phase, since) = (Phase::First, now);
        Self { terms, phase, since, last, stuck: None, unsent: None, ends, left: None }
    }

    /// What follows from what has happened up to now.
    pub(super) fn look(&mut self, counts: Counts, now: Instant) -> Verdict {
        self.follow(counts, now);
        let mut until: Option<Instant> = None;
        for (since, term, reason) in [
            self.term(),
            (self.stuck.or(self.unsent), self.terms.write, "write"),
            (self.left, LEAVE, "left"),
        ] {
            let Some(since) = since else { continue };
            let due = since + term;
            if due <= now {
                return Verdict::Close(reason);
            }
            until = Some(until.map_or(due, |until| until.min(due)));
        }
        if self.left.is_none() {
            if self.terms.streams && self.phase == Phase::Idle {
                let due = self.since + self.terms.idle;
                if due <= now {
                    return Verdict::Leave("idle");
                }
                until = Some(until.map_or(due, |until| until.min(due)));
            }
            if counts.begun >= self.terms.requests {
                return Verdict::Leave("requests");
            }
            if self.ends <= now {
                return Verdict::Leave("age");
            }
            until = Some(until.map_or(self.ends, |until| until.min(self.ends)));
        }
        // Streams of HTTP/2 end in tasks of their own, which wake nobody here: look again.
        let again = now + self.terms.idle;
        Verdict::Wait(until.map_or(again, |until| until.min(again)))
    }

    /// It has been told to go.
    pub(super) fn leave(&mut self, now: Instant) {
        self.left.get_or_insert(now);
    }

    fn term(&self) -> (Option<Instant>, Duration, &'static str) {
        match self.phase {
            Phase::First => (Some(self.since), self.terms.first_byte, "first_byte"),
            Phase::Head => (Some(self.since), self.terms.head, "head"),
            // Of streams one takes leave.
            Phase::Idle if !self.terms.streams => (Some(self.since), self.terms.idle, "idle"),
            Phase::Idle | Phase::Busy => (None, self.terms.idle, "busy"),
        }
    }

    fn follow(&mut self, counts: Counts, now: Instant) {
        let Counts { reads, begun, replied, ended, is_stuck } = counts;
        let (read, moved) =
            (reads > self.last.reads, (begun, ended) != (self.last.begun, self.last.ended));
        if begun > ended {
            self.phase = Phase::Busy;
        } else if moved {
            (self.phase, self.since) = (Phase::Idle, now);
        } else if read {
            let next = if self.terms.streams { Phase::Idle } else { Phase::Head };
            if self.phase == Phase::First || self.phase == Phase::Idle && next == Phase::Head {
                (self.phase, self.since) = (next, now);
            }
        }
        self.stuck = if is_stuck { self.stuck.or(Some(now)) } else { None };
        // Each reply that goes proves that they can.
        let unsent = replied > ended;
        self.unsent = match self.unsent {
            Some(since) if unsent && ended == self.last.ended => Some(since),
            _ => unsent.then_some(now),
        };
        self.last = counts;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn terms(streams: bool) -> Terms {
        Terms {
            first_byte: seconds(10),
            head: seconds(5),
            idle: seconds(75),
            write: seconds(30),
            age: seconds(3_600),
            requests: 4,
            streams,
        }
    }

    /// A clock, and what it says at second `at`.
    struct Told {
        clock: Clock,
        begin: Instant,
        counts: Counts,
    }

    impl Told {
        fn new(streams: bool) -> Self {
            let begin = Instant::now();
            Self { clock: Clock::new(terms(streams), begin), begin, counts: Counts::default() }
        }

        fn at(&mut self, at: u64, change: impl FnOnce(&mut Counts)) -> Result<u64, &'static str> {
            change(&mut self.counts);
            match self.clock.look(self.counts, self.begin + seconds(at)) {
                Verdict::Wait(until) => Ok((until - self.begin).as_secs()),
                Verdict::Leave(reason) | Verdict::Close(reason) => Err(reason),
            }
        }
    }

    fn request(counts: &mut Counts) {
        counts.reads += 1;
        counts.begun += 1;
    }

    fn reply(counts: &mut Counts) {
        counts.replied += 1;
        counts.ended += 1;
    }

    #[test]
    fn silence_ends_after_the_first_byte_is_due() {
        let mut told = Told::new(false);
        assert_eq!(told.at(0, |_| ()), Ok(10));
        assert_eq!(told.at(9, |_| ()), Ok(10));
        assert_eq!(told.at(10, |_| ()), Err("first_byte"));
    }

    #[test]
    fn a_head_in_drips_ends_and_more_drips_do_not_help() {
        let mut told = Told::new(false);
        assert_eq!(told.at(8, |counts| counts.reads = 1), Ok(13));
        assert_eq!(told.at(12, |counts| counts.reads = 2), Ok(13));
        assert_eq!(told.at(13, |counts| counts.reads = 3), Err("head"));
    }

    #[test]
    fn between_requests_it_may_be_silent_for_longer_than_a_head_may_take() {
        let mut told = Told::new(false);
        assert_eq!(told.at(1, request), Ok(76), "looks again; nothing is due");
        assert_eq!(told.at(2, reply), Ok(77));
        assert_eq!(told.at(60, |_| ()), Ok(77));
        assert_eq!(told.at(70, |counts| counts.reads += 1), Ok(75), "the next head");
        assert_eq!(told.at(71, |counts| counts.begun += 1), Ok(146));
        assert_eq!(told.at(72, reply), Ok(147));
        assert_eq!(told.at(147, |_| ()), Err("idle"));
    }

    #[test]
    fn pings_do_not_keep_streams_alive() {
        let mut told = Told::new(true);
        assert_eq!(told.at(1, |counts| counts.reads = 1), Ok(76));
        for at in 2..76 {
            assert_eq!(told.at(at, |counts| counts.reads += 1), Ok(76));
        }
        assert_eq!(told.at(76, |_| ()), Err("idle"));
    }

    #[test]
    fn replies_that_are_not_taken_end_it_and_each_that_is_taken_counts() {
        let mut told = Told::new(true);
        let two = |counts: &mut Counts| (counts.reads, counts.begun) = (1, 2);
        assert_eq!(told.at(0, two), Ok(75));
        assert_eq!(told.at(1, |counts| counts.replied = 2), Ok(31));
        assert_eq!(told.at(20, |counts| counts.ended = 1), Ok(50));
        assert_eq!(told.at(50, |_| ()), Err("write"));
        let mut told = Told::new(false);
        assert_eq!(told.at(0, request), Ok(75));
        assert_eq!(
            told.at(1, |counts| (counts.is_stuck, counts.replied, counts.ended) = (true, 1, 1)),
            Ok(31)
        );
        assert_eq!(told.at(31, |_| ()), Err("write"));
    }

    #[test]
    fn age_and_requests_end_it_in_peace_and_then_for_good() {
        let mut told = Told::new(true);
        assert_eq!(told.at(1, |counts| (counts.reads, counts.begun) = (1, 4)), Err("requests"));
        told.clock.leave(told.begin + seconds(1));
        assert_eq!(told.at(2, |_| ()), Ok(61));
        assert_eq!(told.at(61, |_| ()), Err("left"));
        let mut told = Told::new(true);
        assert_eq!(told.at(3_599, request), Ok(3_600));
        assert_eq!(told.at(3_600, |_| ()), Err("age"));
    }

    proptest! {
        /// Whatever happens, something is due within the longest of the terms, and it is never
        /// in the past.
        #[test]
        fn something_is_always_due(
            streams in any::<bool>(),
            steps in prop::collection::vec((0..100u64, 0..5u8), 1..60),
        ) {
            let mut told = Told::new(streams);
            let mut now = 0;
            for (pause, step) in steps {
                now += pause;
                let said = told.at(now, |counts| match step {
                    0 => counts.reads += 1,
                    1 => request(counts),
                    2 if counts.replied < counts.begun => counts.replied += 1,
                    3 if counts.ended < counts.replied => counts.ended += 1,
                    4 => counts.is_stuck = !counts.is_stuck,
                    _ => (),
                });
                match said {
                    Ok(until) => prop_assert!(until > now && until <= now + 75),
                    Err(_) => break,
                }
            }
        }

        /// A head in drips never lives longer than first byte and head together.
        #[test]
        fn drips_never_win(pauses in prop::collection::vec(0..10u64, 1..200)) {
            let mut told = Told::new(false);
            let mut now = 0;
            for pause in pauses {
                now += pause;
                if told.at(now, |counts| counts.reads += 1).is_err() {
                    return Ok(());
                }
                prop_assert!(now <= 15);
            }
        }
    }
}
