//! How long voice takes from mouth to ear. Apart, so that a node does not carry it.

use super::Client;
use crate::audio::codec::Codec;
use crate::endpoint::DelayMeter;
use crate::endpoint::delay_meter::{Captured, Played};
use crate::time::{Duration, Instant};
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
    /// Measures how long the client's own voice takes to the server, and tells it. Call it after
    /// [`Client::push_frame`], with the `meter` of this session; `waiting` is how much sound from
    /// behind that frame waits in the microphone's device and buffers.
    pub fn measure_captured(&mut self, now: Instant, waiting: Duration, meter: &mut DelayMeter) {
        let Some(params) = self.session.params() else {
            return;
        };
        if !self.uplink.is_talking() {
            return;
        }
        // A frame begins as long ago as it is long.
        let captured = Captured {
            frame: params.format.frame.duration(),
            waiting,
            held_back: self.uplink.held_back(),
        };
        if let Some(delay_ms) = meter.captured(now, captured, &mut self.session) {
            self.session.report_delay(delay_ms);
        }
    }

    /// Notes which voice has come. Call it after [`Client::handle_stream`].
    pub fn measure_received(&self, now: Instant, meter: &mut DelayMeter) {
        meter.received(now, self.downlink.depth_frames());
    }

    /// Measures how long voice takes from the server to the ear. Call it after
    /// [`Client::pop_frame`], unless that gave silence; `more` is how long the frame waits in the
    /// speaker's device and buffers until it is heard.
    pub fn measure_played(&mut self, now: Instant, more: Duration, meter: &mut DelayMeter) {
        let waiting_frames = self.downlink.depth_frames();
        let played = Played {
            waiting_frames,
            held_back: self.downlink.held_back(),
            speaker: more,
        };
        meter.played(now, played, &mut self.session);
    }

    /// Notes that what [`Client::pop_frame`] gave is not played.
    pub fn measure_passed(&self, meter: &mut DelayMeter) {
        meter.passed(self.downlink.depth_frames());
    }

    /// How long the voice that was heard last took from mouth to ear: that of the talker who takes
    /// longest, if several talk. `None` if that is not known: nobody was heard yet, or only talkers
    /// whose clients, as those of nodes, do not tell how long their voice takes.
    ///
    /// Servers tell so only if [`JoinRequest::reports_delay`] is set.
    ///
    /// [`JoinRequest::reports_delay`]: crate::session::JoinRequest::reports_delay
    pub fn mouth_to_ear(&self, meter: &DelayMeter) -> Option<Duration> {
        Some(self.session.delay_heard()? + meter.server_to_ear()?)
    }
}
