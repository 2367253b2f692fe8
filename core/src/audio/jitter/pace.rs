//! Which items come before their time.

use super::report::JitterConfig;
use crate::seq::Timestamp;
use crate::time::Instant;

/// The length of a unit of a timestamp in microseconds.
const UNIT_MICROS: u32 = 2_500;

/// For so long two clocks that differ by 0.1 % are at most half a frame of 20 ms apart.
const TRUSTED_MICROS: u32 = 10_000_000;

/// When items are on time, by the first ones of talkspurts, which never come before their time. All
/// times are in microseconds that wrap after 71 minutes.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Pace {
    /// How far the sender's clock was behind when an item was on time, ...
    behind: u32,
    /// ... and when that was.
    at: u32,
}

impl Pace {
    pub(super) const NEW: Self = Self { behind: 0, at: 0 };

    /// Takes the first item of a talkspurt, behind a pause. It is late if the network was faster a
    /// moment ago.
    pub(super) fn begin(&mut self, now: Instant, timestamp: Timestamp, is_first: bool) {
        let micros = now.as_micros() as u32;
        let is_trusted = !is_first && micros.wrapping_sub(self.at) < TRUSTED_MICROS;
        if !is_trusted || self.early_micros(now, timestamp) >= 0 {
            self.behind = behind(now, timestamp);
            self.at = micros;
        }
    }

    /// Returns by how many frames an item is early: no more than a pre-roll may be.
    pub(super) fn early_frames(
        &self,
        now: Instant,
        timestamp: Timestamp,
        config: &JitterConfig,
    ) -> u16 {
        let frame_micros = u32::from(config.frame_units.max(1)) * UNIT_MICROS;
        let early_micros = self.early_micros(now, timestamp).max(0).cast_unsigned();
        let frames = (early_micros + frame_micros / 2) / frame_micros;
        frames.min(config.pre_roll_max_frames.into()) as u16
    }

    const fn early_micros(&self, now: Instant, timestamp: Timestamp) -> i32 {
        self.behind
            .wrapping_sub(behind(now, timestamp))
            .cast_signed()
    }
}

const fn behind(now: Instant, timestamp: Timestamp) -> u32 {
    (now.as_micros() as u32).wrapping_sub(timestamp.0.wrapping_mul(UNIT_MICROS))
}
