//! The other end of a connection: a blocking client that does what a test tells it, right or wrong.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::wire::{
    ClientPacket, Hello, PROTOCOL_VERSION, ParticipantFlags, Reason, ServerPacket, Voice, parse,
};

/// Whatever a test waits for comes within this time, or never.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to a server.
pub struct Peer {
    stream: TcpStream,
    deframer: Deframer,
    spoken: u16,
    /// Its number, once it has joined.
    pub id: u32,
    /// What has come.
    pub seen: Seen,
}

/// What has come from the server.
#[derive(Debug, Default)]
pub struct Seen {
    pub welcome: Option<u32>,
    pub reject: Option<Reason>,
    pub bye: Option<Reason>,
    pub states: Vec<u32>,
    pub left: Vec<u32>,
    pub voices: usize,
    pub terminators: usize,
    pub closed: bool,
}

impl Peer {
    pub fn connect(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            deframer: Deframer::new(),
            spoken: 0,
            id: 0,
            seen: Seen::default(),
        }
    }

    pub fn join(server: SocketAddr, room: &str, name: &str) -> Self {
        let mut peer = Self::connect(server);
        peer.hello(room, name);
        peer.wait_until(|seen| seen.welcome.is_some());
        peer.id = peer.seen.welcome.unwrap();
        peer
    }

    /// Asks to join, and reads until the server closes.
    pub fn refused(server: SocketAddr, room: &str, name: &str) -> Seen {
        let mut peer = Self::connect(server);
        peer.hello(room, name);
        peer.read_until_closed();
        peer.seen
    }

    fn hello(&mut self, room: &str, name: &str) {
        self.send(&ClientPacket::Hello(Hello {
            version: PROTOCOL_VERSION,
            nonce: [7; 8],
            max_packet: 1_280,
            features: 0,
            resume: None,
            room,
            name,
            codecs_up: &[0],
            codecs_down: &[0],
            rates_hz: [16_000].into_iter().collect(),
            flags: ParticipantFlags::default(),
            roster: 1,
            credentials: &[],
        }));
    }

    pub fn send(&mut self, packet: &ClientPacket<'_>) {
        self.try_send(packet).unwrap();
    }

    pub fn try_send(&mut self, packet: &ClientPacket<'_>) -> io::Result<()> {
        let mut bytes = [0; ENCODED_MAX];
        let len = write_to_stream(packet, &mut bytes).unwrap();
        self.stream.write_all(&bytes[..len])
    }

    /// The server may close while bytes are sent: that is no failure of the test.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// A frame of 20 ms in which every sample is `value`.
    pub fn speak(&mut self, value: i16, terminator: bool) {
        self.spoken += 1;
        let payload = value.to_le_bytes().repeat(320);
        let voice = Voice {
            seq: Seq(self.spoken),
            timestamp: Timestamp(8 * u32::from(self.spoken)),
            level: 40,
            stream: 0,
            terminator,
            payload: &payload,
        };
        let _ = self.try_send(&ClientPacket::Voice(voice));
    }

    /// As small as the kernel allows, so that a peer that does not read is soon full.
    pub fn shrink_receive_buffer(&self) {
        socket2::SockRef::from(&self.stream)
            .set_recv_buffer_size(1)
            .unwrap();
    }

    pub fn wait_for_state_of(&mut self, id: u32) {
        self.wait_until(|seen| seen.states.contains(&id));
    }

    pub fn read_until_closed(&mut self) -> &Seen {
        self.wait_until(|seen| seen.closed);
        &self.seen
    }

    pub fn wait_until(&mut self, condition: impl Fn(&Seen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(&self.seen) {
            assert!(
                Instant::now() < deadline && !self.seen.closed,
                "it never came: {:?}",
                self.seen
            );
            self.read_for(Duration::from_millis(50));
        }
    }

    /// Reads what comes within `span`.
    pub fn read_for(&mut self, span: Duration) {
        self.stream.set_read_timeout(Some(span)).unwrap();
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.seen.closed = true,
            Ok(count) => self.take(&bytes[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => self.seen.closed = true,
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (feed, rest) = self.deframer.feed(bytes);
            match feed {
                Feed::Packet(packet) => self.seen.note(&parse(packet).unwrap()),
                Feed::NeedMore => {}
                Feed::Bad { reason, .. } => panic!("the server sent garbage: {reason:?}"),
            }
            bytes = rest;
        }
    }
}

impl Seen {
    fn note(&mut self, packet: &ServerPacket<'_>) {
        match packet {
            ServerPacket::Welcome(welcome) => self.welcome = Some(welcome.id.0),
            ServerPacket::Reject(reject) => {
                assert!(!reject.text.0.is_empty(), "a Reject says what to do");
                self.reject = Some(reject.reason);
            }
            ServerPacket::Bye(bye) => self.bye = Some(bye.reason),
            ServerPacket::State(state) => self.states.push(state.id.0),
            ServerPacket::Left(left) => self.left.push(left.id.0),
            ServerPacket::Voice(voice) => {
                self.voices += 1;
                self.terminators += usize::from(voice.terminator);
            }
            _ => {}
        }
    }
}
