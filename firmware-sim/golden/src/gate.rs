//! The gate's decisions: on words, and on levels around the thresholds.

use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::audio::gate::{Gate, GateConfig, GateDecision};
use talkspurt_core::audio::level::rms;

use crate::Out;
use crate::sound::{Numbers, words};

pub fn run(out: &mut Out<'_>) {
    let default = GateConfig::default_for(FrameDuration::Ms20);
    let short = GateConfig {
        window_frames: 1,
        hold_frames: 0,
        ..default
    };
    let long = GateConfig {
        window_frames: 64,
        hold_frames: 10,
        close_rms: 1_500,
        ..default
    };
    let open = GateConfig {
        enabled: false,
        ..default
    };
    for config in [default, short, long, open] {
        let Ok(mut gate) = Gate::new(config) else {
            return out(b"refused");
        };
        let mut frame = [0; 320];
        for number in 0..100 {
            words(number, &mut frame);
            out(&[code(gate.push(rms(&frame)))]);
        }
        let mut levels = Numbers::new(7);
        for step in 0..300 {
            let top = if step / 50 % 2 == 0 { 900 } else { 2_500 };
            out(&[code(gate.push(levels.below(top) as u16))]);
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
