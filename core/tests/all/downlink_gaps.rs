//! The downlink when frames are missing: concealment, and how voice resumes after it.

use crate::common::ear::{Ear, PLAYED, PLAYED_LAST, RESUME, largest_step, voice, voice_step};
use talkspurt_core::audio::codec::CodecId;
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::audio::level::rms;
use talkspurt_core::voice::downlink::Playout;

/// Asserts that a frame begins with a short cross-fade from another sound and is as sent from
/// there.
fn assert_fades_in(heard: &[i16], sent: &[i16]) {
    assert_eq!(heard[RESUME..], sent[RESUME..]);
    assert_ne!(heard[..RESUME / 4], sent[..RESUME / 4]);
}

/// Asserts that no step between two samples is much larger than those of the voice.
fn assert_no_click(heard: &[i16]) {
    let (step, own) = (largest_step(heard), voice_step());
    assert!(
        step <= own + own / 4,
        "{step}, and the voice's own is {own}"
    );
}

/// The RMS of one sound in percent of that of another.
fn loudness_percent(heard: &[i16], beside: &[i16]) -> u32 {
    u32::from(rms(heard)) * 100 / u32::from(rms(beside))
}

/// Asserts that two sounds differ by rounding only.
fn assert_near(heard: &[i16], expected: &[i16]) {
    assert_eq!(heard.len(), expected.len());
    for (n, (heard, expected)) in heard.iter().zip(expected).enumerate() {
        assert!(
            heard.abs_diff(*expected) <= 2,
            "sample {n}: {heard} instead of {expected}"
        );
    }
}

#[test]
fn a_lost_frame_is_concealed_without_a_click() {
    for lost in 1..60 {
        let mut ear = Ear::plain();
        ear.receive(0, &voice(0, 320));
        for number in 0..lost + 3 {
            // One frame always waits, so that a loss is recognised as one.
            if number + 1 != lost {
                ear.receive(number + 1, &voice(number + 1, 320));
            }
            let expected = if number == lost {
                Playout::Concealed
            } else {
                PLAYED
            };
            assert_eq!(ear.play(), expected, "{number}, lost {lost}");
        }
        let (before, after) = ear.heard.split_at(usize::from(lost) * 320);
        let (concealed, after) = after.split_at(320);
        let percent = loudness_percent(concealed, &before[before.len() - 320..]);
        assert!((70..=95).contains(&percent), "{percent} %, lost {lost}");
        assert_fades_in(&after[..320], &voice(lost + 1, 320));
        assert_no_click(&ear.heard[before.len() - 2..before.len() + 320 + RESUME]);
        assert_eq!(ear.downlink.stats().concealed, 1);
    }
}

#[test]
fn late_frames_fade_in_without_a_click_and_the_rest_is_as_sent() {
    for late in 1..=5u16 {
        let mut ear = Ear::plain();
        ear.receive(0, &voice(0, 320));
        assert_eq!(ear.play(), PLAYED);
        for _ in 0..late {
            assert_eq!(ear.play(), Playout::Concealed);
        }
        let before = ear.out[319];
        (1..late).for_each(|number| _ = ear.receive(number, &voice(number, 320)));
        ear.heard.clear();
        for number in 1..20 {
            ear.receive(number + late - 1, &voice(number + late - 1, 320));
            assert_eq!(ear.play(), PLAYED, "{late}");
        }
        let sent: Vec<i16> = (1..20).flat_map(|number| voice(number, 320)).collect();
        assert_fades_in(&ear.heard, &sent);
        assert_no_click(&[&[before], &ear.heard[..]].concat());
    }
}

#[test]
fn voice_that_resumes_after_breaking_off_fades_in_from_silence() {
    let mut ear = Ear::plain();
    ear.receive(0, &voice(0, 320));
    while ear.play() != Playout::Silence {}
    ear.receive(12, &voice(12, 320));
    ear.receive_packet(13, &voice(13, 320), true);
    assert_eq!(ear.play(), PLAYED);
    let mut sent = voice(12, 320);
    for (n, sample) in sent[..RESUME].iter_mut().enumerate() {
        *sample = (f64::from(*sample) * (n + 1) as f64 / RESUME as f64) as i16;
    }
    assert_near(&ear.out, &sent);
    assert_eq!(ear.play(), PLAYED_LAST);
    assert_eq!(*ear.out, voice(13, 320));
    // After a regular end the next talkspurt is unchanged.
    assert_eq!(ear.play(), Playout::Silence);
    ear.receive(14, &voice(14, 320));
    ear.receive(15, &voice(15, 320));
    assert_eq!(ear.play(), PLAYED);
    assert_eq!(*ear.out, voice(14, 320));
}

#[test]
fn a_jump_over_a_gap_makes_no_click() {
    // Six losses in a row are not concealed one by one. Of sixteen frames that arrive after a stall
    // only the newest is played.
    for numbers in [vec![7], (1..17).collect()] {
        let mut ear = Ear::plain();
        ear.receive(0, &voice(0, 320));
        ear.play();
        for &number in &numbers {
            ear.receive(number, &voice(number, 320));
        }
        let newest = numbers[numbers.len() - 1];
        assert_eq!(ear.play(), PLAYED);
        assert_fades_in(&ear.out, &voice(newest, 320));
        assert_no_click(&ear.heard);
        ear.receive(newest + 1, &voice(newest + 1, 320));
        ear.play();
        assert_eq!(*ear.out, voice(newest + 1, 320));
    }
}

#[test]
fn a_talkspurt_that_breaks_off_fades_to_silence_without_a_click() {
    for frame in [FrameDuration::Ms5, FrameDuration::Ms10, FrameDuration::Ms20] {
        let samples = 16 * usize::from(frame.ms());
        let mut ear = Ear::new(CodecId::Pcm16, frame, 0);
        let mut number = 0;
        while ear.heard.len() < 960 {
            ear.receive(number, &voice(number, samples));
            assert_eq!(ear.play(), PLAYED);
            number += 1;
        }
        let mut concealed_frames = 0;
        while ear.play() == Playout::Concealed {
            concealed_frames += 1;
        }
        assert_eq!(
            concealed_frames * frame.ms(),
            100,
            "100 ms are concealed at any frame duration"
        );
        assert_no_click(&ear.heard);
        let audible = ear.heard.iter().rposition(|&s| s != 0).unwrap() + 1;
        assert!(
            (1_900..=1_920).contains(&audible),
            "60 ms of 960 samples: {audible}"
        );
        assert!(ear.out.iter().all(|&s| s == 0));
        assert!(!ear.downlink.is_active());
    }
}

#[test]
fn a_talkspurt_that_is_cut_by_mute_fades_within_a_frame() {
    let mut ear = Ear::plain();
    ear.receive(0, &[8_000; 320]);
    ear.play();
    ear.heard.clear();
    ear.receive_empty_terminator(1);
    assert_eq!(ear.play(), Playout::Faded);
    assert_eq!(ear.play(), Playout::Silence);
    assert!(ear.heard[0] > 7_900);
    assert!(largest_step(&ear.heard) <= 26, "fades in a straight line");
    assert!(!ear.downlink.is_active());
}

#[test]
fn a_word_that_is_cleared_fades_within_a_frame() {
    for waiting in [0, 3] {
        let mut ear = Ear::plain();
        for number in 0..10 + waiting {
            ear.receive(number, &voice(number, 320));
        }
        (0..10).for_each(|_| assert_eq!(ear.play(), PLAYED));
        ear.downlink.clear();
        assert!(ear.downlink.is_active(), "the fade is still due");
        assert_eq!(ear.downlink.depth_frames(), 0);
        let before = ear.out.to_vec();
        assert_eq!(ear.play(), Playout::Faded);
        let percent = |part: &[i16]| loudness_percent(part, &before);
        assert!((60..=95).contains(&percent(&ear.out[..80])));
        assert!(percent(&ear.out[240..]) <= 20);
        assert!(!ear.downlink.is_active());
        assert_eq!(ear.play(), Playout::Silence);
        assert_no_click(&ear.heard);
        // The next voice is unchanged.
        ear.receive_packet(20, &voice(20, 320), true);
        assert_eq!(ear.play(), PLAYED_LAST);
        assert_eq!(*ear.out, voice(20, 320));
    }
}

#[test]
fn voice_right_after_a_clear_fades_in_without_a_click() {
    let mut ear = Ear::plain();
    ear.receive(0, &voice(0, 320));
    ear.play();
    ear.downlink.clear();
    ear.receive(9, &voice(9, 320));
    assert_eq!(ear.play(), PLAYED);
    assert_fades_in(&ear.out, &voice(9, 320));
    assert_no_click(&ear.heard);
    ear.receive(10, &voice(10, 320));
    assert_eq!(ear.play(), PLAYED);
    assert_eq!(*ear.out, voice(10, 320));
}

#[test]
fn clearing_silence_makes_no_sound() {
    // Nothing was played yet, or the talkspurt has already ended.
    let mut ear = Ear::plain();
    ear.receive(0, &voice(0, 320));
    ear.downlink.clear();
    assert!(!ear.downlink.is_active());
    assert_eq!(ear.play(), Playout::Silence);
    ear.receive_packet(1, &voice(1, 320), true);
    assert_eq!(ear.play(), PLAYED_LAST);
    ear.downlink.clear();
    assert!(!ear.downlink.is_active());
    assert_eq!(ear.play(), Playout::Silence);
    assert_eq!(*ear.out, [0; 320]);
}

#[test]
fn a_talkspurt_that_is_over_never_comes_back() {
    // Nobody pops until the next packet: that is how a server treats those who do not talk.
    let over = || {
        let mut ear = Ear::plain();
        ear.receive_packet(0, &voice(0, 320), true);
        assert_eq!(ear.play(), PLAYED_LAST);
        ear
    };
    // The next word is cut off before any of it was heard.
    let mut ear = over();
    ear.receive(1, &voice(1, 320));
    ear.downlink.clear();
    assert_eq!(ear.play(), Playout::Silence);
    // The next talkspurt is only a terminator.
    let mut ear = over();
    ear.receive_empty_terminator(1);
    assert_eq!(ear.play(), Playout::Silence);
    // A talkspurt is cut off, and another follows at once.
    let mut ear = over();
    ear.receive(1, &voice(1, 320));
    ear.downlink.clear();
    ear.receive(2, &voice(2, 320));
    assert_eq!(ear.play(), PLAYED);
    assert_eq!(*ear.out, voice(2, 320));
}

#[test]
fn after_silence_an_empty_terminator_makes_no_sound() {
    let mut ear = Ear::plain();
    ear.receive(0, &[0; 320]);
    ear.play();
    ear.receive_empty_terminator(1);
    assert_eq!(ear.play(), Playout::Silence);
}

#[test]
fn the_end_of_the_range_is_concealed_without_overflow() {
    for value in [i16::MIN, i16::MAX] {
        let mut ear = Ear::plain();
        ear.receive(0, &[value; 320]);
        ear.play();
        for _ in 0..5 {
            assert_eq!(ear.play(), Playout::Concealed);
        }
        assert!(
            ear.heard.windows(2).all(|w| w[1].abs_diff(w[0]) < 110),
            "{value}"
        );
    }
}

#[test]
fn concealment_fades_in_a_straight_line_for_60_ms() {
    let mut ear = Ear::plain();
    ear.receive(0, &[8_000; 320]);
    ear.play();
    let ends = [0; 5].map(|_| {
        assert_eq!(ear.play(), Playout::Concealed);
        ear.out[319]
    });
    assert_near(&ends, &[5_333, 2_667, 0, 0, 0]);
    assert_eq!(ear.play(), Playout::Silence);
}

#[test]
fn each_separate_loss_is_concealed_like_the_first() {
    let mut ear = Ear::plain();
    ear.receive(0, &[8_000; 320]);
    for number in 0..24 {
        // One frame always waits, and every third is lost.
        if (number + 1) % 3 != 2 {
            ear.receive(number + 1, &[8_000; 320]);
        }
        let is_lost = number % 3 == 2;
        assert_eq!(ear.play() == Playout::Concealed, is_lost, "{number}");
        if is_lost {
            assert_near(&ear.out[319..], &[5_333]);
        }
    }
}
