//! How much a peer may send: a token bucket on virtual time.

use crate::time::Instant;

/// Lets through `burst` at once and `per_second` in the long run.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TokenBucket {
    per_second: u32,
    /// Tokens in millionths, so that short spans count exactly.
    micro_tokens: u64,
    micro_tokens_max: u64,
    filled_at: Instant,
}

impl TokenBucket {
    /// A full one.
    pub const fn new(burst: u32, per_second: u32, now: Instant) -> Self {
        let micro_tokens_max = burst as u64 * 1_000_000;
        Self {
            per_second,
            micro_tokens: micro_tokens_max,
            micro_tokens_max,
            filled_at: now,
        }
    }

    /// Takes `tokens` if there are as many.
    pub fn take(&mut self, tokens: u32, now: Instant) -> bool {
        let has = self.has(tokens, now);
        if has {
            self.micro_tokens -= u64::from(tokens) * 1_000_000;
        }
        has
    }

    /// Whether there are as many as `tokens`; takes none.
    pub fn has(&mut self, tokens: u32, now: Instant) -> bool {
        let earned = now
            .duration_since(self.filled_at)
            .as_micros()
            .saturating_mul(u64::from(self.per_second));
        self.micro_tokens = self
            .micro_tokens
            .saturating_add(earned)
            .min(self.micro_tokens_max);
        self.filled_at = now;
        self.micro_tokens >= u64::from(tokens) * 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    #[test]
    fn the_burst_goes_and_comes_back_at_the_rate() {
        let mut now = Instant::ZERO;
        let mut budget = TokenBucket::new(10, 50, now);
        assert!((0..10).all(|_| budget.take(1, now)));
        assert!(!budget.take(1, now));
        now += Duration::from_millis(19);
        assert!(!budget.take(1, now), "19 ms earn 0.95 tokens");
        now += Duration::from_millis(1);
        assert!(budget.take(1, now));
        now += Duration::from_secs(3_600);
        assert!(
            budget.take(10, now) && !budget.take(1, now),
            "never more than the burst"
        );
    }
}
