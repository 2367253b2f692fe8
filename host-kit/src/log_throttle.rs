//! Sums up frequent occurrences, so that they are logged once in a while, without I/O.

use talkspurt_core::time::{Duration, Instant};

/// A sum that is returned at most once in some time.
#[derive(Debug, Default)]
pub struct LogThrottle {
    sum: u64,
    next_at: Instant,
}

impl LogThrottle {
    /// Adds to the sum.
    pub fn add(&mut self, amount: u64) {
        self.sum = self.sum.saturating_add(amount);
    }

    /// Takes the sum since the last time, if it is not 0 and that was long enough ago. The next one
    /// comes no earlier than after `pause`.
    pub fn take(&mut self, now: Instant, pause: Duration) -> Option<u64> {
        if self.sum == 0 || now < self.next_at {
            return None;
        }
        self.next_at = now + pause;
        Some(std::mem::take(&mut self.sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_comes_at_once_and_the_others_together() {
        let mut throttle = LogThrottle::default();
        let mut take = |sum: &[u64], ms: u64| {
            sum.iter().for_each(|amount| throttle.add(*amount));
            throttle.take(Instant::from_micros(ms * 1_000), Duration::from_secs(1))
        };
        assert_eq!(take(&[], 0), None);
        assert_eq!(take(&[3], 0), Some(3));
        assert_eq!(take(&[1, 4], 999), None);
        assert_eq!(take(&[], 1_000), Some(5));
        assert_eq!(take(&[], 9_000), None);
    }

    #[test]
    fn what_goes_on_comes_once_a_pause() {
        let mut throttle = LogThrottle::default();
        let said = (0..1_500).filter_map(|n: u64| {
            throttle.add(1);
            throttle.take(Instant::from_micros(n * 100_000), Duration::from_secs(60))
        });
        assert_eq!(said.collect::<Vec<_>>(), [1, 600, 600]);
    }
}
