//! The jitter buffer at its bounds: small buffers, wide margins, and what it forgets.

use crate::common::jitter_line::{Line, item};
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::audio::jitter::{JitterBuffer, JitterConfig, Pop, Shrink};
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::time::{Duration, Instant};

/// At 5 ms a frame, 300 ms are more than the buffer holds.
#[test]
fn a_buffer_that_a_stall_has_filled_keeps_the_newest_only() {
    let mut buffer = JitterBuffer::<u32, 32>::new(JitterConfig::default_for(FrameDuration::Ms5, 0));
    let push = |buffer: &mut JitterBuffer<u32, 32>, number: u32| {
        let timestamp = Timestamp(2 * number);
        let sent = number.min(100) + 200 * (number / 100).min(1);
        let now = Instant::ZERO + Duration::from_millis(5) * sent;
        buffer.push(now, Seq(number as u16), timestamp, false, number);
    };
    for number in 0..100 {
        push(&mut buffer, number);
        assert_eq!(buffer.pop(), item(number));
    }
    (100..300).for_each(|_| assert!(!matches!(buffer.pop(), Pop::Item(..))));
    (100..301).for_each(|number| push(&mut buffer, number));
    assert_eq!(buffer.pop(), item(300));
}

#[test]
fn a_margin_takes_half_of_a_small_buffer_at_most() {
    let config = JitterConfig {
        pre_roll_max_frames: 0,
        ..JitterConfig::default_for(FrameDuration::Ms20, 0)
    };
    let mut buffer = JitterBuffer::<u32, 8>::new(config);
    let push = |buffer: &mut JitterBuffer<u32, 8>, number: u32| {
        let (seq, timestamp) = (Seq(number as u16), Timestamp(8 * number));
        buffer.push(Instant::ZERO, seq, timestamp, false, number);
    };
    push(&mut buffer, 0);
    assert_eq!(buffer.pop(), item(0));
    (0..7).for_each(|_| assert!(!matches!(buffer.pop(), Pop::Item(..))));
    (1..8).for_each(|number| push(&mut buffer, number));
    buffer.pop();
    assert_eq!(buffer.target_frames(), 4);
}

#[test]
fn a_late_item_never_narrows_a_configured_margin() {
    let config = JitterConfig::default_for(FrameDuration::Ms20, 20);
    assert!(config.target_frames > config.target_max_frames);
    let mut line = Line::with(config);
    for number in 0..30 {
        line.push(number);
    }
    while line.pop() != Pop::Underrun {}
    line.push(30);
    assert_eq!(line.pop(), item(30));
    assert_eq!(line.buffer.target_frames(), 20);
}

#[test]
fn a_surplus_that_goes_away_by_itself_drops_nothing() {
    let mut line = Line::new(1);
    // One item waits, as intended; then two, for more than a window; then one again.
    line.push(0);
    line.run(1..10);
    line.push(10);
    line.run(11..75);
    assert_eq!(line.buffer.shrink_due(), Shrink::WhenQuiet);
    assert_eq!(line.pop(), item(73));
    line.run(75..305);
    assert_eq!(line.buffer.depth_frames(), 1);
    assert_eq!(line.buffer.shrink_due(), Shrink::No);
}

#[test]
fn a_talker_who_mutes_during_a_gap_starts_afresh() {
    let mut line = Line::new(0);
    line.run(0..3);
    assert_eq!(line.pop(), Pop::Underrun);
    line.buffer.clear();
    line.push(50);
    assert_eq!(line.buffer.target_frames(), 0, "nothing came late");
    assert_eq!(line.pop(), item(50));
    assert!(!line.buffer.has_resumed(), "there is no gap to bridge");
}

#[test]
fn a_frame_due_to_be_skipped_is_kept_after_an_underrun() {
    let mut line = Line::new(0);
    line.run(0..10);
    line.push(10);
    line.run(11..75);
    assert_eq!(line.buffer.shrink_due(), Shrink::WhenQuiet);
    assert_eq!((line.pop(), line.pop()), (item(74), Pop::Underrun));
    line.push(75);
    line.push(76);
    assert_eq!(line.pop(), item(75));
    assert_eq!(line.buffer.shrink_due(), Shrink::No);
}
