//! The whole node on the host: the loop, its queues and the interrupts' bodies, with a server
//! session at the other end of the line. Only the chip is missing.

use std::collections::VecDeque;

use talkspurt_core::audio::codec::{ADPCM_PAYLOAD_MAX, AnyCodec, Codec, CodecId, ImaAdpcm};
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::session::{ServerEvent, ServerSession, ServerSessionConfig};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{
    Nonce, PROTOCOL_VERSION, ParticipantFlags, ParticipantId, ServerPacket, Voice, Welcome, parse,
};
use talkspurt_node::node::{AdpcmNode, Board};
use talkspurt_node_driver::uart::{Hardware, InterruptLine, Isr, QueuedUart, Queues};

use crate::config;
use crate::samples::{BLOCK_SAMPLES, BLOCK_STEPS, STEPS_PER_SAMPLE};
use crate::sound::{
    Microphone, MicrophoneIsr, SampleQueue, Speaker, SpeakerIsr, microphone, speaker,
};

/// With this period a duty is exactly a sample plus 32,768.
const PERIOD: u32 = 1 << 16;
const FRAME_SAMPLES: usize = 320;
const BLOCKS_PER_FRAME: usize = FRAME_SAMPLES / BLOCK_SAMPLES;
/// Where the microphone idles.
const IDLE: u16 = 1_551;

/// The line: it carries as many bytes per block as 115,200 baud do.
#[derive(Default)]
struct Line {
    to_node: VecDeque<u8>,
    from_node: Vec<u8>,
    room: usize,
}

const LINE_BYTES_PER_BLOCK: usize = 115_200 / 10 / 200;

impl Hardware for Line {
    fn receive(&mut self) -> Option<u8> {
        self.to_node.pop_front()
    }

    fn has_room(&mut self) -> bool {
        self.room > 0
    }

    fn send(&mut self, byte: u8) {
        self.room -= 1;
        self.from_node.push(byte);
    }

    fn interrupt_on_room(&mut self, _on: bool) {}
}

/// Does nothing: the test calls the handler itself.
struct ByHand;

impl InterruptLine for ByHand {
    fn pend(&self) {}
}

struct World {
    now: Instant,
    node: AdpcmNode,
    board: Board<QueuedUart<'static, ByHand>, Microphone, Speaker>,
    port: Isr<'static, Line>,
    microphone: MicrophoneIsr,
    speaker: SpeakerIsr<PERIOD>,
    server: ServerSession,
    deframer: Deframer,
    from_server: VecDeque<u8>,
    heard: Vec<Vec<i16>>,
    played: Vec<i16>,
}

fn leak<T>(value: T) -> &'static mut T {
    Box::leak(Box::new(value))
}

impl World {
    fn new() -> Self {
        let now = Instant::ZERO;
        let queues: &mut Queues = leak(Queues::new());
        let (port, port_isr) = queues.split(Line::default(), ByHand);
        let (microphone, microphone_isr) = microphone(leak(SampleQueue::new()));
        let (speaker, speaker_isr) = speaker(leak(SampleQueue::new()));
        let server = ServerSessionConfig::new(AudioFormat::DEFAULT);
        Self {
            now,
            node: AdpcmNode::new(config::node().unwrap(), 1, now).unwrap(),
            board: Board {
                port,
                microphone,
                speaker,
            },
            port: port_isr,
            microphone: microphone_isr,
            speaker: speaker_isr,
            server: ServerSession::new(server, now),
            deframer: Deframer::new(),
            from_server: VecDeque::new(),
            heard: Vec::new(),
            played: Vec::new(),
        }
    }

    /// Lets 5 ms pass: the interrupts of both converters and of the line, the loop, the line, the
    /// server.
    fn block(&mut self, readings: &[u16; BLOCK_STEPS]) {
        self.now += Duration::from_millis(5);
        self.microphone.take(readings);
        let mut duties = [0_u16; BLOCK_STEPS];
        self.speaker.fill(&mut duties, |duty| duty);
        let last_of_each = duties.chunks(STEPS_PER_SAMPLE).map(|steps| steps[3]);
        self.played
            .extend(last_of_each.map(|duty| (i32::from(duty) - 32_768) as i16));
        let line = self.port.hardware_mut();
        line.room = LINE_BYTES_PER_BLOCK;
        let count = LINE_BYTES_PER_BLOCK.min(self.from_server.len());
        line.to_node.extend(self.from_server.drain(..count));
        self.port.serve();
        self.node.poll(self.now, &mut self.board, &mut |_| ());
        self.port.serve();
        self.serve();
    }

    /// Runs the server.
    fn serve(&mut self) {
        let bytes = std::mem::take(&mut self.port.hardware_mut().from_node);
        let mut rest = &bytes[..];
        loop {
            let (feed, after) = self.deframer.feed(rest);
            rest = after;
            match feed {
                Feed::NeedMore => break,
                Feed::Bad { dropped_bytes, .. } => panic!("{dropped_bytes} bytes lost"),
                Feed::Packet(packet) => {
                    let voice = self.server.handle_packet(self.now, parse(packet));
                    if let Some(voice) = voice.filter(|voice| !voice.payload.is_empty()) {
                        let mut frame = vec![0; FRAME_SAMPLES];
                        ImaAdpcm::default()
                            .decode(voice.payload, &mut frame)
                            .unwrap();
                        self.heard.push(frame);
                    }
                }
            }
            while let Some(event) = self.server.poll_event() {
                if let ServerEvent::Hello(hello) = event {
                    assert_eq!(hello.name.as_str(), config::NAME);
                    self.server.accept();
                    self.send(&welcome(hello.nonce));
                }
            }
        }
        while let Some(packet) = self.server.poll_transmit(1, ParticipantFlags::default()) {
            write(&mut self.from_server, &packet);
        }
    }

    fn send(&mut self, packet: &ServerPacket<'_>) {
        write(&mut self.from_server, packet);
    }

    fn run_until_joined(&mut self) {
        for _ in 0..20 {
            self.block(&[IDLE; BLOCK_STEPS]);
        }
        assert!(self.node.is_joined());
    }
}

fn write(line: &mut VecDeque<u8>, packet: &ServerPacket<'_>) {
    let mut out = [0; ENCODED_MAX];
    let length = write_to_stream(packet, &mut out).unwrap();
    line.extend(&out[..length]);
}

fn welcome(nonce: Nonce) -> ServerPacket<'static> {
    let codec = CodecId::ImaAdpcm;
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
        idle_timeout_ms: 15_000,
        revision: 1,
        participants: 1,
    })
}

/// A triangle of 250 Hz: as loud as a voice near a microphone module, half of the ADC's range.
fn triangle(sample: usize) -> i32 {
    let phase = (sample % 64) as i32;
    (phase - 32).abs() * 1_000 / 16 - 1_000
}

#[test]
fn a_voice_at_the_microphone_reaches_the_server() {
    let mut world = World::new();
    world.run_until_joined();
    for block in 0..100 * BLOCKS_PER_FRAME {
        let readings = std::array::from_fn(|step| {
            let sample = block * BLOCK_SAMPLES + step / STEPS_PER_SAMPLE;
            (i32::from(IDLE) + triangle(sample)) as u16
        });
        world.block(&readings);
    }
    let stats = world.node.stats();
    assert_eq!(stats.client.voice_dropped, 0, "{stats:?}");
    assert!(world.heard.len() >= 95, "{}", world.heard.len());
    // A step of the ADC is 16 of a sample's, so the peak is at 16,000; ADPCM and the high-pass
    // reduce it a little.
    for frame in &world.heard[20..90] {
        let peak = frame.iter().copied().max().unwrap();
        assert!((14_500..17_500).contains(&peak), "{peak}");
    }
}

#[test]
fn the_servers_voice_is_played_sample_for_sample() {
    let mut world = World::new();
    world.run_until_joined();
    let mut encoder = AnyCodec::from(CodecId::ImaAdpcm);
    let mut expected = Vec::new();
    for number in 0..100_u16 {
        let frame: Vec<i16> = (0..FRAME_SAMPLES)
            .map(|n| (triangle(usize::from(number) * 37 + n) * 8) as i16)
            .collect();
        let mut payload = [0; ADPCM_PAYLOAD_MAX];
        let length = encoder.encode(&frame, &mut payload).unwrap();
        let payload = &payload[..length];
        world.send(&ServerPacket::Voice(Voice {
            seq: Seq(number),
            timestamp: Timestamp(8 * u32::from(number)),
            level: 40,
            stream: 0,
            terminator: number == 99,
            payload,
        }));
        let mut decoded = vec![0; FRAME_SAMPLES];
        ImaAdpcm::default().decode(payload, &mut decoded).unwrap();
        expected.extend(decoded);
        for _ in 0..BLOCKS_PER_FRAME {
            world.block(&[IDLE; BLOCK_STEPS]);
        }
    }
    for _ in 0..10 * BLOCKS_PER_FRAME {
        world.block(&[IDLE; BLOCK_STEPS]);
    }
    let stats = world.node.stats();
    assert_eq!(
        (stats.client.frames_played, stats.client.frames_concealed),
        (100, 0)
    );
    let begin = world
        .played
        .windows(FRAME_SAMPLES)
        .position(|samples| samples == &expected[..FRAME_SAMPLES])
        .expect("the first frame is played");
    assert!(world.played[begin..begin + expected.len()] == expected[..]);
    assert!(world.heard.is_empty(), "silence opens no gate");
}
