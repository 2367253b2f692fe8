//! The stream in both directions, and what fits in which buffer.

use super::*;

#[test]
fn noise_is_tolerated_and_a_stream_of_garbage_is_not() {
    let mut end = End::joined(20);
    let noise = [[9; 511].as_slice(), &[0]].concat();
    for second in 0..60 {
        (0..8).for_each(|_| end.receive_bytes(&noise));
        end.now += MS(1_000);
        end.receive(&ServerPacket::Ping(second));
        end.handle_timeout();
    }
    assert_eq!(end.events, []);
    end.sent();
    // 16,384 bytes at once, in the smallest pieces, are tolerated; one more is not.
    end.receive_bytes(&[9, 0].repeat(16_384));
    assert_eq!(end.events, []);
    end.receive_bytes(&[9, 0]);
    assert_eq!(end.events, [closed(Reason::DAMAGE)]);
    assert_eq!(end.sent(), [Sent::Bye(Reason::DAMAGE)]);
    let stats = end.client.stats();
    assert_eq!(stats.dropped_bytes, 60 * 8 * 511 + 16_385);
    assert_eq!((stats.malformed, stats.crc_errors), (60 * 8 + 16_385, 0));
}

#[test]
fn each_session_tolerates_the_same_amount_of_garbage() {
    let mut end = End::joined(20);
    end.receive_bytes(&[9, 0].repeat(16_385));
    assert_eq!(end.events, [closed(Reason::DAMAGE)]);
    end.join(20);
    end.receive_bytes(&[9, 0].repeat(16_384));
    assert_eq!(end.events, []);
}

#[test]
fn bytes_without_a_closing_zero_are_garbage() {
    let mut end = End::joined(20);
    let bytes = 16_384 + 1;
    (0..bytes - 1).for_each(|_| end.receive_bytes(&[7]));
    assert_eq!(end.events, []);
    end.receive_bytes(&[7]);
    assert_eq!(end.events, [closed(Reason::DAMAGE)]);
    let stats = end.client.stats();
    assert_eq!((stats.dropped_bytes, stats.malformed), (bytes, 0));
}

#[test]
fn a_damaged_packet_is_counted_and_the_next_one_is_read() {
    let mut end = End::joined(20);
    let mut bytes = [0; ENCODED_MAX];
    let len = write_to_stream(&ServerPacket::Ping(0x0102_0304), &mut bytes).unwrap();
    let mut damaged = bytes;
    damaged[2] ^= 1;
    end.receive_bytes(&damaged[..len]);
    // In pieces, as streams deliver them.
    let (beginning, rest) = bytes[..len].split_at(len / 2);
    end.receive_bytes(beginning);
    assert_eq!(end.sent(), []);
    end.receive_bytes(rest);
    assert_eq!(end.sent(), [Sent::Pong(0x0102_0304)]);
    let stats = end.client.stats();
    assert_eq!((stats.crc_errors, stats.malformed), (1, 0));
    assert_eq!(stats.packets_received, 3, "Welcome and roster, too");
    assert_eq!(stats.dropped_bytes, len as u64 - 1, "without the zero");
}

#[test]
fn packets_in_pieces_do_not_count_as_garbage() {
    let mut end = End::joined(20);
    let mut bytes = [0; ENCODED_MAX];
    for number in 0..1_000 {
        let len = write_to_stream(&ServerPacket::Ping(number), &mut bytes).unwrap();
        bytes[..len]
            .chunks(3)
            .for_each(|piece| end.receive_bytes(piece));
        assert_eq!(end.sent(), [Sent::Pong(number)]);
    }
    assert_eq!(end.client.stats().dropped_bytes, 0);
}

#[test]
fn a_zero_goes_before_the_first_packet_and_after_each_pause() {
    let mut end = End::new();
    end.client.join(end.now, PATIENCE, NONCE);
    let begins_with_zero = |end: &mut End| end.transmit().unwrap().0[0] == 0;
    assert!(begins_with_zero(&mut end));
    end.receive(&ServerPacket::Welcome(Pair::welcome_packet(&["ada"])));
    let mut number = 0;
    for (pause_ms, expected) in [(0, false), (99, false), (100, true), (99, false)] {
        end.now += MS(pause_ms);
        number += 1;
        end.receive(&ServerPacket::Ping(number));
        assert_eq!(begins_with_zero(&mut end), expected, "{pause_ms} ms");
    }
    // The same before voice.
    end.now += MS(100);
    end.say(0..2);
    assert!(begins_with_zero(&mut end));
    assert!(!begins_with_zero(&mut end));
}

#[test]
fn the_longest_packets_fit_the_buffers() {
    let mut request = request();
    request.room = "r".repeat(32).parse().unwrap();
    request.name = "n".repeat(32).parse().unwrap();
    request
        .credentials
        .resize(CREDENTIALS_BYTES_MAX, 0xff)
        .unwrap();
    let mut end = End::new();
    end.client = Whole::new(fixed_gate(request)).unwrap();
    end.join(20);
    end.say(0..1);
    assert_eq!(end.sent(), frames(0..1));
}

#[test]
#[should_panic(expected = "the longest packet must fit")]
fn a_transmit_buffer_that_is_too_small_panics() {
    let mut end = End::new();
    end.client.join(end.now, PATIENCE, NONCE);
    end.client
        .poll_transmit(end.now, &mut [0; TRANSMIT_MAX - 1]);
}

#[test]
fn a_client_with_little_memory_offers_only_what_it_can_hold() {
    let mut small = Small::new(fixed_gate(request())).unwrap();
    assert_eq!(small.request().codecs[..], [CodecId::ImaAdpcm.id()]);
    let now = Instant::from_micros(1_000_000);
    small.join(now, PATIENCE, NONCE);
    let mut out = [0; SMALL_ENCODED];
    small.poll_transmit(now, &mut out).unwrap();
    let mut welcome = Pair::welcome_packet(&["ada"]);
    welcome.codec_up = CodecId::ImaAdpcm.id();
    welcome.codec_down = CodecId::ImaAdpcm.id();
    let mut bytes = [0; ENCODED_MAX];
    let len = write_to_stream(&ServerPacket::Welcome(welcome), &mut bytes).unwrap();
    assert_eq!(small.handle_stream(now, &bytes[..len]), &[0; 0]);
    while small.poll_event().is_some() {}
    small.push_frame(now, &word(1));
    let sent = small.poll_transmit(now, &mut out).unwrap();
    assert!(sent.droppable && Sent::of(&out[..sent.len]) == Sent::Frame(0));

    // One byte less than PCM16 needs.
    type Almost = Client<{ PAYLOAD_MAX - 1 }, TRANSMIT_MAX>;
    let almost = Almost::new(fixed_gate(request())).unwrap();
    assert_eq!(almost.request().codecs[..], [CodecId::ImaAdpcm.id()]);

    let mut pcm16_only = request();
    pcm16_only.codecs.truncate(1);
    let refused = Small::new(fixed_gate(pcm16_only)).err();
    assert_eq!(refused, Some(ClientConfigError::NoCodecFits));
}

#[test]
fn zeros_before_a_packet_do_no_harm() {
    let mut end = End::joined(20);
    end.receive_bytes(&[0; 1_000]);
    end.receive(&ServerPacket::Ping(5));
    assert_eq!(end.sent(), [Sent::Pong(5)]);
    assert_eq!(end.client.stats().dropped_bytes, 0);
}
