//! One client that asks for far more than it may, from one address, beside a crowd that does not.
//!
//! In: a gateway that limits requests per address, and how often to ask. Out: what it got, and
//! whether waiting as it was told works. Its batches hold no events, so that the judge has nothing
//! to look for; their bodies are as long as others'.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::connection::{Answer, Connection};
use super::reply::{self, Verdict};
use crate::batch::APPS;

/// How the greedy one fared.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Greedy {
    /// How long it was counted: from when its burst was used up.
    pub seconds: f64,
    /// Requests in that time.
    pub asked: u64,
    /// Those that were taken.
    pub taken: u64,
    /// Those that were refused with 429, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Anything else, by status or what broke.
    pub others: BTreeMap<String, u64>,
    /// Refusals without a time to come back at, in the body and in the header.
    pub untold: u64,
    /// How often it then waited as told, and came back.
    pub came_back: u64,
    /// How often it was taken when it did.
    pub taken_back: u64,
}

/// Asks `per_s` times a second for so many seconds; then, for a while, asks as it is told to.
pub(crate) fn ask(target: SocketAddr, per_s: u32, seconds: u64) -> anyhow::Result<Greedy> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let start = Instant::now();
        let end = start + Duration::from_secs(seconds);
        let mut clients = tokio::task::JoinSet::new();
        for number in 0..CONNECTIONS {
            let step = Duration::from_secs(1) * CONNECTIONS / per_s.max(1);
            let first = start + step * number / CONNECTIONS;
            clients.spawn(async move { flood(target, first, step, start + WARM_UP, end).await });
        }
        let counted = Duration::from_secs(seconds).saturating_sub(WARM_UP);
        let mut sum = Greedy { seconds: counted.as_secs_f64(), ..Greedy::default() };
        while let Some(one) = clients.join_next().await {
            sum.add(one?);
        }
        come_back(target, &mut sum).await?;
        Ok(sum)
    })
}

impl Greedy {
    /// Requests that were taken, per second.
    pub fn taken_per_s(&self) -> f64 {
        self.taken as f64 / self.seconds.max(f64::EPSILON)
    }

    fn add(&mut self, other: Self) {
        self.asked += other.asked;
        self.taken += other.taken;
        self.untold += other.untold;
        for (reason, count) in other.refused {
            *self.refused.entry(reason).or_default() += count;
        }
        for (what, count) in other.others {
            *self.others.entry(what).or_default() += count;
        }
    }

    fn count(&mut self, answer: Option<&Answer>) {
        self.asked += 1;
        match answer {
            Some(answer) if answer.status == 200 => self.taken += 1,
            Some(answer) if answer.status == 429 => {
                *self.refused.entry(reason(&answer.body)).or_default() += 1;
                let told = told(answer).is_some() && answer.retry_after.is_some();
                self.untold += u64::from(!told);
            }
            Some(answer) => *self.others.entry(answer.status.to_string()).or_default() += 1,
            None => *self.others.entry("broken".to_owned()).or_default() += 1,
        }
    }
}

async fn flood(
    target: SocketAddr,
    first: Instant,
    step: Duration,
    from: Instant,
    end: Instant,
) -> Greedy {
    let mut connection = Connection::new(target, GREEDY);
    let mut greedy = Greedy::default();
    let mut due = first;
    while due < end {
        tokio::time::sleep_until(due).await;
        let answer = exchange(&mut connection).await;
        if due >= from {
            greedy.count(answer.as_ref());
        }
        // Whoever is behind asks at once, but never for what is long past.
        due = (due + step).max(Instant::now().checked_sub(step).unwrap_or(due));
    }
    greedy
}

/// Is refused, waits for exactly as long as it is told, and asks again; many times.
async fn come_back(target: SocketAddr, greedy: &mut Greedy) -> anyhow::Result<()> {
    let mut connection = Connection::new(target, GREEDY);
    for _ in 0..COME_BACK {
        let mut wait = None;
        for _ in 0..UNTIL_REFUSED {
            let answer = exchange(&mut connection).await.context("the gateway is gone")?;
            if answer.status == 429 {
                wait = told(&answer);
                break;
            }
        }
        let Some(wait) = wait else { bail!("{UNTIL_REFUSED} requests in a row were not refused") };
        tokio::time::sleep(wait).await;
        let answer = exchange(&mut connection).await;
        greedy.came_back += 1;
        greedy.taken_back += u64::from(answer.is_some_and(|answer| answer.status == 200));
    }
    Ok(())
}

async fn exchange(connection: &mut Connection) -> Option<Answer> {
    connection.open().await.ok()?;
    connection.send(request(), PATIENCE).await.ok()
}

fn request() -> Request<Full<Bytes>> {
    let batch = Uuid::now_v7();
    let padding = "x".repeat(PADDING_BYTES);
    let body = format!(
        "{{\"tidegate\":1,\"batch\":\"{batch}\",\"count\":0,\"context\":{{\"pad\":\"{padding}\"}}}}\n"
    );
    let request = Request::post(format!("/v1/batch?key={}&class=1", APPS[0].key))
        .header("host", "gateway.example.com")
        .header("user-agent", "tidegate-loadtest-greedy")
        .body(Full::new(Bytes::from(body)));
    request.expect("made of constants and an id")
}

/// The wait of the body alone: the header's whole seconds are never shorter.
fn told(answer: &Answer) -> Option<Duration> {
    match reply::read(answer.status, None, &answer.body, Uuid::nil(), 0) {
        Verdict::Later(wait) if !wait.is_zero() => Some(wait),
        _ => None,
    }
}

fn reason(body: &[u8]) -> String {
    let said: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    said["reason"].as_str().unwrap_or("none").to_owned()
}

/// Its address lies behind those of the others.
const GREEDY: usize = 40_000;
/// Connections that it asks over.
const CONNECTIONS: u32 = 8;
/// What a burst is used up in.
const WARM_UP: Duration = Duration::from_secs(2);
const COME_BACK: u32 = 25;
/// A burst has an end.
const UNTIL_REFUSED: u32 = 10_000;
const PATIENCE: Duration = Duration::from_secs(10);
const PADDING_BYTES: usize = 3_500;
