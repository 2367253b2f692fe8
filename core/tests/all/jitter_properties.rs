//! The jitter buffer on any network: it matches a model, and keeps its promises even to a hostile
//! sender.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::cases::cases;
use proptest::collection::vec;
use proptest::prelude::*;
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::audio::jitter::{JitterBuffer, JitterConfig, Pop, PushOutcome, Shrink};
use talkspurt_core::seq::Seq;
use talkspurt_core::time::Instant;

const SLOTS: usize = 16;
type Buffer = JitterBuffer<u64, SLOTS>;

fn config(target_frames: u16) -> JitterConfig {
    JitterConfig {
        target_frames,
        target_max_frames: target_frames,
        shrink_window_frames: 20,
        decay_window_frames: 50,
        conceal_max_frames: 5,
        stall_max_frames: 7,
    }
}

/// The buffer's rules with numbers that never wrap, a sorted map instead of a ring, and a fixed
/// margin.
struct Model {
    target: u64,
    conceal_max: u64,
    waiting: BTreeMap<u64, bool>,
    phase: Phase,
    next: u64,
    played: Option<u64>,
    underruns: u64,
    stall_max: usize,
    backlog_over: usize,
    gap: bool,
}

#[derive(PartialEq)]
enum Phase {
    Idle,
    Filling(u64),
    Playing,
}

impl Model {
    fn push(&mut self, number: u64, terminator: bool) -> PushOutcome {
        if self.phase != Phase::Playing && self.played.is_some_and(|played| number <= played) {
            return PushOutcome::Late;
        }
        if self.phase == Phase::Idle {
            self.start(number);
        }
        if number < self.next {
            let fits = self
                .waiting
                .keys()
                .last()
                .is_none_or(|newest| newest - number < SLOTS as u64);
            if !matches!(self.phase, Phase::Filling(_)) || !fits {
                return PushOutcome::Late;
            }
            self.next = number;
        }
        let mut dropped = 0;
        while number - self.next >= SLOTS as u64 {
            if self.waiting.is_empty() {
                self.next = number;
                self.gap = true;
            } else {
                self.gap = true;
                dropped += u16::from(self.waiting.remove(&self.next).is_some());
                self.next += 1;
            }
        }
        if self.waiting.contains_key(&number) {
            return PushOutcome::Duplicate;
        }
        self.waiting.insert(number, terminator);
        if dropped == 0 {
            PushOutcome::Queued
        } else {
            PushOutcome::QueuedAfterDropping(dropped)
        }
    }

    fn pop(&mut self) -> Pop<u64> {
        match self.phase {
            Phase::Idle => return Pop::Silence,
            Phase::Filling(waited)
                if self.waiting.len() as u64 <= self.target
                    && waited < self.target
                    && !self.waiting.values().any(|&terminator| terminator) =>
            {
                self.phase = Phase::Filling(waited + 1);
                return Pop::Silence;
            }
            _ => self.phase = Phase::Playing,
        }
        let Some(&first) = self.waiting.keys().next() else {
            self.underruns += 1;
            self.gap = true;
            if self.underruns > self.conceal_max {
                self.phase = Phase::Idle;
                return Pop::Silence;
            }
            return Pop::Underrun;
        };
        let concealed = self.underruns.min(first - self.next);
        self.underruns -= concealed;
        self.next += concealed;
        if first - self.next > self.conceal_max {
            self.next = first;
        }
        if self.waiting.len() > self.backlog_over {
            let goes_on = self.waiting.values().last() == Some(&false);
            self.drop_surplus(if goes_on { 1 } else { self.stall_max });
            self.backlog_over = self.waiting.len();
        } else {
            self.backlog_over = self
                .backlog_over
                .min(self.waiting.len())
                .max(self.stall_max());
        }
        let due = self.next;
        self.next += 1;
        let Some(terminator) = self.waiting.remove(&due) else {
            self.gap = true;
            return Pop::Missing;
        };
        self.gap = false;
        self.played = Some(due);
        self.underruns = 0;
        if terminator {
            self.phase = Phase::Idle;
            // A waiting talkspurt that has ended as well is left to end by itself.
            if self.waiting.values().last() == Some(&false) {
                self.drop_surplus(self.stall_max / 4);
            }
            if let Some(&first) = self.waiting.keys().next() {
                self.start(first);
            }
        }
        Pop::Item(due, terminator)
    }

    fn start(&mut self, number: u64) {
        self.phase = Phase::Filling(0);
        self.next = number;
        self.underruns = 0;
        let at_start = if self.gap { 1 } else { 2 };
        self.backlog_over = self.stall_max() * at_start;
    }

    /// Keeps only the newest: as many as the margin asks for, and one to play.
    fn drop_surplus(&mut self, tolerated: usize) {
        while self.waiting.len() > self.target as usize + tolerated {
            self.played = self.waiting.pop_first().map(|(number, _)| number);
            self.gap = true;
            self.next = self.waiting.keys().next().copied().unwrap_or(self.next);
        }
    }

    fn stall_max(&self) -> usize {
        self.stall_max.max(2 * self.target as usize)
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// A packet this many places from the newest that was pushed.
    Push(i64, bool),
    Pop,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let near = prop_oneof![8 => Just(1i64), 4 => -4..=6i64, 1 => -40..=40i64];
    let op = prop_oneof![
        (near, prop::bool::weighted(0.05)).prop_map(|(step, last)| Op::Push(step, last)),
        Just(Op::Pop),
    ];
    vec(op, 1..400)
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn it_does_what_its_model_does(
        ops in ops(),
        target in 0..5u16,
        start in any::<u16>(),
        start_timestamp in any::<u32>(),
    ) {
        let mut buffer = Buffer::new(config(target));
        let mut model = Model {
            target: target.into(),
            conceal_max: 5,
            waiting: BTreeMap::new(),
            phase: Phase::Idle,
            next: 0,
            played: None,
            underruns: 0,
            stall_max: 7,
            backlog_over: 0,
            gap: false,
        };
        let mut newest = 1_000u64;
        for op in ops {
            match op {
                Op::Push(step, terminator) => {
                    let number = newest.checked_add_signed(step).unwrap_or(0);
                    newest = newest.max(number);
                    let outcome = buffer.push(
                        Instant::ZERO,
                        Seq(start.wrapping_add(number as u16)),
                        start_timestamp.wrapping_add(number as u32),
                        terminator,
                        number,
                    );
                    prop_assert_eq!(outcome, model.push(number, terminator));
                }
                Op::Pop => prop_assert_eq!(buffer.pop(), model.pop()),
            }
            prop_assert_eq!(usize::from(buffer.depth_frames()), model.waiting.len());
            prop_assert_eq!(buffer.is_active(), model.phase != Phase::Idle);
        }
    }

    #[test]
    fn every_push_comes_out_at_most_once_and_all_are_accounted_for(
        pushes in vec((any::<u16>(), any::<u32>(), any::<bool>(), 0..4u8), 1..400),
        nearby in any::<bool>(),
        target in 0..40u16,
    ) {
        let mut buffer = Buffer::new(config(target));
        let mut seen = BTreeSet::new();
        let (mut pushed, mut taken, mut blended) = (0u64, 0u64, 0u64);
        for (seq, timestamp, terminator, pops) in pushes {
            let seq = if nearby { seq % 24 } else { seq };
            buffer.push(Instant::ZERO, Seq(seq), timestamp, terminator, pushed);
            pushed += 1;
            prop_assert!(usize::from(buffer.depth_frames()) <= SLOTS);
            for _ in 0..pops {
                if let Pop::Item(item, _) = buffer.pop() {
                    prop_assert!(seen.insert(item), "item {} twice", item);
                    taken += 1;
                }
                if let Some(item) = buffer.skip_into() {
                    prop_assert!(seen.insert(item), "item {} twice", item);
                    blended += 1;
                }
            }
        }
        let stats = *buffer.stats();
        let dropped = u64::from(stats.late)
            + u64::from(stats.duplicate)
            + u64::from(stats.overflowed)
            + u64::from(stats.skipped);
        prop_assert!(blended <= u64::from(stats.skipped));
        prop_assert_eq!(pushed, taken + dropped + u64::from(buffer.depth_frames()));
    }

    #[test]
    fn an_honest_sender_is_heard_in_order(
        losses in vec(prop::bool::weighted(0.1), 200),
        delays in vec(0..6usize, 200),
        target in 0..6u16,
    ) {
        let mut buffer = Buffer::new(JitterConfig { target_max_frames: 8, ..config(target) });
        // Frame n is sent at n, and arrives `delays[n]` periods later or never.
        let mut last_heard = None;
        let mut heard = 0u32;
        for now in 0..220usize {
            let sent = delays.iter().zip(&losses).enumerate();
            for (sent_at, (delay, lost)) in sent {
                if sent_at + delay == now && !lost {
                    let (seq, item) = (Seq(sent_at as u16), sent_at as u64);
                    buffer.push(Instant::ZERO, seq, sent_at as u32, sent_at == 199, item);
                }
            }
            if let Pop::Item(item, _) = buffer.pop() {
                prop_assert!(last_heard < Some(item));
                last_heard = Some(item);
                heard += 1;
            }
        }
        let arrived = losses.iter().filter(|lost| !**lost).count() as u32;
        prop_assert_eq!(heard + buffer.stats().late + buffer.stats().skipped, arrived);
    }

    #[test]
    fn after_any_storm_the_delay_comes_back(
        bursts in vec((1..30usize, 0..30usize), 1..20),
        target in 0..3u16,
    ) {
        let mut buffer = Buffer::new(JitterConfig { target_max_frames: 6, ..config(target) });
        let mut number = 0u32;
        let mut push = |buffer: &mut Buffer| {
            buffer.push(Instant::ZERO, Seq(number as u16), number, false, 0);
            number += 1;
        };
        for (together, pause) in bursts {
            (0..together).for_each(|_| push(&mut buffer));
            (0..pause).for_each(|_| { buffer.pop(); });
        }
        // From now on the network is perfect, and the listener shortens the delay when asked.
        // 6 frames of margin decay in 300 pops.
        // 15 surplus frames go in 3 * 20 * (1 + 1/2 + .. + 1/15) = 200.
        for _ in 0..1_000 {
            push(&mut buffer);
            buffer.pop();
            if buffer.shrink_due() == Shrink::Now {
                prop_assert!(buffer.skip_into().is_some());
            }
        }
        prop_assert_eq!(buffer.target_frames(), target);
        let depth = buffer.depth_frames();
        prop_assert!(depth <= target, "{} frames wait", depth);
        prop_assert_eq!(buffer.shrink_due(), Shrink::No);
    }
}

#[test]
fn the_defaults_hold_at_every_frame_duration() {
    for frame in [FrameDuration::Ms5, FrameDuration::Ms10, FrameDuration::Ms20] {
        let config = JitterConfig::default_for(frame, 2);
        let ms = |frames: u16| u32::from(frames) * u32::from(frame.ms());
        assert_eq!(ms(config.target_max_frames), 200);
        assert_eq!(ms(config.shrink_window_frames), 2_000);
        assert_eq!(ms(config.decay_window_frames), 10_000);
        assert_eq!(ms(config.conceal_max_frames), 100);
        assert_eq!(ms(config.stall_max_frames), 300);
    }
}
