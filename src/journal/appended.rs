//! The promise that an append gives: it resolves once the entry is durable, or cannot be.
//!
//! Dropping it changes nothing for the entry. Must never resolve to a seq before the `fdatasync`
//! that covers it has returned.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use super::Error;

/// Resolves to the seq of the entry.
#[derive(Debug)]
#[must_use = "an entry is only durable when this has resolved"]
pub struct Appended {
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting(oneshot::Receiver<Result<u64, Error>>),
    Refused(Error),
}

impl Appended {
    pub(super) fn waiting(receiver: oneshot::Receiver<Result<u64, Error>>) -> Self {
        Self { state: State::Waiting(receiver) }
    }

    pub(super) fn refused(error: Error) -> Self {
        Self { state: State::Refused(error) }
    }

    /// Why it was refused, if that is known already; an entry that was not refused may still fail.
    pub fn refusal(&self) -> Option<&Error> {
        match &self.state {
            State::Waiting(_) => None,
            State::Refused(error) => Some(error),
        }
    }

    /// Waits on a thread that is not part of an async runtime.
    pub fn wait(self) -> Result<u64, Error> {
        match self.state {
            State::Waiting(receiver) => receiver.blocking_recv().unwrap_or(Err(Error::Closed)),
            State::Refused(error) => Err(error),
        }
    }
}

impl Future for Appended {
    type Output = Result<u64, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Waiting(receiver) => {
                let told = ready!(Pin::new(receiver).poll(context));
                Poll::Ready(told.unwrap_or(Err(Error::Closed)))
            }
            State::Refused(error) => Poll::Ready(Err(error.clone())),
        }
    }
}
