//! A socket that notices its first bytes, and when the client takes no more.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Connection;

/// The socket of a connection.
pub struct WatchedIo<T> {
    inner: T,
    connection: Connection,
    has_spoken: bool,
    is_blocked: bool,
}

impl<T> WatchedIo<T> {
    /// Watches the bytes of a connection.
    pub(super) fn new(inner: T, connection: Connection) -> Self {
        Self { inner, connection, has_spoken: false, is_blocked: false }
    }

    fn wrote<R>(&mut self, polled: Poll<R>) -> Poll<R> {
        if polled.is_pending() != self.is_blocked {
            self.is_blocked = polled.is_pending();
            self.connection.write_is_blocked(self.is_blocked);
        }
        polled
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WatchedIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        if !self.has_spoken && buffer.filled().len() > before {
            self.has_spoken = true;
            self.connection.spoke();
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WatchedIo<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.wrote(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(context);
        self.wrote(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(context, bytes);
        self.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
