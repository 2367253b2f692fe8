//! The start of a stream, when the fill of its ring is not known yet.
//!
//! Sound systems differ in how much a device takes or holds before its callbacks come evenly
//! (measured with ALSA's pulse plugin: 10 to 25 ms more than the target). Correcting that by pitch
//! would take ten seconds. So it is corrected at once at the start, and pitch only follows clock
//! drift.

/// A stream's first callbacks come in a burst and are ignored. Seconds.
const BURST_S: f64 = 0.2;
/// After that the fill is averaged over this time: ten frames of 20 ms, twenty callbacks. Seconds.
const MEAN_S: f64 = 0.2;

/// Watches the fill of a ring whose stream has just started, or restarted after it ran dry.
#[derive(Debug, Default)]
pub(super) struct Settling {
    passed_s: f64,
    sum: f64,
    count: u32,
    over: bool,
}

impl Settling {
    /// Takes, once per frame, how much more than its target the ring holds, in seconds (negative:
    /// less). Returns the mean once: the amount to cut or add now.
    pub(super) fn observe(&mut self, excess: f64, frame_s: f64) -> Option<f64> {
        if self.over {
            return None;
        }
        self.passed_s += frame_s;
        if self.passed_s > BURST_S {
            self.sum += excess;
            self.count += 1;
        }
        self.over = self.passed_s >= BURST_S + MEAN_S && self.count > 0;
        self.over.then(|| self.sum / f64::from(self.count))
    }

    /// Returns whether the start is over and only drift remains.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Goes without it: the stream has run for long.
    pub(super) fn skip(&mut self) {
        self.over = true;
    }

    /// Starts over with a restarted stream.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_after_the_burst_is_given_once() {
        let mut settling = Settling::default();
        for _ in 0..2 {
            let mut given = Vec::new();
            for frame in 0..100 {
                let excess = if frame < 10 {
                    10_000.0
                } else {
                    f64::from(frame % 2) * 200.0
                };
                given.extend(settling.observe(excess, 0.02).map(|mean| (frame, mean)));
            }
            assert_eq!(given.len(), 1, "{given:?}");
            let (frame, mean) = given[0];
            assert!(
                (18..=21).contains(&frame) && (80.0..=120.0).contains(&mean),
                "{given:?}"
            );
            assert!(settling.is_over());
            settling.restart();
            assert!(!settling.is_over());
        }
    }
}
