//! Bytes that are no packets: a noisy serial line brings some, a stream of something else brings nothing but.

use super::seldom::Seldom;
use talkspurt_core::time::Instant;

/// What is borne at once, and in a second: as docs/PROTOCOL.md says of both sides (The life of a session, Errors).
const BURST_BYTES: u64 = 16_384;
const BYTES_PER_SECOND: u64 = 4_096;
/// The budget is counted in millionths of a byte, so that microseconds count exactly.
const MICRO: u64 = 1_000_000;

/// What one connection has brought of them.
#[derive(Debug)]
pub(super) struct Garbage {
    /// What is not forgiven yet.
    micro_bytes: u64,
    counted_at: Instant,
    unlogged: Seldom,
}

impl Garbage {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            micro_bytes: 0,
            counted_at: now,
            unlogged: Seldom::default(),
        }
    }

    /// Counts bytes that were dropped. False when they are too many to go on.
    pub(super) fn bear(&mut self, dropped_bytes: u32, now: Instant) -> bool {
        self.unlogged.add(dropped_bytes.into());
        let elapsed_micros = now.since(self.counted_at).as_micros();
        self.counted_at = now;
        self.micro_bytes = self
            .micro_bytes
            .saturating_sub(elapsed_micros.saturating_mul(BYTES_PER_SECOND))
            .saturating_add(u64::from(dropped_bytes) * MICRO);
        self.micro_bytes <= BURST_BYTES * MICRO
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
        now += Duration::from_ms(1);
        assert!(
            garbage.bear(3, now),
            "1 ms forgives 4 bytes, one of them used"
        );
        assert!(!garbage.bear(u32::MAX, now));
    }
}
