//! The only sockets of the voice side: listening, reading, writing, closing.
//!
//! One task a connection reads into a buffer that all share. Writing is done by whoever has made output, straight into the
//! socket: a tick wakes no task to send a packet. Only a socket that would not take a packet makes its task wait until it does.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::SockRef;
use talkspurt_core::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::hub::{ConnId, Hub, Output};
use crate::outbox::{BATCH_PACKETS, Outbox};
use crate::ticker::Ticker;
use crate::trouble::AcceptTrouble;

/// Connections that wait to be accepted: a whole server's clients that come back at once after a restart.
const BACKLOG: u32 = 1024;
/// A pause after accepting failed, so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// EMFILE and ENFILE, on every Unix.
const OUT_OF_DESCRIPTORS: [i32; 2] = [24, 23];
/// EAFNOSUPPORT.
const ADDRESS_FAMILY_NOT_SUPPORTED: i32 = if cfg!(target_os = "linux") { 97 } else { 47 };
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
///
/// `[::]` takes IPv6 and IPv4, whatever the system's default is; where there is no IPv6 it takes IPv4.
pub fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, BindError> {
    let bound = match listen(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && is_ipv6_absent(&error) => {
            listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        bound => bound,
    };
    bound.map_err(|source| BindError {
        address,
        flag,
        source,
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        SockRef::from(&socket).set_only_v6(false)?;
    }
    // A restarted server gets its port back although old connections linger in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn is_ipv6_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(ADDRESS_FAMILY_NOT_SUPPORTED)
}

/// What the error means to a person, without the system's number.
pub fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address in use".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have the address".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ if OUT_OF_DESCRIPTORS.map(Some).contains(&error.raw_os_error()) => {
            "no file descriptor is left: raise the limit of open files (ulimit -n, LimitNOFILE=)"
                .to_owned()
        }
        _ => {
            let text = error.to_string();
            let end = text.find(" (os error").unwrap_or(text.len());
            text[..end].to_owned()
        }
    }
}

/// Accepts connections, however often that fails.
pub struct Acceptor {
    listener: TcpListener,
    what: &'static str,
    clock: Ticker,
    trouble: AcceptTrouble,
}

impl Acceptor {
    /// Of a bound listener; `what` is what comes through it, for the log.
    pub fn new(listener: TcpListener, what: &'static str) -> Self {
        Self {
            listener,
            what,
            clock: Ticker::default(),
            trouble: AcceptTrouble::default(),
        }
    }

    /// The next connection, and where it comes from. Can be dropped and called again at any time.
    ///
    /// While the system refuses it says so once a minute and tries again after a pause: what is out of descriptors now has some when
    /// somebody leaves.
    pub async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => return (stream, canonical(peer)),
                Err(error) if is_of_one_connection(&error) => {
                    tracing::debug!(%error, "a connection was lost while it was accepted");
                }
                Err(error) => {
                    if let Some(times) = self.trouble.failed(self.clock.now()) {
                        tracing::warn!(times, "cannot accept {}: {}", self.what, describe(&error));
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// An address as people know it: IPv4 that came in through an IPv6 socket is IPv4.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
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
                Output::Packets(_) if self.state.get() == State::Blocked => return,
                Output::Packets(outbox) => match self.try_write(outbox) {
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

    fn try_write(&self, outbox: &Outbox) -> io::Result<usize> {
        let mut packets = outbox.packets();
        let first = packets.next().unwrap_or_default();
        let Some(second) = packets.next() else {
            // As with voice nearly always.
            return self.writer.try_write(first);
        };
        let mut slices = [IoSlice::new(&[]); BATCH_PACKETS];
        slices[..2].copy_from_slice(&[IoSlice::new(first), IoSlice::new(second)]);
        let mut filled = 2;
        for (slot, packet) in slices[2..].iter_mut().zip(packets) {
            *slot = IoSlice::new(packet);
            filled += 1;
        }
        self.writer.try_write_vectored(&slices[..filled])
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
    async fn any_address_takes_both_families_and_shows_each_as_it_is() {
        let Ok(listener) = bind("[::]:0".parse().unwrap(), "--listen") else {
            panic!("neither IPv6 nor IPv4")
        };
        let bound = listener.local_addr().unwrap();
        let mut acceptor = Acceptor::new(listener, "a connection");
        let mut targets = vec![SocketAddr::from(([127, 0, 0, 1], bound.port()))];
        // Where there is no IPv6 it is bound to IPv4.
        let has_loopback = std::net::TcpListener::bind("[::1]:0").is_ok();
        if bound.is_ipv6() && has_loopback {
            targets.push(SocketAddr::from((Ipv6Addr::LOCALHOST, bound.port())));
        }
        for target in targets {
            let client = TcpStream::connect(target).await.unwrap();
            let (_, peer) = acceptor.accept().await;
            assert_eq!(peer, client.local_addr().unwrap());
        }
    }

    #[test]
    fn without_ipv6_any_address_is_ipv4() {
        let error = io::Error::from_raw_os_error;
        assert!(is_ipv6_absent(&error(ADDRESS_FAMILY_NOT_SUPPORTED)));
        assert!(is_ipv6_absent(&io::ErrorKind::AddrNotAvailable.into()));
        assert!(!is_ipv6_absent(&io::ErrorKind::AddrInUse.into()));
    }

    #[test]
    fn errors_are_told_without_numbers() {
        let told = |number| describe(&io::Error::from_raw_os_error(number));
        assert!(told(24).contains("ulimit -n") && told(23).contains("ulimit -n"));
        for number in 1..100 {
            assert!(!told(number).contains("os error"), "{}", told(number));
        }
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
