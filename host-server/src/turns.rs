//! Whose turn it is on the one thread: what is due, or what came in. Pure.
//!
//! What is due goes first, so that no crowd of readers keeps a tick waiting. But it never takes more than every other slice of
//! time while input waits: a server with more to mix than it can would read nothing any more, and mix silence.

use talkspurt_core::time::Instant;

/// Shares the thread's time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turns {
    /// Until then it is the turn of input.
    input_until: Option<Instant>,
}

impl Turns {
    /// Whether what is due at `due` is to be done before more input is read.
    pub fn is_due_first(&self, due: Option<Instant>, now: Instant) -> bool {
        due.is_some_and(|due| due <= now) && self.input_until.is_none_or(|until| until <= now)
    }

    /// What was due has been worked off from `started` to `now`: input gets as much time now.
    pub fn worked(&mut self, started: Instant, now: Instant) {
        self.input_until = Some(now + now.since(started));
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
        assert!(!turns.is_due_first(None, at(10)) && !turns.is_due_first(Some(at(11)), at(10)));
        assert!(turns.is_due_first(Some(at(10)), at(10)));
        turns.worked(at(10), at(13));
        assert!(!turns.is_due_first(Some(at(13)), at(15)));
        assert!(turns.is_due_first(Some(at(13)), at(16)));
    }
}
