//! A well-behaved client: a few connections that send a small batch at fixed times, from addresses
//! of their own, and note how long each answer took, counted from when it should have been sent.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use super::bombs::request;
use super::tls;
use crate::send::connect;

/// Connections, each with an address of its own.
const CONNECTIONS: u8 = 4;
/// Between two batches of one connection.
const EVERY: Duration = Duration::from_millis(20);
/// When an answer counts as none.
const PATIENCE: Duration = Duration::from_secs(10);
/// Events of a batch.
const EVENTS: usize = 20;

/// The client, at work until it is dropped.
pub struct Calm {
    done: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Sample>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// One exchange.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    took: Duration,
    /// 0 when there was no answer.
    status: u16,
}

/// What it saw within some time.
#[derive(Debug, Clone)]
pub struct Felt {
    /// Answers 200.
    pub good: usize,
    /// Other answers.
    pub refused: usize,
    /// Connections that broke, and answers that did not come.
    pub broken: usize,
    /// Milliseconds of the answers 200.
    pub p50_ms: f64,
    /// The same.
    pub p99_ms: f64,
    /// The same.
    pub max_ms: f64,
}

impl Calm {
    /// Begins to send to `target` (address, path with its query).
    pub fn start(
        address: SocketAddr,
        target: &str,
        tls: Option<Arc<ClientConfig>>,
    ) -> anyhow::Result<Self> {
        let (done, seen) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let events = "{\"type\":\"calm\",\"props\":{\"path\":\"/home\",\"n\":1}}\n".repeat(EVENTS);
        let bytes: Arc<[u8]> = request(target, "", events.as_bytes()).into();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = {
            let (done, seen) = (Arc::clone(&done), Arc::clone(&seen));
            std::thread::spawn(move || {
                runtime.block_on(async {
                    let mut tasks = tokio::task::JoinSet::new();
                    for number in 0..CONNECTIONS {
                        let (done, seen) = (Arc::clone(&done), Arc::clone(&seen));
                        let bytes = Arc::clone(&bytes);
                        let source = Ipv4Addr::new(127, 9, 9, number + 1);
                        let way = Way { address, source, tls: tls.clone() };
                        tasks.spawn(async move { one(&way, &bytes, &done, &seen).await });
                    }
                    while tasks.join_next().await.is_some() {}
                });
            })
        };
        Ok(Self { done, seen, thread: Some(thread) })
    }

    /// What it saw between two moments.
    pub fn between(&self, from: Instant, to: Instant) -> Felt {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut felt =
            Felt { good: 0, refused: 0, broken: 0, p50_ms: 0.0, p99_ms: 0.0, max_ms: 0.0 };
        let mut histogram: Histogram<u64> = Histogram::new_with_bounds(1, 60_000_000, 3)
            .unwrap_or_else(|_| unreachable!("bounds that are allowed"));
        for sample in seen.iter().filter(|sample| (from..to).contains(&sample.at)) {
            match sample.status {
                200 => {
                    felt.good += 1;
                    histogram.saturating_record(
                        u64::try_from(sample.took.as_micros()).unwrap_or(u64::MAX),
                    );
                }
                0 => felt.broken += 1,
                _ => felt.refused += 1,
            }
        }
        let ms = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        (felt.p50_ms, felt.p99_ms, felt.max_ms) = (ms(0.5), ms(0.99), histogram.max() as f64 / 1e3);
        felt
    }
}

impl Drop for Calm {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the calm client did not end well");
        }
    }
}

/// How one connection gets to the gateway.
struct Way {
    address: SocketAddr,
    source: Ipv4Addr,
    tls: Option<Arc<ClientConfig>>,
}

/// A connection, with TLS or without.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

impl Way {
    async fn open(&self) -> std::io::Result<Box<dyn Wire>> {
        let stream = connect(self.address, self.source).await?;
        let Some(config) = &self.tls else { return Ok(Box::new(stream)) };
        let name = tls::name().map_err(std::io::Error::other)?;
        Ok(Box::new(TlsConnector::from(Arc::clone(config)).connect(name, stream).await?))
    }
}

async fn one(way: &Way, bytes: &[u8], done: &AtomicBool, seen: &Mutex<Vec<Sample>>) {
    let mut ticks = tokio::time::interval(EVERY);
    let mut open: Option<Box<dyn Wire>> = None;
    while !done.load(Ordering::Acquire) {
        // Late ticks come at once, so that what one slow answer delays is counted as well.
        let due = ticks.tick().await.into_std();
        let exchange = async {
            let mut stream = match open.take() {
                Some(stream) => stream,
                None => way.open().await?,
            };
            stream.write_all(bytes).await?;
            stream.flush().await?;
            let status = read(&mut stream).await?;
            Ok::<_, std::io::Error>((stream, status))
        };
        let status = match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(Ok((stream, status))) => {
                open = (status == 200).then_some(stream);
                status
            }
            Ok(Err(_)) | Err(_) => 0,
        };
        let sample = Sample { at: due, took: due.elapsed(), status };
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
    }
}

/// Reads one small answer; gives its status.
async fn read(stream: &mut Box<dyn Wire>) -> std::io::Result<u16> {
    let mut answer = Vec::with_capacity(1_024);
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        if body.len() >= length.unwrap_or(0) {
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
            return status.ok_or_else(|| std::io::Error::other("no status line"));
        }
    }
}
