//! The jitter buffer after stalls and losses: how late voice is before, right after, and after the
//! next pause. Exact, in frames of 20 ms.

use crate::common::jitter_line::{Line, item, last};
use talkspurt_core::audio::format::FrameDuration::Ms20;
use talkspurt_core::audio::jitter::{JitterConfig, Pop, Shrink};
use talkspurt_core::time::Duration;

/// One stream on virtual time. Frame `n` is captured in period `n` and arrives when the network
/// delivers it.
struct Stream {
    line: Line,
    period: u32,
    /// How late each played frame was, period by period; `None` where none was played.
    late: Vec<Option<u32>>,
}

impl Stream {
    /// A listener with a margin of `target_frames`.
    fn new(target_frames: u16) -> Self {
        Self {
            line: Line::new(target_frames),
            period: 0,
            late: Vec::new(),
        }
    }

    /// Lets `periods` pass. `arrivals` says which of the frames captured by then arrive in each.
    fn pass(&mut self, periods: u32, mut arrivals: impl FnMut(u32) -> std::ops::Range<u32>) {
        for _ in 0..periods {
            for number in arrivals(self.period) {
                self.line.push(number);
            }
            self.pop();
        }
    }

    fn pop(&mut self) {
        let late = match self.line.pop() {
            Pop::Item(number, _) => Some(self.period - number),
            _ => None,
        };
        self.late.push(late);
        self.period += 1;
    }

    /// The network is calm and the talker talks.
    fn talk(&mut self, periods: u32) {
        self.pass(periods, |now| now..now + 1);
    }

    /// The network delivers nothing for `periods`, then everything at once in the next one.
    fn stall(&mut self, periods: u32) {
        let from = self.period;
        self.pass(periods, |_| 0..0);
        self.pass(1, |now| from..now + 1);
    }

    /// The talkspurt's last frame, then silence.
    fn pause(&mut self, periods: u32) {
        self.line.push_last(self.period);
        self.pop();
        self.pass(periods, |_| 0..0);
    }

    /// How late the last played frame was.
    fn is_late(&self) -> Option<u32> {
        self.late.last().copied().flatten()
    }

    fn skipped(&self) -> u32 {
        self.line.buffer.stats().skipped
    }
}

#[test]
fn after_five_seconds_without_network_old_voice_is_dropped_at_once() {
    for target in [0, 2] {
        let mut stream = Stream::new(target);
        stream.talk(50);
        assert_eq!(stream.is_late(), Some(target.into()), "before");
        stream.stall(250);
        assert_eq!(
            stream.is_late(),
            Some(target.into()),
            "in the first period after it"
        );
        stream.talk(250);
        assert_eq!(
            stream.is_late(),
            Some(target.into()),
            "5 s later in the same talkspurt"
        );
        stream.pause(25);
        stream.talk(10);
        assert_eq!(
            stream.is_late(),
            Some(target.into()),
            "after the next pause"
        );
    }
}

#[test]
fn a_listener_that_was_suspended_is_not_late_afterwards() {
    let mut stream = Stream::new(2);
    stream.talk(50);
    // Neither pushes nor pops for 5 s; then everything is pushed before the next pop, and the
    // buffer overflows.
    let from = stream.period;
    stream.period += 250;
    for number in from..stream.period {
        stream.line.push(number);
    }
    stream.talk(1);
    assert_eq!(stream.is_late(), Some(2));
    stream.talk(50);
    assert_eq!(
        (stream.is_late(), stream.line.buffer.target_frames()),
        (Some(2), 2)
    );
}

#[test]
fn a_stall_of_up_to_300_ms_is_played_late_and_a_longer_one_is_not() {
    for (stalled, late, skipped) in [(14, 14, 0), (15, 0, 15), (16, 0, 16)] {
        let mut stream = Stream::new(0);
        stream.talk(50);
        stream.stall(stalled);
        // The frames of the stall and that of the period arrive at once.
        assert_eq!(
            (stream.is_late(), stream.skipped()),
            (Some(late), skipped),
            "{stalled} periods"
        );
    }
}

#[test]
fn the_backlog_of_a_stall_is_dropped_even_if_it_arrives_gradually() {
    let mut stream = Stream::new(0);
    stream.talk(50);
    stream.pass(250, |_| 0..0);
    // Ten frames each period, from the oldest on, until the present is reached.
    let mut next = 50;
    while next < stream.period {
        let (from, to) = (next, (next + 10).min(stream.period + 1));
        next = to;
        stream.pass(1, |_| from..to);
    }
    stream.talk(5);
    assert_eq!(stream.is_late(), Some(0));
}

#[test]
fn one_stall_of_120_ms_is_gone_after_the_next_pause() {
    let mut stream = Stream::new(0);
    stream.talk(50);
    assert_eq!(stream.is_late(), Some(0));
    stream.stall(6);
    assert_eq!(
        stream.is_late(),
        Some(6),
        "nothing is lost, so voice is late"
    );
    assert_eq!(stream.skipped(), 0);
    stream.talk(250);
    assert_eq!(stream.is_late(), Some(6), "inside the talkspurt");
    stream.pause(10);
    stream.talk(10);
    assert_eq!(stream.is_late(), Some(0));
    assert_eq!(stream.line.buffer.target_frames(), 0);
}

#[test]
fn a_margin_that_stalls_widened_is_gone_after_the_next_calm_pause() {
    let mut stream = Stream::new(2);
    // The storm: short stalls, until the margin is at its maximum.
    while stream.line.buffer.target_frames() < 10 {
        stream.talk(20);
        stream.stall(u32::from(stream.line.buffer.depth_frames()) + 2);
    }
    stream.pause(30);
    stream.talk(30);
    assert_eq!(stream.is_late(), Some(10), "right after the storm");
    // 160 ms more than before. After 1.5 seconds of calm the talker pauses.
    stream.talk(45);
    stream.pause(30);
    stream.talk(15);
    assert_eq!(stream.is_late(), Some(2));
}

#[test]
fn the_margin_that_the_network_needs_stays_through_pauses() {
    let mut stream = Stream::new(0);
    stream.talk(50);
    // Each second three frames stall, so the margin is needed.
    let talkspurt = |stream: &mut Stream| {
        for _ in 0..4 {
            stream.talk(30);
            stream.stall(3);
        }
        stream.talk(10);
        stream.pause(20);
    };
    (0..6).for_each(|_| talkspurt(&mut stream));
    let (concealed, target) = (
        stream.line.buffer.stats().concealed,
        stream.line.buffer.target_frames(),
    );
    assert_eq!(target, 3);
    (0..6).for_each(|_| talkspurt(&mut stream));
    assert_eq!(stream.line.buffer.target_frames(), target);
    assert_eq!(
        stream.line.buffer.stats().concealed,
        concealed,
        "no stall is audible"
    );
}

#[test]
fn a_margin_needed_every_second_stays_through_the_pauses_between() {
    let mut stream = Stream::new(0);
    stream.talk(50);
    let one_second = |stream: &mut Stream| {
        stream.stall(3);
        for _ in 0..2 {
            stream.talk(15);
            stream.pause(7);
            stream.talk(1);
        }
    };
    (0..6).for_each(|_| one_second(&mut stream));
    let concealed = stream.line.buffer.stats().concealed;
    (0..20).for_each(|_| one_second(&mut stream));
    assert_eq!(
        (
            stream.line.buffer.stats().concealed - concealed,
            stream.line.buffer.target_frames()
        ),
        (0, 3),
        "no stall is audible"
    );
}

#[test]
fn a_surplus_after_a_short_pause_is_dropped_down_to_a_pre_roll() {
    let mut stream = Stream::new(0);
    stream.talk(50);
    stream.stall(10);
    assert_eq!(stream.is_late(), Some(10));
    // The window has forgotten the stall.
    stream.talk(75);
    // A pause of 40 ms in between.
    stream.line.push_last(stream.period);
    stream.pop();
    stream.pass(2, |_| 0..0);
    stream.talk(20);
    assert_eq!(stream.is_late(), Some(3), "60 ms");
    assert_eq!(stream.skipped(), 5);
    stream.talk(40);
    stream.pause(10);
    stream.talk(5);
    assert_eq!(stream.is_late(), Some(0), "after the next pause");
}

/// A stream whose talkspurts may begin with pre-roll, after a word and a pause of 2 s. The gate
/// opens in the current period. The network is late by `late` periods then.
fn with_pre_roll(target: u16, pre_roll: u32, late: u32) -> Stream {
    let mut stream = Stream::new(target);
    stream.line = Line::with(JitterConfig::default_for(Ms20, target));
    stream.talk(5);
    stream.pause(100);
    stream.pass(late, |_| 0..0);
    // The pre-roll takes the numbers that go on; its times begin with the opening frame's.
    let opened = stream.period - late;
    for number in opened..=stream.period + pre_roll {
        stream.line.push(number);
    }
    stream.pop();
    stream
}

#[test]
fn a_pre_roll_is_early_and_stays() {
    for pre_roll in 0..=10 {
        let mut stream = with_pre_roll(0, pre_roll, 0);
        assert_eq!(stream.is_late(), Some(0), "on time, by its timestamp");
        for _ in 0..1_000 {
            let newest = stream.period + pre_roll;
            stream.pass(1, |_| newest..newest + 1);
            assert_eq!(stream.line.buffer.shrink_due(), Shrink::No, "{pre_roll}");
        }
        assert_eq!((stream.is_late(), stream.skipped()), (Some(0), 0));
    }
}

#[test]
fn the_margin_waits_on_top_of_a_pre_roll() {
    let mut stream = with_pre_roll(2, 3, 0);
    for _ in 0..30 {
        let newest = stream.period + 3;
        stream.pass(1, |_| newest..newest + 1);
    }
    assert_eq!(stream.is_late(), Some(2));
    // The sender takes its lead back: three periods without a packet cost nothing.
    stream.pass(3, |_| 0..0);
    stream.talk(30);
    let stats = stream.line.buffer.stats();
    assert_eq!((stream.is_late(), stats.concealed), (Some(2), 0));
}

#[test]
fn what_the_network_adds_to_a_pre_roll_is_taken_back() {
    for late in 1..=4 {
        let mut stream = with_pre_roll(0, 3, late);
        assert_eq!(stream.is_late(), Some(late));
        let mut due = 0;
        for _ in 0..600 {
            let newest = stream.period + 3;
            stream.pass(1, |_| newest..newest + 1);
            if stream.line.buffer.shrink_due() == Shrink::WhenQuiet {
                stream.line.buffer.skip_into().unwrap();
                due += 1;
            }
        }
        assert_eq!((stream.is_late(), due), (Some(0), late));
    }
}

#[test]
fn a_lead_that_was_taken_back_tolerates_no_delay_later() {
    let mut stream = with_pre_roll(0, 3, 0);
    stream.pass(3, |_| 0..0);
    // The window after the one in which it was.
    stream.talk(200);
    assert_eq!(stream.is_late(), Some(0));
    stream.stall(3);
    assert_eq!(stream.is_late(), Some(3));
    stream.talk(200);
    // The late item has widened the margin by one.
    assert_ne!(stream.line.buffer.shrink_due(), Shrink::No);
}

#[test]
fn a_stall_soon_after_a_lead_was_taken_back_leaves_no_delay_for_long() {
    let mut stream = with_pre_roll(0, 3, 0);
    stream.pass(3, |_| 0..0);
    stream.talk(60);
    stream.stall(5);
    for _ in 0..600 {
        stream.talk(1);
        if stream.line.buffer.shrink_due() != Shrink::No {
            stream.line.buffer.skip_into().unwrap();
        }
    }
    // The late item has widened the margin by one.
    let late = stream.is_late();
    assert!(late.is_some_and(|late| late <= 1), "{late:?}");
}

#[test]
fn a_pre_roll_that_comes_over_a_slow_line_stays_too() {
    // A packet takes 15.6 ms at 115,200 baud; 60 ms of pre-roll are sent at once.
    let mut line = Line::with(JitterConfig::default_for(Ms20, 0));
    let sent_ms = |number: u32| f64::from(number.saturating_sub(3)) * 20.0;
    let (mut arrives_ms, mut number) = (15.6, 0);
    for pop in 1..1_000 {
        while arrives_ms <= f64::from(pop) * 20.0 {
            line.push_after(number, Duration::from_micros((arrives_ms * 1_000.0) as u64));
            number += 1;
            arrives_ms = f64::max(arrives_ms, sent_ms(number)) + 15.6;
        }
        line.pop();
        assert_eq!(line.buffer.shrink_due(), Shrink::No, "{pop}");
    }
    assert_eq!(line.buffer.stats().skipped, 0);
}

#[test]
fn a_pre_roll_right_behind_a_terminator_is_heard_whole() {
    for pre_roll in 0..=10 {
        let mut line = Line::with(JitterConfig::default_for(Ms20, 0));
        line.run(0..50);
        // All at once: the last frame of one word, and the next word.
        line.push_last(50);
        for number in 51..=51 + pre_roll {
            line.push(number);
        }
        assert_eq!(line.pop(), last(50));
        assert_eq!(line.pop(), item(51), "{pre_roll}");
        assert_eq!(line.buffer.stats().skipped, 0);
    }
}

#[test]
fn two_hundred_milliseconds_of_pre_roll_are_no_backlog() {
    let mut stream = with_pre_roll(0, 10, 14);
    assert_eq!((stream.is_late(), stream.skipped()), (Some(14), 0));
    // A longer stall at the same time is one.
    stream = with_pre_roll(0, 10, 16);
    assert_eq!(stream.is_late(), Some(0));
}

#[test]
fn a_wide_margin_does_not_count_as_backlog() {
    // 500 ms of margin, as a listener may configure.
    let mut line = Line::with(JitterConfig {
        target_frames: 25,
        target_max_frames: 25,
        ..JitterConfig::default_for(Ms20, 25)
    });
    let mut played = 0;
    for number in 0..500 {
        // In bursts of five.
        if number % 5 == 4 {
            (number - 4..=number).for_each(|number| _ = line.push(number));
        }
        played += u32::from(matches!(line.pop(), Pop::Item(..)));
    }
    assert_eq!((played, line.buffer.stats().skipped), (500 - 29, 0));
}

#[test]
fn the_delay_grows_for_packets_that_are_overtaken_until_none_is_missed() {
    for late in 1..=5 {
        let mut stream = Stream::new(0);
        let mut missed = Vec::new();
        for now in 0..300 {
            // Those that come on time, and behind them those that are late.
            for number in (0..=now).filter(|it| it + if it % 3 == 0 { late } else { 0 } == now) {
                stream.line.push(number);
            }
            stream.pop();
            if stream.late.last() == Some(&None) {
                missed.push(now);
            }
        }
        // The first one is missed until it is known to be late, and then each frame that the delay
        // grows by is concealed once.
        let most = 2 * late as usize + 4;
        assert!(missed.len() <= most, "{late}: {missed:?}");
        assert!(missed.iter().all(|now| *now < 60), "{late}: {missed:?}");
        assert!(
            stream.is_late() == Some(late),
            "{late}: no later than it must be"
        );
    }
}

#[test]
fn lost_packets_make_no_delay() {
    let mut stream = Stream::new(0);
    for now in 0..300 {
        if now % 7 > 1 {
            stream.line.push(now);
        }
        stream.pop();
    }
    assert_eq!(stream.is_late(), Some(0));
}

#[test]
fn a_packet_that_comes_twice_is_late_once() {
    let mut stream = Stream::new(0);
    stream.talk(30);
    let number = stream.period;
    // Overtaken by two, and its copy by eight.
    stream.pass(2, |now| if now == number { 0..0 } else { now..now + 1 });
    stream.pass(1, |now| number..number + 1 + u32::from(now < number));
    let target = stream.line.buffer.target_frames();
    assert!(target > 0);
    stream.pass(5, |now| now - 1..now + 1);
    stream.line.push(number);
    assert_eq!(stream.line.buffer.target_frames(), target);
}

#[test]
fn the_end_of_a_talkspurt_is_not_put_off_for_a_packet_that_is_lost() {
    let mut stream = Stream::new(0);
    stream.talk(30);
    let number = stream.period;
    stream.pass(1, |_| 0..0);
    stream.pass(1, |now| now..now + 1);
    // It was overtaken, so the delay may grow from here on.
    stream.line.push(number);
    stream.line.push(number + 3);
    stream.line.push_last(number + 4);
    let pops: Vec<_> = (0..3).map(|_| stream.line.pop()).collect();
    assert_eq!(pops, [Pop::Missing, item(number + 3), last(number + 4)]);
}

#[test]
fn after_an_outage_the_jitter_of_the_word_before_is_forgotten() {
    let mut stream = Stream::new(0);
    stream.talk(30);
    stream.stall(4);
    assert!(stream.line.buffer.target_frames() >= 4);
    stream.pause(5);
    stream.talk(10);
    stream.stall(25);
    assert_eq!(stream.line.buffer.target_frames(), 0);
    assert!(stream.is_late() <= Some(1), "{:?}", stream.is_late());
}

#[test]
fn even_a_large_surplus_is_watched_for_a_part_of_the_window() {
    let mut line = Line::with(JitterConfig {
        stall_max_frames: 40,
        pre_roll_max_frames: 0,
        ..JitterConfig::default_for(Ms20, 0)
    });
    line.run(0..30);
    (30..60).for_each(|number| {
        line.push(number);
    });
    // A quarter of 75 frames.
    for number in 60..78 {
        line.push(number);
        line.pop();
        assert_eq!(line.buffer.shrink_due(), Shrink::No, "{number}");
    }
    let is_due = |number| {
        line.push(number);
        line.pop();
        line.buffer.shrink_due() == Shrink::Now
    };
    // The part in which it came was half over.
    assert!((78..78 + 18).any(is_due));
}
