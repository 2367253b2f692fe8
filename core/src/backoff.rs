//! How long to wait before trying again.

use crate::time::Duration;

/// Waits that double from the first to the longest.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    wait: Duration,
}

impl Backoff {
    /// Creates a back-off whose next wait is `first`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            wait: first,
        }
    }

    /// Returns the next wait, and doubles the one after it.
    pub fn take(&mut self) -> Duration {
        let wait = self.wait;
        self.wait = (wait * 2).min(self.longest);
        wait
    }

    /// Starts over with the first wait, as after a success.
    pub fn reset(&mut self) {
        self.wait = self.first;
    }
}

/// No client has to wait for longer than this, all in all.
const LONGEST: Duration = Duration::from_secs(60);

/// Lengthens `wait` by up to a quarter, as `random` says, so that clients of a server that restarts
/// do not all come at once; up to a minute.
pub fn spread(wait: Duration, random: u16) -> Duration {
    let quarter = wait / 4;
    (wait + quarter * u32::from(random) / (1 << 16)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_longest_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(2));
        let mut waits = || [(); 5].map(|()| backoff.take().as_millis());
        assert_eq!(waits(), [250, 500, 1_000, 2_000, 2_000]);
        backoff.reset();
        assert_eq!(backoff.take(), Duration::from_millis(250));
    }

    #[test]
    fn a_spread_wait_is_a_quarter_longer_at_most() {
        let wait = Duration::from_secs(5);
        assert_eq!(spread(wait, 0), wait);
        assert_eq!(spread(wait, 1 << 15), Duration::from_micros(5_625_000));
        assert!(spread(wait, u16::MAX) < Duration::from_micros(6_250_000));
        assert_eq!(spread(LONGEST, u16::MAX), LONGEST);
    }
}
