//! Notices a voice that is too quiet for the gate: a person talks, nobody hears it, and nothing
//! tells them.
//!
//! Input counts as such a voice when the gate has not opened for [`WINDOW_MS`], and the levels in
//! that time are those of speech:
//!
//! - its loud parts (the level that a tenth of it exceeds) are at least [`ABOVE_FLOOR_DB`] above
//!   its quiet parts (the level that a tenth stays below), and above [`LOUD_DBFS_MIN`];
//! - at least [`LOUD_SHARE`] of it is clearly louder than the quiet parts: keys and doors are over
//!   sooner;
//! - it rises through the middle at least [`RISES_MIN`] times: speech has 2 to 8 syllables a
//!   second.
//!
//! So steady noise does not count, however loud, nor does silence or a single bang.

use std::collections::VecDeque;
use talkspurt_core::audio::format::FrameDuration;

use crate::config::rms_to_dbfs;

/// How long a voice has to be too quiet.
const WINDOW_MS: u32 = 3_000;
/// Levels are measured over this: the default frame duration, and a fraction of a syllable.
const BLOCK_MS: u32 = 20;
const WINDOW_BLOCKS: usize = (WINDOW_MS / BLOCK_MS) as usize;
/// Speech in a room stands 15 to 50 dB above it; the noise of a fan moves by 3.
const ABOVE_FLOOR_DB: f64 = 12.0;
/// A microphone's own noise is quieter than this. A voice 40 dB below ordinary speech would be
/// noise to others, too.
const LOUD_DBFS_MIN: f64 = -60.0;
/// Levels below this count as equal: digital silence between words.
const FLOOR_DBFS_MIN: f64 = -75.0;
/// How far above the quiet parts a level is clearly louder.
const CLEARLY_DB: f64 = 8.0;
/// Speech with its pauses is clearly louder for half of the time, typing for a tenth.
const LOUD_SHARE: f64 = 0.25;
/// Least number of rises in a window.
const RISES_MIN: u32 = 3;
/// A level has to pass the middle by this much, or noise around it would count.
const HYSTERESIS_DB: f64 = 1.5;
/// The threshold to try is this far below the loud parts of a voice, so that its ordinary syllables
/// pass it,
const OPEN_BELOW_LOUD_DB: f64 = 10.0;
/// and this far above the rest, as in `talkspurt calibrate`.
const OPEN_ABOVE_FLOOR_DB: f64 = 6.0;
/// A voice that was heard recently is not reported: it is somebody else in the room, or a pause.
const HEARD_MS: u32 = 30_000;
/// Least time between two notices.
const AGAIN_AFTER_MS: u32 = 60_000;

/// A voice that the gate keeps back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TooQuiet {
    /// Level of its loud parts.
    pub(super) level_dbfs: f64,
    /// Level without it.
    pub(super) floor_dbfs: f64,
}

impl TooQuiet {
    /// Returns a threshold that it would open: below its loud parts, and if possible above the
    /// level without it.
    pub(super) fn open_dbfs(&self) -> f64 {
        (self.level_dbfs - OPEN_BELOW_LOUD_DB)
            .max(self.floor_dbfs + OPEN_ABOVE_FLOOR_DB)
            .round()
    }
}

/// Watches the levels of captured frames. Time passes only with frames.
#[derive(Debug)]
pub(super) struct QuietWatch {
    is_on: bool,
    frame_ms: u32,
    /// Levels of the latest window, in dBFS.
    blocks: VecDeque<f64>,
    block_ms: u32,
    block_square_sum: f64,
    /// How much longer nothing is reported.
    silent_ms: u32,
}

impl QuietWatch {
    pub(super) fn new(frame: FrameDuration, is_on: bool) -> Self {
        Self {
            is_on,
            frame_ms: u32::from(frame.ms()),
            blocks: VecDeque::with_capacity(WINDOW_BLOCKS),
            block_ms: 0,
            block_square_sum: 0.0,
            silent_ms: 0,
        }
    }

    /// Starts or stops watching: a muted user need not be told of being too quiet.
    pub(super) fn switch(&mut self, is_on: bool) {
        self.is_on = is_on;
        self.restart();
    }

    /// Takes the level of the next frame, and whether the gate lets it pass.
    pub(super) fn push(&mut self, rms: u16, is_sent: bool) -> Option<TooQuiet> {
        if !self.is_on {
            return None;
        }
        self.silent_ms = self.silent_ms.saturating_sub(self.frame_ms);
        if is_sent {
            self.silent_ms = self.silent_ms.max(HEARD_MS);
            self.restart();
            return None;
        }
        self.block_square_sum += f64::from(rms).powi(2) * f64::from(self.frame_ms);
        self.block_ms += self.frame_ms;
        if self.block_ms < BLOCK_MS {
            return None;
        }
        let block_rms = (self.block_square_sum / f64::from(self.block_ms)).sqrt();
        (self.block_ms, self.block_square_sum) = (0, 0.0);
        if self.blocks.len() == WINDOW_BLOCKS {
            self.blocks.pop_front();
        }
        let dbfs = rms_to_dbfs(block_rms.round() as u16);
        self.blocks.push_back(dbfs.max(FLOOR_DBFS_MIN));
        if self.silent_ms > 0 || self.blocks.len() < WINDOW_BLOCKS {
            return None;
        }
        let found = self.judge()?;
        self.silent_ms = AGAIN_AFTER_MS;
        self.restart();
        Some(found)
    }

    /// Forgets the levels so far.
    fn restart(&mut self) {
        self.blocks.clear();
        (self.block_ms, self.block_square_sum) = (0, 0.0);
    }

    fn judge(&self) -> Option<TooQuiet> {
        let mut sorted: Vec<f64> = self.blocks.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let tenth = sorted.len() / 10;
        let (floor, loud) = (sorted[tenth], sorted[sorted.len() - 1 - tenth]);
        let clear = sorted.iter().filter(|&&level| level > floor + CLEARLY_DB);
        let loud_share = clear.count() as f64 / sorted.len() as f64;
        let is_speech = loud >= LOUD_DBFS_MIN
            && loud - floor >= ABOVE_FLOOR_DB
            && loud_share >= LOUD_SHARE
            && self.rises((floor + loud) / 2.0) >= RISES_MIN;
        is_speech.then_some(TooQuiet {
            level_dbfs: loud,
            floor_dbfs: floor,
        })
    }

    /// Returns how often the level rises through `middle`.
    fn rises(&self, middle: f64) -> u32 {
        let (mut rises, mut is_above) = (0, false);
        for &level in &self.blocks {
            if !is_above && level > middle + HYSTERESIS_DB {
                (rises, is_above) = (rises + 1, true);
            } else if level < middle - HYSTERESIS_DB {
                is_above = false;
            }
        }
        rises
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Threshold;

    const OPEN_RMS: u16 = 2_000;
    const NONE: [u32; 0] = [];

    fn rms(dbfs: f64) -> u16 {
        Threshold::from_rms(32_767).shifted_db(dbfs).rms
    }

    /// Returns the times of notices while `level_dbfs` gives the level at each millisecond. The
    /// gate opens above [`OPEN_RMS`].
    fn notices(frame: FrameDuration, ms: u32, level_dbfs: impl Fn(u32) -> f64) -> Vec<u32> {
        let mut detector = QuietWatch::new(frame, true);
        let frame_ms = u32::from(frame.ms());
        let found = (0..ms / frame_ms).filter(|n| {
            let level = rms(level_dbfs(n * frame_ms));
            detector.push(level, level > OPEN_RMS).is_some()
        });
        found.map(|n| n * frame_ms).collect()
    }

    /// Four syllables a second with a pause every other second, at most as loud as `peak`, in a
    /// room of -70 dBFS.
    fn speech(peak: f64) -> impl Fn(u32) -> f64 {
        move |ms| {
            let is_pause = ms % 2_000 >= 1_400;
            let syllable = (f64::from(ms % 250) / 250.0 * std::f64::consts::PI).sin();
            if is_pause {
                -70.0
            } else {
                (peak - 30.0 * (1.0 - syllable)).max(-70.0)
            }
        }
    }

    #[test]
    fn quiet_speech_is_noticed_after_three_seconds_and_not_again_at_once() {
        for frame in [FrameDuration::Ms5, FrameDuration::Ms10, FrameDuration::Ms20] {
            let found = notices(frame, 60_000, speech(-28.0));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!((2_900..3_500).contains(&found[0]), "{found:?}");
        }
        let found = notices(FrameDuration::Ms20, 70_000, speech(-50.0));
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn speech_that_opens_the_gate_is_not_noticed() {
        assert_eq!(notices(FrameDuration::Ms20, 60_000, speech(-18.0)), NONE);
        // The same with somebody else in the room soon after.
        let pause = |ms: u32| speech(if ms < 3_000 { -18.0 } else { -35.0 })(ms);
        assert_eq!(notices(FrameDuration::Ms20, 30_000, pause), NONE);
    }

    #[test]
    fn silence_steady_noise_and_bangs_are_not_noticed() {
        // Levels that jitter a little, as those of noise do.
        let jitter = |ms: u32| f64::from(ms.wrapping_mul(2_654_435_761) >> 16 & 0xff) / 255.0;
        for base in [-96.0, -70.0, -50.0, -30.0] {
            let noise = |ms| base + 4.0 * jitter(ms);
            assert_eq!(notices(FrameDuration::Ms20, 60_000, noise), NONE, "{base}");
            // A click of a key each quarter of a second, and a door.
            let keys = |ms: u32| if ms % 250 < 20 { -30.0 } else { noise(ms) };
            assert_eq!(notices(FrameDuration::Ms20, 60_000, keys), NONE, "{base}");
        }
        let door = |ms: u32| {
            if (5_000..6_000).contains(&ms) {
                -30.0
            } else {
                -65.0
            }
        };
        assert_eq!(notices(FrameDuration::Ms20, 60_000, door), NONE);
        // A hum that is switched on, and a fan that slowly comes and goes.
        let hum = |ms: u32| if ms < 5_000 { -70.0 } else { -30.0 };
        assert_eq!(notices(FrameDuration::Ms20, 60_000, hum), NONE);
        let fan = |ms: u32| -40.0 + 10.0 * (f64::from(ms) / 2_000.0).sin();
        assert_eq!(notices(FrameDuration::Ms20, 60_000, fan), NONE);
    }
}
