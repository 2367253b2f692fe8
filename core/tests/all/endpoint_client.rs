//! A client's endpoint on virtual time: what it sends and when, and how it handles what it
//! receives.

mod delays;
mod life;
mod payloads;
mod stream;
mod tick_hints;
mod voice;

use std::ops::Range;

use crate::common::mic::{quiet, soft, word};
use crate::common::session_pair::{NONCE, Pair, closed, pages, reject, rejected, say};
use talkspurt_core::audio::codec::{ADPCM_PAYLOAD_MAX, CodecId, PAYLOAD_MAX};
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::audio::frame::Frame;
use talkspurt_core::audio::gate::{GateConfig, GateConfigError, GateDecision, GateMode};
use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::carrier::stream::{ENCODED_MAX, TRANSMIT_MAX, encoded_len_max};
use talkspurt_core::endpoint::{
    self, ClientConfig, ClientConfigError, ClientStats, write_to_stream,
};
use talkspurt_core::session::{ClientEvent, JoinRequest};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::voice::downlink::Playout;
use talkspurt_core::voice::uplink::history_samples;
use talkspurt_core::wire::{
    Bye, CREDENTIALS_BYTES_MAX, ClientPacket, ParticipantFlags, Reason, ServerPacket, ServerPong,
    Voice, parse,
};

const MS: fn(u64) -> Duration = Duration::from_millis;
const PATIENCE: Duration = Duration::from_secs(5);

type Client<const PAYLOAD: usize, const ENCODED: usize> =
    endpoint::Client<PAYLOAD, ENCODED, 64, 32_768, HISTORY_SAMPLES>;

/// Keeps more than a pre-roll may have.
const HISTORY_MS: usize = 300;
const HISTORY_SAMPLES: usize = history_samples(AudioFormat::DEFAULT, HISTORY_MS);

/// A client of any codec.
type Whole = Client<PAYLOAD_MAX, TRANSMIT_MAX>;

/// The longest packets of a client that has memory for ADPCM only.
const SMALL_ENCODED: usize = encoded_len_max(352) + 1;
type Small = Client<ADPCM_PAYLOAD_MAX, SMALL_ENCODED>;

fn request() -> JoinRequest {
    let codecs = [CodecId::Pcm16, CodecId::ImaAdpcm];
    JoinRequest::new("kitchen".parse().unwrap(), "ada".parse().unwrap(), &codecs)
}

/// A client, the time, and the client's events.
struct End {
    client: Whole,
    now: Instant,
    events: Vec<ClientEvent>,
}

/// A configuration whose gate a word opens from the first frame on, and a quiet frame never.
fn fixed_gate(request: JoinRequest) -> ClientConfig {
    let mut config = ClientConfig::new(request);
    config.gate.mode = GateMode::ORIGINAL;
    config
}

impl End {
    fn new() -> Self {
        Self {
            client: Whole::new(fixed_gate(request())).unwrap(),
            now: Instant::from_micros(1_000_000),
            events: Vec::new(),
        }
    }

    /// A client alone in a PCM16 room, with nothing to transmit.
    fn joined(frame_ms: u8) -> Self {
        let mut end = Self::new();
        end.join(frame_ms);
        end
    }

    fn join(&mut self, frame_ms: u8) {
        self.client.join(self.now, PATIENCE, NONCE);
        self.sent();
        let mut welcome = Pair::welcome_packet(&["ada"]);
        welcome.frame_ms = frame_ms;
        self.receive(&ServerPacket::Welcome(welcome));
        for page in pages(&["ada"], welcome.revision) {
            self.receive(&ServerPacket::Roster(page));
        }
        // A Ping is due at once.
        self.client.handle_timeout(self.now);
        self.sent();
        self.events.clear();
    }

    fn receive(&mut self, packet: &ServerPacket<'_>) {
        let mut bytes = [0; ENCODED_MAX];
        let len = write_to_stream(packet, &mut bytes).unwrap();
        self.receive_bytes(&bytes[..len]);
    }

    fn receive_bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = self.client.handle_stream(self.now, bytes);
            self.take_events();
        }
    }

    fn handle_timeout(&mut self) {
        self.client.handle_timeout(self.now);
        self.take_events();
    }

    fn take_events(&mut self) {
        let client = &mut self.client;
        self.events
            .extend(std::iter::from_fn(|| client.poll_event()));
    }

    /// Takes one packet as it stands in the stream, and whether it may be dropped.
    fn transmit(&mut self) -> Option<(Vec<u8>, bool)> {
        let mut out = [0xaa; TRANSMIT_MAX];
        let transmit = self.client.poll_transmit(self.now, &mut out)?;
        self.take_events();
        assert!(out[transmit.len..].iter().all(|&byte| byte == 0xaa));
        Some((out[..transmit.len].to_vec(), transmit.droppable))
    }

    /// Takes everything there is to transmit.
    fn sent(&mut self) -> Vec<Sent> {
        let transmitted = std::iter::from_fn(|| self.transmit());
        let sent = transmitted.map(|(bytes, droppable)| {
            let sent = Sent::of(&bytes);
            assert_eq!(droppable, matches!(sent, Sent::Frame(_) | Sent::EndOfTalk));
            sent
        });
        sent.collect()
    }

    /// Says words of 20 ms without transmitting them; each is marked with its number.
    fn say(&mut self, numbers: Range<i16>) {
        for number in numbers {
            self.client.push_frame(self.now, &word(number));
            self.now += MS(20);
        }
    }

    fn play(&mut self) -> (Playout, i16) {
        let mut out = Frame::silence(0);
        let playout = self.client.pop_frame(&mut out);
        (playout, out[100])
    }
}

/// A packet that was transmitted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sent {
    Hello {
        muted: bool,
    },
    /// The frame's mark, or the sequence number if its codec has no marks.
    Frame(i16),
    EndOfTalk,
    Muted(bool),
    Ping,
    Pong(u32),
    Bye(Reason),
    RosterRequest,
    DelayReport(u16),
}

impl Sent {
    fn of(bytes: &[u8]) -> Self {
        let mut deframer: Deframer = Deframer::new();
        let (Feed::Packet(packet), []) = deframer.feed(bytes) else {
            panic!("not one packet: {bytes:?}")
        };
        match parse(packet).unwrap() {
            ClientPacket::Hello(hello) => Self::Hello {
                muted: hello.flags.has(ParticipantFlags::MUTED),
            },
            ClientPacket::Voice(Voice {
                payload: [],
                terminator: true,
                ..
            }) => Self::EndOfTalk,
            ClientPacket::Voice(voice) => match voice.payload {
                [low, high, ..] if voice.payload.len() >= 160 => {
                    Self::Frame(i16::from_le_bytes([*low, *high]))
                }
                _ => Self::Frame(voice.seq.0 as i16),
            },
            ClientPacket::SetMuted(muted) => Self::Muted(muted.muted),
            ClientPacket::Ping(_) => Self::Ping,
            ClientPacket::Pong(number) => Self::Pong(number),
            ClientPacket::Bye(bye) => Self::Bye(bye.reason),
            ClientPacket::DelayReport(report) => Self::DelayReport(report.delay_ms),
            ClientPacket::RosterRequest => Self::RosterRequest,
        }
    }
}

fn frames(numbers: Range<i16>) -> Vec<Sent> {
    numbers.map(Sent::Frame).collect()
}
