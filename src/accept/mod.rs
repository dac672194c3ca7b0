//! Sockets, TLS and HTTP: connections in, requests to whoever answers them, responses out.
//!
//! One listener per worker (`SO_REUSEPORT`), each with a current-thread runtime, so a request never
//! crosses threads. A connection passes, in the order of their cost: the caps, the PROXY header,
//! its address's share, the TLS handshake, HTTP. Must never wait without a limit, nor know what a
//! request means, nor hold a connection that the memory budget has no room for.

pub mod address;
mod caps;
mod clock;
mod drive;
pub mod forwarded;
mod frames;
mod hello;
mod http;
mod io;
mod listen;
pub mod networks;
pub mod proxy;
mod seen;
mod serve;
pub mod settings;
pub mod tls;

pub use address::{Address, Addresses};
pub use caps::Limits;
pub use listen::{Listener, Wanted, bind, open};
pub use networks::{Network, Networks};
pub use serve::{Front, Life, serve};
pub use settings::{ProxyProtocol, Settings};
