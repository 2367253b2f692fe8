//! Sample rates and frame durations: the format of the audio in a session.

use crate::time::Duration;

/// Samples per second: a multiple of 400, so that each frame has a whole and even number of
/// samples. Sessions run at 16 kHz today; the others are named so that no packet changes its
/// meaning later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SampleRate {
    /// 8,000 Hz, narrow band.
    Hz8000 = 8,
    /// 16,000 Hz, wide band.
    Hz16000 = 16,
    /// 48,000 Hz, full band.
    Hz48000 = 48,
}

impl SampleRate {
    /// Samples per second.
    pub const fn hz(self) -> u32 {
        self as u32 * 1_000
    }

    /// Samples in so many milliseconds.
    pub const fn samples_in_ms(self, ms: usize) -> usize {
        self as usize * ms
    }

    /// The rate of that many samples per second, if it is one of ours; others are ignored where
    /// they are offered.
    pub const fn from_hz(hz: u32) -> Option<Self> {
        match hz {
            8_000 => Some(Self::Hz8000),
            16_000 => Some(Self::Hz16000),
            48_000 => Some(Self::Hz48000),
            _ => None,
        }
    }
}

/// How long a frame lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FrameDuration {
    /// 5 ms: least delay, four times the packets.
    Ms5 = 5,
    /// 10 ms.
    Ms10 = 10,
    /// 20 ms: the default, as in RFC 3551 section 4.2.
    #[default]
    Ms20 = 20,
}

impl FrameDuration {
    /// Milliseconds.
    pub const fn ms(self) -> u8 {
        self as u8
    }

    /// The duration of that many milliseconds, if it is one of ours.
    pub const fn from_millis(ms: u8) -> Option<Self> {
        match ms {
            5 => Some(Self::Ms5),
            10 => Some(Self::Ms10),
            20 => Some(Self::Ms20),
            _ => None,
        }
    }

    /// Returns how many units of a [`Timestamp`](crate::seq::Timestamp), of 2.5 ms, it lasts.
    pub const fn units(self) -> u32 {
        self.ms() as u32 * 2 / 5
    }

    /// As a span of time.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.ms() as u64)
    }

    /// Samples in a frame at `rate`: 40 (5 ms at 8 kHz) to 960 (20 ms at 48 kHz).
    pub const fn samples(self, rate: SampleRate) -> usize {
        rate.samples_in_ms(self as usize)
    }

    /// Frames that cover `ms` milliseconds, rounded up.
    pub const fn frames_in_ms(self, ms: u32) -> u32 {
        ms.div_ceil(self.ms() as u32)
    }
}

/// How audio is divided: samples per second, and how long a frame lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AudioFormat {
    /// Samples per second.
    pub rate: SampleRate,
    /// How long a frame lasts.
    pub frame: FrameDuration,
}

impl AudioFormat {
    /// The format of a session, unless its server is told otherwise: 16 kHz, 20 ms.
    pub const DEFAULT: Self = Self {
        rate: SampleRate::Hz16000,
        frame: FrameDuration::Ms20,
    };

    /// Samples in a frame.
    pub const fn frame_samples(self) -> usize {
        self.frame.samples(self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_from_rate_and_duration() {
        assert_eq!(AudioFormat::DEFAULT.frame_samples(), 320);
        assert_eq!(FrameDuration::Ms5.samples(SampleRate::Hz8000), 40);
        assert_eq!(FrameDuration::Ms20.samples(SampleRate::Hz48000), 960);
        assert_eq!(FrameDuration::Ms20.frames_in_ms(60), 3);
        assert_eq!(FrameDuration::Ms20.frames_in_ms(61), 4);
    }

    #[test]
    fn only_known_rates_and_durations_exist() {
        for hz in 0..50_000 {
            assert_eq!(
                SampleRate::from_hz(hz).map(SampleRate::hz),
                [8_000, 16_000, 48_000].contains(&hz).then_some(hz)
            );
        }
        for rate in [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz48000] {
            assert!(rate.hz().is_multiple_of(400));
        }
        for ms in 0..=u8::MAX {
            assert_eq!(
                FrameDuration::from_millis(ms).map(FrameDuration::ms),
                [5, 10, 20].contains(&ms).then_some(ms)
            );
        }
    }
}
