//! Opening the two ends: the only place that knows `serialport` and the options of the TCP socket.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use serialport::{ClearBuffer, SerialPort};
use socket2::{SockRef, TcpKeepalive};

use super::end::{End, POLL};
use super::queue::ByteQueue;

/// How long one address may take to answer a connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A server host that vanished without a word is noticed after this much silence (then probed every 3 s, 3 times), ...
const KEEPALIVE_AFTER: Duration = Duration::from_secs(5);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(3);
const KEEPALIVE_PROBES: u32 = 3;
/// ... or when it has not acknowledged bytes for this long. A node pings its server every few seconds.
const UNACKNOWLEDGED: Duration = Duration::from_secs(14);

/// An open serial port with its threads.
pub struct SerialEnd {
    port: Box<dyn SerialPort>,
    /// The threads that read and write it.
    pub end: End,
}

impl SerialEnd {
    /// Opens the port at `path` for 8 data bits, no parity, one stop bit and no flow control.
    ///
    /// # Errors
    /// When the port is not there, is in use, or does not know the baud rate.
    pub fn open(
        path: &str,
        baud: u32,
        incoming: Arc<ByteQueue>,
        outgoing: Arc<ByteQueue>,
    ) -> io::Result<Self> {
        let port = serialport::new(path, baud).timeout(POLL).open()?;
        let end = End::start(
            "serial",
            port.try_clone()?,
            port.try_clone()?,
            incoming,
            outgoing,
        )?;
        Ok(Self { port, end })
    }

    /// Throws away what the operating system has received and nobody read.
    pub fn discard_received(&self) {
        // A port that cannot be flushed is about to fail in its reader, which reports it.
        let _ = self.port.clear(ClearBuffer::Input);
    }

    /// Closes the port.
    pub fn close(self) {
        let Self { port, end } = self;
        drop(port);
        end.close();
    }
}

/// A connection to the server with its threads.
pub struct ServerEnd {
    stream: TcpStream,
    /// The threads that read and write it.
    pub end: End,
}

impl ServerEnd {
    /// Starts pumping over a connection made by [`connect`].
    ///
    /// # Errors
    /// When the socket refuses an option or the system has no thread to give.
    pub fn start(
        stream: TcpStream,
        incoming: Arc<ByteQueue>,
        outgoing: Arc<ByteQueue>,
    ) -> io::Result<Self> {
        stream.set_read_timeout(Some(POLL))?;
        stream.set_write_timeout(Some(POLL))?;
        let end = End::start(
            "server",
            stream.try_clone()?,
            stream.try_clone()?,
            incoming,
            outgoing,
        )?;
        Ok(Self { stream, end })
    }

    /// Hangs up.
    pub fn close(self) {
        // Both threads return from the call they are in.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.end.close();
    }
}

/// Connects to `server` (`HOST:PORT`), trying each address that the name stands for.
///
/// # Errors
/// When the name does not resolve, or no address answers: the last one's error.
pub fn connect(server: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name stands for no address");
    for address in server.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                notice_a_vanished_server(&stream)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn notice_a_vanished_server(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY);
    #[cfg(not(any(
        target_os = "openbsd",
        target_os = "redox",
        target_os = "solaris",
        target_os = "windows"
    )))]
    let keepalive = keepalive.with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}
