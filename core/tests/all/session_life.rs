//! A session after (or without) its handshake, on virtual time: mute, Bye, timeouts, keepalive,
//! budgets.

use crate::common::session_pair::{Pair, bytes_of, say};
use talkspurt_core::session::{ClientEvent, ServerEvent};
use talkspurt_core::time::Duration;
use talkspurt_core::wire::{ByeReason, ClientPacket, RejectReason, ServerPacket, parse};

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn any_packet_before_the_hello_is_refused() {
    for packet in [
        ClientPacket::Voice(say(0, &[0; 640])),
        ClientPacket::SetMuted(true),
    ] {
        let mut pair = Pair::new();
        assert_eq!(pair.send_to_server(&packet), None);
        pair.assert_server_refuses(RejectReason::NotAHello);
    }
}

#[test]
fn mute_is_told_in_the_hello_or_later() {
    let mut pair = Pair::new();
    pair.client.set_muted(true);
    assert!(pair.hello().muted);
    pair.server.accept();
    pair.welcome(&["ada"]);
    pair.client.set_muted(true);
    pair.pump();
    assert_eq!(pair.server_events(), [], "nothing has changed");
    pair.client.set_muted(false);
    pair.pump();
    assert_eq!(pair.server_events(), [ServerEvent::Muted(false)]);
}

#[test]
fn leaving_tells_the_server() {
    let mut pair = Pair::joined();
    pair.client.leave();
    pair.pump();
    assert_eq!(
        pair.client_events(),
        [ClientEvent::Closed(ByeReason::Leaving)]
    );
    assert_eq!(
        pair.server_events(),
        [ServerEvent::Left(ByeReason::Leaving)]
    );
    pair.client.leave();
    assert_eq!(pair.client_events(), [], "leaving again does nothing");
}

#[test]
fn a_client_that_leaves_before_sending_its_hello_sends_nothing() {
    let mut pair = Pair::new();
    pair.client.leave();
    assert_eq!(pair.client.poll_transmit(), None);
    assert!(pair.client.is_closed());
}

#[test]
fn the_server_ends_a_session_with_its_reason() {
    let mut pair = Pair::joined();
    pair.server.end(ByeReason::SlowConsumer);
    pair.pump();
    assert_eq!(
        pair.server_events(),
        [ServerEvent::Left(ByeReason::SlowConsumer)]
    );
    assert_eq!(
        pair.client_events(),
        [ClientEvent::Closed(ByeReason::SlowConsumer)]
    );
    pair.server.end(ByeReason::Stopping);
    assert_eq!(pair.server_events(), [], "it already ended");
    // Nor can it be rejected any more.
    pair.server.reject(RejectReason::RoomFull, "");
    assert_eq!(
        (pair.server_events(), pair.server.poll_transmit()),
        (vec![], None)
    );
}

#[test]
fn a_lost_connection_is_an_event_of_the_server() {
    let mut pair = Pair::joined();
    pair.server.handle_disconnect();
    assert_eq!(
        pair.server_events(),
        [ServerEvent::Left(ByeReason::ConnectionLost)]
    );
    let mut pair = Pair::new();
    pair.server.handle_disconnect();
    assert_eq!(
        pair.server_events(),
        [ServerEvent::Refused(RejectReason::NotAHello)]
    );
}

#[test]
fn no_answer_to_the_hello_ends_the_attempt() {
    let mut pair = Pair::new();
    assert_eq!(pair.client.poll_timeout(), Some(pair.now + MS(5_000)));
    pair.client.handle_timeout(pair.now + MS(4_999));
    assert_eq!(pair.client_events(), []);
    pair.client.handle_timeout(pair.now + MS(5_000));
    assert_eq!(
        pair.client_events(),
        [ClientEvent::Closed(ByeReason::IdleTimeout)]
    );
}

#[test]
fn without_a_hello_in_time_the_client_is_refused_whatever_else_arrives() {
    let mut pair = Pair::new();
    assert_eq!(pair.server.poll_timeout(), Some(pair.now + MS(5_000)));
    for number in 0..4 {
        pair.now += MS(1_000);
        pair.send_to_server(&ClientPacket::Ping(number));
        pair.server.handle_timeout(pair.now);
        assert_eq!(pair.server_events(), []);
    }
    pair.now += MS(1_000);
    pair.server.handle_timeout(pair.now);
    pair.assert_server_refuses(RejectReason::HandshakeTimeout);
}

#[test]
fn a_silent_client_is_dropped_by_the_server() {
    let mut pair = Pair::joined();
    assert_eq!(pair.server.poll_timeout(), Some(pair.now + MS(15_000)));
    pair.now += MS(14_999);
    pair.server.handle_timeout(pair.now);
    assert_eq!(pair.server_events(), []);
    pair.now += MS(1);
    pair.server.handle_timeout(pair.now);
    pair.assert_server_ends(ByeReason::IdleTimeout);
}

#[test]
fn a_silent_server_is_dropped_by_the_client() {
    let mut pair = Pair::joined();
    let start = pair.now;
    let mut pings = 0;
    // Nothing that the client sends is answered.
    while let Some(at) = pair.client.poll_timeout() {
        assert!(at <= start + MS(15_000));
        pair.now = at;
        pair.client.handle_timeout(at);
        while pair.client.poll_transmit().is_some() {
            pings += 1;
        }
    }
    assert_eq!(pair.now, start + MS(15_000));
    assert_eq!(
        pair.client_events(),
        [ClientEvent::Closed(ByeReason::IdleTimeout)]
    );
    assert_eq!(pings, 3 + 1, "at 0, 5 and 10 s, and the Bye");
}

#[test]
fn keepalives_hold_a_silent_session_for_an_hour() {
    let mut pair = Pair::joined();
    let end = pair.now + Duration::from_secs(3_600);
    let mut wakeups = 0;
    while pair.now < end {
        pair.now = pair
            .client
            .poll_timeout()
            .min(pair.server.poll_timeout())
            .unwrap();
        pair.client.handle_timeout(pair.now);
        pair.server.handle_timeout(pair.now);
        pair.pump();
        wakeups += 1;
    }
    assert_eq!(
        (pair.client_events(), pair.server_events()),
        (vec![], vec![])
    );
    assert!(
        wakeups <= 722,
        "one wake-up every 5 s, not {wakeups} in an hour"
    );
}

#[test]
fn the_round_trip_is_measured() {
    let mut pair = Pair::joined();
    assert_eq!(pair.client.round_trip(), None);
    pair.client.handle_timeout(pair.now);
    let ping = bytes_of(&pair.client.poll_transmit().unwrap());
    pair.now += MS(37);
    pair.bytes_to_server(&ping);
    pair.pump();
    assert_eq!(pair.client.round_trip(), Some(MS(37)));
    // Neither an unrequested answer nor a second one to the same Ping is measured.
    pair.now += MS(1_000);
    pair.send_to_client(&ServerPacket::Pong(1));
    pair.send_to_client(&ServerPacket::Pong(77));
    assert_eq!(pair.client.round_trip(), Some(MS(37)));
}

#[test]
fn a_ping_from_the_server_is_answered() {
    let mut pair = Pair::joined();
    pair.send_to_client(&ServerPacket::Ping(4_711));
    let answer = pair.client.poll_transmit();
    assert_eq!(answer, Some(ClientPacket::Pong(4_711)));
}

#[test]
fn a_flood_ends_the_session_and_the_backlog_of_a_stall_does_not() {
    for frame_ms in [5, 10, 20] {
        let frames_in_7_s = 7_000 / u32::from(frame_ms);
        let mut pair = Pair::joined_at(frame_ms);
        for n in 0..frames_in_7_s {
            assert!(
                pair.send_to_server(&ClientPacket::Voice(say(n as u16, &[0; 2])))
                    .is_some(),
                "{frame_ms} ms, packet {n}"
            );
        }
        // Twice the frame rate can go on for ever after that.
        for n in 0..1_000 {
            pair.now += Duration::from_millis(frame_ms.into());
            for _ in 0..2 {
                assert!(
                    pair.send_to_server(&ClientPacket::Voice(say(n, &[0; 2])))
                        .is_some(),
                    "{frame_ms} ms, packet {n}"
                );
            }
        }
        // A hundred times the rate cannot go on for a second.
        let ended = (0..100_000 / u32::from(frame_ms)).any(|n| {
            pair.now += Duration::from_micros(u64::from(frame_ms) * 10);
            pair.send_to_server(&ClientPacket::Voice(say(n as u16, &[0; 2])))
                .is_none()
        });
        assert!(ended, "{frame_ms} ms");
        pair.assert_server_ends(ByeReason::Flood);
    }
}

#[test]
fn noise_is_tolerated_and_a_stream_of_garbage_is_not() {
    let mut pair = Pair::joined();
    // A serial line on which a third is damaged.
    for _ in 0..600 {
        pair.now += MS(100);
        pair.server.handle_garbage(pair.now, 384);
        pair.send_to_server(&ClientPacket::Ping(1));
    }
    assert_eq!(pair.server_events(), []);
    pair.server.handle_garbage(pair.now, 20_000);
    assert_eq!(
        pair.server_events(),
        [ServerEvent::Left(ByeReason::ProtocolError)]
    );
    // Before the Hello, garbage is refused.
    let mut pair = Pair::new();
    pair.server.handle_garbage(pair.now, 20_000);
    pair.assert_server_refuses(RejectReason::Malformed);
}

#[test]
fn an_unreadable_packet_ends_the_session() {
    let mut pair = Pair::joined();
    pair.server.handle_packet(pair.now, parse(&[200, 1, 2]));
    pair.assert_server_ends(ByeReason::ProtocolError);
    let mut pair = Pair::joined();
    pair.client.handle_packet(pair.now, parse(&[200, 1, 2]));
    pair.pump();
    assert_eq!(
        pair.client_events(),
        [ClientEvent::Closed(ByeReason::ProtocolError)]
    );
    assert_eq!(
        pair.server_events(),
        [ServerEvent::Left(ByeReason::Leaving)],
        "it said Bye"
    );
    let mut pair = Pair::new();
    pair.server.handle_packet(pair.now, parse(&[200, 1, 2]));
    assert_eq!(
        pair.server_events(),
        [ServerEvent::Refused(RejectReason::Malformed)]
    );
}

#[test]
fn a_long_reject_text_is_cut_and_control_characters_are_removed() {
    let mut pair = Pair::new();
    pair.hello();
    pair.server
        .reject(RejectReason::RoomFull, "é".repeat(81) + "\x1b[2J");
    pair.pump();
    assert_eq!(pair.client.reject_text(), "é".repeat(80));
    let mut pair = Pair::new();
    pair.send_to_client(&ServerPacket::Reject(
        RejectReason::RoomFull,
        "try\x1b another\nroom",
    ));
    assert_eq!(pair.client.reject_text(), "try anotherroom");
}

#[test]
fn packets_and_timeouts_after_the_end_are_ignored() {
    let mut pair = Pair::joined();
    pair.client.leave();
    pair.pump();
    pair.client_events();
    pair.server_events();
    assert_eq!(
        pair.send_to_client(&ServerPacket::Voice(say(1, &[1]))),
        None
    );
    assert_eq!(
        pair.send_to_server(&ClientPacket::Voice(say(1, &[1]))),
        None
    );
    pair.client.handle_timeout(pair.now + MS(60_000));
    pair.server.handle_timeout(pair.now + MS(60_000));
    pair.server.handle_garbage(pair.now, 100_000);
    pair.server.handle_disconnect();
    assert_eq!(
        (pair.client_events(), pair.server_events()),
        (vec![], vec![])
    );
    assert_eq!(
        (pair.client.poll_timeout(), pair.server.poll_timeout()),
        (None, None)
    );
}
