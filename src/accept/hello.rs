//! Reads a PROXY header off a connection.
//!
//! In: a connection from a trusted network. Out: whom it speaks for; what stands behind the header
//! is put back. Must never wait longer, nor read more, than the header may have.

use std::net::IpAddr;
use std::time::Duration;

use bytes::{Buf as _, Bytes};

use super::io::Transport;
use super::proxy;

/// Why nobody is spoken for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// No valid header.
    #[error(transparent)]
    Header(#[from] proxy::Error),
    /// The connection broke off inside of it.
    #[error("the connection ended before its PROXY header")]
    Ended,
    /// The system's.
    #[error(transparent)]
    System(#[from] std::io::Error),
    /// Not in time.
    #[error("no PROXY header within {0:?}")]
    Late(Duration),
}

/// The client's address, if the proxy knows it.
pub(super) async fn source(
    transport: &mut Transport,
    limit: Duration,
) -> Result<Option<IpAddr>, Error> {
    tokio::time::timeout(limit, read(transport)).await.unwrap_or(Err(Error::Late(limit)))
}

async fn read(transport: &mut Transport) -> Result<Option<IpAddr>, Error> {
    // Never more than its capacity is read, and a header that fills it is refused.
    let mut bytes = Vec::with_capacity(proxy::BYTES_MAX);
    loop {
        if bytes.len() == bytes.capacity() {
            return Err(proxy::Error::TooLong.into());
        }
        if transport.read_some(&mut bytes).await? == 0 {
            return Err(Error::Ended);
        }
        if let Some(source) = proxy::parse(&bytes)? {
            let mut rest = Bytes::from(bytes);
            rest.advance(source.bytes);
            transport.put_back(rest);
            return Ok(source.address);
        }
    }
}
