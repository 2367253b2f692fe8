//! How long to wait before trying again.

use std::time::Duration;
use talkspurt_core::backoff::{self, spread};

/// The first pause.
const FIRST: Duration = Duration::from_millis(250);
/// The longest pause: a server that comes back is found within this.
pub(super) const LONGEST: Duration = Duration::from_secs(5);

/// Pauses that double, a little different for each client, so that a restarted server is not met by
/// all at once.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    waits: backoff::Backoff,
    attempt: u32,
    seed: u32,
}

impl Backoff {
    /// `seed` spreads clients over time; any number will do.
    pub(super) fn new(seed: u32) -> Self {
        Self {
            waits: backoff::Backoff::new(FIRST.into(), LONGEST.into()),
            attempt: 0,
            seed,
        }
    }

    /// Returns the number of the next try, from 1, and the pause before it: within 25 % below the
    /// nominal one, which is `longest` at most.
    pub(super) fn next(&mut self, longest: Duration) -> (u32, Duration) {
        self.attempt = self.attempt.saturating_add(1);
        // Knuth's multiplicative hash: spread, not secrecy.
        self.seed = self
            .seed
            .wrapping_mul(2_654_435_761)
            .wrapping_add(self.attempt);
        let nominal = self.waits.take().min(longest.into());
        let pause = spread(nominal, (self.seed >> 16) as u16);
        (self.attempt, pause.into())
    }

    /// It worked: starts over next time.
    pub(super) fn reset(&mut self) {
        self.attempt = 0;
        self.waits.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_begin_anew() {
        for seed in [0, 1, 77, u32::MAX] {
            let mut backoff = Backoff::new(seed);
            for attempt in 1..100u32 {
                let (number, pause) = backoff.next(LONGEST);
                let nominal = FIRST
                    .saturating_mul(1 << (attempt - 1).min(10))
                    .min(LONGEST);
                assert_eq!(number, attempt);
                assert!(
                    pause <= nominal && pause >= nominal.mul_f64(0.74),
                    "{attempt}: {pause:?}"
                );
            }
            backoff.reset();
            assert!(backoff.next(LONGEST).1 <= FIRST);
        }
        assert_ne!(
            Backoff::new(1).next(LONGEST).1,
            Backoff::new(2).next(LONGEST).1
        );
    }
}
