//! What lies below the voice: DC offset, rumble and mains hum, found and taken away. In integers.

/// Blocks in a second: the filter sees the mean of each. What it takes away lies so low that 0.25
/// ms make no difference to it.
pub const BLOCKS_PER_SECOND: u32 = 4_000;

/// Fractional bits of a block's mean as it comes in, and as it is kept: enough that rounding stays
/// below one.
const IN_FRACTION_BITS: u32 = 2;
const FRACTION_BITS: u32 = 5;

/// A high-pass of fifth order: -5 dB at 80 Hz, within 0.6 dB from 95 Hz on, below -35 dB up to 60
/// Hz. DC and mains hum (50 and 60 Hz) are its zeros.
///
/// It runs on the means of blocks ([`BLOCKS_PER_SECOND`]), so any sample rate has the same
/// coefficients. A first-order section takes the offset; two state-variable filters (H. Chamberlin,
/// Musical Applications of Microprocessors, 1985) follow, each with a zero. That is two dozen
/// additions and shifts for each block, and a multiplication of 32 bits.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HighPass {
    /// The offset so far.
    offset: i32,
    has_begun: bool,
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
            offset: 0,
            has_begun: false,
            at_60_hz: STILL,
            at_50_hz: STILL,
        }
    }

    /// The first sample that it ever hears is all offset, so that there is no step at the
    /// beginning. What is begun goes on.
    pub fn begin(&mut self, first: i16) {
        if !self.has_begun {
            self.offset = i32::from(first) << FRACTION_BITS;
            self.has_begun = true;
        }
    }

    /// Takes the mean of the next block, times four (-131072..=131068); gives what has to be taken
    /// away from each of its samples.
    #[inline(always)]
    pub fn below(&mut self, mean_q2: i32) -> i32 {
        let input = mean_q2 << (FRACTION_BITS - IN_FRACTION_BITS);
        let without_offset = input - self.offset;
        self.offset += without_offset >> 2;
        // What the first section adds at the highest frequencies is taken back.
        let level = without_offset - (without_offset >> 3);
        let high = self.at_60_hz.without_60_hz(level);
        let high = self.at_50_hz.without_50_hz(high);
        // Rounded, and so that the difference to any sample has a square that fits 32 bits.
        let below = (input - high + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS;
        below.clamp(i32::from(i16::MIN), i32::from(i16::MAX))
    }
}

/// A step of each section. The frequency is 2 sin(pi f / 4000), 1/8 or 9/64; the damping is 1 / Q,
/// 1/4 or 5/8. So much of the low output is added to the high one that the two cancel at the zero.
/// At full scale the states stay below 2^23, and all products fit.
impl Section {
    #[inline(always)]
    fn without_60_hz(&mut self, input: i32) -> i32 {
        self.low += self.band >> 3;
        let high = input - self.low - (self.band >> 2);
        self.band += high >> 3;
        high + ((self.low * 145) >> 8)
    }

    #[inline(always)]
    fn without_50_hz(&mut self, input: i32) -> i32 {
        self.low += (self.band >> 3) + (self.band >> 6);
        let high = input - self.low - (self.band >> 1) - (self.band >> 3);
        self.band += (high >> 3) + (high >> 6);
        high + (self.low >> 2) + (self.low >> 4)
    }
}
