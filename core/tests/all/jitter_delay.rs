//! The jitter buffer, case by case: how the delay follows the network.

use crate::common::jitter_line::{Line, item, last};
use talkspurt_core::audio::jitter::{JitterConfig, Pop, PushOutcome, Shrink};

#[test]
fn late_items_grow_the_margin_up_to_its_bound_and_calm_shrinks_it() {
    let mut line = Line::new(1);
    let mut number = 0;
    for round in 1..20u16 {
        // A talkspurt whose packets stall once and then arrive on time.
        for _ in 0..40 {
            line.push(number);
            number += 1;
            line.pop();
        }
        while line.pop() != Pop::Underrun {}
        line.push_last(number);
        number += 1;
        while line.pop() != Pop::Silence {}
        assert_eq!(
            line.buffer.target_frames(),
            (1 + round).min(10),
            "after {round} late items"
        );
    }
    let mut targets = Vec::new();
    for _ in 0..6_000 {
        line.push(number);
        number += 1;
        line.pop();
        line.buffer.skip_into();
        if targets.last() != Some(&line.buffer.target_frames()) {
            targets.push(line.buffer.target_frames());
        }
    }
    assert_eq!(
        targets,
        [10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
        "one frame every 10 s"
    );
}

#[test]
fn an_item_that_is_late_by_several_frames_grows_the_margin_once() {
    let mut line = Line::new(0);
    line.run(0..3);
    (0..4).for_each(|_| assert_eq!(line.pop(), Pop::Underrun));
    line.run(3..5);
    assert_eq!(line.buffer.target_frames(), 1);
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
    line.push(3);
    assert_eq!(line.buffer.target_frames(), 1);
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
    assert_eq!(line.push(3), PushOutcome::Late);
    assert_eq!(line.buffer.target_frames(), 1);
    assert_eq!(line.push(3), PushOutcome::Late, "a duplicate of it");
    assert_eq!(line.buffer.target_frames(), 1);
}

#[test]
fn a_surplus_is_dropped_after_its_window_when_quiet_and_after_three_regardless() {
    let mut line = Line::new(0);
    line.run(0..10);
    line.push(10); // One too many from now on.
    let mut due = Vec::new();
    for number in 11..11 + 400 {
        line.push(number);
        line.pop();
        due.push(line.buffer.shrink_due());
    }
    let first = |shrink| due.iter().position(|&d| d == shrink).unwrap();
    // The running window has seen the time without a surplus, so it has to pass first.
    assert_eq!(first(Shrink::WhenQuiet) + 10 + 1, 200);
    assert_eq!(first(Shrink::Now) - first(Shrink::WhenQuiet), 200);
    let next = line.buffer.skip_into().unwrap();
    assert_eq!(next, 410);
    assert_eq!(line.buffer.depth_frames(), 0);
    assert_eq!(line.buffer.shrink_due(), Shrink::No);
    assert_eq!(
        line.buffer.skip_into(),
        None,
        "nothing is skipped before it is due"
    );
    assert_eq!(line.buffer.stats().skipped, 1);
}

#[test]
fn a_big_surplus_goes_faster() {
    let mut line = Line::new(0);
    for number in 0..14 {
        line.push(number);
    }
    let mut number = 14;
    let mut pops = 0;
    while line.buffer.depth_frames() > 0 || pops < 10 {
        line.push(number);
        number += 1;
        assert!(matches!(line.pop(), Pop::Item(..)));
        if line.buffer.shrink_due() != Shrink::No {
            line.buffer.skip_into().unwrap();
        }
        pops += 1;
        assert!(pops < 1_000, "280 ms of surplus are gone within 20 s");
    }
    // 100/14 + 100/13 + .. + 100/1 pops, each rounded down. In the first window the item just
    // pushed does not wait yet.
    assert!((300..400).contains(&pops), "{pops}");
    assert_eq!(line.buffer.stats().skipped, 14);
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
            decay_window_frames: value,
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
