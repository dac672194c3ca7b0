//! The operators' listener: is it alive, can it keep its promises, what does it count, what is in
//! force; and the order to read the configuration again.
//!
//! Liveness never depends on a broker; readiness depends on being able to make batches durable.
//! Must never answer for long: whatever takes time is done by a thread of its own.

mod guard;

pub use guard::Guard;

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, oneshot, watch};

/// What the pages show.
pub trait Status: Send + Sync {
    /// Whether promises can be kept, and what is wrong, as JSON.
    fn ready(&self) -> (bool, String);
    /// Metrics in Prometheus' text format.
    fn metrics(&self) -> String;
    /// Everything on one page, as JSON, secrets masked.
    fn state(&self) -> String;
    /// Who may see what.
    fn guard(&self) -> Guard;
    /// Orders a reload; a status and JSON will come of it. `None` when too many wait.
    fn reload(&self) -> Option<oneshot::Receiver<(u16, String)>>;
    /// Called every few seconds: histograms keep single samples until somebody folds them.
    fn tick(&self);
}

/// Open connections of operators and scrapers.
const CONNECTIONS_MAX: usize = 64;
/// How often samples are folded, whether or not anybody reads the metrics.
const TICK_EVERY: Duration = Duration::from_secs(5);
/// How long a head may take.
const HEAD_MS: u64 = 10_000;
/// How long a reload is waited for.
const RELOAD_PATIENCE: Duration = Duration::from_secs(30);

/// Serves until `gone`, which comes late, so that a probe still sees "not ready".
pub async fn serve(
    listener: TcpListener,
    status: Arc<dyn Status>,
    mut gone: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut ticks = tokio::time::interval(TICK_EVERY);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "accept on the admin listener");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            _ = ticks.tick() => {
                status.tick();
                continue;
            }
            () = ended(&mut gone) => return Ok(()),
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
        let status = Arc::clone(&status);
        let service = service_fn(move |request| {
            let status = Arc::clone(&status);
            async move { Ok::<_, Infallible>(answer(&request, &*status).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(HEAD_MS))
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "admin connection");
            }
        });
    }
}

async fn ended(gone: &mut watch::Receiver<bool>) {
    gone.wait_for(|gone| *gone).await.map(drop).unwrap_or_default();
}

/// What a path is, and who may ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Health,
    Ready,
    Metrics,
    State,
    Reload,
}

/// Paths, pages, methods as `Allow` has them.
const TABLE: [(&str, Page, &str); 5] = [
    ("/healthz", Page::Health, "GET, HEAD"),
    ("/readyz", Page::Ready, "GET, HEAD"),
    ("/metrics", Page::Metrics, "GET, HEAD"),
    ("/admin/state", Page::State, "GET, HEAD"),
    ("/admin/reload", Page::Reload, "POST"),
];

type Answer = Response<Full<Bytes>>;

async fn answer(request: &Request<Incoming>, status: &dyn Status) -> Answer {
    let path = request.uri().path();
    let Some((_, page, allow)) = TABLE.iter().find(|(known, ..)| *known == path) else {
        let paths: Vec<_> = TABLE.iter().map(|(path, ..)| *path).collect();
        return refuse(404, "not_found", &format!("paths here are {}", paths.join(", ")));
    };
    if let Err(refusal) = status.guard().admits(*page, request.headers()) {
        let mut answer = refuse(refusal.status, refusal.reason, refusal.text);
        if refusal.status == 401 {
            let challenge = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        return answer;
    }
    if !is_allowed(request.method(), allow) {
        let text = format!("this path takes {allow}");
        let mut answer = refuse(405, "method_not_allowed", &text);
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        return answer;
    }
    match page {
        Page::Health => whole(200, "text/plain", "ok\n".to_owned()),
        Page::Ready => {
            let (ready, text) = status.ready();
            whole(if ready { 200 } else { 503 }, JSON, text)
        }
        Page::Metrics => whole(200, "text/plain; version=0.0.4", status.metrics()),
        Page::State => whole(200, JSON, status.state()),
        Page::Reload => reload(status).await,
    }
}

fn is_allowed(method: &Method, allow: &str) -> bool {
    allow.split(", ").any(|allowed| allowed == method.as_str())
}

async fn reload(status: &dyn Status) -> Answer {
    let Some(outcome) = status.reload() else {
        return refuse(503, "busy", "too many reloads wait already");
    };
    match tokio::time::timeout(RELOAD_PATIENCE, outcome).await {
        Ok(Ok((status, text))) => whole(status, JSON, text),
        Ok(Err(_)) => refuse(503, "stopping", "the gateway is stopping"),
        Err(_) => refuse(504, "slow", "the reload goes on; /admin/state will say how it ended"),
    }
}

const JSON: &str = "application/json";

fn refuse(status: u16, reason: &str, text: &str) -> Answer {
    // Texts are our own; none holds a quote.
    whole(status, JSON, format!("{{\"error\":\"{text}\",\"reason\":\"{reason}\"}}\n"))
}

fn whole(status: u16, content_type: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
