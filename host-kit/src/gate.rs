//! The flags of the voice gate, and what they mean.

mod threshold;

pub use threshold::{Threshold, rms_to_dbfs};

use crate::console::Problem;
use clap::{Args, ValueEnum};
use talkspurt_core::audio::gate::{
    GATE_HOLD_MS_MAX, GATE_OPEN_ABOVE_DB, GATE_OPEN_ABOVE_DB_RANGE, GATE_WINDOW_MS_MAX, GateConfig,
    GateMode,
};

const DEFAULT: GateConfig = GateConfig::DEFAULT;
/// The thresholds of the original system, as RMS.
const OPEN_RMS: u16 = 2_000;
const CLOSE_RMS: u16 = 500;
/// Default distance of the closing threshold below the opening one. With less, a gate flutters.
const HYSTERESIS_DB: f64 = 6.0;

/// What the gate's thresholds do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Thresholds {
    /// They follow the noise of the room.
    Auto,
    /// They stay at --gate-open and --gate-close.
    Fixed,
}

/// The flags of a gate that sends voice and nothing else.
#[derive(Debug, Args)]
#[command(next_help_heading = "Gate")]
pub struct GateFlags {
    /// What the gate's thresholds do. [default: auto, or fixed with --gate-open or --gate-close]
    #[arg(long, value_name = "MODE")]
    pub gate: Option<Thresholds>,
    /// How far above the noise sound opens the gate in mode auto, in decibels: 2 to 40.
    /// [default: 5]
    #[arg(long, value_name = "DB")]
    pub gate_margin: Option<u8>,
    /// Sound louder than this opens the gate in mode fixed: RMS 0..32767, or dBFS as in -24dB.
    /// [default: 2000]
    #[arg(long, value_name = "LEVEL", allow_hyphen_values = true)]
    pub gate_open: Option<Threshold>,
    /// The gate closes when the mean of the window falls below this, in mode fixed.
    /// [default: 500, or 6 dB below --gate-open where that is lower]
    #[arg(long, value_name = "LEVEL", allow_hyphen_values = true)]
    pub gate_close: Option<Threshold>,
    /// Length of the window whose mean closes the gate: at most 320 ms.
    #[arg(long, value_name = "MS", default_value_t = DEFAULT.window_ms)]
    pub gate_window: u16,
    /// How long the gate stays open after that: at most 1275 ms.
    #[arg(long, value_name = "MS", default_value_t = DEFAULT.hold_ms)]
    pub gate_hold: u16,
    /// How much sound from before the opening is sent first at most, so that no word loses its
    /// onset: what is quieter than the closing threshold is not. [default: 200 ms, which is the
    /// most; on a microcontroller 60]
    #[arg(long, value_name = "MS")]
    pub pre_roll: Option<u16>,
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
        let mode = self.mode()?;
        for (flag, ms, allowed) in [
            ("--gate-window", self.gate_window, 1..=GATE_WINDOW_MS_MAX),
            ("--gate-hold", self.gate_hold, 0..=GATE_HOLD_MS_MAX),
            (
                "--pre-roll",
                self.pre_roll_ms(pre_roll_ms_max),
                0..=pre_roll_ms_max,
            ),
        ] {
            if !allowed.contains(&ms) {
                let (least, most) = allowed.into_inner();
                let problem =
                    format!("{ms} is not a number of milliseconds from {least} to {most}");
                return Err(Problem::with_flag(flag, problem));
            }
        }
        Ok(GateConfig {
            mode: if self.no_gate { GateMode::Off } else { mode },
            window_ms: self.gate_window,
            hold_ms: self.gate_hold,
        })
    }

    /// Returns the longest pre-roll. Unless a shorter one is wanted, it is what the program keeps.
    #[must_use]
    pub fn pre_roll_ms(&self, pre_roll_ms_max: u16) -> u16 {
        self.pre_roll.unwrap_or(pre_roll_ms_max)
    }

    fn mode(&self) -> Result<GateMode, Problem> {
        let has_level = self.gate_open.is_some() || self.gate_close.is_some();
        let usual = if has_level {
            Thresholds::Fixed
        } else {
            Thresholds::Auto
        };
        match self.gate.unwrap_or(usual) {
            Thresholds::Auto if has_level => {
                let problem =
                    "`auto` goes by no level: --gate-open and --gate-close are for `fixed`";
                Err(Problem::with_flag("--gate", problem))
            }
            Thresholds::Auto => {
                let open_above_db = self.gate_margin.unwrap_or(GATE_OPEN_ABOVE_DB);
                if !GATE_OPEN_ABOVE_DB_RANGE.contains(&open_above_db) {
                    let problem =
                        format!("{open_above_db} is not a number of decibels from 2 to 40");
                    return Err(Problem::with_flag("--gate-margin", problem));
                }
                Ok(GateMode::Auto { open_above_db })
            }
            Thresholds::Fixed if self.gate_margin.is_some() => {
                let problem = "a margin above the noise is for --gate auto";
                Err(Problem::with_flag("--gate-margin", problem))
            }
            Thresholds::Fixed => self.fixed(),
        }
    }

    fn fixed(&self) -> Result<GateMode, Problem> {
        let open = self.gate_open.unwrap_or(Threshold::from_rms(OPEN_RMS));
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
        Ok(GateMode::Fixed {
            open_rms: open.rms,
            close_rms: close.rms,
        })
    }
}

/// Returns the gate of the flags, with what opens it moved by `db` from where it is `now`: the
/// margin above the noise in whole decibels, or the level.
#[must_use]
pub fn shifted(of_flags: &GateConfig, now: &GateConfig, db: f64) -> GateConfig {
    match now.mode {
        GateMode::Auto { open_above_db } => {
            let (least, most) = GATE_OPEN_ABOVE_DB_RANGE.into_inner();
            let wanted_db = (f64::from(open_above_db) + db).round();
            let open_above_db = wanted_db.clamp(least.into(), most.into()) as u8;
            GateConfig {
                mode: GateMode::Auto { open_above_db },
                ..*of_flags
            }
        }
        GateMode::Fixed { open_rms, .. } => {
            opening_at(of_flags, Threshold::from_rms(open_rms).shifted_db(db))
        }
        _ => *now,
    }
}

/// Returns the gate with another opening level. It closes at the level of the flags, or lower: as
/// far below the opening level as by default, or as far as the flags have it if that is less.
fn opening_at(gate: &GateConfig, open: Threshold) -> GateConfig {
    let GateMode::Fixed {
        open_rms,
        close_rms,
    } = gate.mode
    else {
        return *gate;
    };
    let (open_before, close) = (
        Threshold::from_rms(open_rms),
        Threshold::from_rms(close_rms),
    );
    let hysteresis_db = (open_before.dbfs() - close.dbfs()).clamp(0.0, HYSTERESIS_DB);
    GateConfig {
        mode: GateMode::Fixed {
            open_rms: open.rms,
            close_rms: close_below(open, close, hysteresis_db).rms,
        },
        ..*gate
    }
}

/// Returns the wanted threshold, or a lower one that is `hysteresis_db` below the opening one.
fn close_below(open: Threshold, wanted: Threshold, hysteresis_db: f64) -> Threshold {
    wanted.min(open.shifted_db(-hysteresis_db)).min(open)
}

#[cfg(test)]
mod tests;
