//! Handmade packets, for peers that are no clients.

use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::wire::{ClientPacket, Encode, Hello, PROTOCOL_VERSION, Voice};

/// Encodes a packet for the stream.
pub fn encoded(packet: &impl Encode) -> Vec<u8> {
    let mut bytes = [0; ENCODED_MAX];
    let len = write_to_stream(packet, &mut bytes).expect("it fits");
    bytes[..len].to_vec()
}

/// A Hello that asks for PCM16.
pub fn hello(room: &str, name: &str) -> Vec<u8> {
    encoded(&ClientPacket::Hello(Hello {
        version: PROTOCOL_VERSION,
        nonce: [7; 8],
        max_packet: 1_280,
        features: 0,
        resume: None,
        room,
        name,
        codecs_up: &[0],
        codecs_down: &[0],
        rates_hz: [16_000].into_iter().collect(),
        flags: Default::default(),
        roster: 1,
        credentials: &[],
    }))
}

/// A keepalive.
pub fn ping(number: u32) -> Vec<u8> {
    encoded(&ClientPacket::Ping(number))
}

/// A frame in the middle of a talkspurt.
pub fn voice(number: u16, payload: &[u8]) -> Vec<u8> {
    encoded(&ClientPacket::Voice(Voice {
        seq: Seq(number),
        timestamp: Timestamp(8 * u32::from(number)),
        level: 40,
        stream: 0,
        terminator: false,
        payload,
    }))
}
