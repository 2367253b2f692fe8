//! The whole loop with its serial port: joined, at 16 kHz, a frame every 20 ms.

use core::hint::black_box;

use embedded_io::{Read, Write};
use talkspurt_core::audio::codec::CodecId;
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::session::JoinRequest;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{
    PROTOCOL_VERSION, ParticipantFlags, ParticipantId, ParticipantName, RoomName, Roster,
    RosterEntry, RosterPage, ServerPacket, Voice, Welcome,
};
use talkspurt_node::node::{AdpcmNode, Board, ClientConfig};
use talkspurt_node_driver::{AudioFormat, SampleSink, SampleSource};

use crate::common::sound;
use crate::counter::Counter;
use crate::line::{self, Line, Port};

/// Enough for the step size and the jitter buffer to settle, and for mean values.
const FRAMES: u32 = 100;

/// A microphone that has a frame ready once a period: as cheap as a DMA buffer.
pub struct Microphone {
    pub frame: [i16; 320],
    pub ready: bool,
}

impl SampleSource for Microphone {
    fn start(&mut self, _now: Instant, _format: AudioFormat) {}

    fn capture(&mut self, _now: Instant, frame: &mut [i16]) -> bool {
        frame.copy_from_slice(&self.frame);
        core::mem::take(&mut self.ready)
    }
}

/// A speaker that takes a frame once a period.
#[derive(Default)]
pub struct Speaker {
    pub ready: bool,
    last: i16,
}

impl SampleSink for Speaker {
    fn start(&mut self, _now: Instant, _format: AudioFormat) {}

    fn is_ready(&mut self, _now: Instant) -> bool {
        core::mem::take(&mut self.ready)
    }

    fn play(&mut self, frame: &[i16]) {
        self.last = black_box(frame)[0];
    }
}

struct Bench {
    node: AdpcmNode,
    board: Board<Port, Microphone, Speaker>,
    line: Line,
    now: Instant,
    seq: u16,
}

/// What happens in each frame of a run.
#[derive(Clone, Copy)]
struct Scene {
    talking: bool,
    listening: bool,
}

pub fn measure(counter: &mut Counter, report: &mut impl FnMut(&str, u32)) {
    let (mut port, mut line) = line::make();
    uart(counter, report, &mut port, &mut line);
    let mut bench = Bench::joined(port, line);
    for (name, talking, listening) in [
        ("loop_talking_and_listening", true, true),
        ("loop_listening", false, true),
        ("loop_idle", false, false),
    ] {
        let scene = Scene { talking, listening };
        // The gate opens or closes, the jitter buffer fills or drains.
        bench.run(counter, scene);
        let (mean, most) = bench.run(counter, scene);
        report(name, mean);
        report_worst(name, most, report);
    }
}

fn report_worst(name: &str, most: u32, report: &mut impl FnMut(&str, u32)) {
    report(
        match name {
            "loop_talking_and_listening" => "loop_talking_and_listening_worst",
            "loop_listening" => "loop_listening_worst",
            _ => "loop_idle_worst",
        },
        most,
    );
}

/// A hundred bytes each way: interrupt, queue, and the loop's read or write.
fn uart(
    counter: &mut Counter,
    report: &mut impl FnMut(&str, u32),
    port: &mut Port,
    line: &mut Line,
) {
    let mut bytes = [0x55; 100];
    report(
        "uart_100_bytes_in_interrupts",
        counter.count(|| line.arrive(&bytes)),
    );
    report(
        "uart_100_bytes_in_read",
        counter.count(|| port.read(&mut bytes)),
    );
    report(
        "uart_100_bytes_out_written",
        counter.count(|| port.write(&bytes)),
    );
    report(
        "uart_100_bytes_out_interrupts",
        counter.count(|| line.send(port)),
    );
}

impl Bench {
    fn joined(port: Port, line: Line) -> Self {
        let (Ok(room), Ok(name)) = (RoomName::new("kitchen"), ParticipantName::new("node-1"))
        else {
            unreachable!("good names")
        };
        let Ok(node) = AdpcmNode::new(
            ClientConfig::new(JoinRequest::new(room, name, &[CodecId::ImaAdpcm])),
            1,
            Instant::ZERO,
        ) else {
            unreachable!("the default is good")
        };
        let mut bench = Self {
            node,
            board: Board {
                port,
                microphone: Microphone {
                    frame: [0; 320],
                    ready: false,
                },
                speaker: Speaker::default(),
            },
            line,
            now: Instant::ZERO,
            seq: 0,
        };
        bench.poll();
        bench.line.send(&bench.board.port);
        // The first call of the first start.
        let (codec, nonce) = (CodecId::ImaAdpcm, [1, 0, 0, 0, 1, 0, 0, 0]);
        bench.receive(&ServerPacket::Welcome(Welcome {
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
            idle_timeout_ms: 15_000,
            revision: 1,
            participants: 3,
        }));
        let people = [(1, "node-1"), (2, "ann"), (3, "bob")];
        let entry = |(id, name)| RosterEntry::new(ParticipantId(id), ParticipantFlags(0), name);
        bench.receive(&ServerPacket::Roster(Roster {
            revision: 1,
            first: 0,
            total: 3,
            entries: RosterPage::from_iter(people.map(entry)),
        }));
        bench.poll();
        assert!(bench.node.is_joined());
        bench
    }

    fn receive(&mut self, packet: &ServerPacket<'_>) {
        let mut out = [0; ENCODED_MAX];
        let Ok(len) = write_to_stream(packet, &mut out) else {
            unreachable!("it fits")
        };
        self.line.arrive(&out[..len]);
    }

    fn poll(&mut self) {
        let _ = black_box(self.node.poll(self.now, &mut self.board, &mut |event| {
            black_box(event);
        }));
    }

    /// Returns the mean and largest cost of a frame.
    fn run(&mut self, counter: &mut Counter, scene: Scene) -> (u32, u32) {
        let (mut sum, mut most) = (0, 0);
        for number in 0..FRAMES {
            let cost = self.frame(counter, scene, number);
            sum += cost;
            most = most.max(cost);
        }
        (sum / FRAMES, most)
    }

    /// Runs one frame period. Half of the incoming packet has arrived after 10 ms, when the
    /// firmware first reads.
    fn frame(&mut self, counter: &mut Counter, scene: Scene, number: u32) -> u32 {
        let payload = sound::payload(number);
        let mut encoded = [0; ENCODED_MAX];
        let voice = ServerPacket::Voice(Voice {
            seq: Seq(self.seq),
            timestamp: Timestamp(800_000 + 8 * u32::from(self.seq)),
            level: 40,
            stream: 0,
            terminator: false,
            payload: &payload,
        });
        let len = match write_to_stream(&voice, &mut encoded) {
            Ok(len) if scene.listening => len,
            _ => 0,
        };
        self.seq = self.seq.wrapping_add(u16::from(scene.listening));
        if scene.talking {
            sound::voice(number, &mut self.board.microphone.frame);
        } else {
            self.board.microphone.frame.fill(3);
        }
        let (first, second) = encoded[..len].split_at(len / 2);
        self.now += Duration::from_millis(10);
        let cost = counter.count(|| {
            self.line.arrive(first);
            if !first.is_empty() {
                self.poll();
            }
            self.line.send(&self.board.port);
        });
        self.now += Duration::from_millis(10);
        (self.board.microphone.ready, self.board.speaker.ready) = (true, true);
        cost + counter.count(|| {
            self.line.arrive(second);
            self.poll();
            self.line.send(&self.board.port);
        })
    }
}
