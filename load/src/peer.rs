//! One participant's connection: to a server it runs the core's client, to the floor it only moves
//! bytes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::TcpStreamExt;

use anyhow::{Context, Result, bail, ensure};
use talkspurt_core::audio::codec::PAYLOAD_MAX;
use talkspurt_core::audio::frame::FRAME_SAMPLES_MAX;
use talkspurt_core::carrier::stream::{ENCODED_MAX, TRANSMIT_MAX};
use talkspurt_core::endpoint::{self, ClientConfig, write_to_stream};
use talkspurt_core::seq::Seq;
use talkspurt_core::session::{ClientEvent, HANDSHAKE_TIMEOUT_DEFAULT, JoinRequest, SessionParams};
use talkspurt_core::time::Instant;
use talkspurt_core::voice::downlink::PayloadPlayout;
use talkspurt_core::voice::uplink::EncodedFrame;
use talkspurt_core::wire::{ClientPacket, Voice};
use talkspurt_host_kit::random::random;

use crate::floor::Seat;

/// Payloads are taken as they come, so none waits for another.
const SLOTS: usize = 2;
/// Bytes of voice that may wait: a frame is pushed when the one before it has gone.
const QUEUE_BYTES: usize = 2 * PAYLOAD_MAX;

/// It is given payloads: the samples that it keeps are those that it must.
type Client = endpoint::Client<PAYLOAD_MAX, TRANSMIT_MAX, SLOTS, QUEUE_BYTES, FRAME_SAMPLES_MAX>;

/// A connection and what runs over it.
pub struct Peer {
    stream: TcpStream,
    leaving: bool,
    closed: bool,
    /// What the kernel would not take yet.
    unsent: Vec<u8>,
    /// `None` at the floor.
    client: Option<Box<Client>>,
    /// Whether it is in and has its roster.
    joined: bool,
    /// Bytes that came and went.
    pub traffic: Traffic,
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
        let mut config = ClientConfig::new(request);
        config.playout_margin_ms = 0;
        let mut client = Box::new(Client::new(config)?);
        client.join(now, HANDSHAKE_TIMEOUT_DEFAULT, random().to_le_bytes());
        let mut peer = Self::connect(address)?;
        peer.client = Some(client);
        peer.joined = false;
        peer.flush(now)?;
        Ok(peer)
    }

    /// Connects, and takes a seat at the floor.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn sit_down(address: SocketAddr, seat: Seat) -> Result<Self> {
        let mut peer = Self::connect(address)?;
        peer.unsent.extend(seat.to_bytes());
        peer.flush(Instant::ZERO)?;
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
            client: None,
            joined: true,
            traffic: Traffic::default(),
        })
    }

    /// Acknowledges every other packet, at once, instead of each one as it is read.
    ///
    /// Linux does so by itself once a connection has gone back and forth, as any session's has. The
    /// floor's would not: its listeners say nothing after their seat. Over the loopback an
    /// acknowledgement is worked off by whoever makes it come about, the sender in the first case
    /// and this process in the second, and would be missing from the floor's cost.
    ///
    /// # Errors
    /// The connection is over.
    pub fn acknowledge_like_a_session(&self) -> Result<()> {
        Ok(self.stream.set_quickack(false)?)
    }

    /// Reads once; gives each payload to `on_voice`, and returns how many packets came.
    ///
    /// # Errors
    /// The connection or the session is over.
    pub fn read(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
        mut on_voice: impl FnMut(&[u8]),
    ) -> Result<u32> {
        let count = match self.stream.read(buffer) {
            Ok(0) if self.leaving => {
                self.closed = true;
                return Ok(0);
            }
            Ok(0) => bail!("the server has closed the connection"),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        self.traffic.received_bytes += count as u64;
        let Some(client) = self.client.as_mut().filter(|_| !self.leaving) else {
            return Ok(0);
        };
        let packets_before = client.stats().packets_received;
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            rest = client.handle_stream(now, rest);
            self.joined |= follow(client)?;
            while client.playout_frames().0 > 0 {
                let mut payload = [0; PAYLOAD_MAX];
                if let PayloadPlayout::Payload { bytes, .. } = client.pop_payload(&mut payload) {
                    on_voice(bytes);
                }
            }
        }
        let stats = client.stats();
        ensure!(stats.dropped_bytes == 0, "the server sent damaged bytes");
        self.flush(now)?;
        Ok(stats.packets_received - packets_before)
    }

    /// Sends a frame of voice; `false`, and nothing is sent, while older bytes still wait, or if
    /// it is muted.
    ///
    /// # Errors
    /// The connection is over.
    pub fn send_voice(&mut self, now: Instant, frame: EncodedFrame<'_>) -> Result<bool> {
        if self.has_unsent() {
            return Ok(false);
        }
        match &mut self.client {
            Some(client) => {
                if !client.push_payload(now, frame)? {
                    return Ok(false);
                }
            }
            // The floor is sent the same bytes.
            None => {
                let voice = Voice {
                    seq: Seq(frame.timestamp.0 as u16),
                    timestamp: frame.timestamp,
                    level: frame.level,
                    stream: 0,
                    terminator: frame.terminator,
                    payload: frame.payload,
                };
                let mut packet = [0; ENCODED_MAX];
                let len = write_to_stream(&ClientPacket::Voice(voice), &mut packet)?;
                self.unsent.extend(&packet[..len]);
            }
        }
        self.flush(now)?;
        Ok(true)
    }

    /// Mutes or unmutes.
    ///
    /// # Errors
    /// The connection is over.
    pub fn set_muted(&mut self, now: Instant, muted: bool) -> Result<()> {
        if let Some(client) = &mut self.client {
            client.set_muted(now, muted);
        }
        self.flush(now)
    }

    /// Sends what waits, as far as the kernel takes it.
    ///
    /// # Errors
    /// The connection is over.
    pub fn flush(&mut self, now: Instant) -> Result<()> {
        loop {
            while self.has_unsent() {
                match self.stream.write(&self.unsent) {
                    Ok(count) => {
                        self.traffic.sent_bytes += count as u64;
                        self.unsent.drain(..count);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
            let mut packet = [0; TRANSMIT_MAX];
            let client = self.client.as_mut();
            match client.and_then(|client| client.poll_transmit(now, &mut packet)) {
                Some(transmit) => self.unsent.extend(&packet[..transmit.len]),
                None => return Ok(()),
            }
        }
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
        if let Some(client) = &mut self.client {
            client.handle_timeout(now);
            follow(client)?;
        }
        self.flush(now)
    }

    /// When to call [`Peer::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.client.as_ref()?.poll_timeout()
    }

    /// What the server decided; `None` before it let us in, and at the floor.
    pub fn params(&self) -> Option<SessionParams> {
        self.client.as_ref()?.params()
    }

    /// Whether it is in and has its roster; at the floor it is so at once.
    pub fn is_joined(&self) -> bool {
        self.joined
    }

    /// Says Bye; what still comes is read and forgotten until the server closes.
    pub fn leave(&mut self, now: Instant) {
        self.leaving = true;
        if let Some(client) = &mut self.client {
            client.leave(now);
            // An error means that the other side was quicker.
            self.closed = self.flush(now).is_err();
        }
    }

    /// Whether the server has closed after our Bye.
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Takes the events; returns whether the roster is complete now.
fn follow(client: &mut Client) -> Result<bool> {
    let mut is_listed = false;
    while let Some(event) = client.poll_event() {
        match event {
            ClientEvent::RosterComplete => is_listed = true,
            ClientEvent::Rejected(reason, _) => {
                bail!("refused: {reason}. {}", client.closing_text())
            }
            ClientEvent::Closed(reason, _) => bail!("the session is over: {reason}"),
            _ => {}
        }
    }
    Ok(is_listed)
}
