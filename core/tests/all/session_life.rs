//! The life of a session after (or without) its handshake: mute, Bye, timeouts, keepalive, budgets.
//! On virtual time.

use crate::common::session_pair::{Pair, bytes_of, closed, ended, say};
use talkspurt_core::seq::Seq;
use talkspurt_core::session::ServerEvent;
use talkspurt_core::time::Duration;
use talkspurt_core::wire::{
    Bye, ClientPacket, PROTOCOL_VERSION, ParticipantFlags, Reason, Reject, ServerPacket,
    ServerPong, SetMuted, Text, parse,
};

const MS: fn(u64) -> Duration = Duration::from_millis;

const MUTED: SetMuted = SetMuted {
    muted: true,
    after: Some(Seq(7)),
};

#[test]
fn whoever_speaks_before_the_hello_is_refused() {
    for packet in [
        ClientPacket::Voice(say(0, &[0; 640])),
        ClientPacket::SetMuted(MUTED),
        ClientPacket::RosterRequest,
    ] {
        let mut pair = Pair::new();
        assert_eq!(pair.send_to_server(&packet), None);
        pair.assert_server_refuses(Reason::NO_SESSION);
    }
}

#[test]
fn mute_is_told_in_the_hello_or_later() {
    let mut pair = Pair::new();
    pair.client.set_muted(true, None);
    pair.client.begin(MS(5_000), [7; 8], pair.now);
    assert!(pair.hello().muted);
    // Only a session can be told.
    pair.client.set_muted(false, Some(Seq(9)));
    pair.pump();
    pair.server.accept();
    pair.welcome(&["ada"]);
    pair.pump();
    let unmuted = SetMuted {
        muted: false,
        after: Some(Seq(9)),
    };
    assert_eq!(pair.server_events(), [ServerEvent::Muted(unmuted)]);
    pair.client.set_muted(false, None);
    pair.pump();
    assert_eq!(pair.server_events(), [], "nothing has changed");
    pair.client.set_muted(true, Some(Seq(7)));
    pair.pump();
    assert_eq!(pair.server_events(), [ServerEvent::Muted(MUTED)]);
}

#[test]
fn a_mute_that_was_lost_is_told_again() {
    let mut pair = Pair::joined();
    pair.client.set_muted(true, Some(Seq(7)));
    let lost = pair.client.poll_transmit();
    assert_eq!(lost, Some(ClientPacket::SetMuted(MUTED)));
    // The first Ping, of joining, went before it as far as anybody knows.
    for (number, told) in [(1, false), (2, true)] {
        pair.now = pair.client.poll_timeout().unwrap();
        pair.client.handle_timeout(pair.now);
        if number == 1 {
            pair.client.set_muted(false, None);
            pair.client.set_muted(true, Some(Seq(7)));
        }
        while pair.client.poll_transmit().is_some() {}
        let flags = ParticipantFlags::default();
        let pong = ServerPong {
            number,
            revision: 300,
            flags,
        };
        pair.send_to_client(&ServerPacket::Pong(pong));
        let again = pair.client.poll_transmit();
        assert_eq!(again.is_some(), told || number == 1, "{number}");
    }
}

#[test]
fn leaving_tells_the_server() {
    let mut pair = Pair::joined();
    pair.client.leave(Some(Seq(7)));
    pair.pump();
    assert_eq!(pair.client_events(), [closed(Reason::LEAVING)]);
    let left = ServerEvent::Left(Reason::LEAVING, Some(Seq(7)));
    assert_eq!(pair.server_events(), [left]);
    pair.client.leave(None);
    assert_eq!(pair.client_events(), [], "one leaves once");
}

#[test]
fn a_bye_names_its_own_last_voice_and_not_that_of_a_mute() {
    for after in [None, Some(Seq(9))] {
        let mut pair = Pair::joined();
        pair.client.set_muted(true, Some(Seq(7)));
        pair.pump();
        pair.client.set_muted(false, Some(Seq(7)));
        pair.pump();
        pair.server_events();
        pair.client.leave(after);
        pair.pump();
        let left = ServerEvent::Left(Reason::LEAVING, after);
        assert_eq!(pair.server_events(), [left]);
    }
}

#[test]
fn who_leaves_before_the_hello_has_gone_says_nothing() {
    let mut pair = Pair::new();
    pair.client.leave(None);
    assert_eq!(pair.client.poll_transmit(), None);
    assert!(pair.client.is_closed());
}

#[test]
fn the_server_ends_a_session_with_its_reason() {
    let mut pair = Pair::joined();
    pair.server.end(Reason::SLOW_READER, "read faster");
    pair.pump();
    let left = ServerEvent::Left(Reason::SLOW_READER, None);
    assert_eq!(pair.server_events(), [left]);
    assert_eq!(pair.client_events(), [ended(Reason::SLOW_READER)]);
    assert_eq!(pair.client.closing_text(), "read faster");
    pair.server.end(Reason::STOPPING, "");
    assert_eq!(pair.server_events(), [], "it ends once");
    assert_eq!(pair.next_of_server(), None);
}

#[test]
fn a_lost_connection_is_an_event_of_the_server() {
    let mut pair = Pair::joined();
    pair.server.handle_disconnect();
    let left = ServerEvent::Left(Reason::CONNECTION_LOST, None);
    assert_eq!(pair.server_events(), [left]);
    let mut pair = Pair::new();
    pair.server.handle_disconnect();
    let refused = ServerEvent::Refused(Reason::CONNECTION_LOST);
    assert_eq!(pair.server_events(), [refused]);
}

#[test]
fn no_answer_to_the_hello_ends_the_attempt() {
    let mut pair = Pair::new();
    pair.client.handle_timeout(pair.now + MS(4_999));
    assert_eq!(pair.client.poll_timeout(), Some(pair.now + MS(5_000)));
    assert_eq!(pair.client_events(), []);
    // The Welcome is lost, or comes too late: the server is not left with a session.
    pair.hello();
    pair.server.accept();
    pair.client.handle_timeout(pair.now + MS(5_000));
    assert_eq!(pair.client_events(), [closed(Reason::IDLE_TIMEOUT)]);
    pair.pump();
    let left = ServerEvent::Left(Reason::LEAVING, None);
    assert_eq!(pair.server_events(), [left]);
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
    pair.assert_server_refuses(Reason::NO_HELLO);
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
    pair.assert_server_ends(Reason::IDLE_TIMEOUT);
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
    assert_eq!(pair.client_events(), [closed(Reason::IDLE_TIMEOUT)]);
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
    for number in [1, 77] {
        let (revision, flags) = (300, ParticipantFlags::default());
        let pong = ServerPong {
            number,
            revision,
            flags,
        };
        pair.send_to_client(&ServerPacket::Pong(pong));
    }
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
        pair.assert_server_ends(Reason::FLOOD);
    }
}

#[test]
fn each_kind_of_packet_has_a_budget_of_its_own() {
    let hello = |n: u32| {
        let bytes = [&[0, 2][..], &n.to_le_bytes(), &[1; 4]].concat();
        [
            &bytes[..],
            &[
                0xe0, 2, 0, 0, 1, 97, 1, 97, 1, 1, 1, 1, 1, 0x80, 0x7d, 0, 0, 0,
            ],
        ]
        .concat()
    };
    let say_hello = |pair: &mut Pair, n: u32| {
        pair.bytes_to_server(&hello(n));
        let is_asked = matches!(pair.server_events().last(), Some(ServerEvent::Hello(_)));
        if is_asked {
            pair.server.accept();
        }
        is_asked
    };
    let mut pair = Pair::joined();
    for n in 0..400 {
        assert!(
            pair.send_to_server(&ClientPacket::Voice(say(n, &[0; 2])))
                .is_some()
        );
    }
    for n in 0..499 {
        pair.send_to_server(&ClientPacket::Ping(n));
    }
    pair.bytes_to_server(&[0x40]);
    assert!(
        (1..10).all(|n| say_hello(&mut pair, n)),
        "one was said by joining"
    );
    assert!(!say_hello(&mut pair, 10) && pair.server.is_closed());
    for packet in [&[5, 1][..], &[6, 1], &[8], &[0x7e, 1]] {
        let mut pair = Pair::joined();
        for _ in 0..500 {
            pair.bytes_to_server(packet);
        }
        pair.server_events();
        assert!(pair.server.is_joined());
        pair.now += MS(20);
        pair.bytes_to_server(packet);
        assert!(pair.server.is_joined());
        pair.bytes_to_server(packet);
        pair.assert_server_ended(Reason::FLOOD);
    }
}

#[test]
fn so_many_pings_and_roster_requests_are_answered_and_the_rest_is_ignored() {
    let mut pair = Pair::joined();
    let answers = |pair: &mut Pair| {
        let mut answers = (0, 0);
        for _ in 0..50 {
            pair.send_to_server(&ClientPacket::Ping(1));
            answers.0 += u32::from(pair.next_of_server().is_some());
            pair.send_to_server(&ClientPacket::RosterRequest);
            answers.1 += pair.server_events().len();
        }
        answers
    };
    assert_eq!(answers(&mut pair), (20, 5));
    pair.now += MS(2_000);
    assert_eq!(answers(&mut pair), (20, 2));
    assert!(pair.server.is_joined());
}

#[test]
fn of_several_pings_that_wait_the_newest_is_answered() {
    let mut pair = Pair::joined();
    for number in [1, 2, 3] {
        pair.send_to_server(&ClientPacket::Ping(number));
        pair.send_to_client(&ServerPacket::Ping(number));
    }
    let Some(ServerPacket::Pong(pong)) = pair.next_of_server() else {
        panic!("no Pong")
    };
    assert_eq!(pong.number, 3);
    assert_eq!(pair.next_of_server(), None);
    assert_eq!(pair.client.poll_transmit(), Some(ClientPacket::Pong(3)));
    assert_eq!(pair.client.poll_transmit(), None);
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
    pair.assert_server_ended(Reason::DAMAGE);
    // Before a Hello it is refused.
    let mut pair = Pair::new();
    pair.server.handle_garbage(pair.now, 20_000);
    pair.assert_server_refuses(Reason::DAMAGE);
}

#[test]
fn an_unreadable_packet_ends_the_session() {
    for (packet, reason) in [
        (&[200, 1, 2][..], Reason::MALFORMED),
        (&[5], Reason::MALFORMED),
        (&[0x3f], Reason::UNEXPECTED),
    ] {
        let mut pair = Pair::joined();
        pair.server.handle_packet(pair.now, parse(packet));
        pair.assert_server_ends(reason);
        let mut pair = Pair::joined();
        pair.client.handle_packet(pair.now, parse(packet));
        pair.pump();
        assert_eq!(pair.client_events(), [closed(reason)]);
        let left = ServerEvent::Left(reason, None);
        assert_eq!(pair.server_events(), [left], "it said Bye");
        let mut pair = Pair::new();
        pair.server.handle_packet(pair.now, parse(packet));
        assert_eq!(pair.server_events(), [ServerEvent::Refused(reason)]);
    }
}

#[test]
fn a_packet_of_a_later_version_is_skipped_and_a_sign_of_life() {
    let mut pair = Pair::joined();
    for _ in 0..3 {
        pair.now += MS(14_000);
        pair.server.handle_packet(pair.now, parse(&[0x40, 1, 2]));
        pair.client.handle_packet(pair.now, parse(&[0x7e]));
        pair.client.handle_timeout(pair.now);
        pair.server.handle_timeout(pair.now);
    }
    assert_eq!(
        (pair.client_events(), pair.server_events()),
        (vec![], vec![])
    );
}

#[test]
fn a_long_reject_text_is_cut_and_control_characters_are_removed() {
    let mut pair = Pair::new();
    pair.hello();
    pair.server
        .end(Reason::ROOM_FULL, &("\x1b".to_owned() + &"é".repeat(81)));
    pair.pump();
    assert_eq!(pair.client.closing_text(), "é".repeat(80));
    let mut pair = Pair::new();
    pair.send_to_client(&ServerPacket::Reject(Reject {
        reason: Reason::ROOM_FULL,
        version: 2,
        nonce: [0; 8],
        retry_ms: 0,
        text: Text(b"try\x1b another\nroom"),
    }));
    assert_eq!(pair.client.closing_text(), "try anotherroom");
}

#[test]
fn packets_and_timeouts_after_the_end_are_ignored() {
    let mut pair = Pair::joined();
    pair.client.leave(None);
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

#[test]
fn a_hello_that_was_refused_before_it_went_out_is_not_sent() {
    let mut pair = Pair::new();
    pair.client.begin(MS(5_000), [9; 8], pair.now);
    pair.send_to_client(&ServerPacket::Reject(Reject {
        reason: Reason::NO_SESSION,
        version: PROTOCOL_VERSION,
        nonce: [0; 8],
        retry_ms: 0,
        text: Text::from(""),
    }));
    assert_eq!(pair.client.poll_transmit(), None);
}

#[test]
fn only_who_leaves_is_played_out() {
    let mut pair = Pair::joined();
    pair.client.set_muted(true, Some(Seq(10)));
    pair.client.set_muted(false, Some(Seq(20)));
    pair.client.end(Reason::IDLE_TIMEOUT);
    pair.client.end(Reason::DAMAGE);
    let bye = Bye::from(Reason::IDLE_TIMEOUT);
    assert_eq!(pair.client.poll_transmit(), Some(ClientPacket::Bye(bye)));
    let mut pair = Pair::joined();
    pair.client.leave(Some(Seq(20)));
    pair.client.end(Reason::DAMAGE);
    let after = Some(Seq(20));
    let bye = Bye {
        after,
        ..Bye::from(Reason::LEAVING)
    };
    assert_eq!(pair.client.poll_transmit(), Some(ClientPacket::Bye(bye)));
}
