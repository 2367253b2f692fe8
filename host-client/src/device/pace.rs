//! How full a ring should be: enough for the callbacks, and no fuller.

use super::shared::Shared;

/// Sound kept in reserve beside one callback: it covers a late wake-up of the session. A quiet
/// machine gets down to this minimum. Milliseconds.
const MARGIN_MIN_MS: f64 = 8.0;
/// The initial reserve: a machine with all cores busy wakes ordinary threads about this late.
/// Milliseconds.
const MARGIN_START_MS: f64 = 20.0;
/// A machine that needs more than this cannot play in real time. Milliseconds.
const MARGIN_MAX_MS: f64 = 100.0;
/// Each shortfall widens the margin by this. Milliseconds.
const WIDEN_MS: f64 = 6.0;
/// It narrows again at this speed, so that delay never only grows: 1 ms in 10 s.
const NARROW_MS_PER_S: f64 = 0.1;
/// The size of callbacks is measured over such windows, and the larger of the last two counts.
/// Seconds.
const WINDOW_S: f64 = 5.0;

/// The target fill of a ring, in samples of the device.
#[derive(Debug)]
pub(super) struct Pace {
    margin_ms: f64,
    window_s: f64,
    largest: [u32; 2],
    shortfalls_seen: u32,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            margin_ms: MARGIN_START_MS,
            window_s: 0.0,
            largest: [0; 2],
            shortfalls_seen: 0,
        }
    }

    /// Call this once per frame. Returns whether the ring ran short since the last call.
    pub(super) fn observe(&mut self, shared: &Shared, frame_s: f64) -> bool {
        self.window_s += frame_s;
        let fresh = shared.take_largest();
        if self.window_s >= WINDOW_S {
            self.window_s = 0.0;
            self.largest = [fresh, self.largest[0]];
        } else {
            self.largest[0] = self.largest[0].max(fresh);
        }
        self.margin_ms = (self.margin_ms - NARROW_MS_PER_S * frame_s).max(MARGIN_MIN_MS);
        let short = shared.shortfalls() != self.shortfalls_seen;
        self.shortfalls_seen = shared.shortfalls();
        if short {
            self.widen();
        }
        short
    }

    /// Keeps more in reserve, because the ring ran short.
    pub(super) fn widen(&mut self) {
        self.margin_ms = (self.margin_ms + WIDEN_MS).min(MARGIN_MAX_MS);
    }

    /// Returns how many samples the device and the ring should hold together: one callback and the
    /// margin.
    pub(super) fn target(&self, rate_hz: u32) -> f64 {
        f64::from(self.largest[0].max(self.largest[1]))
            + self.margin_ms * f64::from(rate_hz) / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn the_margin_grows_when_needed_and_shrinks_back() {
        let now = Instant::now();
        let shared = Shared::new(48_000, now);
        shared.note_callback(480, now);
        let mut pace = Pace::new();
        assert!(!pace.observe(&shared, 0.02));
        assert!((pace.target(48_000) - (480.0 + 20.0 * 48.0)).abs() < 1.0);
        for _ in 0..100 {
            shared.note_shortfall();
            assert!(pace.observe(&shared, 0.02));
        }
        assert!(pace.target(48_000) > 480.0 + 99.0 * 48.0);
        for _ in 0..50 * 1_000 {
            shared.note_callback(480, now);
            assert!(!pace.observe(&shared, 0.02));
        }
        assert_eq!(pace.target(48_000), 480.0 + 8.0 * 48.0);
    }

    #[test]
    fn one_giant_callback_is_forgotten() {
        let now = Instant::now();
        let shared = Shared::new(48_000, now);
        shared.note_callback(48_000, now);
        let mut pace = Pace::new();
        for _ in 0..50 * 11 {
            pace.observe(&shared, 0.02);
            shared.note_callback(480, now);
        }
        assert!(pace.target(48_000) < 480.0 + 20.0 * 48.0);
    }
}
