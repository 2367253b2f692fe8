//! The jitter buffer, case by case: what is played, and in what order. `jitter_properties.rs` tests
//! what must hold on any network.

use crate::common::jitter_line::{Line, SLOTS, item, last};
use talkspurt_core::audio::jitter::{Pop, PushOutcome};
use talkspurt_core::seq::Seq;
use talkspurt_core::time::Instant;

#[test]
fn without_margin_the_first_item_is_due_at_once() {
    let mut line = Line::new(0);
    assert_eq!(line.pop(), Pop::Silence);
    line.push(100);
    assert_eq!(line.pop(), item(100));
    line.push_last(101);
    assert_eq!(line.pop(), last(101));
    assert_eq!(line.pop(), Pop::Silence);
    assert!(!line.buffer.is_active());
}

#[test]
fn the_margin_fills_before_the_first_item_is_played() {
    let mut line = Line::new(2);
    line.push(0);
    assert_eq!(line.pop(), Pop::Silence);
    line.push(1);
    assert_eq!(line.pop(), Pop::Silence);
    line.push(2);
    assert_eq!(line.pop(), item(0));
    assert_eq!(line.buffer.depth_frames(), 2);
}

#[test]
fn a_margin_that_is_already_filled_is_not_waited_for() {
    let mut line = Line::new(2);
    (0..3).for_each(|number| assert_eq!(line.push(number), PushOutcome::Queued));
    assert_eq!(line.pop(), item(0));
}

#[test]
fn a_talkspurt_shorter_than_the_margin_is_played_without_waiting() {
    let mut line = Line::new(5);
    line.push(0);
    line.push_last(1);
    assert_eq!([line.pop(), line.pop()], [item(0), last(1)]);
}

#[test]
fn a_short_talkspurt_whose_terminator_is_lost_is_played_after_the_margin() {
    let mut line = Line::new(3);
    line.push(0);
    assert_eq!(
        [line.pop(), line.pop(), line.pop(), line.pop()],
        [Pop::Silence, Pop::Silence, Pop::Silence, item(0)]
    );
}

#[test]
fn an_underrun_inserts_a_frame_and_loses_none() {
    let mut line = Line::new(0);
    line.run(0..10);
    assert_eq!(line.pop(), Pop::Underrun);
    assert_eq!(line.push(10), PushOutcome::Queued);
    assert_eq!(line.push(11), PushOutcome::Queued);
    assert_eq!([line.pop(), line.pop()], [item(10), item(11)]);
    assert_eq!(line.buffer.stats().concealed, 1);
    assert_eq!(line.buffer.stats().lost, 0);
}

#[test]
fn an_item_that_an_underrun_concealed_is_not_concealed_again_when_lost() {
    let mut line = Line::new(0);
    line.run(0..10);
    assert_eq!(line.pop(), Pop::Underrun); // 10 is due
    line.push(11);
    assert_eq!(line.pop(), item(11), "no delay has built up");
    assert_eq!(line.push(10), PushOutcome::Late);
    let stats = line.buffer.stats();
    assert_eq!((stats.lost, stats.late, stats.concealed), (1, 1, 1));
}

#[test]
fn a_lost_item_is_concealed_when_later_ones_have_arrived() {
    let mut line = Line::new(1);
    line.push(0);
    line.push(1);
    assert_eq!(line.pop(), item(0));
    line.push(3);
    assert_eq!(line.pop(), item(1));
    line.push(4);
    assert_eq!(
        [line.pop(), line.pop(), line.pop()],
        [Pop::Missing, item(3), item(4)]
    );
    assert_eq!(line.buffer.stats().lost, 1);
}

#[test]
fn a_gap_longer_than_the_concealment_is_jumped_over() {
    for (gap, missing) in [(5, 5), (6, 0), (40, 0)] {
        let mut line = Line::new(0);
        line.run(0..3);
        assert_eq!(line.push(3 + gap), PushOutcome::Queued);
        for _ in 0..missing {
            assert_eq!(line.pop(), Pop::Missing, "gap of {gap}");
        }
        assert_eq!(line.pop(), item(3 + gap), "gap of {gap}");
        assert_eq!(line.buffer.stats().lost, gap, "gap of {gap}");
    }
}

#[test]
fn a_gap_longer_than_the_buffer_is_jumped_over_and_counted() {
    let mut line = Line::new(0);
    line.run(0..3);
    assert_eq!(line.push(20_003), PushOutcome::Queued);
    assert_eq!(line.pop(), item(20_003));
    assert_eq!(line.buffer.stats().lost, 20_000);
    assert_eq!(line.buffer.stats().overflowed, 0);
}

#[test]
fn reordered_items_come_out_in_order() {
    let mut line = Line::new(3);
    for number in [0, 2, 1, 3, 5, 4] {
        assert_eq!(line.push(number), PushOutcome::Queued);
    }
    for number in 0..6 {
        assert_eq!(line.pop(), item(number));
    }
    assert_eq!(line.buffer.stats().late, 0);
}

#[test]
fn the_first_items_may_be_reordered_too() {
    let mut line = Line::new(2);
    for number in [102, 100, 101] {
        assert_eq!(line.push(number), PushOutcome::Queued);
    }
    assert_eq!(
        [line.pop(), line.pop(), line.pop()],
        [item(100), item(101), item(102)]
    );
}

#[test]
fn an_earlier_start_that_would_not_fit_the_buffer_is_late() {
    let mut line = Line::new(2);
    line.push(1_063);
    assert_eq!(line.push(1_000), PushOutcome::Queued, "63 apart fit");
    let mut line = Line::new(2);
    line.push(1_064);
    assert_eq!(line.push(1_000), PushOutcome::Late, "64 apart do not");
}

#[test]
fn duplicates_are_dropped_before_and_after_their_turn() {
    let mut line = Line::new(0);
    assert_eq!(line.push(7), PushOutcome::Queued);
    assert_eq!(line.push(7), PushOutcome::Duplicate);
    assert_eq!(line.pop(), item(7));
    assert_eq!(line.push(7), PushOutcome::Late);
    let stats = line.buffer.stats();
    assert_eq!((stats.duplicate, stats.late), (1, 1));
}

#[test]
fn after_the_terminator_the_next_talkspurt_starts_afresh() {
    let mut line = Line::new(1);
    line.push(0);
    line.push_last(1);
    assert_eq!([line.pop(), line.pop()], [item(0), last(1)]);
    assert!((0..500).all(|_| line.pop() == Pop::Silence));
    // Whether the number continues or jumps, a new talkspurt starts.
    assert_eq!(
        line.buffer
            .push(Instant::ZERO, Seq(40_000), 500, false, 500),
        PushOutcome::Queued
    );
    assert_eq!(line.pop(), Pop::Silence, "the margin fills again");
    assert_eq!(line.pop(), item(500));
    assert_eq!(
        line.buffer.stats().lost,
        0,
        "a pause does not count as loss"
    );
}

#[test]
fn a_talkspurt_that_waits_behind_a_terminator_follows_it() {
    let mut line = Line::new(0);
    line.push_last(0);
    // Two stragglers would be missing in between: they belong to no talkspurt.
    line.push(3);
    line.push(4);
    assert_eq!(
        [line.pop(), line.pop(), line.pop()],
        [last(0), item(3), item(4)]
    );
    assert_eq!(line.buffer.stats().concealed, 0);
}

#[test]
fn stragglers_of_an_ended_talkspurt_are_late_by_their_timestamp() {
    let mut line = Line::new(0);
    line.run(0..10);
    line.push_last(11);
    assert_eq!([line.pop(), line.pop()], [Pop::Missing, last(11)]);
    // In the idle state its number alone would start a talkspurt.
    assert_eq!(line.push(10), PushOutcome::Late);
    assert_eq!(line.pop(), Pop::Silence);
    assert!(!line.buffer.is_active());
}

#[test]
fn stragglers_are_late_while_the_next_talkspurt_fills_its_margin() {
    let mut line = Line::new(3);
    for number in 0..9 {
        line.push(number);
    }
    line.push_last(10);
    while !matches!(line.pop(), Pop::Item(_, true)) {}
    assert_eq!(line.push(11), PushOutcome::Queued);
    // Number 9 precedes the first item, as in a reordered start.
    assert_eq!(line.push(9), PushOutcome::Late);
    assert_eq!(line.buffer.depth_frames(), 1);
}

#[test]
fn a_talkspurt_without_terminator_ends_after_the_concealment() {
    let mut line = Line::new(0);
    line.run(0..3);
    for _ in 0..5 {
        assert_eq!(line.pop(), Pop::Underrun);
    }
    assert_eq!(line.pop(), Pop::Silence);
    assert!(!line.buffer.is_active());
    assert_eq!(
        line.push(3),
        PushOutcome::Queued,
        "a late item is still played"
    );
    assert_eq!(line.pop(), Pop::Silence, "the margin has grown to one");
    assert_eq!(line.pop(), item(3));
}

#[test]
fn numbers_and_timestamps_wrap() {
    let mut line = Line::new(1);
    let start_seq = u16::MAX - 2;
    let start_timestamp = u32::MAX - 4;
    for n in 0..10u16 {
        let outcome = line.buffer.push(
            Instant::ZERO,
            Seq(start_seq.wrapping_add(n)),
            start_timestamp.wrapping_add(n.into()),
            n == 9,
            n.into(),
        );
        assert_eq!(outcome, PushOutcome::Queued, "{n}");
    }
    for n in 0..9 {
        assert_eq!(line.pop(), item(n));
    }
    assert_eq!(line.pop(), last(9));
    // The last timestamp was 4, after the wrap: u32::MAX precedes it, 5 follows.
    assert_eq!(
        line.buffer.push(Instant::ZERO, Seq(7), u32::MAX, false, 0),
        PushOutcome::Late
    );
    assert_eq!(
        line.buffer.push(Instant::ZERO, Seq(7), 5, false, 0),
        PushOutcome::Queued
    );
}

#[test]
fn overflow_drops_the_oldest() {
    let mut line = Line::new(0);
    line.run(0..1);
    for number in 1..=SLOTS as u32 {
        assert_eq!(line.push(number), PushOutcome::Queued);
    }
    assert_eq!(line.push(65), PushOutcome::QueuedAfterDropping(1));
    assert_eq!(line.push(70), PushOutcome::QueuedAfterDropping(5));
    assert_eq!(line.buffer.depth_frames(), 60);
    assert_eq!(line.buffer.stats().overflowed, 6);
    // This much at once is the backlog of a stall: only the newest is worth hearing.
    assert_eq!(line.pop(), item(70));
    assert_eq!(line.buffer.stats().skipped, 59);
    assert_eq!(line.buffer.stats().lost, 4, "66 to 69");
}
