//! What tests of several modules need.

use talkspurt_core::audio::codec::CodecId;
use talkspurt_core::session::HelloRequest;
use talkspurt_core::wire::PACKET_BYTES_LEAST;

use crate::resume::Tokens;

/// The tokens of a session that resumed none.
pub const TOKENS: Tokens = Tokens {
    own: [9; 16],
    earlier: None,
};

/// A request of someone with that name to join a room of PCM16.
pub fn request(name: &str) -> HelloRequest {
    HelloRequest {
        nonce: [7; 8],
        max_packet: PACKET_BYTES_LEAST as u16,
        resume: None,
        room: "kitchen".parse().unwrap(),
        name: name.parse().unwrap(),
        codec_up: CodecId::Pcm16,
        codec_down: CodecId::Pcm16,
        muted: false,
        roster: true,
        features: 0,
        credentials: Some(Default::default()),
    }
}
