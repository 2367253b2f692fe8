//! Packets that are encoded once, however many get them.

use std::sync::Arc;

use talkspurt_core::audio::codec::{AnyCodec, CodecId};
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::wire::{ServerPacket, Voice};

use crate::outbox::SharedPacket;

/// The encoders of a room for the mixes that are shared, by the number of their codec.
pub type SharedEncoders = [AnyCodec; CodecId::ALL.len()];

/// What numbers the voice packets of a tick: contiguous within a talkspurt, and the same for all
/// who hear it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Counts the room's ticks.
    pub seq: Seq,
    /// When the tick was due, on the room's clock.
    pub timestamp: Timestamp,
}

impl Stamp {
    /// Returns what numbers the tick at `clock`, and goes on by a frame. Where ticks follow one
    /// another both numbers advance together; after a pause the time has gone on.
    pub fn take(&mut self, clock: Timestamp, frame: FrameDuration) -> Self {
        if clock.distance(self.timestamp) > 0 {
            self.timestamp = clock;
        }
        let next = self.plus(1, frame);
        std::mem::replace(self, next)
    }

    /// Returns what numbers the tick so many frames later.
    pub fn plus(self, frames: u64, frame: FrameDuration) -> Self {
        Self {
            seq: self.seq.plus(frames as u16),
            timestamp: self
                .timestamp
                .plus(frame.units().wrapping_mul(frames as u32)),
        }
    }
}

/// Writes a voice packet.
pub fn encode_voice(stamp: Stamp, level: u8, terminator: bool, payload: &[u8]) -> SharedPacket {
    encode(&ServerPacket::Voice(Voice {
        seq: stamp.seq,
        timestamp: stamp.timestamp,
        level,
        stream: 0,
        terminator,
        payload,
    }))
}

/// Writes a packet as it stands in a stream.
pub fn encode(packet: &ServerPacket<'_>) -> SharedPacket {
    let mut bytes = [0; ENCODED_MAX];
    let len =
        write_to_stream(packet, &mut bytes).expect("every packet of a server fits ENCODED_MAX");
    Arc::from(&bytes[..len])
}
