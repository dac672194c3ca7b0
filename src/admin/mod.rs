//! The operators' listener: is it alive, can it keep its promises, what does it count.
//!
//! Liveness never depends on a broker; readiness depends on being able to make batches durable.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, watch};

/// What the pages show.
pub trait Status: Send + Sync {
    /// Whether promises can be kept, and what is wrong, as JSON.
    fn ready(&self) -> (bool, String);
    /// Metrics in Prometheus' text format.
    fn metrics(&self) -> String;
    /// Called every few seconds: histograms keep single samples until somebody folds them.
    fn tick(&self);
}

/// Open connections of operators and scrapers.
const CONNECTIONS_MAX: usize = 64;
/// How often samples are folded, whether or not anybody reads the metrics.
const TICK_EVERY: Duration = Duration::from_secs(5);
/// How long a head may take.
const HEAD_MS: u64 = 10_000;

/// Serves until `stopping` and a little longer, so that a probe still sees "not ready".
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
            let answer = answer(&request, &*status);
            async move { Ok::<_, Infallible>(answer) }
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

fn answer(request: &Request<Incoming>, status: &dyn Status) -> Response<Full<Bytes>> {
    let (code, content_type, text) = match request.uri().path() {
        "/healthz" => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
        "/readyz" => {
            let (ready, text) = status.ready();
            let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (code, "application/json", text)
        }
        "/metrics" => (StatusCode::OK, "text/plain; version=0.0.4", status.metrics()),
        _ => {
            let text =
                r#"{"error":"paths here are /healthz, /readyz and /metrics","reason":"not_found"}"#;
            (StatusCode::NOT_FOUND, "application/json", text.to_owned())
        }
    };
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = code;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
