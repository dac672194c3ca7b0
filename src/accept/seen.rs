//! What has happened on one connection, as counts: written by its bytes and its requests, read by
//! its clock.
//!
//! Counts only: nobody here looks at a clock, so a request costs a few additions.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::model::Charge;

/// Shared by everything that belongs to one connection; all of it runs on one thread, so nothing
/// has to be ordered.
#[derive(Debug, Default)]
pub(super) struct Seen {
    reads: AtomicU64,
    begun: AtomicU64,
    replied: AtomicU64,
    ended: AtomicU64,
    is_stuck: AtomicBool,
    is_flooded: AtomicBool,
    is_last: AtomicBool,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Reads that brought something.
    pub(super) reads: u64,
    /// Requests whose head has come.
    pub(super) begun: u64,
    /// Requests that have their reply.
    pub(super) replied: u64,
    /// Requests whose reply has been handed on, or that were given up.
    pub(super) ended: u64,
    /// Whether the other side does not take what is written.
    pub(super) is_stuck: bool,
}

impl Seen {
    pub(super) fn counts(&self) -> Counts {
        Counts {
            reads: self.reads.load(Relaxed),
            begun: self.begun.load(Relaxed),
            replied: self.replied.load(Relaxed),
            ended: self.ended.load(Relaxed),
            is_stuck: self.is_stuck.load(Relaxed),
        }
    }

    /// Requests that have ended, for whoever earns something by them.
    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Relaxed)
    }

    pub(super) fn read(&self) {
        self.reads.fetch_add(1, Relaxed);
    }

    pub(super) fn stuck(&self) {
        self.is_stuck.store(true, Relaxed);
    }

    pub(super) fn flushed(&self) {
        self.is_stuck.store(false, Relaxed);
    }

    pub(super) fn flooded(&self) {
        self.is_flooded.store(true, Relaxed);
    }

    pub(super) fn is_flooded(&self) -> bool {
        self.is_flooded.load(Relaxed)
    }

    /// The next reply is to be the last.
    pub(super) fn make_last(&self) {
        self.is_last.store(true, Relaxed);
    }

    pub(super) fn is_last(&self) -> bool {
        self.is_last.load(Relaxed)
    }
}

/// One request, from its head to the last byte of its reply.
#[derive(Debug)]
pub(super) struct Turn {
    seen: Arc<Seen>,
    number: u64,
    is_replied: bool,
    _charge: Option<Charge>,
}

impl Turn {
    pub(super) fn begin(seen: &Arc<Seen>, charge: Option<Charge>) -> Self {
        let number = seen.begun.fetch_add(1, Relaxed) + 1;
        Self { seen: Arc::clone(seen), number, is_replied: false, _charge: charge }
    }

    /// Which request of its connection it is, from 1 on.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether the connection ends with this reply.
    pub(super) fn is_last(&self) -> bool {
        self.seen.is_last()
    }

    /// The turn ends when this body has been handed on, or nobody wants it any more.
    pub(super) fn reply<B>(mut self, body: B) -> Counted<B> {
        self.seen.replied.fetch_add(1, Relaxed);
        self.is_replied = true;
        Counted { body, _turn: self }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_replied {
            // Given up before there was a reply.
            self.seen.replied.fetch_add(1, Relaxed);
        }
        self.seen.ended.fetch_add(1, Relaxed);
    }
}

/// A reply's body that ends its turn.
pub(super) struct Counted<B> {
    body: B,
    _turn: Turn,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
