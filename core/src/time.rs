//! Time as the caller hands it in: integer microseconds, no clock. The names are those of the
//! standard library.

use core::ops::{Add, AddAssign, Div, Mul, Sub};

/// A moment: microseconds since an epoch that the caller chooses (boot, the start of the process, 0
/// in a test).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Instant(u64);

/// A span of time in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Duration(u64);

impl Instant {
    /// The epoch itself.
    pub const ZERO: Self = Self(0);

    /// The moment `micros` after the epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Returns the time that has passed since `earlier`, or zero if that is later.
    pub const fn duration_since(self, earlier: Self) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// `micros` microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// `millis` milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// `secs` seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Whole microseconds.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// Multiplies, up to the longest duration there is.
    pub const fn saturating_mul(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }
}

/// Returns the earlier of two moments, as far as there are any.
pub fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    // An iterator over the two takes a microcontroller a hundred bytes more.
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// Operators that stop at both ends of what there is.
macro_rules! saturating {
    ($($left:ident.$operator:ident($right:ident) -> $output:ident: $trait:ident $by:ident;)*) => {$(
        impl $trait<$right> for $left {
            type Output = $output;
            fn $operator(self, other: $right) -> $output {
                $output(self.0.$by(other.0))
            }
        }
    )*};
}

saturating! {
    Instant.add(Duration) -> Instant: Add saturating_add;
    Instant.sub(Duration) -> Instant: Sub saturating_sub;
    Instant.sub(Instant) -> Duration: Sub saturating_sub;
    Duration.add(Duration) -> Duration: Add saturating_add;
    Duration.sub(Duration) -> Duration: Sub saturating_sub;
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Mul<u32> for Duration {
    type Output = Self;
    fn mul(self, factor: u32) -> Self {
        self.saturating_mul(factor.into())
    }
}

impl Div<u32> for Duration {
    type Output = Self;
    fn div(self, divisor: u32) -> Self {
        Self(self.0 / u64::from(divisor))
    }
}

impl From<core::time::Duration> for Duration {
    fn from(span: core::time::Duration) -> Self {
        Self(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
    }
}

impl From<Duration> for core::time::Duration {
    fn from(span: Duration) -> Self {
        Self::from_micros(span.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Instant::ZERO - Duration::from_secs(1), Instant::ZERO);
        assert_eq!(
            Instant::from_micros(u64::MAX) + Duration::from_millis(1),
            Instant::from_micros(u64::MAX)
        );
        assert_eq!(
            Instant::ZERO.duration_since(Instant::from_micros(5)),
            Duration::ZERO
        );
        assert_eq!(
            Duration::from_secs(u64::MAX),
            Duration::from_micros(u64::MAX)
        );
    }

    #[test]
    fn the_earlier_moment_is_that_of_those_there_are() {
        let [early, late] = [1, 2].map(|micros| Some(Instant::from_micros(micros)));
        assert_eq!((earlier(early, late), earlier(late, early)), (early, early));
        assert_eq!((earlier(late, None), earlier(None, late)), (late, late));
        assert_eq!(earlier(None, None), None);
    }

    #[test]
    fn units_agree() {
        assert_eq!(Duration::from_secs(2), Duration::from_millis(2_000));
        assert_eq!(Duration::from_millis(20).as_micros(), 20_000);
        assert_eq!(
            (Instant::ZERO + Duration::from_millis(20))
                .duration_since(Instant::ZERO)
                .as_millis(),
            20
        );
        assert_eq!(
            core::time::Duration::from(Duration::from_millis(7)),
            core::time::Duration::from_millis(7)
        );
        assert_eq!(
            Duration::from(core::time::Duration::from_millis(7)),
            Duration::from_millis(7)
        );
        let longest = core::time::Duration::from_secs(u64::MAX);
        assert_eq!(Duration::from(longest).as_micros(), u64::MAX);
        assert_eq!(
            Duration::from_millis(7) + Duration::from_micros(7),
            Duration::from_micros(7_007)
        );
        let later = Instant::from_micros(7_007);
        assert_eq!(later.as_micros(), 7_007);
        assert_eq!(later - Duration::from_millis(7), Instant::from_micros(7));
    }
}
