//! When the server asks for frames that begin later.

use proptest::prelude::*;
use talkspurt_core::audio::gate::GateMode;
use talkspurt_core::seq::Seq;
use talkspurt_core::wire::{FEATURE_TICK_HINT, TickHint};

use super::*;
use crate::common::cases::cases;

/// A client that can shift its frames and has said three of them, 0 to 2.
fn talker(shifts_frames: bool) -> End {
    let mut end = End::new();
    let mut request = request();
    request.shifts_frames = shifts_frames;
    let mut config = ClientConfig::new(request);
    config.gate.mode = GateMode::Off;
    end.client = Whole::new(config).unwrap();
    end.join(20);
    say_three(&mut end);
    end
}

/// A talkspurt of three frames and its end: four packets.
fn say_three(end: &mut End) {
    end.say(0..3);
    end.client.end_talkspurt(end.now);
    end.sent();
}

impl End {
    fn hint(&mut self, seq: u16, shift_us: u16) {
        let seq = Seq(seq);
        self.receive(&ServerPacket::TickHint(TickHint { seq, shift_us }));
    }

    fn shift_us(&mut self) -> Option<u64> {
        let shift = self.client.take_tick_shift();
        shift.map(Duration::as_micros)
    }
}

#[test]
fn a_shift_is_given_once_and_the_newest_counts() {
    let mut end = talker(true);
    assert_eq!(end.shift_us(), None);
    end.hint(3, 12_500);
    end.hint(3, 8_000);
    assert_eq!(end.shift_us(), Some(8_000));
    assert_eq!(end.shift_us(), None);
    assert_eq!(end.events, []);
}

#[test]
fn while_a_talkspurt_runs_the_shift_waits() {
    let mut end = talker(true);
    end.say(0..2);
    end.hint(5, 8_000);
    assert_eq!(end.shift_us(), None);
    end.client.end_talkspurt(end.now);
    assert_eq!(end.shift_us(), Some(8_000));
}

#[test]
fn whoever_cannot_shift_its_frames_does_not_offer_it_and_is_given_nothing() {
    for (shifts_frames, features) in [(false, 0), (true, FEATURE_TICK_HINT)] {
        let mut end = talker(shifts_frames);
        end.hint(3, 8_000);
        assert_eq!(end.shift_us().is_some(), shifts_frames);
        end.client.join(end.now, PATIENCE, [8; 8]);
        let (hello, _) = end.transmit().expect("a Hello");
        let mut deframer: Deframer = Deframer::new();
        let (Feed::Packet(packet), _) = deframer.feed(&hello) else {
            panic!("not a packet: {hello:?}")
        };
        let Ok(ClientPacket::Hello(hello)) = parse(packet) else {
            panic!("not a Hello")
        };
        assert_eq!(hello.features, features);
    }
}

#[test]
fn what_makes_no_sense_is_ignored() {
    for shift_us in [0, 20_000, u16::MAX] {
        let mut end = talker(true);
        end.hint(3, shift_us);
        assert_eq!(end.shift_us(), None, "{shift_us}");
    }
    // Packets that were not sent yet.
    for seq in [4, 0x7fff] {
        let mut end = talker(true);
        end.hint(seq, 8_000);
        assert_eq!(end.shift_us(), None, "{seq}");
    }
}

#[test]
fn a_hint_from_before_the_last_shift_is_ignored() {
    let mut end = talker(true);
    end.hint(3, 8_000);
    assert_eq!(end.shift_us(), Some(8_000));
    // It crossed the shift on its way.
    end.hint(3, 8_000);
    assert_eq!(end.shift_us(), None);
    say_three(&mut end);
    end.hint(3, 7_000);
    assert_eq!(end.shift_us(), None);
    end.hint(4, 7_000);
    assert_eq!(end.shift_us(), Some(7_000));
}

#[test]
fn a_shift_of_long_ago_hides_no_hint_where_numbers_wrap() {
    let mut end = talker(true);
    end.hint(3, 8_000);
    assert_eq!(end.shift_us(), Some(8_000));
    let frame = [0; 640];
    for frames in 1..=65_000u32 {
        let timestamp = talkspurt_core::seq::Timestamp(8 * (frames + 100));
        let sent = end.client.push_payload(
            end.now,
            talkspurt_core::voice::uplink::EncodedFrame {
                timestamp,
                level: 40,
                payload: &frame,
                terminator: frames % 100 == 0,
            },
        );
        assert_eq!(sent, Ok(true));
        end.sent();
        if frames % 5_000 == 0 {
            let seq = (3 + frames) as u16;
            end.hint(seq, 7_000);
            // Followed or not: it depends on this hint alone.
            let before = end.client.clone();
            assert_eq!(end.shift_us(), Some(7_000), "after {frames} frames");
            end.client = before;
            end.hint(0, 0);
        }
    }
}

#[test]
fn the_clock_goes_on_by_the_shift_to_the_nearest_unit() {
    for (shift_us, units) in [(1, 0), (1_249, 0), (1_250, 1), (3_749, 1), (19_999, 8)] {
        let timestamp = |shift_us: Option<u16>| {
            let mut end = talker(true);
            if let Some(shift_us) = shift_us {
                end.hint(3, shift_us);
                assert_eq!(end.shift_us(), Some(shift_us.into()));
            }
            // A pause, so that the clock counts and not the packets.
            for _ in 0..5 {
                end.client.miss_frame(end.now);
            }
            end.client.push_frame(end.now, &word(1));
            let (bytes, _) = end.transmit().expect("a frame");
            let mut deframer: Deframer = Deframer::new();
            match deframer.feed(&bytes) {
                (Feed::Packet(packet), _) => match parse(packet) {
                    Ok(ClientPacket::Voice(voice)) => voice.timestamp.0,
                    other => panic!("{other:?} instead of voice"),
                },
                other => panic!("{other:?} instead of a packet"),
            }
        };
        assert_eq!(
            timestamp(Some(shift_us)) - timestamp(None),
            units,
            "{shift_us}"
        );
    }
}

#[test]
fn a_hint_ends_with_its_session() {
    let mut end = talker(true);
    end.hint(3, 8_000);
    end.client.leave(end.now);
    end.sent();
    assert_eq!(end.shift_us(), None);
    end.join(20);
    say_three(&mut end);
    assert_eq!(end.shift_us(), None);
    // Nor does an earlier shift hide a hint of this one.
    end.hint(3, 7_000);
    assert_eq!(end.shift_us(), Some(7_000));
}

proptest! {
    #![proptest_config(cases(200))]

    /// A server that sends hints all the time.
    #[test]
    fn whatever_a_server_says_a_shift_is_part_of_a_frame(
        hints in proptest::collection::vec((any::<u16>(), any::<u16>(), any::<bool>()), 0..50),
    ) {
        let mut end = talker(true);
        for (seq, shift_us, near) in hints {
            end.hint(if near { seq % 300 } else { seq }, shift_us);
            if let Some(shift) = end.shift_us() {
                prop_assert!((1..20_000).contains(&shift));
                // The next one needs another talkspurt.
                end.hint(seq % 300, 5_000);
                prop_assert_eq!(end.shift_us(), None);
            }
            say_three(&mut end);
            prop_assert!(end.events.is_empty());
        }
    }
}
