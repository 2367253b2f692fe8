use super::*;
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::audio::mixer::MixRule;
use talkspurt_core::seq::{Seq, Timestamp};

use crate::framing::TALKSPURT_LEAD;
use crate::testing::{TOKENS, request};

const FRAME: [u8; 640] = [1; 640];

fn participant() -> Participant {
    Participant::new(&request("ada"), TOKENS, AudioFormat::DEFAULT)
}

fn voice(number: u16, terminator: bool) -> Voice<'static> {
    Voice {
        seq: Seq(number),
        timestamp: Timestamp(8 * u32::from(number)),
        level: 40,
        stream: 0,
        terminator,
        payload: &FRAME,
    }
}

fn at(ms: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(ms)
}

#[test]
fn talking_begins_with_the_first_packet_and_ends_when_the_terminator_was_mixed() {
    let mut participant = participant();
    let mut mixdown = Mixdown::new(MixRule::Mean, AudioFormat::DEFAULT);
    assert!(
        participant
            .push_voice(&voice(1, false), at(0), None)
            .unwrap()
            .flags_changed
    );
    assert!(participant.is_talking());
    assert!(
        !participant
            .push_voice(&voice(2, false), at(20), None)
            .unwrap()
            .flags_changed
    );
    assert!(
        !participant
            .push_voice(&voice(3, true), at(40), None)
            .unwrap()
            .flags_changed
    );
    let mixed: Vec<_> = (3..6)
        .map(|tick| {
            mixdown.begin();
            let ended = participant.speak(at(tick * 20), &mut mixdown);
            (participant.own.is_some(), ended)
        })
        .collect();
    assert_eq!(mixed, [(true, false), (true, false), (true, true)]);
    assert!(!participant.is_talking());
}

#[test]
fn nobody_is_heard_without_being_shown() {
    let mut participant = participant();
    let taken = participant
        .push_voice(&voice(1, true), at(0), None)
        .unwrap();
    assert!(taken.flags_changed && taken.heard_from.is_some() && participant.is_talking());
}

#[test]
fn a_change_is_news_until_it_is_told_or_undone() {
    let mut participant = participant();
    assert_eq!(participant.news(), None);
    participant.set_muted(true, None, at(0));
    assert_eq!(participant.news(), Some(ParticipantFlags::MUTED));
    participant.set_muted(false, None, at(0));
    assert_eq!(participant.news(), None);
    participant.set_muted(true, None, at(0));
    participant.tell(ParticipantFlags::MUTED, at(7));
    assert_eq!((participant.news(), participant.tell_from), (None, at(107)));
    participant.set_muted(false, None, at(0));
    assert_eq!(participant.news(), Some(ParticipantFlags::default()));
}

#[test]
fn what_a_newcomer_is_shown_as_is_no_news_and_its_change_is() {
    let mut request = request("ada");
    request.muted = true;
    let mut participant = Participant::new(&request, TOKENS, AudioFormat::DEFAULT);
    assert!(participant.is_muted());
    assert_eq!(participant.news(), None);
    participant.set_muted(false, None, at(0));
    assert_eq!(participant.news(), Some(ParticipantFlags::default()));
}

#[test]
fn a_talkspurt_that_breaks_off_ends_by_itself() {
    let mut participant = participant();
    let mut mixdown = Mixdown::new(MixRule::Mean, AudioFormat::DEFAULT);
    participant
        .push_voice(&voice(1, false), at(0), None)
        .unwrap();
    let ended_at = (1..).find(|tick| {
        mixdown.begin();
        participant.speak(at(tick * 20), &mut mixdown)
    });
    assert_eq!(ended_at, Some(7), "one frame, five concealed, silence");
    assert!(!participant.is_talking() && !participant.needs_tick());
    assert_eq!(participant.jitter_stats().concealed, 5);
}

#[test]
fn the_first_frame_waits_for_its_lead() {
    let mut participant = participant();
    let mut mixdown = Mixdown::new(MixRule::Mean, AudioFormat::DEFAULT);
    let taken = participant
        .push_voice(&voice(1, false), at(18), None)
        .unwrap();
    assert_eq!(taken.heard_from, Some(at(18) + TALKSPURT_LEAD));
    assert!(!participant.speak(at(20), &mut mixdown) && participant.own.is_none());
    assert!(!participant.speak(at(40), &mut mixdown) && participant.own.is_some());
}

#[test]
fn the_muted_are_not_heard() {
    let mut participant = participant();
    participant
        .push_voice(&voice(1, false), at(0), None)
        .unwrap();
    assert!(participant.set_muted(true, None, at(0)));
    assert!(!participant.is_talking() && participant.is_muted() && !participant.needs_tick());
    assert_eq!(
        participant
            .push_voice(&voice(2, false), at(20), None)
            .unwrap()
            .heard_from,
        None
    );
    assert!(
        participant.set_muted(false, None, at(0)) && !participant.set_muted(false, None, at(0))
    );
}

/// A tick of a room with nobody else.
fn tick(participant: &mut Participant, ms: u64) {
    let mut mixdown = Mixdown::new(MixRule::Mean, AudioFormat::DEFAULT);
    mixdown.begin();
    participant.speak(at(ms), &mut mixdown);
}

#[test]
fn a_mute_takes_effect_when_the_packet_that_it_names_was_heard_in_whatever_order_it_came() {
    // The numbers wrap in the midst of it.
    let frame = |n: u16| Voice {
        timestamp: Timestamp(8 * u32::from(n)),
        ..voice(n.wrapping_sub(3), n == 4)
    };
    for after_is_last in [true, false] {
        let mut participant = participant();
        participant.push_voice(&frame(1), at(0), None).unwrap();
        let after = if after_is_last { 4 } else { 2 };
        assert!(!participant.set_muted(true, Some(frame(after).seq), at(0)));
        for (n, is_taken) in [(4, after_is_last), (2, true), (3, after_is_last)] {
            let waiting = participant.depth_frames();
            participant.push_voice(&frame(n), at(10), None).unwrap();
            assert_eq!(participant.depth_frames() > waiting, is_taken, "{n}");
        }
        let muted_at = (1..).find(|n| {
            tick(&mut participant, 20 * n);
            participant.is_muted()
        });
        // A tick for each frame, and one to fade where nothing ends the word.
        let ticks = if after_is_last { 4 } else { 3 };
        assert_eq!(muted_at, Some(ticks));
        assert!(!participant.is_talking() && !participant.needs_tick());
        // Whoever is muted already has said nothing since.
        let after = Some(Seq(900));
        assert!(!participant.set_muted(true, after, at(100)) && !participant.needs_tick());
    }
}

#[test]
fn what_has_come_is_known_where_the_numbers_wrap() {
    for (last, after, has_come) in [(u16::MAX, 0, false), (0, u16::MAX, true)] {
        let mut participant = participant();
        participant
            .push_voice(&voice(last, false), at(0), None)
            .unwrap();
        tick(&mut participant, 20);
        let is_muted = participant.set_muted(true, Some(Seq(after)), at(30));
        tick(&mut participant, 40);
        assert_eq!((is_muted, participant.is_muted()), (false, has_come));
    }
}

#[test]
fn what_a_mute_names_is_waited_for_and_heard_for_half_a_second() {
    for talks_on in [false, true] {
        let mut participant = participant();
        participant.set_muted(true, Some(Seq(99)), at(0));
        let muted_at = (1..).find(|&n| {
            if talks_on {
                let taken =
                    participant.push_voice(&voice(n, false), at(20 * u64::from(n) - 10), None);
                assert!(taken.unwrap().heard_from.is_some(), "{n}");
            }
            tick(&mut participant, 20 * u64::from(n));
            participant.is_muted()
        });
        assert_eq!(muted_at, Some(25), "500 ms");
        assert!(!participant.is_talking() && !participant.needs_tick());
    }
}

#[test]
fn unmuting_takes_back_a_mute_that_still_waits() {
    let mut participant = participant();
    participant.set_muted(true, Some(Seq(5)), at(0));
    assert!(!participant.set_muted(false, None, at(100)));
    let taken = participant
        .push_voice(&voice(6, true), at(120), None)
        .unwrap();
    assert!(taken.flags_changed && taken.heard_from.is_some());
    for n in 7..40 {
        tick(&mut participant, 20 * n);
        assert!(!participant.is_muted(), "{n}");
    }
}

#[test]
fn whoever_goes_on_for_another_is_told_of_where_that_one_was_left() {
    let mut before = participant();
    (before.id, before.joined) = (ParticipantId(7), 3);
    before.tell(ParticipantFlags::MUTED, at(10));
    before.push_voice(&voice(1, true), at(10), None).unwrap();
    tick(&mut before, 20);
    assert_eq!(
        before.news(),
        Some(ParticipantFlags::TALKING),
        "a moment ago"
    );
    let mut participant = participant();
    participant.resume_from(&before);
    assert_eq!((participant.id, participant.joined), (before.id, 3));
    assert_eq!(participant.told, ParticipantFlags::MUTED);
    assert_eq!(participant.tell_from, at(110));
    assert_eq!(participant.news(), Some(ParticipantFlags::TALKING));
    participant.tell(ParticipantFlags::TALKING, at(110));
    assert_eq!(participant.news(), Some(ParticipantFlags::default()));
}

#[test]
fn a_wrong_payload_is_an_error() {
    let wrong = Voice {
        payload: &FRAME[..7],
        ..voice(1, false)
    };
    assert!(participant().push_voice(&wrong, at(0), None).is_err());
}

#[test]
fn an_empty_packet_makes_nobody_a_talker() {
    let empty = Voice {
        payload: &[],
        ..voice(1, true)
    };
    let mut participant = participant();
    let taken = participant.push_voice(&empty, at(0), None).unwrap();
    assert!(!taken.flags_changed && !participant.is_talking());
}

#[test]
fn a_talkspurt_that_is_over_has_no_level() {
    let mut participant = participant();
    let mut mixdown = Mixdown::new(MixRule::Mean, AudioFormat::DEFAULT);
    participant
        .push_voice(&voice(1, false), at(0), None)
        .unwrap();
    participant
        .push_voice(&voice(2, true), at(20), None)
        .unwrap();
    let levels = [20, 40].map(|ms| {
        mixdown.begin();
        participant.speak(at(ms), &mut mixdown);
        (participant.own.is_some(), participant.level())
    });
    assert_eq!(levels, [(true, Some(40)), (true, None)]);
}

#[test]
fn pre_roll_of_200_ms_that_comes_at_once_is_heard_whole_beside_a_margin() {
    use talkspurt_core::audio::format::FrameDuration::{Ms5, Ms10, Ms20};
    for frame in [Ms5, Ms10, Ms20] {
        let format = AudioFormat {
            frame,
            ..AudioFormat::DEFAULT
        };
        let request = request("ada");
        let mut participant = Participant::new(&request, TOKENS, format);
        // And 40 ms more.
        let frames = 240 / u16::from(frame.ms());
        for number in 0..frames {
            let voice = Voice {
                timestamp: Timestamp(u32::from(number) * frame.units()),
                payload: &FRAME[..2 * format.frame_samples()],
                ..voice(number, false)
            };
            participant.push_voice(&voice, at(0), None).unwrap();
        }
        assert_eq!(participant.depth_frames(), frames, "{frame:?}");
    }
}
