//! How often a device calls: as often as the machine can keep up with.
//!
//! A short period is little delay: a speaker's buffer holds two of them. A machine that is late by
//! more than the buffer holds leaves a gap. So a stream starts with the shortest period, and is
//! opened anew with a longer one when there are gaps again and again.

use super::shared::Shared;
use std::time::{Duration, Instant};

/// What is tried, shortest first.
const PERIODS: [Duration; 3] = [
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
];
/// What a stream reports at its start says nothing: plugins complain until they have heard from the
/// sound server.
const START: Duration = Duration::from_secs(2);
/// What is reported sooner belongs to the same gap.
const APART: Duration = Duration::from_millis(500);
/// This many gaps within [`WINDOW`] are too many.
const GAPS_MAX: u32 = 3;
/// One gap is a hiccup of the machine; three in this time are heard as a bad connection.
const WINDOW: Duration = Duration::from_secs(10);

/// The period of one device, over its streams.
#[derive(Debug, Default)]
pub(super) struct Period {
    step: usize,
    errors_seen: u32,
    callbacks_seen: u32,
    gap_at: Option<Instant>,
    gaps: u32,
    window_since: Option<Instant>,
}

impl Period {
    pub(super) fn get(&self) -> Duration {
        PERIODS[self.step]
    }

    /// Forgets the gaps of the last stream.
    pub(super) fn restart(&mut self) {
        *self = Self {
            step: self.step,
            ..Self::default()
        };
    }

    /// Call this many times a second. Returns whether the stream should be opened anew, as its
    /// period was too short.
    pub(super) fn grows(&mut self, shared: &Shared, now: Instant) -> bool {
        let (errors, callbacks) = (shared.errors(), shared.callbacks());
        let has_gap = errors != self.errors_seen && callbacks != self.callbacks_seen;
        (self.errors_seen, self.callbacks_seen) = (errors, callbacks);
        // Errors in a row are one gap, and without sound they are a loss: see `health`.
        let is_told = |at: Instant| now - at < APART;
        if shared.age(now) < START || !has_gap || self.gap_at.is_some_and(is_told) {
            return false;
        }
        self.gap_at = Some(now);
        let is_fresh = |since: &Instant| now - *since < WINDOW;
        if self.window_since.is_none_or(|since| !is_fresh(&since)) {
            self.window_since = Some(now);
            self.gaps = 0;
        }
        self.gaps += 1;
        let grows = self.gaps >= GAPS_MAX && self.step + 1 < PERIODS.len();
        if grows {
            self.step += 1;
            self.window_since = None;
        }
        grows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns when the period grew, in milliseconds, with gaps at these times.
    fn grown_at(gaps_ms: &[u64]) -> Vec<u64> {
        let start = Instant::now();
        let shared = Shared::new(48_000, start, None);
        let (mut period, mut grown) = (Period::default(), Vec::new());
        for ms in (0..60_000).step_by(50) {
            let due = |gap: &&u64| (ms..ms + 50).contains(*gap);
            let now = start + Duration::from_millis(ms);
            shared.note_callback(480, now);
            for _ in gaps_ms.iter().filter(due) {
                shared.note_error(false);
            }
            if period.grows(&shared, now) {
                grown.push(ms);
            }
        }
        assert_eq!(period.get(), PERIODS[grown.len()]);
        grown
    }

    #[test]
    fn repeated_gaps_make_it_longer() {
        assert_eq!(grown_at(&[5_000, 6_000, 7_000]), [7_000]);
        // Once more, and then it is as long as it gets.
        let each_second: Vec<u64> = (3..60).map(|s| s * 1_000).collect();
        assert_eq!(grown_at(&each_second), [5_000, 8_000]);
    }

    #[test]
    fn errors_without_sound_are_no_gap() {
        let start = Instant::now();
        let shared = Shared::new(48_000, start, None);
        let mut period = Period::default();
        for ms in (5_000..20_000).step_by(50) {
            shared.note_error(false);
            assert!(!period.grows(&shared, start + Duration::from_millis(ms)));
        }
    }

    #[test]
    fn a_bad_start_and_single_gaps_are_borne() {
        for (gaps_ms, what) in [
            (&[100, 200, 300, 1_000, 1_900], "a bad start"),
            (
                &[5_000, 5_100, 5_200, 5_300, 5_400],
                "one gap, told five times",
            ),
            (&[5_000, 10_000, 15_000, 20_000, 25_001], "one in a while"),
        ] {
            assert!(grown_at(gaps_ms).is_empty(), "{what}");
        }
    }
}
