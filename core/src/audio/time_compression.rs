//! Time compression: sound that takes less time, at the same pitch.
//!
//! One pitch period is taken out, and the sound before it is cross-faded into the sound behind it,
//! as in SOLA and in the *accelerate* of WebRTC's NetEq. In noise or silence, which has no period,
//! it is the stretch that leaves the smoothest joint.

use super::fade::{FULL_Q15, fade};
use super::format::SampleRate;
use super::pitch;

/// The most that is taken out: so many parts ...
const REMOVED_PARTS: usize = 35;

/// ... of so many. That makes speech 1.35 times as fast.
const ALL_PARTS: usize = 135;

/// Takes one stretch of 5 to 15 ms, and of at most `most` samples, out of `sound`. Returns how many
/// samples are left, at its beginning; what stands behind them is of no use.
///
/// The first and the last of them are those of `sound`, so that it still joins what is before and
/// behind it. The joint lies at the end: its cross-fade is as long as the stretch, or as long as
/// there is sound. Less than 11 ms are left as they are, and of less than 21 ms no deep voice is
/// matched.
pub fn take_out_period(sound: &mut [i16], rate: SampleRate, most: usize) -> usize {
    let len = sound.len();
    let shortest = rate.samples_in_ms(pitch::PERIOD_MIN_MS);
    let most = most.min(len.saturating_sub(rate.samples_in_ms(pitch::WINDOW_MS)));
    if most < shortest {
        return len;
    }
    let period = pitch::period(sound, rate, most);
    let joint = period.min(len - period);
    let to = len - joint - period;
    let (before, behind) = sound.split_at_mut(len - joint);
    fade(behind, before[to..].iter(), FULL_Q15, 0);
    sound.copy_within(len - joint.., to);
    len - period
}

/// Time compression of a stream, which makes it at most 1.35 times as fast.
///
/// ```
/// use talkspurt_core::audio::format::SampleRate;
/// use talkspurt_core::audio::time_compression::TimeCompressor;
///
/// let mut compressor = TimeCompressor::new(SampleRate::Hz16000);
/// let mut surplus = 1_600;
/// let mut sent = 0;
/// for _ in 0..30 {
///     let mut block = [0; 320];
///     compressor.advance(block.len());
///     let left = compressor.compress(&mut block, surplus);
///     surplus -= block.len() - left;
///     sent += left;
/// }
/// assert!(surplus < 80, "less than 5 ms are left of 100");
/// assert_eq!(sent, 30 * 320 - (1_600 - surplus));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TimeCompressor {
    rate: SampleRate,
    /// What may be taken out by now, in parts of a sample: [`ALL_PARTS`] are one.
    budget_parts: usize,
}

impl TimeCompressor {
    /// A stream that begins.
    pub const fn new(rate: SampleRate) -> Self {
        Self {
            rate,
            budget_parts: 0,
        }
    }

    /// The stream's rate.
    pub const fn rate(&self) -> SampleRate {
        self.rate
    }

    /// Says that so much more of the stream is there: all of it counts, also that of which nothing
    /// is to be taken out.
    pub fn advance(&mut self, samples: usize) {
        let longest = self.rate.samples_in_ms(pitch::PERIOD_MAX_MS);
        let budget_parts = self.budget_parts + samples * REMOVED_PARTS;
        self.budget_parts = budget_parts.min(2 * longest * ALL_PARTS);
    }

    /// Takes up to `most` samples out of a block, by [`take_out_period`] once: nothing, or 5 to
    /// 15 ms. Returns how many samples are left at its beginning. Blocks of 30 ms are best. Call
    /// [`TimeCompressor::advance`] first: a stream that has not advanced is not compressed.
    ///
    /// Nothing is taken out before a stretch of any length could be: a voice's own period is worth
    /// waiting for.
    pub fn compress(&mut self, block: &mut [i16], most: usize) -> usize {
        let longest = self.rate.samples_in_ms(pitch::PERIOD_MAX_MS);
        if self.budget_parts < longest.min(most) * ALL_PARTS {
            return block.len();
        }
        let left = take_out_period(block, self.rate, most);
        self.budget_parts -= (block.len() - left) * ALL_PARTS;
        left
    }
}
