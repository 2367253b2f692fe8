//! Sums up frequent occurrences, so that they are logged at most once a second.

use talkspurt_core::time::{Duration, Instant};

/// Least time between two log lines about the same thing.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// A sum that is returned at most once a second.
#[derive(Debug, Default)]
pub(super) struct LogThrottle {
    sum: u64,
    next_at: Instant,
}

impl LogThrottle {
    pub(super) fn add(&mut self, amount: u64) {
        self.sum = self.sum.saturating_add(amount);
    }

    /// Takes the sum since the last time, if it is not 0 and a second has passed.
    pub(super) fn take(&mut self, now: Instant) -> Option<u64> {
        if self.sum == 0 || now < self.next_at {
            return None;
        }
        self.next_at = now + LOG_EVERY;
        Some(std::mem::take(&mut self.sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_comes_at_once_and_the_others_together() {
        let mut throttle = LogThrottle::default();
        assert_eq!(throttle.take(Instant::ZERO), None);
        throttle.add(3);
        assert_eq!(throttle.take(Instant::ZERO), Some(3));
        throttle.add(1);
        throttle.add(4);
        assert_eq!(
            throttle.take(Instant::ZERO + Duration::from_millis(999)),
            None
        );
        assert_eq!(
            throttle.take(Instant::ZERO + Duration::from_secs(1)),
            Some(5)
        );
        assert_eq!(throttle.take(Instant::ZERO + Duration::from_secs(9)), None);
    }
}
