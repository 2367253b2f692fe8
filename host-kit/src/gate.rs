//! The flags of the voice gate, and what they mean.

mod threshold;

pub use threshold::{Threshold, rms_to_dbfs};

use crate::console::Problem;
use clap::Args;
use talkspurt_core::{
    audio::gate::{GATE_HOLD_MS_MAX, GATE_WINDOW_MS_MAX, GateConfig, GateMode},
    voice::uplink::PRE_ROLL_DEFAULT_MS,
};

const DEFAULT: GateConfig = GateConfig::DEFAULT;
/// The closing threshold of the original system, as an RMS.
const CLOSE_RMS: u16 = 500;
/// Default distance of the closing threshold below the opening one. With less, a gate flutters.
const HYSTERESIS_DB: f64 = 6.0;

/// The flags of a gate that sends voice and nothing else.
#[derive(Debug, Args)]
#[command(next_help_heading = "Gate")]
pub struct GateFlags {
    /// Sound louder than this opens the gate: RMS 0..32767, or dBFS as in -24dB.
    #[arg(
        long,
        value_name = "LEVEL",
        default_value = "2000",
        allow_hyphen_values = true
    )]
    pub gate_open: Threshold,
    /// The gate closes when the mean of the window falls below this.
    /// [default: 500, or 6 dB below --gate-open where that is lower]
    #[arg(long, value_name = "LEVEL", allow_hyphen_values = true)]
    pub gate_close: Option<Threshold>,
    /// Length of the window whose mean closes the gate: at most 320 ms.
    #[arg(long, value_name = "MS", default_value_t = DEFAULT.window_ms)]
    pub gate_window: u16,
    /// How long the gate stays open after that: at most 1275 ms.
    #[arg(long, value_name = "MS", default_value_t = DEFAULT.hold_ms)]
    pub gate_hold: u16,
    /// How much sound from before the opening is sent first, so that no word loses its onset: at
    /// most 200 ms, on a microcontroller 60.
    #[arg(long, value_name = "MS", default_value_t = PRE_ROLL_DEFAULT_MS as u16)]
    pub pre_roll: u16,
    /// Send every frame, even silent ones.
    #[arg(long)]
    pub no_gate: bool,
}

impl GateFlags {
    /// Checks the flags. `pre_roll_ms_max` is how much of the past the program keeps.
    ///
    /// # Errors
    /// Names the flag that cannot be used.
    pub fn settings(&self, pre_roll_ms_max: u16) -> Result<GateConfig, Problem> {
        let open = self.gate_open;
        let close = self.gate_close.unwrap_or_else(|| {
            let usual = Threshold::from_rms(CLOSE_RMS);
            close_below(open, usual, HYSTERESIS_DB)
        });
        if close > open {
            let problem = format!(
                "{close} lies above --gate-open {open}, so the gate would flutter. Give a lower one"
            );
            return Err(Problem::with_flag("--gate-close", problem));
        }
        for (flag, ms, allowed) in [
            ("--gate-window", self.gate_window, 1..=GATE_WINDOW_MS_MAX),
            ("--gate-hold", self.gate_hold, 0..=GATE_HOLD_MS_MAX),
            ("--pre-roll", self.pre_roll, 0..=pre_roll_ms_max),
        ] {
            if !allowed.contains(&ms) {
                let (least, most) = allowed.into_inner();
                let problem =
                    format!("{ms} is not a number of milliseconds from {least} to {most}");
                return Err(Problem::with_flag(flag, problem));
            }
        }
        let thresholds = GateMode::Fixed {
            open_rms: open.rms,
            close_rms: close.rms,
        };
        Ok(GateConfig {
            mode: if self.no_gate {
                GateMode::Off
            } else {
                thresholds
            },
            window_ms: self.gate_window,
            hold_ms: self.gate_hold,
        })
    }
}

/// Returns the gate with another opening level. It closes at the level of the flags, or lower: as
/// far below the opening level as by default, or as far as the flags have it if that is less.
#[must_use]
pub fn opening_at(gate: &GateConfig, open: Threshold) -> GateConfig {
    let Some((open_before, close)) = thresholds(gate) else {
        return *gate;
    };
    let hysteresis_db = (open_before.dbfs() - close.dbfs()).clamp(0.0, HYSTERESIS_DB);
    GateConfig {
        mode: GateMode::Fixed {
            open_rms: open.rms,
            close_rms: close_below(open, close, hysteresis_db).rms,
        },
        ..*gate
    }
}

/// Returns the levels that open and close the gate; `None` if it is always open.
#[must_use]
pub const fn thresholds(gate: &GateConfig) -> Option<(Threshold, Threshold)> {
    match gate.mode {
        GateMode::Fixed {
            open_rms,
            close_rms,
        } => Some((
            Threshold::from_rms(open_rms),
            Threshold::from_rms(close_rms),
        )),
        _ => None,
    }
}

/// Returns the wanted threshold, or a lower one that is `hysteresis_db` below the opening one.
fn close_below(open: Threshold, wanted: Threshold, hysteresis_db: f64) -> Threshold {
    wanted.min(open.shifted_db(-hysteresis_db)).min(open)
}

#[cfg(test)]
mod tests;
