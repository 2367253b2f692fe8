//! The voice-activity gate. It sees levels only; who sends what because of it is the uplink's
//! business.
//!
//! Its thresholds follow the noise of the room, or stay where they are put. It runs in steps of 5
//! ms, whatever the frame duration: each step, it judges the RMS of the last 20 ms. So the same
//! sound opens and closes it at the same times in frames of 5, 10 and 20 ms.

mod config;

pub use config::{
    GATE_HOLD_MS_MAX, GATE_OPEN_ABOVE_DB, GATE_OPEN_ABOVE_DB_RANGE, GATE_WINDOW_MS_MAX, GateConfig,
    GateConfigError, GateMode,
};

use heapless::Deque;

use crate::audio::level::{STEP_MS, StepLevels, root};
use crate::audio::noise::NoiseFloor;
use config::open_above_q8;

/// Steps in the longest window.
const WINDOW_STEPS_MAX: usize = (GATE_WINDOW_MS_MAX / STEP_MS) as usize;

/// Steps whose mean power is a level: the original's frame of 20 ms.
const LEVEL_STEPS: usize = 4;

/// The close threshold's square, relative to the floor's, in 16ths: 2 dB.
const CLOSE_ABOVE_Q4: u32 = 25;

/// The same of the level at which a voice has begun that opens the gate later: 1 dB. A soft onset is
/// that much louder than noise, whose own level seldom is.
const RISE_ABOVE_Q4: u32 = 20;

/// A floor counts as this RMS at least (-71 dBFS): that of a frame that
/// [counts as silent](crate::audio::level::SILENT_FROM). So the lowest open threshold is 15
/// (-67 dBFS), and a microphone of a dead quiet room, or one that sends zeros between words, opens
/// the gate by no rounding noise.
const FLOOR_RMS_MIN: u32 = 9;

/// A floor counts as this RMS at most (-24 dBFS): in louder noise it is better to send too much.
const FLOOR_RMS_MAX: u32 = 2_000;

/// As far back as a rise is remembered: longer than any pre-roll.
const RISE_STEPS_MAX: u16 = 100;

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
    /// While closed: steps since the level rose for good, and a voice may have begun.
    rise_steps: u16,
    /// While open: how long before the frame that opened it the voice began.
    pre_roll_steps: u16,
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
            rise_steps: 0,
            pre_roll_steps: 0,
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
        for (step, &mean_square) in (1..).zip(levels.mean_squares()) {
            let was_open = self.is_step_open;
            self.step(mean_square);
            opens |= self.is_step_open;
            if self.is_step_open && !was_open {
                self.pre_roll_steps = self.rise_steps.saturating_sub(step);
            }
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

    /// Returns how much of what was heard before the frame that opened the gate belongs to the
    /// voice, in milliseconds: since the level last rose through the close threshold, or through
    /// 1 dB above the noise floor if it follows that. Of the 20 ms over which the level was taken
    /// then, all from the first 5 that were as loud, and 5 ms before them.
    pub const fn pre_roll_ms(&self) -> u16 {
        self.pre_roll_steps * STEP_MS
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
            let rise = self.rise_from(close);
            self.rise_steps = match self.rise_steps {
                _ if level < rise => 0,
                0 => self.onset_steps(rise),
                steps => (steps + 1).min(RISE_STEPS_MAX),
            };
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

    /// The least level that belongs to a voice which opens the gate.
    const fn rise_from(&self, close: u32) -> u32 {
        match self.config.mode {
            GateMode::Auto { .. } => close / CLOSE_ABOVE_Q4 * RISE_ABOVE_Q4,
            _ => close,
        }
    }

    /// How long ago the voice began that has just lifted the level: with the first step, of those
    /// that make up the level, that is as loud by itself, and one step before it, because an onset
    /// is soft before it is loud.
    fn onset_steps(&self, rise: u32) -> u16 {
        let step = |age: u16| usize::from(self.oldest.wrapping_sub(age as u8)) % LEVEL_STEPS;
        let loud = (1..=LEVEL_STEPS as u16)
            .rev()
            .find(|&age| self.recent[step(age)] >= rise);
        loud.unwrap_or(0) + 1
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
        self.rise_steps = 0;
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

#[cfg(test)]
mod tests;
