//! How often to report that accepting fails while the cause lasts, without I/O.

use talkspurt_core::time::{Duration, Instant};

/// While accepting keeps failing, one report in this time.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// The failures of one listener to accept.
#[derive(Clone, Copy, Debug, Default)]
pub struct AcceptTrouble {
    quiet_until: Option<Instant>,
    unsaid: u64,
}

impl AcceptTrouble {
    /// Records a failure. If it is time to report, returns how many there were since the last
    /// report.
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
    fn the_first_failure_is_reported_and_then_one_a_minute() {
        let mut trouble = AcceptTrouble::default();
        let at = |ms: u64| Instant::from_micros(ms * 1_000);
        let said: Vec<u64> = (0..1_500)
            .filter_map(|n| trouble.failed(at(n * 100)))
            .collect();
        assert_eq!(said, [1, 600, 600]);
    }
}
