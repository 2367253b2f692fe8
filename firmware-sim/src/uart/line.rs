//! The wire: what a simulated UART is connected to.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use serialport::SerialPort;
use talkspurt_host_kit::words::describe;
use tracing::{info, warn};

use crate::host::is_only_waiting;

/// An endless stream of bytes in two directions. Neither call blocks, and neither can fail: a cut
/// cable looks like silence.
pub trait Line {
    /// Fills the front of `buf` with the bytes that have arrived. Returns their number, or 0 if
    /// there are none.
    fn receive(&mut self, buf: &mut [u8]) -> usize;

    /// Puts `bytes` on the wire. Returns how many were received at the other end; the others are
    /// lost.
    fn transmit(&mut self, bytes: &[u8]) -> usize;
}

impl<L: Line + ?Sized> Line for Box<L> {
    fn receive(&mut self, buf: &mut [u8]) -> usize {
        (**self).receive(buf)
    }

    fn transmit(&mut self, bytes: &[u8]) -> usize {
        (**self).transmit(bytes)
    }
}

/// The near end of a pseudo-terminal. A bridge opens the far end by its path, like a serial port.
#[derive(Debug)]
pub struct PtyLine {
    near: File,
    path: String,
}

impl PtyLine {
    /// Creates a pseudo-terminal in raw mode.
    ///
    /// # Errors
    /// When the system cannot create one.
    pub fn open() -> io::Result<Self> {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&near)?;
        unlockpt(&near)?;
        let path = ptsname(&near, Vec::new())?;
        // The settings outlive this handle. It has to be closed: from now on the near end sees
        // whether anybody has the far end open, and no byte is kept for a bridge that opens it
        // later.
        let far = open(
            &path,
            OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let mut settings = tcgetattr(&far)?;
        settings.make_raw();
        tcsetattr(&far, OptionalActions::Now, &settings)?;
        drop(far);
        fcntl_setfl(&near, fcntl_getfl(&near)? | OFlags::NONBLOCK)?;
        let path = path
            .into_string()
            .map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
        Ok(Self {
            near: File::from(near),
            path,
        })
    }

    /// Returns the path by which a bridge opens the far end.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    fn is_far_end_open(&self) -> bool {
        let mut ends = [PollFd::new(&self.near, PollFlags::OUT)];
        let at_once = Timespec::default();
        poll(&mut ends, Some(&at_once)).is_ok() && !ends[0].revents().contains(PollFlags::HUP)
    }
}

impl Line for PtyLine {
    fn receive(&mut self, buf: &mut [u8]) -> usize {
        // If nobody is there, nothing is there: both are silence.
        self.near.read(buf).unwrap_or(0)
    }

    fn transmit(&mut self, bytes: &[u8]) -> usize {
        if self.is_far_end_open() {
            self.near.write(bytes).unwrap_or(0)
        } else {
            0
        }
    }
}

/// A serial port of this machine. It is reopened after it has vanished.
pub struct PortLine {
    path: String,
    baud: u32,
    port: Option<Box<dyn SerialPort>>,
    tried: Instant,
}

impl PortLine {
    /// How often to look for a vanished port.
    const RETRY: Duration = Duration::from_millis(500);

    /// Opens the port at `path`.
    ///
    /// # Errors
    /// When the port does not exist, is in use, or does not support the baud rate.
    pub fn open(path: &str, baud: u32) -> io::Result<Self> {
        let port = open_port(path, baud)?;
        Ok(Self {
            path: path.to_owned(),
            baud,
            port: Some(port),
            tried: Instant::now(),
        })
    }

    /// Runs `action` on the open port. Returns 0 if there is none or it had nothing to do.
    fn with_port(
        &mut self,
        action: impl FnOnce(&mut dyn SerialPort) -> io::Result<usize>,
    ) -> usize {
        if self.port.is_none() && self.tried.elapsed() >= Self::RETRY {
            self.tried = Instant::now();
            self.port = open_port(&self.path, self.baud).ok();
            if self.port.is_some() {
                info!("{} is back", self.path);
            }
        }
        let Some(port) = &mut self.port else { return 0 };
        match action(port.as_mut()) {
            Ok(count) => count,
            Err(error) if is_only_waiting(&error) => 0,
            Err(error) => {
                warn!(
                    "lost {}: {}; looking for it every {} ms",
                    self.path,
                    describe(&error),
                    Self::RETRY.as_millis()
                );
                self.port = None;
                0
            }
        }
    }
}

impl Line for PortLine {
    fn receive(&mut self, buf: &mut [u8]) -> usize {
        self.with_port(|port| port.read(buf))
    }

    fn transmit(&mut self, bytes: &[u8]) -> usize {
        self.with_port(|port| port.write(bytes))
    }
}

fn open_port(path: &str, baud: u32) -> io::Result<Box<dyn SerialPort>> {
    // A timeout of zero checks whether there is something, and never waits for it.
    Ok(serialport::new(path, baud).timeout(Duration::ZERO).open()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive_exactly(line: &mut impl Line, count: usize) -> Vec<u8> {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut got = Vec::new();
        while got.len() < count && Instant::now() < deadline {
            let mut buf = [0; 64];
            let count = line.receive(&mut buf);
            got.extend(&buf[..count]);
        }
        got
    }

    #[test]
    fn a_pty_keeps_nothing_for_a_port_that_is_opened_later() {
        let mut near = PtyLine::open().unwrap();
        assert_eq!(near.transmit(b"to nobody"), 0);
        let path = near.path().to_owned();
        let mut far = PortLine::open(&path, 115_200).unwrap();
        assert_eq!(near.transmit(&[0, 1, 10, 13, 255]), 5);
        assert_eq!(receive_exactly(&mut far, 5), [0, 1, 10, 13, 255]);
        assert_eq!(far.transmit(b"\x03\x11\x13\n"), 4);
        assert_eq!(receive_exactly(&mut near, 4), b"\x03\x11\x13\n");
        drop(far);
        assert_eq!(near.transmit(b"to nobody again"), 0);
        assert_eq!(near.receive(&mut [0; 8]), 0);
    }

    #[test]
    fn a_pty_whose_far_end_does_not_read_never_blocks() {
        let mut near = PtyLine::open().unwrap();
        let _far = PortLine::open(near.path(), 115_200).unwrap();
        let heard: usize = (0..2000).map(|_| near.transmit(&[0xA5; 64])).sum();
        assert!(
            heard < 2000 * 64,
            "the system's buffer is bounded, the rest is lost: {heard}"
        );
    }

    #[test]
    fn a_vanished_port_is_silent() {
        let near = PtyLine::open().unwrap();
        let mut far = PortLine::open(near.path(), 115_200).unwrap();
        drop(near);
        assert_eq!(far.receive(&mut [0; 8]), 0);
        assert_eq!(far.transmit(b"x"), 0);
        assert!(far.port.is_none());
    }
}
