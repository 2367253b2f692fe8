//! One participant's connection: to a server it speaks the protocol, to the floor it only moves bytes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::TcpStreamExt;

use anyhow::{Context, Result, bail};
use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::session::{
    ClientEvent, ClientSession, HANDSHAKE_TIMEOUT_DEFAULT, JoinRequest, SessionParams,
};
use talkspurt_core::time::Instant;
use talkspurt_core::wire::{Voice, parse};

use crate::floor::Seat;

/// A connection and what runs over it.
pub struct Peer {
    stream: TcpStream,
    leaving: bool,
    closed: bool,
    /// What the kernel would not take yet.
    unsent: Vec<u8>,
    /// `None` at the floor.
    session: Option<Box<Session>>,
    /// Bytes that came and went.
    pub traffic: Traffic,
}

struct Session {
    state: ClientSession,
    deframer: Deframer,
    joined: bool,
}

/// Bytes of one connection, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Sent to the server.
    pub sent_bytes: u64,
    /// Received from it.
    pub received_bytes: u64,
}

impl Peer {
    /// Connects, and asks to join.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn join(address: SocketAddr, request: JoinRequest, now: Instant) -> Result<Self> {
        let mut peer = Self::connect(address)?;
        peer.session = Some(Box::new(Session {
            state: ClientSession::new(request, HANDSHAKE_TIMEOUT_DEFAULT, now),
            deframer: Deframer::new(),
            joined: false,
        }));
        peer.flush_session()?;
        Ok(peer)
    }

    /// Connects, and takes a seat at the floor.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn sit_down(address: SocketAddr, seat: Seat) -> Result<Self> {
        let mut peer = Self::connect(address)?;
        peer.write(&seat.to_bytes())?;
        Ok(peer)
    }

    fn connect(address: SocketAddr) -> Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            leaving: false,
            closed: false,
            unsent: Vec::new(),
            session: None,
            traffic: Traffic::default(),
        })
    }

    /// Acknowledges every other packet, at once, instead of each one as it is read.
    ///
    /// Linux does so by itself once a connection has gone back and forth, as any session's has. The floor's would not: its listeners
    /// say nothing after their seat. Over the loopback an acknowledgement is worked off by whoever makes it come about, the sender in
    /// the first case and this process in the second, and would be missing from the floor's cost.
    ///
    /// # Errors
    /// The connection is over.
    pub fn acknowledge_like_a_session(&self) -> Result<()> {
        Ok(self.stream.set_quickack(false)?)
    }

    /// Reads once; gives each frame of voice to `on_voice`, and returns how many packets came.
    ///
    /// # Errors
    /// The connection or the session is over.
    pub fn read(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
        on_voice: impl FnMut(&Voice<'_>),
    ) -> Result<usize> {
        let count = match self.stream.read(buffer) {
            Ok(0) if self.leaving => {
                self.closed = true;
                return Ok(0);
            }
            Ok(0) => bail!("the server has closed the connection"),
            Ok(count) if self.leaving => {
                self.traffic.received_bytes += count as u64;
                return Ok(0);
            }
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        self.traffic.received_bytes += count as u64;
        let Some(session) = &mut self.session else {
            return Ok(0);
        };
        let packets = session.take(now, &buffer[..count], on_voice)?;
        self.flush_session()?;
        Ok(packets)
    }

    /// Sends a voice packet; `false`, and nothing is sent, while older bytes still wait.
    ///
    /// # Errors
    /// The connection is over.
    pub fn send_voice(&mut self, packet: &[u8]) -> Result<bool> {
        if !self.unsent.is_empty() {
            return Ok(false);
        }
        self.write(packet)?;
        Ok(true)
    }

    /// Sends what waits, as far as the kernel takes it.
    ///
    /// # Errors
    /// The connection is over.
    pub fn flush(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.unsent);
        // Counted when it was written first.
        self.traffic.sent_bytes -= waiting.len() as u64;
        self.write(&waiting)
    }

    /// Whether bytes wait for the kernel.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Says that time has passed.
    ///
    /// # Errors
    /// The session is over.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<()> {
        if let Some(session) = &mut self.session {
            session.state.handle_timeout(now);
            session.take_events()?;
            self.flush_session()?;
        }
        Ok(())
    }

    /// When to call [`Peer::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.session.as_ref()?.state.poll_timeout()
    }

    /// What the server decided; `None` before it let us in, and at the floor.
    pub fn params(&self) -> Option<SessionParams> {
        self.session.as_ref()?.state.params()
    }

    /// Whether it is in and has its roster; at the floor it is so at once.
    pub fn is_joined(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.joined)
    }

    /// Says Bye; what still comes is read and forgotten until the server closes.
    pub fn leave(&mut self) {
        self.leaving = true;
        let Some(session) = &mut self.session else {
            return;
        };
        session.state.leave();
        // An error means that the other side was quicker.
        self.closed = self.flush_session().is_err();
    }

    /// Whether the server has closed after our Bye.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn flush_session(&mut self) -> Result<()> {
        let mut bytes = [0; ENCODED_MAX];
        while let Some(session) = &mut self.session {
            let Some(packet) = session.state.poll_transmit() else {
                break;
            };
            let len = write_to_stream(&packet, &mut bytes)?;
            drop(packet);
            self.write(&bytes[..len])?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.traffic.sent_bytes += bytes.len() as u64;
        let mut rest = bytes;
        while self.unsent.is_empty() && !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.unsent.extend_from_slice(rest);
        Ok(())
    }
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Session {
    fn take(
        &mut self,
        now: Instant,
        bytes: &[u8],
        mut on_voice: impl FnMut(&Voice<'_>),
    ) -> Result<usize> {
        let mut packets = 0;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (feed, left) = self.deframer.feed(rest);
            rest = left;
            match feed {
                Feed::NeedMore => {}
                Feed::Packet(packet) => {
                    packets += 1;
                    if let Some(voice) = self.state.handle_packet(now, parse(packet)) {
                        on_voice(&voice);
                    }
                    self.take_events()?;
                }
                Feed::Bad { reason, .. } => bail!("the server sent damaged bytes: {reason:?}"),
            }
        }
        Ok(packets)
    }

    fn take_events(&mut self) -> Result<()> {
        while let Some(event) = self.state.poll_event() {
            match event {
                ClientEvent::RosterComplete => self.joined = true,
                ClientEvent::Rejected(reason) => {
                    bail!("refused: {reason}. {}", self.state.reject_text())
                }
                ClientEvent::Closed(reason) => bail!("the session is over: {reason}"),
                _ => {}
            }
        }
        Ok(())
    }
}
