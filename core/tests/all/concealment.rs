//! What is played in place of sound that is missing: how like the sound it is, and that neither end
//! of a gap clicks.

use std::f64::consts::TAU;

use crate::common::cases::cases;
use crate::common::ear::largest_step;
use proptest::prelude::*;
use proptest::sample::select;
use talkspurt_core::audio::conceal::Concealment;
use talkspurt_core::audio::format::{AudioFormat, FrameDuration, SampleRate};

const RATES: [SampleRate; 3] = [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz48000];
const FRAMES: [FrameDuration; 3] = [FrameDuration::Ms5, FrameDuration::Ms10, FrameDuration::Ms20];

fn formats() -> impl Iterator<Item = AudioFormat> {
    let of = |rate| move |frame| AudioFormat { rate, frame };
    RATES.into_iter().flat_map(move |rate| FRAMES.map(of(rate)))
}

/// Plays `sound` frame by frame. The frames of `is_lost` are concealed. Returns what is heard.
fn heard<const FRAME: usize>(
    format: AudioFormat,
    sound: &[i16],
    is_lost: impl Fn(usize) -> bool,
) -> Vec<i16> {
    let mut concealment = Concealment::<FRAME>::new();
    let mut heard = Vec::new();
    for (number, frame) in sound.chunks_exact(format.frame_samples()).enumerate() {
        let mut out = frame.to_vec();
        if is_lost(number) {
            concealment.conceal(format.rate, &mut out);
        } else {
            if number > 0 && is_lost(number - 1) {
                concealment.resume(format.rate, &mut out);
            }
            concealment.played(&out);
        }
        heard.extend(out);
    }
    heard
}

/// The frame that holds this time.
fn frame_at(format: AudioFormat, ms: usize) -> usize {
    ms / usize::from(format.frame.ms())
}

/// So many milliseconds of a voice of harmonics that fall by 6 dB an octave, up to 3 kHz.
fn harmonics(rate: SampleRate, ms: usize, hz: f64, phases: &[f64]) -> Vec<f64> {
    let sample = |n: usize| {
        let seconds = n as f64 / f64::from(rate.hz());
        let partials = phases.iter().enumerate().map(|(n, phase)| (n + 1, phase));
        let audible = partials.take_while(|(nth, _)| *nth as f64 * hz < 3_000.0);
        audible
            .map(|(nth, phase)| {
                (TAU * (seconds * hz * nth as f64 + phase)).sin() * 5_000.0 / nth as f64
            })
            .sum()
    };
    (0..rate.samples_in_ms(ms)).map(sample).collect()
}

fn rounded(sound: &[f64]) -> Vec<i16> {
    sound.iter().map(|&sample| sample as i16).collect()
}

#[test]
fn a_periodic_sound_goes_on_in_its_phase_and_fades_in_a_straight_line_for_60_ms() {
    for format in formats() {
        // Periods of whole samples at each rate, from 2.5 to 12.5 ms.
        for hz in [400.0, 200.0, 160.0, 80.0] {
            let sound = rounded(&harmonics(format.rate, 200, hz, &[0.1, 0.7, 0.4, 0.3, 0.9]));
            let heard = heard::<960>(format, &sound, |number| {
                (frame_at(format, 60)..frame_at(format, 140)).contains(&number)
            });
            let gap = format.rate.samples_in_ms(60)..format.rate.samples_in_ms(140);
            let silent = format.rate.samples_in_ms(60) as f64;
            for (n, (heard, said)) in heard[gap.clone()].iter().zip(&sound[gap]).enumerate() {
                let expected = f64::from(*said) * (1.0 - (n + 1) as f64 / silent).max(0.0);
                let error = (f64::from(*heard) - expected).abs();
                assert!(
                    error < 8.0,
                    "{format:?}, {hz} Hz, {n}: {heard}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn sound_comes_back_within_2_to_5_ms_the_longer_the_gap_the_slower() {
    for format in formats() {
        let sound = vec![8_000; format.rate.samples_in_ms(200)];
        let faded_ms = |gap_ms: usize| {
            let to = frame_at(format, 60 + gap_ms);
            let gap = frame_at(format, 60)..to;
            let heard = heard::<960>(format, &sound, |number| gap.contains(&number));
            let back = heard[format.rate.samples_in_ms(60 + gap_ms)..].iter();
            let faded = back.take_while(|&&sample| sample != 8_000).count() + 1;
            faded as f64 / format.rate.samples_in_ms(1) as f64
        };
        assert_eq!(faded_ms(20), 3.0, "{format:?}");
        assert_eq!(faded_ms(60), 5.0, "{format:?}");
        assert_eq!(faded_ms(100), 5.0, "{format:?}");
    }
}

#[test]
fn the_history_is_the_same_in_frames_of_any_length() {
    let rate = SampleRate::Hz16000;
    let sound = rounded(&harmonics(rate, 120, 103.0, &[0.1, 0.7, 0.4, 0.3, 0.9]));
    let gap_of = |frame| {
        let format = AudioFormat { rate, frame };
        let lost = frame_at(format, 80)..frame_at(format, 100);
        heard::<320>(format, &sound, |number| lost.contains(&number))[1_280..1_600].to_vec()
    };
    let whole = gap_of(FrameDuration::Ms20);
    for frame in [FrameDuration::Ms5, FrameDuration::Ms10] {
        for (one, other) in gap_of(frame).iter().zip(&whole) {
            assert!(one.abs_diff(*other) <= 2, "rounding apart");
        }
    }
}

#[test]
fn a_loss_right_after_another_is_concealed_by_what_was_played() {
    // Of the second gap, only 5 ms before it are the voice's own.
    let format = AudioFormat {
        rate: SampleRate::Hz16000,
        frame: FrameDuration::Ms5,
    };
    let sound = rounded(&harmonics(format.rate, 120, 100.0, &[0.1, 0.7, 0.4]));
    let heard = heard::<320>(format, &sound, |number| {
        [10, 11, 12, 14, 15].contains(&number)
    });
    let (heard, said) = (&heard[14 * 80..16 * 80], &sound[14 * 80..16 * 80]);
    let apart = heard
        .iter()
        .zip(said)
        .map(|(a, b)| u32::from(a.abs_diff(*b)));
    let mean = apart.sum::<u32>() / said.len() as u32;
    assert!(mean < 1_500, "{mean}");
}

#[test]
fn a_frame_that_is_cut_off_fades_to_silence_and_is_forgotten() {
    for format in formats() {
        let mut concealment = Concealment::<960>::new();
        let mut out = vec![8_000; format.frame_samples()];
        (0..10).for_each(|_| concealment.played(&out));
        assert!(concealment.is_audible());
        concealment.fade_out(format.rate, &mut out);
        let step = 8_000 / out.len() as i32 + 2;
        assert!(largest_step(&[&[8_000], &out[..], &[0]].concat()) <= step);
        assert!(!concealment.is_audible());
        concealment.conceal(format.rate, &mut out);
        assert_eq!(out, vec![0; out.len()]);
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn neither_end_of_a_gap_has_a_step_much_larger_than_the_voices_own(
        rate in select(&RATES[..]),
        frame in select(&FRAMES[..]),
        hz in 70.0..390.0,
        phases in prop::collection::vec(0.0..1.0, 1..12),
        noise in prop::collection::vec(-300.0..300.0, 16_000),
        gap in (8usize..20, 1usize..16),
    ) {
        let format = AudioFormat { rate, frame };
        let mut sound = harmonics(rate, 200, hz, &phases);
        sound.iter_mut().zip(noise.iter().cycle()).for_each(|(sample, noise)| *sample += noise);
        let sound = rounded(&sound);
        let gap = gap.0..gap.0 + gap.1;
        let heard = heard::<960>(format, &sound, |number| gap.contains(&number));
        // Two partials that are out of step cross-fade, and a period has whole samples.
        let peak = sound.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        let most = largest_step(&sound) * 5 / 4 + i32::from(peak) / 10;
        prop_assert!(largest_step(&heard) <= most, "{} of {}", largest_step(&heard), most);
    }

    #[test]
    fn any_sound_is_concealed_in_any_pattern_and_is_never_louder(
        format in select(formats().collect::<Vec<_>>()),
        sound in prop::collection::vec(any::<i16>(), 9_600),
        loud in any::<bool>(),
        lost in prop::collection::vec(any::<bool>(), 64),
    ) {
        let sound: Vec<i16> = if loud {
            sound.iter().map(|&it| if it < 0 { i16::MIN } else { i16::MAX }).collect()
        } else {
            sound.iter().map(|&it| it / 4).collect()
        };
        let heard = heard::<960>(format, &sound, |number| lost[number % lost.len()]);
        // What bends the beginning of a repetition is at most twice the sound itself.
        let most = if loud { 32_768 } else { 3 * 8_192 };
        prop_assert!(heard.iter().all(|sample| sample.unsigned_abs() <= most));
    }

    /// A history that is too short for the search repeats what it has.
    #[test]
    fn a_history_of_two_frames_is_enough_not_to_fail(
        sound in prop::collection::vec(any::<i16>(), 4_000),
        lost in prop::collection::vec(any::<bool>(), 16),
    ) {
        let lost = |number: usize| lost[number % lost.len()];
        for (rate, frame) in [(SampleRate::Hz8000, 40), (SampleRate::Hz16000, 80)] {
            let format = AudioFormat { rate, frame: FrameDuration::Ms5 };
            let played = if frame == 40 {
                heard::<40>(format, &sound, lost)
            } else {
                heard::<80>(format, &sound, lost)
            };
            prop_assert_eq!(played.len(), sound.len());
        }
    }
}
