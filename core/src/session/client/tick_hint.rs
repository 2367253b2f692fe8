//! By how much the client's frames should begin later. Apart, so that a node, which does not shift
//! its frames, does not carry it.

use super::ClientSession;
use crate::seq::Seq;
use crate::time::Duration;

impl ClientSession {
    /// Takes what the server said last of when the client's frames should begin: later by so much,
    /// which is less than a frame. The caller shifts them between two talkspurts, behind `last`,
    /// the last voice packet that was sent. A hint about frames from before an earlier shift is
    /// ignored, and so is one that makes no sense.
    pub fn take_tick_shift(&mut self, last: Seq) -> Option<Duration> {
        let frame = self.params()?.format.frame.duration();
        let hint = self.run.tick_hint.take()?;
        let shift = Duration::from_micros(hint.shift_us.into());
        // How many packets were sent after the one that the hint names, and after the last shift:
        // negative numbers lie in the future, or too far back to tell.
        let sent_since = |seq| last.distance(seq);
        let is_stale = |shifted| (0..=sent_since(hint.seq)).contains(&sent_since(shifted));
        let is_good = self.request.shifts_frames
            && sent_since(hint.seq) >= 0
            && !self.run.shifted_after.is_some_and(is_stale)
            && shift > Duration::ZERO
            && shift < frame;
        if !is_good {
            return None;
        }
        self.run.shifted_after = Some(last);
        Some(shift)
    }
}
