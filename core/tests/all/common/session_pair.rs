//! A client's and a server's session joined by a perfect line, on virtual time.

use crate::common::wide_band;
use talkspurt_core::audio::codec::CodecId;
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::carrier::stream::PACKET_MAX;
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::session::{
    ClientEvent, ClientSession, HANDSHAKE_TIMEOUT_DEFAULT, HelloRequest, JoinRequest, ServerEvent,
    ServerSession, ServerSessionConfig,
};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{
    ClientPacket, Encode, NO_NONCE, Nonce, PROTOCOL_VERSION, ParticipantFlags, ParticipantId,
    ROSTER_PAGE, Reason, Reject, Roster, RosterEntry, ServerPacket, Text, Voice, Welcome, encode,
    parse,
};

/// Names the session that a [`Pair`] begins with.
pub const NONCE: Nonce = [7; 8];

/// The revision of the roster with which a [`Pair`] is welcomed.
pub const REVISION: u32 = 300;

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
        let config =
            ServerSessionConfig::new(wide_band(FrameDuration::from_millis(frame_ms).unwrap()));
        Self {
            client: new_client(now, NONCE),
            server: ServerSession::new(config, now),
            now,
            frame_ms,
            client_events: Vec::new(),
            server_events: Vec::new(),
        }
    }

    /// A client that wants to know only how many are in the room.
    pub fn without_roster() -> Self {
        let mut pair = Self::new();
        let mut request = pair.client.request().clone();
        request.roster = false;
        pair.client = begun(request, NONCE, pair.now);
        pair
    }

    /// A client that is in a room, alone.
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

    /// What a server sends to the first of `names`.
    pub fn welcome_packet(names: &[&str]) -> Welcome {
        Welcome {
            version: PROTOCOL_VERSION,
            nonce: NONCE,
            max_packet: PACKET_MAX as u16,
            features: 0,
            resume: Some([9; 16]),
            id: ParticipantId(1),
            codec_up: CodecId::Pcm16.id(),
            codec_down: CodecId::Pcm16.id(),
            rate_hz: 16_000,
            frame_ms: 20,
            idle_timeout_ms: 15_000,
            revision: REVISION,
            participants: names.len() as u32,
        }
    }

    /// Welcomes the first of `names` to a room of all of them.
    pub fn welcome(&mut self, names: &[&str]) {
        let mut welcome = Self::welcome_packet(names);
        welcome.frame_ms = self.frame_ms;
        self.send_to_client(&ServerPacket::Welcome(welcome));
        for page in pages(names, REVISION) {
            self.send_to_client(&ServerPacket::Roster(page));
        }
    }

    /// Restarts the client's process on the same line.
    pub fn restart_client(&mut self) {
        self.client = new_client(self.now, [8; 8]);
    }

    /// The next packet of the server, whose roster has not changed since the Welcome.
    pub fn next_of_server(&mut self) -> Option<ServerPacket<'_>> {
        self.server
            .poll_transmit(REVISION, ParticipantFlags::default())
    }

    /// Carries packets both ways until neither side has any.
    pub fn pump(&mut self) {
        loop {
            let to_server = self.client.poll_transmit().map(|packet| bytes_of(&packet));
            if let Some(packet) = to_server {
                self.bytes_to_server(&packet);
                continue;
            }
            let to_client = self.next_of_server().map(|packet| bytes_of(&packet));
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
    pub fn assert_server_ends(&mut self, reason: Reason) {
        assert_eq!(self.server_events(), [ServerEvent::Left(reason, None)]);
        self.pump();
        assert_eq!(self.client_events(), [ended(reason)]);
    }

    /// The server has ended the session for `reason`, whatever the client makes of it.
    #[track_caller]
    pub fn assert_server_ended(&mut self, reason: Reason) {
        assert_eq!(self.server_events(), [ServerEvent::Left(reason, None)]);
    }

    /// Asserts that the server refused the client for `reason` and tells it.
    #[track_caller]
    pub fn assert_server_refuses(&mut self, reason: Reason) {
        assert_eq!(self.server_events(), [ServerEvent::Refused(reason)]);
        self.pump();
        assert_eq!(self.client_events(), [rejected(reason)]);
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

pub fn bytes_of(packet: &impl Encode) -> Vec<u8> {
    let mut bytes = [0; PACKET_MAX];
    let len = encode(packet, &mut bytes).unwrap();
    bytes[..len].to_vec()
}

/// The session has ended here.
pub fn closed(reason: Reason) -> ClientEvent {
    ClientEvent::Closed(reason, Duration::ZERO)
}

/// The server has ended the session, and says how long to wait.
pub fn ended(reason: Reason) -> ClientEvent {
    ClientEvent::Closed(reason, Duration::from_millis(reason.retry_ms().into()))
}

/// The server has refused the client, and says how long to wait.
pub fn rejected(reason: Reason) -> ClientEvent {
    ClientEvent::Rejected(reason, Duration::from_millis(reason.retry_ms().into()))
}

/// A Reject without a text, of a Hello with this nonce.
pub fn reject(reason: Reason, nonce: Nonce) -> ServerPacket<'static> {
    ServerPacket::Reject(Reject {
        reason,
        version: PROTOCOL_VERSION,
        nonce,
        retry_ms: reason.retry_ms(),
        text: Text::default(),
    })
}

fn new_client(now: Instant, nonce: Nonce) -> ClientSession {
    assert_ne!(nonce, NO_NONCE);
    let mut request = JoinRequest::new(
        "kitchen".parse().unwrap(),
        "ada".parse().unwrap(),
        &[CodecId::Pcm16],
    );
    request.max_packet = PACKET_MAX as u16;
    begun(request, nonce, now)
}

fn begun(request: JoinRequest, nonce: Nonce, now: Instant) -> ClientSession {
    let mut session = ClientSession::new(request);
    session.begin(HANDSHAKE_TIMEOUT_DEFAULT, nonce, now);
    session
}

/// A roster in which nobody talks, numbered from 1.
pub fn room_of<'a>(names: &[&'a str]) -> Vec<RosterEntry<'a>> {
    (1..)
        .zip(names)
        .map(|(id, name)| RosterEntry::new(ParticipantId(id), ParticipantFlags::default(), name))
        .collect()
}

/// The pages of that roster.
pub fn pages<'a>(names: &[&'a str], revision: u32) -> Vec<Roster<'a>> {
    let entries = room_of(names);
    let page = |(n, page): (usize, &[RosterEntry<'a>])| Roster {
        revision,
        first: (n * ROSTER_PAGE) as u32,
        total: names.len() as u32,
        entries: page.iter().copied().collect(),
    };
    entries.chunks(ROSTER_PAGE).enumerate().map(page).collect()
}

/// A voice packet in the midst of a talkspurt.
pub fn say(number: u16, payload: &[u8]) -> Voice<'_> {
    Voice {
        seq: Seq(number),
        timestamp: Timestamp(8 * u32::from(number)),
        level: 40,
        stream: 0,
        terminator: false,
        payload,
    }
}
