//! The hub in virtual time, driven with raw packets.

use talkspurt_core::audio::codec::Codec;
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::audio::mixer::MixRule;
use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::seq::Seq;
use talkspurt_core::wire::{
    ClientPacket, Hello, PROTOCOL_VERSION, ParticipantFlags, ServerPacket, Voice, parse,
};

use super::*;
use crate::config::{CONTROL_BYTES, ROSTER_ENTRY_BYTES};
use crate::outbox::PACKET_OVERHEAD_BYTES;

mod admission;
mod books;
mod handshakes;
mod limits;
mod mix;
mod rosters;
mod slow;
mod states;
mod voice;

const SAMPLES: usize = 320;
const FRAME: Duration = Duration::from_millis(20);

fn config() -> HubConfig {
    HubConfig {
        frame: FrameDuration::Ms20,
        mix_rule: MixRule::Mean,
        max_participants: 100,
        max_handshakes: 256,
        room_capacity: 64,
        handshake_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(15),
    }
}

/// A hub and what its peers have received.
struct Bench {
    hub: Hub,
    now: Instant,
    peers: Vec<Peer>,
    events: Vec<Event>,
    ticks: usize,
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
        id: u16,
        codec: u8,
        roster: Vec<(u16, String, u8)>,
        roster_len: u16,
    },
    Roster(Vec<(u16, String, u8)>),
    Joined(u16, String),
    Left(u16),
    State(u16, ParticipantFlags),
    Voice {
        seq: u16,
        timestamp: u32,
        terminator: bool,
        samples: Vec<i16>,
        at: Instant,
    },
    Reject(RejectReason, String),
    Bye(ByeReason),
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
        self.join_with(room, name, Codec::Pcm16)
    }

    fn join_with(&mut self, room: &str, name: &str, codec: Codec) -> usize {
        let peer = self.connect();
        self.hello(peer, room, name, codec);
        peer
    }

    fn hello(&mut self, peer: usize, room: &str, name: &str, codec: Codec) {
        self.hello_with(room, name, false, peer, codec);
    }

    fn hello_with(&mut self, room: &str, name: &str, muted: bool, peer: usize, codec: Codec) {
        let codecs = &[codec.id()];
        let mut hello = Hello {
            version: PROTOCOL_VERSION,
            room,
            name,
            codecs,
            rates_hz: Default::default(),
            muted,
            credentials: &[],
        };
        hello.rates_hz.push(16_000).unwrap();
        self.send(peer, &ClientPacket::Hello(hello));
    }

    fn send(&mut self, peer: usize, packet: &ClientPacket<'_>) {
        let mut bytes = [0; ENCODED_MAX];
        let len = write_to_stream(packet, &mut bytes).unwrap();
        self.send_bytes(peer, &bytes[..len]);
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
        self.peers[peer].spoken += 1;
        let number = self.peers[peer].spoken;
        let voice = Voice {
            seq: Seq(number),
            timestamp_frames: number.into(),
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
            self.hub.admit_all(self.now);
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
                Feed::Packet(packet) => self
                    .received
                    .push(Received::owned(parse(packet).unwrap(), at)),
                Feed::NeedMore => {}
                Feed::Bad { reason, .. } => panic!("the server sent garbage: {reason:?}"),
            }
            bytes = rest;
        }
    }
}

impl Received {
    fn owned(packet: ServerPacket<'_>, at: Instant) -> Self {
        let page = |page: &[talkspurt_core::wire::RosterEntry<'_>]| {
            page.iter()
                .map(|entry| (entry.id.0, entry.name.to_owned(), entry.flags.0))
                .collect()
        };
        match packet {
            ServerPacket::Welcome(w) => Self::Welcome {
                id: w.id.0,
                codec: w.codec,
                roster: page(&w.roster),
                roster_len: w.roster_len,
            },
            ServerPacket::Roster(entries) => Self::Roster(page(&entries)),
            ServerPacket::Joined(entry) => Self::Joined(entry.id.0, entry.name.to_owned()),
            ServerPacket::Left(id) => Self::Left(id.0),
            ServerPacket::State(id, flags) => Self::State(id.0, flags),
            ServerPacket::Voice(voice) => {
                let codec = if voice.payload.len() == 163 {
                    Codec::ImaAdpcm
                } else {
                    Codec::Pcm16
                };
                let mut samples = vec![0; if voice.payload.is_empty() { 0 } else { SAMPLES }];
                if !samples.is_empty() {
                    codec.decode(voice.payload, &mut samples).unwrap();
                }
                let (seq, timestamp) = (voice.seq.0, voice.timestamp_frames);
                Self::Voice {
                    seq,
                    timestamp,
                    terminator: voice.terminator,
                    samples,
                    at,
                }
            }
            ServerPacket::Reject(reason, text) => Self::Reject(reason, text.to_owned()),
            ServerPacket::Bye(reason) => Self::Bye(reason),
            ServerPacket::Pong(number) => Self::Pong(number),
            ServerPacket::Ping(_) => panic!("servers do not ping"),
        }
    }
}
