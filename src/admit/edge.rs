//! One request, from its head to its response.
//!
//! The route table says where it goes, the layers let it in, the page does the work in a task of
//! its own: a client that hangs up does not cancel what has been begun, nor what it owes for it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Method, Request, Version};
use tokio::task::JoinHandle;
use tower::Service as _;

use super::limits::{Counters, Talkers, Toll, group};
use super::respond::{self, Answer};
use super::routes::{self, Match, Place};
use super::visit::{Arrival, Refused, Visit, Working};
use super::{Door, Policy, Tasks, body, layers};
use crate::clock;
use crate::ingest::Ingest;
use crate::model::{Admitted, Peer, Refusal, Reply};
use crate::telemetry::metrics as names;

/// What answers requests, shared by all workers.
pub struct Edge {
    /// What may change while it runs.
    pub policy: Arc<ArcSwap<Policy>>,
    /// What is counted, whatever the policy is.
    pub counters: Arc<Counters>,
    /// Memory and pressure.
    pub door: Door,
    /// What is done with what gets in.
    pub ingest: Arc<Ingest>,
    /// Batches that are being worked on.
    pub tasks: Tasks,
}

/// Bytes of an unwanted body that are still read, so that the client gets to see its reply.
const DISCARD_BYTES_MAX: usize = 2 << 20;
/// Time for it.
const DISCARD_MS: u64 = 1_000;

impl Edge {
    /// Answers one request.
    pub async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Answer {
        let started = Instant::now();
        // Read once: a change must never show in the middle of a request.
        let policy = self.policy.load_full();
        let (found, route) = routes::find(request.method(), request.uri().path());
        let tunnels = *request.method() == Method::CONNECT && request.version() != Version::HTTP_2;
        let now_ns = self.counters.ns(started);
        let arrival = Arrival { request, found, peer, now_ns };
        let Ok(mut answer) = layers::stack(self, &policy).call(arrival).await;
        if tunnels {
            // Whatever follows was meant for somebody else, and is no request.
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        observe(route, &answer, started);
        answer
    }

    /// Who talks the most, who is guarded, and what was refused.
    pub fn talkers(&self) -> Talkers {
        self.counters.talkers()
    }

    /// The innermost service: whoever comes here has passed all checks.
    pub(super) async fn serve(
        &self,
        policy: &Policy,
        mut visit: Visit<'_, Incoming>,
    ) -> Result<Answer, Refused<Incoming>> {
        // A body that nobody asked for; hyper closes after one that does not end.
        if visit.place != Place::Batch {
            discard(&mut visit.body).await;
        }
        match visit.place {
            Place::Batch => self.batch(policy, visit).await,
            Place::Pixel => self.pixel(visit).await,
            Place::Document => {
                let level = self.door.signal.advice().level;
                let headers = &visit.head.headers;
                let answer = policy.document(&visit.caller.app, headers, level);
                answer.map_err(|refusal| visit.refuse(refusal))
            }
        }
    }

    /// The outcome of the layers as a reply.
    pub(super) async fn conclude(
        &self,
        outcome: Result<Answer, Refused<Incoming>>,
    ) -> Result<Answer, Infallible> {
        let Refused { refusal, found, version, waits, mut body } = match outcome {
            Ok(answer) => return Ok(answer),
            Err(refused) => refused,
        };
        let reply = self.ingest.refuse(&refusal);
        self.counters.refused(reply.reason);
        // A pixel looks the same whatever happens; its refusal is seen in the metrics alone.
        if found == Match::Place(Place::Pixel) {
            return Ok(respond::pixel());
        }
        let mut answer = respond::json(&reply);
        // What is left of a body must never be taken for the next request. HTTP/2 has no such
        // header: there the stream is reset when its body is dropped, and the others go on; but
        // many a client that is reset while it sends takes no notice of its reply.
        // Who waits to be told has sent nothing, and asking for a byte would tell it to.
        let is_kept = !(waits && version == Version::HTTP_11) && discard(&mut body).await;
        if !is_kept && version != Version::HTTP_2 {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(answer)
    }

    async fn batch(
        &self,
        policy: &Policy,
        mut visit: Visit<'_, Incoming>,
    ) -> Result<Answer, Refused<Incoming>> {
        let Visit { body, announced, charge, .. } = &mut visit;
        let read = body::read(body, *announced, &policy.settings, charge, &self.door.turns).await;
        let read = match read {
            Ok(read) => read,
            Err(refusal) => return Err(visit.refuse(refusal)),
        };
        // Only ever less: what was taken for it may have been more than came.
        visit.charge.resize(read.len() as u64);
        metrics::counter!(names::BODY_BYTES).increment(read.len() as u64);
        let reply = match self.work(visit, read, true).await {
            Ok(reply) => reply,
            Err(error) => {
                tracing::error!(%error, "a batch's task ended badly");
                self.ingest.refuse(&Refusal::NotDurable)
            }
        };
        if reply.status != 200 {
            self.counters.refused(reply.reason);
        }
        Ok(respond::json(&reply))
    }

    /// Always the same GIF; what became of the events is seen in the metrics alone.
    async fn pixel(&self, mut visit: Visit<'_, Incoming>) -> Result<Answer, Refused<Incoming>> {
        let taken = visit.query.pixel_body().and_then(|body| {
            let charge = self.door.take(body.len() as u64)?;
            Ok((body, charge))
        });
        let body = match taken {
            Ok((body, charge)) => {
                visit.charge = charge;
                body
            }
            Err(refusal) => return Err(visit.refuse(refusal)),
        };
        if let Err(error) = self.work(visit, body, false).await {
            tracing::error!(%error, "a pixel's task ended badly");
        }
        Ok(respond::pixel())
    }

    /// A task of its own, which a stop waits for, and which pays what the batch owes.
    fn work(
        &self,
        visit: Visit<'_, Incoming>,
        body: bytes::Bytes,
        promised: bool,
    ) -> JoinHandle<Reply> {
        let (open, ingest) = (self.tasks.begin(), Arc::clone(&self.ingest));
        let toll = Toll {
            counters: Arc::clone(&self.counters),
            account: Arc::clone(&visit.entry.account),
            address: group(visit.caller.address),
            at_ns: visit.now_ns,
            bytes: body.len() as u64,
        };
        let (admitted, working) = admitted(visit, body, promised);
        tokio::spawn(async move {
            let _open = (open, working);
            let reply = ingest.ingest(admitted).await;
            toll.pay(&reply);
            reply
        })
    }
}

fn admitted(
    visit: Visit<'_, Incoming>,
    body: bytes::Bytes,
    promised: bool,
) -> (Admitted, Option<Working>) {
    let admitted = Admitted {
        caller: visit.caller,
        body,
        said: visit.said,
        class: visit.query.class,
        attempt: visit.query.attempt,
        sent_ms: visit.query.sent_ms,
        wait_ms: visit.query.wait_ms,
        arrival_ms: clock::now_ms(),
        promised,
        charge: visit.charge,
    };
    (admitted, visit.working)
}

/// Reads a body to its end and forgets it; `false` when it is too long or too slow for that.
async fn discard(body: &mut Incoming) -> bool {
    if body.is_end_stream() {
        return true;
    }
    let read = async {
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            bytes += frame.data_ref().map_or(0, bytes::Bytes::len);
            if bytes > DISCARD_BYTES_MAX {
                return false;
            }
            // Nobody waits for it.
            tokio::task::yield_now().await;
        }
        true
    };
    tokio::time::timeout(Duration::from_millis(DISCARD_MS), read).await.unwrap_or(false)
}

fn observe(route: &'static str, answer: &Answer, started: Instant) {
    let status = answer.status().as_str().to_owned();
    metrics::counter!(names::REQUESTS, "route" => route, "status" => status.clone()).increment(1);
    metrics::histogram!(names::REQUEST_SECONDS, "route" => route, "status" => status)
        .record(started.elapsed().as_secs_f64());
}
