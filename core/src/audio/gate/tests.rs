//! What opens and closes the gate, case by case.

use super::*;
use crate::audio::format::FrameDuration;
use GateDecision::{Closed, Closing, Open, Opened};

const ORIGINAL: GateConfig = GateConfig {
    mode: GateMode::ORIGINAL,
    ..GateConfig::DEFAULT
};

fn gate(window_ms: u16, hold_ms: u16) -> Gate {
    Gate::new(GateConfig {
        window_ms,
        hold_ms,
        ..ORIGINAL
    })
    .unwrap()
}

fn with(open_rms: u16, close_rms: u16) -> GateConfig {
    GateConfig {
        mode: GateMode::Fixed {
            open_rms,
            close_rms,
        },
        ..ORIGINAL
    }
}

/// Pushes a frame of 20 ms.
fn push(gate: &mut Gate, rms: u16) -> GateDecision {
    gate.push(&StepLevels::even(FrameDuration::Ms20, rms))
}

#[test]
fn every_rms_is_judged_against_the_open_threshold() {
    for rms in 0..=32_767 {
        let expected = if rms > 2_000 { Opened } else { Closed };
        assert_eq!(push(&mut gate(200, 0), rms), expected, "{rms}");
    }
}

#[test]
fn it_closes_when_the_window_is_full_and_quiet() {
    let mut gate = gate(80, 0);
    // It opens at the 4th step, and the window is full at the 19th. The sum is that of 2001,
    // 1732, 1414 and 1000: a mean of 384.
    let decisions = [2_001, 0, 0, 0, 0, 0].map(|rms| push(&mut gate, rms));
    assert_eq!(decisions, [Opened, Open, Open, Open, Closing, Closed]);
    let mut at_step = gate.clone();
    for (rms, frames) in [(2_001, 4), (0, 14)] {
        for _ in 0..frames {
            at_step.push(&StepLevels::even(FrameDuration::Ms5, rms));
        }
    }
    assert!(at_step.is_open());
    let decision = at_step.push(&StepLevels::even(FrameDuration::Ms5, 0));
    assert_eq!(decision, Closing);
}

#[test]
fn at_the_close_threshold_it_stays_open() {
    let mut gate = gate(20, 0);
    let decisions = [2_001, 500, 500, 500, 499].map(|rms| push(&mut gate, rms));
    assert_eq!(decisions, [Opened, Open, Open, Open, Closing]);
}

#[test]
fn the_hold_keeps_it_open_and_a_word_renews_it() {
    let mut gate = gate(5, 40);
    let decisions = [3_000, 0, 600, 0, 0, 0, 0, 0].map(|rms| push(&mut gate, rms));
    // The word has left the level three steps after its end; the gate closes 40 ms and a step
    // later.
    let expected = [Opened, Open, Open, Open, Open, Closing, Closed, Closed];
    assert_eq!(decisions, expected);
}

#[test]
fn a_talkspurt_within_a_frame_takes_two() {
    // It opens at the first step; at the last the level is below both thresholds.
    let mut gate = gate(5, 0);
    assert_eq!(push(&mut gate, 1_300), Closed);
    gate.set_config(GateConfig {
        window_ms: 5,
        hold_ms: 0,
        ..with(1_000, 1_000)
    })
    .unwrap();
    assert_eq!(push(&mut gate, 900), Opened);
    assert!(gate.is_open());
    assert_eq!(push(&mut gate, 900), Closing);
    assert_eq!(push(&mut gate, 900), Closed);
}

/// Pushes so many milliseconds of a level; returns the last decision.
fn hear(gate: &mut Gate, rms: u16, ms: u32) -> GateDecision {
    let decisions = (0..ms / 20).map(|_| push(gate, rms));
    decisions.last().unwrap()
}

fn auto() -> Gate {
    Gate::new(GateConfig::DEFAULT).unwrap()
}

fn levels(gate: &Gate) -> (u16, u16) {
    let levels = gate.levels().unwrap();
    (levels.open_rms, levels.close_rms)
}

#[test]
fn auto_thresholds_follow_the_noise() {
    let mut gate = auto();
    assert_eq!(gate.levels().unwrap().noise_rms, None);
    for (noise, ms, expected) in [
        (100, 3_000, (118, 210, 147)),
        (30, 1_000, (35, 62, 44)),
        (1_000, 4_000, (1_185, 2_106, 1_481)),
    ] {
        hear(&mut gate, noise, ms);
        let levels = gate.levels().unwrap();
        let found = (levels.noise_rms.unwrap(), levels.open_rms, levels.close_rms);
        let near = |a: u16, b: u16| a.abs_diff(b) <= 1 + b / 100;
        assert!(
            near(found.0, expected.0) && near(found.1, expected.1),
            "{found:?}"
        );
        assert!(near(found.2, expected.2), "{found:?}");
    }
    let (open, close) = levels(&gate);
    gate.set_config(GateConfig {
        mode: GateMode::Auto { open_above_db: 11 },
        ..GateConfig::DEFAULT
    })
    .unwrap();
    let moved = levels(&gate);
    assert!(moved.0.abs_diff(2 * open) < open / 50, "6 dB: {moved:?}");
    assert_eq!(moved.1, close);
}

#[test]
fn noise_that_rises_opens_the_gate_for_some_seconds() {
    let mut gate = auto();
    assert_eq!(hear(&mut gate, 100, 5_000), Closed);
    assert_eq!(push(&mut gate, 600), Opened);
    assert_eq!(hear(&mut gate, 600, 1_600), Open);
    assert_eq!(hear(&mut gate, 600, 1_000), Closed);
    // And when it falls, speech at the level that it had is heard.
    assert_eq!(hear(&mut gate, 100, 1_000), Closed);
    assert_eq!(push(&mut gate, 600), Opened);
}

#[test]
fn a_word_that_begins_with_the_session_is_heard() {
    let mut gate = auto();
    // Three frames until the floor means anything: a node has that much pre-roll.
    let decisions = [3_000; 4].map(|rms| push(&mut gate, rms));
    assert_eq!(decisions, [Closed, Closed, Opened, Open]);
}

#[test]
fn a_soft_onset_in_noise_is_part_of_the_voice_and_the_noise_is_not() {
    // The floor of noise of 100 is 118, and 1 dB above it 132.
    for (onset_rms, onset_ms, pre_roll_ms) in [(140, 80, 85), (125, 80, 5), (190, 40, 45)] {
        let mut gate = auto();
        hear(&mut gate, 100, 2_500);
        assert_eq!(hear(&mut gate, onset_rms, onset_ms), GateDecision::Closed);
        assert_eq!(push(&mut gate, 4_000), GateDecision::Opened);
        assert_eq!(gate.pre_roll_ms(), pre_roll_ms, "an onset of {onset_rms}");
    }
}

#[test]
fn auto_thresholds_have_bounds() {
    let mut silent = auto();
    hear(&mut silent, 0, 3_000);
    assert_eq!(levels(&silent), (15, 11));
    assert_eq!(hear(&mut silent, 9, 3_000), Closed, "a silent frame");
    let mut noisy = auto();
    hear(&mut noisy, 30_000, 3_000);
    let (open, close) = levels(&noisy);
    assert!((3_500..3_600).contains(&open) && (2_450..2_550).contains(&close));
}

#[test]
fn what_is_heard_while_muted_is_part_of_the_noise() {
    let mut gate = auto();
    let noise = StepLevels::even(FrameDuration::Ms20, 500);
    (0..200).for_each(|_| gate.listen(&noise));
    assert_eq!(push(&mut gate, 500), Closed);
    assert_eq!(gate.levels().unwrap().noise_rms, Some(592));
}

#[test]
fn off_it_is_always_open() {
    let mut gate = Gate::new(GateConfig {
        mode: GateMode::Off,
        ..ORIGINAL
    })
    .unwrap();
    assert_eq!(push(&mut gate, 0), Opened);
    assert!((0..100).all(|_| push(&mut gate, 0) == Open));
}

#[test]
fn closed_from_outside_it_forgets_what_was_loud() {
    let mut gate = gate(200, 0);
    assert_eq!(push(&mut gate, 20_000), Opened);
    gate.close();
    let step = StepLevels::even(FrameDuration::Ms5, 100);
    assert_eq!(gate.push(&step), Closed);
}

#[test]
fn bad_configurations_are_refused() {
    let refused = |config: GateConfig| Gate::new(config).err();
    let open = with(32_769, 0);
    assert_eq!(refused(open), Some(GateConfigError::OpenAboveFullScale));
    for open_above_db in [1, 41] {
        let auto = GateConfig {
            mode: GateMode::Auto { open_above_db },
            ..ORIGINAL
        };
        assert_eq!(refused(auto), Some(GateConfigError::MarginOutOfRange));
    }
    let close = with(2_000, 2_001);
    assert_eq!(refused(close), Some(GateConfigError::CloseAboveOpen));
    for window_ms in [0, 321] {
        let window = GateConfig {
            window_ms,
            ..ORIGINAL
        };
        assert_eq!(refused(window), Some(GateConfigError::WindowOutOfRange));
    }
    let hold = GateConfig {
        hold_ms: 1_276,
        ..ORIGINAL
    };
    assert_eq!(refused(hold), Some(GateConfigError::HoldTooLong));
}

#[test]
fn the_ends_of_the_ranges_are_allowed() {
    for (open_rms, close_rms) in [(32_768, 32_768), (32_768, 0), (0, 0)] {
        let config = with(open_rms, close_rms);
        assert_eq!(config.check(), Ok(()), "{open_rms} {close_rms}");
    }
    for (window_ms, hold_ms) in [(1, 0), (320, 1_275)] {
        let config = GateConfig {
            window_ms,
            hold_ms,
            ..ORIGINAL
        };
        assert_eq!(config.check(), Ok(()), "{window_ms} {hold_ms}");
    }
    // At full scale nothing is louder.
    let mut deaf = Gate::new(with(32_768, 500)).unwrap();
    assert_eq!(push(&mut deaf, 32_768), Closed);
}

#[test]
fn a_shorter_window_forgets_at_once() {
    let mut gate = gate(200, 0);
    for rms in [3_000, 3_000, 0, 0] {
        push(&mut gate, rms);
    }
    gate.set_config(GateConfig {
        window_ms: 40,
        ..*gate.config()
    })
    .unwrap();
    assert_eq!(push(&mut gate, 0), Closing);
}
