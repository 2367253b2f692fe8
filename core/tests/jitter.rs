//! The jitter buffer, case by case. `jitter_properties.rs` has what must hold for any network.

use talkspurt_core::frame::FrameDuration;
use talkspurt_core::jitter::{JitterBuffer, JitterConfig, Pop, PushOutcome, Shrink};
use talkspurt_core::seq::Seq;

const SLOTS: usize = 64;

/// A buffer whose items are the numbers of the packets; each packet's timestamp is its number too.
struct Line {
    buffer: JitterBuffer<u32, SLOTS>,
}

impl Line {
    fn new(target_frames: u16) -> Self {
        Self::with(JitterConfig::default_for(
            FrameDuration::Ms20,
            target_frames,
        ))
    }

    fn with(config: JitterConfig) -> Self {
        Self {
            buffer: JitterBuffer::new(config),
        }
    }

    fn push(&mut self, number: u32) -> PushOutcome {
        self.buffer.push(Seq(number as u16), number, false, number)
    }

    fn push_last(&mut self, number: u32) -> PushOutcome {
        self.buffer.push(Seq(number as u16), number, true, number)
    }

    fn pop(&mut self) -> Pop<u32> {
        self.buffer.pop()
    }

    /// Pushes and pops in step, as on a network without jitter.
    fn run(&mut self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            assert_eq!(self.push(number), PushOutcome::Queued);
            assert!(matches!(self.pop(), Pop::Item(..)), "{number}");
        }
    }
}

fn item(number: u32) -> Pop<u32> {
    Pop::Item(number, false)
}

fn last(number: u32) -> Pop<u32> {
    Pop::Item(number, true)
}

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
fn the_margin_fills_before_the_first_item_is_given() {
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
fn a_margin_that_is_there_already_is_not_waited_for() {
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
fn an_underrun_inserts_and_loses_nothing() {
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
fn an_item_that_an_underrun_has_concealed_is_not_concealed_again_when_it_proves_lost() {
    let mut line = Line::new(0);
    line.run(0..10);
    assert_eq!(line.pop(), Pop::Underrun); // 10 should be there
    line.push(11);
    assert_eq!(line.pop(), item(11), "no delay has built up");
    assert_eq!(line.push(10), PushOutcome::Late);
    let stats = line.buffer.stats();
    assert_eq!((stats.lost, stats.late, stats.concealed), (1, 1, 1));
}

#[test]
fn a_lost_item_is_concealed_when_later_ones_are_there() {
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
fn a_gap_longer_than_concealment_is_jumped() {
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
fn a_gap_longer_than_the_buffer_is_jumped_and_counted() {
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
fn after_the_terminator_the_next_talkspurt_begins_afresh() {
    let mut line = Line::new(1);
    line.push(0);
    line.push_last(1);
    assert_eq!([line.pop(), line.pop()], [item(0), last(1)]);
    assert!((0..500).all(|_| line.pop() == Pop::Silence));
    // The number goes on from where it was, or jumps: either is the start of a talkspurt.
    assert_eq!(
        line.buffer.push(Seq(40_000), 500, false, 500),
        PushOutcome::Queued
    );
    assert_eq!(line.pop(), Pop::Silence, "the margin fills anew");
    assert_eq!(line.pop(), item(500));
    assert_eq!(line.buffer.stats().lost, 0, "a pause is no loss");
}

#[test]
fn a_talkspurt_that_waits_behind_a_terminator_follows_it() {
    let mut line = Line::new(0);
    line.push_last(0);
    // Two stragglers would be missing between: they belong to nothing.
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
    // Idle: by its number alone it could begin a talkspurt.
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
    // Number 9 lies before the first item, as a reordered start would.
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
        "what comes late is still played"
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
    // The last timestamp was 4, after the wrap: u32::MAX lies before it, 5 after.
    assert_eq!(
        line.buffer.push(Seq(7), u32::MAX, false, 0),
        PushOutcome::Late
    );
    assert_eq!(line.buffer.push(Seq(7), 5, false, 0), PushOutcome::Queued);
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
    assert_eq!(line.pop(), item(7));
    assert_eq!(line.buffer.stats().overflowed, 6);
    assert_eq!(line.buffer.stats().lost, 0);
}

#[test]
fn underruns_grow_the_margin_up_to_its_bound_and_quiet_times_take_it_back() {
    let mut line = Line::new(1);
    let mut number = 0;
    for round in 1..20u16 {
        // A talkspurt whose packets stall once and then come in time.
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
            "after {round} underruns"
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
fn several_underruns_in_a_row_are_one_reason_to_grow() {
    let mut line = Line::new(0);
    line.run(0..3);
    (0..4).for_each(|_| assert_eq!(line.pop(), Pop::Underrun));
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
    // The window that was running has seen the time without a surplus: it passes first.
    assert_eq!(first(Shrink::WhenQuiet) + 10 + 1, 200);
    assert_eq!(first(Shrink::Now) - first(Shrink::WhenQuiet), 200);
    let next = line.buffer.skip_into().unwrap();
    assert_eq!(next, 410);
    assert_eq!(line.buffer.depth_frames(), 0);
    assert_eq!(line.buffer.shrink_due(), Shrink::No);
    assert_eq!(
        line.buffer.skip_into(),
        None,
        "nothing is skipped that is not due"
    );
    assert_eq!(line.buffer.stats().skipped, 1);
}

#[test]
fn a_big_surplus_goes_faster() {
    let mut line = Line::new(0);
    for number in 0..50 {
        line.push(number);
    }
    let mut number = 50;
    let mut pops = 0;
    while line.buffer.depth_frames() > 0 || pops < 10 {
        line.push(number);
        number += 1;
        assert!(matches!(line.pop(), Pop::Item(..)));
        if line.buffer.shrink_due() != Shrink::No {
            line.buffer.skip_into().unwrap();
        }
        pops += 1;
        assert!(pops < 1_000, "a second of surplus is gone within 20 s");
    }
    // 100/49 + 100/48 + .. + 100/1 pops: about 100 * ln 49 + 58.
    assert!((350..550).contains(&pops), "{pops}");
    assert_eq!(line.buffer.stats().skipped, 50);
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
        "next is the terminator"
    );
    assert_eq!(line.buffer.skip_into(), None);
    assert_eq!(line.pop(), last(400));
}

#[test]
fn pairs_that_come_together_are_jitter_and_no_surplus() {
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
    assert_eq!(line.push(2), PushOutcome::Late, "it was played before");
    assert_eq!(line.push(5), PushOutcome::Queued);
    assert_eq!(line.pop(), item(5));
}

#[test]
fn extreme_configurations_neither_hang_nor_overflow() {
    for value in [0, 1, u16::MAX] {
        let mut line = Line::with(JitterConfig {
            target_frames: 0,
            target_max_frames: value,
            shrink_window_frames: value,
            decay_window_frames: value,
            conceal_max_frames: value,
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
