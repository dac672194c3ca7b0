//! Opens listeners: TCP per worker, Unix sockets, and what systemd passes on.
//!
//! In: addresses. Out: sockets that accept. Must never remove a file that is not a dead socket, nor
//! take an address over from somebody who still listens there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use listenfd::ListenFd;
use socket2::{Domain, Protocol, Socket, Type};

use super::address::Address;
use super::io::Transport;

/// Connections waiting to be accepted, per worker.
const BACKLOG: i32 = 4_096;

/// One listener per worker, all on one address.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
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

/// An address that should be listened at, and what is spoken there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where.
    pub address: Address,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Whether every connection begins with a PROXY header.
    pub proxy: bool,
}

/// A socket that is open, of one worker.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: Open,
    pub(super) tls: bool,
    pub(super) proxy: bool,
}

impl Listener {
    /// Its address, if it is a TCP one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match &self.socket {
            Open::Tcp(listener) => listener.local_addr().ok(),
            Open::Unix(_) => None,
        }
    }
}

#[derive(Debug)]
pub(super) enum Open {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Opens one address for every worker. `mode` are the permissions of Unix sockets.
pub fn open(wanted: &Wanted, workers: usize, mode: u32) -> io::Result<Vec<Vec<Listener>>> {
    let sockets = match &wanted.address {
        Address::Tcp(address) => {
            bind(*address, workers)?.into_iter().map(|one| vec![Open::Tcp(one)]).collect()
        }
        Address::Unix(path) => shared(&[Open::Unix(unix(path, mode)?)], workers)?,
        Address::Systemd => shared(&passed_on()?, workers)?,
    };
    let listener = |socket| Listener { socket, tls: wanted.tls, proxy: wanted.proxy };
    let of_worker = |sockets: Vec<Open>| sockets.into_iter().map(listener).collect();
    Ok(sockets.into_iter().map(of_worker).collect())
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A Unix socket; a file that a dead process has left there is removed.
fn unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let is_socket = std::fs::symlink_metadata(path)?.file_type().is_socket();
            let answer = UnixStream::connect(path).map_err(|error| error.kind());
            if !is_socket || !matches!(answer, Err(io::ErrorKind::ConnectionRefused)) {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        other => other?,
    };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// What systemd has opened for this process.
fn passed_on() -> io::Result<Vec<Open>> {
    let mut passed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for at in 0..passed.len() {
        let tcp = passed.take_tcp_listener(at).ok().flatten().map(Open::Tcp);
        let socket = match tcp {
            Some(socket) => Some(socket),
            None => passed.take_unix_listener(at)?.map(Open::Unix),
        };
        sockets.extend(socket);
    }
    if sockets.is_empty() {
        return Err(io::Error::other("no sockets were passed on (LISTEN_FDS, LISTEN_PID)"));
    }
    for socket in &sockets {
        match socket {
            Open::Tcp(socket) => socket.set_nonblocking(true)?,
            Open::Unix(socket) => socket.set_nonblocking(true)?,
        }
    }
    Ok(sockets)
}

/// The same sockets for every worker, where there cannot be one for each.
fn shared(sockets: &[Open], workers: usize) -> io::Result<Vec<Vec<Open>>> {
    let again = |socket: &Open| {
        Ok(match socket {
            Open::Tcp(socket) => Open::Tcp(socket.try_clone()?),
            Open::Unix(socket) => Open::Unix(socket.try_clone()?),
        })
    };
    (0..workers.max(1)).map(|_| sockets.iter().map(again).collect()).collect()
}

/// A listener that a runtime knows.
pub(super) enum Accepting {
    Tcp(tokio::net::TcpListener, Duration),
    Unix(tokio::net::UnixListener),
}

impl Accepting {
    /// Registers it. Data that is not acknowledged for `unread` ends its connection.
    pub(super) fn new(socket: Open, unread: Duration) -> io::Result<Self> {
        Ok(match socket {
            Open::Tcp(socket) => Self::Tcp(tokio::net::TcpListener::from_std(socket)?, unread),
            Open::Unix(socket) => Self::Unix(tokio::net::UnixListener::from_std(socket)?),
        })
    }

    /// The next connection, and its address: that of a Unix socket is 127.0.0.1.
    pub(super) async fn accept(&self) -> io::Result<(Transport, IpAddr)> {
        match self {
            Self::Tcp(listener, unread) => {
                let (stream, peer) = listener.accept().await?;
                let socket = socket2::SockRef::from(&stream);
                let set = stream.set_nodelay(true);
                if let Err(error) = set.and_then(|()| socket.set_tcp_user_timeout(Some(*unread))) {
                    tracing::debug!(%error, "socket options");
                }
                Ok((Transport::tcp(stream), peer.ip().to_canonical()))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Transport::unix(stream), IpAddr::V4(Ipv4Addr::LOCALHOST)))
            }
        }
    }

    pub(super) fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dead_socket_is_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("t.sock");
        let first = unix(&path, 0o600).expect("a socket");
        assert_eq!(path.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
        let taken = unix(&path, 0o600).expect_err("somebody listens");
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        unix(&path, 0o660).expect("a dead one is replaced");
        let file = dir.path().join("file");
        std::fs::write(&file, "kept").expect("a file");
        assert!(unix(&file, 0o600).is_err());
        assert_eq!(std::fs::read_to_string(&file).expect("still there"), "kept");
    }

    #[test]
    fn workers_share_one_port() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let address = Address::Tcp(any);
        let wanted = Wanted { address, tls: false, proxy: false };
        let workers = open(&wanted, 3, 0).expect("listeners");
        let ports: Vec<_> = workers.iter().flatten().filter_map(Listener::tcp).collect();
        assert!(ports.len() == 3 && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    }
}
