//! A node on a simulated UART, a cable that can be cut and noisy, and a server session in memory,
//! on virtual time.

use std::collections::VecDeque;
use std::string::String;
use std::vec::Vec;

use talkspurt_core::audio::codec::{AnyCodec, Codec, CodecId, ImaAdpcm};
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::audio::gate::GateMode;
use talkspurt_core::audio::level::{half_db, rms};
use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::session::{JoinRequest, ServerEvent, ServerSession, ServerSessionConfig};
use talkspurt_core::wire::{
    Nonce, PROTOCOL_VERSION, ParticipantFlags, ParticipantId, ParticipantName, Reason, RoomName,
    Roster, RosterEntry, RosterPage, ServerPacket, Voice, Welcome, parse,
};

use crate::host::pace::tests::{Samples, Tape};
use crate::host::pace::{PacedSink, PacedSource};
use crate::node::*;
use crate::uart::{Line, Uart};

pub const FRAME: usize = 320;
pub const NODE_ID: ParticipantId = ParticipantId(7);

/// The cable between the node and its server. It can be cut or noisy.
#[derive(Debug, Default)]
pub struct Cable {
    pub to_node: VecDeque<u8>,
    pub from_node: VecDeque<u8>,
    pub cut: bool,
    /// Changes one byte of this many.
    pub noise_one_in: Option<u64>,
    pub random: u64,
}

impl Cable {
    pub fn maybe_damage(&mut self, byte: u8) -> u8 {
        // Xorshift64 (Marsaglia 2003): the same noise in every run.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        match self.noise_one_in {
            Some(many) if self.random.is_multiple_of(many) => {
                byte ^ ((self.random >> 32) as u8 | 1)
            }
            _ => byte,
        }
    }
}

impl Line for Cable {
    fn receive(&mut self, buf: &mut [u8]) -> usize {
        let count = buf.len().min(self.to_node.len());
        for slot in &mut buf[..count] {
            let byte = self.to_node.pop_front().unwrap();
            *slot = self.maybe_damage(byte);
        }
        if self.cut { 0 } else { count }
    }

    fn transmit(&mut self, bytes: &[u8]) -> usize {
        if self.cut {
            return 0;
        }
        for &byte in bytes {
            let byte = self.maybe_damage(byte);
            self.from_node.push_back(byte);
        }
        bytes.len()
    }
}

/// The server's end of one connection.
pub struct Server {
    pub session: ServerSession,
    pub deframer: Deframer,
    pub answer: Answer,
    pub encoder: AnyCodec,
    pub spoken: u16,
    pub heard: Vec<Heard>,
    pub left: Vec<Reason>,
    pub nonce: Nonce,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Accept,
    Refuse,
    HangUp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub seq: u16,
    pub terminator: bool,
    pub samples: Vec<i16>,
}

impl Server {
    pub fn new(now: Instant) -> Self {
        let config = ServerSessionConfig::new(AudioFormat::DEFAULT);
        Self {
            session: ServerSession::new(config, now),
            deframer: Deframer::new(),
            answer: Answer::Accept,
            encoder: AnyCodec::from(CodecId::ImaAdpcm),
            spoken: 0,
            heard: Vec::new(),
            left: Vec::new(),
            nonce: [0; 8],
        }
    }

    pub fn step(&mut self, now: Instant, cable: &mut Cable) {
        let bytes: Vec<u8> = cable.from_node.drain(..).collect();
        let mut rest = &bytes[..];
        loop {
            let (feed, after) = self.deframer.feed(rest);
            rest = after;
            match feed {
                Feed::NeedMore => break,
                Feed::Bad { dropped_bytes, .. } => self.session.handle_garbage(now, dropped_bytes),
                Feed::Packet(packet) => {
                    if let Some(voice) = self.session.handle_packet(now, parse(packet)) {
                        self.heard.push(hear(&voice));
                    }
                }
            }
            self.answer_events(cable);
        }
        self.session.handle_timeout(now);
        self.answer_events(cable);
        while let Some(packet) = self.session.poll_transmit(1, ParticipantFlags::default()) {
            send(cable, &packet);
        }
    }

    pub fn answer_events(&mut self, cable: &mut Cable) {
        while let Some(event) = self.session.poll_event() {
            match event {
                ServerEvent::Hello(hello) if self.answer == Answer::Accept => {
                    assert_eq!(
                        (hello.room.as_str(), hello.name.as_str()),
                        ("kitchen", "kettle")
                    );
                    self.session.accept();
                    self.nonce = hello.nonce;
                    self.welcome(cable);
                }
                ServerEvent::Hello(_) if self.answer == Answer::HangUp => {
                    self.session.end(Reason::STOPPING, "");
                }
                ServerEvent::Hello(_) => {
                    self.session.end(Reason::NAME_TAKEN, "choose another name")
                }
                ServerEvent::Repeated => self.welcome(cable),
                ServerEvent::RosterRequested => self.list(cable),
                ServerEvent::Left(reason, _) => self.left.push(reason),
                _ => {}
            }
        }
    }

    pub fn welcome(&self, cable: &mut Cable) {
        let welcome = Welcome {
            version: PROTOCOL_VERSION,
            nonce: self.nonce,
            max_packet: 1_280,
            features: 0,
            resume: None,
            id: NODE_ID,
            codec_up: CodecId::ImaAdpcm.id(),
            codec_down: CodecId::ImaAdpcm.id(),
            rate_hz: 16_000,
            frame_ms: 20,
            idle_timeout_ms: 15_000,
            revision: 1,
            participants: 2,
        };
        send(cable, &ServerPacket::Welcome(welcome));
        self.list(cable);
    }

    fn list(&self, cable: &mut Cable) {
        let flags = ParticipantFlags::default();
        let entries = [(ParticipantId(3), "ann"), (NODE_ID, "kettle")];
        let roster = Roster {
            revision: 1,
            first: 0,
            total: 2,
            entries: RosterPage::from_iter(
                entries.map(|(id, name)| RosterEntry::new(id, flags, name)),
            ),
        };
        send(cable, &ServerPacket::Roster(roster));
    }

    /// Sends one frame to the node. Returns what the node must play.
    pub fn say(&mut self, cable: &mut Cable, samples: &[i16], terminator: bool) -> Vec<i16> {
        let mut payload = [0; ADPCM_PAYLOAD_MAX];
        let length = self.encoder.encode(samples, &mut payload).unwrap();
        let voice = Voice {
            seq: Seq(self.spoken),
            timestamp: Timestamp(8 * u32::from(self.spoken)),
            level: half_db(rms(samples)),
            stream: 0,
            terminator,
            payload: &payload[..length],
        };
        self.spoken = self.spoken.wrapping_add(1);
        send(cable, &ServerPacket::Voice(voice));
        let mut decoded = Vec::from([0; FRAME]);
        ImaAdpcm::default()
            .decode(&payload[..length], &mut decoded)
            .unwrap();
        decoded
    }
}

pub fn send(cable: &mut Cable, packet: &ServerPacket<'_>) {
    let mut out = [0; ENCODED_MAX];
    let length = write_to_stream(packet, &mut out).unwrap();
    cable.to_node.extend(&out[..length]);
}

pub fn hear(voice: &Voice<'_>) -> Heard {
    let mut samples = Vec::from([0; FRAME]);
    if voice.payload.is_empty() {
        samples.clear();
    } else {
        ImaAdpcm::default()
            .decode(voice.payload, &mut samples)
            .unwrap();
    }
    Heard {
        seq: voice.seq.0,
        terminator: voice.terminator,
        samples,
    }
}

/// A node, its board, and (while it runs) its server.
pub struct World {
    pub now: Instant,
    pub node: AdpcmNode,
    pub board: Board<Uart<Cable>, PacedSource, PacedSink>,
    pub tape: Tape,
    pub server: Option<Server>,
    pub events: Vec<String>,
    pub joined_at: Option<Instant>,
}

impl World {
    pub fn new(baud: u32, samples: Vec<i16>, gated: bool) -> Self {
        let now = Instant::ZERO;
        let mut config = ClientConfig::new(JoinRequest::new(
            RoomName::new("kitchen").unwrap(),
            ParticipantName::new("kettle").unwrap(),
            &[CodecId::ImaAdpcm],
        ));
        config.gate.mode = match gated {
            true => GateMode::ORIGINAL,
            false => GateMode::Off,
        };
        let cable = Cable {
            random: 0x5EED,
            ..Cable::default()
        };
        let port = Uart::new(cable, baud, now);
        let tape = Tape::default();
        let board = Board {
            port,
            microphone: PacedSource::new(Box::new(Samples(samples))),
            speaker: PacedSink::new(Box::new(tape.clone())),
        };
        let node = AdpcmNode::new(config, 1, now).unwrap();
        Self {
            now,
            node,
            board,
            tape,
            server: Some(Server::new(now)),
            events: Vec::new(),
            joined_at: None,
        }
    }

    /// Lets a millisecond pass.
    pub fn step(&mut self) {
        self.now += Duration::from_millis(1);
        let (now, events, joined_at) = (self.now, &mut self.events, &mut self.joined_at);
        self.board.port.service(now);
        self.node.poll(now, &mut self.board, &mut |event| {
            if matches!(event, NodeEvent::Joined { .. }) {
                joined_at.get_or_insert(now);
            }
            events.push(describe(&event));
        });
        let cable = self.board.port.line_mut();
        match &mut self.server {
            Some(server) => server.step(now, cable),
            None => cable.from_node.clear(),
        }
    }

    pub fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms {
            self.step();
        }
    }

    pub fn run_until(&mut self, limit_ms: u64, what: &str, mut done: impl FnMut(&Self) -> bool) {
        for _ in 0..limit_ms {
            if done(self) {
                return;
            }
            self.step();
        }
        panic!(
            "not within {limit_ms} ms: {what}; events: {:?}",
            self.events
        );
    }

    pub fn run_until_joined(&mut self, limit_ms: u64) {
        self.run_until(limit_ms, "joined", |world| world.node.is_joined());
    }

    pub fn server(&mut self) -> &mut Server {
        self.server.as_mut().unwrap()
    }

    pub fn say(&mut self, samples: &[i16], terminator: bool) -> Vec<i16> {
        self.server
            .as_mut()
            .unwrap()
            .say(self.board.port.line_mut(), samples, terminator)
    }

    pub fn count(&self, event: &str) -> usize {
        self.events.iter().filter(|e| e.starts_with(event)).count()
    }
}

pub fn describe(event: &NodeEvent<'_>) -> String {
    match event {
        NodeEvent::Calling { attempt } => std::format!("calling {attempt}"),
        NodeEvent::Joined {
            params,
            participants,
        } => {
            std::format!("joined {} of {participants}", params.id.0)
        }
        NodeEvent::Room(event) => match event {
            ClientEvent::Listed { participant, .. } => std::format!("listed {}", participant.name),
            ClientEvent::RosterComplete => "complete".into(),
            ClientEvent::ParticipantJoined(participant) => {
                std::format!("came {}", participant.name)
            }
            ClientEvent::ParticipantLeft(id, _) => std::format!("went {}", id.0),
            ClientEvent::State(id, flags) => std::format!("state {} {}", id.0, flags.0),
            other => panic!("{other:?} is not for the board"),
        },
        NodeEvent::Rejected { reason, text } => std::format!("rejected {} {text}", reason.label()),
        NodeEvent::Lost { reason, text } => std::format!("lost {} {text}", reason.label())
            .trim_end()
            .into(),
        NodeEvent::Left => "left".into(),
    }
}

/// A triangle wave: cheap, loud (RMS 0.58 of the peak), and no two neighbouring frames are alike.
pub fn tone(frames: usize, peak: i32) -> Vec<i16> {
    (0..(frames * FRAME) as i32)
        .map(|n| {
            let phase = (n * 37) % 4000;
            ((phase - 2000).abs() * 2 * peak / 2000 - peak) as i16
        })
        .collect()
}

pub fn silence(frames: usize) -> Vec<i16> {
    Vec::from_iter(core::iter::repeat_n(0, frames * FRAME))
}
