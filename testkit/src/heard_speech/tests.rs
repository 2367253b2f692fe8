//! Tests of the measure itself: what it must not accept.

use std::time::Duration;

use super::frames::{Anchor, Frames, due_frames, in_order};
use super::*;
use crate::noise::noise;

const STRICT: Bounds = Bounds {
    share: 0.97,
    similarity: 0.995,
    gap_ms: 60.0,
    delay_ms: 300.0,
    spread_ms: 100.0,
};
const DUE: usize = samples(500);
const LATEST: usize = samples(300);

/// Two sentences, with a pause between them.
fn spoken() -> Vec<i16> {
    let pause = vec![0; samples(500)];
    [noise(1, samples(1_500)), pause, noise(2, samples(1_500))].concat()
}

/// A recording in which the sound is `delay` samples late.
fn recording(sound: &[i16], delay: usize) -> Vec<i16> {
    [&vec![0; DUE + delay], sound, &vec![0; samples(1_000)]].concat()
}

fn heard(recording: &[i16]) -> Hearing {
    hear(&spoken(), &Recording::new(recording), DUE as i64, LATEST).unwrap()
}

/// The faults of a recording, including added sound.
fn faults(recording: &[i16]) -> Vec<String> {
    let hearing = heard(recording);
    let mut faults = STRICT.faults(&hearing);
    let added = added_ms(recording, [&hearing]);
    if added > 0.0 {
        faults.push(format!("{added} ms added"));
    }
    faults
}

fn assert_fault(recording: &[i16], what: &str) {
    let faults = faults(recording);
    let found = faults.iter().any(|fault| fault.contains(what));
    assert!(found, "no \"{what}\" in {faults:?}");
}

#[test]
fn sound_heard_as_spoken_has_no_fault_at_any_loudness() {
    for delay in [0, 77, samples(250)] {
        let soft: Vec<i16> = spoken().iter().map(|s| s / 3).collect();
        assert_eq!(faults(&recording(&soft, delay)), [""; 0]);
        let hearing = heard(&recording(&spoken(), delay));
        assert_eq!((hearing.share, hearing.gap_ms), (1.0, 0.0));
        let delay_ms = millis(delay);
        let near = |ms: f64| (ms - delay_ms).abs() < 0.01;
        assert!(near(hearing.least_delay_ms) && near(hearing.most_delay_ms));
    }
}

#[test]
fn half_missing_is_a_fault_wherever_it_is_missing() {
    let half = spoken().len() / 2;
    let mut first = spoken();
    first[half..].fill(0);
    assert_fault(&recording(&first, 100), "heard 50.0 %");
    let mut second = spoken();
    second[..half].fill(0);
    assert_fault(&recording(&second, 100), "heard 50.0 %");
    // Every second frame, so that no gap is long.
    let mut riddled = spoken();
    for frame in riddled.chunks_mut(FRAME).step_by(2) {
        frame.fill(0);
    }
    assert_fault(&recording(&riddled, 100), "heard");
}

#[test]
fn sound_that_a_resampler_shifted_by_half_a_sample_was_heard() {
    // A hiss around 2 kHz, at twice the rate: of the odd samples, all are half a sample later.
    let noise = noise(1, 2 * samples(1_500) + 64);
    let hiss: Vec<i16> = noise
        .windows(64)
        .map(|sound| {
            let tone = |n: usize| (std::f64::consts::TAU * n as f64 / 16.0).cos();
            let window = |n: usize| (std::f64::consts::PI * n as f64 / 64.0).sin().powi(2);
            let sum = sound
                .iter()
                .enumerate()
                .map(|(n, &s)| f64::from(s) * tone(n) * window(n));
            (sum.sum::<f64>() / 8.0) as i16
        })
        .collect();
    let of_phase =
        |phase: usize| -> Vec<i16> { hiss[phase..].iter().step_by(2).copied().collect() };
    let [spoken, shifted] = [0, 1].map(of_phase);
    let recording = recording(&shifted, samples(100));
    let hearing = hear(&spoken, &Recording::new(&recording), DUE as i64, LATEST).unwrap();
    assert!(
        hearing.share == 1.0 && hearing.similarity > 0.99,
        "{hearing}"
    );
}

#[test]
fn a_lost_word_is_a_gap() {
    let mut gapped = spoken();
    gapped[samples(600)..samples(700)].fill(0);
    assert_fault(&recording(&gapped, 100), "gap 100 ms");
}

#[test]
fn words_in_the_wrong_order_were_not_heard() {
    let mut swapped = spoken();
    let (one, other) = swapped[..samples(600)].split_at_mut(samples(300));
    one.swap_with_slice(other);
    assert_fault(&recording(&swapped, 0), "heard");
    // The same if both are within the bound of delay.
    let mut swapped = spoken();
    let (one, other) = swapped[..samples(400)].split_at_mut(samples(200));
    one.swap_with_slice(other);
    assert_fault(&recording(&swapped, samples(200)), "heard");
    let (first, second) = (noise(1, samples(1_500)), noise(2, samples(1_500)));
    let reversed = [&second[..], &vec![0; samples(500)], &first].concat();
    assert_fault(&recording(&reversed, 100), "nothing heard");
}

#[test]
fn parts_in_the_wrong_order_give_no_delay_but_one() {
    let part = |spoken, heard| Anchor { spoken, heard };
    let found = [part(0, 4 * PART), part(PART, 0), part(2 * PART, 5 * PART)];
    let heard: Vec<usize> = in_order(&found).iter().map(|part| part.heard).collect();
    assert_eq!(heard, [0, 5 * PART]);
}

/// How many frames are heard at the delays of one frame too early, on time, and one frame too late.
fn frames_heard(spoken: &[i16], recording: &[i16]) -> usize {
    let delays = [(FRAME, 0), (FRAME, FRAME), (FRAME, 2 * FRAME)];
    let anchors = delays.map(|(spoken, heard)| Anchor { spoken, heard });
    let hearing = Frames::compare(spoken, recording, &anchors).summary(spoken, 0);
    (hearing.share * hearing.frames as f64).round() as usize
}

#[test]
fn a_frame_counts_once_and_in_its_order_whatever_the_delays() {
    let mut spoken = noise(1, 20 * FRAME);
    assert_eq!(frames_heard(&spoken, &spoken), 20);
    let mut swapped = spoken.clone();
    let (one, other) = swapped[8 * FRAME..10 * FRAME].split_at_mut(FRAME);
    one.swap_with_slice(other);
    assert_eq!(frames_heard(&spoken, &swapped), 19);
    // Said twice, heard once.
    spoken.copy_within(8 * FRAME..9 * FRAME, 9 * FRAME);
    let mut once = spoken.clone();
    once.drain(9 * FRAME..10 * FRAME);
    assert_eq!(frames_heard(&spoken, &once), 19);
    // The lost end of a steady vowel is not heard in the frame before it, a little later.
    let vowel = |n: usize| (8_000.0 * (std::f64::consts::TAU * n as f64 / 160.0).sin()) as i16;
    let vowel: Vec<i16> = (0..20 * FRAME).map(vowel).collect();
    let mut gapped = vowel.clone();
    gapped[19 * FRAME..].fill(0);
    assert_eq!(frames_heard(&vowel, &gapped), 19);
    // Half a frame from its place.
    let mut moved = vec![0; 20 * FRAME];
    for from in [8 * FRAME - FRAME / 2, 8 * FRAME + FRAME / 2] {
        moved.fill(0);
        moved[from..from + FRAME].copy_from_slice(&spoken[8 * FRAME..9 * FRAME]);
        assert_eq!(frames_heard(&spoken, &moved), 0);
    }
}

#[test]
fn a_lost_word_that_comes_again_is_a_gap_of_its_own() {
    let mut spoken = spoken();
    spoken.copy_within(samples(2_600)..samples(2_700), samples(2_850));
    let mut lost = spoken.clone();
    lost[samples(2_600)..samples(2_700)].fill(0);
    // The delay of the first sentence is the distance of the two words, and that of the second is 0.
    let [pause, distance] = [0; 2].map(|_| vec![0; samples(250)]);
    let sound = [
        &distance,
        &spoken[..samples(1_500)],
        &pause,
        &lost[samples(2_000)..],
    ]
    .concat();
    let recording = recording(&sound, 0);
    let hearing = hear(&spoken, &Recording::new(&recording), DUE as i64, LATEST).unwrap();
    assert_eq!(
        (hearing.gap_ms, hearing.share),
        (100.0, 145.0 / 150.0),
        "{hearing}"
    );
}

#[test]
fn sound_after_the_bound_of_delay_was_not_heard() {
    assert_fault(&recording(&spoken(), LATEST + samples(50)), "nothing heard");
    let late = [&spoken()[..samples(1_500)], &vec![0; samples(900)]].concat();
    let late = [late, noise(2, samples(1_500))].concat();
    assert_fault(&recording(&late, 0), "heard 50.0 %");
}

#[test]
fn a_delay_that_grows_within_the_bound_is_a_spread() {
    let grown = [&spoken()[..samples(1_500)], &vec![0; samples(650)]].concat();
    let grown = [grown, noise(2, samples(1_500))].concat();
    assert_fault(&recording(&grown, 0), "delay varies by 150 ms");
}

#[test]
fn noise_under_speech_and_noise_in_a_pause_are_faults() {
    let under = spoken();
    let noisy: Vec<i16> = under
        .iter()
        .zip(noise(3, under.len()))
        .map(|(speech, noise)| speech.saturating_add(noise / 6))
        .collect();
    assert_fault(&recording(&noisy, 100), "similarity");
    let mut drowned = spoken();
    let word = samples(600)..samples(700);
    for (sample, noise) in drowned[word].iter_mut().zip(noise(3, samples(100))) {
        *sample = sample.saturating_add(noise / 5 * 2);
    }
    assert_fault(&recording(&drowned, 100), "gap 100 ms");
    let mut beside = recording(&spoken(), 100);
    for (sample, noise) in beside.iter_mut().zip(noise(4, samples(100))) {
        *sample = noise / 6;
    }
    assert_fault(&beside, "100 ms added");
    let mut twice = recording(&spoken(), 100);
    twice.extend(noise(2, samples(1_500)));
    assert_fault(&twice, "1520 ms added");
}

#[test]
fn a_frame_that_playout_dropped_costs_a_frame() {
    let cut = samples(610);
    let mut sound = spoken();
    sound.drain(cut..cut + FRAME);
    let hearing = heard(&recording(&sound, samples(100)));
    assert!(hearing.missed_frames() <= 2, "{hearing}");
    assert!((hearing.least_delay_ms - 80.0).abs() < 1.1, "{hearing}");
    assert!((hearing.most_delay_ms - 100.0).abs() < 1.1, "{hearing}");
    assert_eq!(faults(&recording(&sound, samples(100))), [""; 0]);
}

#[test]
fn sound_between_two_frames_that_were_dropped_was_heard() {
    // Apart by less than a part: no part has the delay of what is between them.
    for apart_ms in [80, 100, 120, 140, 160, 180] {
        let mut sound = spoken();
        for cut in [samples(610 + apart_ms), samples(610)] {
            sound.drain(cut..cut + FRAME);
        }
        let hearing = heard(&recording(&sound, samples(100)));
        assert!(hearing.missed_frames() <= 4, "{apart_ms}: {hearing}");
        assert!(hearing.gap_ms <= 40.0, "{apart_ms}: {hearing}");
    }
}

#[test]
fn a_soft_end_that_comes_sooner_than_the_rest_was_heard() {
    // Too short to be a part, and one frame earlier.
    let soft: Vec<i16> = noise(3, samples(140)).iter().map(|s| s / 6).collect();
    let spoken = [&noise(1, samples(600))[..], &[0; samples(60)], &soft].concat();
    let heard = [
        &[0; 1_000],
        &noise(1, samples(600))[..],
        &[0; samples(40)],
        &soft,
    ]
    .concat();
    let hearing = hear(&spoken, &Recording::new(&heard), 900, LATEST).unwrap();
    assert_eq!((hearing.frames, hearing.share), (37, 1.0), "{hearing}");
}

#[test]
fn a_short_sound_far_from_any_part_was_heard() {
    let pause = vec![0; samples(600)];
    let spoken = [
        &noise(1, samples(600))[..],
        &pause,
        &noise(2, FRAME),
        &pause,
    ]
    .concat();
    let hearing = hear(&spoken, &Recording::new(&spoken), 0, LATEST).unwrap();
    assert_eq!((hearing.frames, hearing.share), (31, 1.0), "{hearing}");
}

#[test]
fn a_recording_with_its_own_clock_is_compared_around_the_best_place() {
    let recording = recording(&spoken(), samples(400));
    let anywhere = hear_anywhere(&spoken(), &Recording::new(&recording), samples(200)).unwrap();
    assert!((anywhere.share - 1.0).abs() < 1e-9, "{anywhere}");
    assert!((anywhere.delay_ms - 200.0).abs() < 0.1, "{anywhere}");
    let nothing = Recording::new(&[0; 16_000]);
    assert_eq!(hear_anywhere(&spoken(), &nothing, 100).unwrap().share, 0.0);
}

#[test]
fn sound_that_a_gate_may_cut_is_not_missed_and_the_rest_is() {
    let soft: Vec<i16> = noise(3, samples(300)).iter().map(|s| s / 8).collect();
    let pause = vec![0; samples(400)];
    let spoken = [&noise(1, samples(600))[..], &soft, &pause, &soft].concat();
    let due = due_frames(&spoken);
    // 600 ms of speech and the soft end right after it; not the murmur after the pause.
    assert_eq!(due.iter().filter(|due| **due).count(), 45);
    assert!(due[..45].iter().all(|due| *due));
}

#[test]
fn the_later_a_talker_joins_the_later_they_are_due() {
    let now = Instant::now();
    let later = now + Duration::from_millis(250);
    assert_eq!(due(later, now), samples(250) as i64);
    assert_eq!(due(now, later), -(samples(250) as i64));
}

#[test]
fn silence_is_not_speech() {
    let recording = Recording::new(&[1; 16_000]);
    assert_eq!(hear(&[0; 16_000], &recording, 0, 1_000), None);
}
