//! What a client knows of its session and its voice.

use super::Client;
use crate::audio::codec::Codec;
use crate::audio::gate::GateLevels;
use crate::audio::jitter::JitterStats;
use crate::endpoint::ClientStats;
use crate::session::{JoinRequest, SessionParams};
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
    /// Returns what the next Hello asks for, or the last one asked for.
    pub const fn request(&self) -> &JoinRequest {
        self.session.request()
    }

    /// Returns whether the microphone is muted.
    pub const fn is_muted(&self) -> bool {
        self.muted
    }

    /// Returns what the server decided, while in a room.
    pub fn params(&self) -> Option<SessionParams> {
        self.session.params()
    }

    /// Returns whether the session is over, or has not begun.
    pub fn is_closed(&self) -> bool {
        self.session.is_closed()
    }

    /// Returns what the server said with its Reject or Bye; empty if it said nothing.
    pub fn closing_text(&self) -> &str {
        self.session.closing_text()
    }

    /// Returns the round trip to the server and back, as last measured.
    pub const fn round_trip(&self) -> Option<Duration> {
        self.session.round_trip()
    }

    /// Returns whether a talkspurt of the client's own is running.
    pub const fn is_talking(&self) -> bool {
        self.uplink.is_talking()
    }

    /// Returns the level of the last frame of the microphone: RMS, 0..=32768.
    pub const fn level_rms(&self) -> u16 {
        self.uplink.level_rms()
    }

    /// Returns whether voice of others is being played, or waits for that.
    pub fn is_hearing(&self) -> bool {
        self.downlink.is_active()
    }

    /// Returns whether the next frame of that voice has come: a frame that is due may wait for it
    /// as long as its device has sound.
    pub fn is_next_here(&self) -> bool {
        self.downlink.is_next_here()
    }

    /// Returns the levels that the gate goes by now; `None` if it is always open.
    pub fn gate_levels(&self) -> Option<GateLevels> {
        self.uplink.gate_levels()
    }

    /// Returns how many frames wait to be played, and how many are aimed at.
    pub const fn playout_frames(&self) -> (u16, u16) {
        (self.downlink.depth_frames(), self.downlink.target_frames())
    }

    /// Returns what the jitter buffer has seen so far, in all sessions.
    pub const fn jitter_stats(&self) -> JitterStats {
        self.earlier_jitter.plus(*self.downlink.stats())
    }

    /// Returns what was counted so far.
    pub fn stats(&self) -> ClientStats {
        ClientStats {
            dropped_bytes: self.deframer.dropped_bytes(),
            voice_dropped: self.queue.dropped(),
            ..self.stats
        }
    }
}
