//! Sequence numbers and timestamps, which wrap.

/// The number of a voice packet in its stream, counting up by one and wrapping from 65535 to 0.
///
/// At the shortest frame (5 ms) it wraps after 327 s, far beyond any reordering, so half the range
/// on either side is unambiguous (RFC 1982, serial number arithmetic).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Seq(pub u16);

impl Seq {
    /// Returns the number that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Returns the number `count` further on.
    #[must_use]
    pub const fn plus(self, count: u16) -> Self {
        Self(self.0.wrapping_add(count))
    }

    /// Returns how far `self` lies after `earlier` (negative: before), by the shorter way round, in
    /// -32768..=32767.
    #[must_use]
    pub const fn distance(self, earlier: Self) -> i16 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }
}

/// A moment on a sender's session clock, in units of 2.5 ms. Wraps after 124 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Timestamp(pub u32);

impl Timestamp {
    /// Returns the moment `units` later.
    #[must_use]
    pub const fn plus(self, units: u32) -> Self {
        Self(self.0.wrapping_add(units))
    }

    /// Returns how far `self` lies after `earlier` (negative: before), by the shorter way round.
    #[must_use]
    pub const fn distance(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_exact_for_all_offsets_from_all_corners() {
        for start in [0u16, 1, 0x7fff, 0x8000, 0xffff] {
            for offset in i16::MIN..=i16::MAX {
                let later = Seq(start.wrapping_add_signed(offset));
                assert_eq!(later.distance(Seq(start)), offset);
            }
        }
    }

    #[test]
    fn next_wraps_and_is_one_apart_everywhere() {
        for n in 0..=u16::MAX {
            assert_eq!(Seq(n).next().distance(Seq(n)), 1);
            assert_eq!(Seq(n).next(), Seq(n).plus(1));
        }
    }
}
