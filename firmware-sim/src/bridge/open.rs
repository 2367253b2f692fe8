//! The two ends with their threads. Only this module knows `serialport`.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serialport::{ClearBuffer, SerialPort};

use super::end::{End, POLL};
use super::queue::ByteQueue;

/// How long the server may take to end a connection that was ended here.
const DRAIN_MAX: Duration = Duration::from_secs(1);

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
    /// When the port does not exist, is in use, or does not support the baud rate.
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

    /// Discards received bytes that the operating system still holds.
    pub fn discard_received(&self) {
        // If a port cannot be flushed, its reader is about to fail, and reports that.
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
    /// Starts pumping over a connection made by [`super::connect::connect`].
    ///
    /// # Errors
    /// When the socket refuses an option or the system cannot start a thread.
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

    /// Closes the connection. The server gets a moment to end it too: closing a socket with unread
    /// bytes resets the connection, and what the node said last might be lost.
    pub fn close(self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        let deadline = Instant::now() + DRAIN_MAX;
        while self.end.failure().is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
        // Makes both threads return from the call that they are in.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.end.close();
    }
}
