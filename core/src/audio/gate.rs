//! The voice-activity gate. It sees levels only; who sends what because of it is the uplink's
//! business.
//!
//! It runs in steps of 5 ms, whatever the frame duration: each step, it judges the RMS of the last
//! 20 ms. So the same sound opens and closes it at the same times in frames of 5, 10 and 20 ms.

use heapless::Deque;

use crate::audio::level::{STEP_MS, StepLevels, root};

/// The longest window, in milliseconds.
pub const GATE_WINDOW_MS_MAX: u16 = 320;

/// The longest hold, in milliseconds.
pub const GATE_HOLD_MS_MAX: u16 = 1_275;

/// Steps in the longest window.
const WINDOW_STEPS_MAX: usize = (GATE_WINDOW_MS_MAX / STEP_MS) as usize;

/// Steps whose mean power is a level: the original's frame of 20 ms.
const LEVEL_STEPS: usize = 4;

/// What opens and closes the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum GateMode {
    /// Nothing: it is always open.
    Off,
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
    /// The original system's thresholds and window, and a hold of 100 ms, so that a soft word
    /// ending is not cut at the window's edge.
    pub const DEFAULT: Self = Self {
        mode: GateMode::ORIGINAL,
        window_ms: 200,
        hold_ms: 100,
    };

    /// Checks whether a gate can run with these values.
    ///
    /// # Errors
    /// Says which value does not fit.
    pub const fn check(&self) -> Result<(), GateConfigError> {
        if let GateMode::Fixed {
            open_rms,
            close_rms,
        } = self.mode
        {
            if open_rms > 32_768 {
                return Err(GateConfigError::OpenAboveFullScale);
            }
            if close_rms > open_rms {
                return Err(GateConfigError::CloseAboveOpen);
            }
        }
        if self.window_ms == 0 || self.window_ms > GATE_WINDOW_MS_MAX {
            return Err(GateConfigError::WindowOutOfRange);
        }
        if self.hold_ms > GATE_HOLD_MS_MAX {
            return Err(GateConfigError::HoldTooLong);
        }
        Ok(())
    }

    const fn window_steps(&self) -> u16 {
        self.window_ms.div_ceil(STEP_MS)
    }

    const fn hold_steps(&self) -> u16 {
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
            Self::WindowOutOfRange => {
                write!(f, "the window is not 1 to {GATE_WINDOW_MS_MAX} ms long")
            }
            Self::HoldTooLong => write!(f, "the hold is longer than {GATE_HOLD_MS_MAX} ms"),
        }
    }
}

impl core::error::Error for GateConfigError {}

/// What to do with the frame whose levels were just pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum GateDecision {
    /// Keep it back.
    Closed,
    /// The first of a talkspurt: send the pre-roll, then it.
    Opened,
    /// Send it.
    Open,
    /// The last of a talkspurt: send it with a terminator.
    Closing,
}

/// The gate: opens when 20 ms are loud, closes when a whole window has been quiet, and then a hold
/// has passed.
#[derive(Clone, Debug)]
pub struct Gate {
    config: GateConfig,
    /// The mean squares of the latest steps, in a ring, and their sum.
    recent: [u32; LEVEL_STEPS],
    recent_sum: u32,
    oldest: u8,
    /// The RMS at the latest steps since it opened, oldest first; empty while closed.
    window: Deque<u16, WINDOW_STEPS_MAX>,
    window_sum: u32,
    held_steps: u16,
    /// Whether it is open after the latest step.
    is_open: bool,
    /// Whether a talkspurt of frames is running. It may end a frame later than the steps.
    is_talking: bool,
}

/// How it stands, without each level of its window.
#[cfg(feature = "defmt")]
impl defmt::Format for Gate {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "Gate {{ open: {}, window_steps: {}, held_steps: {}, config: {} }}",
            self.is_talking,
            self.window.len(),
            self.held_steps,
            self.config
        )
    }
}

impl Gate {
    /// A closed gate.
    ///
    /// # Errors
    /// As [`GateConfig::check`].
    pub fn new(config: GateConfig) -> Result<Self, GateConfigError> {
        config.check()?;
        Ok(Self::checked(config))
    }

    /// A closed gate, from a configuration that was found good.
    pub(crate) const fn checked(config: GateConfig) -> Self {
        Self {
            config,
            recent: [0; LEVEL_STEPS],
            recent_sum: 0,
            oldest: 0,
            window: Deque::new(),
            window_sum: 0,
            held_steps: 0,
            is_open: false,
            is_talking: false,
        }
    }

    /// Decides on a frame by the levels of its steps. A frame is sent if the gate is open at any of
    /// them, and is the last if it is closed at the end. A talkspurt has two frames at least, so
    /// one that begins and ends within a frame goes on for another.
    #[inline(never)]
    pub fn push(&mut self, levels: &StepLevels) -> GateDecision {
        let mut opens = false;
        for &mean_square in levels.mean_squares() {
            let level = self.level(mean_square);
            self.step(level);
            opens |= self.is_open;
        }
        let goes_on = match self.is_talking {
            true => self.is_open,
            false => opens,
        };
        let decision = match (self.is_talking, goes_on) {
            (false, false) => GateDecision::Closed,
            (false, true) => GateDecision::Opened,
            (true, true) => GateDecision::Open,
            (true, false) => GateDecision::Closing,
        };
        self.is_talking = goes_on;
        decision
    }

    /// Whether a talkspurt is running.
    pub const fn is_open(&self) -> bool {
        self.is_talking
    }

    /// Opens it at once, whatever the level: for voice that was judged elsewhere.
    pub const fn open(&mut self) {
        self.is_open = true;
        self.is_talking = true;
    }

    /// Closes it at once, as when the microphone is muted. What was loud before opens it no more.
    pub fn close(&mut self) {
        self.is_talking = false;
        self.recent = [0; LEVEL_STEPS];
        self.recent_sum = 0;
        self.close_step();
    }

    /// Its configuration.
    pub const fn config(&self) -> &GateConfig {
        &self.config
    }

    /// Changes thresholds and times; a running talkspurt goes on under the new ones.
    ///
    /// # Errors
    /// As [`GateConfig::check`]; nothing is changed then.
    pub fn set_config(&mut self, config: GateConfig) -> Result<(), GateConfigError> {
        config.check()?;
        self.config = config;
        while self.window.len() > usize::from(config.window_steps()) {
            self.forget_oldest();
        }
        Ok(())
    }

    /// Takes the mean square of a step. Returns that of the last 20 ms; what was before the first
    /// step counts as silence.
    fn level(&mut self, mean_square: u32) -> u32 {
        let oldest = &mut self.recent[usize::from(self.oldest) % LEVEL_STEPS];
        self.recent_sum = self.recent_sum - *oldest + mean_square;
        *oldest = mean_square;
        self.oldest = self.oldest.wrapping_add(1);
        self.recent_sum / LEVEL_STEPS as u32
    }

    /// The rule, at one step.
    fn step(&mut self, mean_square: u32) {
        let GateMode::Fixed {
            open_rms,
            close_rms,
        } = self.config.mode
        else {
            self.is_open = true;
            return;
        };
        if !self.is_open {
            if root(mean_square) > open_rms {
                self.is_open = true;
                self.remember(root(mean_square));
            }
            return;
        }
        self.remember(root(mean_square));
        if !self.window_is_quiet(close_rms) {
            self.held_steps = 0;
        } else if self.held_steps < self.config.hold_steps() {
            self.held_steps += 1;
        } else {
            self.close_step();
        }
    }

    fn close_step(&mut self) {
        self.window.clear();
        self.window_sum = 0;
        self.held_steps = 0;
        self.is_open = false;
    }

    fn remember(&mut self, rms: u16) {
        if self.window.len() >= usize::from(self.config.window_steps()) {
            self.forget_oldest();
        }
        // There is room: the window is never longer than the configuration, nor that than the
        // buffer.
        let _ = self.window.push_back(rms);
        self.window_sum += u32::from(rms);
    }

    #[inline(never)]
    fn forget_oldest(&mut self) {
        self.window_sum -= u32::from(self.window.pop_front().unwrap_or(0));
    }

    fn window_is_quiet(&self, close_rms: u16) -> bool {
        let window_steps = self.config.window_steps();
        let full = self.window.len() == usize::from(window_steps);
        // mean < close, without the division
        full && self.window_sum < u32::from(close_rms) * u32::from(window_steps)
    }
}

#[cfg(test)]
mod tests {
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
}
