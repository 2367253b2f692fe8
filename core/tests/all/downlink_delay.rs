//! The downlink with too many frames waiting: how and when it shortens the delay, and how that
//! sounds.

use std::ops::Range;

use crate::common::ear::{
    Ear, PLAYED, PLAYED_LAST, largest_step, voice, voice_step, voice_with_quiet,
};
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::audio::frame::Frame;
use talkspurt_core::audio::jitter::PushOutcome;
use talkspurt_core::voice::downlink::Playout;

/// A sound of this RMS.
fn level(rms: i16) -> Vec<i16> {
    [rms, -rms].repeat(160)
}

/// Three quarters of 1.5 s, less the time in which one frame could be taken out of speech.
const OVERDUE: u16 = 54;

/// A listener with one frame too many that is due to be skipped at the next quiet moment. All
/// frames so far had an RMS of 8,000. Also returns the number of the next packet.
fn overdue() -> (Ear, u16) {
    let mut ear = Ear::plain();
    ear.receive(0, &level(8_000));
    for number in 1..=OVERDUE {
        ear.receive(number, &level(8_000));
        assert_eq!(ear.play(), PLAYED);
    }
    assert_eq!(
        (ear.downlink.stats().skipped, ear.downlink.depth_frames()),
        (0, 1)
    );
    (ear, OVERDUE + 1)
}

/// Plays frames of these levels to an overdue listener. Returns how many were played when one was
/// blended into another.
fn skipped_at(levels: &[i16]) -> Option<usize> {
    let (mut ear, mut number) = overdue();
    // The frame that already waits is loud, and so are those after `levels`.
    for (played, &rms) in levels.iter().chain(&[8_000; 10]).enumerate() {
        ear.receive(number, &level(rms));
        number += 1;
        ear.play();
        if ear.downlink.stats().skipped > 0 {
            return Some(played);
        }
    }
    None
}

#[test]
fn a_frame_is_skipped_where_it_is_quiet_beside_the_loudest_of_late() {
    // The level of the loudest falls by 1 dB a frame, from -12 dBFS. What is 12 dB softer is quiet.
    assert_eq!(skipped_at(&[8_000, 1_900, 8_000]), None);
    assert_eq!(skipped_at(&[8_000, 1_890, 8_000]), Some(2));
    assert_eq!(skipped_at(&[8_000, 8_000, 0, 8_000]), Some(3));
    assert_eq!(skipped_at(&[3_000, 3_000, 1_510, 8_000]), None);
    assert_eq!(skipped_at(&[3_000, 3_000, 1_500, 8_000]), Some(3));
    // A louder one counts from where it is.
    assert_eq!(skipped_at(&[16_000, 3_500, 8_000]), Some(2));
}

#[test]
fn without_a_quiet_moment_one_of_two_surplus_frames_is_skipped_after_the_whole_window() {
    let (mut ear, mut number) = overdue();
    ear.receive(number, &level(8_000));
    number += 1;
    let mut played = 0;
    while ear.downlink.stats().skipped == 0 {
        ear.receive(number, &level(8_000));
        number += 1;
        ear.play();
        played += 1;
    }
    // 1.5 s less the time that both take.
    assert!((67..67 + 19).contains(&played), "{played}");
    assert_eq!(ear.downlink.depth_frames(), 1);
    let mut more = 0;
    while ear.downlink.stats().skipped == 1 {
        ear.receive(number, &level(8_000));
        number += 1;
        ear.play();
        more += 1;
    }
    assert!((225..300).contains(&more), "{more}: three windows more");
    assert_eq!(ear.downlink.depth_frames(), 0);
}

#[test]
fn a_skipped_frame_is_blended_into_the_one_before_it() {
    let mut ear = Ear::plain();
    ear.receive(0, &voice(0, 320));
    ear.receive(1, &voice(1, 320));
    let mut number = 1;
    while ear.downlink.stats().skipped == 0 {
        number += 1;
        ear.receive(number, &voice(number, 320));
        assert_eq!(ear.play(), PLAYED);
    }
    // A straight line from the first frame to the second.
    let (first, second) = (voice(number - 2, 320), voice(number - 1, 320));
    for (n, &heard) in ear.out.iter().enumerate() {
        let weight = (n + 1) as f64 / 320.0;
        let expected = f64::from(first[n]) * (1.0 - weight) + f64::from(second[n]) * weight;
        assert!((f64::from(heard) - expected).abs() <= 2.0, "{n}");
    }
    let before = usize::from(number - 2) * 320;
    let sent: Vec<i16> = (0..number - 2).flat_map(|n| voice(n, 320)).collect();
    assert_eq!(
        ear.heard[..before],
        sent,
        "the frames before it are unchanged"
    );
    ear.receive(number + 1, &voice(number + 1, 320));
    ear.play();
    assert_eq!(*ear.out, voice(number, 320), "and those after it");
    assert!(largest_step(&ear.heard) <= voice_step());
}

#[test]
fn a_burst_is_absorbed_and_the_delay_comes_back_in_quiet_moments() {
    let mut ear = Ear::plain();
    // Speech: 200 ms of voice, 160 ms of near-silence, and so on, so that a quiet moment always
    // comes in time.
    let is_loud = |number: u16| number % 18 < 10;
    let speech = |number: u16| {
        let sound = voice(number, 320);
        if is_loud(number) {
            return sound;
        }
        sound.iter().map(|sample| sample / 500).collect()
    };
    let mut number = 0;
    // A stall: 300 ms of packets at once.
    for _ in 0..15 {
        assert_eq!(ear.receive(number, &speech(number)), PushOutcome::Queued);
        number += 1;
    }
    let (mut next_heard, mut may_skip_from) = (0, 0);
    while ear.downlink.depth_frames() > 0 {
        let skipped = ear.downlink.stats().skipped;
        assert_eq!(ear.play(), PLAYED);
        if ear.downlink.stats().skipped == skipped {
            assert_eq!(*ear.out, speech(next_heard));
        } else {
            // Never two frames in four but where it is quiet.
            assert!(!is_loud(next_heard) || next_heard >= may_skip_from);
            next_heard += 1;
            may_skip_from = next_heard + 4;
        }
        next_heard += 1;
        // The next pop plays the packet just received, so that one is no delay.
        if ear.downlink.depth_frames() == 0 {
            break;
        }
        ear.receive(number, &speech(number));
        number += 1;
        assert!(number < 15 + 100, "still late after 2 s");
    }
    assert_eq!(ear.downlink.stats().skipped, 14);
    assert_eq!(ear.downlink.stats().overflowed, 0);
    // The delay stays away: from here on every frame is heard bit for bit.
    for number in number..number + 200 {
        ear.receive(number, &speech(number));
        assert_eq!(ear.play(), PLAYED);
        assert_eq!(*ear.out, speech(number));
    }
}

#[test]
fn the_recent_maximum_is_reset_after_a_pause() {
    // The maximum of the last talkspurt does not count in the next.
    let mut ear = Ear::plain();
    ear.receive_packet(0, &level(16_000), true);
    ear.play();
    ear.play();
    let mut number = 1;
    ear.receive(number, &level(1_000));
    while number < 60 {
        number += 1;
        ear.receive(number, &level(1_000));
        ear.play();
    }
    assert_eq!(
        ear.downlink.stats().skipped,
        0,
        "no frame is quiet beside its equals"
    );
}

#[test]
fn a_blend_of_the_loudest_samples_does_not_overflow() {
    let mut ear = Ear::plain();
    let loud = |number: u16| {
        [if number.is_multiple_of(2) {
            i16::MIN
        } else {
            i16::MAX
        }; 320]
    };
    ear.receive(0, &loud(0));
    ear.receive(1, &loud(1));
    for number in 2..400 {
        ear.receive(number, &loud(number));
        ear.play();
    }
    assert_eq!(ear.downlink.stats().skipped, 2);
    assert_eq!(Frame::<320>::silence(320).len(), ear.out.len());
    assert_eq!(
        ear.downlink.frame_samples(),
        16 * usize::from(FrameDuration::Ms20.ms())
    );
}

#[test]
fn a_soft_talkspurt_after_a_loud_one_does_not_count_as_quiet() {
    let mut ear = Ear::plain();
    ear.receive_packet(0, &[16_000; 320], true);
    assert_eq!(ear.play(), PLAYED_LAST);
    assert_eq!(ear.play(), Playout::Silence);
    // 300 ms at once: a frame may soon be skipped, but only where it is quiet.
    for number in 1..=15 {
        ear.receive(number, &[1_000; 320]);
    }
    for _ in 0..8 {
        assert_eq!(ear.play(), PLAYED);
    }
    assert_eq!(ear.downlink.stats().skipped, 0);
}

/// Sends two words, of 20 frames and of `next_len`, without a pause between them. The frames of the
/// first are quiet from `quiet_from` on. The network delivers nothing in the periods of `stall`.
/// Returns the frames that were not heard by themselves.
fn two_words_after_a_stall(quiet_from: u16, next_len: u16, stall: Range<u16>) -> Vec<u16> {
    let word = |number| voice_with_quiet(number, &(quiet_from..20));
    let all = 20 + next_len;
    let mut ear = Ear::plain();
    let (mut sent, mut heard) = (0, Vec::new());
    for period in 0..60 {
        while !stall.contains(&period) && sent < (period + 1).min(all) {
            ear.receive_packet(sent, &word(sent), sent == 19 || sent == all - 1);
            sent += 1;
        }
        heard.extend(ear.play_and_name(word, 0..all));
    }
    (0..all).filter(|number| !heard.contains(number)).collect()
}

#[test]
fn the_next_word_keeps_its_beginning_when_the_one_before_it_is_late() {
    // The first word comes late, and 60 ms of that may stay. The surplus is taken out of the quiet
    // end of the word, two frames becoming one.
    for late in 1..=5u16 {
        let skipped = 2 * late.saturating_sub(3);
        // Nothing is skipped before it is known that another word follows.
        let from = 20 - late;
        let missing: Vec<u16> = (from..from + skipped).collect();
        let heard = two_words_after_a_stall(12, 20, 0..late);
        assert_eq!(heard, missing, "{late} late");
    }
}

#[test]
fn what_came_late_a_moment_ago_waits_in_the_next_word_too() {
    for late in 1..=7u16 {
        assert_eq!(
            two_words_after_a_stall(12, 20, 5..5 + late),
            [0; 0],
            "{late}"
        );
    }
}

#[test]
fn a_short_word_that_has_arrived_whole_is_heard_whole() {
    // After the stall the next word, of five frames, is there with its end. That is one frame more
    // than would be kept of a word that goes on.
    assert_eq!(two_words_after_a_stall(11, 5, 10..24), [0; 0]);
}

#[test]
fn a_margin_that_shrinks_in_calm_costs_the_next_word_nothing() {
    let mut ear = Ear::plain();
    let mut number = 0;
    let mut heard = Vec::new();
    let quiet_from = 400;
    let word = |number| voice_with_quiet(number, &(quiet_from..quiet_from + 20));
    let mut play =
        |ear: &mut Ear| heard.extend(ear.play_and_name(word, quiet_from..quiet_from + 40));
    // Five stalls, each longer than the margin, widen it.
    for stalled in 2..7 {
        for _ in 0..20 {
            ear.receive(number, &word(number));
            number += 1;
            play(&mut ear);
        }
        (0..stalled).for_each(|_| play(&mut ear));
        for _ in 0..stalled {
            ear.receive(number, &word(number));
            number += 1;
        }
    }
    assert!(ear.downlink.target_frames() >= 4);
    // Some seconds of calm, the end of the word, and the next one right behind it.
    while number < quiet_from + 40 {
        ear.receive_packet(number, &word(number), number == quiet_from + 19);
        number += 1;
        play(&mut ear);
    }
    (0..20).for_each(|_| play(&mut ear));
    let missing: Vec<u16> = (quiet_from..quiet_from + 40)
        .filter(|number| !heard.contains(number))
        .collect();
    assert!(
        missing.iter().all(|number| *number < quiet_from + 19),
        "{missing:?}"
    );
    assert_eq!(ear.downlink.target_frames(), 0, "the margin shrank");
}

#[test]
fn the_end_of_a_word_is_whole_when_nothing_follows_it() {
    for late in 1..=7 {
        assert_eq!(
            two_words_after_a_stall(12, 0, 5..5 + late),
            [0; 0],
            "{late} late"
        );
    }
}
