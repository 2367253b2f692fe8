//! Less delay by leaving out a frame: where it is quiet, and blended into the next, so that nobody
//! hears it.

pub(super) use crate::audio::fade::{FULL_Q15, Fade};
use crate::audio::level::SILENCE;

/// What was loud fades from memory by this a frame, ...
const FALL_HALF_DB: u8 = 2;

/// ... and a frame that is so much softer is quiet: rather in a pause than in a vowel.
pub(super) const QUIET_HALF_DB: u8 = 24;

/// A frame that is so much softer is between two words, or before a plosive.
pub(super) const PAUSE_HALF_DB: u8 = 40;

/// Finds the frames of a talkspurt that are quiet beside the loudest of late: in a pause rather
/// than in a vowel.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct QuietFrames {
    /// The level of the loudest of the latest frames, falling by 1 dB a frame.
    recent_level: u8,
}

impl QuietFrames {
    /// Nothing was loud yet.
    pub(super) const NEW: Self = Self {
        recent_level: SILENCE,
    };

    /// Takes the level of the talkspurt's next frame. Returns whether it is softer by that much.
    pub(super) fn is_quiet(&mut self, level: u8, softer_half_db: u8) -> bool {
        self.recent_level = level.min(self.recent_level.saturating_add(FALL_HALF_DB));
        level >= self.recent_level.saturating_add(softer_half_db)
    }
}
