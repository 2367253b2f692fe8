//! Packets that are encoded once, however many get them.

use std::sync::Arc;

use talkspurt_core::audio::codec::{AnyCodec, Codec, CodecId, PAYLOAD_MAX};
use talkspurt_core::audio::frame::Frame;
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::seq::Seq;
use talkspurt_core::wire::{ServerPacket, Voice};

use crate::outbox::SharedPacket;

/// The encoders of a room for the mixes that are shared.
#[derive(Clone, Debug)]
pub struct SharedEncoders([AnyCodec; CodecId::ALL.len()]);

impl Default for SharedEncoders {
    fn default() -> Self {
        Self(CodecId::ALL.map(AnyCodec::from))
    }
}

impl SharedEncoders {
    /// Returns the encoder for one codec.
    pub fn of(&mut self, codec: CodecId) -> &mut AnyCodec {
        &mut self.0[usize::from(codec.id())]
    }
}

/// Encodes a mix as the voice packet of tick number `tick`.
pub fn encode_mix(
    mix: &Frame,
    encoder: &mut AnyCodec,
    tick: u32,
    terminator: bool,
) -> SharedPacket {
    let mut payload = [0; PAYLOAD_MAX];
    let len = encoder
        .encode(mix, &mut payload)
        .expect("a frame of a session fits its payload");
    encode_voice(tick, terminator, &payload[..len])
}

/// Writes a voice packet. The tick numbers both the packet and its frame period: contiguous within
/// a talkspurt, and the same for all who hear it.
pub fn encode_voice(tick: u32, terminator: bool, payload: &[u8]) -> SharedPacket {
    encode(&ServerPacket::Voice(Voice {
        seq: Seq(tick as u16),
        timestamp_frames: tick,
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
