//! Traffic on the line: a node and the server's end of its session, joined, on virtual time.

use core::cmp::max;
use core::convert::Infallible;
use core::hint::black_box;

use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};
use heapless::Deque;
use talkspurt_core::audio::codec::{Codec, CodecId};
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::session::{JoinRequest, ServerEvent, ServerSession, ServerSessionConfig};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{
    Nonce, PROTOCOL_VERSION, ParticipantFlags, ParticipantId, ParticipantName, RoomName, Roster,
    RosterEntry, RosterPage, ServerPacket, Voice, Welcome, parse,
};
use talkspurt_node::node::{AdpcmNode, Board, ClientConfig, Node, Pcm16Node};

use crate::common::sound;
use crate::whole::{Microphone, Speaker};

/// The server's default (`host-server`, `--idle-timeout`). Keepalives are a third of it apart.
const IDLE_TIMEOUT_MS: u32 = 15_000;
const FRAMES_PER_S: u32 = 50;
const TALKING_S: u32 = 10;
/// Twelve keepalives.
const SILENT_S: u32 = 60;
/// Three packets of PCM16 each way.
const LINE_BYTES: usize = 2_048;

/// A line of unlimited speed, and the server's end of it.
struct Line {
    to_server: Deque<u8, LINE_BYTES>,
    to_node: Deque<u8, LINE_BYTES>,
    /// Bytes so far, from the node and to it.
    carried: [u32; 2],
}

type Wired = Board<Line, Microphone, Speaker>;

/// Reports the bytes per second in the busier of the two directions.
pub fn measure(report: &mut impl FnMut(&str, u32)) {
    let (talking, silent) = adpcm();
    report("link_adpcm_talking_bytes_per_s", talking);
    report("link_adpcm_silent_bytes_per_s", silent);
    let (talking, silent) = pcm16();
    report("link_pcm16_talking_bytes_per_s", talking);
    report("link_pcm16_silent_bytes_per_s", silent);
}

// Separate functions: inlined, their nodes would be on the stack side by side.
#[inline(never)]
fn adpcm() -> (u32, u32) {
    let Ok(mut node) = AdpcmNode::new(config(CodecId::ImaAdpcm), 1, Instant::ZERO) else {
        unreachable!("the default is good")
    };
    both(&mut node, CodecId::ImaAdpcm)
}

#[inline(never)]
fn pcm16() -> (u32, u32) {
    let Ok(mut node) = Pcm16Node::new(config(CodecId::Pcm16), 1, Instant::ZERO) else {
        unreachable!("the default is good")
    };
    both(&mut node, CodecId::Pcm16)
}

fn config(codec: CodecId) -> ClientConfig {
    let (Ok(room), Ok(name)) = (RoomName::new("kitchen"), ParticipantName::new("node-1")) else {
        unreachable!("good names")
    };
    ClientConfig::new(JoinRequest::new(room, name, &[codec]))
}

fn both<const P: usize, const E: usize, const S: usize, const Q: usize, C: Codec>(
    node: &mut Node<P, E, S, Q, C>,
    codec: CodecId,
) -> (u32, u32) {
    let mut wired = Wired {
        port: Line {
            to_server: Deque::new(),
            to_node: Deque::new(),
            carried: [0; 2],
        },
        microphone: Microphone {
            frame: [0; 320],
            ready: false,
        },
        speaker: Speaker::default(),
    };
    let mut server = Server::new(codec);
    let mut clock = Instant::ZERO;
    let mut run = |seconds: u32, talking: bool| {
        let before = wired.port.carried;
        for number in 0..seconds * FRAMES_PER_S {
            wired.microphone.frame.fill(3);
            if talking {
                sound::voice(number, &mut wired.microphone.frame);
            }
            (wired.microphone.ready, wired.speaker.ready) = (true, true);
            clock += Duration::from_millis(20);
            let _ = node.poll(clock, &mut wired, &mut |event| {
                black_box(event);
            });
            server.serve(clock, &mut wired.port);
        }
        assert!(node.is_joined() && node.is_talking() == talking);
        let [up, down] = [0, 1].map(|way| wired.port.carried[way] - before[way]);
        max(up, down).div_ceil(seconds)
    };
    // It joins, and the gate opens.
    run(1, true);
    let talking = run(TALKING_S, true);
    // The gate closes.
    run(1, false);
    (talking, run(SILENT_S, false))
}

/// The server's end: it lets the node in, and sends its voice back, as if another participant
/// talked as long.
struct Server {
    session: ServerSession,
    deframer: Deframer<ENCODED_MAX>,
    codec: CodecId,
}

impl Server {
    fn new(codec: CodecId) -> Self {
        let mut config = ServerSessionConfig::new(AudioFormat::DEFAULT);
        config.idle_timeout = Duration::from_millis(IDLE_TIMEOUT_MS.into());
        Self {
            session: ServerSession::new(config, Instant::ZERO),
            deframer: Deframer::new(),
            codec,
        }
    }

    fn serve(&mut self, now: Instant, line: &mut Line) {
        while let Some(byte) = line.to_server.pop_front() {
            let bytes = [byte];
            if let (Feed::Packet(packet), _) = self.deframer.feed(&bytes) {
                if let Some(voice) = self.session.handle_packet(now, parse(packet)) {
                    send_back(&voice, line);
                }
                while let Some(event) = self.session.poll_event() {
                    if let ServerEvent::Hello(hello) = event {
                        self.session.accept();
                        line.bring(&welcome(self.codec, hello.nonce));
                        line.bring(&roster());
                    }
                }
            }
        }
        self.session.handle_timeout(now);
        while let Some(packet) = self.session.poll_transmit(1, ParticipantFlags(0)) {
            line.bring(&packet);
        }
        assert!(!self.session.is_closed());
    }
}

fn send_back(voice: &Voice<'_>, line: &mut Line) {
    line.bring(&ServerPacket::Voice(Voice {
        payload: voice.payload,
        ..*voice
    }));
}

fn welcome(codec: CodecId, nonce: Nonce) -> ServerPacket<'static> {
    ServerPacket::Welcome(Welcome {
        version: PROTOCOL_VERSION,
        nonce,
        max_packet: 1_280,
        features: 0,
        resume: None,
        id: ParticipantId(1),
        codec_up: codec.id(),
        codec_down: codec.id(),
        rate_hz: 16_000,
        frame_ms: 20,
        idle_timeout_ms: IDLE_TIMEOUT_MS,
        revision: 1,
        participants: 1,
    })
}

fn roster() -> ServerPacket<'static> {
    let entry = RosterEntry::new(ParticipantId(1), ParticipantFlags(0), "node-1");
    ServerPacket::Roster(Roster {
        revision: 1,
        first: 0,
        total: 1,
        entries: RosterPage::from_iter([entry]),
    })
}

impl Line {
    fn bring(&mut self, packet: &ServerPacket<'_>) {
        let mut out = [0; ENCODED_MAX];
        let Ok(len) = write_to_stream(packet, &mut out) else {
            unreachable!("it fits")
        };
        self.bring_bytes(&out[..len]);
    }

    fn bring_bytes(&mut self, bytes: &[u8]) {
        self.carried[1] += bytes.len() as u32;
        for &byte in bytes {
            assert!(self.to_node.push_back(byte).is_ok());
        }
    }
}

impl ErrorType for Line {
    type Error = Infallible;
}

impl ReadReady for Line {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(!self.to_node.is_empty())
    }
}

impl Read for Line {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        let mut count = 0;
        for slot in buf {
            let Some(byte) = self.to_node.pop_front() else {
                break;
            };
            *slot = byte;
            count += 1;
        }
        Ok(count)
    }
}

impl WriteReady for Line {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        Ok(!self.to_server.is_full())
    }
}

impl Write for Line {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        let mut bytes = buf.iter();
        let count = bytes
            .by_ref()
            .take_while(|&&byte| self.to_server.push_back(byte).is_ok())
            .count();
        self.carried[0] += count as u32;
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
