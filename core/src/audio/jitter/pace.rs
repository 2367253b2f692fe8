//! Which items come before their time.

use super::report::JitterConfig;
use crate::seq::Timestamp;
use crate::time::Instant;

/// The length of a unit of a timestamp in microseconds.
const UNIT_MICROS: u32 = 2_500;

/// For so long two clocks that differ by 0.1 % are at most half a frame of 20 ms apart.
const TRUSTED_MICROS: u32 = 10_000_000;

/// When items are on time, by the first ones of talkspurts, which never come before their time.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Pace {
    /// An item that was on time, and when it came, in microseconds that wrap.
    on_time: Option<(Timestamp, u32)>,
}

impl Pace {
    pub(super) const NEW: Self = Self { on_time: None };

    /// Takes the first item of a talkspurt, behind a pause. It is late if the network was faster a
    /// moment ago.
    pub(super) fn begin(&mut self, now: Instant, timestamp: Timestamp) {
        let is_late = self.on_time.is_some_and(|(_, at)| {
            micros(now).wrapping_sub(at) < TRUSTED_MICROS && self.early_units(now, timestamp) < 0
        });
        if !is_late {
            self.on_time = Some((timestamp, micros(now)));
        }
    }

    /// Returns by how many frames an item is early: no more than a pre-roll may be.
    pub(super) fn early_frames(
        &self,
        now: Instant,
        timestamp: Timestamp,
        config: &JitterConfig,
    ) -> u16 {
        let frame_units = u32::from(config.frame_units.max(1));
        let early_units = self.early_units(now, timestamp).max(0).cast_unsigned();
        let frames = (early_units + frame_units / 2) / frame_units;
        frames.min(config.pre_roll_max_frames.into()) as u16
    }

    fn early_units(&self, now: Instant, timestamp: Timestamp) -> i32 {
        let Some((on_time, at)) = self.on_time else {
            return 0;
        };
        let passed_units = micros(now).wrapping_sub(at) / UNIT_MICROS;
        timestamp.distance(on_time) - passed_units.cast_signed()
    }
}

/// Wraps after 71 minutes.
const fn micros(now: Instant) -> u32 {
    now.as_micros() as u32
}
