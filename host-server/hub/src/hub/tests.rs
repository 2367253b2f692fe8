//! The hub in virtual time, driven with raw packets.

use talkspurt_core::audio::codec::{AnyCodec, Codec, CodecId};
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::audio::level::{half_db, rms};
use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::wire::{
    Bye, ClientPacket, Hello, Nonce, PROTOCOL_VERSION, ParticipantFlags, RosterEntry, ServerPacket,
    SetMuted, TickHint, Token, Voice, parse,
};

use super::*;
use crate::config::{CONTROL_BYTES, ROSTER_ENTRY_BYTES};
use crate::outbox::PACKET_OVERHEAD_BYTES;

mod admission;
mod books;
mod delay_reports;
mod handshakes;
mod limits;
mod mix;
mod resume;
mod rosters;
mod slow;
mod states;
mod tick_hints;
mod voice;

const SAMPLES: usize = 320;
const FRAME: Duration = Duration::from_millis(20);

fn config() -> HubConfig {
    HubConfig {
        max_participants: 100,
        ..HubConfig::default()
    }
}

fn stream_bytes(packet: &ClientPacket<'_>) -> Vec<u8> {
    let mut bytes = [0; ENCODED_MAX];
    let len = write_to_stream(packet, &mut bytes).unwrap();
    bytes[..len].to_vec()
}

/// A hub and what its peers have received.
struct Bench {
    hub: Hub,
    now: Instant,
    peers: Vec<Peer>,
    events: Vec<Event>,
    ticks: usize,
    /// Hellos so far: each has another nonce.
    hellos: u64,
    /// Whether those who want to join are answered at once.
    answers: bool,
}

/// One connection as the other end sees it.
struct Peer {
    link: Option<LinkId>,
    deframer: Deframer,
    /// Whether it takes what is sent to it.
    reads: bool,
    received: Vec<Received>,
    closed: bool,
    /// Whether the hub gave up what it had not taken, once it is closed.
    closed_unsent: Option<bool>,
    spoken: u16,
    /// How many writes have brought what it received.
    writes: usize,
}

/// A server packet, owned.
#[derive(Clone, Debug, PartialEq)]
enum Received {
    Welcome {
        id: u32,
        codec: u8,
        /// From the pages that follow.
        roster: Vec<(u32, String, u32)>,
        roster_len: u32,
        token: Option<Token>,
        revision: u32,
    },
    Roster(Vec<(u32, String, u32)>),
    Joined(u32, String),
    Left(u32, Reason),
    State(u32, ParticipantFlags),
    Count(u32),
    TickHint(TickHint),
    DelayReport(u16),
    Voice {
        seq: u16,
        timestamp: u32,
        level: u8,
        terminator: bool,
        samples: Vec<i16>,
        at: Instant,
    },
    Reject(Reason, String),
    Bye(Reason),
    Pong(u32),
}

/// Turns of a loop that asks the hub for more. Far more than any test needs are a failure: a loop
/// without end would hang instead.
struct Rounds(u32);

impl Rounds {
    fn next(&mut self) {
        self.0 += 1;
        assert!(self.0 < 1_000_000, "the hub asks for more without end");
    }
}

impl Bench {
    fn new(config: HubConfig) -> Self {
        Self {
            hub: Hub::new(config),
            now: Instant::from_micros(1_000_000),
            peers: Vec::new(),
            events: Vec::new(),
            ticks: 0,
            hellos: 0,
            answers: true,
        }
    }

    fn connect(&mut self) -> usize {
        let link = self.hub.connect(self.now);
        let peer = Peer {
            link,
            deframer: Deframer::new(),
            reads: true,
            received: vec![],
            closed: false,
            closed_unsent: None,
            spoken: 0,
            writes: 0,
        };
        self.peers.push(peer);
        // Someone else may have had to make room.
        self.deliver();
        self.peers.len() - 1
    }

    /// No descriptor is left.
    fn refuse_handshakes(&mut self, most: usize) {
        self.hub.refuse_handshakes(most, self.now);
        self.deliver();
    }

    /// Connects and joins; gives the peer.
    fn join(&mut self, room: &str, name: &str) -> usize {
        self.join_with(room, name, CodecId::Pcm16)
    }

    fn join_with(&mut self, room: &str, name: &str, codec: CodecId) -> usize {
        let peer = self.connect();
        self.hello(peer, room, name, codec);
        peer
    }

    fn hello(&mut self, peer: usize, room: &str, name: &str, codec: CodecId) {
        self.hello_with(room, name, false, peer, codec);
    }

    fn hello_with(&mut self, room: &str, name: &str, muted: bool, peer: usize, codec: CodecId) {
        self.hellos += 1;
        let codecs = [codec.id()];
        let hello = Hello {
            flags: ParticipantFlags::default().with(ParticipantFlags::MUTED, muted),
            ..hello(room, name, &codecs, self.hellos.to_le_bytes())
        };
        self.send(peer, &ClientPacket::Hello(hello));
    }

    /// Mutes or unmutes; what was said before that is heard first.
    fn set_muted(&mut self, peer: usize, muted: bool) {
        let spoken = self.peers[peer].spoken;
        let after = (spoken > 0).then_some(Seq(spoken));
        self.send(peer, &ClientPacket::SetMuted(SetMuted { muted, after }));
    }

    fn send(&mut self, peer: usize, packet: &ClientPacket<'_>) {
        self.send_bytes(peer, &stream_bytes(packet));
    }

    fn send_bytes(&mut self, peer: usize, bytes: &[u8]) {
        if let Some(link) = self.peers[peer].link {
            self.hub.handle_bytes(link, bytes, self.now);
        }
        self.deliver();
    }

    /// A frame in which every sample is `value`.
    fn speak(&mut self, peer: usize, value: i16, terminator: bool) {
        let payload: Vec<u8> = value.to_le_bytes().repeat(SAMPLES);
        self.speak_payload(peer, &payload, terminator);
    }

    fn speak_payload(&mut self, peer: usize, payload: &[u8], terminator: bool) {
        self.speak_at(peer, level_of(payload), payload, terminator);
    }

    /// A frame that says of itself that it is so loud.
    fn speak_at(&mut self, peer: usize, level: u8, payload: &[u8], terminator: bool) {
        self.peers[peer].spoken += 1;
        let number = self.peers[peer].spoken;
        let voice = Voice {
            seq: Seq(number),
            timestamp: Timestamp(8 * u32::from(number)),
            level,
            stream: 0,
            terminator,
            payload,
        };
        self.send(peer, &ClientPacket::Voice(voice));
    }

    fn close(&mut self, peer: usize) {
        if let Some(link) = self.peers[peer].link.take() {
            self.hub.handle_closed(link, self.now);
        }
        self.deliver();
    }

    /// Lets time pass, doing all that is due on its way.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        let mut rounds = Rounds(0);
        while let Some(due) = self.hub.poll_timeout().filter(|due| *due <= end) {
            rounds.next();
            self.now = self.now.max(due);
            self.ticks += usize::from(self.hub.handle_timeout(self.now) == Work::Tick);
            self.deliver();
        }
        self.now = end;
    }

    /// Time passes unnoticed: the server was not scheduled.
    fn oversleep(&mut self, span: Duration) {
        self.now += span;
    }

    fn deliver(&mut self) {
        let mut rounds = Rounds(0);
        if self.answers {
            let hellos = &mut self.hellos;
            self.hub.admit_all(self.now, || {
                *hellos += 1;
                u128::from(*hellos).to_le_bytes()
            });
        }
        while let Some(link) = self.hub.poll_output() {
            rounds.next();
            self.deliver_to(link);
        }
        while let Some(event) = self.hub.poll_event() {
            rounds.next();
            self.events.push(event);
        }
    }

    fn deliver_to(&mut self, link: LinkId) {
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.link == Some(link)) else {
            return;
        };
        let mut rounds = Rounds(0);
        let close = self.hub.write(link, self.now, |outbox| {
            rounds.next();
            if !peer.reads {
                return Some(0);
            }
            let bytes: Vec<u8> = outbox.packets().flatten().copied().collect();
            peer.take(&bytes, self.now);
            peer.writes += 1;
            Some(bytes.len())
        });
        if let Some(Close { unsent }) = close {
            (peer.closed, peer.link) = (true, None);
            peer.closed_unsent = Some(unsent);
        }
    }

    /// Deadlines that are kept, old ones among them.
    fn deadlines_kept(&self) -> usize {
        let shard = &self.hub.shard;
        let rooms = shard.rooms.values();
        let of_rooms = rooms.map(|room| room.members.deadlines.queue.len());
        let others = shard.deadlines.queue.len() + self.hub.lobby.deadlines.queue.len();
        others + of_rooms.sum::<usize>()
    }

    /// Voice packets that a peer lost by reading too slowly.
    fn voice_dropped(&self, peer: usize) -> u64 {
        let mut members = self.hub.rooms().flat_map(Room::members);
        let link = members.find(|member| Some(member.link.id) == self.peers[peer].link);
        link.map_or(0, |member| member.link.outbox.voice_dropped())
    }

    fn take_received(&mut self, peer: usize) -> Vec<Received> {
        std::mem::take(&mut self.peers[peer].received)
    }

    /// What a peer was told of others' doings, all else forgotten.
    fn take_states(&mut self, peer: usize) -> Vec<Received> {
        let mut received = self.take_received(peer);
        received.retain(|received| matches!(received, Received::State(..)));
        received
    }

    fn forget_received(&mut self) {
        self.peers.iter_mut().for_each(|peer| peer.received.clear());
    }

    /// The voice packets that a peer got: (sample value, terminator), where all samples are equal.
    fn heard(&self, peer: usize) -> Vec<(Option<i16>, bool)> {
        let level = |samples: &[i16]| {
            assert!(
                samples.windows(2).all(|pair| pair[0] == pair[1]),
                "not constant: {samples:?}"
            );
            samples.first().copied()
        };
        self.voices(peer)
            .map(|(_, terminator, samples)| (level(samples), terminator))
            .collect()
    }

    /// (seq, terminator, samples) of the voice packets that a peer got.
    fn voices(&self, peer: usize) -> impl Iterator<Item = (u16, bool, &[i16])> {
        self.peers[peer]
            .received
            .iter()
            .filter_map(|received| match received {
                Received::Voice {
                    seq,
                    terminator,
                    samples,
                    ..
                } => Some((*seq, *terminator, &samples[..])),
                _ => None,
            })
    }
}

impl Peer {
    fn take(&mut self, mut bytes: &[u8], at: Instant) {
        while !bytes.is_empty() {
            let (feed, rest) = self.deframer.feed(bytes);
            match feed {
                Feed::Packet(packet) => {
                    let received = Received::owned(parse(packet).unwrap(), at);
                    self.note(received);
                }
                Feed::NeedMore => {}
                Feed::Bad { reason, .. } => panic!("the server sent garbage: {reason:?}"),
            }
            bytes = rest;
        }
    }
}

impl Peer {
    /// The pages behind a Welcome are noted with it.
    fn note(&mut self, received: Received) {
        let mut before = self.received.iter_mut().rev();
        let last = before.find(|it| !matches!(it, Received::Voice { .. }));
        match (received, last) {
            (
                Received::Roster(page),
                Some(Received::Welcome {
                    roster, roster_len, ..
                }),
            ) if roster.len() < *roster_len as usize => {
                roster.extend(page);
            }
            (received, _) => self.received.push(received),
        }
    }
}

/// A Hello of someone who is not muted.
fn hello<'a>(room: &'a str, name: &'a str, codecs: &'a [u8], nonce: Nonce) -> Hello<'a> {
    Hello {
        version: PROTOCOL_VERSION,
        nonce,
        max_packet: 1_280,
        features: 0,
        resume: None,
        room,
        name,
        codecs_up: codecs,
        codecs_down: codecs,
        rates_hz: [16_000].into_iter().collect(),
        flags: ParticipantFlags::default(),
        roster: 1,
        credentials: &[],
    }
}

/// How loud a payload of PCM16 is; others are loud.
fn level_of(payload: &[u8]) -> u8 {
    if payload.len() != 2 * SAMPLES {
        return 40;
    }
    let samples = payload.chunks_exact(2);
    let samples: Vec<i16> = samples
        .map(|it| i16::from_le_bytes([it[0], it[1]]))
        .collect();
    half_db(rms(&samples))
}

impl Received {
    fn owned(packet: ServerPacket<'_>, at: Instant) -> Self {
        let text = |text: talkspurt_core::wire::Text<'_>| String::from_utf8(text.0.to_vec());
        let entry =
            |entry: &RosterEntry<'_>| (entry.id.0, text(entry.name).unwrap(), entry.flags.0);
        match packet {
            ServerPacket::Welcome(w) => Self::Welcome {
                id: w.id.0,
                codec: w.codec_down,
                roster: vec![],
                roster_len: w.participants,
                token: w.resume,
                revision: w.revision,
            },
            ServerPacket::Roster(page) => Self::Roster(page.entries.iter().map(entry).collect()),
            ServerPacket::Joined(joined) => {
                let (id, name, _) = entry(&joined.entry);
                Self::Joined(id, name)
            }
            ServerPacket::Left(left) => Self::Left(left.id.0, left.reason),
            ServerPacket::State(state) => Self::State(state.id.0, state.flags),
            ServerPacket::Count(participants) => Self::Count(participants),
            ServerPacket::TickHint(hint) => Self::TickHint(hint),
            ServerPacket::DelayReport(report) => Self::DelayReport(report.delay_ms),
            ServerPacket::Voice(voice) => {
                let codec = if voice.payload.len() == 163 {
                    CodecId::ImaAdpcm
                } else {
                    CodecId::Pcm16
                };
                let mut samples = vec![0; if voice.payload.is_empty() { 0 } else { SAMPLES }];
                if !samples.is_empty() {
                    AnyCodec::from(codec)
                        .decode(voice.payload, &mut samples)
                        .unwrap();
                }
                let (seq, timestamp) = (voice.seq.0, voice.timestamp.0);
                Self::Voice {
                    seq,
                    timestamp,
                    level: voice.level,
                    terminator: voice.terminator,
                    samples,
                    at,
                }
            }
            ServerPacket::Reject(reject) => Self::Reject(reject.reason, text(reject.text).unwrap()),
            ServerPacket::Bye(bye) => Self::Bye(bye.reason),
            ServerPacket::Pong(pong) => Self::Pong(pong.number),
            ServerPacket::Ping(_) => panic!("servers do not ping"),
        }
    }
}
