//! How loud samples are, in integers.

use crate::audio::filter::{BLOCKS_PER_SECOND, HighPass};
use crate::audio::format::{FrameDuration, SampleRate};

/// The mean of the squares of `samples`, rounded down: 0 (silence, or no samples) to 2^30 (every
/// sample -32768).
pub fn mean_square(samples: &[i16]) -> u32 {
    if samples.is_empty() {
        return 0;
    }
    let square = |s: i16| (i32::from(s) * i32::from(s)).unsigned_abs();
    // Two squares fit 32 bits, which halves the additions of 64.
    let (fours, rest) = samples.as_chunks();
    let sum: u64 = fours
        .iter()
        .map(|&[a, b, c, d]| u64::from(square(a) + square(b)) + u64::from(square(c) + square(d)))
        .sum();
    let sum = rest.iter().fold(sum, |sum, &s| sum + u64::from(square(s)));
    (sum / samples.len() as u64) as u32
}

/// The root of the mean square, rounded down: 0 to 32768.
pub fn rms(samples: &[i16]) -> u16 {
    root(mean_square(samples))
}

/// The square root, rounded down, a bit at a time: the library's takes tables.
pub(super) fn root(square: u32) -> u16 {
    let (mut root, mut bit) = (0, 1 << 15);
    while bit > 0 {
        let longer = root | bit;
        if longer * longer <= square {
            root = longer;
        }
        bit >>= 1;
    }
    root as u16
}

/// The level of digital silence on the wire.
pub const SILENCE: u8 = 255;

/// A frame with this level on the wire, or a higher one, is silent: an RMS of 9 (-71 dBFS).
///
/// ITU-T G.712 allows a telephone channel on which nobody speaks -65 dBm0p of noise. A full-scale
/// sine is +3.14 dBm0 (G.711, A-law), so that noise is 68.14 dB below it: an RMS of 9. ADPCM's
/// residue of digital silence and a dither of 1 LSB lie below.
pub const SILENT_FROM: u8 = 142;

/// Returns the level of an RMS as packets carry it: in half decibels below full scale, rounded to
/// the nearest. One in 600 is off by one: what a Cortex-M0 can multiply is enough.
pub fn half_db(rms: u16) -> u8 {
    let Some(exponent) = rms.checked_ilog2() else {
        return SILENCE;
    };
    // The binary logarithm in Q12, one squaring a bit; the mantissa in [1, 2) is Q15.
    let mut mantissa = u32::from(rms) << (15 - exponent);
    let mut log2 = exponent;
    for _ in 0..12 {
        mantissa = (mantissa * mantissa) >> 15;
        let carry = mantissa >> 16;
        mantissa >>= carry;
        log2 = log2 << 1 | carry;
    }
    let below_full_scale = u32::saturating_sub(15 << 12, log2);
    // An octave has 40 log10(2) = 12.0412 of them, times 2^12.
    ((below_full_scale * 49_321 + (1 << 23)) >> 24) as u8
}

/// The level of what a microphone hears of voice: RMS without DC offset, rumble and hum. The
/// samples themselves stay as they are.
///
/// It takes four samples of each block of the filter, at equal distances: all of them at 16 kHz,
/// each twice at 8 kHz, every third at 48 kHz. Leaving samples out keeps the mean power of what is
/// not a tone near a multiple of 16 kHz, and costs no more at a higher rate. The filter's state
/// goes on from frame to frame.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LevelMeter {
    high_pass: HighPass,
    block_samples: usize,
}

/// Samples of a block that are looked at.
const PROBES: usize = 4;

/// Levels are measured in steps of so many milliseconds. All frame durations are multiples of it.
pub const STEP_MS: u16 = 5;

/// Blocks of the filter in a step.
const STEP_BLOCKS: usize = BLOCKS_PER_SECOND as usize * STEP_MS as usize / 1_000;

/// Steps in the longest frame.
const FRAME_STEPS_MAX: usize = FrameDuration::Ms20.ms() as usize / STEP_MS as usize;

/// Just below full scale, so that four of them fit 32 bits.
const MEAN_SQUARE_MAX: u64 = (1 << 30) - 1;

/// The levels of a frame's steps of 5 ms, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StepLevels {
    mean_squares: [u32; FRAME_STEPS_MAX],
    steps: u8,
}

impl StepLevels {
    /// The levels of no frame at all.
    const NONE: Self = Self {
        mean_squares: [0; FRAME_STEPS_MAX],
        steps: 0,
    };

    /// The levels of a frame of this duration in which all is equally loud: an RMS of 0..=32767.
    pub const fn even(frame: FrameDuration, rms: u16) -> Self {
        let rms = if rms > 32_767 { 32_767 } else { rms };
        let steps = frame.ms() / STEP_MS as u8;
        let mut levels = Self {
            steps,
            ..Self::NONE
        };
        let mut step = 0;
        while step < steps as usize {
            levels.mean_squares[step] = rms as u32 * rms as u32;
            step += 1;
        }
        levels
    }

    /// Returns the mean square of each step, below 2^30.
    pub fn mean_squares(&self) -> &[u32] {
        &self.mean_squares[..usize::from(self.steps)]
    }

    /// Returns the RMS of the whole frame: 0..=32767.
    pub fn rms(&self) -> u16 {
        let sum: u32 = self.mean_squares().iter().sum();
        root(sum.checked_div(self.steps.into()).unwrap_or(0))
    }
}

impl LevelMeter {
    /// Creates a meter that has heard nothing yet: whatever offset the first samples have counts
    /// for nothing.
    pub const fn new(rate: SampleRate) -> Self {
        Self {
            high_pass: HighPass::new(),
            block_samples: (rate.hz() / BLOCKS_PER_SECOND) as usize,
        }
    }

    /// Returns the levels of the next frame, step by step. Frames have whole steps, as all that a
    /// session has; samples beyond them, or beyond 20 ms, do not count.
    #[inline(never)]
    pub fn measure(&mut self, frame: &[i16]) -> StepLevels {
        if let Some(&first) = frame.first() {
            self.high_pass.begin(first);
        }
        let mut levels = StepLevels::NONE;
        let steps = frame.chunks_exact(self.block_samples * STEP_BLOCKS);
        for (step, level) in steps.zip(&mut levels.mean_squares) {
            let mean_square = self.square_sum(step) / (STEP_BLOCKS * PROBES) as u64;
            *level = mean_square.min(MEAN_SQUARE_MAX) as u32;
            levels.steps += 1;
        }
        levels
    }

    /// Returns the RMS of the next frame, 0..=32767, as [`LevelMeter::measure`] takes it.
    pub fn rms(&mut self, frame: &[i16]) -> u16 {
        self.measure(frame).rms()
    }

    /// Sums the squares of what is left of a step's blocks.
    fn square_sum(&mut self, step: &[i16]) -> u64 {
        if self.block_samples == PROBES {
            return self.square_sum_of_probes(step.as_chunks().0);
        }
        let probes = |block: &[i16]| match *block {
            [a, _, _, b, _, _, c, _, _, d, ..] => [a, b, c, d],
            [a, b, ..] => [a, a, b, b],
            _ => [0; PROBES],
        };
        let blocks = step.chunks_exact(self.block_samples);
        let sums = blocks.map(|block| self.square_sum_of_probes(&[probes(block)]));
        sums.sum()
    }

    #[inline(never)]
    fn square_sum_of_probes(&mut self, blocks: &[[i16; PROBES]]) -> u64 {
        // On its own, the state stays in registers: on a Cortex-M that saves a fifth of the time.
        let mut high_pass = self.high_pass.clone();
        let mut sum = 0;
        for block in blocks {
            // A loop over four samples would cost more than what it does with them.
            let &[a, b, c, d] = block;
            let (a, b, c, d) = (i32::from(a), i32::from(b), i32::from(c), i32::from(d));
            let below = high_pass.below(a + b + c + d);
            sum += square(a - below) + square(b - below);
            sum += square(c - below) + square(d - below);
        }
        self.high_pass = high_pass;
        sum
    }
}

/// The square of a difference of two samples (-65535..=65535), in a multiplication of 32 bits.
#[inline(always)]
fn square(difference: i32) -> u64 {
    u64::from(difference.wrapping_mul(difference).cast_unsigned())
}

/// The largest magnitude among `samples`: 0 to 32768.
pub fn peak(samples: &[i16]) -> u16 {
    samples.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0)
}

/// A level relative to full scale, in 1/256 dB (Q8).
///
/// 0 dBFS is an RMS of 32768, a full-scale square wave, so a full-scale sine reads -3.01 dBFS.
/// (AES17 puts its zero at the sine, 3.01 dB lower; thresholds of the gate are RMS values of 32767,
/// which this scale maps to 0.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Dbfs(pub i16);

impl Dbfs {
    /// What a level of nothing reads: -96 dBFS, below the -90.3 dBFS of an RMS of 1.
    pub const SILENCE: Self = Self(-96 * 256);

    /// 1/256 dB in one octave of the mean square: 10 * log10(2) * 256 = 770.637, times 2^8.
    const PER_OCTAVE_Q8: i64 = 197_283;

    /// The level of a root mean square (0..=32768).
    pub fn from_rms(rms: u16) -> Self {
        Self::from_mean_square(u32::from(rms) * u32::from(rms))
    }

    /// The level of a mean square (0..=2^30), within 1/256 dB.
    pub fn from_mean_square(mean_square: u32) -> Self {
        match log2_q16(mean_square) {
            Some(log2) => {
                let below_full_scale = i64::from(log2) - (30 << 16);
                Self(
                    ((below_full_scale * Self::PER_OCTAVE_Q8 + (1 << 23)) >> 24)
                        .clamp(i64::from(Self::SILENCE.0), 0) as i16,
                )
            }
            None => Self::SILENCE,
        }
    }

    /// The smallest root mean square that reads at least this level: 0..=32768.
    pub fn to_rms(self) -> u16 {
        let (mut low, mut high) = (0u16, 32_768);
        while low < high {
            let middle = low + (high - low) / 2;
            if Self::from_rms(middle) >= self {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    /// 1/256 dB.
    pub const fn as_q8(self) -> i16 {
        self.0
    }
}

/// The binary logarithm in Q16, rounded down; `None` for 0. One squaring a bit: no table, no float.
fn log2_q16(value: u32) -> Option<u32> {
    let exponent = value.checked_ilog2()?;
    // The mantissa in [1, 2), Q31.
    let mut mantissa = u64::from(value) << (31 - exponent);
    let mut log2 = exponent;
    for _ in 0..16 {
        mantissa = (mantissa * mantissa) >> 31;
        log2 <<= 1;
        if mantissa >> 32 != 0 {
            mantissa >>= 1;
            log2 |= 1;
        }
    }
    Some(log2)
}

#[cfg(test)]
mod tests {
    // The reference is computed in floating point, which the core itself never uses.
    #![allow(clippy::float_arithmetic)]
    use super::*;

    #[test]
    fn dbfs_is_right_for_every_rms() {
        for rms in 1..=32_768u32 {
            let exact = 20.0 * (f64::from(rms) / 32_768.0).log10() * 256.0;
            let ours = f64::from(Dbfs::from_rms(rms as u16).0);
            assert!(
                (exact - ours).abs() <= 1.01,
                "rms {rms}: {ours} for {exact}"
            );
        }
        assert_eq!(Dbfs::from_rms(0), Dbfs::SILENCE);
        assert_eq!(Dbfs::from_rms(32_768), Dbfs(0));
    }

    #[test]
    fn levels_on_the_wire_are_right_within_one_for_every_rms() {
        let mut off_by_one = 0;
        for rms in 1..=32_768u16 {
            let exact = (-40.0 * (f64::from(rms) / 32_768.0).log10()).round() as u8;
            assert!(half_db(rms).abs_diff(exact) <= 1, "rms {rms}");
            off_by_one += u32::from(half_db(rms) != exact);
        }
        assert!(off_by_one <= 32_768 / 600, "{off_by_one}");
        assert_eq!(half_db(0), SILENCE);
    }

    #[test]
    fn dbfs_to_rms_inverts_for_every_level() {
        for q8 in Dbfs::SILENCE.0..=0 {
            let rms = Dbfs(q8).to_rms();
            assert!(Dbfs::from_rms(rms) >= Dbfs(q8));
            assert!(rms == 0 || Dbfs::from_rms(rms - 1) < Dbfs(q8));
        }
        assert_eq!(Dbfs(-24 * 256).to_rms(), 2_068);
    }

    #[test]
    fn constant_frames_have_their_own_value_as_rms() {
        for value in i16::MIN..=i16::MAX {
            assert_eq!(rms(&[value; 16]), value.unsigned_abs());
            assert_eq!(peak(&[0, value, 0]), value.unsigned_abs());
        }
    }

    #[test]
    fn nothing_is_silent() {
        assert_eq!((mean_square(&[]), rms(&[]), peak(&[])), (0, 0, 0));
        assert_eq!(mean_square(&[i16::MIN; 320]), 1 << 30);
    }
}
