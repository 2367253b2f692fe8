//! How full a ring should be: enough for the callbacks and for what comes late, and no fuller.
//!
//! Whenever the session takes or adds a frame, it notes by how much the ring is emptier (a
//! speaker's) or less full (a microphone's) than usual: by so much something came late. The most of
//! some seconds is the margin.

use super::shared::Shared;

/// The margin to start with. Seconds.
const MARGIN_START_S: f64 = 0.008;
/// The smallest margin: below it every hiccup is heard. Seconds.
const MARGIN_MIN_S: f64 = 0.002;
/// A machine that needs more than this cannot play in real time. Seconds.
const MARGIN_MAX_S: f64 = 0.100;
/// So much is to be left when something comes as late as it did before. Seconds.
const LEFT_S: f64 = 0.001;
/// Each shortfall widens the margin by this. Seconds.
const WIDEN_S: f64 = 0.006;
/// While sound flows, the margin narrows at this speed: the difference is bent away by pitch, by
/// 0.02 %. In pauses it narrows at once. Seconds a second.
const NARROW_S_PER_S: f64 = 0.000_2;
/// Callbacks and margin are measured over such windows, and the larger need of the last two counts.
/// Seconds.
const WINDOW_S: f64 = 2.5;

/// The target fill of a ring.
#[derive(Debug)]
pub(super) struct Pace {
    margin_s: f64,
    window_s: f64,
    /// The largest callback, in samples: of this window and of the one before.
    largest: [u32; 2],
    /// The margin that would have sufficed, likewise; below 0 if nothing was noted.
    needed_s: [f64; 2],
    shortfalls_seen: u32,
}

impl Pace {
    /// For a stream that has run short so often before.
    pub(super) fn new(shortfalls_seen: u32) -> Self {
        Self {
            margin_s: MARGIN_START_S,
            window_s: 0.0,
            largest: [0; 2],
            // Nothing is known yet: for two windows the margin does not narrow.
            needed_s: [MARGIN_START_S; 2],
            shortfalls_seen,
        }
    }

    /// Call this once per frame. Returns whether the ring ran short since the last call.
    pub(super) fn observe(&mut self, shared: &Shared, frame_s: f64) -> bool {
        self.window_s += frame_s;
        self.largest[0] = self.largest[0].max(shared.take_largest());
        if self.window_s >= WINDOW_S {
            self.window_s = 0.0;
            self.largest = [0, self.largest[0]];
            self.needed_s = [f64::NEG_INFINITY, self.needed_s[0]];
        }
        self.margin_s = self
            .needed_s()
            .max(self.margin_s - NARROW_S_PER_S * frame_s);
        let short = shared.shortfalls() != self.shortfalls_seen;
        self.shortfalls_seen = shared.shortfalls();
        if short {
            self.widen();
        }
        short
    }

    /// Notes how much later than usual something came, in seconds. Returns by how much the margin
    /// has become wider.
    pub(super) fn note_late(&mut self, late_s: f64) -> f64 {
        let before_s = self.margin_s;
        let needed_s = (late_s + LEFT_S).min(MARGIN_MAX_S);
        self.needed_s[0] = self.needed_s[0].max(needed_s);
        self.margin_s = self.margin_s.max(self.needed_s[0]);
        self.margin_s - before_s
    }

    /// Keeps more in reserve, because the ring ran short.
    pub(super) fn widen(&mut self) {
        self.margin_s = (self.margin_s + WIDEN_S).min(MARGIN_MAX_S);
        self.needed_s[0] = self.margin_s;
    }

    /// Narrows the margin to what is needed at once: nobody hears it now. Returns by how much, in
    /// seconds.
    pub(super) fn narrow(&mut self) -> f64 {
        let before_s = self.margin_s;
        self.margin_s = self.margin_s.min(self.needed_s());
        before_s - self.margin_s
    }

    fn needed_s(&self) -> f64 {
        self.needed_s[0].max(self.needed_s[1]).max(MARGIN_MIN_S)
    }

    /// Returns the size of the largest callback of late, in samples.
    pub(super) fn callback(&self) -> f64 {
        f64::from(self.largest[0].max(self.largest[1]))
    }

    /// Returns how many samples the device and the ring should hold together: one callback and the
    /// margin.
    pub(super) fn target(&self, rate_hz: u32) -> f64 {
        self.callback() + self.margin_s * f64::from(rate_hz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const RATE_HZ: u32 = 48_000;

    fn shared() -> Shared {
        Shared::new(RATE_HZ, Instant::now(), None)
    }

    /// Runs so many frames of 20 ms in which nothing is late.
    fn calm(pace: &mut Pace, shared: &Shared, frames: u32) {
        for _ in 0..frames {
            shared.note_callback(120, Instant::now());
            assert!(!pace.observe(shared, 0.02));
            pace.note_late(0.0);
        }
    }

    fn margin_ms(pace: &Pace) -> f64 {
        (pace.target(RATE_HZ) - pace.callback()) / 48.0
    }

    #[test]
    fn what_nobody_needs_goes_slowly_while_sound_flows_and_at_once_in_a_pause() {
        let (shared, mut pace) = (shared(), Pace::new(0));
        calm(&mut pace, &shared, 200);
        assert_eq!(margin_ms(&pace), 8.0, "nothing is known for two windows");
        calm(&mut pace, &shared, 300);
        assert!((6.0..8.0).contains(&margin_ms(&pace)));
        let narrowed_ms = pace.narrow() * 1_000.0;
        assert!((margin_ms(&pace) - 2.0).abs() < 0.01, "the least");
        assert!((4.0..6.0).contains(&narrowed_ms), "{narrowed_ms}");
    }

    #[test]
    fn lateness_is_kept_for_two_windows() {
        let (shared, mut pace) = (shared(), Pace::new(0));
        calm(&mut pace, &shared, 500);
        pace.narrow();
        let widened_ms = pace.note_late(0.012) * 1_000.0;
        assert!((margin_ms(&pace) - 13.0).abs() < 0.01, "and 1 ms is left");
        assert!((widened_ms - 11.0).abs() < 0.01, "{widened_ms}");
        calm(&mut pace, &shared, 100);
        pace.narrow();
        assert!((margin_ms(&pace) - 13.0).abs() < 0.01);
        calm(&mut pace, &shared, 200);
        pace.narrow();
        assert!((margin_ms(&pace) - 2.0).abs() < 0.01);
    }

    #[test]
    fn shortfalls_widen_it_within_bounds_and_earlier_ones_do_not_count() {
        let shared = shared();
        shared.note_shortfall();
        let mut pace = Pace::new(shared.shortfalls());
        assert!(!pace.observe(&shared, 0.02));
        shared.note_shortfall();
        assert!(pace.observe(&shared, 0.02));
        assert!((margin_ms(&pace) - 14.0).abs() < 0.1);
        (0..100).for_each(|_| pace.widen());
        assert_eq!(margin_ms(&pace), 100.0);
        pace.note_late(10.0);
        assert_eq!(margin_ms(&pace), 100.0);
    }

    #[test]
    fn one_giant_callback_is_forgotten() {
        let (shared, mut pace) = (shared(), Pace::new(0));
        shared.note_callback(48_000, Instant::now());
        pace.observe(&shared, 0.02);
        assert_eq!(pace.callback(), 48_000.0);
        calm(&mut pace, &shared, 260);
        assert_eq!(pace.callback(), 120.0);
    }
}
