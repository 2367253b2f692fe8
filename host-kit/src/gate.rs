//! The flags of the voice gate, and what they mean.

mod threshold;

pub use threshold::{Threshold, rms_to_dbfs};

use crate::environment::FlagError;
use clap::Args;
use talkspurt_core::{
    audio::format::FrameDuration,
    audio::gate::{GATE_WINDOW_FRAMES_MAX, GateConfig, GateSettings},
    voice::uplink::PRE_ROLL_DEFAULT_MS,
};

const DEFAULT: GateConfig = GateConfig::default_for(FrameDuration::Ms20);
/// A gate that closes less far below the level that opens it flutters, unless somebody wants that.
const HYSTERESIS_DB: f64 = 6.0;

/// The flags of a gate that sends voice and nothing else, as typed.
#[derive(Debug, Args)]
pub struct GateFlags {
    /// A frame louder than this opens the gate: RMS 0..32767, or dBFS as in -24dB.
    #[arg(
        long,
        value_name = "LEVEL",
        default_value_t = DEFAULT.open_rms.to_string(),
        allow_hyphen_values = true,
        help_heading = "Gate"
    )]
    pub gate_open: String,
    /// The gate closes when the mean of the window falls below this.
    /// [default: 500, or 6 dB below --gate-open where that is lower]
    #[arg(
        long,
        value_name = "LEVEL",
        allow_hyphen_values = true,
        help_heading = "Gate"
    )]
    pub gate_close: Option<String>,
    /// How many frames the mean that closes the gate is taken over.
    #[arg(
        long,
        value_name = "FRAMES",
        default_value_t = DEFAULT.window_frames.into(),
        help_heading = "Gate"
    )]
    pub gate_window: u16,
    /// How much from before the opening is sent first, so that no word loses its onset.
    #[arg(
        long,
        value_name = "MS",
        default_value_t = PRE_ROLL_DEFAULT_MS as u16,
        help_heading = "Gate"
    )]
    pub pre_roll: u16,
    /// Send every frame, silent ones too.
    #[arg(long, help_heading = "Gate")]
    pub no_gate: bool,
}

impl GateFlags {
    /// Checks the flags; `pre_roll_ms_max` is what the program keeps of the past.
    ///
    /// # Errors
    /// The flag that cannot be used.
    pub fn settings(&self, pre_roll_ms_max: u16) -> Result<GateSettings, FlagError> {
        let level = |flag, text: &str| {
            text.parse::<Threshold>()
                .map_err(|problem| FlagError::new(flag, problem))
        };
        let open = level("--gate-open", &self.gate_open)?;
        let close = match &self.gate_close {
            Some(close) => level("--gate-close", close)?,
            None => {
                let usual = Threshold::from_rms(DEFAULT.close_rms);
                close_below(open, usual, HYSTERESIS_DB)
            }
        };
        if close > open {
            let problem = format!(
                "the gate cannot work like that: {close} lies above --gate-open {open}, \
                 and it would flutter. Give a lower one"
            );
            return Err(FlagError::new("--gate-close", problem));
        }
        let window_frames = u8::try_from(self.gate_window)
            .ok()
            .filter(|frames| (1..=GATE_WINDOW_FRAMES_MAX).contains(&usize::from(*frames)))
            .ok_or_else(|| {
                let problem = format!(
                    "{} is not a number of frames from 1 to {GATE_WINDOW_FRAMES_MAX}",
                    self.gate_window
                );
                FlagError::new("--gate-window", problem)
            })?;
        if self.pre_roll > pre_roll_ms_max {
            let problem = format!(
                "{} ms is too long; at most {pre_roll_ms_max}",
                self.pre_roll
            );
            return Err(FlagError::new("--pre-roll", problem));
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

/// Returns the gate, but opening at another level. What closes it is what the flags say, and as far
/// below as by default, or as the flags have it if that is less.
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

/// Returns the wanted threshold, or a lower one, so far below the one that opens.
fn close_below(open: Threshold, wanted: Threshold, hysteresis_db: f64) -> Threshold {
    wanted.min(open.shifted_db(-hysteresis_db)).min(open)
}

#[cfg(test)]
mod tests;
