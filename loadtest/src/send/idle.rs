//! Connections that are open and send nothing: phones in pockets.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::connection::{connect, source};

/// How the idle ones fared.
#[derive(Debug, Default)]
pub struct Idle {
    /// How many were opened.
    pub opened: AtomicU64,
    /// How many could not be.
    pub failed: AtomicU64,
    /// How many the gateway closed while the load ran.
    pub closed: AtomicU64,
}

/// Opens `count` connections and holds them until the future is dropped.
pub async fn hold(target: SocketAddr, count: usize, idle: &Idle) {
    let mut held = Vec::with_capacity(count);
    for number in 0..count {
        // Behind the addresses of the clients that work.
        match connect(target, source(WORKERS + number)).await {
            Ok(stream) => held.push(stream),
            Err(_) => drop(idle.failed.fetch_add(1, Ordering::Relaxed)),
        }
        idle.opened.store(held.len() as u64, Ordering::Relaxed);
    }
    let mut open = tokio::task::JoinSet::new();
    for stream in held {
        // Nothing was asked, so whatever there is to read is an end.
        open.spawn(async move { stream.readable().await });
    }
    while open.join_next().await.is_some() {
        idle.closed.fetch_add(1, Ordering::Relaxed);
    }
    std::future::pending::<()>().await;
}

/// Raises the limit of open files as far as this process may, because each connection is one.
pub fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        eprintln!("the limit of open files stays as it is: {error}");
    }
}

const WORKERS: usize = 10_000;
