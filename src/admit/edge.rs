//! One request, from its head to its response.
//!
//! The route decides the place, the door lets in, the page does the work in a task of its own: a
//! client that hangs up does not cancel what has been begun.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::http::request::Parts;
use tokio::task::JoinHandle;

use super::respond::{self, Answer};
use super::routes::{self, Match, Place};
use super::{Door, Policy, Tasks, origin};
use crate::ingest::Ingest;
use crate::model::{Admitted, Peer, Refusal, Reply};
use crate::telemetry::metrics as names;

/// What answers requests, shared by all workers.
pub struct Edge {
    /// What may change while it runs.
    pub policy: Arc<ArcSwap<Policy>>,
    /// Who gets in.
    pub door: Door,
    /// What is done with it.
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
        let (head, body) = request.into_parts();
        let (found, route) = routes::find(&head.method, head.uri.path());
        let mut answer = match found {
            Match::Place(Place::Batch) => self.batch(&policy, &head, body, &peer).await,
            Match::Place(Place::Pixel) => self.pixel(&policy, &head, &peer).await,
            Match::Place(Place::Document) => self.document(&policy, &head, &peer),
            Match::Preflight(methods) => {
                let mut answer = respond::empty(204);
                origin::preflight(&head.headers, methods, answer.headers_mut());
                answer
            }
            Match::Method(allow) => self.refuse_unread(&Refusal::Method(allow), body).await,
            Match::Nothing => self.refuse_unread(&Refusal::NotFound, body).await,
        };
        origin::mirror(&head.headers, answer.headers_mut());
        observe(route, &answer, started);
        answer
    }

    async fn batch(
        &self,
        policy: &Policy,
        head: &Parts,
        mut body: Incoming,
        peer: &Peer,
    ) -> Answer {
        let admitted = match self.door.batch(policy, head, &mut body, peer.address).await {
            Ok(admitted) => admitted,
            Err(refusal) => return self.refuse_unread(&refusal, body).await,
        };
        metrics::counter!(names::BODY_BYTES).increment(admitted.body.len() as u64);
        let work = self.work(admitted);
        match work.await {
            Ok(reply) => respond::json(&reply),
            Err(error) => {
                tracing::error!(%error, "a batch's task ended badly");
                respond::json(&self.ingest.refuse(&Refusal::NotDurable))
            }
        }
    }

    /// Always the same GIF; what became of the events is seen in the metrics alone.
    async fn pixel(&self, policy: &Policy, head: &Parts, peer: &Peer) -> Answer {
        match self.door.pixel(policy, head, peer.address) {
            Ok(admitted) => {
                let work = self.work(admitted);
                if let Err(error) = work.await {
                    tracing::error!(%error, "a pixel's task ended badly");
                }
            }
            Err(refusal) => drop(self.ingest.refuse(&refusal)),
        }
        respond::pixel()
    }

    /// A task of its own, which a stop waits for.
    fn work(&self, admitted: Admitted) -> JoinHandle<Reply> {
        let (open, ingest) = (self.tasks.begin(), Arc::clone(&self.ingest));
        tokio::spawn(async move {
            let _open = open;
            ingest.ingest(admitted).await
        })
    }

    fn document(&self, policy: &Policy, head: &Parts, peer: &Peer) -> Answer {
        let level = self.door.signal.advice().level;
        policy
            .document(head, peer.address, level)
            .unwrap_or_else(|refusal| respond::json(&self.ingest.refuse(&refusal)))
    }

    /// Refuses, and closes the connection unless the body has been read to its end: what is left of
    /// it must never be taken for the next request.
    async fn refuse_unread(&self, refusal: &Refusal, body: Incoming) -> Answer {
        let mut answer = respond::json(&self.ingest.refuse(refusal));
        if !discard(body).await {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

/// Reads a body to its end and forgets it; `false` when it is too long or too slow for that.
async fn discard(mut body: Incoming) -> bool {
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
