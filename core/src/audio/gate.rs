//! The voice-activity gate. It sees levels only; who sends what because of it is the uplink's
//! business.

use heapless::Deque;

use crate::audio::format::FrameDuration;

/// The longest window, in frames.
pub const GATE_WINDOW_FRAMES_MAX: usize = 64;

/// The gate's thresholds and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct GateConfig {
    /// A frame whose RMS exceeds this opens the gate. 0..=32768; 2000 (-24.3 dBFS) is the original
    /// system's.
    pub open_rms: u16,
    /// The gate closes when the mean RMS of the window falls below this. At most `open_rms`; 500
    /// (-36.3 dBFS) is the original's.
    pub close_rms: u16,
    /// Frames that are averaged for closing: 1..=[`GATE_WINDOW_FRAMES_MAX`]; 10 is the original's.
    pub window_frames: u8,
    /// Frames for which the gate stays open after the mean has fallen below `close_rms`.
    pub hold_frames: u8,
    /// Whether the gate gates: `false` keeps it open always.
    pub enabled: bool,
}

impl GateConfig {
    /// The defaults at this frame duration.
    pub const fn default_for(frame: FrameDuration) -> Self {
        GateSettings::DEFAULT.for_frame(frame)
    }

    /// Whether a gate can run with these values.
    ///
    /// # Errors
    /// Says which value does not fit.
    pub const fn check(&self) -> Result<(), GateConfigError> {
        if self.open_rms > 32_768 {
            return Err(GateConfigError::OpenAboveFullScale);
        }
        if self.close_rms > self.open_rms {
            return Err(GateConfigError::CloseAboveOpen);
        }
        if self.window_frames == 0 || self.window_frames as usize > GATE_WINDOW_FRAMES_MAX {
            return Err(GateConfigError::WindowOutOfRange);
        }
        Ok(())
    }
}

/// A gate's settings in units that do not depend on the frame duration, which the server decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct GateSettings {
    /// A frame whose RMS exceeds this opens the gate: 0..=32768.
    pub open_rms: u16,
    /// The gate closes when the window's mean RMS falls below this.
    pub close_rms: u16,
    /// Frames that are averaged for closing.
    pub window_frames: u8,
    /// How long the gate stays open after that, in milliseconds.
    pub hold_ms: u16,
    /// `false` keeps the gate open always.
    pub enabled: bool,
}

impl GateSettings {
    /// The original system's thresholds and window, and a hold of 100 ms, so that a soft word
    /// ending is not cut at the window's edge.
    const DEFAULT: Self = Self {
        open_rms: 2_000,
        close_rms: 500,
        window_frames: 10,
        hold_ms: 100,
        enabled: true,
    };

    /// Returns the gate of sessions with this frame duration.
    pub const fn for_frame(&self, frame: FrameDuration) -> GateConfig {
        let hold_frames = frame.frames_in_ms(self.hold_ms as u32);
        GateConfig {
            open_rms: self.open_rms,
            close_rms: self.close_rms,
            window_frames: self.window_frames,
            hold_frames: if hold_frames > u8::MAX as u32 {
                u8::MAX
            } else {
                hold_frames as u8
            },
            enabled: self.enabled,
        }
    }

    /// Checks whether a gate can run with these values.
    ///
    /// # Errors
    /// As [`GateConfig::check`], which judges nothing that depends on the frame duration.
    pub const fn check(&self) -> Result<(), GateConfigError> {
        self.for_frame(FrameDuration::Ms20).check()
    }
}

impl Default for GateSettings {
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
    /// The window is not 1..=64 frames long.
    WindowOutOfRange,
}

impl core::fmt::Display for GateConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::OpenAboveFullScale => write!(f, "the open threshold is above 32768"),
            Self::CloseAboveOpen => write!(f, "the close threshold is above the open threshold"),
            Self::WindowOutOfRange => write!(
                f,
                "the window is not 1 to {GATE_WINDOW_FRAMES_MAX} frames long"
            ),
        }
    }
}

impl core::error::Error for GateConfigError {}

/// What to do with the frame whose level was just pushed.
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

/// The gate: opens on one loud frame, closes when a whole window has been quiet, and then a hold
/// has passed.
#[derive(Clone, Debug)]
pub struct Gate {
    config: GateConfig,
    /// The RMS of the latest frames since it opened, oldest first; empty while closed.
    window: Deque<u16, GATE_WINDOW_FRAMES_MAX>,
    window_sum: u32,
    held_frames: u8,
    open: bool,
}

/// How it stands, without each level of its window.
#[cfg(feature = "defmt")]
impl defmt::Format for Gate {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "Gate {{ open: {}, window_frames: {}, held_frames: {}, config: {} }}",
            self.open,
            self.window.len(),
            self.held_frames,
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
            window: Deque::new(),
            window_sum: 0,
            held_frames: 0,
            open: false,
        }
    }

    /// Decides on a frame by its RMS (0..=32768).
    pub fn push(&mut self, rms: u16) -> GateDecision {
        if !self.open {
            if self.config.enabled && rms <= self.config.open_rms {
                return GateDecision::Closed;
            }
            self.open = true;
            self.remember(rms);
            return GateDecision::Opened;
        }
        self.remember(rms);
        if !self.config.enabled || !self.window_is_quiet() {
            self.held_frames = 0;
            return GateDecision::Open;
        }
        if self.held_frames < self.config.hold_frames {
            self.held_frames += 1;
            return GateDecision::Open;
        }
        self.close();
        GateDecision::Closing
    }

    /// Whether a talkspurt is running.
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// Opens it at once, whatever the level: for voice that was judged elsewhere.
    pub const fn open(&mut self) {
        self.open = true;
    }

    /// Closes it at once, as when the microphone is muted.
    pub fn close(&mut self) {
        self.window.clear();
        self.window_sum = 0;
        self.held_frames = 0;
        self.open = false;
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
        while self.window.len() > usize::from(config.window_frames) {
            self.forget_oldest();
        }
        Ok(())
    }

    fn remember(&mut self, rms: u16) {
        if self.window.len() >= usize::from(self.config.window_frames) {
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

    fn window_is_quiet(&self) -> bool {
        let full = self.window.len() == usize::from(self.config.window_frames);
        // mean < close, without the division
        full && self.window_sum
            < u32::from(self.config.close_rms) * u32::from(self.config.window_frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use GateDecision::{Closed, Closing, Open, Opened};

    fn gate(window_frames: u8, hold_frames: u8) -> Gate {
        Gate::new(GateConfig {
            open_rms: 2_000,
            close_rms: 500,
            window_frames,
            hold_frames,
            enabled: true,
        })
        .unwrap()
    }

    #[test]
    fn every_rms_is_judged_against_the_open_threshold() {
        for rms in 0..=32_768 {
            let expected = if rms > 2_000 { Opened } else { Closed };
            assert_eq!(gate(10, 0).push(rms), expected, "{rms}");
        }
    }

    #[test]
    fn it_closes_when_the_window_is_full_and_quiet() {
        let mut gate = gate(4, 0);
        let decisions = [2_001, 0, 0, 0, 0, 0].map(|rms| gate.push(rms));
        // (2001 + 0 + 0 + 0) / 4 = 500.25 is not below 500; one frame later the loud one has left
        // the window.
        assert_eq!(decisions, [Opened, Open, Open, Open, Closing, Closed]);
    }

    #[test]
    fn at_the_close_threshold_it_stays_open() {
        let mut gate = gate(2, 0);
        let decisions = [2_001, 500, 500, 500, 499].map(|rms| gate.push(rms));
        assert_eq!(decisions, [Opened, Open, Open, Open, Closing]);
    }

    #[test]
    fn a_window_that_is_not_full_never_closes() {
        let mut gate = Gate::new(
            GateConfig {
                open_rms: 100,
                ..*gate(4, 0).config()
            }
            .with_close(100),
        )
        .unwrap();
        assert_eq!([101, 0, 0].map(|rms| gate.push(rms)), [Opened, Open, Open]);
        assert_eq!(gate.push(0), Closing);
    }

    #[test]
    fn the_hold_keeps_it_open_and_a_word_renews_it() {
        let mut gate = gate(1, 2);
        assert_eq!(
            [3_000, 0, 0, 600, 0, 0, 0].map(|rms| gate.push(rms)),
            [Opened, Open, Open, Open, Open, Open, Closing]
        );
    }

    #[test]
    fn disabled_it_is_always_open() {
        let mut gate = Gate::new(GateConfig {
            enabled: false,
            ..*gate(1, 0).config()
        })
        .unwrap();
        assert_eq!(gate.push(0), Opened);
        assert!((0..100).all(|_| gate.push(0) == Open));
    }

    #[test]
    fn bad_configurations_are_refused() {
        let good = *gate(10, 0).config();
        assert_eq!(
            Gate::new(GateConfig {
                open_rms: 32_769,
                ..good
            })
            .err(),
            Some(GateConfigError::OpenAboveFullScale)
        );
        assert_eq!(
            Gate::new(GateConfig {
                close_rms: 2_001,
                ..good
            })
            .err(),
            Some(GateConfigError::CloseAboveOpen)
        );
        for window_frames in [0, 65] {
            assert_eq!(
                Gate::new(GateConfig {
                    window_frames,
                    ..good
                })
                .err(),
                Some(GateConfigError::WindowOutOfRange)
            );
        }
    }

    #[test]
    fn the_ends_of_the_ranges_are_allowed() {
        let good = *gate(10, 0).config();
        for (open_rms, close_rms) in [(32_768, 32_768), (32_768, 0), (0, 0)] {
            let config = GateConfig {
                open_rms,
                close_rms,
                ..good
            };
            assert_eq!(config.check(), Ok(()), "{open_rms} {close_rms}");
        }
        for window_frames in [1, 64] {
            let config = GateConfig {
                window_frames,
                ..good
            };
            assert_eq!(config.check(), Ok(()), "{window_frames}");
        }
        // At full scale nothing is louder.
        let mut deaf = Gate::new(GateConfig {
            open_rms: 32_768,
            ..good
        })
        .unwrap();
        assert_eq!(deaf.push(32_768), Closed);
    }

    #[test]
    fn a_shorter_window_forgets_at_once() {
        let mut gate = gate(10, 0);
        for rms in [3_000, 3_000, 0, 0] {
            gate.push(rms);
        }
        gate.set_config(GateConfig {
            window_frames: 3,
            ..*gate.config()
        })
        .unwrap();
        assert_eq!(gate.push(0), Closing);
    }

    impl GateConfig {
        fn with_close(self, close_rms: u16) -> Self {
            Self { close_rms, ..self }
        }
    }
}
