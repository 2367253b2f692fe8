//! What a gate is told: what opens and closes it, and how long it takes.

use core::ops::RangeInclusive;

use crate::audio::level::STEP_MS;

/// The longest window, in milliseconds.
pub const GATE_WINDOW_MS_MAX: u16 = 320;

/// The longest hold, in milliseconds.
pub const GATE_HOLD_MS_MAX: u16 = 1_275;

/// How far above the noise floor a level opens the gate, in decibels, unless it is told otherwise.
/// 20 ms of pink noise exceed the floor by 3 dB now and then; speech at 10 dB above the noise must
/// open it.
pub const GATE_OPEN_ABOVE_DB: u8 = 5;

/// The margins that a gate can have, in decibels. The close threshold is 2 dB above the floor, so
/// that the mean of a window of noise is below it.
pub const GATE_OPEN_ABOVE_DB_RANGE: RangeInclusive<u8> = 2..=40;

/// What opens and closes the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum GateMode {
    /// Nothing: it is always open.
    Off,
    /// Thresholds that follow the noise floor.
    Auto {
        /// A level so many decibels above the floor opens the gate:
        /// one of [`GATE_OPEN_ABOVE_DB_RANGE`].
        open_above_db: u8,
    },
    /// Thresholds that stay where they are. 2000 (-24.3 dBFS) and 500 (-36.3 dBFS) are the original
    /// system's.
    Fixed {
        /// A level above this RMS opens the gate: 0..=32768.
        open_rms: u16,
        /// The gate closes when the mean RMS of the window falls below this. At most `open_rms`.
        close_rms: u16,
    },
}

impl GateMode {
    /// Thresholds that follow the noise floor at the default margin.
    pub const AUTO: Self = Self::Auto {
        open_above_db: GATE_OPEN_ABOVE_DB,
    };

    /// The original system's thresholds.
    pub const ORIGINAL: Self = Self::Fixed {
        open_rms: 2_000,
        close_rms: 500,
    };
}

/// The gate's thresholds and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct GateConfig {
    /// What opens and closes it.
    pub mode: GateMode,
    /// How long the levels are averaged for closing, in milliseconds:
    /// 1..=[`GATE_WINDOW_MS_MAX`], in whole steps of 5 ms, rounded up. 200 is the original's.
    pub window_ms: u16,
    /// How long the gate stays open after the mean has fallen below the close threshold, in
    /// milliseconds: at most [`GATE_HOLD_MS_MAX`], in whole steps of 5 ms, rounded up.
    pub hold_ms: u16,
}

impl GateConfig {
    /// Thresholds that follow the room, the original system's window, and a hold of 100 ms, so that
    /// a soft word ending is not cut at the window's edge.
    pub const DEFAULT: Self = Self {
        mode: GateMode::AUTO,
        window_ms: 200,
        hold_ms: 100,
    };

    /// Checks whether a gate can run with these values.
    ///
    /// # Errors
    /// Says which value does not fit.
    pub const fn check(&self) -> Result<(), GateConfigError> {
        match self.mode {
            GateMode::Fixed { open_rms, .. } if open_rms > 32_768 => {
                return Err(GateConfigError::OpenAboveFullScale);
            }
            GateMode::Fixed {
                open_rms,
                close_rms,
            } if close_rms > open_rms => return Err(GateConfigError::CloseAboveOpen),
            GateMode::Auto { open_above_db }
                if open_above_db < *GATE_OPEN_ABOVE_DB_RANGE.start()
                    || open_above_db > *GATE_OPEN_ABOVE_DB_RANGE.end() =>
            {
                return Err(GateConfigError::MarginOutOfRange);
            }
            _ => {}
        }
        if self.window_ms == 0 || self.window_ms > GATE_WINDOW_MS_MAX {
            return Err(GateConfigError::WindowOutOfRange);
        }
        if self.hold_ms > GATE_HOLD_MS_MAX {
            return Err(GateConfigError::HoldTooLong);
        }
        Ok(())
    }

    pub(super) const fn window_steps(&self) -> u16 {
        self.window_ms.div_ceil(STEP_MS)
    }

    pub(super) const fn hold_steps(&self) -> u16 {
        self.hold_ms.div_ceil(STEP_MS)
    }
}

impl Default for GateConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why a gate cannot run with a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum GateConfigError {
    /// The open threshold is above 32768.
    OpenAboveFullScale,
    /// The close threshold is above the open threshold: the gate would flutter.
    CloseAboveOpen,
    /// The margin above the noise floor is not 2..=40 dB.
    MarginOutOfRange,
    /// The window is not 1..=320 ms long.
    WindowOutOfRange,
    /// The hold is longer than 1275 ms.
    HoldTooLong,
}

impl core::fmt::Display for GateConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::OpenAboveFullScale => write!(f, "the open threshold is above 32768"),
            Self::CloseAboveOpen => write!(f, "the close threshold is above the open threshold"),
            Self::MarginOutOfRange => write!(f, "the margin above the noise is not 2 to 40 dB"),
            Self::WindowOutOfRange => {
                write!(f, "the window is not 1 to {GATE_WINDOW_MS_MAX} ms long")
            }
            Self::HoldTooLong => write!(f, "the hold is longer than {GATE_HOLD_MS_MAX} ms"),
        }
    }
}

impl core::error::Error for GateConfigError {}

/// The square of what a mode has for the open threshold relative to the floor's, in 256ths. A
/// decibel is a factor of 1.2589, here 1289 / 1024.
pub(super) const fn open_above_q8(mode: GateMode) -> u32 {
    let GateMode::Auto { open_above_db } = mode else {
        return 0;
    };
    let (mut factor_q8, mut db) = (1 << 8, 0);
    while db < open_above_db {
        factor_q8 = (factor_q8 * 1_289 + (1 << 9)) >> 10;
        db += 1;
    }
    factor_q8
}
