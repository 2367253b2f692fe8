use super::*;

const RATE_HZ: u32 = 48_000;

fn tone(hz: f64, amplitude: f64, n: usize) -> f32 {
    (amplitude * (std::f64::consts::TAU * hz * n as f64 / f64::from(RATE_HZ)).sin()) as f32
}

/// Returns what is heard of `seconds` of frames.
fn heard<const N: usize>(
    choice: InputChannel,
    seconds: f64,
    frame: impl Fn(usize) -> [f32; N],
) -> Vec<f32> {
    let mut picker = ChannelPicker::new(choice, N as u16, RATE_HZ);
    (0..(seconds * f64::from(RATE_HZ)) as usize)
        .map(|n| picker.pick(frame(n).into_iter()))
        .collect()
}

fn rms(samples: &[f32]) -> f64 {
    let sum: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    (sum / samples.len() as f64).sqrt()
}

fn level_db(samples: &[f32], reference: &[f32]) -> f64 {
    20.0 * (rms(samples) / rms(reference)).log10()
}

/// Words of 300 ms with pauses of 200 ms, after half a second of silence.
fn words(n: usize) -> f32 {
    let ms = n * 1_000 / RATE_HZ as usize;
    if ms < 500 || (ms - 500) % 500 >= 300 {
        0.0
    } else {
        tone(300.0, 0.2, n)
    }
}

fn noise(n: usize, seed: u32) -> f32 {
    let mixed = (n as u32).wrapping_mul(0x9E37_79B9) ^ seed.wrapping_mul(0x85EB_CA6B);
    let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x2C1B_3C6D);
    ((mixed ^ (mixed >> 12)) as f32 / u32::MAX as f32 - 0.5) * 0.001
}

#[test]
fn a_voice_on_one_channel_is_heard_at_its_level() {
    let plain = heard(InputChannel::Voice, 3.0, |n| [words(n)]);
    let right = heard(InputChannel::Voice, 3.0, |n| [noise(n, 1), words(n)]);
    let fifth = heard(InputChannel::Voice, 3.0, |n| {
        let mut frame = [0.0; 8];
        frame[4] = words(n);
        frame
    });
    for (name, samples) in [("right", right), ("fifth of eight", fifth)] {
        let level = level_db(&samples, &plain);
        assert!(level.abs() < 0.3, "{name}: {level:.2} dB");
        let late = samples
            .iter()
            .zip(&plain)
            .rposition(|(sample, plain)| *plain != 0.0 && sample != plain);
        let onset = RATE_HZ as usize / 2;
        assert!(
            late.is_none_or(|at| at < onset + 1_000),
            "{name}: changed at {late:?}"
        );
    }
}

#[test]
fn opposite_phases_do_not_cancel() {
    let plain = heard(InputChannel::Voice, 2.0, |n| [words(n)]);
    let antiphase = heard(InputChannel::Voice, 2.0, |n| [words(n), -words(n)]);
    assert_eq!(antiphase, plain);
    let mixed = heard(InputChannel::Mix, 2.0, |n| [words(n), -words(n)]);
    assert_eq!(rms(&mixed), 0.0, "the mean is what was asked for");
}

#[test]
fn mono_in_stereo_passes_bit_for_bit() {
    let sound = |n| words(n) + noise(n, 3);
    let plain = heard(InputChannel::Voice, 3.0, |n| [sound(n)]);
    assert_eq!(
        heard(InputChannel::Voice, 3.0, |n| [sound(n), sound(n)]),
        plain
    );
}

#[test]
fn stereo_of_about_equal_channels_stays_on_one() {
    let left = |n: usize| tone(440.0, 0.2, n) + noise(n, 1);
    let right = |n: usize| tone(587.0, 0.25, n) * (1.0 + tone(3.0, 0.2, n));
    let plain = heard(InputChannel::Voice, 4.0, |n| [left(n)]);
    assert_eq!(
        heard(InputChannel::Voice, 4.0, |n| [left(n), right(n)]),
        plain
    );
}

#[test]
fn two_microphones_take_turns() {
    let second = RATE_HZ as usize;
    let is_first = |n: usize| (n / second).is_multiple_of(2);
    // Each picks up the other at -20 dB.
    let first = |n: usize| tone(200.0, if is_first(n) { 0.3 } else { 0.03 }, n);
    let other = |n: usize| tone(330.0, if is_first(n) { 0.03 } else { 0.3 }, n);
    let samples = heard(InputChannel::Voice, 6.0, |n| [first(n), other(n)]);
    for turn in 0..6 {
        let said = &samples[turn * second + second / 20..(turn + 1) * second];
        let level = 20.0 * (rms(said) / (0.3 / 2f64.sqrt())).log10();
        assert!(level.abs() < 0.3, "turn {turn}: {level:.2} dB after 50 ms");
    }
    let step = samples
        .windows(2)
        .map(|w| (w[1] - w[0]).abs())
        .fold(0.0, f32::max);
    // 330 Hz at 0.3 moves by 0.013 from sample to sample, a fade of 5 ms by 0.0026; a hard cut by
    // 0.3.
    assert!(step < 0.02, "a step of {step}");
}

#[test]
fn hum_and_dc_on_a_dead_channel_are_ignored() {
    let plain = heard(InputChannel::Voice, 4.0, |n| [words(n)]);
    let samples = heard(InputChannel::Voice, 4.0, |n| {
        [0.05 + tone(50.0, 0.1, n), words(n)]
    });
    // In the pauses either channel may be picked; the words must all be there.
    let second = RATE_HZ as usize;
    let said = |samples: &[f32]| -> Vec<f32> {
        (second..4 * second)
            .filter(|n| (n * 1_000 / second - 500) % 500 < 300)
            .map(|n| samples[n])
            .collect()
    };
    let level = level_db(&said(&samples), &said(&plain));
    assert!(level.abs() < 0.5, "{level:.2} dB");
}

#[test]
fn a_number_or_the_mean_can_be_asked_for() {
    let frame = |_| [0.25, 0.5, -0.125];
    assert_eq!(heard(InputChannel::Number(2), 0.01, frame)[0], 0.5);
    assert_eq!(heard(InputChannel::Number(3), 0.01, frame)[0], -0.125);
    assert_eq!(heard(InputChannel::Mix, 0.01, frame)[0], 0.625 / 3.0);
    assert_eq!("2".parse(), Ok(InputChannel::Number(2)));
    assert_eq!("mix".parse(), Ok(InputChannel::Mix));
    assert_eq!("voice".parse(), Ok(InputChannel::Voice));
    for wrong in ["0", "-1", "257", "left", "", "1.5"] {
        assert!(wrong.parse::<InputChannel>().is_err(), "{wrong}");
    }
    assert!(InputChannel::Number(2).check(2).is_ok());
    let problem = InputChannel::Number(3).check(2).unwrap_err();
    assert!(
        problem.contains("channel 3") && problem.contains("has 2"),
        "{problem}"
    );
}

#[test]
fn nonsense_from_a_device_does_not_panic() {
    let odd = [f32::NAN, f32::INFINITY, -1e38, 0.0];
    let samples = heard(InputChannel::Voice, 0.5, |n| [odd[n % 4], odd[(n / 3) % 4]]);
    assert_eq!(samples.len(), 24_000);
    let mut picker = ChannelPicker::new(InputChannel::Number(9), 0, 0);
    assert_eq!(picker.pick([].into_iter()), 0.0);
}

#[test]
fn noise_on_the_other_channel_is_not_heard_in_the_pauses_of_a_voice() {
    let second = RATE_HZ as usize;
    let plain = heard(InputChannel::Voice, 4.0, |n| [words(n)]);
    let samples = heard(InputChannel::Voice, 4.0, |n| [words(n), 20.0 * noise(n, 1)]);
    assert_eq!(samples[second..], plain[second..]);
}

#[test]
fn the_louder_of_two_channels_that_are_never_silent_wins() {
    let right = |n: usize| tone(300.0, 0.3, n);
    let samples = heard(InputChannel::Voice, 3.0, |n| {
        [tone(300.0, 0.1, n), right(n)]
    });
    let second = RATE_HZ as usize;
    assert!((2 * second..3 * second).all(|n| samples[n] == right(n)));
}

#[test]
fn one_sample_of_nonsense_does_not_end_a_channel() {
    let plain = heard(InputChannel::Voice, 4.0, |n| [words(n)]);
    let second = RATE_HZ as usize;
    for odd in [f32::NAN, f32::INFINITY, 1e38] {
        for dead in [false, true] {
            let samples = heard(InputChannel::Voice, 4.0, |n| match (n, dead) {
                (0, false) => [0.0, odd],
                (0, true) => [odd, 0.0],
                _ => [0.0, words(n)],
            });
            assert_eq!(samples[2 * second..], plain[2 * second..], "{odd} {dead}");
        }
    }
}

#[test]
fn a_short_noise_does_not_change_the_channel() {
    let second = RATE_HZ as usize;
    let left = |n: usize| tone(300.0, 0.1, n);
    // 8 dB louder, for 50 ms each second.
    let right = |n: usize| {
        if n % second < second / 20 {
            tone(700.0, 0.25, n)
        } else {
            0.0
        }
    };
    let samples = heard(InputChannel::Voice, 5.0, |n| {
        [left(n), right(n + second / 2)]
    });
    assert!((second..5 * second).all(|n| samples[n] == left(n)));
}
