//! The clients: each sends one batch after the other over its connection and retries as an SDK
//! does.
//!
//! In: sealed batches. Out: claims and figures. Every retry sends the same bytes; only the query
//! changes. Delays are capped far below an SDK's, because a load run has no day to wait.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use tokio::time::Instant;

use crate::batch::{Origin, Plan, Random, Sealed};
use crate::claims::{Claims, Fate};
use crate::clock::now_ms;
use crate::feeder::Feeder;
use crate::record::{Phase, Recorder};
use connection::{Broken, Connection};
use reply::{Taken, Verdict};

mod connection;
pub mod idle;
mod reply;
pub mod rude;

/// How clients behave.
#[derive(Debug, Clone)]
pub struct Manners {
    /// Where they send to.
    pub target: SocketAddr,
    /// How many there are.
    pub connections: usize,
    /// Batches per second of all together; none sends as fast as replies come (closed loop).
    pub rate: Option<f64>,
    /// How long one answer may take.
    pub request: Duration,
    /// The longest delay before a retry, whatever the gateway asks for.
    pub retry_max: Duration,
    /// How long a batch is tried before its client gives up.
    pub give_up: Duration,
}

/// What all clients share.
#[derive(Debug)]
pub struct Crowd {
    /// How they behave.
    pub manners: Manners,
    /// What they send.
    pub plan: Plan,
    /// Where they take it from.
    pub feeder: Arc<Feeder>,
    /// What they may claim.
    pub claims: Claims,
    /// What they saw.
    pub recorder: Arc<Recorder>,
}

/// Sends until there are no more tickets and every batch has its fate; an error is a client that
/// panicked.
pub async fn send_all(crowd: Arc<Crowd>) -> Result<(), tokio::task::JoinError> {
    let start = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..crowd.manners.connections {
        let crowd = Arc::clone(&crowd);
        clients.spawn(async move {
            let connection = Connection::new(crowd.manners.target, number);
            let random = Random::new(crowd.plan.seed ^ number as u64);
            Client { crowd, connection, random }.run(start).await;
        });
    }
    let mut panicked = Ok(());
    while let Some(ended) = clients.join_next().await {
        panicked = panicked.and(ended);
    }
    panicked
}

struct Client {
    crowd: Arc<Crowd>,
    connection: Connection,
    random: Random,
}

/// One batch on its way.
struct Trip<'a> {
    sealed: &'a Sealed,
    origin: Origin,
    due: Instant,
    phase: Phase,
    attempts: u32,
}

impl Client {
    async fn run(&mut self, start: Instant) {
        while let Some(ticket) = self.crowd.feeder.ticket() {
            let due = match self.crowd.manners.rate {
                Some(rate) => start + Duration::from_secs_f64(ticket as f64 / rate),
                None => Instant::now(),
            };
            tokio::time::sleep_until(due).await;
            let Some(sealed) = self.crowd.feeder.next().await else { return };
            // A closed loop's clock starts when the batch is there, not when it was asked for.
            let due = if self.crowd.manners.rate.is_some() { due } else { Instant::now() };
            let origin = self.crowd.plan.origin(sealed.number);
            let phase = self.crowd.recorder.phase();
            self.deliver(Trip { sealed: &sealed, origin, due, phase, attempts: 0 }).await;
        }
    }

    /// Tries until there is a definitive answer or the time is up.
    async fn deliver(&mut self, mut trip: Trip<'_>) {
        let number = trip.sealed.number;
        loop {
            let delay = match self.attempt(&mut trip).await {
                Ok(Verdict::Taken(taken)) => return self.taken(&trip, &taken),
                Ok(Verdict::Refused) => return self.crowd.claims.end(number, Fate::Refused),
                Ok(Verdict::Later(delay)) => delay,
                Ok(Verdict::Unclear) | Err(Broken::Unclear(_)) => {
                    self.crowd.claims.unclear(number);
                    Duration::ZERO
                }
                Err(Broken::Unsent) => Duration::ZERO,
            };
            let waited = trip.due.elapsed();
            if waited > self.crowd.manners.give_up || self.crowd.feeder.is_stopped() {
                self.crowd.claims.end(number, Fate::GivenUp);
                return self.crowd.recorder.add(|totals| totals.given_up += 1);
            }
            tokio::time::sleep(self.backoff(delay, trip.attempts)).await;
        }
    }

    async fn attempt(&mut self, trip: &mut Trip<'_>) -> Result<Verdict, Broken> {
        let crowd = Arc::clone(&self.crowd);
        let phase = crowd.recorder.phase();
        let class = trip.origin.class;
        let note = |status: &str, reply| crowd.recorder.attempt(phase, class, status, reply);
        let sealed = trip.sealed;
        trip.attempts += 1;
        if trip.attempts > 1 {
            crowd.recorder.add(|totals| totals.retries += 1);
        }
        self.connection.open().await.inspect_err(|_| note("connect", None))?;
        crowd.claims.sent(sealed);
        let sent = Instant::now();
        let request = request(&crowd, trip);
        let answer = self.connection.send(request, crowd.manners.request).await;
        let answer = answer.inspect_err(|broken| match broken {
            Broken::Unclear(what) => note(what, None),
            Broken::Unsent => {
                crowd.claims.unsent(sealed.number);
                note("unsent", None);
            }
        })?;
        let count = sealed.events.len() as u64;
        let retry_after = answer.retry_after.as_deref();
        let verdict = reply::read(answer.status, retry_after, &answer.body, trip.origin.id, count);
        match &verdict {
            Verdict::Taken(_) => note("200", Some(sent.elapsed())),
            Verdict::Unclear => note("bad_reply", None),
            Verdict::Refused => {
                note(&answer.status.to_string(), None);
                self.refused(answer.status, &answer.body);
            }
            Verdict::Later(_) => {
                note(&answer.status.to_string(), None);
                if answer.status == 503 {
                    let told = retry_after.and_then(|text| text.trim().parse().ok());
                    crowd.recorder.refused(class, told.map(Duration::from_secs));
                }
            }
        }
        Ok(verdict)
    }

    fn taken(&self, trip: &Trip<'_>, taken: &Taken) {
        let rejected: Vec<u16> = taken.rejected.iter().map(|(index, _)| *index).collect();
        self.crowd.claims.acknowledge(trip.sealed.number, &rejected);
        self.crowd.recorder.acknowledged(trip.phase, trip.due.elapsed());
        let expected = if taken.unchecked { 0 } else { trip.sealed.filtered.len() as u64 };
        self.crowd.recorder.add(|totals| {
            totals.acknowledged += 1;
            totals.accepted += taken.accepted;
            totals.filtered += taken.filtered;
            totals.miscounted += u64::from(taken.filtered != expected);
            for (_, reason) in &taken.rejected {
                *totals.rejected.entry(reason.clone()).or_default() += 1;
            }
        });
    }

    /// The first refusal is shown, because it mostly means that the set-up is wrong.
    fn refused(&self, status: u16, body: &[u8]) {
        self.crowd.recorder.add(|totals| {
            if totals.refused.is_empty() {
                eprintln!("refused with {status}: {}", String::from_utf8_lossy(body));
            }
            *totals.refused.entry(status).or_default() += 1;
        });
    }

    /// What the gateway asks for plus full jitter over a growing span, both capped.
    fn backoff(&mut self, told: Duration, attempts: u32) -> Duration {
        let cap = self.crowd.manners.retry_max;
        let span = cap.min(RETRY_FIRST * 2_u32.saturating_pow(attempts.min(10)));
        let span_us = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        told.min(cap) + Duration::from_micros(self.random.below(span_us))
    }
}

fn request(crowd: &Crowd, trip: &Trip<'_>) -> Request<Full<bytes::Bytes>> {
    let Trip { sealed, origin, attempts, .. } = trip;
    let sent_ms = now_ms();
    let wait_ms = sent_ms.saturating_sub(crowd.plan.start_ms);
    let key = if origin.app.secret { String::new() } else { format!("key={}&", origin.app.key) };
    let class = origin.class;
    let uri =
        format!("/v1/batch?{key}class={class}&attempt={attempts}&sent={sent_ms}&wait={wait_ms}");
    let mut request = Request::post(uri)
        .header("host", "gateway.example.com")
        .header("user-agent", "tidegate-loadtest")
        .header("content-type", "application/x-ndjson")
        .header("content-encoding", "gzip");
    if origin.app.secret {
        request = request.header("authorization", format!("Bearer {}", origin.app.key));
    }
    let request = request.body(Full::new(sealed.body.clone()));
    request.expect("made of constants, numbers and keys")
}

const RETRY_FIRST: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests;
