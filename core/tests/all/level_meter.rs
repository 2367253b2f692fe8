//! The level that the gate judges: voice counts, offset and hum do not. And how that decides who is
//! heard.

use crate::common::mic::Mic;
use std::f64::consts::TAU;
use talkspurt_core::audio::codec::CodecId;
use talkspurt_core::audio::format::{AudioFormat, SampleRate};
use talkspurt_core::audio::gate::{GateConfig, GateMode};
use talkspurt_core::audio::level::{LevelMeter, rms};
use talkspurt_core::voice::uplink::UplinkConfig;

/// A second and a half of a tone, in samples.
fn tone(rate_hz: u32, hz: f64, rms: f64) -> Vec<i16> {
    let samples = 0..rate_hz * 3 / 2;
    samples
        .map(|n| {
            (rms * 2f64.sqrt() * (f64::from(n) / f64::from(rate_hz) * hz * TAU).sin()).round()
                as i16
        })
        .collect()
}

/// What a meter reads of a sound in its second half, in frames of 20 ms: the root of the mean
/// power.
fn read(rate: SampleRate, sound: &[i16]) -> f64 {
    let mut meter = LevelMeter::new(rate);
    let levels: Vec<f64> = sound
        .chunks_exact(rate.samples_in_ms(20))
        .map(|frame| f64::from(meter.rms(frame)))
        .collect();
    let settled = &levels[levels.len() / 2..];
    (settled.iter().map(|level| level * level).sum::<f64>() / settled.len() as f64).sqrt()
}

fn response_db(rate: SampleRate, hz: f64) -> f64 {
    20.0 * (read(rate, &tone(rate.hz(), hz, 7_000.0)) / 7_000.0).log10()
}

fn assert_high_pass(rate: SampleRate) {
    // The filter's own tests try every frequency. This checks that a meter of each rate runs it
    // correctly.
    for hz in [95.0, 300.0, 1_000.0, 1_990.0, 2_000.0, 3_950.0] {
        let db = response_db(rate, hz);
        assert!(db.abs() < 0.7, "{db} dB at {hz} Hz, {rate:?}");
    }
    let db = response_db(rate, 80.0);
    assert!((-6.0..-3.0).contains(&db), "{db} dB at 80 Hz");
    // Below, attenuation is limited by the tone's change within a block.
    for hz in [5.0, 35.0, 49.5, 55.0, 60.5] {
        let db = response_db(rate, hz);
        assert!(db < -30.0, "{db} dB at {hz} Hz, {rate:?}");
    }
}

#[test]
fn the_meter_is_a_high_pass_at_80_hz_at_every_rate() {
    assert_high_pass(SampleRate::Hz8000);
    assert_high_pass(SampleRate::Hz16000);
    assert_high_pass(SampleRate::Hz48000);
}

#[test]
fn mains_hum_is_far_below_the_close_threshold() {
    for hz in [50.0, 60.0] {
        let level = read(SampleRate::Hz16000, &tone(16_000, hz, 700.0));
        assert!(level < 20.0, "{level} of 700 at {hz} Hz");
        let level = read(SampleRate::Hz16000, &tone(16_000, hz, 20_000.0));
        assert!(level < 600.0, "{level} of 20,000 at {hz} Hz");
    }
}

#[test]
fn an_offset_counts_for_nothing_from_the_first_sample_on() {
    for offset in [i16::MIN, -1_638, -1, 0, 1, 600, 1_638, i16::MAX] {
        let mut meter: LevelMeter = LevelMeter::new(SampleRate::Hz16000);
        for frame in 0..200 {
            assert_eq!(meter.rms(&[offset; 320]), 0, "{offset} in frame {frame}");
        }
    }
}

#[test]
fn voice_reads_the_same_with_an_offset_as_without() {
    let voice = tone(16_000, 437.0, 3_000.0);
    for offset in [-1_638, 600, 1_638] {
        let moved: Vec<i16> = voice.iter().map(|sample| sample + offset).collect();
        let (mut plain, mut other) = (
            LevelMeter::new(SampleRate::Hz16000),
            LevelMeter::new(SampleRate::Hz16000),
        );
        for (frame, moved) in voice.chunks(320).zip(moved.chunks(320)) {
            assert!(plain.rms(frame).abs_diff(other.rms(moved)) <= 1);
        }
    }
}

#[test]
fn sound_that_alternates_faster_than_the_blocks_reads_as_its_rms() {
    let frame = [3_000, -3_000].repeat(160);
    let mut meter: LevelMeter = LevelMeter::new(SampleRate::Hz16000);
    // The first sample was taken for an offset.
    (0..10).for_each(|_| _ = meter.rms(&frame));
    assert!((0..50).all(|_| meter.rms(&frame) == rms(&frame)));
}

#[test]
fn the_loudest_sound_neither_overflows_nor_reads_above_full_scale() {
    // Square waves of every period, and one whose sign follows no period at all, with either start.
    let mut random = 1u32;
    let mut noise = move || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        random >> 31 == 0
    };
    let noise: Vec<bool> = (0..16_000)
        .map(|n| if n % 37 == 0 { noise() } else { n % 74 < 37 })
        .collect();
    let waves = (1..400usize).map(|half| (0..8_000).map(|n| n / half % 2 == 0).collect());
    for wave in waves.chain([noise]) {
        let wave: Vec<i16> = wave
            .iter()
            .map(|&high| if high { i16::MAX } else { i16::MIN })
            .collect();
        let mut meter: LevelMeter = LevelMeter::new(SampleRate::Hz16000);
        for frame in wave.chunks_exact(320) {
            assert!(meter.rms(frame) <= 32_768);
        }
        // And the meter comes to rest: after half a second nothing of the sound is left.
        (0..25).for_each(|_| _ = meter.rms(&[0; 320]));
        assert_eq!(meter.rms(&[0; 320]), 0);
    }
}

#[test]
fn an_empty_frame_has_no_level() {
    let mut meter: LevelMeter = LevelMeter::new(SampleRate::Hz16000);
    assert_eq!((meter.rms(&[]), meter.rms(&[5, 5, 5])), (0, 0));
}

/// Ten seconds of words and pauses with a little noise. The words vary in loudness, so that some of
/// their frames are near both thresholds.
fn sentence() -> Vec<i16> {
    let mut random = 7u32;
    (0..160_000u32)
        .map(|n| {
            let at = f64::from(n) / 16_000.0;
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = f64::from(random >> 16) / 65_536.0 - 0.5;
            let word = (at * TAU * 0.37).sin().max(0.0) * (0.6 + 0.4 * (at * TAU * 3.1).sin());
            let pitch = 118.0 + 20.0 * (at * TAU * 0.5).sin();
            let voice: f64 = (1..20)
                .map(|k| (at * TAU * pitch * f64::from(k)).sin() / f64::from(k))
                .sum();
            (4_000.0 * word * voice + 60.0 * noise) as i16
        })
        .collect()
}

/// Which frames of a sound are sent, and with which samples.
fn sent(sound: &[i16]) -> Vec<(usize, Vec<u8>)> {
    // Without a pre-roll no frame is left out, nor sent later than captured.
    let mut mic = Mic::new(UplinkConfig {
        pre_roll_frames: 0,
        gate: GateConfig {
            mode: GateMode::ORIGINAL,
            ..GateConfig::DEFAULT
        },
        ..UplinkConfig::default_for(CodecId::Pcm16.into(), AudioFormat::DEFAULT)
    });
    let mut sent = Vec::new();
    for (number, frame) in sound.chunks_exact(320).enumerate() {
        let packets = mic.capture(frame);
        sent.extend(packets.into_iter().map(|packet| (number, packet.payload)));
    }
    sent
}

#[test]
fn the_gate_decides_the_same_with_offset_and_hum() {
    let plain = sentence();
    let expected: Vec<usize> = sent(&plain).iter().map(|(number, _)| *number).collect();
    assert!(
        (150..400).contains(&expected.len()),
        "{} of 500",
        expected.len()
    );
    for (offset, hz, hum) in [
        (600, 50.0, 0.0),
        (1_638, 50.0, 0.0),
        (-1_638, 50.0, 0.0),
        (0, 50.0, 700.0),
        (0, 60.0, 700.0),
        (1_638, 60.0, 700.0),
    ] {
        let hum = tone(16_000, hz, hum);
        let sound: Vec<i16> = plain
            .iter()
            .zip(hum.iter().cycle())
            .map(|(voice, hum)| {
                (i32::from(*voice) + i32::from(*hum) + offset).clamp(-32_768, 32_767) as i16
            })
            .collect();
        let frames = sent(&sound);
        let numbers: Vec<usize> = frames.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, expected, "offset {offset}, hum at {hz} Hz");
        // What is sent is what was said: the filter is for the level only.
        for (number, payload) in &frames {
            let from = number * 320;
            let said: Vec<u8> = sound[from..from + 320]
                .iter()
                .flat_map(|s| s.to_le_bytes())
                .collect();
            assert_eq!(*payload, said);
        }
    }
}

#[test]
fn a_restarted_uplink_has_forgotten_the_offset_of_the_microphone_before() {
    let config = UplinkConfig::default_for(CodecId::Pcm16.into(), AudioFormat::DEFAULT);
    let mut mic = Mic::new(config);
    mic.capture(&[0; 320]);
    mic.uplink.restart(config).unwrap();
    mic.capture(&[30_000; 320]);
    assert_eq!(mic.uplink.level_rms(), 0);
}
