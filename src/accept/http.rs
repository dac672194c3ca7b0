//! HTTP/1.1 or HTTP/2 on one connection, each with its limits.
//!
//! In: a stream and whoever answers. Out: a connection to be driven. Must never take more than one
//! head's memory for a request that nobody has a place for.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderMap, HeaderValue};
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::HttpService;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::drive::Connection;
use super::forwarded;
use super::seen::{Counted, Seen, Turn};
use super::serve::Front;
use crate::model::Peer;

/// Windows of HTTP/2: what a client may send before it is read, for a stream and for all of them.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
const WINDOW_BYTES: u32 = 1 << 20;
/// What is kept of replies for a stream that does not take them.
const SEND_BYTES_MAX: usize = 64 << 10;
/// Streams that the client took back before they were looked at; one more ends the connection.
const RESETS_PENDING_MAX: usize = 20;
/// Streams that had to be reset for their client's mistakes; one more ends the connection.
const RESETS_OURS_MAX: usize = 64;
/// A silent connection is asked whether it is still there ...
const PING_EVERY: Duration = Duration::from_secs(30);
/// ... and closed when it says nothing for as long.
const PING_WAIT: Duration = Duration::from_secs(10);

/// What is known about one connection for all of its requests.
pub(super) struct Line {
    pub(super) front: Arc<Front>,
    pub(super) seen: Arc<Seen>,
    pub(super) peer: Peer,
    pub(super) streams: bool,
}

impl Line {
    /// Begins a request. A stream whose head there is no memory for is refused unread, which its
    /// client may repeat at once.
    fn begin(&self) -> Result<Turn, h2::Error> {
        let charge = if self.streams {
            let bytes = self.front.http.stream_bytes();
            Some(self.front.caps.stream(bytes).ok_or(h2::Error::from(h2::Reason::REFUSED_STREAM))?)
        } else {
            None
        };
        Ok(Turn::begin(&self.seen, charge))
    }

    /// Who has sent a request with these headers.
    fn peer(&self, headers: &HeaderMap) -> Peer {
        let mut peer = self.peer.clone();
        if let Some(form) = self.front.forwarded()
            && self.front.trusted.contain(peer.address)
        {
            peer.address = self.named(headers, form);
        }
        peer
    }

    fn named(&self, headers: &HeaderMap, form: forwarded::Form) -> IpAddr {
        forwarded::client(headers, form, &self.front.trusted, self.peer.address)
    }
}

/// Answers requests one at a time, over one connection.
pub(super) fn service<A, F, B>(
    line: Line,
    answer: A,
) -> impl HttpService<Incoming, ResBody = Counted<B>, Error = h2::Error, Future: Send>
where
    A: Fn(Request<Incoming>, Peer) -> F + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Unpin + Send + 'static,
{
    // With HTTP/2 the connection itself says which requests are its last.
    let says_last = !line.streams;
    let requests_max = line.front.http.requests_per_connection_max;
    hyper::service::service_fn(move |request: Request<Incoming>| {
        // Nothing is begun for a stream that is refused.
        let answered = line.begin().map(|turn| {
            let peer = line.peer(request.headers());
            (turn, answer(request, peer))
        });
        async move {
            let (turn, answered) = answered?;
            let mut response = answered.await;
            if says_last && (turn.number() >= requests_max || turn.is_last()) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| turn.reply(body)))
        }
    })
}

/// HTTP/1.1.
pub(super) fn one<I, S, B>(front: &Front, io: I, service: S) -> http1::Connection<I, S>
where
    I: Read + Write + Unpin,
    S: HttpService<Incoming, ResBody = B, Error = h2::Error>,
    B: Body<Data = Bytes, Error = Infallible> + 'static,
{
    http1::Builder::new()
        // Who has sent a whole batch and hung up has sent it: else the end of the connection,
        // when it is seen in the same turn as the body, would drop the request.
        .half_close(true)
        // Heads and silence have deadlines of their own, apart from each other.
        .header_read_timeout(None)
        .max_buf_size(front.http.head_bytes_max)
        .serve_connection(io, service)
}

/// HTTP/2.
pub(super) fn two<I, S, B>(
    front: &Front,
    io: I,
    service: S,
) -> http2::Connection<I, S, TokioExecutor>
where
    I: Read + Write + Unpin,
    S: HttpService<Incoming, ResBody = B, Error = h2::Error, Future: Send + 'static>,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let head_bytes_max = u32::try_from(front.http.head_bytes_max).unwrap_or(u32::MAX);
    http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(front.http.streams_max)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_header_list_size(head_bytes_max)
        .max_send_buf_size(SEND_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(RESETS_OURS_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WAIT)
        .serve_connection(io, service)
}

impl<I, S, B> Connection for http1::Connection<I, S>
where
    I: Read + Write + Unpin + 'static,
    S: HttpService<Incoming, ResBody = B, Error = h2::Error>,
    B: Body<Data = Bytes, Error = Infallible> + 'static,
{
    fn go(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, B> Connection for http2::Connection<I, S, TokioExecutor>
where
    I: Read + Write + Unpin + 'static,
    S: HttpService<Incoming, ResBody = B, Error = h2::Error, Future: Send + 'static>,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    fn go(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
