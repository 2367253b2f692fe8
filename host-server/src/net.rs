//! The only sockets of the voice side: listening, reading, writing, closing.
//!
//! One task a connection reads into a buffer that all share. Writing is done by whoever has made output, straight into the
//! socket: a tick wakes no task to send a packet. Only a socket that would not take a packet makes its task wait until it does.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::SockRef;
use talkspurt_core::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::hub::{ConnId, Hub, Output};

/// Connections that wait to be accepted: a whole server's clients that come back at once after a restart.
const BACKLOG: u32 = 1024;
/// The kernel's send buffer a connection, in bytes (Linux doubles it for its own bookkeeping): about half a second of PCM16 voice, so
/// that a listener who stalls does not hear seconds of old voice later.
const SEND_BUFFER_BYTES: usize = 16 * 1024;
/// Bytes that may wait in the kernel unsent: six packets of PCM16 voice. The rest of the buffer holds what is on its way.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES_MAX: u32 = 4 * 1024;
/// How long and for how many bytes a closed connection is still read, so that the reason for closing reaches a peer that is
/// still sending (unread bytes at closing make the kernel reset the connection, which discards what was sent).
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES_MAX: usize = 1 << 20;

/// Why an address cannot be listened on, in one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}; choose another with {flag}", describe(.source))]
pub struct BindError {
    address: SocketAddr,
    flag: &'static str,
    source: io::Error,
}

/// Binds a listener; `flag` is the one that chose the address. Needs a runtime.
pub fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, BindError> {
    let listen = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        // A restarted server gets its port back although old connections linger in TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|source| BindError {
        address,
        flag,
        source,
    })
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address in use".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have the address".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// Sets what voice needs on an accepted connection.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)
}

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
    /// The kernel would not take more: the task waits until it does.
    Blocked,
    /// Nothing more is to be sent: the task ends.
    Closed,
}

impl Socket {
    /// Splits a fresh connection into its writing and its reading half.
    pub fn new(stream: TcpStream, peer: SocketAddr) -> io::Result<(Self, OwnedReadHalf)> {
        tune(&stream)?;
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

    /// Who is at the other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Writes what the hub has for this connection, as far as the kernel takes it.
    pub fn write_output(&self, hub: &mut Hub, id: ConnId, now: Instant) {
        if self.state.get() == State::Closed {
            return;
        }
        loop {
            match hub.next_output(id, now) {
                Output::Bytes(_) if self.state.get() == State::Blocked => return,
                Output::Bytes(batch) => match self.try_write(&batch) {
                    Ok(count) => hub.sent(id, count),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        hub.blocked(id, now);
                        return self.hand_to_task(State::Blocked);
                    }
                    Err(_) => {
                        hub.handle_closed(id, now);
                        return self.hand_to_task(State::Closed);
                    }
                },
                Output::Nothing => return,
                Output::Close { unsent } => {
                    self.close(unsent);
                    return self.hand_to_task(State::Closed);
                }
            }
        }
    }

    fn try_write(&self, batch: &[IoSlice<'_>]) -> io::Result<usize> {
        match batch {
            [bytes] => self.writer.try_write(bytes),
            many => self.writer.try_write_vectored(many),
        }
    }

    /// Waits until the connection needs its task: gives `true` when the kernel takes output again, `false` at the end.
    fn poll_task(&self, cx: &mut Context<'_>) -> Poll<bool> {
        match &mut *self.task.borrow_mut() {
            Some(task) => task.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        match self.state.get() {
            State::Open => Poll::Pending,
            State::Closed => Poll::Ready(false),
            State::Blocked => self.writer.as_ref().poll_write_ready(cx).map(|_| {
                // An error shows when the write is tried.
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

    fn close(&self, unsent: bool) {
        let socket = SockRef::from(self.writer.as_ref());
        // Errors mean that it is closed already.
        if unsent {
            // The peer does not read: without this the kernel would keep its buffers for minutes.
            let _ = socket.set_linger(Some(Duration::ZERO));
        } else {
            let _ = socket.shutdown(Shutdown::Write);
        }
    }
}

/// What a connection's task has to deal with.
pub enum Incoming {
    /// This many bytes were read into the buffer.
    Bytes(usize),
    /// The kernel takes output again.
    Writable,
    /// The peer has closed, or the connection failed.
    ClosedByPeer,
    /// The hub has closed it.
    ClosedByUs,
}

/// Waits for whatever happens next on a connection. `buffer` is borrowed only while bytes are read, by all connections in turn.
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
    // Not `try_read`: this one knows that a half-filled buffer means that nothing is left, and saves a system call a packet.
    match Pin::new(reader).poll_read(cx, &mut read) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Ok(())) if !read.filled().is_empty() => {
            Poll::Ready(Incoming::Bytes(read.filled().len()))
        }
        Poll::Ready(_) => Poll::Ready(Incoming::ClosedByPeer),
    }
}

/// Reads and forgets until the peer has closed, too, or has had its time.
pub async fn linger(mut reader: OwnedReadHalf) {
    let discard = async {
        let mut buffer = [0; 2048];
        let mut left = LINGER_BYTES_MAX;
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            left = left.saturating_sub(count);
            if left == 0 {
                break;
            }
        }
    };
    // Either way it is over.
    let _ = tokio::time::timeout(LINGER, discard).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_one_clear_line() {
        let listener = bind("127.0.0.1:0".parse().unwrap(), "--listen").unwrap();
        let taken = listener.local_addr().unwrap();
        let message = bind(taken, "--listen").unwrap_err().to_string();
        assert_eq!(
            message,
            format!("cannot listen on {taken}: address in use; choose another with --listen")
        );
    }

    #[tokio::test]
    async fn a_foreign_address_is_one_clear_line() {
        // TEST-NET-1 (RFC 5737) belongs to nobody.
        let message = bind("192.0.2.1:8255".parse().unwrap(), "--http")
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("this machine does not have the address; choose another with --http"),
            "{message}"
        );
    }
}
