//! When the frames of a microphone or of a file are due.
//!
//! Frame `n` is due `n` frame durations after the start, whatever happened meanwhile. A thread that
//! was not scheduled for a while finds several frames due at once and processes them all, so
//! nothing drifts and a WAV file has no gap. Sleeping one frame duration per frame would lose the
//! time of the work and of every late wake-up. What a speaker plays is due when the packets come,
//! as `net::playout_clock` has it.

use std::time::{Duration, Instant};

/// Counts the frames due since its start.
#[derive(Debug, Clone)]
pub struct FrameClock {
    start: Instant,
    frame_us: u64,
    done_frames: u64,
}

impl FrameClock {
    /// Creates a clock whose first frame is due at `start`.
    #[must_use]
    pub fn new(start: Instant, frame_ms: u8) -> Self {
        assert!(frame_ms > 0, "a frame has a duration");
        Self {
            start,
            frame_us: u64::from(frame_ms) * 1_000,
            done_frames: 0,
        }
    }

    /// Takes a frame that is due at `now`. Returns false if none is.
    pub fn take_due(&mut self, now: Instant) -> bool {
        let due = now >= self.next_due();
        self.done_frames += u64::from(due);
        due
    }

    /// Makes the next frame, and all that follow, due later by so much.
    pub fn shift(&mut self, later: Duration) {
        self.start += later;
    }

    /// Returns when the next frame is due.
    #[must_use]
    pub fn next_due(&self) -> Instant {
        self.start + Duration::from_micros(self.done_frames * self.frame_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_caught_up_and_nothing_drifts() {
        let start = Instant::now();
        let mut clock = FrameClock::new(start, 20);
        let mut now = start;
        // Wake-ups that are always late by an odd amount, and one stall of 700 ms.
        for step in 0..1_000u64 {
            now += Duration::from_micros(if step == 400 {
                700_000
            } else {
                20_000 + step % 7 * 300
            });
            while clock.take_due(now) {}
        }
        let elapsed_frames = (now - start).as_micros() as u64 / 20_000;
        assert_eq!(
            clock.done_frames,
            elapsed_frames + 1,
            "frame 0 is due at once"
        );
        assert!(clock.next_due() > now && clock.next_due() - now <= Duration::from_millis(20));
    }

    #[test]
    fn nothing_is_due_early() {
        let start = Instant::now();
        let mut clock = FrameClock::new(start, 5);
        assert!(clock.take_due(start));
        assert!(!clock.take_due(start + Duration::from_micros(4_999)));
        assert!(clock.take_due(start + Duration::from_micros(5_000)));
    }
}
