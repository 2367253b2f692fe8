//! The gate against its rule, written as plainly as the documentation states it.

use crate::common::cases::cases;
use proptest::collection::vec;
use proptest::prelude::*;
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::audio::gate::{GATE_WINDOW_FRAMES_MAX, Gate, GateConfig, GateDecision};

/// The rule. A closed gate opens at a frame above the open threshold. An open gate looks at the
/// mean of the last `window` frames, once there are that many. The mean must stay below the close
/// threshold for `hold` frames, and one more closes the gate.
struct Naive {
    config: GateConfig,
    since_opening: Option<Vec<u16>>,
    quiet_in_a_row: usize,
}

impl Naive {
    fn push(&mut self, rms: u16) -> GateDecision {
        let Some(levels) = &mut self.since_opening else {
            if self.config.enabled && rms <= self.config.open_rms {
                return GateDecision::Closed;
            }
            self.since_opening = Some(vec![rms]);
            self.quiet_in_a_row = 0;
            return GateDecision::Opened;
        };
        levels.push(rms);
        let window = usize::from(self.config.window_frames);
        let mean_times_window: u32 = levels
            .iter()
            .rev()
            .take(window)
            .map(|&rms| u32::from(rms))
            .sum();
        let below = mean_times_window < u32::from(self.config.close_rms) * window as u32;
        if self.config.enabled && levels.len() >= window && below {
            self.quiet_in_a_row += 1;
        } else {
            self.quiet_in_a_row = 0;
        }
        if self.quiet_in_a_row > usize::from(self.config.hold_frames) {
            self.since_opening = None;
            return GateDecision::Closing;
        }
        GateDecision::Open
    }
}

fn config() -> impl Strategy<Value = GateConfig> {
    (
        0..=3_000u16,
        0..=3_000u16,
        1..=GATE_WINDOW_FRAMES_MAX as u8,
        0..20u8,
        prop::bool::weighted(0.9),
    )
        .prop_map(|(a, b, window_frames, hold_frames, enabled)| GateConfig {
            open_rms: a.max(b),
            close_rms: a.min(b),
            window_frames,
            hold_frames,
            enabled,
        })
}

/// Levels in runs, as speech has them: loud for a while, quiet for a while.
fn levels() -> impl Strategy<Value = Vec<u16>> {
    let run = (
        prop_oneof![0..300u16, 0..4_000u16, 0..=32_768u16],
        1..30usize,
    );
    vec(run, 1..30).prop_map(|runs| {
        runs.into_iter()
            .flat_map(|(level, frames)| std::iter::repeat_n(level, frames))
            .collect()
    })
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn the_gate_follows_its_rule(
        config in config(),
        levels in levels(),
        closed_at in proptest::option::of(0..400usize),
    ) {
        let mut gate = Gate::new(config).unwrap();
        let mut naive = Naive { config, since_opening: None, quiet_in_a_row: 0 };
        for (i, rms) in levels.into_iter().enumerate() {
            if closed_at == Some(i) {
                gate.close();
                naive.since_opening = None;
            }
            prop_assert_eq!(gate.push(rms), naive.push(rms), "frame {}", i);
            prop_assert_eq!(gate.is_open(), naive.since_opening.is_some());
        }
    }

    #[test]
    fn decisions_alternate_between_open_and_closed(config in config(), levels in levels()) {
        let mut gate = Gate::new(config).unwrap();
        let mut open = false;
        for rms in levels {
            match gate.push(rms) {
                GateDecision::Closed => prop_assert!(!open),
                GateDecision::Opened => { prop_assert!(!open); open = true; }
                GateDecision::Open => prop_assert!(open),
                GateDecision::Closing => { prop_assert!(open); open = false; }
            }
        }
    }

    #[test]
    fn thresholds_may_change_at_any_time(configs in vec(config(), 1..10), levels in levels()) {
        let mut gate = Gate::new(configs[0]).unwrap();
        for (i, rms) in levels.into_iter().enumerate() {
            gate.set_config(configs[i % configs.len()]).unwrap();
            gate.push(rms);
        }
        // Once they stay the same, the rule holds again after a whole window.
        let config = GateConfig {
            enabled: true,
            hold_frames: 0,
            close_rms: 1,
            open_rms: 1,
            window_frames: 4,
        };
        gate.set_config(config).unwrap();
        (0..4).for_each(|_| { gate.push(0); });
        prop_assert!(!gate.is_open());
    }
}

#[test]
fn the_defaults_are_those_of_the_original_system() {
    let config = GateConfig::default_for(FrameDuration::Ms20);
    assert_eq!(
        (config.open_rms, config.close_rms, config.window_frames),
        (2_000, 500, 10)
    );
}
