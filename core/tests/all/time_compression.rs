//! Time compression: how much it takes out, and that nobody hears where.

use std::f64::consts::TAU;

use crate::common::cases::cases;
use crate::common::ear::largest_step;
use proptest::prelude::*;
use proptest::sample::select;
use talkspurt_core::audio::format::SampleRate;
use talkspurt_core::audio::time_compression::{TimeCompressor, take_out_period};

const RATES: [SampleRate; 3] = [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz48000];

fn tone(rate: SampleRate, ms: usize, hz: f64) -> Vec<i16> {
    let radians = TAU * hz / f64::from(rate.hz());
    (0..rate.samples_in_ms(ms))
        .map(|n| (8_000.0 * (n as f64 * radians).sin()) as i16)
        .collect()
}

/// Compresses a sound in blocks of 20 ms by up to `surplus` samples. Returns what is left.
fn compressed(rate: SampleRate, sound: &[i16], mut surplus: usize) -> Vec<i16> {
    let mut compressor = TimeCompressor::new(rate);
    let mut out = Vec::new();
    for block in sound.chunks(rate.samples_in_ms(20)) {
        let mut block = block.to_vec();
        compressor.advance(block.len());
        let left = compressor.compress(&mut block, surplus);
        surplus -= block.len() - left;
        out.extend(&block[..left]);
    }
    out
}

/// How often the sound rises through zero in a second.
fn pitch_hz(rate: SampleRate, sound: &[i16]) -> f64 {
    let rises: Vec<usize> = (1..sound.len())
        .filter(|&n| sound[n - 1] < 0 && sound[n] >= 0)
        .collect();
    let span = rises[rises.len() - 1] - rises[0];
    (rises.len() - 1) as f64 * f64::from(rate.hz()) / span as f64
}

#[test]
fn a_surplus_is_gone_after_four_times_its_length() {
    for rate in RATES {
        for surplus_ms in [20, 60, 200] {
            // 30 ms more, as it begins with no budget and ends with a rest of less than 5 ms.
            let sound = tone(rate, 4 * surplus_ms + 30, 130.0);
            let surplus = rate.samples_in_ms(surplus_ms);
            let removed = sound.len() - compressed(rate, &sound, surplus).len();
            let rest = rate.samples_in_ms(5);
            assert!(
                (surplus - rest + 1..=surplus).contains(&removed),
                "{removed} of {surplus}, {rate:?}"
            );
        }
    }
}

#[test]
fn what_is_left_of_silence_is_silence_and_without_a_surplus_all_is_left() {
    for rate in RATES {
        let len = rate.samples_in_ms(400);
        let left = compressed(rate, &vec![0; len], len);
        assert!(left.len() < len * 3 / 4 + rate.samples_in_ms(20));
        assert!(left.iter().all(|&sample| sample == 0));
        let sound = tone(rate, 400, 300.0);
        assert_eq!(compressed(rate, &sound, rate.samples_in_ms(5) - 1), sound);
    }
}

#[test]
fn a_block_that_is_too_short_is_left_as_it_is() {
    let rate = SampleRate::Hz16000;
    for len in 0..11 * 16 {
        let mut sound = tone(rate, 11, 200.0)[..len].to_vec();
        let before = sound.clone();
        assert_eq!(take_out_period(&mut sound, rate, 1_000), len);
        assert_eq!(sound, before);
    }
    let mut sound = tone(rate, 11, 200.0);
    assert_eq!(take_out_period(&mut sound, rate, 1_000), 6 * 16);
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn a_tone_keeps_its_pitch_and_does_not_click(
        rate in select(&RATES[..]),
        hz in 70.0..1_500.0,
    ) {
        let sound = tone(rate, 1_000, hz);
        let left = compressed(rate, &sound, sound.len());
        prop_assert!(left.len() < sound.len() * 8 / 10, "{} of {}", left.len(), sound.len());
        let (before, after) = (pitch_hz(rate, &sound), pitch_hz(rate, &left));
        prop_assert!((after / before - 1.0).abs() < 0.02, "{after} Hz, not {before} Hz");
        let (step, own) = (largest_step(&left), largest_step(&sound));
        prop_assert!(step <= own + own / 4 + 100, "{step} of {own}");
    }

    #[test]
    fn a_block_keeps_both_ends_and_never_gets_louder(
        rate in select(&RATES[..]),
        sound in prop::collection::vec(any::<i16>(), 0..4_000),
        most in 0usize..4_000,
    ) {
        let mut block = sound.clone();
        let left = take_out_period(&mut block, rate, most);
        let removed = sound.len() - left;
        let (least, longest) = (rate.samples_in_ms(5), rate.samples_in_ms(15));
        prop_assert!(removed == 0 || (least..=longest.min(most)).contains(&removed));
        let joint = removed.min(left);
        prop_assert_eq!(&block[..left - joint], &sound[..left - joint]);
        prop_assert_eq!(block[..left].last(), sound.last());
        let peak = |sound: &[i16]| sound.iter().map(|it| it.unsigned_abs()).max();
        prop_assert!(peak(&block[..left]) <= peak(&sound));
    }

    #[test]
    fn no_stream_is_more_than_1_35_times_as_fast(
        rate in select(&RATES[..]),
        blocks in prop::collection::vec((1usize..100, 0usize..2_000), 1..60),
        hz in 70.0..400.0,
    ) {
        let mut compressor = TimeCompressor::new(rate);
        let (mut came, mut left) = (0, 0);
        for (ms, most) in blocks {
            let mut block = tone(rate, ms, hz);
            came += block.len();
            compressor.advance(block.len());
            let now = compressor.compress(&mut block, most);
            prop_assert!(block.len() - now <= most);
            left += now;
            prop_assert!(left * 135 >= came * 100, "{left} of {came}");
        }
    }
}
