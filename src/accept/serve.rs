//! Accepts connections and takes each of them through its doors: caps, PROXY header, TLS, HTTP.
//!
//! In: listeners. Out: requests for whoever answers them, each with its [`Peer`]. Must never stop
//! accepting because one connection is slow, nor spin when it cannot accept.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::caps::{Caps, Full, Limits, Place};
use super::clock::Terms;
use super::drive::{self, End, stopped};
use super::forwarded::Form;
use super::frames::Frames;
use super::http::{self, Line};
use super::io::{Transport, Watched};
use super::listen::{Accepting, Listener};
use super::networks::Networks;
use super::seen::Seen;
use super::tls::{self, Certificates};
use super::{Settings, hello};
use crate::model::{Budget, Peer};
use crate::telemetry::metrics as names;

/// When to stop, and what is counted meanwhile.
#[derive(Clone)]
pub struct Life {
    /// Turns true when no more connections are wanted.
    pub stopping: watch::Receiver<bool>,
    /// How long open requests may take then.
    pub drain: Duration,
    /// Open connections of all listeners.
    pub connections: Arc<AtomicU64>,
    /// Where their memory comes from.
    pub budget: Arc<Budget>,
}

/// What all listeners share.
pub struct Front {
    pub(super) http: Settings,
    pub(super) trusted: Networks,
    pub(super) caps: Arc<Caps>,
    certificates: Option<Arc<Certificates>>,
    handshake: Duration,
    life: Life,
}

impl Front {
    /// From the settings of all its parts. Without certificates no listener can speak TLS.
    pub fn new(
        http: Settings,
        limits: Limits,
        trusted: Networks,
        tls: Option<(Arc<Certificates>, Duration)>,
        life: Life,
    ) -> Arc<Self> {
        let caps = Caps::new(limits, Arc::clone(&life.connections), Arc::clone(&life.budget));
        let (certificates, handshake) =
            tls.map_or((None, Duration::ZERO), |(all, limit)| (Some(all), limit));
        register();
        Arc::new(Self { http, trusted, caps, certificates, handshake, life })
    }

    /// The header in which proxies name their clients, if any proxy is trusted.
    pub(super) fn forwarded(&self) -> Option<Form> {
        (!self.trusted.is_empty()).then_some(self.http.forwarded_header)
    }

    fn terms(&self, streams: bool) -> Terms {
        let ms = Duration::from_millis;
        let http = &self.http;
        Terms {
            first_byte: ms(http.first_byte_ms),
            head: ms(http.head_ms),
            idle: ms(http.idle_ms),
            write: ms(http.write_ms),
            age: ms(http.connection_age_ms),
            requests: http.requests_per_connection_max,
            streams,
        }
    }
}

/// A counter that is never shown before something bad has happened cannot be watched.
fn register() {
    for reason in ["total", "memory", "address", "handshakes", "descriptors", "proxy"] {
        metrics::counter!(names::CONNECTIONS_REFUSED, "reason" => reason).increment(0);
    }
    for reason in ["first_byte", "handshake", "head", "idle", "write", "age", "requests", "flood"] {
        metrics::counter!(names::CONNECTIONS_ENDED, "reason" => reason).increment(0);
    }
    // Counted at the door, which knows nothing of starts.
    for limit in ["rate", "total"] {
        metrics::counter!(names::BODIES_LATE, "limit" => limit).increment(0);
    }
}

/// Serves listeners with `answer` until a stop, then lets open requests finish.
pub async fn serve<A, F, B>(
    listeners: Vec<Listener>,
    front: Arc<Front>,
    answer: A,
) -> std::io::Result<()>
where
    A: Fn(Request<Incoming>, Peer) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Unpin + Send + 'static,
{
    // Every connection holds a sender; when all are gone, so are the connections.
    let (alive, mut gone) = mpsc::channel::<Infallible>(1);
    let mut accepting = tokio::task::JoinSet::new();
    for listener in listeners {
        let unread = Duration::from_millis(front.http.write_ms);
        let door = Door {
            tls: listener.tls,
            proxy: listener.proxy,
            accepting: Accepting::new(listener.socket, unread)?,
            front: Arc::clone(&front),
            alive: alive.clone(),
        };
        accepting.spawn(door.open(answer.clone()));
    }
    drop(alive);
    while accepting.join_next().await.is_some() {}
    if tokio::time::timeout(front.life.drain, gone.recv()).await.is_err() {
        tracing::warn!("connections were cut off after drain_ms");
    }
    Ok(())
}

/// One listener.
struct Door {
    accepting: Accepting,
    tls: bool,
    proxy: bool,
    front: Arc<Front>,
    alive: mpsc::Sender<Infallible>,
}

/// After an accept that failed, and at most after many in a row.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

impl Door {
    async fn open<A, F, B>(self, answer: A)
    where
        A: Fn(Request<Incoming>, Peer) -> F + Clone + Send + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error = Infallible> + Unpin + Send + 'static,
    {
        let mut stopping = self.front.life.stopping.clone();
        let mut pause = PAUSE;
        loop {
            let accepted = tokio::select! {
                accepted = self.accepting.accept() => accepted,
                () = stopped(&mut stopping) => return,
            };
            let (transport, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors: open connections have to end first, so do not spin.
                    if pause == PAUSE {
                        tracing::warn!(%error, "accept");
                    }
                    refuse("descriptors");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                    continue;
                }
            };
            pause = PAUSE;
            let mut bytes = self.front.http.connection_bytes();
            if self.tls {
                bytes += tls::CONNECTION_BYTES;
            }
            let place = match self.front.caps.enter(bytes) {
                Ok(place) => place,
                Err(full) => {
                    refuse(full.name());
                    continue;
                }
            };
            let coming = Coming {
                transport,
                address,
                is_unix: self.accepting.is_unix(),
                tls: self.tls,
                proxy: self.proxy,
                place,
                front: Arc::clone(&self.front),
                _alive: self.alive.clone(),
            };
            tokio::spawn(coming.serve(answer.clone()));
        }
    }
}

fn refuse(reason: &'static str) {
    metrics::counter!(names::CONNECTIONS_REFUSED, "reason" => reason).increment(1);
}

/// A connection before anybody knows who it is.
struct Coming {
    transport: Transport,
    address: IpAddr,
    is_unix: bool,
    tls: bool,
    proxy: bool,
    place: Place,
    front: Arc<Front>,
    _alive: mpsc::Sender<Infallible>,
}

impl Coming {
    async fn serve<A, F, B>(mut self, answer: A)
    where
        A: Fn(Request<Incoming>, Peer) -> F + Send + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error = Infallible> + Unpin + Send + 'static,
    {
        if let Err(full) = self.introduce().await {
            refuse(full);
            return;
        }
        let (front, peer) = (self.front, Peer::from(self.address));
        if !self.tls {
            plain(front, self.transport, peer, answer).await;
            return;
        }
        // In a box of its own, so that connections without TLS do not carry its state.
        Box::pin(secure(front, self.transport, peer, self.place, answer)).await;
    }

    /// Reads the PROXY header, if there is to be one, and counts the address that it is about.
    async fn introduce(&mut self) -> Result<(), &'static str> {
        let is_trusted = self.front.trusted.contain(self.address);
        let mut is_counted = !self.is_unix && !is_trusted;
        if self.proxy {
            if !is_trusted {
                return Err("proxy");
            }
            let limit = Duration::from_millis(self.front.http.proxy_ms);
            let source = hello::source(&mut self.transport, limit).await.map_err(|error| {
                tracing::debug!(%error, address = %self.address, "proxy");
                "proxy"
            })?;
            if let Some(address) = source {
                self.address = address;
                is_counted = !self.front.trusted.contain(address);
            }
        }
        // A proxy speaks for many; its own connections are limited by their total alone.
        if is_counted { self.place.claim(self.address).map_err(Full::name) } else { Ok(()) }
    }
}

async fn plain<A, F, B>(front: Arc<Front>, transport: Transport, peer: Peer, answer: A)
where
    A: Fn(Request<Incoming>, Peer) -> F + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Unpin + Send + 'static,
{
    one(front, transport, peer, answer).await;
}

async fn secure<A, F, B>(
    front: Arc<Front>,
    transport: Transport,
    mut peer: Peer,
    mut place: Place,
    answer: A,
) where
    A: Fn(Request<Incoming>, Peer) -> F + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Unpin + Send + 'static,
{
    let Some(certificates) = &front.certificates else { return };
    let handshake = match front.caps.handshake() {
        Ok(handshake) => handshake,
        Err(full) => return refuse(full.name()),
    };
    let shaken = tls::accept(certificates, transport, front.handshake).await;
    drop(handshake);
    let secured = match shaken {
        Ok(secured) => secured,
        Err(error) => {
            if matches!(error, tls::HandshakeError::Late) {
                drive::count("handshake");
            }
            tracing::debug!(%error, address = %peer.address, "tls handshake");
            return;
        }
    };
    peer.subject = secured.subject;
    if !secured.speaks_two {
        return one(front, secured.stream, peer, answer).await;
    }
    if let Err(full) = place.grow(tls::STREAMS_BYTES) {
        return refuse(full.name());
    }
    let seen = Arc::new(Seen::default());
    let frames = Some(Frames::new(Instant::now()));
    let io = TokioIo::new(Watched::new(secured.stream, Arc::clone(&seen), frames));
    let address = peer.address;
    let line = Line { front: Arc::clone(&front), seen: Arc::clone(&seen), peer, streams: true };
    let connection = http::two(&front, io, http::service(line, answer));
    let stopping = front.life.stopping.clone();
    end(drive::run(connection, seen, front.terms(true), stopping).await, address);
}

async fn one<S, A, F, B>(front: Arc<Front>, stream: S, peer: Peer, answer: A)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Incoming>, Peer) -> F + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Unpin + Send + 'static,
{
    let seen = Arc::new(Seen::default());
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&seen), None));
    let address = peer.address;
    let line = Line { front: Arc::clone(&front), seen: Arc::clone(&seen), peer, streams: false };
    let connection = http::one(&front, io, http::service(line, answer));
    let stopping = front.life.stopping.clone();
    end(drive::run(connection, seen, front.terms(false), stopping).await, address);
}

fn end(end: End, address: IpAddr) {
    match end {
        End::Done => {}
        End::Broken(error) => tracing::debug!(%error, %address, "connection"),
        End::Closed(reason) => {
            drive::count(reason);
            tracing::debug!(reason, %address, "connection closed");
        }
    }
}
