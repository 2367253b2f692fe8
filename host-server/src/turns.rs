//! Whose turn it is on the one thread: what is due, or what came in. Pure.
//!
//! What is due goes first, so that no crowd of readers keeps a tick waiting. But it never takes
//! more than every other slice of time while input waits: a server with more to mix than it can
//! would read nothing any more, and mix silence.
//!
//! There is one exception. After the thread was away for a moment, voice lies in the sockets that
//! has arrived in time for the ticks that were missed. Then input goes first, for a moment and once
//! for each deadline: what has arrived is not late.

use talkspurt_core::time::{Duration, Instant};

/// A deadline that was missed by more, with nobody looking meanwhile, shows that the thread was
/// away. Timers alone are up to 1 ms late.
const AWAY_MIN: Duration = Duration::from_millis(2);
/// So much time input gets at most after that: several hundred reads.
const GRACE: Duration = Duration::from_millis(5);

/// Shares the thread's time.
#[derive(Clone, Copy, Debug)]
pub struct Turns {
    /// When somebody last asked whose turn it is.
    asked_at: Instant,
    /// Until then it is the turn of input.
    input_until: Instant,
    /// The deadline before which input went first. It waits no second time.
    graced: Option<Instant>,
}

impl Default for Turns {
    /// Nothing was done yet.
    fn default() -> Self {
        Self {
            asked_at: Instant::ZERO,
            input_until: Instant::ZERO,
            graced: None,
        }
    }
}

impl Turns {
    /// Whether what is due at `due` is to be done before more input is read.
    pub fn is_due_first(&mut self, due: Option<Instant>, now: Instant) -> bool {
        let asked_at = std::mem::replace(&mut self.asked_at, now);
        let Some(due) = due.filter(|due| *due <= now) else {
            return false;
        };
        let was_away = now.duration_since(due.max(asked_at)) > AWAY_MIN;
        if was_away && self.graced != Some(due) {
            self.graced = Some(due);
            self.input_until = now + GRACE;
        }
        self.input_until <= now
    }

    /// What was due has been worked off from `started` to `now`: input gets as much time now.
    pub fn worked(&mut self, started: Instant, now: Instant) {
        self.input_until = now + now.duration_since(started);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    #[test]
    fn what_is_due_goes_before_input_and_then_leaves_it_as_much_time() {
        let mut turns = Turns::default();
        assert!(!turns.is_due_first(None, at(9)) && !turns.is_due_first(Some(at(10)), at(9)));
        assert!(turns.is_due_first(Some(at(10)), at(10)));
        turns.worked(at(10), at(13));
        assert!(!turns.is_due_first(Some(at(13)), at(15)));
        assert!(turns.is_due_first(Some(at(13)), at(16)));
    }

    #[test]
    fn after_an_absence_input_goes_first_for_a_moment_and_once() {
        let mut turns = Turns::default();
        assert!(!turns.is_due_first(Some(at(20)), at(10)));
        // Asleep until 2 ms after the deadline: that is no absence. Later is.
        assert!(turns.is_due_first(Some(at(20)), at(22)));
        assert!(!turns.is_due_first(Some(at(40)), at(43)));
        assert!(!turns.is_due_first(Some(at(40)), at(47)));
        assert!(turns.is_due_first(Some(at(40)), at(48)), "5 ms, no more");
        assert!(turns.is_due_first(Some(at(40)), at(90)), "once");
        // With somebody asking all the time, a late deadline is overload.
        assert!(!turns.is_due_first(None, at(101)));
        assert!(turns.is_due_first(Some(at(95)), at(102)));
    }
}
