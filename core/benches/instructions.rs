//! Instructions for one frame of 20 ms (320 samples) through the parts of the core, counted by
//! callgrind: the same number in every run.
//!
//! `cargo bench -p talkspurt-core`; the table is in docs/PERFORMANCE.md. Needs `valgrind` and
//! `gungraun-runner`. The accumulation has a hard limit: the bench fails when a talker's sample
//! costs more than 1.5 instructions.

use std::hint::black_box;

use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind};
use talkspurt_core::audio::codec::{AnyCodec, Codec, CodecId, PAYLOAD_MAX};
use talkspurt_core::audio::format::{AudioFormat, FrameDuration, SampleRate};
use talkspurt_core::audio::frame::Frame;
use talkspurt_core::audio::gate::{Gate, GateConfig, GateDecision};
use talkspurt_core::audio::jitter::JitterConfig;
use talkspurt_core::audio::level::{StepLevels, rms};
use talkspurt_core::audio::mixer::{
    Accumulator, Contribution, MixRule, MixState, Part, Talkers, render,
};
use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::time::Instant;
use talkspurt_core::voice::downlink::Downlink;
use talkspurt_core::voice::uplink::{Uplink, UplinkConfig};
use talkspurt_core::wire::{ClientPacket, ServerPacket, Voice, parse};

const TALKERS: usize = 8;
const SAMPLES: usize = 320;

/// 1.5 instructions for each sample of each talker.
const ACCUMULATE_MAX: u64 = (SAMPLES * TALKERS) as u64 * 3 / 2;

/// A voice-like frame: a triangle wave with overtones and noise, different for each `talker`.
fn voice(talker: usize) -> Frame {
    let mut noise = 0x2545_f491u32.wrapping_mul(talker as u32 + 1);
    let mut frame = Frame::silence(SAMPLES);
    for (n, sample) in frame.iter_mut().enumerate() {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        let triangle = |period: usize, height: i32| {
            ((n % period) as i32 - period as i32 / 2).abs() * 4 * height / period as i32 - height
        };
        let value =
            triangle(100 + talker * 7, 6_000) + triangle(23, 1_500) + (noise >> 23) as i32 - 256;
        *sample = value as i16;
    }
    frame
}

fn voices() -> [Frame; TALKERS] {
    std::array::from_fn(voice)
}

fn payload(codec: CodecId) -> Vec<u8> {
    let mut encoder = AnyCodec::from(codec);
    let mut payload = vec![0; codec.payload_len(SAMPLES)];
    // By the second frame the coder has found its step size.
    for _ in 0..2 {
        encoder.encode(&voice(0), &mut payload).unwrap();
    }
    payload
}

fn packet(payload: &[u8]) -> Voice<'_> {
    Voice {
        seq: Seq(1_000),
        timestamp: Timestamp(800_000),
        level: 40,
        stream: 0,
        terminator: false,
        payload,
    }
}

fn stream(codec: CodecId) -> Vec<u8> {
    let mut out = [0; ENCODED_MAX];
    let len = write_to_stream(&ServerPacket::Voice(packet(&payload(codec))), &mut out).unwrap();
    // At its first use memchr finds out what the processor can do: that is no packet's cost.
    Deframer::<ENCODED_MAX>::new().feed(&out[..len]);
    out[..len].to_vec()
}

#[library_benchmark]
#[bench::frame(voice(0))]
fn level(frame: Frame) -> u16 {
    rms(black_box(&frame))
}

fn open_gate() -> Gate {
    let mut gate = Gate::new(GateConfig::DEFAULT).unwrap();
    for _ in 0..20 {
        gate.push(&StepLevels::even(FrameDuration::Ms20, 3_000));
    }
    gate
}

#[library_benchmark]
#[bench::open(open_gate())]
fn gate_push(mut gate: Gate) -> GateDecision {
    let levels = StepLevels::even(FrameDuration::Ms20, 3_000);
    black_box(&mut gate).push(black_box(&levels))
}

#[library_benchmark]
#[bench::pcm16(AnyCodec::from(CodecId::Pcm16), voice(0))]
#[bench::adpcm(AnyCodec::from(CodecId::ImaAdpcm), voice(0))]
fn encode(mut encoder: AnyCodec, frame: Frame) -> [u8; 640] {
    let mut payload = [0; 640];
    encoder.encode(black_box(&frame), &mut payload).unwrap();
    payload
}

#[library_benchmark]
#[bench::pcm16(CodecId::Pcm16, payload(CodecId::Pcm16))]
#[bench::adpcm(CodecId::ImaAdpcm, payload(CodecId::ImaAdpcm))]
fn decode(codec: CodecId, payload: Vec<u8>) -> Vec<u8> {
    let mut frame: Frame = Frame::silence(SAMPLES);
    AnyCodec::from(codec)
        .decode(black_box(&payload), &mut frame)
        .unwrap();
    black_box(&frame);
    payload
}

fn empty_sum() -> Box<Accumulator> {
    Box::new(Accumulator::new(SAMPLES))
}

// The whole cost per talker.
#[library_benchmark]
#[bench::of_8(
    args = (empty_sum(), voices()),
    config = LibraryBenchmarkConfig::default()
        .tool(Callgrind::default().hard_limits([(EventKind::Ir, ACCUMULATE_MAX)]))
)]
fn accumulate(mut sum: Box<Accumulator>, voices: [Frame; TALKERS]) -> Box<Accumulator> {
    for voice in black_box(&voices) {
        sum.add(voice);
    }
    sum
}

fn nobody() -> Box<Talkers> {
    Box::new(Talkers::new(SampleRate::Hz16000, SAMPLES))
}

/// All eight talkers, the first two with these parts.
fn everyone(parts: [Part; 2]) -> Box<Talkers> {
    let mut talkers = nobody();
    let parts = parts.into_iter().chain(std::iter::repeat(Part::Staying));
    for (voice, part) in voices().iter().zip(parts) {
        talkers.add(part, voice);
    }
    talkers
}

const ALL_STAY: [Part; 2] = [Part::Staying; 2];
const ONE_STARTS: [Part; 2] = [Part::Staying, Part::Starting];

// What one talker hears of the seven others, while the set of counted talkers stays and while it
// changes.
#[library_benchmark]
#[bench::mean(everyone(ALL_STAY), voice(0), MixRule::Mean)]
#[bench::sum(everyone(ALL_STAY), voice(0), MixRule::Sum)]
#[bench::mean_changing(everyone(ONE_STARTS), voice(0), MixRule::Mean)]
#[bench::sum_changing(everyone(ONE_STARTS), voice(0), MixRule::Sum)]
fn render_one(talkers: Box<Talkers>, own: Frame, rule: MixRule) -> Box<Talkers> {
    let mut out = Frame::silence(SAMPLES);
    let mut state = MixState::new();
    let own = Contribution {
        part: Part::Staying,
        samples: black_box(&own),
    };
    render(&talkers, Some(own), rule, &mut state, &mut out);
    black_box(&out);
    talkers
}

// A room's whole mix-minus: eight talk, and each hears the seven others.
#[library_benchmark]
#[bench::of_8(nobody(), voices())]
fn mix_minus(mut talkers: Box<Talkers>, voices: [Frame; TALKERS]) -> Box<Talkers> {
    let voices = black_box(&voices);
    for voice in voices {
        talkers.add(Part::Staying, voice);
    }
    let mut out = Frame::silence(SAMPLES);
    for voice in voices {
        let mut state = MixState::new();
        let own = Contribution {
            part: Part::Staying,
            samples: voice,
        };
        render(&talkers, Some(own), MixRule::Mean, &mut state, &mut out);
        black_box(&out);
    }
    talkers
}

#[library_benchmark]
#[bench::pcm16(payload(CodecId::Pcm16))]
#[bench::adpcm(payload(CodecId::ImaAdpcm))]
fn packet_encode(payload: Vec<u8>) -> Vec<u8> {
    let mut out = [0; ENCODED_MAX];
    let voice = packet(black_box(&payload));
    write_to_stream(&ServerPacket::Voice(voice), black_box(&mut out)).unwrap();
    payload
}

#[library_benchmark]
#[bench::pcm16(stream(CodecId::Pcm16))]
#[bench::adpcm(stream(CodecId::ImaAdpcm))]
fn packet_decode(stream: Vec<u8>) -> Vec<u8> {
    let mut deframer = Deframer::<ENCODED_MAX>::new();
    let (Feed::Packet(packet), _) = deframer.feed(black_box(&stream)) else {
        panic!("not a packet")
    };
    black_box(parse::<ServerPacket<'_>>(packet)).unwrap();
    stream
}

fn talking(codec: CodecId) -> Box<Uplink> {
    let config = UplinkConfig::default_for(codec.into(), AudioFormat::DEFAULT);
    let mut uplink = Box::new(Uplink::new(config).unwrap());
    // The gate has to know the noise first.
    for _ in 0..4 {
        uplink.push(&voice(0));
    }
    assert!(uplink.is_talking());
    while uplink.poll_voice(&mut [0; PAYLOAD_MAX]).is_some() {}
    uplink
}

// From a microphone's frame to the bytes on the stream.
#[library_benchmark]
#[bench::pcm16(talking(CodecId::Pcm16), voice(1))]
#[bench::adpcm(talking(CodecId::ImaAdpcm), voice(1))]
fn uplink(mut uplink: Box<Uplink>, frame: Frame) -> Box<Uplink> {
    let (mut payload, mut out) = ([0; PAYLOAD_MAX], [0; ENCODED_MAX]);
    uplink.push(black_box(&frame));
    let voice = uplink.poll_voice(&mut payload).unwrap();
    write_to_stream(&ClientPacket::Voice(voice), black_box(&mut out)).unwrap();
    uplink
}

fn listening(codec: CodecId) -> (Box<Downlink<64>>, Vec<u8>) {
    let config = JitterConfig::default_for(FrameDuration::Ms20, 0);
    let downlink = Box::new(Downlink::new(codec.into(), AudioFormat::DEFAULT, config));
    (downlink, stream(codec))
}

// From the bytes on the stream to a frame for the loudspeaker.
#[library_benchmark]
#[bench::pcm16(listening(CodecId::Pcm16))]
#[bench::adpcm(listening(CodecId::ImaAdpcm))]
fn downlink((mut downlink, stream): (Box<Downlink<64>>, Vec<u8>)) -> Box<Downlink<64>> {
    let mut deframer = Deframer::<ENCODED_MAX>::new();
    let (Feed::Packet(packet), _) = deframer.feed(black_box(&stream)) else {
        panic!("not a packet")
    };
    let Ok(ServerPacket::Voice(voice)) = parse(packet) else {
        panic!("not voice")
    };
    downlink.push(Instant::ZERO, &voice).unwrap();
    let mut out = Frame::silence(SAMPLES);
    downlink.pop(black_box(&mut out));
    downlink
}

// What a client's packet costs besides its voice, for the shortest packet.
#[library_benchmark]
#[bench::once(ClientPacket::Ping(7))]
fn ping_encode(packet: ClientPacket<'static>) -> [u8; 16] {
    let mut out = [0; 16];
    write_to_stream(black_box(&packet), &mut out).unwrap();
    out
}

library_benchmark_group!(
    name = frame_20_ms,
    benchmarks = [
        level,
        gate_push,
        encode,
        decode,
        accumulate,
        render_one,
        mix_minus,
        packet_encode,
        packet_decode,
        ping_encode,
        uplink,
        downlink
    ]
);

main!(library_benchmark_groups = frame_20_ms);
