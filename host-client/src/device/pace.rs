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
    pub(super) fn new() -> Self {
        Self {
            margin_s: MARGIN_START_S,
            window_s: 0.0,
            largest: [0; 2],
            // Nothing is known yet: for two windows the margin does not narrow.
            needed_s: [MARGIN_START_S; 2],
            shortfalls_seen: 0,
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
