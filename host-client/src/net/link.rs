//! One TCP connection: bytes in, packets out.

use super::{greeting::GREETING_BYTES_MAX, outgoing::Outgoing};
use crate::{events::Counts, participant::Participant};
use std::{
    io,
    time::{Duration, Instant},
};
use talkspurt_core::time::Instant as CoreInstant;
use tokio::{
    io::{AsyncWriteExt as _, Interest},
    net::TcpStream,
    task::yield_now,
    time::timeout,
};

/// How long closing may take: the last packets, and what the server still sends.
pub(super) const CLOSE_PATIENCE: Duration = Duration::from_secs(1);
/// Bytes read at a time.
pub(super) const READ_BYTES: usize = 16 * 1024;
/// Most bytes read and discarded while closing: a full room's roster is 0.04 MB and a second of
/// voice as much; the rest is what the buffers of a stalled connection hold. A server that sends
/// more has not read our Bye, or ignores it.
const CLOSE_READ_BYTES_MAX: u64 = 1024 * 1024;

/// An open connection.
pub(super) struct Link {
    stream: TcpStream,
    outgoing: Outgoing,
    /// When the server let us in.
    pub(super) welcomed_at: Option<Instant>,
    bytes_received: u64,
    /// The first bytes received.
    greeting: Vec<u8>,
}

impl Link {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            outgoing: Outgoing::default(),
            welcomed_at: None,
            bytes_received: 0,
            greeting: Vec::new(),
        }
    }

    /// Returns the first bytes received, some tens of them.
    pub(super) fn greeting(&self) -> &[u8] {
        &self.greeting
    }

    /// Waits until the socket is readable, or writable if a packet waits.
    pub(super) async fn ready(&self) {
        let interest = match self.outgoing.waits() {
            false => Interest::READABLE,
            true => Interest::READABLE | Interest::WRITABLE,
        };
        // The next read returns the same error.
        let _ = self.stream.ready(interest).await;
    }

    /// Reads what has arrived; empty when the other side has closed.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has arrived.
    pub(super) fn read<'a>(&mut self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let count = loop {
            match self.stream.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.bytes_received += count as u64;
        let missing = GREETING_BYTES_MAX - self.greeting.len();
        self.greeting.extend(&buffer[..count.min(missing)]);
        Ok(&buffer[..count])
    }

    /// Writes the participant's packets, as far as the socket takes them.
    pub(super) fn transmit(
        &mut self,
        now: CoreInstant,
        participant: &mut Participant,
    ) -> io::Result<()> {
        let next = |out: &mut [u8]| participant.poll_transmit(now, out);
        let write = |bytes: &[u8]| self.stream.try_write(bytes);
        self.outgoing.flush(now, next, write)
    }

    /// Returns since when the socket has taken nothing of a waiting packet.
    pub(super) fn stuck_since(&self) -> Option<CoreInstant> {
        self.outgoing.stuck_since()
    }

    /// Writes all the participant's packets until its session is over, then closes. Stops earlier
    /// if that takes longer than `patience` or too much is received meanwhile. `clock` gives the
    /// participant's time.
    pub(super) async fn close(
        &mut self,
        patience: Duration,
        participant: &mut Participant,
        clock: impl Fn() -> CoreInstant,
    ) {
        let all = async {
            self.transmit(clock(), participant)?;
            while self.outgoing.waits() {
                self.stream.writable().await?;
                self.transmit(clock(), participant)?;
            }
            self.end_stream().await
        };
        match timeout(patience, all).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the connection broke while closing"),
            Err(_) => tracing::debug!("the server did not take the last packets in time"),
        }
    }

    /// Closes a connection whose session is over, and so are its packets.
    pub(super) async fn hang_up(mut self: Box<Self>) {
        // Whatever goes wrong, it is closed then.
        let _ = timeout(CLOSE_PATIENCE, self.end_stream()).await;
    }

    /// Ends the stream to the server, and discards what comes until the server has ended its own.
    /// Closing a socket with unread bytes resets the connection, and a Bye might be lost.
    async fn end_stream(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let enough = self.bytes_received + CLOSE_READ_BYTES_MAX;
        while self.discard()? && self.bytes_received < enough {
            // The timeout is checked only when this task waits, and a socket that always has data
            // never makes it wait.
            yield_now().await;
            self.stream.readable().await?;
        }
        Ok(())
    }

    /// Reads and discards. Returns false when the other side has closed.
    fn discard(&mut self) -> io::Result<bool> {
        match self.read(&mut [0; READ_BYTES]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            result => Ok(!result?.is_empty()),
        }
    }

    /// Adds this connection's traffic to `counts`.
    pub(super) fn add_counts(&self, counts: &mut Counts) {
        counts.bytes_sent += self.outgoing.bytes_sent();
        counts.bytes_received += self.bytes_received;
    }
}

#[cfg(test)]
mod tests;
