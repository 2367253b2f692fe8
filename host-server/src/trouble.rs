//! Accepting fails again and again while the cause lasts: what is said of it. Pure.

use talkspurt_core::time::{Duration, Instant};

/// While accepting goes on to fail, a line in so much time.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// The failures of one listener.
#[derive(Clone, Copy, Debug, Default)]
pub struct AcceptTrouble {
    quiet_until: Option<Instant>,
    unsaid: u64,
}

impl AcceptTrouble {
    /// Accepting has failed. If it is time to say so, gives how often it has failed since it was
    /// last said.
    pub fn failed(&mut self, now: Instant) -> Option<u64> {
        self.unsaid += 1;
        if self.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        self.quiet_until = Some(now + SAY_EVERY);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_said_and_then_one_line_a_minute() {
        let mut trouble = AcceptTrouble::default();
        let at = |ms: u64| Instant::from_micros(ms * 1_000);
        let said: Vec<u64> = (0..1_500)
            .filter_map(|n| trouble.failed(at(n * 100)))
            .collect();
        assert_eq!(said, [1, 600, 600]);
    }
}
