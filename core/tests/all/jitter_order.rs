//! The jitter buffer, case by case: what is played, and in what order. `jitter_properties.rs` tests
//! what must hold on any network.

use crate::common::jitter_line::{Line, SLOTS, frame_time, item, last};
use talkspurt_core::audio::format::FrameDuration::Ms20;
use talkspurt_core::audio::jitter::{JitterBuffer, JitterConfig, Pop, PushOutcome};
use talkspurt_core::seq::{Seq, Timestamp};
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
fn a_gap_of_a_second_is_loss_and_a_longer_one_a_pause() {
    for (gap, lost) in [(49, 49), (50, 0), (20_000, 0)] {
        let mut line = Line::new(1);
        line.push(0);
        assert_eq!([line.pop(), line.pop()], [Pop::Silence, item(0)]);
        assert_eq!(line.push(1 + gap), PushOutcome::Queued);
        if lost == 0 {
            assert_eq!(line.pop(), Pop::Silence, "gap of {gap}: the margin fills");
        }
        assert_eq!(line.pop(), item(1 + gap), "gap of {gap}");
        let stats = line.buffer.stats();
        assert_eq!((stats.lost, stats.overflowed), (lost, 0), "gap of {gap}");
    }
}

#[test]
fn a_gap_longer_than_the_buffer_is_jumped_over_and_counted() {
    let mut buffer = JitterBuffer::<u32, 16>::new(JitterConfig::default_for(Ms20, 0));
    for number in [0, 1, 2, 42] {
        let (seq, timestamp) = (Seq(number as u16), Timestamp(frame_time(number)));
        buffer.push(Instant::ZERO, seq, timestamp, false, number);
        assert_eq!(buffer.pop(), item(number));
    }
    let stats = buffer.stats();
    assert_eq!((stats.lost, stats.overflowed), (39, 0));
}

/// Frame `n` of a talkspurt that begins with another number and time than the one before it goes
/// on with.
fn of_the_next(line: &mut Line, n: u32, terminator: bool) -> PushOutcome {
    line.push_at(9 + n, frame_time(500 + n), terminator)
}

#[test]
fn an_item_whose_timestamp_does_not_fit_begins_a_talkspurt_or_is_a_straggler() {
    // Without a terminator between them, and the first still waits.
    let mut line = Line::new(2);
    (0..4).for_each(|number| _ = line.push(number));
    assert_eq!(line.pop(), item(0));
    assert_eq!(of_the_next(&mut line, 0, false), PushOutcome::Queued);
    assert_eq!(line.push(4), PushOutcome::Late, "earlier than the newest");
    assert_eq!(line.push_at(9, frame_time(499), false), PushOutcome::Late);
    assert_eq!(
        [1, 2].map(|n| of_the_next(&mut line, n, n == 2)),
        [PushOutcome::Queued; 2]
    );
    let played: Vec<_> = (0..7).map(|_| line.pop()).collect();
    let of_the_next = [item(9), item(10), last(11)];
    assert_eq!(played[..3], [1, 2, 3].map(item));
    assert_eq!(played[3..6], of_the_next);
    assert_eq!(played[6], Pop::Silence);
    let stats = line.buffer.stats();
    assert_eq!((stats.lost, stats.overflowed, stats.concealed), (0, 0, 0));
}

#[test]
fn numbers_may_go_anywhere_between_talkspurts() {
    for jump in [1, 2, 90, 20_000, 40_000, 65_535] {
        let mut line = Line::new(0);
        line.push(0);
        line.push_last(1);
        let played = [line.pop(), line.pop()];
        assert_eq!(played, [item(0), last(1)]);
        let outcome = line.push_at(1 + jump, frame_time(41), true);
        assert_eq!(outcome, PushOutcome::Queued, "{jump}");
        assert_eq!(line.pop(), last(1 + jump));
        assert_eq!(line.buffer.stats().lost, 0);
    }
}

#[test]
fn what_fits_behind_a_terminator_or_the_end_begins_a_talkspurt() {
    let mut line = Line::new(1);
    line.push(0);
    line.push_last(1);
    assert_eq!([line.pop(), line.pop()], [item(0), last(1)]);
    line.push(2);
    assert_eq!([line.pop(), line.pop()], [Pop::Silence, item(2)]);
    while line.pop() != Pop::Silence {}
    assert!(!line.buffer.is_active());
    // It has ended without a terminator.
    line.push(3);
    assert_eq!([line.pop(), line.pop()], [Pop::Silence, item(3)]);
    assert_eq!(line.push(3), PushOutcome::Late);
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
        line.push_at(40_000, frame_time(500), false),
        PushOutcome::Queued
    );
    assert_eq!(line.pop(), Pop::Silence, "the margin fills again");
    assert_eq!(line.pop(), item(40_000));
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
    assert_eq!(line.pop(), item(3));
}

#[test]
fn numbers_and_timestamps_wrap() {
    let mut line = Line::new(1);
    let start = u32::from(u16::MAX - 2);
    let start_timestamp = u32::MAX - frame_time(4) + 1;
    for n in 0..10 {
        let timestamp = start_timestamp.wrapping_add(frame_time(n));
        let outcome = line.push_at(start + n, timestamp, n == 9);
        assert_eq!(outcome, PushOutcome::Queued, "{n}");
    }
    for n in 0..9 {
        assert_eq!(line.pop(), item(start + n));
    }
    assert_eq!(line.pop(), last(start + 9));
    // The last timestamp was that of frame 5 after the wrap.
    let late = line.push_at(7, u32::MAX, false);
    assert_eq!(late, PushOutcome::Late);
    assert_eq!(line.push_at(7, frame_time(6), false), PushOutcome::Queued);
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

#[test]
fn what_was_said_before_a_clear_is_over_whether_it_had_come_or_not() {
    let mut line = Line::new(0);
    for number in [0, 1, 3] {
        line.push(number);
    }
    assert_eq!(line.pop(), item(0));
    line.buffer.clear();
    for number in [1, 2, 3] {
        assert_eq!(line.push(number), PushOutcome::Late, "{number}");
    }
    assert_eq!((line.push(4), line.pop()), (PushOutcome::Queued, item(4)));
}
