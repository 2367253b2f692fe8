//! The gate's decisions: on words, and on levels around the thresholds.

use talkspurt_core::audio::format::{FrameDuration, SampleRate};
use talkspurt_core::audio::gate::{Gate, GateConfig, GateDecision, GateMode};
use talkspurt_core::audio::level::{LevelMeter, StepLevels};

use crate::Out;
use crate::sound::{Numbers, words};

pub fn run(out: &mut Out<'_>) {
    let original = GateConfig {
        mode: GateMode::ORIGINAL,
        ..GateConfig::DEFAULT
    };
    let short = GateConfig {
        window_ms: 20,
        hold_ms: 0,
        ..original
    };
    let long = GateConfig {
        mode: GateMode::Fixed {
            open_rms: 2_000,
            close_rms: 1_500,
        },
        window_ms: 320,
        hold_ms: 200,
    };
    let open = GateConfig {
        mode: GateMode::Off,
        ..original
    };
    for config in [original, short, long, open] {
        let Ok(mut gate) = Gate::new(config) else {
            return out(b"refused");
        };
        let mut meter = LevelMeter::new(SampleRate::Hz16000);
        let mut frame = [0; 320];
        for number in 0..100 {
            words(number, &mut frame);
            out(&[code(gate.push(&meter.measure(&frame)))]);
        }
        let mut levels = Numbers::new(7);
        for step in 0..300 {
            let top = if step / 50 % 2 == 0 { 900 } else { 2_500 };
            let rms = levels.below(top) as u16;
            out(&[code(gate.push(&StepLevels::even(FrameDuration::Ms5, rms)))]);
        }
    }
}

/// Returns a number for a decision, used only in this file.
pub const fn code(decision: GateDecision) -> u8 {
    match decision {
        GateDecision::Closed => 0,
        GateDecision::Opened => 1,
        GateDecision::Open => 2,
        GateDecision::Closing => 3,
    }
}
