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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::format::FrameDuration;

    /// A sender's clock that is begun at 100 s.
    fn pace() -> Pace {
        let mut pace = Pace::NEW;
        pace.begin(at(0), said(0), true);
        pace
    }

    fn at(ms: u64) -> Instant {
        Instant::from_micros(100_000_000 + 1_000 * ms)
    }

    fn said(ms: u32) -> Timestamp {
        Timestamp(ms * 2 / 5)
    }

    /// By how many frames of 20 ms an item of `ms` is early that comes then.
    fn early(pace: &Pace, now_ms: u64, ms: u32) -> u16 {
        let config = JitterConfig::default_for(FrameDuration::Ms20, 0);
        pace.early_frames(at(now_ms), said(ms), &config)
    }

    #[test]
    fn an_item_is_early_by_whole_frames_to_the_nearest_and_by_no_more_than_a_pre_roll() {
        for (by_ms, frames) in [
            (0, 0),
            (9, 0),
            (10, 1),
            (29, 1),
            (30, 2),
            (200, 10),
            (900, 10),
        ] {
            assert_eq!(early(&pace(), 1_000 - by_ms, 1_000), frames, "{by_ms}");
        }
        assert_eq!(early(&pace(), 1_050, 1_000), 0, "it is late");
    }

    #[test]
    fn a_late_beginning_moves_the_pace_only_if_the_last_was_ten_seconds_ago() {
        for (pause_ms, early_frames) in [(9_935, 0), (9_940, 3)] {
            let mut pace = pace();
            pace.begin(at(u64::from(pause_ms) + 60), said(pause_ms), false);
            assert_eq!(early(&pace, 20_000, 20_000), early_frames, "{pause_ms}");
        }
        // One that is earlier than all moves it at once.
        let mut pace = pace();
        pace.begin(at(1_000), said(1_060), false);
        assert_eq!(early(&pace, 2_000, 2_060), 0);
        assert_eq!(early(&pace, 2_000, 2_100), 2);
    }
}
