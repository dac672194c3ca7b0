//! One connection of HTTP from its first byte to its end.
//!
//! In: bytes and whoever answers requests. Out: why it ended. Its clock is looked at whenever
//! something happens, and a timer is set only when something is due earlier than it, so a request
//! costs no timer.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::clock::{Clock, Terms, Verdict};
use super::seen::Seen;

/// HTTP of either version.
pub(super) trait Connection: Future<Output = hyper::Result<()>> {
    /// No more requests than those that are open.
    fn go(self: Pin<&mut Self>);
}

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// As the client or HTTP wanted.
    Done,
    /// By HTTP's rules.
    Broken(hyper::Error),
    /// By ours.
    Closed(&'static str),
}

/// Serves until it ends.
pub(super) async fn run(
    connection: impl Connection,
    seen: Arc<Seen>,
    terms: Terms,
    mut stopping: watch::Receiver<bool>,
) -> End {
    let mut connection = pin!(connection);
    let now = Instant::now();
    let streams = terms.streams;
    let mut timer = pin!(tokio::time::sleep_until(now));
    let mut watching = Watching { clock: Clock::new(terms, now), seen, due: None };
    let mut told = false;
    loop {
        let next = tokio::select! {
            biased;
            next = std::future::poll_fn(|cx| {
                watching.poll(connection.as_mut(), timer.as_mut(), cx)
            }) => next,
            () = stopped(&mut stopping), if !told => Next::Stop,
        };
        match next {
            Next::End(end) => return end,
            Next::Leave(reason) => {
                count(reason);
                watching.clock.leave(Instant::now());
                // One after the other: the next reply says it, so no request is cut off between.
                watching.seen.make_last();
                if streams {
                    connection.as_mut().go();
                }
            }
            Next::Stop => {
                told = true;
                connection.as_mut().go();
            }
        }
    }
}

/// Ends when the value turns true, or nobody is left to turn it.
pub(super) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    stopping.wait_for(|stopping| *stopping).await.map(drop).unwrap_or_default();
}

/// Counts a connection that this side has ended.
pub(super) fn count(reason: &'static str) {
    metrics::counter!(crate::telemetry::metrics::CONNECTIONS_ENDED, "reason" => reason)
        .increment(1);
}

enum Next {
    End(End),
    Leave(&'static str),
    Stop,
}

struct Watching {
    clock: Clock,
    seen: Arc<Seen>,
    /// What the timer is set to.
    due: Option<Instant>,
}

impl Watching {
    fn poll<C: Connection>(
        &mut self,
        connection: Pin<&mut C>,
        mut timer: Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<Next> {
        if let Poll::Ready(result) = connection.poll(cx) {
            let end = match result {
                _ if self.seen.is_flooded() => End::Closed("flood"),
                Ok(()) => End::Done,
                Err(error) => End::Broken(error),
            };
            return Poll::Ready(Next::End(end));
        }
        loop {
            let now = Instant::now();
            let until = match self.clock.look(self.seen.counts(), now) {
                Verdict::Wait(until) => until,
                Verdict::Leave(reason) => return Poll::Ready(Next::Leave(reason)),
                Verdict::Close(reason) => return Poll::Ready(Next::End(End::Closed(reason))),
            };
            // A timer that ends too early is only looked at again.
            if self.due.is_some_and(|due| now < due && due <= until) {
                return Poll::Pending;
            }
            timer.as_mut().reset(until);
            self.due = Some(until);
            // Registers this task, which stays the same for as long as the connection lives.
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}
