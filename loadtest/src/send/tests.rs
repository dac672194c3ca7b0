//! Clients against a small server with the gateway's manners and bad moods.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::*;
use crate::batch::fingerprint;

/// What the server saw of one batch: the bodies of its attempts, and their queries.
type Seen = Arc<Mutex<BTreeMap<u64, Vec<String>>>>;
type Mood = fn(&str, u32) -> (u16, String);

/// Serves `mood(batch id, number of the request)` until the runtime is dropped.
async fn server(mood: Mood, plan: Plan) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let seen = Seen::default();
    let given = Arc::clone(&seen);
    let requests = Arc::new(AtomicU32::new(0));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (seen, plan, requests) = (Arc::clone(&given), plan.clone(), Arc::clone(&requests));
            let service = service_fn(move |request: Request<Incoming>| {
                let (seen, plan, requests) =
                    (Arc::clone(&seen), plan.clone(), Arc::clone(&requests));
                async move {
                    let response = answer(mood, &plan, &seen, &requests, request).await;
                    Ok::<_, Infallible>(response)
                }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move { drop(connection.await) });
        }
    });
    (addr, seen)
}

async fn answer(
    mood: Mood,
    plan: &Plan,
    seen: &Seen,
    requests: &AtomicU32,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let bearer =
        request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut generator = crate::batch::Generator::new(plan.clone());
    let number = (0..200).find(|number| generator.seal(*number).body == body).unwrap();
    let line = format!("{query} {}", bearer.unwrap_or_default());
    seen.lock().unwrap().entry(fingerprint(&body)).or_default().push(line);
    let id = plan.origin(number).id.to_string();
    let (status, text) = mood(&id, requests.fetch_add(1, Ordering::Relaxed));
    let filtered = generator.seal(number).filtered.len();
    let text = text.replace("BATCH", &id).replace("\"FILTERED\"", &filtered.to_string());
    let text = text.replace("\"ACCEPTED\"", &(50 - filtered).to_string());
    Response::builder().status(status).body(Full::new(Bytes::from(text))).unwrap()
}

const GOOD: &str = r#"{"batch":"BATCH","accepted":"ACCEPTED","filtered":"FILTERED","rejected":[]}"#;

/// Sends `batches` to a server of that mood.
fn run(mood: Mood, batches: u64, manners: impl FnOnce(&mut Manners)) -> (Arc<Crowd>, Seen) {
    let plan = Plan { seed: 5, start_ms: now_ms(), batch_events: 50, instances: 8 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (target, seen) = server(mood, plan.clone()).await;
        let mut chosen = Manners {
            target,
            connections: 4,
            rate: None,
            request: Duration::from_secs(20),
            retry_max: Duration::from_millis(5),
            give_up: Duration::from_mins(1),
        };
        manners(&mut chosen);
        let feeder = Arc::new(Feeder::new(plan.clone(), batches, false, u64::MAX));
        feeder.fill();
        let recorder = Arc::new(Recorder::default());
        let claims = Claims::new(50);
        let crowd = Arc::new(Crowd { manners: chosen, plan, feeder, claims, recorder });
        send_all(Arc::clone(&crowd)).await.unwrap();
        (crowd, seen)
    })
}

fn close(crowd: Arc<Crowd>) -> (crate::claims::Ledger, crate::record::Record) {
    let crowd = Arc::into_inner(crowd).unwrap();
    (crowd.claims.close(), crowd.recorder.snapshot())
}

#[test]
fn claims_what_is_acknowledged() {
    let (crowd, seen) = run(|_, _| (200, GOOD.to_owned()), 40, |_| {});
    let (ledger, record) = close(crowd);
    assert_eq!(record.totals.acknowledged, 40);
    assert_eq!(record.totals.accepted, ledger.claimed().count() as u64);
    assert_eq!(record.totals.accepted + record.totals.filtered, 2000);
    assert_eq!(record.totals.miscounted, 0);
    assert_eq!(record.statuses(), BTreeMap::from([("200".to_owned(), 40)]));
    assert_eq!(record.stretches[0].reply.len(), 40);
    let seen = seen.lock().unwrap();
    let public = |line: &String| line.contains("key=wk_") && !line.contains("Bearer");
    let secret = |line: &String| line.ends_with("Bearer sk_backend") && !line.contains("key=");
    assert!(seen.values().flatten().all(|line| public(line) != secret(line)));
    assert!(seen.values().flatten().any(secret) && seen.values().flatten().any(public));
}

#[test]
fn retries_the_same_bytes_with_a_higher_attempt() {
    let mood: Mood = |_, request| match request % 3 {
        0 => (503, r#"{"retry_ms":1}"#.to_owned()),
        1 => (200, r#"{"hotel":"wifi"}"#.to_owned()),
        _ => (200, GOOD.to_owned()),
    };
    let (crowd, seen) = run(mood, 20, |_| {});
    let (ledger, record) = close(crowd);
    assert_eq!(record.totals.acknowledged, 20);
    assert_eq!(record.statuses()["200"], 20);
    let tries: u64 = record.statuses().values().sum();
    assert_eq!(record.totals.retries, tries - 20);
    for (_, row) in ledger.sent() {
        let lines = seen.lock().unwrap()[&row.fingerprint].clone();
        assert_eq!(lines.len(), usize::from(row.sends));
        for (attempt, line) in (1..).zip(lines) {
            assert!(line.contains(&format!("attempt={attempt}&")), "{line}");
        }
    }
    let unclear: u64 = ledger.sent().map(|(_, row)| u64::from(row.unclear)).sum();
    assert_eq!(unclear, record.statuses()["bad_reply"]);
}

#[test]
fn refusals_and_lost_causes_are_not_claimed() {
    let (crowd, _) = run(|_, _| (400, "{}".to_owned()), 3, |_| {});
    let (ledger, record) = close(crowd);
    assert_eq!((ledger.claimed().count(), record.totals.refused[&400]), (0, 3));

    let impatient = |manners: &mut Manners| manners.give_up = Duration::ZERO;
    let (crowd, _) = run(|_, _| (503, String::new()), 3, impatient);
    let (ledger, record) = close(crowd);
    assert_eq!((ledger.claimed().count(), record.totals.given_up), (0, 3));
    assert!(ledger.sent().all(|(_, row)| row.fate == Fate::GivenUp && row.unclear == 0));
}

#[test]
fn nobody_at_the_door_is_not_a_send() {
    let closed = |manners: &mut Manners| {
        manners.target.set_port(crate::ports::free().unwrap());
        manners.give_up = Duration::ZERO;
    };
    let (crowd, _) = run(|_, _| (200, GOOD.to_owned()), 3, closed);
    let (ledger, record) = close(crowd);
    assert_eq!(ledger.sent().count(), 0);
    assert_eq!(record.statuses(), BTreeMap::from([("connect".to_owned(), 3)]));
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let slow = |manners: &mut Manners| manners.rate = Some(100.0);
    let start = std::time::Instant::now();
    let (crowd, _) = run(|_, _| (200, GOOD.to_owned()), 21, slow);
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!(close(crowd).1.totals.acknowledged, 21);
}
