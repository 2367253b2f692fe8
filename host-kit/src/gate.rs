//! The flags of the voice gate, and what they mean.

mod threshold;

pub use threshold::{Threshold, rms_to_dbfs};

use crate::console::Problem;
use clap::Args;
use talkspurt_core::{
    audio::format::FrameDuration,
    audio::gate::{GATE_WINDOW_FRAMES_MAX, GateConfig, GateSettings},
    voice::uplink::PRE_ROLL_DEFAULT_MS,
};

const DEFAULT: GateConfig = GateConfig::default_for(FrameDuration::Ms20);
/// Default distance of the closing threshold below the opening one. With less, a gate flutters.
const HYSTERESIS_DB: f64 = 6.0;

/// The flags of a gate that sends voice and nothing else.
#[derive(Debug, Args)]
#[command(next_help_heading = "Gate")]
pub struct GateFlags {
    /// A frame louder than this opens the gate: RMS 0..32767, or dBFS as in -24dB.
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
    /// Number of frames in the window whose mean closes the gate.
    #[arg(long, value_name = "FRAMES", default_value_t = DEFAULT.window_frames.into())]
    pub gate_window: u16,
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
    pub fn settings(&self, pre_roll_ms_max: u16) -> Result<GateSettings, Problem> {
        let open = self.gate_open;
        let close = self.gate_close.unwrap_or_else(|| {
            let usual = Threshold::from_rms(DEFAULT.close_rms);
            close_below(open, usual, HYSTERESIS_DB)
        });
        if close > open {
            let problem = format!(
                "{close} lies above --gate-open {open}, so the gate would flutter. Give a lower one"
            );
            return Err(Problem::with_flag("--gate-close", problem));
        }
        let window_frames = u8::try_from(self.gate_window)
            .ok()
            .filter(|frames| (1..=GATE_WINDOW_FRAMES_MAX).contains(&usize::from(*frames)))
            .ok_or_else(|| {
                let problem = format!(
                    "{} is not a number of frames from 1 to {GATE_WINDOW_FRAMES_MAX}",
                    self.gate_window
                );
                Problem::with_flag("--gate-window", problem)
            })?;
        if self.pre_roll > pre_roll_ms_max {
            let problem = format!(
                "{} ms is too long; at most {pre_roll_ms_max}",
                self.pre_roll
            );
            return Err(Problem::with_flag("--pre-roll", problem));
        }
        Ok(GateSettings {
            open_rms: open.rms,
            close_rms: close.rms,
            window_frames,
            enabled: !self.no_gate,
            ..GateSettings::default()
        })
    }
}

/// Returns the gate with another opening level. It closes at the level of the flags, or lower: as
/// far below the opening level as by default, or as far as the flags have it if that is less.
#[must_use]
pub fn opening_at(gate: &GateSettings, open: Threshold) -> GateSettings {
    let close = Threshold::from_rms(gate.close_rms);
    let apart_db = Threshold::from_rms(gate.open_rms).dbfs() - close.dbfs();
    let hysteresis_db = apart_db.clamp(0.0, HYSTERESIS_DB);
    GateSettings {
        open_rms: open.rms,
        close_rms: close_below(open, close, hysteresis_db).rms,
        ..*gate
    }
}

/// Returns the wanted threshold, or a lower one that is `hysteresis_db` below the opening one.
fn close_below(open: Threshold, wanted: Threshold, hysteresis_db: f64) -> Threshold {
    wanted.min(open.shifted_db(-hysteresis_db)).min(open)
}

#[cfg(test)]
mod tests;
