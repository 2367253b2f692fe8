use super::*;
use std::f64::consts::TAU;

/// Rates of sound cards.
const DEVICE_HZ: [u32; 9] = [
    8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000,
];
/// Amplitude of the tones.
const AMPLITUDE: f64 = 0.5;

fn tone(hz: f64, rate_hz: f64, n: usize) -> f32 {
    (AMPLITUDE * (TAU * hz * n as f64 / rate_hz).sin()) as f32
}

fn db(ratio: f64) -> f64 {
    20.0 * ratio.max(1e-9).log10()
}

/// Returns the amplitude of `signal` at `hz`.
fn amplitude_at(hz: f64, rate_hz: f64, signal: &[f32]) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, &s) in signal.iter().enumerate() {
        let phase = TAU * hz * n as f64 / rate_hz;
        re += f64::from(s) * phase.cos();
        im += f64::from(s) * phase.sin();
    }
    2.0 * (re * re + im * im).sqrt() / signal.len() as f64
}

fn rms(signal: &[f32]) -> f64 {
    let power: f64 = signal.iter().map(|&s| f64::from(s).powi(2)).sum();
    (power / signal.len() as f64).sqrt()
}

/// Returns the power of `signal` at `hz` relative to the rest, in dB.
fn purity_db(signal: &[f32], hz: f64, rate_hz: f64) -> f64 {
    let at = amplitude_at(hz, rate_hz, signal).powi(2) / 2.0;
    10.0 * (at / (rms(signal).powi(2) - at).max(1e-12)).log10()
}

/// Returns half a second of a tone as the room gets it, after the filter has settled.
fn to_room(hz: f64, device_hz: u32, correction: f64) -> Vec<f32> {
    let mut converter = Converter::to_room(device_hz, 320).unwrap();
    converter.set_correction(correction);
    let (mut fed, mut heard) = (0, Vec::new());
    while heard.len() < 11_200 {
        let input: Vec<f32> = (fed..fed + converter.needs())
            .map(|n| tone(hz, f64::from(device_hz), n))
            .collect();
        fed += input.len();
        let frame = converter.convert(&input);
        assert_eq!(frame.len(), 320);
        heard.extend_from_slice(frame);
    }
    heard.split_off(3_200)
}

/// Returns 400 ms of a tone as a device gets it.
fn to_device(hz: f64, device_hz: u32) -> Vec<f32> {
    let mut converter = Converter::to_device(device_hz, 320).unwrap();
    let mut heard = Vec::new();
    for frame in 0..35 {
        let input: Vec<f32> = (frame * 320..(frame + 1) * 320)
            .map(|n| tone(hz, 16_000.0, n))
            .collect();
        heard.extend_from_slice(converter.convert(&input));
    }
    let whole = device_hz as usize * 7 / 10;
    assert!(heard.len().abs_diff(whole) < whole / 20, "{}", heard.len());
    heard.split_off(heard.len() - device_hz as usize * 2 / 5)
}

/// The band of speech.
const TOP_HZ: f64 = 7_000.0;

/// Tones with whole periods in 400 and in 500 ms, up to the top of the band of speech or of the
/// band that both rates have.
fn tones_hz(device_hz: u32) -> impl Iterator<Item = f64> {
    let top_hz = (0.43 * f64::from(device_hz)).min(TOP_HZ);
    (1..=10).map(move |step| (top_hz * f64::from(step) / 10.0 / 20.0).floor() * 20.0)
}

#[test]
fn the_band_of_speech_is_flat_and_a_tone_stays_a_tone_from_every_device() {
    for device_hz in DEVICE_HZ {
        for hz in tones_hz(device_hz) {
            let heard = to_room(hz, device_hz, 0.0);
            let gain_db = db(amplitude_at(hz, 16_000.0, &heard) / AMPLITUDE);
            assert!(
                gain_db.abs() < 1.0,
                "{device_hz} Hz: {gain_db:.2} dB at {hz} Hz"
            );
            let purity = purity_db(&heard, hz, 16_000.0);
            assert!(purity > 50.0, "{device_hz} Hz: {purity:.1} dB at {hz} Hz");
        }
    }
}

#[test]
fn the_band_of_speech_is_flat_and_a_tone_stays_a_tone_to_every_device() {
    for device_hz in DEVICE_HZ {
        let rate_hz = f64::from(device_hz);
        for hz in tones_hz(device_hz) {
            let heard = to_device(hz, device_hz);
            let gain_db = db(amplitude_at(hz, rate_hz, &heard) / AMPLITUDE);
            assert!(
                gain_db.abs() < 1.0,
                "{device_hz} Hz: {gain_db:.2} dB at {hz} Hz"
            );
            let purity = purity_db(&heard, hz, rate_hz);
            assert!(purity > 50.0, "{device_hz} Hz: {purity:.1} dB at {hz} Hz");
        }
    }
}

#[test]
fn tones_above_the_band_do_not_fold_into_it() {
    for device_hz in DEVICE_HZ.into_iter().filter(|rate| *rate > 18_000) {
        let top_hz = 0.49 * f64::from(device_hz);
        for step in 0..=12 {
            let hz = 9_000.0 + (top_hz - 9_000.0) * f64::from(step) / 12.0;
            for correction in [0.0, 0.003] {
                let heard = rms(&to_room(hz, device_hz, correction));
                let alias_db = db(heard * 2f64.sqrt() / AMPLITUDE);
                assert!(
                    alias_db < -65.0,
                    "{device_hz} Hz in: {alias_db:.1} dB of {hz:.0} Hz"
                );
            }
        }
    }
}

/// Outcome of a ring between a device that runs `ppm` fast and frames of the room's clock.
struct Drifted {
    /// Least and most seconds in the ring, once it had settled.
    least_s: f64,
    most_s: f64,
    learned_ppm: f64,
    /// The last second, and the largest step between two samples of the whole.
    last: Vec<f32>,
    step: f32,
}

/// Plays a 440 Hz tone through a speaker's ring.
fn play_drifting(ppm: f64, minutes: usize) -> Drifted {
    let mut converter = Converter::to_device(48_000, 320).unwrap();
    let mut control = DriftControl::default();
    let target = 0.030;
    let mut fill = target * 48_000.0;
    let (mut least_s, mut most_s) = (f64::MAX, f64::MIN);
    let (mut last, mut step, mut before) = (Vec::new(), 0f32, None);
    let frames = minutes * 60 * 50;
    for frame in 0..frames {
        let input: Vec<f32> = (frame * 320..(frame + 1) * 320)
            .map(|n| tone(440.0, 16_000.0, n))
            .collect();
        converter.set_correction(control.update(fill / 48_000.0 - target, 0.020));
        let made = converter.convert(&input);
        fill += made.len() as f64 - 0.020 * 48_000.0 * (1.0 + ppm * 1e-6);
        // The first frames hold the filter's start.
        for &sample in made.iter().filter(|_| frame > 2) {
            step = step.max((sample - before.unwrap_or(sample)).abs());
            before = Some(sample);
        }
        if frame >= frames - 50 {
            last.extend_from_slice(made);
        }
        if frame > 30 * 50 {
            (least_s, most_s) = (least_s.min(fill / 48_000.0), most_s.max(fill / 48_000.0));
        }
    }
    Drifted {
        least_s,
        most_s,
        learned_ppm: control.drift_ppm(),
        last,
        step,
    }
}

#[test]
fn the_drift_of_any_crystal_is_absorbed_and_the_tone_stays_whole() {
    for ppm in [-500.0, -50.0, 0.0, 50.0, 500.0] {
        let drifted = play_drifting(ppm, 3);
        let (least_s, most_s) = (drifted.least_s, drifted.most_s);
        assert!(
            least_s > 0.005,
            "{ppm} ppm: the ring ran down to {least_s} s"
        );
        assert!(
            most_s < 0.060,
            "{ppm} ppm: the ring filled up to {most_s} s"
        );
        // A fast device needs more samples per frame: the ring is filled faster, which is a
        // negative correction.
        let learned = drifted.learned_ppm;
        assert!(
            (learned + ppm).abs() < 60.0,
            "{ppm} ppm learned as {learned}"
        );
        // In the device's own samples the tone is lower by as much as the device is fast.
        let hz = 440.0 / (1.0 + ppm * 1e-6);
        let level_db = db(amplitude_at(hz, 48_000.0, &drifted.last) / AMPLITUDE);
        assert!(level_db.abs() < 0.1, "{ppm} ppm: {level_db:.2} dB");
        let purity = purity_db(&drifted.last, hz, 48_000.0);
        assert!(purity > 40.0, "{ppm} ppm: {purity:.1} dB");
        // 440 Hz at half scale moves by 0.0288 at most, 0.5 % more while the ratio is bent.
        assert!(
            drifted.step < 0.0295,
            "{ppm} ppm: a step of {}",
            drifted.step
        );
    }
}

#[test]
fn a_bent_ratio_takes_more_samples_and_keeps_the_tone() {
    for correction in [-CORRECTION_MAX, -0.000_3, 0.000_3, CORRECTION_MAX] {
        for device_hz in [44_100, 48_000] {
            let heard = to_room(1_000.0, device_hz, correction);
            // Used up faster, the device's sound is higher.
            let hz = 1_000.0 * (1.0 + correction);
            let purity = purity_db(&heard, hz, 16_000.0);
            assert!(
                purity > 40.0,
                "{device_hz} Hz, bent by {correction}: {purity:.1} dB"
            );
        }
    }
}
