//! The gate against its rule, written as plainly as the documentation states it.

use crate::common::cases::cases;
use proptest::collection::vec;
use proptest::prelude::*;
use talkspurt_core::audio::format::{FrameDuration, SampleRate};
use talkspurt_core::audio::gate::{
    GATE_HOLD_MS_MAX, GATE_WINDOW_MS_MAX, Gate, GateConfig, GateDecision, GateMode,
};
use talkspurt_core::audio::level::{LevelMeter, StepLevels};

/// The rule, at steps of 5 ms. The level is the RMS of the last 20 ms. A closed gate opens when the
/// level is above the open threshold. An open gate looks at the mean of the levels of the last
/// `window`, once it has been open for so long. The mean must stay below the close threshold for
/// `hold`, and one more step closes the gate.
struct Naive {
    config: GateConfig,
    floor: NaiveFloor,
    mean_squares: Vec<u32>,
    since_opening: Option<Vec<u64>>,
    quiet_in_a_row: u16,
}

impl Naive {
    fn new(config: GateConfig) -> Self {
        Self {
            config,
            floor: NaiveFloor::default(),
            mean_squares: vec![0; 3],
            since_opening: None,
            quiet_in_a_row: 0,
        }
    }

    fn level(&mut self, mean_square: u32) -> u64 {
        self.mean_squares.push(mean_square);
        let latest = self.mean_squares.iter().rev().take(4);
        latest.map(|&square| u64::from(square)).sum::<u64>() / 4
    }

    /// The squares that the level must exceed to open, and reach to stay open; `None` where nothing
    /// opens it.
    fn thresholds(&self) -> Option<(u64, u64)> {
        let square = |rms: u16| u64::from(rms) * u64::from(rms);
        match self.config.mode {
            GateMode::Auto { open_above_db } => {
                let floor = self.floor.mean_square()?.clamp(square(9), square(2_000));
                let factor = (0..open_above_db).fold(256, |f, _| (f * 1_289 + 512) / 1_024);
                Some(((floor * factor / 256).min(1 << 30), floor * 25 / 16))
            }
            GateMode::Fixed {
                open_rms,
                close_rms,
            } => Some((square(open_rms + 1) - 1, square(close_rms))),
            _ => Some((0, 0)),
        }
    }

    /// Returns whether it is open after the step.
    fn step(&mut self, mean_square: u32) -> bool {
        let level = self.level(mean_square);
        self.floor.smooth(level);
        if self.config.mode == GateMode::Off {
            return true;
        }
        let thresholds = self.thresholds();
        let Some(levels) = &mut self.since_opening else {
            let opens = thresholds.is_some_and(|(open, _)| level > open);
            self.since_opening = opens.then(|| vec![level.isqrt()]);
            self.quiet_in_a_row = 0;
            return opens;
        };
        let (_, close) = thresholds.unwrap();
        levels.push(level.isqrt());
        let window = usize::from(self.config.window_ms.div_ceil(5));
        let sum: u64 = levels.iter().rev().take(window).sum();
        let mean = sum / window as u64;
        let is_quiet = levels.len() >= window && mean * mean < close;
        self.quiet_in_a_row = if is_quiet { self.quiet_in_a_row + 1 } else { 0 };
        if self.quiet_in_a_row > self.config.hold_ms.div_ceil(5) {
            self.since_opening = None;
        }
        self.since_opening.is_some()
    }
}

/// The lowest smoothed power of the last two seconds, in parts of 250 ms, and a little above it.
#[derive(Default)]
struct NaiveFloor {
    heard: usize,
    smoothed: u64,
    all: Vec<u64>,
}

impl NaiveFloor {
    fn smooth(&mut self, level: u64) {
        self.heard += 1;
        if self.heard <= 8 {
            self.smoothed = 4 * level;
        } else {
            self.smoothed = self.smoothed - self.smoothed / 8 + 4 * level / 8;
            self.all.push(self.smoothed);
        }
    }

    fn mean_square(&self) -> Option<u64> {
        let parts = self.all.len() / 50;
        let latest = &self.all[50 * parts.saturating_sub(7)..];
        let mean = latest.iter().min()? * 45 / 32 / 4;
        let bound = if parts < 7 { 1_000_000 } else { u64::MAX };
        (self.heard >= 12).then_some(mean.min(bound))
    }
}

/// What frames of so many steps are decided on, where steps leave the gate open or not: a frame is
/// sent if one of them does, and the last that is sent is the one that ends closed.
fn decisions(open: &[bool], steps: usize) -> Vec<GateDecision> {
    let mut is_talking = false;
    let frames = open.chunks_exact(steps).map(|frame| {
        let was_talking = is_talking;
        is_talking = if was_talking {
            frame[steps - 1]
        } else {
            frame.contains(&true)
        };
        match (was_talking, is_talking) {
            (false, false) => GateDecision::Closed,
            (false, true) => GateDecision::Opened,
            (true, true) => GateDecision::Open,
            (true, false) => GateDecision::Closing,
        }
    });
    frames.collect()
}

fn config() -> impl Strategy<Value = GateConfig> {
    let mode = prop_oneof![
        4 => (2..=40u8).prop_map(|open_above_db| GateMode::Auto { open_above_db }),
        9 => (0..=3_000u16, 0..=3_000u16).prop_map(|(a, b)| GateMode::Fixed {
            open_rms: a.max(b),
            close_rms: a.min(b),
        }),
        1 => Just(GateMode::Off),
    ];
    (mode, 1..=GATE_WINDOW_MS_MAX, 0..=GATE_HOLD_MS_MAX / 8).prop_map(
        |(mode, window_ms, hold_ms)| GateConfig {
            mode,
            window_ms,
            hold_ms,
        },
    )
}

fn frame_duration() -> impl Strategy<Value = FrameDuration> {
    prop_oneof![
        Just(FrameDuration::Ms5),
        Just(FrameDuration::Ms10),
        Just(FrameDuration::Ms20)
    ]
}

/// Levels of frames in runs, as speech has them: loud for a while, quiet for a while.
fn levels() -> impl Strategy<Value = Vec<u16>> {
    let run = (
        prop_oneof![0..300u16, 0..4_000u16, 0..=32_767u16],
        1..30usize,
    );
    vec(run, 1..30).prop_map(|runs| {
        runs.into_iter()
            .flat_map(|(level, frames)| std::iter::repeat_n(level, frames))
            .collect()
    })
}

/// A sound at 16 kHz: noise whose loudness changes every few milliseconds.
fn sound() -> impl Strategy<Value = Vec<i16>> {
    let run = (prop_oneof![0..300u32, 0..10_000u32], 1..2_000usize);
    (vec(run, 1..40), any::<u32>()).prop_map(|(runs, mut random)| {
        let mut sound = Vec::new();
        for (amplitude, samples) in runs {
            sound.extend((0..samples).map(|_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = i64::from(random) - i64::from(u32::MAX / 2);
                ((noise * i64::from(amplitude)) >> 31) as i16
            }));
        }
        sound
    })
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn the_gate_follows_its_rule(
        config in config(),
        frame in frame_duration(),
        levels in levels(),
    ) {
        let mut gate = Gate::new(config).unwrap();
        let mut naive = Naive::new(config);
        let (mut decided, mut open) = (Vec::new(), Vec::new());
        for rms in levels {
            let levels = StepLevels::even(frame, rms);
            decided.push(gate.push(&levels));
            open.extend(levels.mean_squares().iter().map(|&square| naive.step(square)));
        }
        prop_assert_eq!(decided, decisions(&open, usize::from(frame.ms()) / 5));
    }

    #[test]
    fn a_sound_has_the_same_decisions_in_frames_of_any_duration(
        config in config(),
        sound in sound(),
    ) {
        let [fives, tens, twenties] = [FrameDuration::Ms5, FrameDuration::Ms10, FrameDuration::Ms20]
            .map(|frame| {
                let mut gate = Gate::new(config).unwrap();
                let mut meter = LevelMeter::new(SampleRate::Hz16000);
                let frames = sound.chunks_exact(frame.samples(SampleRate::Hz16000));
                frames.map(|frame| gate.push(&meter.measure(frame))).collect::<Vec<_>>()
            });
        let open: Vec<bool> = fives
            .iter()
            .map(|decision| matches!(decision, GateDecision::Opened | GateDecision::Open))
            .collect();
        prop_assert_eq!(tens, decisions(&open, 2));
        prop_assert_eq!(twenties, decisions(&open, 4));
    }

    #[test]
    fn decisions_alternate_between_open_and_closed(
        config in config(),
        frame in frame_duration(),
        levels in levels(),
        closed_at in proptest::option::of(0..400usize),
    ) {
        let mut gate = Gate::new(config).unwrap();
        let mut open = false;
        for (i, rms) in levels.into_iter().enumerate() {
            if closed_at == Some(i) {
                gate.close();
                open = false;
            }
            match gate.push(&StepLevels::even(frame, rms)) {
                GateDecision::Closed => prop_assert!(!open),
                GateDecision::Opened => { prop_assert!(!open); open = true; }
                GateDecision::Open => prop_assert!(open),
                GateDecision::Closing => { prop_assert!(open); open = false; }
            }
            prop_assert_eq!(gate.is_open(), open);
        }
    }

    #[test]
    fn thresholds_may_change_at_any_time(configs in vec(config(), 1..10), levels in levels()) {
        let mut gate = Gate::new(configs[0]).unwrap();
        for (i, rms) in levels.into_iter().enumerate() {
            gate.set_config(configs[i % configs.len()]).unwrap();
            gate.push(&StepLevels::even(FrameDuration::Ms20, rms));
        }
        // Once they stay the same, the rule holds again after a whole window.
        gate.set_config(GateConfig {
            mode: GateMode::Fixed { open_rms: 1, close_rms: 1 },
            window_ms: 80,
            hold_ms: 0,
        }).unwrap();
        (0..6).for_each(|_| { gate.push(&StepLevels::even(FrameDuration::Ms20, 0)); });
        prop_assert!(!gate.is_open());
    }
}

#[test]
fn the_fixed_thresholds_and_the_window_are_those_of_the_original_system() {
    assert_eq!(
        GateMode::ORIGINAL,
        GateMode::Fixed {
            open_rms: 2_000,
            close_rms: 500
        }
    );
    assert_eq!(GateConfig::DEFAULT.window_ms, 200);
}
