//! The jitter buffer on any network: it matches a model, and keeps its promises even to a hostile
//! sender.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::cases::cases;
use proptest::collection::vec;
use proptest::prelude::*;
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::audio::jitter::{JitterBuffer, JitterConfig, Pop, PushOutcome, Shrink};
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::time::{Duration, Instant};

const SLOTS: usize = 16;
type Buffer = JitterBuffer<u64, SLOTS>;

fn config(target_frames: u16) -> JitterConfig {
    JitterConfig {
        frame_units: 8,
        target_frames,
        target_max_frames: target_frames,
        shrink_window_frames: 20,
        conceal_max_frames: 5,
        stall_max_frames: 7,
        pre_roll_max_frames: 10,
    }
}

/// The buffer's rules with numbers that never wrap, a sorted map instead of a ring, and a fixed
/// margin. Times are in frames.
#[derive(Default)]
struct Model {
    target: u64,
    /// By their numbers.
    waiting: BTreeMap<u64, Item>,
    phase: Phase,
    next: u64,
    /// A time.
    played: Option<u64>,
    /// Number, time and terminator.
    newest: Option<(u64, u64, bool)>,
    /// The time of an item that was on time, and when it came.
    on_time: Option<(u64, u64)>,
    /// Of a talkspurt that is to come: its first number, and how early the newest item is now.
    coming: Option<(u64, u64)>,
    early: u64,
    /// For so many items more, the talkspurt may still show that it is early.
    young: u64,
    underruns: u64,
    backlog_over: usize,
    gap: bool,
}

struct Item {
    time: u64,
    terminator: bool,
}

const CONCEAL_MAX: u64 = 5;
const STALL_MAX: usize = 7;

#[derive(Default, PartialEq)]
enum Phase {
    #[default]
    Idle,
    Filling(u64),
    Playing,
}

impl Model {
    fn push(&mut self, now: u64, number: u64, time: u64, terminator: bool) -> PushOutcome {
        if self.played.is_some_and(|played| time <= played) {
            return PushOutcome::Late;
        }
        let (is_later, fits, goes_on) = match self.newest {
            None => (true, false, false),
            Some((newest, newest_time, terminator)) => {
                let fits = number.wrapping_sub(newest) == time.wrapping_sub(newest_time);
                let goes_on = fits && !terminator && time <= newest_time + 50;
                (time > newest_time, fits, goes_on)
            }
        };
        if !is_later && !fits {
            return PushOutcome::Late;
        }
        let begins = is_later && !goes_on;
        if begins {
            self.coming = Some((number, 0));
            if !fits {
                self.begin(now, time);
            }
        }
        if self.phase == Phase::Idle || self.waiting.is_empty() && begins {
            self.start(number);
        }
        if number < self.next {
            let newest = self.waiting.keys().last();
            let fits = newest.is_none_or(|newest| newest - number < SLOTS as u64);
            if !matches!(self.phase, Phase::Filling(_)) || !fits {
                return PushOutcome::Late;
            }
            self.next = number;
        }
        let dropped = self.make_room_for(number);
        if self.waiting.contains_key(&number) {
            return PushOutcome::Duplicate;
        }
        self.waiting.insert(number, Item { time, terminator });
        if is_later {
            self.newest = Some((number, time, terminator));
            let (on_time, at) = self.on_time.unwrap_or((time, now));
            let is_early = (time + at).saturating_sub(on_time + now).min(10);
            match &mut self.coming {
                Some((_, early)) => *early = is_early,
                None if self.young > 0 => self.early = self.early.max(is_early),
                None => {}
            }
        }
        if dropped == 0 {
            PushOutcome::Queued
        } else {
            PushOutcome::QueuedAfterDropping(dropped)
        }
    }

    fn make_room_for(&mut self, number: u64) -> u16 {
        let mut dropped = 0;
        while number - self.next >= SLOTS as u64 {
            self.gap = true;
            if self.waiting.is_empty() {
                self.next = number;
            } else {
                dropped += u16::from(self.take(self.next).is_some());
                self.next += 1;
            }
        }
        dropped
    }

    /// A talkspurt begins behind a pause.
    fn begin(&mut self, now: u64, time: u64) {
        let is_late = self
            .on_time
            .is_some_and(|(on_time, at)| now < at + 500 && time + at < on_time + now);
        if !is_late {
            self.on_time = Some((time, now));
        }
    }

    fn take(&mut self, number: u64) -> Option<Item> {
        let item = self.waiting.remove(&number)?;
        self.played = Some(item.time);
        Some(item)
    }

    fn pop(&mut self) -> Pop<u64> {
        let early = self.coming.map(|(_, early)| early);
        if let Some((first, early)) = self.coming {
            let is_next = self.waiting.keys().next() == Some(&first);
            if self.phase == Phase::Playing && is_next {
                self.gap = true;
                self.start(first);
            }
            self.coming = Some((first, early.saturating_sub(1)));
        }
        match self.phase {
            Phase::Idle => return Pop::Silence,
            Phase::Filling(waited)
                if self.waiting.len() as u64 <= self.target + early.unwrap_or(0)
                    && waited < self.target
                    && !self.waiting.values().any(|item| item.terminator) =>
            {
                self.phase = Phase::Filling(waited + 1);
                return Pop::Silence;
            }
            Phase::Filling(_) => {
                self.phase = Phase::Playing;
                if let Some(early) = early {
                    (self.early, self.young) = (early, 20);
                }
                self.coming = None;
                self.backlog_over = self.stall_max();
            }
            Phase::Playing => {}
        }
        let Some(&first) = self.waiting.keys().next() else {
            self.underruns += 1;
            self.gap = true;
            if self.underruns > CONCEAL_MAX {
                self.phase = Phase::Idle;
                return Pop::Silence;
            }
            return Pop::Underrun;
        };
        let concealed = self.underruns.min(first - self.next);
        self.underruns -= concealed;
        self.next += concealed;
        if first - self.next > CONCEAL_MAX {
            self.next = first;
        }
        self.drop_backlog();
        let due = self.next;
        self.next += 1;
        let is_ending = self.waiting.values().any(|item| item.terminator);
        if !is_ending && self.waiting.contains_key(&due) {
            self.young = self.young.saturating_sub(1);
        }
        let Some(item) = self.take(due) else {
            self.gap = true;
            return Pop::Missing;
        };
        self.gap = false;
        self.underruns = 0;
        if item.terminator {
            self.phase = Phase::Idle;
            // A waiting talkspurt that has ended as well is left to end by itself.
            if self.goes_on() {
                let early = self.coming.map_or(0, |(_, early)| early) as usize;
                self.drop_surplus(STALL_MAX / 4 + early);
            }
            if let Some(&first) = self.waiting.keys().next() {
                self.start(first);
            }
        }
        Pop::Item(due, item.terminator)
    }

    fn start(&mut self, number: u64) {
        self.phase = Phase::Filling(0);
        self.next = number;
        self.underruns = 0;
    }

    fn drop_backlog(&mut self) {
        if self.waiting.len() > self.backlog_over {
            let tolerated = if self.goes_on() { 1 } else { STALL_MAX };
            self.drop_surplus(tolerated + self.early as usize);
            self.backlog_over = self.waiting.len();
        } else {
            self.backlog_over = self.stall_max();
        }
    }

    /// Keeps only the newest: as many as the margin asks for, and those tolerated.
    fn drop_surplus(&mut self, tolerated: usize) {
        while self.waiting.len() > self.target as usize + tolerated {
            let first = self.waiting.keys().next().copied().unwrap();
            self.take(first);
            self.gap = true;
            self.next = self.waiting.keys().next().copied().unwrap_or(self.next);
        }
    }

    /// Whether the newest item is no terminator.
    fn goes_on(&self) -> bool {
        self.waiting
            .values()
            .last()
            .is_some_and(|item| !item.terminator)
    }

    fn stall_max(&self) -> usize {
        let margin = 2 * self.target as usize;
        (STALL_MAX.max(margin) + self.early as usize)
            .min(SLOTS - 1)
            .max(margin)
    }
}

/// When frame period `now` begins.
fn at(now: usize) -> Instant {
    Instant::ZERO + Duration::from_millis(20) * now as u32
}

#[derive(Clone, Debug)]
enum Op {
    /// A packet this many numbers from the newest that was pushed.
    Push(i64, bool),
    /// Time and numbers go on by so much: from here on another talkspurt.
    Pause(u64, u64),
    Pop,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let near = prop_oneof![8 => Just(1i64), 4 => -4..=6i64, 1 => -40..=40i64];
    let op = prop_oneof![
        (near, prop::bool::weighted(0.05)).prop_map(|(step, last)| Op::Push(step, last)),
        Just(Op::Pop),
    ];
    let pause = (0..200u64, prop_oneof![0..3u64, 0..1_000u64]);
    let pause = pause.prop_map(|(time, numbers)| Op::Pause(time, numbers));
    vec(prop_oneof![30 => op, 1 => pause], 1..400)
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
        // Windows in which a lead may prove to be gone are for the tests of delay.
        let mut buffer = Buffer::new(JitterConfig {
            shrink_window_frames: u16::MAX,
            ..config(target)
        });
        let mut model = Model { target: target.into(), ..Model::default() };
        let (mut newest, mut paused, mut skipped, mut now) = (1_000u64, 0, 0, 0);
        for op in ops {
            match op {
                Op::Push(step, terminator) => {
                    let number = newest.saturating_add_signed(step);
                    newest = newest.max(number);
                    let time = number + paused - skipped;
                    let outcome = buffer.push(
                        at(now as usize),
                        Seq(start.wrapping_add(number as u16)),
                        Timestamp(start_timestamp.wrapping_add(8 * time as u32)),
                        terminator,
                        number,
                    );
                    prop_assert_eq!(outcome, model.push(now, number, time, terminator));
                }
                Op::Pause(frames, numbers) => {
                    (newest, skipped) = (newest + numbers, skipped + numbers);
                    paused += frames;
                }
                Op::Pop => {
                    prop_assert_eq!(buffer.pop(), model.pop());
                    now += 1;
                }
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
            let timestamp = Timestamp(timestamp);
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
                    let timestamp = Timestamp(8 * sent_at as u32);
                    buffer.push(at(now), seq, timestamp, sent_at == 199, item);
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
        let mut buffer = Buffer::new(JitterConfig {
            target_max_frames: 6,
            pre_roll_max_frames: 0,
            ..config(target)
        });
        let (mut number, mut now) = (0u32, 0);
        let mut push = |buffer: &mut Buffer, now| {
            let (seq, timestamp) = (Seq(number as u16), Timestamp(8 * number));
            buffer.push(at(now), seq, timestamp, false, 0);
            number += 1;
        };
        push(&mut buffer, now);
        for (together, pause) in bursts {
            (0..together).for_each(|_| push(&mut buffer, now));
            (0..pause).for_each(|_| { buffer.pop(); });
            now += pause;
        }
        // From now on the network is perfect, and the listener shortens the delay when asked: after
        // a part of the window (5 pops) in which the storm was, and the window (20).
        for _ in 0..25 + 4 * SLOTS {
            push(&mut buffer, now);
            now += 1;
            buffer.pop();
            if buffer.shrink_due() == Shrink::Now {
                prop_assert!(buffer.skip_into().is_some());
            }
        }
        prop_assert_eq!(buffer.target_frames(), target);
        let depth = buffer.depth_frames();
        prop_assert!(depth <= target + 1, "{} frames wait", depth);
        prop_assert_ne!(buffer.shrink_due(), Shrink::Now);
    }
}

#[test]
fn the_defaults_hold_at_every_frame_duration() {
    for frame in [FrameDuration::Ms5, FrameDuration::Ms10, FrameDuration::Ms20] {
        let config = JitterConfig::default_for(frame, 2);
        let ms = |frames: u16| u32::from(frames) * u32::from(frame.ms());
        assert_eq!(ms(config.target_max_frames), 200);
        assert_eq!(ms(config.shrink_window_frames), 1_500);
        assert_eq!(ms(config.conceal_max_frames), 100);
        assert_eq!(ms(config.stall_max_frames), 300);
    }
}
