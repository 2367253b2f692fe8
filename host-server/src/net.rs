//! The only sockets of the voice side: listening, reading, writing, closing.
//!
//! Each connection has a task, and all of them read into one shared buffer. Output is written
//! straight into the socket by the code that made it, so that a tick wakes no task to send a
//! packet. Only when a socket would not take a packet does its task wait until it does.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::SockRef;
use talkspurt_host_kit::socket::{SendLimits, tune};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

pub use listen::{Acceptor, BindError, bind, canonical, describe};

mod listen;

/// About half a second of PCM16 voice under way, so that a stalled listener does not hear seconds
/// of old voice later, and six packets that wait.
const SEND_LIMITS: SendLimits = SendLimits {
    buffer_bytes: 16 * 1024,
    unsent_bytes: 4 * 1024,
};
/// The most packets in one write: a write of 16 costs little more than a write of one.
const SLICES_MAX: usize = 16;
/// How long a connection is still read once its sending direction is shut, as the protocol asks of
/// both sides, and for how many bytes at most: three times what a session may say at once. (Unread
/// bytes at closing make the kernel reset the connection, which discards what was sent.)
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: u64 = 1 << 20;

/// The writing half of one connection, and what its task has to do.
#[derive(Debug)]
pub struct Socket {
    peer: SocketAddr,
    writer: OwnedWriteHalf,
    state: Cell<State>,
    task: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The kernel would not take more, and the task waits until it does.
    Blocked,
    /// Nothing more will be sent, and the task ends.
    Closed,
}

impl Socket {
    /// Splits a fresh connection into its writing and its reading half.
    pub fn new(stream: TcpStream, peer: SocketAddr) -> io::Result<(Self, OwnedReadHalf)> {
        tune(&stream, SEND_LIMITS)?;
        let (reader, writer) = stream.into_split();
        Ok((
            Self {
                peer,
                writer,
                state: Cell::new(State::Open),
                task: RefCell::new(None),
            },
            reader,
        ))
    }

    /// Returns the peer's address.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Writes packets, in one write, as far as the kernel takes them. Returns how many bytes it
    /// took: with 0 the task waits until it takes more, with `None` the connection is broken, and
    /// its task ends.
    pub fn write<'a>(&self, packets: impl Iterator<Item = &'a [u8]>) -> Option<usize> {
        match self.state.get() {
            State::Open => {}
            State::Blocked => return Some(0),
            State::Closed => return None,
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut filled = 0;
        for (slot, packet) in slices.iter_mut().zip(packets) {
            *slot = IoSlice::new(packet);
            filled += 1;
        }
        let written = match &slices[..filled] {
            // As is nearly always the case with voice.
            [packet] => self.writer.try_write(packet),
            packets => self.writer.try_write_vectored(packets),
        };
        match written {
            Ok(count) => Some(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.hand_to_task(State::Blocked);
                Some(0)
            }
            Err(_) => {
                self.hand_to_task(State::Closed);
                None
            }
        }
    }

    /// Waits until the connection needs its task. Returns `true` when the kernel takes output
    /// again, `false` at the end.
    fn poll_task(&self, cx: &mut Context<'_>) -> Poll<bool> {
        match &mut *self.task.borrow_mut() {
            Some(task) => task.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        match self.state.get() {
            State::Open => Poll::Pending,
            State::Closed => Poll::Ready(false),
            State::Blocked => self.writer.as_ref().poll_write_ready(cx).map(|_| {
                // Any error will show when the write is tried.
                self.state.set(State::Open);
                true
            }),
        }
    }

    fn hand_to_task(&self, state: State) {
        self.state.set(state);
        if let Some(task) = self.task.borrow_mut().take() {
            task.wake();
        }
    }

    /// Ends the connection and its task. `unsent`: the peer did not take everything sent to it.
    pub fn close(&self, unsent: bool) {
        let socket = SockRef::from(self.writer.as_ref());
        // An error means that it is already closed.
        if unsent {
            // The peer does not read: without this the kernel would keep its buffers for minutes.
            let _ = socket.set_linger(Some(Duration::ZERO));
        } else {
            let _ = socket.shutdown(Shutdown::Write);
        }
        self.hand_to_task(State::Closed);
    }
}

/// What a connection's task has to handle.
pub enum Incoming {
    /// This many bytes were read into the buffer.
    Bytes(usize),
    /// The kernel takes output again.
    Writable,
    /// The peer has closed the connection, or it failed.
    ClosedByPeer,
    /// The hub has closed it.
    ClosedByUs,
}

/// Waits for whatever happens next on a connection. `buffer` is borrowed only while bytes are read,
/// so that all connections share it.
pub fn poll_incoming(
    socket: &Socket,
    reader: &mut OwnedReadHalf,
    buffer: &mut [u8],
    cx: &mut Context<'_>,
) -> Poll<Incoming> {
    match socket.poll_task(cx) {
        Poll::Ready(true) => return Poll::Ready(Incoming::Writable),
        Poll::Ready(false) => return Poll::Ready(Incoming::ClosedByUs),
        Poll::Pending => {}
    }
    let mut read = ReadBuf::new(buffer);
    // Not `try_read`: this method knows that a half-filled buffer means that nothing is left, which
    // saves a system call a packet.
    match Pin::new(reader).poll_read(cx, &mut read) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Ok(())) if !read.filled().is_empty() => {
            Poll::Ready(Incoming::Bytes(read.filled().len()))
        }
        Poll::Ready(_) => Poll::Ready(Incoming::ClosedByPeer),
    }
}

/// Reads and discards until the peer has closed, too, or its time is up.
pub async fn linger(reader: OwnedReadHalf) {
    let discard = async {
        let (mut some, mut nowhere) = (reader.take(LINGER_BYTES_MAX), tokio::io::sink());
        if let Ok(LINGER_BYTES_MAX) = tokio::io::copy(&mut some, &mut nowhere).await {
            // The rest stays with the kernel: reading it would take time from the rooms.
            std::future::pending().await
        }
    };
    // Either way the connection has ended.
    let _ = tokio::time::timeout(LINGER, discard).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection, from both ends.
    async fn connection() -> (TcpStream, TcpStream, SocketAddr) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        let (stream, peer) = accepted.unwrap();
        (client.unwrap(), stream, peer)
    }

    #[tokio::test]
    async fn a_connection_is_read_until_its_peer_closes_or_a_second_has_passed() {
        use tokio::io::AsyncWriteExt;
        for (bytes, closes) in [
            (0, true),
            (100_000, true),
            (100_000, false),
            (LINGER_BYTES_MAX as usize + 1, false),
        ] {
            let (mut client, stream, _) = connection().await;
            let (reader, _writer) = stream.into_split();
            let sending = async {
                client.write_all(&vec![7; bytes]).await.unwrap();
                (!closes).then_some(client)
            };
            let began = tokio::time::Instant::now();
            let (_client, ()) = tokio::join!(sending, linger(reader));
            let lingers = began.elapsed() >= Duration::from_secs(1);
            assert_eq!(lingers, !closes, "{bytes} bytes");
        }
    }

    #[tokio::test]
    async fn a_write_takes_sixteen_packets_at_most_and_nothing_while_the_kernel_takes_nothing() {
        let (client, stream, peer) = connection().await;
        let (socket, _reader) = Socket::new(stream, peer).unwrap();
        socket.writer.writable().await.unwrap();
        let packet = [7; 1_000];
        let write = |count| socket.write(std::iter::repeat_n(&packet[..10], count));
        assert_eq!([1, 2, 16, 40].map(write), [10, 20, 160, 160].map(Some));
        while socket.write(std::iter::once(&packet[..])) != Some(0) {}
        assert_eq!((write(1), socket.state.get()), (Some(0), State::Blocked));
        drop(client);
        socket.close(true);
        assert_eq!(write(1), None);
    }
}
