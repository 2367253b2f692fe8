//! What the resampler passes and what it rejects, swept over tones and rates.

use super::*;

const RATES_HZ: [u32; 12] = [
    8_000, 11_025, 12_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000,
];
/// Amplitude of the tones.
const AMPLITUDE: f64 = 0.5;

/// Plays one second of a tone from a 32-bit float file.
fn heard_of(hz: f64, rate_hz: u32) -> Vec<f64> {
    let tone = |n: u32| AMPLITUDE * (TAU * hz * f64::from(n) / f64::from(rate_hz)).sin();
    let data = (0..rate_hz).flat_map(|n| (tone(n) as f32).to_le_bytes());
    let wav = Wav::new(3, 1, rate_hz, 32, data.collect());
    let heard = wav.heard();
    assert_eq!(heard.len(), 16_000, "{rate_hz} Hz");
    // The edges, where the tone starts and ends, are not steady.
    heard[4_000..12_000]
        .iter()
        .map(|s| f64::from(*s) / 32_768.0)
        .collect()
}

fn db(ratio: f64) -> f64 {
    20.0 * ratio.max(1e-9).log10()
}

/// Amplitude at `hz`.
fn amplitude_at(hz: f64, samples: &[f64]) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let phase = TAU * hz * n as f64 / 16_000.0;
        re += sample * phase.cos();
        im += sample * phase.sin();
    }
    2.0 * (re * re + im * im).sqrt() / samples.len() as f64
}

#[test]
fn the_band_of_speech_is_flat_at_every_rate() {
    for rate_hz in RATES_HZ {
        let top_hz = (0.45 * f64::from(rate_hz)).min(7_000.0);
        for step in 1..=20 {
            // Multiples of 20 Hz: whole periods in half a second.
            let hz = (top_hz * f64::from(step) / 20.0 / 20.0).floor() * 20.0;
            let gain_db = db(amplitude_at(hz, &heard_of(hz, rate_hz)) / AMPLITUDE);
            assert!(
                gain_db.abs() < 0.5,
                "{rate_hz} Hz file: {gain_db:.2} dB at {hz} Hz"
            );
        }
    }
}

#[test]
fn tones_above_the_band_do_not_fold_into_it() {
    for rate_hz in RATES_HZ.into_iter().filter(|rate_hz| *rate_hz > 18_000) {
        let top_hz = 0.49 * f64::from(rate_hz);
        for step in 0..=20 {
            let hz = 8_500.0 + (top_hz - 8_500.0) * f64::from(step) / 20.0;
            let heard = heard_of(hz, rate_hz);
            let power = heard.iter().map(|s| s * s).sum::<f64>() / heard.len() as f64;
            let alias_db = db((2.0 * power).sqrt() / AMPLITUDE);
            assert!(
                alias_db < -80.0,
                "{rate_hz} Hz file: {alias_db:.1} dB of {hz:.0} Hz"
            );
        }
    }
}

#[test]
fn every_rate_keeps_length_and_time() {
    for rate_hz in [
        8_000, 11_025, 22_050, 44_100, 44_101, 48_000, 96_000, 192_000,
    ] {
        let tone = |t: f64| 0.5 * (TAU * 440.0 * t).sin();
        let data = (0..rate_hz).flat_map(|n| {
            let value = tone(f64::from(n) / f64::from(rate_hz)) * 32_768.0;
            (value as i16).to_le_bytes()
        });
        let heard = Wav::new(1, 1, rate_hz, 16, data.collect()).heard();
        assert_eq!(heard.len(), 16_000, "{rate_hz} Hz");
        let worst = (2_000..14_000)
            .map(|n| (f64::from(heard[n]) / 32_768.0 - tone(n as f64 / 16_000.0)).abs())
            .fold(0.0, f64::max);
        // The filter's delay is trimmed to a whole sample: one sample of 440 Hz at half scale is
        // 0.086.
        assert!(worst < 0.088, "{rate_hz} Hz: off by {worst}");
    }
}
