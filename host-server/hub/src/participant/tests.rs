use super::*;
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::audio::mixer::MixRule;
use talkspurt_core::seq::{Seq, Timestamp};

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
            .push_voice(&voice(1, false), at(0))
            .unwrap()
            .flags_changed
    );
    assert!(participant.is_talking());
    assert!(
        !participant
            .push_voice(&voice(2, false), at(20))
            .unwrap()
            .flags_changed
    );
    assert!(
        !participant
            .push_voice(&voice(3, true), at(40))
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
    let taken = participant.push_voice(&voice(1, true), at(0)).unwrap();
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
    participant.push_voice(&voice(1, false), at(0)).unwrap();
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
    let taken = participant.push_voice(&voice(1, false), at(18)).unwrap();
    assert_eq!(taken.heard_from, Some(at(18) + TALKSPURT_LEAD));
    assert!(!participant.speak(at(20), &mut mixdown) && participant.own.is_none());
    assert!(!participant.speak(at(40), &mut mixdown) && participant.own.is_some());
}

#[test]
fn the_muted_are_not_heard() {
    let mut participant = participant();
    participant.push_voice(&voice(1, false), at(0)).unwrap();
    assert!(participant.set_muted(true, None, at(0)));
    assert!(!participant.is_talking() && participant.is_muted() && !participant.needs_tick());
    assert_eq!(
        participant
            .push_voice(&voice(2, false), at(20))
            .unwrap()
            .heard_from,
        None
    );
    assert!(
        participant.set_muted(false, None, at(0)) && !participant.set_muted(false, None, at(0))
    );
}

#[test]
fn a_wrong_payload_is_an_error() {
    let wrong = Voice {
        payload: &FRAME[..7],
        ..voice(1, false)
    };
    assert!(participant().push_voice(&wrong, at(0)).is_err());
}

#[test]
fn an_empty_packet_makes_nobody_a_talker() {
    let empty = Voice {
        payload: &[],
        ..voice(1, true)
    };
    let mut participant = participant();
    let taken = participant.push_voice(&empty, at(0)).unwrap();
    assert!(!taken.flags_changed && !participant.is_talking());
}

#[test]
fn a_talkspurt_that_is_over_has_no_level() {
    let mut participant = participant();
    let mut mixdown = Mixdown::new(MixRule::Mean, AudioFormat::DEFAULT);
    participant.push_voice(&voice(1, false), at(0)).unwrap();
    participant.push_voice(&voice(2, true), at(20)).unwrap();
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
            participant.push_voice(&voice, at(0)).unwrap();
        }
        assert_eq!(participant.depth_frames(), frames, "{frame:?}");
    }
}
