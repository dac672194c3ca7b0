//! Sockets and HTTP: connections in, requests to whoever answers them, responses out.
//!
//! One listener per worker (`SO_REUSEPORT`), each with a current-thread runtime, so a request never
//! crosses threads. Must never wait without a limit, nor know what a request means, nor hold a
//! connection that the memory budget has no room for.

pub mod settings;

pub use settings::Settings;

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::watch;

use crate::model::{Budget, Charge, Part, Peer};
use crate::telemetry::metrics as names;

/// Connections waiting to be accepted, per worker.
const BACKLOG: i32 = 4_096;

/// One listener per worker, all on one address.
pub fn bind(address: SocketAddr, workers: usize) -> std::io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::with_capacity(workers);
    let mut address = address;
    for _ in 0..workers.max(1) {
        let listener = listen(address)?;
        // Port 0 becomes a port with the first listener; the others share it.
        address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(listeners)
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

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

/// Serves one listener with `answer` until `stopping`, then lets open requests finish.
pub async fn serve<A, F, B>(
    listener: TcpListener,
    settings: Settings,
    mut life: Life,
    answer: A,
) -> std::io::Result<()>
where
    A: Fn(Request<Incoming>, Peer) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors: open connections have to end first, so do not spin.
                    tracing::warn!(%error, "accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = stopped(&mut life.stopping) => break,
        };
        let Some(open) = Open::count(&life, &settings) else {
            metrics::counter!(names::CONNECTIONS_REFUSED).increment(1);
            continue;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "nodelay");
        }
        let service = {
            let answer = answer.clone();
            service_fn(move |request| {
                let answered = answer(request, Peer::from(peer.ip()));
                async move { Ok::<_, Infallible>(answered.await) }
            })
        };
        let connection = http1::Builder::new()
            // Who has sent a whole batch and hung up has sent it: else the end of the connection,
            // when it is seen in the same turn as the body, would drop the request.
            .half_close(true)
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(settings.idle_ms))
            .max_buf_size(settings.head_bytes_max)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _open = open;
            if let Err(error) = connection.await {
                tracing::debug!(%error, %peer, "connection");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(life.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were cut off after drain_ms");
    }
    Ok(())
}

/// Ends when the value turns true, or nobody is left to turn it.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    stopping.wait_for(|stopping| *stopping).await.map(drop).unwrap_or_default();
}

/// One open connection in the count.
struct Open {
    connections: Arc<AtomicU64>,
    _charge: Charge,
}

impl Open {
    fn count(life: &Life, settings: &Settings) -> Option<Self> {
        let charge = life.budget.take(Part::Connections, settings.connection_bytes())?;
        let connections = Arc::clone(&life.connections);
        let before = connections.fetch_add(1, Ordering::AcqRel);
        // Dropped at once when it is one too many.
        let open = Self { connections, _charge: charge };
        (before < settings.connections_max).then_some(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::AcqRel);
    }
}
