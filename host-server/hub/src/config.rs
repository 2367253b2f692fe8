//! What a hub is told before it starts.

use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::audio::mixer::MixRule;
use talkspurt_core::time::Duration;

/// A participant's share of a roster in bytes: 32 of name, 21 around it, and packet overhead,
/// rounded up.
pub(crate) const ROSTER_ENTRY_BYTES: usize = 64;
/// Memory for the control packets that may wait for one consumer beside a roster, in bytes: 300
/// roster changes. With a talker's buffer and the voice that waits it keeps a participant below
/// 84 KiB, whatever they do.
pub(crate) const CONTROL_BYTES: usize = 24 * 1024;

/// Participants that any room may have: clients need not hold a longer roster.
pub const ROOM_CAPACITY_MAX: usize = 4_096;

/// Limits, and how rooms sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubConfig {
    /// The format of every session. Its frames have at most
    /// [`FRAME_SAMPLES_MAX`](talkspurt_core::audio::frame::FRAME_SAMPLES_MAX) samples.
    pub format: AudioFormat,
    /// How voices become one.
    pub mix_rule: MixRule,
    /// Participants in all rooms.
    pub max_participants: usize,
    /// Links beside as many as there may be participants.
    pub max_handshakes: usize,
    /// Participants in one room.
    pub room_capacity: usize,
    /// From connecting to a valid Hello, and from that to its answer.
    pub handshake_timeout: Duration,
    /// Silence after which a peer is dropped.
    pub idle_timeout: Duration,
}

impl HubConfig {
    /// Memory for the control packets that may wait for one link.
    pub(crate) fn outbox_bytes(&self) -> usize {
        CONTROL_BYTES + self.room_capacity * ROSTER_ENTRY_BYTES
    }
}

impl Default for HubConfig {
    /// The defaults of the server's command line.
    fn default() -> Self {
        Self {
            format: AudioFormat::DEFAULT,
            mix_rule: MixRule::Mean,
            max_participants: 1_000,
            max_handshakes: 256,
            room_capacity: 64,
            handshake_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(15),
        }
    }
}
