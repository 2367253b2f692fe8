//! The steps of processing a frame, one by one: 320 samples of a voice-like sound, ADPCM.

use core::hint::black_box;

use talkspurt_core::audio::codec::{ADPCM_PAYLOAD_MAX, AnyCodec, Codec, CodecId, ImaAdpcm};
use talkspurt_core::audio::conceal::Concealment;
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::audio::frame::Frame;
use talkspurt_core::audio::gate::{Gate, GateConfig};
use talkspurt_core::audio::jitter::{JitterBuffer, JitterConfig};
use talkspurt_core::audio::level::{StepLevels, rms};
use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::carrier::stream::encoded_len_max;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::time::Instant;
use talkspurt_core::voice::downlink::Downlink;
use talkspurt_core::voice::uplink::{HISTORY_SAMPLES_DEFAULT, Uplink, UplinkConfig};
use talkspurt_core::wire::{ClientPacket, ServerPacket, Voice, parse};

use crate::common::sound;
use crate::counter::Counter;

const ENCODED: usize = encoded_len_max(352);
const FORMAT: AudioFormat = AudioFormat::DEFAULT;

pub fn measure(counter: &mut Counter, report: &mut impl FnMut(&str, u32)) {
    let mut frame: Frame = Frame::silence(FORMAT.frame_samples());
    sound::voice(0, &mut frame);
    report("level", counter.count(|| rms(black_box(&frame))));
    gate(counter, report);
    codec(counter, report, &frame);
    packets(counter, report);
    jitter(counter, report);
    streams(counter, report, &frame);
    conceal(counter, report);
}

fn gate(counter: &mut Counter, report: &mut impl FnMut(&str, u32)) {
    let Ok(mut gate) = Gate::new(GateConfig::DEFAULT) else {
        unreachable!("the default is good")
    };
    // Open, with a full window: the longest path through the gate.
    for _ in 0..20 {
        gate.push(&StepLevels::even(FORMAT.frame, 3_000));
    }
    let levels = StepLevels::even(FORMAT.frame, 700);
    report("gate", counter.count(|| gate.push(black_box(&levels))));
}

fn codec(counter: &mut Counter, report: &mut impl FnMut(&str, u32), frame: &[i16]) {
    let mut encoder = AnyCodec::from(CodecId::ImaAdpcm);
    let mut payload = [0; ADPCM_PAYLOAD_MAX];
    // The second frame: by now the step size fits the voice.
    let _ = encoder.encode(frame, &mut payload);
    let encode = counter.count(|| encoder.encode(black_box(frame), &mut payload));
    report("adpcm_encode", encode);
    let mut samples = [0; 320];
    let decode = counter.count(|| ImaAdpcm::default().decode(black_box(&payload), &mut samples));
    report("adpcm_decode", decode);
}

fn voice(seq: u16, payload: &[u8]) -> Voice<'_> {
    Voice {
        seq: Seq(seq),
        timestamp: Timestamp(800_000 + 8 * u32::from(seq)),
        level: 40,
        stream: 0,
        terminator: false,
        payload,
    }
}

fn packets(counter: &mut Counter, report: &mut impl FnMut(&str, u32)) {
    let payload = sound::payload(7);
    let mut out = [0; ENCODED];
    let packet = ClientPacket::Voice(voice(40_000, &payload));
    let write = counter.count(|| write_to_stream(black_box(&packet), &mut out));
    report("packet_write", write);
    let len = write_to_stream(&ServerPacket::Voice(voice(40_000, &payload)), &mut out).unwrap_or(0);
    let mut deframer = Deframer::<ENCODED>::new();
    let read = counter.count(|| {
        let mut seen = 0;
        for mut chunk in black_box(&out[..len]).chunks(64) {
            while !chunk.is_empty() {
                let (feed, rest) = deframer.feed(chunk);
                chunk = rest;
                if let Feed::Packet(packet) = feed {
                    seen += usize::from(black_box(parse::<ServerPacket<'_>>(packet)).is_ok());
                }
            }
        }
        assert!(seen == 1);
    });
    report("packet_read", read);
}

fn jitter(counter: &mut Counter, report: &mut impl FnMut(&str, u32)) {
    let mut buffer = JitterBuffer::<u32, 16>::new(JitterConfig::default_for(FORMAT.frame, 2));
    for number in 0..8 {
        let timestamp = Timestamp(8 * u32::from(number));
        buffer.push(Instant::ZERO, Seq(number), timestamp, false, 0);
        if number > 3 {
            buffer.pop();
        }
    }
    let both = counter.count(|| {
        black_box(buffer.push(Instant::ZERO, Seq(8), Timestamp(64), false, black_box(8)));
        black_box(buffer.pop())
    });
    report("jitter_push_and_pop", both);
}

fn streams(counter: &mut Counter, report: &mut impl FnMut(&str, u32), frame: &[i16]) {
    let Ok(mut uplink) = Uplink::<HISTORY_SAMPLES_DEFAULT>::new(UplinkConfig::default_for(
        CodecId::ImaAdpcm.into(),
        FORMAT,
    )) else {
        unreachable!("the default is good")
    };
    let (mut payload, mut out) = ([0; ADPCM_PAYLOAD_MAX], [0; ENCODED]);
    let mut send = |uplink: &mut Uplink, frame: &[i16]| {
        uplink.push(frame);
        while let Some(voice) = uplink.poll_voice(&mut payload) {
            let written = write_to_stream(&ClientPacket::Voice(voice), &mut out);
            let _ = black_box(written);
        }
    };
    // By the fifth frame the gate knows the noise, and has opened; the pre-roll is sent.
    for _ in 0..5 {
        send(&mut uplink, frame);
    }
    report(
        "uplink_talking",
        counter.count(|| send(&mut uplink, black_box(frame))),
    );
    let mut quiet = uplink;
    for _ in 0..40 {
        send(&mut quiet, &[0; 320]);
    }
    report(
        "uplink_silent",
        counter.count(|| send(&mut quiet, black_box(&[0; 320]))),
    );

    let mut downlink = Downlink::<16, ADPCM_PAYLOAD_MAX>::new(
        CodecId::ImaAdpcm.into(),
        FORMAT,
        JitterConfig::default_for(FORMAT.frame, 2),
    );
    let payload = sound::payload(7);
    let mut out: Frame = Frame::silence(FORMAT.frame_samples());
    for number in 0..8 {
        let _ = downlink.push(Instant::ZERO, &voice(number, &payload));
        if number > 3 {
            downlink.pop(&mut out);
        }
    }
    let heard = counter.count(|| {
        let _ = black_box(downlink.push(Instant::ZERO, &voice(8, black_box(&payload))));
        black_box(downlink.pop(&mut out))
    });
    report("downlink", heard);
}

/// A gap of two frames, and the frame behind it: the largest cost of ten gaps each.
fn conceal(counter: &mut Counter, report: &mut impl FnMut(&str, u32)) {
    let mut concealment = Concealment::<320>::new();
    let mut frame: Frame = Frame::silence(FORMAT.frame_samples());
    let [mut first, mut next, mut resume] = [0; 3];
    for number in 0..20 {
        sound::voice(number, &mut frame);
        if number % 2 == 0 {
            concealment.played(&frame);
            continue;
        }
        let mut conceal = || counter.count(|| concealment.conceal(FORMAT.rate, &mut frame));
        first = conceal().max(first);
        next = conceal().max(next);
        let resumed = counter.count(|| {
            concealment.resume(FORMAT.rate, &mut frame);
            concealment.played(&frame);
        });
        resume = resumed.max(resume);
    }
    report("conceal_first", first);
    report("conceal_next", next);
    report("conceal_resume", resume);
}
