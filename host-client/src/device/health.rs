//! Is an opened stream still alive?
//!
//! The error callback alone does not tell: it fires a few times at the start and after every xrun while the sound is fine,
//! and when a sound server dies under ALSA's pulse plugin it reports no lost device but fires 144,000 times a second
//! (measured). So what counts is how errors and data callbacks compare, and whether data callbacks still come at all.

use super::shared::Shared;
use std::{
    fmt,
    time::{Duration, Instant},
};

/// Errors and callbacks are compared over this time.
const WINDOW: Duration = Duration::from_millis(250);
/// So many errors in a window are a storm, unless data flows beside them. A healthy stream has less than one per callback.
const STORM_ERRORS: u32 = 100;
/// Errors per data callback that no working stream has.
const STORM_RATIO: u32 = 4;
/// A young stream may do nothing but complain (measured: more than 100 errors in the first 100 ms of a healthy one).
const GRACE: Duration = Duration::from_secs(1);
/// The longest pause between callbacks of a working stream; a second of buffer is the most that is in use.
const STALL: Duration = Duration::from_millis(2_500);

/// Why a stream is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// The device says so itself.
    Gone,
    /// Errors without sound.
    Storm,
    /// No callback any more.
    Stalled,
}

/// Watches one stream.
pub(super) struct Health {
    start: Instant,
    window_start: Instant,
    window_callbacks: u32,
    window_errors: u32,
    callbacks: u32,
    alive_at: Instant,
}

impl Health {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            start: now,
            window_start: now,
            window_callbacks: 0,
            window_errors: 0,
            callbacks: 0,
            alive_at: now,
        }
    }

    /// To be called a few times in every window. `Some` means: drop the stream.
    pub(super) fn observe(&mut self, shared: &Shared, now: Instant) -> Option<Loss> {
        let (callbacks, errors) = (shared.callbacks(), shared.errors());
        if shared.is_fatal() {
            return Some(Loss::Gone);
        }
        if callbacks != self.callbacks {
            (self.callbacks, self.alive_at) = (callbacks, now);
        }
        let fresh_callbacks = callbacks.wrapping_sub(self.window_callbacks);
        let fresh_errors = errors.wrapping_sub(self.window_errors);
        let is_young = now - self.start < GRACE;
        if !is_young && fresh_errors >= STORM_ERRORS && fresh_errors / STORM_RATIO > fresh_callbacks
        {
            return Some(Loss::Storm);
        }
        if now - self.window_start >= WINDOW {
            (self.window_start, self.window_callbacks, self.window_errors) =
                (now, callbacks, errors);
        }
        (now - self.alive_at >= STALL).then_some(Loss::Stalled)
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "the device has gone",
            Self::Storm => "the sound system reports errors without end",
            Self::Stalled => "the sound system has stopped calling",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream of `(milliseconds, callbacks a second, errors a second)` sections; when it is given up, if it is.
    fn run(sections: &[(u64, u64, u64)]) -> Option<(Loss, u64)> {
        let start = Instant::now();
        let shared = Shared::new(48_000, start);
        let mut health = Health::new(start);
        let mut ms = 0;
        for (length_ms, callbacks_per_s, errors_per_s) in sections {
            for step in 1..=*length_ms {
                let now = start + Duration::from_millis(ms);
                let due = |per_s: &u64| step * per_s / 1_000 - (step - 1) * per_s / 1_000;
                (0..due(callbacks_per_s)).for_each(|_| shared.note_callback(480, now));
                (0..due(errors_per_s)).for_each(|_| shared.note_error(false));
                if ms % 50 == 0
                    && let Some(loss) = health.observe(&shared, now)
                {
                    return Some((loss, ms));
                }
                ms += 1;
            }
        }
        None
    }

    #[test]
    fn a_storm_is_noticed_within_a_fraction_of_a_second() {
        let (loss, ms) = run(&[(3_000, 100, 0), (5_000, 0, 144_000)]).expect("a dead sound server");
        assert_eq!(loss, Loss::Storm);
        assert!((3_000..=3_100).contains(&ms), "after {ms} ms");
        let (loss, ms) = run(&[(5_000, 0, 144_000)]).expect("dead from the beginning");
        assert_eq!((loss, ms), (Loss::Storm, 1_000));
    }

    #[test]
    fn errors_beside_flowing_sound_are_no_loss() {
        assert_eq!(run(&[(10_000, 100, 0)]), None);
        assert_eq!(
            run(&[(10_000, 100, 100)]),
            None,
            "an xrun with every callback"
        );
        assert_eq!(run(&[(10_000, 1, 30)]), None, "a slow device");
        assert_eq!(
            run(&[(400, 0, 5_000), (5_000, 100, 0)]),
            None,
            "a bad start"
        );
    }

    #[test]
    fn silence_of_the_callbacks_is_a_loss() {
        let (loss, ms) = run(&[(10_000, 0, 3)]).expect("nothing ever came");
        assert_eq!((loss, ms), (Loss::Stalled, 2_500));
    }

    #[test]
    fn a_device_that_says_it_has_gone_is_believed() {
        let now = Instant::now();
        let shared = Shared::new(48_000, now);
        let mut health = Health::new(now);
        assert_eq!(health.observe(&shared, now), None);
        shared.note_error(true);
        assert_eq!(health.observe(&shared, now), Some(Loss::Gone));
    }
}
