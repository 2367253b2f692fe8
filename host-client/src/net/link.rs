//! One TCP connection as packets in and out.

use super::{greeting::GREETING_BYTES_MAX, outbox::Outbox};
use std::{io, time::Duration};
use talkspurt_core::carrier::{
    deframer::{Deframer, Feed},
    stream::ENCODED_MAX,
};
use tokio::{
    io::{AsyncWriteExt as _, Interest},
    net::TcpStream,
    task::yield_now,
    time::timeout,
};

/// Bytes read at a time.
const READ_BYTES: usize = 16 * 1024;
/// Reads in a row before the frames that are due get their turn.
const READS_MAX: usize = 16;
/// What comes of them at most.
#[cfg(test)]
pub(super) const ROUND_BYTES_MAX: usize = READS_MAX * READ_BYTES;

/// Bytes read for nothing while closing: a full room's roster is 0.04 MB and a second of voice as much; the rest is what the
/// buffers of a stalled connection hold. A server that goes on sending beyond that has not read our Bye, or does not care.
const CLOSE_READ_BYTES_MAX: u64 = 1024 * 1024;

/// An open connection.
pub(super) struct Link {
    stream: TcpStream,
    deframer: Deframer,
    pub(super) outbox: Outbox,
    bytes_received: u64,
    /// The first bytes that came.
    greeting: Vec<u8>,
    /// Bytes since the last end of a packet.
    unfinished_bytes: usize,
}

/// What [`Link::read`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inbound<'a> {
    /// A packet, checked by its CRC.
    Packet(&'a [u8]),
    /// So many bytes were none.
    Bad(u32),
}

impl Link {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            deframer: Deframer::new(),
            outbox: Outbox::default(),
            bytes_received: 0,
            greeting: Vec::new(),
            unfinished_bytes: 0,
        }
    }

    /// The first bytes that came, some tens of them.
    pub(super) fn greeting(&self) -> &[u8] {
        &self.greeting
    }

    /// Waits until something can be read, or written if something waits to be.
    pub(super) async fn ready(&self) {
        let interest = match self.outbox.is_empty() {
            true => Interest::READABLE,
            false => Interest::READABLE | Interest::WRITABLE,
        };
        // An error shows again at the next read.
        let _ = self.stream.ready(interest).await;
    }

    /// Gives what has come to `take`. False when the other side has closed.
    pub(super) fn read(&mut self, mut take: impl FnMut(Inbound<'_>)) -> io::Result<bool> {
        let mut buffer = [0; READ_BYTES];
        for _ in 0..READS_MAX {
            let count = match self.stream.try_read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.bytes_received += count as u64;
            let missing = GREETING_BYTES_MAX - self.greeting.len();
            self.greeting.extend(&buffer[..count.min(missing)]);
            let mut rest = &buffer[..count];
            while !rest.is_empty() {
                let (feed, left) = self.deframer.feed(rest);
                let fed_bytes = rest.len() - left.len();
                rest = left;
                match feed {
                    Feed::NeedMore => {
                        self.unfinished_bytes += fed_bytes;
                        continue;
                    }
                    Feed::Packet(packet) => take(Inbound::Packet(packet)),
                    Feed::Bad { dropped_bytes, .. } => take(Inbound::Bad(dropped_bytes)),
                }
                self.unfinished_bytes = 0;
            }
            if self.unfinished_bytes > ENCODED_MAX {
                // No packet is that long: a stream that never ends one must not be read for ever.
                take(Inbound::Bad(self.unfinished_bytes as u32));
                self.unfinished_bytes = 0;
                self.deframer.reset();
            }
        }
        Ok(true)
    }

    /// Writes as much of the outbox as the socket takes.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.outbox.flush(|bytes| self.stream.try_write(bytes))
    }

    /// Writes all of the outbox and closes, unless that takes longer than `patience` or too much comes meanwhile.
    pub(super) async fn close(&mut self, patience: Duration) {
        let all = async {
            while !self.outbox.is_empty() {
                self.stream.writable().await?;
                self.flush()?;
            }
            self.stream.shutdown().await?;
            // Closing a socket with unread bytes resets the connection, and the Bye might be lost with it.
            let enough = self.bytes_received + CLOSE_READ_BYTES_MAX;
            while self.read(|_| ())? && self.bytes_received < enough {
                // The timeout is looked at only when we wait, and a socket that always has something does not make us.
                yield_now().await;
                self.stream.readable().await?;
            }
            io::Result::Ok(())
        };
        match timeout(patience, all).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the connection broke while closing"),
            Err(_) => tracing::debug!("the server did not take the last packets in time"),
        }
    }

    pub(super) fn bytes_received(&self) -> u64 {
        self.bytes_received
    }

    /// Bytes received that were no packets.
    pub(super) fn bytes_bad(&self) -> u64 {
        self.deframer.dropped_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write as _, net::TcpListener, sync::mpsc, thread};
    use talkspurt_core::endpoint::write_to_stream;
    use talkspurt_core::wire::ServerPacket;

    /// What a link makes of bytes that come in these pieces: packets, and bytes that are none.
    fn read_in_pieces<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (usize, u64) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let address = listener.local_addr().unwrap();
            let mut link = Link::new(TcpStream::connect(address).await.unwrap());
            let (mut server, _) = listener.accept().unwrap();
            let (mut packets, mut bad_bytes, mut sent) = (0, 0, 0);
            for piece in pieces {
                server.write_all(piece).unwrap();
                sent += piece.len() as u64;
                while link.bytes_received() < sent {
                    link.ready().await;
                    let take = |inbound: Inbound<'_>| match inbound {
                        Inbound::Packet(_) => packets += 1,
                        Inbound::Bad(bytes) => bad_bytes += u64::from(bytes),
                    };
                    assert!(link.read(take).unwrap());
                }
            }
            (packets, bad_bytes)
        })
    }

    #[test]
    fn packets_in_pieces_are_packets_and_garbage_is_counted_once() {
        let mut packet = [0; ENCODED_MAX];
        let len = write_to_stream(&ServerPacket::Ping(0x0102_0304), &mut packet).unwrap();
        let packet = &packet[..len];
        let halves = (0..500).flat_map(|_| [&packet[..len / 2], &packet[len / 2..]]);
        assert_eq!(read_in_pieces(halves), (500, 0));
        let garbage = [[9; 1_000].as_slice(); 10];
        let (packets, bad_bytes) = read_in_pieces(garbage.into_iter().chain([&[0][..], packet]));
        let least = 10_000 - ENCODED_MAX as u64;
        assert!((least..=10_001).contains(&bad_bytes), "{bad_bytes}");
        assert_eq!(packets, 1);
    }

    #[test]
    fn closing_ends_though_the_server_goes_on_sending() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(&[7; 64 * 1024]).is_ok() {}
        });
        let (closed, outcome) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let bytes_read = runtime.block_on(async {
                let mut link = Link::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
                link.close(Duration::from_secs(3_600)).await;
                link.bytes_received()
            });
            closed.send(bytes_read)
        });
        let bytes_read = outcome.recv_timeout(Duration::from_secs(20));
        let at_most = CLOSE_READ_BYTES_MAX + ROUND_BYTES_MAX as u64;
        assert!(
            bytes_read.is_ok_and(|bytes| bytes <= at_most),
            "{bytes_read:?}"
        );
    }
}
