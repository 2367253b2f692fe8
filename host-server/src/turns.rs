//! Decides whether due work or input goes first on the one thread, without I/O.
//!
//! Due work goes first, so that no crowd of readers delays a tick. But while input waits, due work
//! takes at most every other slice of time: a server with more to mix than it has time for would
//! otherwise stop reading, and mix silence.
//!
//! There is one exception. After the thread was away for a moment, the sockets hold voice that
//! arrived in time for the missed ticks. Then input goes first, for a moment and once for each
//! deadline, so that this voice does not count as late.

use talkspurt_core::time::{Duration, Instant};

/// A deadline missed by more than this, with nobody asking meanwhile, shows that the thread was
/// away. Timers alone are up to 1 ms late.
const AWAY_MIN: Duration = Duration::from_millis(2);
/// How much time input gets at most after that: several hundred reads.
const GRACE: Duration = Duration::from_millis(5);

/// Divides the thread's time between due work and input.
#[derive(Debug, Default)]
pub struct Turns {
    /// When [`Turns::is_due_first`] was last called.
    asked_at: Instant,
    /// Until when input has its turn.
    input_until: Instant,
    /// The deadline before which input went first. That happens once for each.
    graced: Option<Instant>,
}

impl Turns {
    /// Returns whether the work due at `due` goes before more input.
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

    /// Records that due work took from `started` to `now`: input gets the same time now.
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
    fn due_work_goes_before_input_and_then_leaves_it_as_much_time() {
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
        // Asleep until 2 ms after the deadline does not count as away. Later does.
        assert!(turns.is_due_first(Some(at(20)), at(22)));
        assert!(!turns.is_due_first(Some(at(40)), at(43)));
        assert!(!turns.is_due_first(Some(at(40)), at(47)));
        assert!(
            turns.is_due_first(Some(at(40)), at(48)),
            "input gets 5 ms and no more"
        );
        assert!(turns.is_due_first(Some(at(40)), at(90)), "once");
        // If somebody asks all the time, a late deadline is overload.
        assert!(!turns.is_due_first(None, at(101)));
        assert!(turns.is_due_first(Some(at(95)), at(102)));
    }
}
