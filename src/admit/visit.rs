//! What passes from layer to layer: a request as it came, then as that of somebody known, or what
//! is left of it when it is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::header::EXPECT;
use hyper::http::request::Parts;
use hyper::{Request, Version};

use super::keys::Entry;
use super::query::Query;
use super::routes::{Match, Place};
use crate::model::{Caller, Charge, Coding, Peer, Refusal};

/// A request that nobody has looked at.
#[derive(Debug)]
pub(super) struct Arrival<B> {
    /// Head and unread body.
    pub(super) request: Request<B>,
    /// Where it goes.
    pub(super) found: Match,
    /// Who is at the other end.
    pub(super) peer: Peer,
    /// When it came, by the counters' clock.
    pub(super) now_ns: u64,
}

/// A request of somebody known.
#[derive(Debug)]
pub(super) struct Visit<'a, B> {
    pub place: Place,
    pub head: Parts,
    pub query: Query,
    /// Not a byte of it has been asked for.
    pub body: B,
    pub entry: &'a Entry,
    pub caller: Caller,
    /// Of the query, else of the key.
    pub class: u8,
    pub now_ns: u64,
    /// What `Content-Encoding` says.
    pub said: Option<Coding>,
    /// What `Content-Length` says.
    pub announced: Option<u64>,
    /// Memory taken for it.
    pub charge: Charge,
    /// Its place among those that are worked on.
    pub working: Option<Working>,
}

/// A request that some layer refused, with the body that nobody has read.
#[derive(Debug)]
pub(super) struct Refused<B> {
    pub refusal: Refusal,
    pub found: Match,
    pub version: Version,
    /// It will not send its body before it is told to (`Expect`).
    pub waits: bool,
    pub body: B,
}

impl<'a, B> Visit<'a, B> {
    /// The visit of a request to `place` by whom `entry` stands for.
    pub(super) fn new(arrival: Arrival<B>, place: Place, query: Query, entry: &'a Entry) -> Self {
        let Arrival { request, peer, now_ns, .. } = arrival;
        let (head, body) = request.into_parts();
        let caller = entry.caller(&head.headers, peer.address);
        let class = query.class.unwrap_or(caller.class);
        Self {
            place,
            head,
            query,
            body,
            entry,
            caller,
            class,
            now_ns,
            said: None,
            announced: None,
            charge: Charge::default(),
            working: None,
        }
    }

    /// Refuses it.
    pub(super) fn refuse(self, refusal: Refusal) -> Refused<B> {
        let found = Match::Place(self.place);
        let waits = self.head.headers.contains_key(EXPECT);
        Refused { refusal, found, version: self.head.version, waits, body: self.body }
    }

    /// Whether it brings events.
    pub(super) fn carries_events(&self) -> bool {
        matches!(self.place, Place::Batch | Place::Pixel)
    }
}

impl<B> Arrival<B> {
    /// Refuses it.
    pub(super) fn refuse(self, refusal: Refusal) -> Refused<B> {
        let (version, found) = (self.request.version(), self.found);
        let waits = self.request.headers().contains_key(EXPECT);
        Refused { refusal, found, version, waits, body: self.request.into_body() }
    }
}

/// One of the requests that are read or worked on at once; it ends with this.
#[derive(Debug)]
pub(super) struct Working(Arc<AtomicUsize>);

impl Working {
    /// One more, unless there are so many.
    pub(super) fn begin(count: &Arc<AtomicUsize>, requests_max: usize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::AcqRel);
        // Dropped at once when it is one too many.
        let working = Self(Arc::clone(count));
        (before < requests_max).then_some(working)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
