//! The jitter buffer, case by case: how the delay follows the network.

use crate::common::jitter_line::{Line, frame_time, item, last};
use talkspurt_core::audio::jitter::{JitterConfig, Pop, PushOutcome, Shrink};

#[test]
fn the_margin_is_the_jitter_up_to_its_bound_and_calm_takes_it_back() {
    for stall in 1..15u16 {
        let mut line = Line::new(0);
        line.run(0..50);
        // So many periods bring nothing, then one brings all.
        (0..stall).for_each(|_| _ = line.pop());
        let mut number = 50;
        (0..=stall).for_each(|n| _ = line.push(number + u32::from(n)));
        number += u32::from(stall) + 1;
        line.pop();
        assert_eq!(line.buffer.target_frames(), stall.min(10), "{stall}");
        let mut calm_pops = 0;
        while line.buffer.target_frames() > 0 || line.buffer.depth_frames() > 1 {
            line.push(number);
            number += 1;
            line.pop();
            if line.buffer.shrink_due() == Shrink::Now {
                line.buffer.skip_into().unwrap();
            }
            calm_pops += 1;
            assert!(calm_pops < 100, "more than 2 s after a stall of {stall}");
        }
        assert!(
            calm_pops > 50,
            "{calm_pops}: jitter once a second is remembered"
        );
    }
}

#[test]
fn a_pause_counts_as_calm() {
    for (pause_units, target) in [(100, 3), (600, 0)] {
        let mut line = Line::new(0);
        line.run(0..50);
        (0..3).for_each(|_| assert_eq!(line.pop(), Pop::Underrun));
        (50..54).for_each(|number| _ = line.push(number));
        line.push_last(54);
        while line.buffer.is_active() {
            line.pop();
        }
        assert_eq!(line.buffer.target_frames(), 3);
        line.push_at(55, frame_time(54) + pause_units, false);
        assert_eq!(line.buffer.target_frames(), target, "{pause_units}");
    }
}

#[test]
fn an_item_that_was_waited_for_makes_a_margin_of_as_many_frames() {
    let mut line = Line::new(0);
    line.run(0..3);
    (0..4).for_each(|_| assert_eq!(line.pop(), Pop::Underrun));
    line.run(3..5);
    assert_eq!(line.buffer.target_frames(), 4);
}

#[test]
fn a_lost_item_widens_no_margin() {
    let mut line = Line::new(0);
    line.run(0..3);
    for (lost, next) in [(1, 4), (1, 6), (2, 9)] {
        (0..lost).for_each(|_| assert_eq!(line.pop(), Pop::Underrun));
        line.run(next..next + 1);
    }
    assert_eq!(line.buffer.stats().lost, 4);
    assert_eq!(line.buffer.target_frames(), 0);
}

#[test]
fn a_lost_terminator_widens_no_margin() {
    let mut line = Line::new(0);
    line.run(0..3);
    while line.pop() == Pop::Underrun {}
    // Its number is the next but one, and its time shows the pause between.
    line.push_at(4, 1_000, false);
    assert_eq!(line.pop(), item(4));
    assert_eq!(line.buffer.target_frames(), 0);
    // Nor does one that was never sent.
    while line.pop() == Pop::Underrun {}
    line.push_at(5, 2_000, false);
    assert_eq!(line.pop(), item(5));
    assert_eq!(line.buffer.target_frames(), 0);
}

#[test]
fn a_loss_that_outlasts_concealment_widens_no_margin() {
    let mut line = Line::new(0);
    line.run(0..3);
    while line.pop() == Pop::Underrun {}
    line.push(9);
    assert_eq!(line.pop(), item(9));
    assert_eq!(line.buffer.target_frames(), 0);
}

#[test]
fn a_stall_that_outlasts_concealment_widens_the_margin() {
    let mut line = Line::new(0);
    line.run(0..3);
    while line.pop() == Pop::Underrun {}
    (3..11).for_each(|number| _ = line.push(number));
    assert_eq!(line.pop(), item(3));
    assert_eq!(line.buffer.target_frames(), 7);
}

#[test]
fn an_item_that_is_overtaken_widens_the_margin_when_it_comes() {
    let mut line = Line::new(0);
    line.run(0..3);
    assert_eq!(line.pop(), Pop::Underrun);
    line.run(4..5);
    assert_eq!(line.buffer.target_frames(), 0, "it may be lost");
    assert_eq!(line.push(2), PushOutcome::Late, "a duplicate");
    assert_eq!(line.buffer.target_frames(), 0);
    // One pop was its turn, and it missed the next one, too.
    assert_eq!(line.push(3), PushOutcome::Late);
    assert_eq!(line.buffer.target_frames(), 2);
    assert_eq!(line.push(3), PushOutcome::Late, "a duplicate of it");
    assert_eq!(line.buffer.target_frames(), 2);
}

#[test]
fn a_surplus_is_dropped_after_most_of_its_window_when_quiet_and_then_regardless() {
    let mut line = Line::new(0);
    line.run(0..10);
    line.push(10);
    line.push(11); // Two too many from now on.
    let mut due = Vec::new();
    for number in 12..12 + 400 {
        line.push(number);
        line.pop();
        due.push(line.buffer.shrink_due());
    }
    let first = |shrink| due.iter().position(|&d| d == shrink).unwrap();
    // 1.5 s less the eight frames that it takes; the running part of the window, a quarter, has
    // seen the time without a surplus, so it has to pass first.
    let due = 75 - 8;
    let not_yet = 75 / 4 - 10 - 1;
    assert_eq!(first(Shrink::WhenQuiet), not_yet + due - due / 4);
    assert_eq!(first(Shrink::Now), not_yet + due);
    let next = line.buffer.skip_into().unwrap();
    assert_eq!(next, 410);
    // A single one waits longer for a quiet moment.
    assert_eq!(line.buffer.shrink_due(), Shrink::WhenQuiet);
    line.buffer.skip_into().unwrap();
    assert_eq!(line.buffer.depth_frames(), 0);
    assert_eq!(line.buffer.shrink_due(), Shrink::No);
    assert_eq!(
        line.buffer.skip_into(),
        None,
        "nothing is skipped before it is due"
    );
    assert_eq!(line.buffer.stats().skipped, 2);
}

#[test]
fn a_big_surplus_goes_faster() {
    let mut line = Line::new(0);
    for number in 0..14 {
        line.push(number);
    }
    let mut number = 14;
    let mut pops = 0;
    while line.buffer.depth_frames() > 1 || pops < 10 {
        line.push(number);
        number += 1;
        assert!(matches!(line.pop(), Pop::Item(..)));
        if line.buffer.shrink_due() == Shrink::Now {
            line.buffer.skip_into().unwrap();
        }
        pops += 1;
        assert!(pops < 1_000, "280 ms of surplus are gone within 20 s");
    }
    // One in four, as soon as that is enough for all of them in 1.5 s.
    assert_eq!(pops, 75 - 8);
    assert_eq!(line.buffer.stats().skipped, 13);
}

#[test]
fn the_last_item_of_a_talkspurt_is_never_skipped() {
    let mut line = Line::new(0);
    for number in 0..3 {
        line.push(number);
    }
    for number in 3..400 {
        line.push(number);
        line.pop();
    }
    assert_eq!(line.buffer.shrink_due(), Shrink::Now);
    line.push_last(400);
    assert_eq!([line.pop(), line.pop()], [item(397), item(398)]);
    assert_eq!(line.buffer.shrink_due(), Shrink::Now);
    assert_eq!(line.pop(), item(399));
    assert_eq!(
        line.buffer.shrink_due(),
        Shrink::No,
        "the terminator is next"
    );
    assert_eq!(line.buffer.skip_into(), None);
    assert_eq!(line.pop(), last(400));
}

#[test]
fn packets_that_arrive_in_pairs_are_jitter_and_no_surplus() {
    let mut line = Line::new(1);
    for number in (0..2_000).step_by(2) {
        line.push(number);
        line.push(number + 1);
        line.pop();
        assert_eq!(line.buffer.shrink_due(), Shrink::No);
        line.pop();
        assert_eq!(line.buffer.shrink_due(), Shrink::No);
    }
}

#[test]
fn clear_drops_all_and_ends_the_talkspurt() {
    let mut line = Line::new(0);
    line.run(0..3);
    line.push(3);
    line.push(4);
    line.buffer.clear();
    assert_eq!(
        (line.buffer.depth_frames(), line.buffer.is_active()),
        (0, false)
    );
    assert_eq!(line.pop(), Pop::Silence);
    assert_eq!(line.push(2), PushOutcome::Late, "it was already played");
    assert_eq!(line.push(5), PushOutcome::Queued);
    assert_eq!(line.pop(), item(5));
}

#[test]
fn extreme_configurations_neither_hang_nor_overflow() {
    for value in [0, 1, u16::MAX] {
        let mut line = Line::with(JitterConfig {
            frame_units: value.min(1_000),
            target_frames: 0,
            target_max_frames: value,
            shrink_window_frames: value,
            conceal_max_frames: value,
            stall_max_frames: value,
            pre_roll_max_frames: value,
        });
        for number in 0..10 {
            line.push(number);
        }
        for _ in 0..70_000 {
            line.pop();
            line.buffer.skip_into();
        }
    }
}
