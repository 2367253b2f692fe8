//! When the frames of the microphone should begin. Apart, so that a node does not carry it.

use super::Client;
use crate::audio::codec::Codec;
use crate::time::Duration;
use crate::voice::uplink::CatchUp;

impl<
    const PAYLOAD: usize,
    const ENCODED: usize,
    const SLOTS: usize,
    const QUEUE: usize,
    const HISTORY: usize,
    const FRAME: usize,
    C: Codec,
    K: CatchUp,
> Client<PAYLOAD, ENCODED, SLOTS, QUEUE, HISTORY, FRAME, C, K>
{
    /// Takes by how much the next frame, and with it all that follow, should begin later, so that
    /// they wait less for the room's tick: less than a frame. Call it when a frame is due, and
    /// shift the frames then; the session's clock goes on by as much. `None` while a talkspurt is
    /// running, and if the server has said nothing new.
    ///
    /// Servers say so only if [`JoinRequest::shifts_frames`] is set.
    ///
    /// [`JoinRequest::shifts_frames`]: crate::session::JoinRequest::shifts_frames
    pub fn take_tick_shift(&mut self) -> Option<Duration> {
        if self.uplink.is_talking() {
            return None;
        }
        let shift = self.session.take_tick_shift(self.uplink.last_seq()?)?;
        self.uplink.shift_clock(shift);
        Some(shift)
    }
}
