//! A restarted uplink or downlink behaves like a new one, whatever it did before.

use crate::common::session_pair::bytes_of;
use crate::common::wide_band;
use talkspurt_core::audio::codec::{CodecId, PAYLOAD_MAX};
use talkspurt_core::audio::format::{AudioFormat, FrameDuration};
use talkspurt_core::audio::frame::Frame;
use talkspurt_core::audio::gate::GateMode;
use talkspurt_core::audio::jitter::JitterConfig;
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::time::Instant;
use talkspurt_core::voice::downlink::Downlink;
use talkspurt_core::voice::uplink::{Uplink, UplinkConfig};
use talkspurt_core::wire::{ClientPacket, Voice};

/// A loud tone with a pause, which opens the gate and lets it close.
fn sound(frame: u32, samples: usize) -> Vec<i16> {
    let amplitude = if frame % 40 < 15 { 9_000 } else { 0 };
    (0..samples)
        .map(|i| {
            if i / 20 % 2 == 0 {
                amplitude
            } else {
                -amplitude
            }
        })
        .collect()
}

fn packets(uplink: &mut Uplink, frame: FrameDuration, frames: u32) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    for number in 0..frames {
        uplink.push(&sound(number, wide_band(frame).frame_samples()));
        let mut payload = [0; PAYLOAD_MAX];
        while let Some(voice) = uplink.poll_voice(&mut payload) {
            packets.push(bytes_of(&ClientPacket::Voice(voice)));
        }
    }
    packets
}

#[test]
fn a_restarted_uplink_sends_what_a_new_one_sends() {
    for (before, after) in [
        (FrameDuration::Ms5, FrameDuration::Ms20),
        (FrameDuration::Ms20, FrameDuration::Ms10),
    ] {
        for frames_before in [0, 1, 7, 16, 30, 55] {
            let config = UplinkConfig::default_for(CodecId::ImaAdpcm.into(), wide_band(after));
            let mut used: Uplink = Uplink::new(UplinkConfig::default_for(
                CodecId::Pcm16.into(),
                wide_band(before),
            ))
            .unwrap();
            packets(&mut used, before, frames_before);
            used.set_muted(true);
            used.restart(config).unwrap();
            let mut new: Uplink = Uplink::new(config).unwrap();
            let sent = packets(&mut new, after, 90);
            assert!(sent.len() > 30, "the gate opened: {}", sent.len());
            assert_eq!(packets(&mut used, after, 90), sent);
            assert_eq!(used.stats(), new.stats());
        }
    }
}

#[test]
fn an_invalid_gate_leaves_the_uplink_unchanged() {
    let mut config = UplinkConfig::default_for(CodecId::ImaAdpcm.into(), AudioFormat::DEFAULT);
    config.gate.mode = GateMode::ORIGINAL;
    let mut uplink: Uplink = Uplink::new(config).unwrap();
    uplink.push(&sound(0, 320));
    let mut bad = config;
    bad.gate.window_ms = 0;
    assert!(uplink.restart(bad).is_err());
    assert!(uplink.is_talking() && uplink.stats().frames_captured == 1);
}

type Slots16 = Downlink<16>;

/// A talkspurt with a lost packet, cut off without a terminator.
fn play(downlink: &mut Slots16, samples: usize, timestamp: u32) -> Vec<Vec<i16>> {
    let mut out = Frame::silence(0);
    let mut played = Vec::new();
    for number in 0..20 {
        let frame = sound(u32::from(number), samples);
        let payload: Vec<u8> = frame.iter().flat_map(|s| s.to_le_bytes()).collect();
        let voice = Voice {
            seq: Seq(number),
            timestamp: Timestamp(timestamp + samples as u32 / 40 * u32::from(number)),
            level: 40,
            stream: 0,
            terminator: false,
            payload: &payload,
        };
        if number != 5 && number < 12 {
            downlink.push(Instant::ZERO, &voice).unwrap();
        }
        downlink.pop(&mut out);
        played.push(out.to_vec());
    }
    played
}

/// Another talkspurt, cleared in the middle of a word, with its fade still due.
fn cut_off(downlink: &mut Slots16, samples: usize) {
    let payload: Vec<u8> = 9_000i16.to_le_bytes().repeat(samples);
    for number in 40..45 {
        let voice = Voice {
            seq: Seq(number),
            timestamp: Timestamp(2_000 + samples as u32 / 40 * u32::from(number)),
            level: 40,
            stream: 0,
            terminator: false,
            payload: &payload,
        };
        downlink.push(Instant::ZERO, &voice).unwrap();
        downlink.pop(&mut Frame::silence(0));
    }
    downlink.clear();
    assert!(downlink.is_active());
}

#[test]
fn a_restarted_downlink_plays_what_a_new_one_plays() {
    let jitter = |frame| JitterConfig::default_for(frame, 2);
    for (before, after) in [
        (FrameDuration::Ms10, FrameDuration::Ms20),
        (FrameDuration::Ms20, FrameDuration::Ms5),
    ] {
        let mut used = Slots16::new(CodecId::Pcm16.into(), wide_band(before), jitter(before));
        play(&mut used, wide_band(before).frame_samples(), 1_000);
        // Samples after the end of a shorter frame are never read, but would be compared here.
        if wide_band(before).frame_samples() < wide_band(after).frame_samples() {
            cut_off(&mut used, wide_band(before).frame_samples());
        }
        used.restart(CodecId::Pcm16.into(), wide_band(after), jitter(after));
        let mut new = Slots16::new(CodecId::Pcm16.into(), wide_band(after), jitter(after));
        // Timestamps earlier than before: nothing of the other stream is remembered.
        let heard = play(&mut new, wide_band(after).frame_samples(), 1);
        assert!(heard.iter().flatten().any(|&s| s != 0));
        assert_eq!(play(&mut used, wide_band(after).frame_samples(), 1), heard);
        assert_eq!(format!("{used:?}"), format!("{new:?}"));
    }
}
