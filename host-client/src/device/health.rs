//! Decides whether an opened stream is still alive.
//!
//! Errors alone do not tell. cpal reports a few at the start and after every xrun while the sound
//! is fine, and thousands in half a second when ALSA's pulse plugin is starved on a busy machine;
//! then sound flows again. When a sound server dies under that plugin, cpal reports not a lost
//! device but 144,000 errors a second (measured), with no data callback in between. So progress is
//! what counts: errors end a stream only after a while without a callback.

use super::shared::Shared;
use std::time::{Duration, Instant};

/// Errors without a single callback for this long mean that the stream is dead. A plugin starved on
/// a busy machine recovers sooner (measured: gaps of up to half a second), and a new stream has
/// stopped complaining by then (measured: after 0.1 s).
const STORM: Duration = Duration::from_secs(1);
/// This many errors since the last callback are a storm. A healthy stream has less than one per
/// callback.
const STORM_ERRORS: u32 = 100;
/// Longest pause between callbacks of a working stream. Buffers in use hold a second at most.
const STALL: Duration = Duration::from_millis(2_500);

/// Why a stream is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Loss {
    /// The device itself says so.
    #[error("the device is gone")]
    Gone,
    /// Errors without sound.
    #[error("the sound system reports errors without end")]
    Storm,
    /// No more callbacks.
    #[error("the sound system has stopped responding")]
    Stalled,
}

/// Watches one stream.
pub(super) struct Health {
    callbacks: u32,
    /// When the last callback was seen, and how many errors there had been by then.
    alive_at: Instant,
    alive_errors: u32,
}

impl Health {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            callbacks: 0,
            alive_at: now,
            alive_errors: 0,
        }
    }

    /// Call this many times a second. `Some` means that the stream should be dropped.
    pub(super) fn observe(&mut self, shared: &Shared, now: Instant) -> Option<Loss> {
        let (callbacks, errors) = (shared.callbacks(), shared.errors());
        if shared.is_fatal() {
            return Some(Loss::Gone);
        }
        if callbacks != self.callbacks {
            (self.callbacks, self.alive_at, self.alive_errors) = (callbacks, now, errors);
        }
        let (quiet, complaints) = (now - self.alive_at, errors.wrapping_sub(self.alive_errors));
        if quiet >= STORM && complaints >= STORM_ERRORS {
            return Some(Loss::Storm);
        }
        (quiet >= STALL).then_some(Loss::Stalled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a stream of `(milliseconds, callbacks a second, errors a second)` sections. Returns why
    /// and when it is given up, if it is.
    fn run(sections: &[(u64, u64, u64)]) -> Option<(Loss, u64)> {
        let start = Instant::now();
        let shared = Shared::new(48_000, start, None);
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
    fn a_storm_is_noticed_within_little_more_than_a_second() {
        let (loss, ms) = run(&[(3_000, 100, 0), (5_000, 0, 144_000)]).expect("a dead sound server");
        assert_eq!(loss, Loss::Storm);
        assert!((3_950..=4_050).contains(&ms), "after {ms} ms");
        let (loss, ms) = run(&[(5_000, 0, 144_000)]).expect("dead from the beginning");
        assert_eq!((loss, ms), (Loss::Storm, 1_000));
    }

    #[test]
    fn errors_while_sound_flows_are_not_a_loss() {
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

    /// After an xrun, ALSA's pulse plugin on a busy machine reports errors until it has heard from
    /// the server.
    #[test]
    fn a_starved_plugin_that_makes_progress_is_not_a_loss() {
        for starved_ms in [100, 300, 600, 900] {
            let pattern = [(starved_ms, 0, 50_000), (30, 100, 0)];
            assert_eq!(run(&pattern.repeat(30)), None, "{starved_ms} ms");
        }
        let (loss, _) = run(&[(1_200, 0, 50_000), (30, 100, 0)]).expect("no progress for too long");
        assert_eq!(loss, Loss::Storm);
    }

    #[test]
    fn silence_of_the_callbacks_is_a_loss() {
        let (loss, ms) = run(&[(10_000, 0, 3)]).expect("nothing ever came");
        assert_eq!((loss, ms), (Loss::Stalled, 2_500));
    }

    #[test]
    fn a_device_that_says_it_has_gone_is_believed() {
        let now = Instant::now();
        let shared = Shared::new(48_000, now, None);
        let mut health = Health::new(now);
        assert_eq!(health.observe(&shared, now), None);
        shared.note_error(true);
        assert_eq!(health.observe(&shared, now), Some(Loss::Gone));
    }
}
