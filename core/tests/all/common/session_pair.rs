//! A client's and a server's session joined by a perfect line, on virtual time.

use crate::common::wide_band;
use talkspurt_core::audio::codec::CodecId;
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::carrier::stream::PACKET_MAX;
use talkspurt_core::seq::Seq;
use talkspurt_core::session::{
    ClientEvent, ClientSession, HANDSHAKE_TIMEOUT_DEFAULT, HelloRequest, JoinRequest, ServerEvent,
    ServerSession, ServerSessionConfig,
};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{
    ByeReason, ClientPacket, PROTOCOL_VERSION, ParticipantFlags, ParticipantId, ROSTER_PAGE,
    RejectReason, RosterEntry, ServerPacket, Voice, Welcome, encode, parse,
};

pub struct Pair {
    pub client: ClientSession,
    pub server: ServerSession,
    pub now: Instant,
    frame_ms: u8,
    /// Client events taken after each input, as the contract asks, that the test has not seen yet.
    client_events: Vec<ClientEvent>,
    server_events: Vec<ServerEvent>,
}

/// Number and payload length of a voice packet that a session let through.
pub type Heard = Option<(Seq, usize)>;

impl Pair {
    /// A fresh connection with the defaults and frames of 20 ms.
    pub fn new() -> Self {
        Self::new_at(20)
    }

    fn new_at(frame_ms: u8) -> Self {
        let now = Instant::from_micros(1_000_000);
        let config = ServerSessionConfig {
            handshake_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(15),
            format: wide_band(FrameDuration::from_millis(frame_ms).unwrap()),
        };
        Self {
            client: new_client(now),
            server: ServerSession::new(config, now),
            now,
            frame_ms,
            client_events: Vec::new(),
            server_events: Vec::new(),
        }
    }

    /// A client alone in a room.
    pub fn joined() -> Self {
        Self::joined_at(20)
    }

    pub fn joined_at(frame_ms: u8) -> Self {
        let mut pair = Self::new_at(frame_ms);
        pair.hello();
        pair.server.accept();
        pair.welcome(&["ada"]);
        assert_eq!(
            pair.client_events().last(),
            Some(&ClientEvent::RosterComplete)
        );
        pair
    }

    /// Delivers the Hello and returns what the server made of it.
    pub fn hello(&mut self) -> HelloRequest {
        self.pump();
        match self.server_events().pop() {
            Some(ServerEvent::Hello(hello)) => hello,
            other => panic!("{other:?} instead of a Hello"),
        }
    }

    /// The Welcome for the first of `names`, with a roster that fits one page.
    pub fn welcome_packet<'a>(names: &[&'a str]) -> Welcome<'a> {
        let entries = room_of(names);
        Welcome {
            version: PROTOCOL_VERSION,
            id: entries[0].id,
            codec: CodecId::Pcm16.id(),
            rate_hz: 16_000,
            frame_ms: 20,
            idle_timeout_ms: 15_000,
            roster_len: entries.len() as u16,
            roster: entries.iter().take(ROSTER_PAGE).copied().collect(),
        }
    }

    /// Welcomes the first of `names` to a room of all of them.
    pub fn welcome(&mut self, names: &[&str]) {
        let mut welcome = Self::welcome_packet(names);
        welcome.frame_ms = self.frame_ms;
        self.send_to_client(&ServerPacket::Welcome(welcome));
        for page in room_of(names).chunks(ROSTER_PAGE).skip(1) {
            self.send_to_client(&ServerPacket::Roster(page.iter().copied().collect()));
        }
    }

    /// Restarts the client's process on the same line.
    pub fn restart_client(&mut self) {
        self.client = new_client(self.now);
    }

    /// Carries packets both ways until neither side has any.
    pub fn pump(&mut self) {
        loop {
            let to_server = self.client.poll_transmit().map(|packet| bytes_of(&packet));
            if let Some(packet) = to_server {
                self.bytes_to_server(&packet);
                continue;
            }
            let to_client = self.server.poll_transmit().map(|packet| bytes_of(&packet));
            let Some(packet) = to_client else { return };
            self.bytes_to_client(&packet);
        }
    }

    pub fn send_to_server(&mut self, packet: &ClientPacket<'_>) -> Heard {
        self.bytes_to_server(&bytes_of(packet))
    }

    pub fn send_to_client(&mut self, packet: &ServerPacket<'_>) -> Heard {
        self.bytes_to_client(&bytes_of(packet))
    }

    pub fn bytes_to_server(&mut self, packet: &[u8]) -> Heard {
        let voice = self.server.handle_packet(self.now, parse(packet));
        let heard = voice.map(|voice| (voice.seq, voice.payload.len()));
        self.server_events
            .extend(std::iter::from_fn(|| self.server.poll_event()));
        heard
    }

    fn bytes_to_client(&mut self, packet: &[u8]) -> Heard {
        let voice = self.client.handle_packet(self.now, parse(packet));
        let heard = voice.map(|voice| (voice.seq, voice.payload.len()));
        self.client_events
            .extend(std::iter::from_fn(|| self.client.poll_event()));
        heard
    }

    /// Asserts that the server ended the session for `reason` and tells the client.
    #[track_caller]
    pub fn assert_server_ends(&mut self, reason: ByeReason) {
        assert_eq!(self.server_events(), [ServerEvent::Left(reason)]);
        self.pump();
        assert_eq!(self.client_events(), [ClientEvent::Closed(reason)]);
    }

    /// Asserts that the server refused the client for `reason` and tells it.
    #[track_caller]
    pub fn assert_server_refuses(&mut self, reason: RejectReason) {
        assert_eq!(self.server_events(), [ServerEvent::Refused(reason)]);
        self.pump();
        assert_eq!(self.client_events(), [ClientEvent::Rejected(reason)]);
    }

    pub fn client_events(&mut self) -> Vec<ClientEvent> {
        self.client_events
            .extend(std::iter::from_fn(|| self.client.poll_event()));
        std::mem::take(&mut self.client_events)
    }

    pub fn server_events(&mut self) -> Vec<ServerEvent> {
        self.server_events
            .extend(std::iter::from_fn(|| self.server.poll_event()));
        std::mem::take(&mut self.server_events)
    }
}

pub fn bytes_of(packet: &impl serde::Serialize) -> Vec<u8> {
    let mut bytes = [0; PACKET_MAX];
    let len = encode(packet, &mut bytes).unwrap();
    bytes[..len].to_vec()
}

fn new_client(now: Instant) -> ClientSession {
    let request = JoinRequest::new(
        "kitchen".parse().unwrap(),
        "ada".parse().unwrap(),
        &[CodecId::Pcm16],
    );
    ClientSession::new(request, HANDSHAKE_TIMEOUT_DEFAULT, now)
}

/// A roster in which nobody talks, numbered from 1.
pub fn room_of<'a>(names: &[&'a str]) -> Vec<RosterEntry<'a>> {
    (1..)
        .zip(names)
        .map(|(id, name)| RosterEntry {
            id: ParticipantId(id),
            flags: ParticipantFlags::default(),
            name,
        })
        .collect()
}

/// A voice packet in the middle of a talkspurt.
pub fn say(number: u16, payload: &[u8]) -> Voice<'_> {
    Voice {
        seq: Seq(number),
        timestamp_frames: u32::from(number),
        terminator: false,
        payload,
    }
}
