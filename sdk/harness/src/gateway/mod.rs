//! The scripted gateway: a real HTTP server on loopback that records and misbehaves as it is told.
//!
//! In: sockets, and replies from scenarios. Out: a [`Record`] of all that came. It never reads a
//! clock: the driver tells it what time it is.

mod http;
mod record;
mod script;
mod serve;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

pub use record::{Record, Sent};
use script::Script;
pub use script::{Fault, Form, Reply, When};

/// What the connections share.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Monotonic ms since the scenario's start.
    pub(crate) now_ms: i64,
    /// Wall clock.
    pub(crate) wall_ms: i64,
    /// Replies to batches.
    pub(crate) script: Script,
    /// Replies to configuration requests.
    pub(crate) config: Script,
    /// What came.
    pub(crate) record: Record,
    /// Requests held back: when each is released.
    pub(crate) holds: Vec<(u64, Option<i64>)>,
    /// Number of the next hold.
    pub(crate) next_hold: u64,
    /// Connections that are being served.
    pub(crate) active: usize,
}

pub(crate) type Shared = Arc<Mutex<State>>;

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    state: Shared,
    address: SocketAddr,
    listener: Option<Listener>,
}

#[derive(Debug)]
struct Listener {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

/// Takes the state even if a connection's thread panicked; the scenario fails by what it recorded.
pub(crate) fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gateway {
    /// Listens on a free port of 127.0.0.1.
    pub fn start(script: &[Reply], config: &[Reply], wall_ms: i64) -> io::Result<Self> {
        let state = State {
            wall_ms,
            script: Script::new(script),
            config: Script::new(config),
            ..State::default()
        };
        let socket = TcpListener::bind("127.0.0.1:0")?;
        let address = socket.local_addr()?;
        let mut gateway = Self { state: Arc::new(Mutex::new(state)), address, listener: None };
        gateway.listen(socket)?;
        Ok(gateway)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening; requests that came in go on.
    pub fn refuse(&mut self) {
        let Some(listener) = self.listener.take() else { return };
        listener.stop.store(true, Ordering::Release);
        // Wakes it; it sees the flag before it serves anybody.
        drop(TcpStream::connect(self.address));
        drop(listener.thread.join());
    }

    /// Listens again on the same port.
    pub fn up(&mut self) -> io::Result<()> {
        if self.listener.is_some() {
            return Ok(());
        }
        self.listen(TcpListener::bind(self.address)?)
    }

    /// Sets the clocks; what is held back until then is still held.
    pub fn set_time(&self, now_ms: i64, wall_ms: i64) {
        let mut state = lock(&self.state);
        state.now_ms = now_ms;
        state.wall_ms = wall_ms;
    }

    /// Answers what was held back until now; true if there was something.
    pub fn release_due(&self) -> bool {
        let mut state = lock(&self.state);
        let (now, before) = (state.now_ms, state.holds.len());
        state.holds.retain(|(_, until)| until.is_none_or(|until| until > now));
        state.holds.len() < before
    }

    /// Answers everything that is held back.
    pub fn release(&self) {
        lock(&self.state).holds.clear();
    }

    /// How many requests are held back.
    pub fn held(&self) -> usize {
        lock(&self.state).holds.len()
    }

    /// Whether no request is under way but those held back.
    pub fn quiet(&self) -> bool {
        let state = lock(&self.state);
        state.active == state.holds.len()
    }

    /// When the next held request is to be answered.
    pub fn next_release_ms(&self) -> Option<i64> {
        lock(&self.state).holds.iter().filter_map(|(_, until)| *until).min()
    }

    /// Puts replies in front of what is left of the script.
    pub fn script(&self, replies: &[Reply]) {
        lock(&self.state).script.front(replies);
    }

    /// The same for configuration requests.
    pub fn config(&self, replies: &[Reply]) {
        lock(&self.state).config.front(replies);
    }

    /// A copy of what came.
    pub fn record(&self) -> Record {
        lock(&self.state).record.clone()
    }

    fn listen(&mut self, socket: TcpListener) -> io::Result<()> {
        let stop = Arc::new(AtomicBool::new(false));
        let (flag, state) = (Arc::clone(&stop), Arc::clone(&self.state));
        let thread = thread::Builder::new()
            .name("gateway".to_owned())
            .spawn(move || accept(&socket, &flag, &state))?;
        self.listener = Some(Listener { stop, thread });
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.refuse();
        self.release();
    }
}

/// How long a peer may be silent inside a request, in real time.
const PATIENCE: Duration = Duration::from_secs(20);

fn accept(socket: &TcpListener, stop: &AtomicBool, state: &Shared) {
    while let Ok((stream, _)) = socket.accept() {
        if stop.load(Ordering::Acquire) {
            return;
        }
        lock(state).active += 1;
        let state = Arc::clone(state);
        let served = thread::Builder::new().name("request".to_owned()).spawn({
            let state = Arc::clone(&state);
            move || {
                // An error is the peer's going away, which the record shows by what is missing.
                drop(stream.set_read_timeout(Some(PATIENCE)));
                drop(serve::serve(stream, &state));
                lock(&state).active -= 1;
            }
        });
        if served.is_err() {
            lock(&state).active -= 1;
        }
    }
}
