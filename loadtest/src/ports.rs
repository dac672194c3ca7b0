//! Free TCP ports for servers that must keep theirs over a restart.
//!
//! They lie below the range from which the kernel takes source ports: a client that connects to a
//! server that is down could otherwise be given the very port, connect to itself and keep it.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{LazyLock, Mutex, PoisonError};

/// A port on which nobody listens now and which this process has not handed out before.
pub fn free() -> io::Result<u16> {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    // Processes begin at different places, so that they rarely try the same ports.
    let start = std::process::id().wrapping_mul(7919) % u32::from(LAST - FIRST);
    let start = u16::try_from(start).unwrap_or_default();
    for step in 0..LAST - FIRST {
        let port = FIRST + (start + step) % (LAST - FIRST);
        if !taken.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            taken.insert(port);
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, format!("no free port from {FIRST} to {LAST}")))
}

const FIRST: u16 = 15_000;
const LAST: u16 = 32_000;

static TAKEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_hands_out_a_port_twice() {
        let ports: HashSet<u16> = (0..50).map(|_| free().unwrap()).collect();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| (FIRST..LAST).contains(port)));
    }
}
