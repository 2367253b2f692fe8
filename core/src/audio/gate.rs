//! The voice-activity gate. It sees levels only; who sends what because of it is the uplink's
//! business.
//!
//! Its thresholds follow the noise of the room, or stay where they are put. It runs in steps of 5 ms, whatever the frame duration: each step, it judges the RMS of the last
//! 20 ms. So the same sound opens and closes it at the same times in frames of 5, 10 and 20 ms.

use core::ops::RangeInclusive;

use heapless::Deque;

use crate::audio::level::{STEP_MS, StepLevels, root};
use crate::audio::noise::NoiseFloor;

/// The longest window, in milliseconds.
pub const GATE_WINDOW_MS_MAX: u16 = 320;

/// The longest hold, in milliseconds.
pub const GATE_HOLD_MS_MAX: u16 = 1_275;

/// Steps in the longest window.
const WINDOW_STEPS_MAX: usize = (GATE_WINDOW_MS_MAX / STEP_MS) as usize;

/// Steps whose mean power is a level: the original's frame of 20 ms.
const LEVEL_STEPS: usize = 4;

/// How far above the noise floor a level opens the gate, in decibels, unless it is told otherwise.
/// 20 ms of pink noise exceed the floor by 3 dB now and then; speech at 10 dB above the noise must
/// open it.
pub const GATE_OPEN_ABOVE_DB: u8 = 5;

/// The margins that a gate can have, in decibels. The close threshold is 2 dB above the floor, so
/// that the mean of a window of noise is below it.
pub const GATE_OPEN_ABOVE_DB_RANGE: RangeInclusive<u8> = 2..=40;

/// The close threshold's square, relative to the floor's, in 16ths: 2 dB.
const CLOSE_ABOVE_Q4: u32 = 25;

/// A floor counts as this RMS at least (-71 dBFS): that of a frame that
/// [counts as silent](crate::audio::level::SILENT_FROM). So the lowest open threshold is 15
/// (-67 dBFS), and a microphone of a dead quiet room, or one that sends zeros between words, opens
/// the gate by no rounding noise.
const FLOOR_RMS_MIN: u32 = 9;

/// A floor counts as this RMS at most (-24 dBFS): in louder noise it is better to send too much.
const FLOOR_RMS_MAX: u32 = 2_000;

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

/// The levels that a gate goes by now, as RMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct GateLevels {
    /// The noise floor; `None` if the thresholds do not follow it, and in the first 60 ms.
    pub noise_rms: Option<u16>,
    /// A level above this opens the gate.
    pub open_rms: u16,
    /// The gate closes when the mean of the window falls below this.
    pub close_rms: u16,
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
    /// Steps to go until all of those are of what may be sent.
    blind_steps: u8,
    noise: NoiseFloor,
    /// The square of the open threshold relative to the floor's, in 256ths.
    open_above_q8: u32,
    /// The RMS at the latest steps since it opened, oldest first; empty while closed.
    window: Deque<u16, WINDOW_STEPS_MAX>,
    window_sum: u32,
    held_steps: u16,
    /// Whether it is open after the latest step.
    is_step_open: bool,
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
            blind_steps: 0,
            noise: NoiseFloor::UNKNOWN,
            open_above_q8: open_above_q8(config.mode),
            window: Deque::new(),
            window_sum: 0,
            held_steps: 0,
            is_step_open: false,
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
            self.step(mean_square);
            opens |= self.is_step_open;
        }
        let goes_on = match self.is_talking {
            true => self.is_step_open,
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

    /// Takes the levels of a frame that is not sent, as while muted: noise is noise.
    pub fn listen(&mut self, levels: &StepLevels) {
        for &mean_square in levels.mean_squares() {
            self.level(mean_square);
        }
    }

    /// Whether a talkspurt is running.
    pub const fn is_open(&self) -> bool {
        self.is_talking
    }

    /// Opens it at once, whatever the level: for voice that was judged elsewhere.
    pub const fn open(&mut self) {
        self.is_step_open = true;
        self.is_talking = true;
    }

    /// Closes it at once, as when the microphone is muted. What was loud before opens it no more.
    pub fn close(&mut self) {
        self.is_talking = false;
        self.blind_steps = LEVEL_STEPS as u8;
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
        self.open_above_q8 = open_above_q8(config.mode);
        while self.window.len() > usize::from(config.window_steps()) {
            self.forget_oldest();
        }
        Ok(())
    }

    /// Returns the levels that it goes by now; `None` if it is always open.
    pub fn levels(&self) -> Option<GateLevels> {
        let (open, close) = self.thresholds()?;
        let noise = match self.config.mode {
            GateMode::Auto { .. } => self.noise.mean_square(),
            _ => None,
        };
        Some(GateLevels {
            noise_rms: noise.map(root),
            open_rms: root(open),
            close_rms: root(close),
        })
    }

    /// The greatest mean square that does not open it now, and the least that keeps it open.
    fn thresholds(&self) -> Option<(u32, u32)> {
        let square = |rms: u32| rms * rms;
        match self.config.mode {
            GateMode::Off => None,
            GateMode::Fixed {
                open_rms,
                close_rms,
            } => Some((
                square(u32::from(open_rms) + 1) - 1,
                square(close_rms.into()),
            )),
            GateMode::Auto { .. } => {
                let floor = self.noise.mean_square().unwrap_or(0);
                let floor = floor.clamp(square(FLOOR_RMS_MIN), square(FLOOR_RMS_MAX));
                let open = (u64::from(floor) * u64::from(self.open_above_q8)) >> 8;
                Some((open.min(1 << 30) as u32, (floor * CLOSE_ABOVE_Q4) >> 4))
            }
        }
    }

    /// Takes the mean square of a step. Returns that of the last 20 ms; what was before the first
    /// step counts as silence.
    fn level(&mut self, mean_square: u32) -> u32 {
        let oldest = &mut self.recent[usize::from(self.oldest) % LEVEL_STEPS];
        self.recent_sum = self.recent_sum - *oldest + mean_square;
        *oldest = mean_square;
        self.oldest = self.oldest.wrapping_add(1);
        let level = self.recent_sum / LEVEL_STEPS as u32;
        if matches!(self.config.mode, GateMode::Auto { .. }) {
            self.noise.push(level);
        }
        self.blind_steps = self.blind_steps.saturating_sub(1);
        level
    }

    /// The rule, at one step.
    fn step(&mut self, mean_square: u32) {
        let level = self.level(mean_square);
        let Some((open, close)) = self.thresholds() else {
            self.is_step_open = true;
            return;
        };
        if !self.is_step_open {
            if self.may_open() && level > open {
                self.is_step_open = true;
                self.remember(root(level));
            }
            return;
        }
        self.remember(root(level));
        if !self.window_is_quiet(close) {
            self.held_steps = 0;
        } else if self.held_steps < self.config.hold_steps() {
            self.held_steps += 1;
        } else {
            self.close_step();
        }
    }

    /// Whether the level means something, and what is compared with it.
    fn may_open(&self) -> bool {
        let is_known = match self.config.mode {
            GateMode::Auto { .. } => self.noise.mean_square().is_some(),
            _ => true,
        };
        is_known && self.blind_steps == 0
    }

    fn close_step(&mut self) {
        self.window.clear();
        self.window_sum = 0;
        self.held_steps = 0;
        self.is_step_open = false;
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

    fn window_is_quiet(&self, close: u32) -> bool {
        let window_steps = self.config.window_steps();
        let mean = self.window_sum / u32::from(window_steps);
        self.window.len() == usize::from(window_steps) && mean * mean < close
    }
}

/// The square of what a mode has for the open threshold relative to the floor's, in 256ths. A decibel
/// is a factor of 1.2589, here 1289 / 1024.
const fn open_above_q8(mode: GateMode) -> u32 {
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
}
