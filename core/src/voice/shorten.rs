//! Less delay by leaving out a frame: where it is quiet, and blended into the next, so that nobody
//! hears it.

use crate::audio::level::SILENCE;

/// What was loud fades from memory by this a frame, ...
const FALL_HALF_DB: u8 = 2;

/// ... and a frame that is so much softer is quiet: rather in a pause than in a vowel.
pub(super) const QUIET_HALF_DB: u8 = 24;

/// A frame that is so much softer is between two words, or before a plosive.
pub(super) const PAUSE_HALF_DB: u8 = 40;

/// All of a sound, as a weight.
pub(super) const FULL_Q15: i32 = 1 << 15;

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

/// A weight that goes from one value to another in a straight line.
pub(super) struct Fade {
    weight_q30: i32,
    step_q30: i32,
}

impl Fade {
    pub(super) fn new(from_q15: i32, to_q15: i32, samples: usize) -> Self {
        Self {
            weight_q30: from_q15 << 15,
            step_q30: ((to_q15 - from_q15) << 15) / samples as i32,
        }
    }

    /// Blends `other`, by the next weight, into a sample.
    pub(super) const fn next(&mut self, sample: i16, other: i16) -> i16 {
        self.weight_q30 += self.step_q30;
        let apart = other as i32 - sample as i32;
        (sample as i32 + ((apart * (self.weight_q30 >> 15)) >> 15)) as i16
    }
}
