//! The wire: every packet is parsed as it was written, and no bytes make the parser panic.

use crate::common::cases::cases;
use crate::common::packets::{client_packet, server_packet};
use proptest::collection::vec;
use proptest::prelude::*;
use talkspurt_core::audio::codec::PAYLOAD_MAX;
use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::carrier::stream::{ENCODED_MAX, encoded_len_max};
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::wire::{ClientPacket, Encode, EncodeError, ServerPacket, Voice, parse};

/// The bytes on the stream, and the packet that the deframer finds in them.
fn through_the_stream(packet: &impl Encode) -> (Vec<u8>, Vec<u8>) {
    let mut out = [0; ENCODED_MAX];
    let len = write_to_stream(packet, &mut out).unwrap();
    let mut deframer = Deframer::<ENCODED_MAX>::new();
    match deframer.feed(&out[..len]) {
        (Feed::Packet(packet), []) => (out[..len].to_vec(), packet.to_vec()),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn client_packets_are_parsed_as_written(packet in client_packet()) {
        let packet = packet.borrow();
        let (stream, bytes) = through_the_stream(&packet);
        prop_assert_eq!(parse::<ClientPacket<'_>>(&bytes).unwrap(), packet);
        prop_assert!(stream.len() <= encoded_len_max(bytes.len()));
        prop_assert_eq!(stream.iter().position(|&b| b == 0), Some(stream.len() - 1));
    }

    #[test]
    fn server_packets_are_parsed_as_written(packet in server_packet()) {
        let packet = packet.borrow();
        let (stream, bytes) = through_the_stream(&packet);
        prop_assert!(stream.len() <= encoded_len_max(bytes.len()));
        if !matches!(packet, ServerPacket::Voice(_)) {
            prop_assert!(bytes.len() <= 352, "{} bytes exceed a node's buffer", bytes.len());
        }
        prop_assert_eq!(parse::<ServerPacket<'_>>(&bytes).unwrap(), packet);
    }

    #[test]
    fn bytes_behind_a_packet_are_ignored(
        client in client_packet(),
        server in server_packet(),
        more in vec(any::<u8>(), 1..20),
    ) {
        let bytes = [through_the_stream(&client.borrow()).1, more.clone()].concat();
        prop_assert_eq!(parse(&bytes), Ok(client.borrow()));
        let bytes = [through_the_stream(&server.borrow()).1, more].concat();
        prop_assert_eq!(parse(&bytes), Ok(server.borrow()));
    }

    #[test]
    fn no_bytes_make_the_parser_panic_and_what_it_takes_it_can_write(
        bytes in vec(any::<u8>(), 0..80),
        number in 0..16u8,
    ) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = number;
        }
        if let Ok(packet) = parse::<ClientPacket<'_>>(&bytes) {
            let (_, again) = through_the_stream(&packet);
            prop_assert_eq!(parse::<ClientPacket<'_>>(&again), Ok(packet));
        }
        if let Ok(packet) = parse::<ServerPacket<'_>>(&bytes) {
            let (_, again) = through_the_stream(&packet);
            prop_assert_eq!(parse::<ServerPacket<'_>>(&again), Ok(packet));
        }
    }

    #[test]
    fn a_packet_cut_short_is_no_packet(
        client in client_packet(),
        server in server_packet(),
        cut in any::<prop::sample::Index>(),
    ) {
        let (_, bytes) = through_the_stream(&client.borrow());
        prop_assert!(parse::<ClientPacket<'_>>(&bytes[..cut.index(bytes.len())]).is_err());
        let (_, bytes) = through_the_stream(&server.borrow());
        prop_assert!(parse::<ServerPacket<'_>>(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn a_buffer_that_is_too_small_is_an_error(packet in server_packet()) {
        let (stream, bytes) = through_the_stream(&packet.borrow());
        let mut out = vec![0; encoded_len_max(bytes.len())];
        prop_assert_eq!(write_to_stream(&packet.borrow(), &mut out), Ok(stream.len()));
        prop_assert_eq!(&out[..stream.len()], &stream[..]);
        for short in 0..stream.len() {
            let written = write_to_stream(&packet.borrow(), &mut out[..short]);
            prop_assert_eq!(written, Err(EncodeError));
        }
    }
}

#[test]
fn the_bound_on_encoded_lengths_holds_for_every_length_and_is_tight() {
    // A packet without zeros is the worst case for COBS. Some of the CRCs have none either.
    let mut tight = 0;
    for len in 0..=PAYLOAD_MAX {
        let voice = Voice {
            seq: Seq(u16::MAX),
            timestamp: Timestamp(u32::MAX),
            level: 255,
            stream: 15,
            terminator: true,
            payload: &[0xff; PAYLOAD_MAX][..len],
        };
        let (stream, bytes) = through_the_stream(&ClientPacket::Voice(voice));
        assert!(stream.len() <= encoded_len_max(bytes.len()), "{len}");
        tight += u32::from(stream.len() == encoded_len_max(bytes.len()));
    }
    assert!(tight > 600, "{tight}");
}
