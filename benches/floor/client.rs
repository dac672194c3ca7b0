//! The load: keep-alive connections that send prepared requests, one after the other on each.
//!
//! In: requests and, for an open loop, a rate. Out: how long it took and the delay of each reply.
//! Any answer but a 200 is an error, because a refused batch costs less than a taken one. Runs in
//! this process, while what is measured is a child.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The clients of one server.
pub(crate) struct Client {
    runtime: Runtime,
    target: SocketAddr,
    connections: usize,
}

/// What clients saw.
pub(crate) struct Seen {
    /// From the first request to the last reply.
    pub(crate) took: Duration,
    /// From the moment at which each request was due to its reply, in microseconds.
    pub(crate) delays: Vec<u32>,
    /// When requests left, in microseconds since the first, ascending.
    pub(crate) departures: Vec<u64>,
}

/// How long a server may take until it listens.
const LISTEN: Duration = Duration::from_secs(10);
/// Until accepted connections, and the work behind the last replies, are done with.
pub(crate) const SETTLE: Duration = Duration::from_millis(20);

impl Client {
    /// Of so many connections; none is opened yet.
    pub(crate) fn new(target: SocketAddr, connections: usize) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, target, connections })
    }

    /// Opens the connections, each from an address of its own, as devices have. Their server may
    /// need a moment for them, which is not to be counted.
    pub(crate) fn connect(&self) -> anyhow::Result<Vec<TcpStream>> {
        let streams = self.runtime.block_on(async {
            let mut streams = Vec::with_capacity(self.connections);
            for number in 0..self.connections {
                streams.push(open(self.target, number).await?);
            }
            anyhow::Ok(streams)
        });
        std::thread::sleep(SETTLE);
        streams
    }

    /// Sends the requests of the range, each once: as fast as replies come, or `rate` a second.
    pub(crate) fn send(
        &self,
        streams: Vec<TcpStream>,
        requests: &Arc<[Bytes]>,
        range: Range<usize>,
        rate: Option<f64>,
    ) -> anyhow::Result<Seen> {
        let mut seen = Seen { took: Duration::ZERO, delays: Vec::new(), departures: Vec::new() };
        self.runtime.block_on(async {
            let start = Instant::now();
            let mut open = JoinSet::new();
            let next = Arc::new(AtomicUsize::new(range.start));
            for stream in streams {
                let (requests, next) = (Arc::clone(requests), Arc::clone(&next));
                let due = Due { start, first: range.start, rate };
                open.spawn(turns(stream, requests, next, range.end, due));
            }
            while let Some(done) = open.join_next().await {
                for (departure, delay) in done?? {
                    seen.departures.push(departure);
                    seen.delays.push(delay);
                }
            }
            seen.took = start.elapsed();
            seen.departures.sort_unstable();
            anyhow::Ok(())
        })?;
        Ok(seen)
    }
}

/// When a request has to leave.
struct Due {
    start: Instant,
    first: usize,
    rate: Option<f64>,
}

impl Due {
    #[expect(clippy::cast_precision_loss, reason = "thousands of requests")]
    async fn wait(&self, number: usize) -> Instant {
        let Some(rate) = self.rate else { return Instant::now() };
        let due = self.start + Duration::from_secs_f64((number - self.first) as f64 / rate);
        tokio::time::sleep_until(due).await;
        due
    }
}

async fn turns(
    stream: TcpStream,
    requests: Arc<[Bytes]>,
    next: Arc<AtomicUsize>,
    end: usize,
    due: Due,
) -> anyhow::Result<Vec<(u64, u32)>> {
    let (mut trips, mut answer) = (Vec::new(), Vec::with_capacity(4_096));
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some(request) = requests.get(..end).and_then(|all| all.get(number)) else { break };
        let moment = due.wait(number).await;
        let departure = u64::try_from(due.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        write(&stream, request).await.context("sending a request")?;
        answer.clear();
        while !is_whole(&answer)? {
            let read = read(&stream, &mut answer).await.context("reading a reply")?;
            ensure!(read > 0, "the server closed a connection");
        }
        let delay = u32::try_from(moment.elapsed().as_micros()).unwrap_or(u32::MAX);
        trips.push((departure, delay));
    }
    Ok(trips)
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn read(stream: &TcpStream, answer: &mut Vec<u8>) -> io::Result<usize> {
    let mut chunk = [0; 1_024];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut chunk) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            done => {
                answer.extend(chunk.iter().take(*done.as_ref().unwrap_or(&0)));
                return done;
            }
        }
    }
}

/// Whether a whole reply is there; anything but a 200 is an error.
fn is_whole(answer: &[u8]) -> anyhow::Result<bool> {
    let Some(head) = memchr::memmem::find(answer, b"\r\n\r\n") else { return Ok(false) };
    let text = std::str::from_utf8(&answer[..head]).context("the head of a reply")?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let length = length.context("a reply without content-length")??;
    if answer.len() < head + 4 + length {
        return Ok(false);
    }
    if !text.starts_with("HTTP/1.1 200 ") {
        bail!("refused: {}", String::from_utf8_lossy(answer));
    }
    Ok(true)
}

async fn open(target: SocketAddr, number: usize) -> anyhow::Result<TcpStream> {
    let part = |number: usize| u8::try_from(number % 250 + 1).unwrap_or(1);
    let source = Ipv4Addr::new(127, 1, part(number / 250), part(number));
    let until = Instant::now() + LISTEN;
    loop {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((source, 0)))?;
        match socket.connect(target).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) if Instant::now() > until => {
                return Err(error).with_context(|| format!("connecting to {target}"));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
