//! A connection whose peer is given up when it takes next to nothing for too long, as on a shard.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::Slot;

/// A peer that takes less than this while it is waited for takes next to nothing.
const PROGRESS_BYTES: usize = 16 * 1024;

/// The connection.
#[derive(Debug)]
pub(super) struct Impatient {
    stream: TcpStream,
    stall: Duration,
    /// Set while the peer does not take everything: until when it may go on like this, and what it
    /// has taken since.
    waiting: Option<(Pin<Box<Sleep>>, usize)>,
    slot: Slot,
}

impl Impatient {
    pub(super) const fn new(stream: TcpStream, stall: Duration, slot: Slot) -> Self {
        Self {
            stream,
            stall,
            waiting: None,
            slot,
        }
    }

    /// What a write of so many bytes came to.
    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        offered: usize,
        wrote: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match &wrote {
            Poll::Ready(Ok(written)) => match &mut self.waiting {
                Some((_, taken)) if *written < offered && *taken + written < PROGRESS_BYTES => {
                    *taken += written;
                }
                _ => self.waiting = None,
            },
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                let stall = self.stall;
                let (deadline, _) = self
                    .waiting
                    .get_or_insert_with(|| (Box::pin(sleep(stall)), 0));
                ready!(deadline.as_mut().poll(cx));
                self.slot.note_stop();
                // It will not read what the system still holds for it.
                let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
                return Poll::Ready(Err(ErrorKind::TimedOut.into()));
            }
        }
        wrote
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judge(cx, buf.len(), wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        let offered = bufs.iter().map(|buf| buf.len()).sum();
        self.judge(cx, offered, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
