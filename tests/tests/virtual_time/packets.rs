//! Handmade packets, for peers that are no clients.

use serde::Serialize;
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::seq::Seq;
use talkspurt_core::wire::{ClientPacket, Hello, PROTOCOL_VERSION, Voice};

/// Encodes a packet for the stream.
pub fn encoded(packet: &impl Serialize) -> Vec<u8> {
    let mut bytes = [0; ENCODED_MAX];
    let len = write_to_stream(packet, &mut bytes).expect("it fits");
    bytes[..len].to_vec()
}

/// A Hello that asks for PCM16.
pub fn hello(room: &str, name: &str) -> Vec<u8> {
    encoded(&ClientPacket::Hello(Hello {
        version: PROTOCOL_VERSION,
        room,
        name,
        codecs: &[0],
        rates_hz: [16_000].into_iter().collect(),
        muted: false,
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
