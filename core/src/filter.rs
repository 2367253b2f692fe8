//! Layer 1: what lies below the voice: DC offset, rumble and mains hum, found and taken away. In integers.

/// Blocks in a second: the filter sees the mean of each. What it takes away lies so low that 0.25 ms make no difference to it.
pub const BLOCKS_PER_SECOND: u32 = 4_000;

/// Fractional bits of a block's mean as it comes in, and as it is kept: enough that rounding stays below one.
const IN_FRACTION_BITS: u32 = 2;
const FRACTION_BITS: u32 = 5;

/// A high-pass of fifth order: -5 dB at 80 Hz, within 0.6 dB from 95 Hz on, below -35 dB up to 60 Hz. DC and mains hum (50 and 60 Hz)
/// are its zeros.
///
/// It runs on the means of blocks ([`BLOCKS_PER_SECOND`]), so any sample rate has the same coefficients. A first-order section takes
/// the offset; two state-variable filters (H. Chamberlin, Musical Applications of Microprocessors, 1985) follow, each with a zero.
/// That is two dozen additions and shifts for each block, and two multiplications of 32 bits.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HighPass {
    /// The offset so far. `None` before the first block, which begins with all of it, so that there is no step.
    offset: Option<i32>,
    at_60_hz: Section,
    at_50_hz: Section,
}

#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Section {
    low: i32,
    band: i32,
}

impl HighPass {
    /// A filter that has heard nothing yet.
    pub const fn new() -> Self {
        const STILL: Section = Section { low: 0, band: 0 };
        Self {
            offset: None,
            at_60_hz: STILL,
            at_50_hz: STILL,
        }
    }

    /// Takes the mean of the next block, times four (-131072..=131068); gives what has to be taken away from each of its samples.
    #[inline]
    pub fn below(&mut self, mean_q2: i32) -> i32 {
        let input = mean_q2 << (FRACTION_BITS - IN_FRACTION_BITS);
        let offset = self.offset.get_or_insert(input);
        let without_offset = input - *offset;
        *offset += without_offset >> 2;
        // What the first section adds at the highest frequencies is taken back.
        let level = without_offset - (without_offset >> 3);
        let high = self.at_60_hz.step::<8, 2, 145>(level);
        let high = self.at_50_hz.step::<9, 5, 80>(high);
        // Rounded, and so that the difference to any sample has a square that fits 32 bits.
        let below = (input - high + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS;
        below.clamp(i32::from(i16::MIN), i32::from(i16::MAX))
    }
}

impl Section {
    /// One step: `FREQUENCY` is 2 sin(pi f / 4000) in Q6, `DAMPING` 1 / Q in Q3, `LOW` in Q8 how much of the low output is added to
    /// the high one, which puts the zero where the two cancel. At full scale the states stay below 2^23, so all products fit.
    #[inline]
    fn step<const FREQUENCY: i32, const DAMPING: i32, const LOW: i32>(
        &mut self,
        input: i32,
    ) -> i32 {
        self.low += (self.band * FREQUENCY) >> 6;
        let high = input - self.low - ((self.band * DAMPING) >> 3);
        self.band += (high * FREQUENCY) >> 6;
        high + ((self.low * LOW) >> 8)
    }
}
