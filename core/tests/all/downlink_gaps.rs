//! The downlink when frames are missing: concealment, and how voice resumes after it.

use crate::common::ear::{Ear, PLAYED, PLAYED_LAST, RESUME, largest_step, voice, voice_step};
use talkspurt_core::audio::codec::CodecId;
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::voice::downlink::Playout;

/// `before`, played backwards with a weight that falls from 1 to 0, crossfaded into `after`.
fn resumed(before: &[i16], after: &[i16]) -> Vec<i16> {
    let mut out = after.to_vec();
    for (n, (out, before)) in out
        .iter_mut()
        .zip(before.iter().rev())
        .take(RESUME)
        .enumerate()
    {
        let weight = 1.0 - (n + 1) as f64 / RESUME as f64;
        *out = (f64::from(*out) * (1.0 - weight) + f64::from(*before) * weight).floor() as i16;
    }
    out
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
        // The substitute is the frame before it, backwards, fading to half.
        let mut halved: Vec<i16> = before[before.len() - 320..].iter().rev().copied().collect();
        for (n, sample) in halved.iter_mut().enumerate() {
            *sample = (f64::from(*sample) * (1.0 - (n + 1) as f64 / 640.0)).floor() as i16;
        }
        assert_near(concealed, &halved);
        // From there the next frame fades in. All but its beginning is bit for bit as sent.
        let next = voice(lost + 1, 320);
        assert_near(&after[..320], &resumed(concealed, &next));
        assert_eq!(after[RESUME..320], next[RESUME..]);
        let (joint, step) = (
            &ear.heard[before.len() - 2..before.len() + 320 + RESUME],
            voice_step(),
        );
        assert!(
            largest_step(joint) <= step,
            "{} of {step}, lost {lost}",
            largest_step(joint)
        );
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
        let concealed = ear.out.to_vec();
        (1..late).for_each(|number| _ = ear.receive(number, &voice(number, 320)));
        ear.heard.clear();
        for number in 1..20 {
            ear.receive(number + late - 1, &voice(number + late - 1, 320));
            assert_eq!(ear.play(), PLAYED, "{late}");
        }
        let sent: Vec<i16> = (1..20).flat_map(|number| voice(number, 320)).collect();
        assert_near(&ear.heard[..RESUME], &resumed(&concealed, &sent[..RESUME]));
        assert_eq!(ear.heard[RESUME..], sent[RESUME..]);
        let joined = [&concealed[319..], &ear.heard[..]].concat();
        assert!(largest_step(&joined) <= voice_step(), "{late}");
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
    assert_near(&ear.out, &resumed(&[0; 320], &voice(12, 320)));
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
        assert_near(&ear.out, &resumed(&voice(0, 320), &voice(newest, 320)));
        assert!(largest_step(&ear.heard) <= voice_step());
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
        assert!(largest_step(&ear.heard) <= voice_step(), "{frame:?}");
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
        let mut faded: Vec<i16> = before.iter().rev().copied().collect();
        for (n, sample) in faded.iter_mut().enumerate() {
            *sample = (f64::from(*sample) * (1.0 - (n + 1) as f64 / 320.0)).floor() as i16;
        }
        assert_near(&ear.out, &faded);
        assert!(!ear.downlink.is_active());
        assert_eq!(ear.play(), Playout::Silence);
        assert!(largest_step(&ear.heard) <= voice_step());
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
    assert_near(&ear.out, &resumed(&voice(0, 320), &voice(9, 320)));
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
fn concealment_ends_when_silence_follows_and_not_before() {
    let mut ear = Ear::plain();
    ear.receive(0, &[8_000; 320]);
    ear.play();
    let ends = [0; 5].map(|_| {
        assert_eq!(ear.play(), Playout::Concealed);
        ear.out[319]
    });
    // Played backwards each time, so that every second one ends where it began.
    assert_near(&ends[..1], &[4_000]);
    assert!((1_900..2_000).contains(&ends[3]), "{ends:?}");
    assert_eq!(ends[4], 0);
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
            assert_near(&ear.out[319..], &[4_000]);
        }
    }
}
