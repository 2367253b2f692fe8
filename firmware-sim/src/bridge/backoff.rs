//! How long to wait before an end is opened again.

use std::time::Duration;

/// First wait. Short, since a restarted server is back at once and a node waits for it.
const FIRST: Duration = Duration::from_millis(100);
/// Longest wait. A person who plugs the cable back in should not wonder whether it works.
const LONGEST: Duration = Duration::from_secs(1);

/// Waits that double from 100 ms to 1 s, until an attempt has lasted.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    /// Starts at the shortest wait.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: FIRST }
    }

    /// The wait before the next attempt; the one after it is twice as long.
    pub fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        wait
    }

    /// The end was open for `lasted`. Only when that is longer than the longest wait do the waits start anew: a server
    /// that accepts and hangs up at once must not be called ten times a second.
    pub fn was_open(&mut self, lasted: Duration) {
        if lasted > LONGEST {
            self.next = FIRST;
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_second_and_start_anew_after_a_lasting_success() {
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..6).map(|_| backoff.wait().as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
        backoff.was_open(Duration::from_millis(500));
        assert_eq!(backoff.wait().as_millis(), 1000);
        backoff.was_open(Duration::from_secs(3));
        assert_eq!(backoff.wait().as_millis(), 100);
    }
}
