//! What is sent from before the gate opened, and how much waits before it is played.

use super::*;

#[test]
fn the_pre_roll_goes_first_and_silence_is_not_sent() {
    // Between the thresholds.
    let soft = (1_000..1_020).map(|level| (Captured::Frame, level));
    let mut room = Room::of("--gate fixed --pre-roll 60");
    let said = room.run(soft.chain([(Captured::Frame, 9_000); 4]));
    // Its delay is taken back a little in the next frames.
    assert_eq!(said[..2], [(1_017, false), (1_018, false)]);
    assert!(
        said[2..].iter().all(|&(level, _)| level > 1_018),
        "{said:?}"
    );
    assert_eq!(said.last(), Some(&(9_000, false)));
}

#[test]
fn the_flags_of_pre_roll_and_playout_delay_are_followed() {
    let soft = (1_000..1_020).map(|level| (Captured::Frame, level));
    let mut room = Room::of("--gate fixed --pre-roll 20");
    let said = room.run(soft.chain([(Captured::Frame, 9_000); 2]));
    assert_eq!(said, [(1_019, false), (9_000, false)]);
    let silent_frames = |flags| {
        let (mut room, mut tape) = (Room::of(flags), Tape::default());
        for number in 0..20 {
            room.receive(&stream_of(&ServerPacket::Voice(self::said(number))));
            room.participant.play(room.now, &mut tape);
        }
        let frames = tape.0.chunks(320);
        frames.take_while(|frame| frame[0] == 0).count()
    };
    let [short, long] = ["--playout-delay 20", "--playout-delay 100"].map(silent_frames);
    assert_eq!(long - short, 4);
}
