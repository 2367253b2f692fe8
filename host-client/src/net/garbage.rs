//! Bytes that are no packets: a noisy serial line brings some, a stream of something else brings nothing but.

use super::seldom::Seldom;
use talkspurt_core::{time::Instant, token_bucket::TokenBucket};

/// What is borne at once, and in a second: as docs/PROTOCOL.md says of both sides (The life of a session, Errors).
const BURST_BYTES: u32 = 16_384;
const BYTES_PER_SECOND: u32 = 4_096;

/// What one connection has brought of them.
#[derive(Debug)]
pub(super) struct Garbage {
    budget: TokenBucket,
    unlogged: Seldom,
}

impl Garbage {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            budget: TokenBucket::new(BURST_BYTES, BYTES_PER_SECOND, now),
            unlogged: Seldom::default(),
        }
    }

    /// Counts bytes that were dropped. False when they are too many to go on.
    pub(super) fn bear(&mut self, dropped_bytes: u32, now: Instant) -> bool {
        self.unlogged.add(dropped_bytes.into());
        self.budget.take(dropped_bytes, now)
    }

    /// Says in the log how many there were, if there were some, at most once a second.
    pub(super) fn log(&mut self, now: Instant) {
        if let Some(bytes) = self.unlogged.take(now) {
            tracing::warn!(bytes, "dropped bytes that are no packet");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use talkspurt_core::time::Duration;

    #[test]
    fn noise_is_borne_and_a_stream_of_it_is_not() {
        let mut now = Instant::ZERO;
        let mut garbage = Garbage::new(now);
        for _ in 0..3_600 {
            assert!(garbage.bear(4_096, now), "at {now:?}");
            now += Duration::from_secs(1);
        }
        assert!(garbage.bear(16_384, now));
        assert!(!garbage.bear(1, now));
        now += Duration::from_millis(1);
        assert!(
            garbage.bear(3, now),
            "1 ms forgives 4 bytes, one of them used"
        );
        assert!(!garbage.bear(u32::MAX, now));
    }
}
