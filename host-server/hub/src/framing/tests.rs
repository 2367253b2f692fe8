use super::*;

const FRAME: u64 = 20_000;

fn at(micros: u64) -> Instant {
    // Somewhere: phases do not depend on when a room began.
    Instant::from_micros(1_234_567 + micros)
}

/// A talkspurt of frames that arrive so many microseconds after they were due.
fn talk(framing: &mut Framing, from: u64, late: &[u64]) {
    for (frame, late) in (0..).zip(late) {
        let now = at(from + frame * FRAME + late);
        if frame == 0 {
            framing.begin(now);
        }
        framing.arrived(now);
    }
}

fn framing(late: &[u64]) -> Framing {
    let mut framing = Framing::new(FrameDuration::Ms20);
    talk(&mut framing, 0, late);
    framing
}

#[test]
fn a_talkspurt_of_which_nothing_is_known_has_the_default_lead() {
    let framing = framing(&[0; 9]);
    for is_ticking in [false, true] {
        assert_eq!(framing.lead(at(9 * FRAME), is_ticking), TALKSPURT_LEAD);
    }
}

#[test]
fn the_lead_follows_the_latest_frame_and_the_spread() {
    let calm = framing(&[100; 10]);
    for (late, is_ticking, lead) in [(100, false, 2_000), (100, true, 1_000), (0, true, 1_100)] {
        let found = calm.lead(at(20 * FRAME + late), is_ticking);
        assert_eq!(found.as_micros(), lead, "{late} {is_ticking}");
    }
    let spread = framing(&[0, 800, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(spread.lead(at(20 * FRAME), false).as_micros(), 3_200);
    assert_eq!(spread.lead(at(20 * FRAME + 800), true).as_micros(), 1_200);
    let wild = framing(&[0, 9_000, 0, 0, 0, 0, 0, 0, 0, 0]);
    let bounded = wild.lead(at(20 * FRAME), true);
    assert_eq!(bounded.as_micros(), LEAD_MAX_MICROS as u64);
}

#[test]
fn frames_that_come_anywhere_say_nothing() {
    let mut framing = framing(&[0, 5_000, 10_000, 15_000, 3_000, 8_000, 0, 0, 0, 0, 0]);
    assert_eq!(framing.lead(at(20 * FRAME), false), TALKSPURT_LEAD);
    assert_eq!(framing.shift(at(0), true), None);
}

/// By so much frames are to come later that wait so long for the tick.
fn shift_of_waiting(micros: u64) -> Option<u16> {
    framing(&[0; 10]).shift(at(7 * FRAME + micros), true)
}

#[test]
fn whoever_waits_too_long_or_too_little_is_told_to_wait_for_two_milliseconds() {
    assert_eq!(shift_of_waiting(999), Some(18_999));
    assert_eq!(shift_of_waiting(1_000), None);
    assert_eq!(shift_of_waiting(4_000), None);
    assert_eq!(shift_of_waiting(4_001), Some(2_001));
    assert_eq!(shift_of_waiting(19_999), Some(17_999));
    assert_eq!(shift_of_waiting(20_000), Some(18_000), "just missed");
}

#[test]
fn the_latest_frame_counts() {
    let mut framing = framing(&[0, 1_000, 0, 0, 0, 0, 0, 0, 0, 0]);
    // It waits for 9 ms, and is to wait for 2.5 ms.
    assert_eq!(framing.shift(at(10_000), true), Some(6_500));
}

#[test]
fn it_is_told_once_a_talkspurt_and_not_before_enough_has_come() {
    let mut framing = framing(&[0; 49]);
    let tick = at(10_000);
    assert_eq!(framing.shift(tick, false), None);
    framing.arrived(at(49 * FRAME));
    assert_eq!(framing.shift(tick, false), Some(8_000));
    assert_eq!(framing.shift(tick, false), None);
    assert_eq!(framing.shift(tick, true), None);
}

#[test]
fn whoever_follows_a_hint_is_known_at_once_and_whoever_does_not_is_told_again() {
    // Long shifts, and short ones either way: the tick is 10, 5 or 0.5 ms behind the frames.
    for (waited, shift) in [(10_000, 8_000), (5_000, 3_000), (500, 18_500)] {
        for follows in [true, false] {
            let mut framing = framing(&[0; 10]);
            let tick = at(waited);
            assert_eq!(framing.shift(tick, true), Some(shift));
            let moved = if follows { u64::from(shift) } else { 0 };
            talk(&mut framing, 20 * FRAME + moved, &[0; 3]);
            let lead = framing.lead(at(40 * FRAME + moved), true);
            assert_eq!(lead.as_micros(), 1_000, "{waited} {follows}");
            let again = (!follows).then_some(shift);
            assert_eq!(framing.shift(tick, true), again, "{waited} {follows}");
        }
    }
}

#[test]
fn whoever_shifts_otherwise_than_told_begins_with_nothing_known() {
    let mut framing = framing(&[0; 10]);
    assert_eq!(framing.shift(at(10_000), true), Some(8_000));
    framing.begin(at(20 * FRAME + 4_000));
    assert!(framing.known().is_none());
}

#[test]
fn whoever_has_shifted_begins_with_nothing_known() {
    for (late, is_known) in [
        (1_500, true),
        (1_501, false),
        (18_500, true),
        (18_499, false),
    ] {
        let mut framing = framing(&[0; 10]);
        framing.begin(at(20 * FRAME + late));
        assert_eq!(framing.known().is_some(), is_known, "{late}");
    }
}

#[test]
fn after_a_long_pause_nothing_is_known() {
    for (pause, is_known) in [(60_000_000, true), (60_000_001, false)] {
        let mut framing = framing(&[0; 10]);
        framing.begin(at(9 * FRAME + pause));
        assert_eq!(framing.known().is_some(), is_known);
    }
}

#[test]
fn frames_that_come_together_count_as_one() {
    let mut framing = Framing::new(FrameDuration::Ms20);
    framing.begin(at(0));
    (0..10).for_each(|_| framing.arrived(at(0)));
    assert_eq!(framing.recent.arrivals, 1);
}

#[test]
fn what_was_late_is_forgotten_after_two_windows() {
    let mut late = vec![0; 50];
    late[0] = 2_000;
    let mut framing = framing(&late);
    let spread = |framing: &Framing| framing.known().map(Span::spread);
    assert_eq!(spread(&framing), Some(2_000));
    for frame in 50..99 {
        framing.arrived(at(frame * FRAME));
    }
    assert_eq!(spread(&framing), Some(2_000));
    framing.arrived(at(99 * FRAME));
    assert_eq!(spread(&framing), Some(0));
}

#[test]
fn clocks_that_drift_are_followed() {
    // Six seconds in which a talker of 1,000 ppm gets 6 ms ahead, ...
    let ahead: Vec<u64> = (0..300).map(|frame| 40_000 - 20 * frame).collect();
    let mut framing = framing(&ahead);
    let last = 40_000 - 20 * 299;
    let all = framing.known().expect("calm");
    // ... of which what came within the last window and a part of it is known.
    assert!((980..=2_000).contains(&all.spread()), "{all:?}");
    let latest = 40_000 - 20 * 250;
    let wanted = all.wanted() as u64;
    let shift = framing.shift(at(latest + 12_000), true);
    assert_eq!(shift.map(u64::from), Some(12_000 - wanted));
    assert!(last < latest);
}

/// At every phase of the tick: whoever follows the hint waits as long as is aimed at, and is told
/// nothing more.
#[test]
fn whoever_follows_a_hint_is_told_no_other() {
    for frame in [FrameDuration::Ms5, FrameDuration::Ms10, FrameDuration::Ms20] {
        let micros = frame.duration().as_micros();
        for phase in (0..micros).step_by(97) {
            let mut framing = Framing::new(frame);
            let mut talk = |from: u64| {
                framing.begin(at(from));
                for n in 0..10 {
                    framing.arrived(at(from + n * micros));
                }
                framing.shift(at(phase), true)
            };
            let Some(shift) = talk(0) else {
                assert!((1_000..=4_000).contains(&phase), "{phase}");
                continue;
            };
            let shift = u64::from(shift);
            assert!(shift < micros);
            assert_eq!((phase + micros - shift) % micros, 2_000, "{phase}");
            assert_eq!(talk(20 * micros + shift), None, "{phase}");
            assert_eq!(talk(40 * micros + shift), None, "{phase}");
        }
    }
}
