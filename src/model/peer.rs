//! Who is at the other end of a connection, as far as the connection itself shows it.
//!
//! Out of sockets, TLS and trusted proxies; read by the door. Must never hold what a client merely
//! claims in its requests.

use std::net::IpAddr;
use std::sync::Arc;

/// The other end of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its address; behind a trusted proxy, that which the proxy vouches for.
    pub address: IpAddr,
    /// The subject of its verified certificate, if it had to show one.
    pub subject: Option<Arc<str>>,
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        Self { address, subject: None }
    }
}
