//! Whether somebody who talks is still heard. Apart, so that a node that does not ask does not
//! carry it.

use super::{ClientSession, State};
use crate::time::{Duration, Instant};
use crate::wire::Reason;

/// While the client talks, a server that has said nothing for this long is asked whether it is
/// there, ...
const TALKING_PING_EVERY: Duration = Duration::from_secs(1);

/// ... and counts as lost when it has not answered for this long. Otherwise a broken path would
/// cost the idle timeout, or as long as TCP takes to try again.
const TALKING_PATIENCE: Duration = Duration::from_secs(3);

impl ClientSession {
    /// Says that voice was sent at `now`. While it is, a server that falls silent is asked every
    /// second whether it is there, and counts as lost after three without an answer:
    /// [`Reason::CONNECTION_LOST`]. Without these calls only the idle timeout finds that.
    pub fn voice_sent(&mut self, now: Instant) {
        let State::Joined(params) = self.state else {
            return;
        };
        let has_asked = self.run.asked_at > self.run.heard_at;
        let ping_at = self.run.pinged_at.unwrap_or(self.run.heard_at);
        let next_at = ping_at.max(self.run.heard_at) + TALKING_PING_EVERY;
        if has_asked && now >= self.run.asked_at + TALKING_PATIENCE {
            self.close(Reason::CONNECTION_LOST, None);
        } else if now >= next_at {
            if !has_asked {
                self.run.asked_at = now;
            }
            self.ask(now, params.idle_timeout);
        }
    }
}
