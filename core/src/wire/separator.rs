//! When a zero goes before a packet, so that noise on a quiet line does not cost the packet after it.

use crate::time::{Duration, Instant};

/// A stream that was silent for this long may hold noise that no zero has ended yet. Shorter than the gaps between the packets
/// of a silent session, longer than those between frames of voice.
const PAUSE: Duration = Duration::from_ms(100);

/// Tells the writer of a stream when to write a zero first.
///
/// Noise on a serial line where nothing is sent sticks to the packet that comes next, and costs it. In a talkspurt that is one
/// frame, but a lone Pong may be all that keeps a session alive.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Separator {
    /// A packet that begins at this time or later follows a pause.
    due_at: Instant,
}

impl Separator {
    /// For a stream on which nothing was written yet: its first packet may follow noise, too.
    pub const fn new() -> Self {
        Self {
            due_at: Instant::ZERO,
        }
    }

    /// Says that a packet begins at `now`; true if a zero goes before it.
    pub fn begin(&mut self, now: Instant) -> bool {
        let due = now >= self.due_at;
        self.due_at = now + PAUSE;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_goes_before_the_first_packet_and_after_each_pause() {
        let mut separator = Separator::new();
        let at = Instant::from_micros;
        let due = [0, 20_000, 119_999, 219_998, 319_998, 319_999, 9_000_000]
            .map(|micros| separator.begin(at(micros)));
        assert_eq!(due, [true, false, false, false, true, false, true]);
    }
}
