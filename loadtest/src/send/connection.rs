//! One keep-alive HTTP/1.1 connection from an address of its own, as every phone has one.
//!
//! Addresses are taken from 127.1.0.0/16, so that limits per address see a crowd and not one
//! client. Must tell a request that never left from one whose fate is unknown.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::RETRY_AFTER;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};

/// A connection that is opened again when it broke.
#[derive(Debug)]
pub(super) struct Connection {
    target: SocketAddr,
    source: Ipv4Addr,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// A whole HTTP answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: Bytes,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// Not one byte of the request left.
    Unsent,
    /// It may have been taken; the word says what happened.
    Unclear(&'static str),
}

impl Connection {
    /// The `number`th client of `target`; connects when it is first needed.
    pub(super) fn new(target: SocketAddr, number: usize) -> Self {
        Self { target, source: source(number), sender: None }
    }

    /// Connects if there is no open connection.
    pub(super) async fn open(&mut self) -> Result<(), Broken> {
        if let Some(sender) = &mut self.sender
            && sender.ready().await.is_ok()
        {
            return Ok(());
        }
        self.sender = None;
        let stream = connect(self.target, self.source).await.map_err(|_| Broken::Unsent)?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|_| Broken::Unsent)?;
        // Its errors come back with the request that they hit.
        tokio::spawn(async move { drop(connection.await) });
        self.sender = Some(sender);
        Ok(())
    }

    /// Sends a request over the open connection; gives up on both after `limit`.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<Answer, Broken> {
        let Some(mut sender) = self.sender.take() else { return Err(Broken::Unsent) };
        let exchange = async {
            let response = sender.try_send_request(request).await.map_err(|mut error| {
                let unsent = error.take_message().is_some();
                if unsent { Broken::Unsent } else { Broken::Unclear("broken") }
            })?;
            let status = response.status().as_u16();
            let retry_after = response.headers().get(RETRY_AFTER);
            let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|_| Broken::Unclear("broken"))?.to_bytes();
            Ok(Answer { status, retry_after, body })
        };
        let answer = tokio::time::timeout(limit, exchange).await;
        let answer = answer.unwrap_or(Err(Broken::Unclear("timeout")))?;
        self.sender = Some(sender);
        Ok(answer)
    }
}

/// Opens a TCP connection from a given address.
pub(crate) async fn connect(target: SocketAddr, source: Ipv4Addr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    let connect = socket.connect(target);
    let stream = tokio::time::timeout(CONNECT, connect).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The address of the `number`th client; they repeat after 62,500.
pub(crate) fn source(number: usize) -> Ipv4Addr {
    let part = |number: usize| u8::try_from(number % 250).unwrap_or_default() + 1;
    Ipv4Addr::new(127, 1, part(number / 250), part(number))
}

const CONNECT: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 1 << 20;
