//! The bytes of a connection on their way to HTTP, with a look at them in passing.
//!
//! In: a socket, plain or under TLS. Out: the same bytes, and in [`Seen`] what happened: that
//! something was read, that the other side does not take what is written. Must never change a byte.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::frames::Frames;
use super::seen::Seen;

/// A socket of either sort, and what was read of it too early.
pub(super) struct Transport {
    socket: Socket,
    ahead: Bytes,
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Transport {
    pub(super) fn tcp(stream: TcpStream) -> Self {
        Self { socket: Socket::Tcp(stream), ahead: Bytes::new() }
    }

    pub(super) fn unix(stream: UnixStream) -> Self {
        Self { socket: Socket::Unix(stream), ahead: Bytes::new() }
    }

    /// Reads a little, beside the usual way.
    pub(super) async fn read_some(&mut self, to: &mut Vec<u8>) -> io::Result<usize> {
        match &mut self.socket {
            Socket::Tcp(stream) => stream.read_buf(to).await,
            Socket::Unix(stream) => stream.read_buf(to).await,
        }
    }

    /// Puts back what belongs to whoever reads next.
    pub(super) fn put_back(&mut self, bytes: Bytes) {
        self.ahead = bytes;
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let bytes = self.ahead.len().min(to.remaining());
            to.put_slice(self.ahead.get(..bytes).unwrap_or_default());
            self.ahead.advance(bytes);
            return Poll::Ready(Ok(()));
        }
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, to),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, to),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A stream that is looked at.
pub(super) struct Watched<S> {
    stream: S,
    seen: Arc<Seen>,
    /// With HTTP/2, the frames that come.
    frames: Option<Frames>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, seen: Arc<Seen>, frames: Option<Frames>) -> Self {
        Self { stream, seen, frames }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = &mut *self;
        let before = to.filled().len();
        ready!(Pin::new(&mut me.stream).poll_read(cx, to))?;
        let new = to.filled().get(before..).unwrap_or_default();
        if !new.is_empty() {
            me.seen.read();
        }
        if let Some(frames) = &mut me.frames
            && frames.look(new, &me.seen).is_err()
        {
            me.seen.flooded();
            return Poll::Ready(Err(io::Error::other("a flood of control frames")));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if written.is_pending() {
            self.seen.stuck();
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        if written.is_pending() {
            self.seen.stuck();
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// HTTP flushes when all that it had to say has been written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_pending() {
            self.seen.stuck();
        } else {
            self.seen.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        if shut.is_pending() {
            self.seen.stuck();
        }
        shut
    }
}
