//! The noise floor: how loud it is while nobody speaks.
//!
//! By minimum statistics (R. Martin, "Noise power spectral density estimation based on optimal
//! smoothing and minimum statistics", IEEE Trans. Speech Audio Processing 9(5), 2001), over the
//! whole band: even a person who talks without a break pauses for some milliseconds in each two
//! seconds, so the lowest power of that time is the noise's.

/// Steps of 5 ms in a part of the window: 250 ms.
const PART_STEPS: u8 = 50;

/// Parts of the window, which is 2 s long. As long as noise that has become louder is not believed.
const PARTS: usize = 8;

/// The smoothing takes an eighth of each new level, a time constant of 40 ms: the closure of a
/// plosive is long enough to reach the noise, and the minimum of noise lies little below its mean.
const SMOOTHING_SHIFT: u32 = 3;

/// Fractional bits of the smoothed power, so that rounding stays below one.
const FRACTION_BITS: u32 = 2;

/// So much louder is the mean of noise than the minimum, in 32nds: 1.5 dB, as white noise (0.6 dB)
/// and pink noise (2 dB) have it between them.
const MEAN_OF_MINIMUM_Q5: u64 = 45;

/// Levels that pass before the first minimum counts, ...
const SETTLING_STEPS: u8 = 8;

/// ... and before the floor means anything: 60 ms, which even a node's pre-roll makes up for.
const UNKNOWN_STEPS: u8 = 12;

/// Until a whole window has passed, the floor is at most an RMS of 1,000: someone may have been
/// talking from the first moment on. The gate opens at 1,778 then, a little below the original's.
const UNPROVEN_MAX: u32 = 1_000 * 1_000;

/// Tracks the noise floor by the level of each step of 5 ms. It follows downwards at once, and
/// upwards when the window has passed.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct NoiseFloor {
    smoothed: u32,
    /// The lowest of the running part of the window.
    lowest: u32,
    /// The lowest of each part before it, in a ring, and the lowest of those.
    parts: [u32; PARTS - 1],
    lowest_of_parts: u32,
    next_part: u8,
    part_steps: u8,
    /// Steps heard, up to those that count.
    heard_steps: u8,
    is_proven: bool,
}

impl NoiseFloor {
    /// Nothing was heard yet.
    pub(super) const UNKNOWN: Self = Self {
        smoothed: 0,
        lowest: u32::MAX,
        parts: [u32::MAX; PARTS - 1],
        lowest_of_parts: u32::MAX,
        next_part: 0,
        part_steps: 0,
        heard_steps: 0,
        is_proven: false,
    };

    /// Takes the level of the next step: a mean square below 2^30.
    pub(super) fn push(&mut self, mean_square: u32) {
        let level = mean_square << FRACTION_BITS;
        self.heard_steps = self.heard_steps.saturating_add(1);
        if self.heard_steps <= SETTLING_STEPS {
            self.smoothed = level;
            return;
        }
        self.smoothed -= self.smoothed >> SMOOTHING_SHIFT;
        self.smoothed += level >> SMOOTHING_SHIFT;
        self.lowest = self.lowest.min(self.smoothed);
        self.part_steps += 1;
        if self.part_steps == PART_STEPS {
            self.end_part();
        }
    }

    #[inline(never)]
    fn end_part(&mut self) {
        self.part_steps = 0;
        let part = usize::from(self.next_part) % self.parts.len();
        self.parts[part] = self.lowest;
        self.lowest = u32::MAX;
        self.lowest_of_parts = self.parts.iter().copied().fold(u32::MAX, u32::min);
        self.next_part = part as u8 + 1;
        self.is_proven |= self.next_part as usize == self.parts.len();
    }

    /// Returns the mean square of the noise; `None` in the first 60 ms.
    pub(super) fn mean_square(&self) -> Option<u32> {
        if self.heard_steps < UNKNOWN_STEPS {
            return None;
        }
        let lowest = self.lowest.min(self.lowest_of_parts);
        let mean = (u64::from(lowest) * MEAN_OF_MINIMUM_Q5) >> (FRACTION_BITS + 5);
        let mean = mean as u32;
        match self.is_proven {
            true => Some(mean),
            false => Some(mean.min(UNPROVEN_MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes a level for so many milliseconds.
    fn hear(floor: &mut NoiseFloor, rms: u32, ms: u32) {
        (0..ms / 5).for_each(|_| floor.push(rms * rms));
    }

    fn rms(floor: &NoiseFloor) -> u32 {
        floor.mean_square().unwrap().isqrt()
    }

    #[test]
    fn it_lies_a_little_above_the_lowest_level() {
        // 1.5 dB; the cap of the first seconds has to pass.
        for (level, expected) in [(0, 0), (1, 1), (100, 118), (3_000, 3_557), (27_000, 32_017)] {
            let mut floor = NoiseFloor::UNKNOWN;
            hear(&mut floor, level, 2_000);
            assert!(
                rms(&floor).abs_diff(expected) <= 1,
                "{level}: {}",
                rms(&floor)
            );
        }
    }

    #[test]
    fn it_is_unknown_for_60_ms_and_not_believed_above_a_bound_for_two_seconds() {
        let mut floor = NoiseFloor::UNKNOWN;
        hear(&mut floor, 5_000, 55);
        assert_eq!(floor.mean_square(), None);
        hear(&mut floor, 5_000, 5);
        assert_eq!(rms(&floor), 1_000);
        hear(&mut floor, 5_000, 1_725);
        assert_eq!(rms(&floor), 1_000);
        hear(&mut floor, 5_000, 5);
        assert!(rms(&floor) > 5_000);
    }

    #[test]
    fn it_follows_downwards_at_once_and_upwards_when_the_window_has_passed() {
        let mut floor = NoiseFloor::UNKNOWN;
        hear(&mut floor, 1_000, 5_000);
        hear(&mut floor, 100, 300);
        assert!(rms(&floor) < 130, "{}", rms(&floor));
        hear(&mut floor, 100, 300);
        hear(&mut floor, 1_000, 1_700);
        assert!(rms(&floor) < 130, "{}", rms(&floor));
        hear(&mut floor, 1_000, 600);
        assert_eq!(rms(&floor), 1_185);
    }

    #[test]
    fn speech_with_short_gaps_does_not_push_it_up() {
        let mut floor = NoiseFloor::UNKNOWN;
        hear(&mut floor, 100, 1_000);
        for _ in 0..60 {
            hear(&mut floor, 4_000, 900);
            hear(&mut floor, 100, 150);
            assert!(rms(&floor) < 1_000, "12 dB below speech: {}", rms(&floor));
        }
    }

    #[test]
    fn the_loudest_level_does_not_overflow() {
        let mut floor = NoiseFloor::UNKNOWN;
        (0..1_000).for_each(|_| floor.push((1 << 30) - 1));
        assert!(floor.mean_square().unwrap() > 1 << 30);
    }
}
