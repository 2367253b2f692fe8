//! Less delay by leaving out a frame: where it is quiet, and blended into the next, so that nobody
//! hears it.

use crate::audio::level::SILENCE;

/// What was loud fades from memory by this a frame, ...
const FALL_HALF_DB: u8 = 2;

/// ... and a frame that is so much softer is quiet.
const QUIET_HALF_DB: u8 = 24;

/// All of a sound, as a weight.
pub(super) const FULL_Q15: i32 = 1 << 15;

/// Finds the frames of a talkspurt that are quiet beside the loudest of late: in a pause rather than
/// in a vowel.
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

    /// Takes the level of the talkspurt's next frame. Returns whether it is quiet.
    pub(super) fn is_quiet(&mut self, level: u8) -> bool {
        self.recent_level = level.min(self.recent_level.saturating_add(FALL_HALF_DB));
        level >= self.recent_level.saturating_add(QUIET_HALF_DB)
    }
}

/// Blends `other` into `out`. Its weight goes from `from_q15` to `to_q15` in a straight line.
pub(super) fn fade<'a>(
    out: &mut [i16],
    other: impl Iterator<Item = &'a i16>,
    from_q15: i32,
    to_q15: i32,
) {
    let step_q30 = ((to_q15 - from_q15) << 15) / out.len() as i32;
    let mut weight_q30 = from_q15 << 15;
    for (out, &other) in out.iter_mut().zip(other) {
        weight_q30 += step_q30;
        let apart = i32::from(other) - i32::from(*out);
        *out = (i32::from(*out) + ((apart * (weight_q30 >> 15)) >> 15)) as i16;
    }
}
