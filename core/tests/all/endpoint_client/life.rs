//! A session from Hello to Bye, and the next one.

use super::*;

fn pong(number: u32) -> ServerPacket<'static> {
    ServerPacket::Pong(ServerPong {
        number,
        revision: 300,
        flags: ParticipantFlags::default(),
    })
}

#[test]
fn joining_talking_listening_and_leaving() {
    let mut end = End::new();
    assert!(end.client.is_closed());
    assert_eq!((end.sent(), end.client.poll_timeout()), (vec![], None));
    end.client.join(end.now, PATIENCE, NONCE);
    assert_eq!(end.sent(), [Sent::Hello { muted: false }]);
    end.receive(&ServerPacket::Welcome(Pair::welcome_packet(&["ada"])));
    let [ClientEvent::Joined(params, 1)] = end.events[..] else {
        panic!("{:?}", end.events)
    };
    assert_eq!(end.client.params(), Some(params));
    assert_eq!(
        end.client.push_frame(end.now, &quiet(1)),
        GateDecision::Closed
    );
    end.say(2..4);
    assert!(end.client.is_talking());
    assert_eq!(end.sent(), frames(1..4), "with the frame before them");
    end.receive(&ServerPacket::Voice(say(1, &[1; 640])));
    end.receive(&ServerPacket::Voice(say(2, &[1; 640])));
    (0..2).for_each(|_| _ = end.play());
    assert_eq!(end.play(), (Playout::Frame { terminator: false }, 0x0101));
    // The last words go before the Bye.
    end.say(4..6);
    end.client.leave(end.now);
    assert_eq!(
        end.client.push_frame(end.now, &word(6)),
        GateDecision::Closed
    );
    end.events.clear();
    let last = [Sent::Frame(4), Sent::Frame(5), Sent::EndOfTalk];
    let bye = Sent::Bye(Reason::LEAVING);
    assert_eq!(end.sent(), [&last[..], &[bye]].concat());
    assert_eq!(end.events, [closed(Reason::LEAVING)]);
    assert!(end.client.is_closed());
    assert_eq!(end.client.poll_timeout(), None);
}

#[test]
fn on_a_stalled_carrier_the_bye_follows_500_ms_after_leaving() {
    let mut end = End::joined(20);
    end.say(0..3);
    let since = end.now;
    end.client.leave(since);
    assert_eq!(end.client.poll_timeout(), Some(since + MS(500)));
    end.now = since + MS(499);
    end.handle_timeout();
    assert_eq!(end.events, []);
    end.now = since + MS(500);
    end.handle_timeout();
    assert_eq!(end.events, [closed(Reason::LEAVING)]);
    assert_eq!(end.sent(), [Sent::Bye(Reason::LEAVING)]);
}

#[test]
fn the_bye_does_not_wait_for_voice_that_is_too_old() {
    let mut end = End::joined(20);
    end.say(0..3);
    end.client.leave(end.now);
    end.now += MS(350);
    assert_eq!(end.sent(), [Sent::Bye(Reason::LEAVING)]);
}

#[test]
fn leaving_twice_takes_no_longer() {
    let mut end = End::joined(20);
    end.say(0..3);
    let since = end.now;
    end.client.leave(since);
    end.now += MS(400);
    end.client.leave(end.now);
    assert_eq!(end.client.poll_timeout(), Some(since + MS(500)));
    // Nor does a server that welcomes whoever leaves once more.
    end.receive(&ServerPacket::Welcome(Pair::welcome_packet(&["ada"])));
    end.now = since + MS(500);
    end.handle_timeout();
    assert_eq!(end.events, [closed(Reason::LEAVING)]);
}

#[test]
fn voice_starts_and_ends_with_the_session_before_events_are_taken() {
    let mut end = End::new();
    end.client.join(end.now, PATIENCE, NONCE);
    end.sent();
    let mut welcome = Pair::welcome_packet(&["ada"]);
    welcome.frame_ms = 5;
    let mut bytes = [0; ENCODED_MAX];
    let len = write_to_stream(&ServerPacket::Welcome(welcome), &mut bytes).unwrap();
    end.client.handle_stream(end.now, &bytes[..len]);
    // Frames have the new session's length, although its events still wait.
    end.client.push_frame(end.now, &word(1)[..80]);
    end.client.end(Reason::LEAVING);
    let mut out = [0; TRANSMIT_MAX];
    let mut sent = || {
        end.client
            .poll_transmit(end.now, &mut out)
            .map(|packet| packet.droppable)
    };
    assert_eq!((sent(), sent()), (Some(false), None), "a Bye and no voice");
    end.take_events();
    let first = end.events.first();
    assert!(matches!(first, Some(ClientEvent::Joined(..))), "{first:?}");
    let last = end.events.last();
    assert_eq!(last, Some(&closed(Reason::LEAVING)));
}

#[test]
fn a_client_with_nothing_to_send_leaves_at_once() {
    let mut end = End::joined(20);
    end.client.leave(end.now);
    end.handle_timeout();
    assert_eq!(end.events, [closed(Reason::LEAVING)]);
    assert_eq!(end.sent(), [Sent::Bye(Reason::LEAVING)]);
    // Before the Welcome, too; and before the Hello there is nothing to take back.
    end.client.join(end.now, PATIENCE, NONCE);
    end.sent();
    end.client.leave(end.now);
    assert_eq!(end.sent(), [Sent::Bye(Reason::LEAVING)]);
    end.client.join(end.now, PATIENCE, NONCE);
    end.client.leave(end.now);
    assert_eq!(end.sent(), []);
}

#[test]
fn after_the_end_it_joins_again_on_the_same_stream() {
    let mut end = End::joined(20);
    end.say(0..3);
    end.receive(&ServerPacket::Voice(say(1, &[1; 640])));
    end.receive(&ServerPacket::Bye(Bye::from(Reason::STOPPING)));
    assert_eq!(end.events, [closed(Reason::STOPPING)]);
    assert_eq!(end.sent(), [], "what waited has gone with the session");
    assert_eq!(
        end.client.push_frame(end.now, &word(3)),
        GateDecision::Closed
    );
    assert!(!end.client.is_talking());
    for muted in [true, false] {
        end.client.set_muted(end.now, muted);
        assert_eq!(end.sent(), [], "there is nobody to tell");
    }
    end.client.end_talkspurt(end.now);
    assert_eq!(end.client.poll_timeout(), None);
    let before = end.client.stats();
    // At once: no pause, and yet a zero ends whatever was sent in part.
    end.client.join(end.now, PATIENCE, NONCE);
    let (hello, _) = end.transmit().unwrap();
    assert_eq!(hello[0], 0);
    end.receive(&reject(Reason::SERVER_FULL, NONCE));
    assert_eq!(end.events.pop(), Some(rejected(Reason::SERVER_FULL)));
    end.join(10);
    end.client.push_frame(end.now, &word(4)[..160]);
    assert_eq!(end.sent(), frames(4..5), "nothing from the other session");
    let stats = end.client.stats();
    assert_eq!(
        (stats.frames_sent, stats.talkspurts),
        (4, 2),
        "counts continue"
    );
    assert!(stats.packets_transmitted > before.packets_transmitted);
    // Half a packet from another stream is not the beginning of a packet in this one.
    end.receive_bytes(&[5, 5, 5]);
    end.client.end(Reason::CONNECTION_LOST);
    end.client.reset_stream();
    end.join(20);
    assert!(end.client.params().is_some(), "the Welcome was read");
}

#[test]
fn nothing_of_a_session_remains_in_the_next() {
    let hello = [Sent::Hello { muted: false }];
    // Its leaving does not, if it ended before the last words were sent.
    let mut end = End::joined(20);
    end.say(0..3);
    end.client.leave(end.now);
    end.receive(&ServerPacket::Bye(Bye::from(Reason::STOPPING)));
    end.client.join(end.now, PATIENCE, NONCE);
    assert_eq!(end.sent(), hello);
    // Nor does its voice, if the session had not ended.
    let mut end = End::joined(20);
    end.say(0..3);
    end.client.join(end.now, PATIENCE, NONCE);
    assert_eq!(end.sent(), hello);
    // Nor do its other packets and events.
    let mut end = End::joined(20);
    end.receive(&pong(1));
    assert!(end.client.round_trip().is_some());
    end.receive(&ServerPacket::Ping(5));
    end.client.set_muted(end.now, true);
    end.now += MS(5_000);
    end.client.handle_timeout(end.now);
    end.client.end(Reason::LEAVING);
    end.client.join(end.now, PATIENCE, NONCE);
    assert_eq!(end.client.poll_event(), None);
    assert_eq!(end.sent(), [Sent::Hello { muted: true }]);
    // Nor does its round-trip time.
    end.receive(&ServerPacket::Welcome(Pair::welcome_packet(&["ada"])));
    end.receive(&pong(2));
    assert_eq!(end.client.round_trip(), None);
}

#[test]
fn no_voice_is_sent_after_the_end_of_a_session() {
    let mut end = End::joined(20);
    end.now += MS(15_000);
    end.say(0..1);
    end.handle_timeout();
    assert_eq!(end.sent(), [Sent::Bye(Reason::IDLE_TIMEOUT)]);
    let mut end = End::joined(20);
    end.now += MS(1_000);
    end.client.expect_answers(end.now);
    assert_eq!(end.sent(), [Sent::Ping]);
    end.now += MS(3_000);
    end.say(0..1);
    end.client.expect_answers(end.now);
    assert_eq!(end.sent(), []);
}

#[test]
fn an_unanswered_hello_ends_the_session() {
    let mut end = End::new();
    end.client.join(end.now, PATIENCE, NONCE);
    end.sent();
    assert_eq!(end.client.poll_timeout(), Some(end.now + MS(1_000)));
    end.now += PATIENCE;
    end.handle_timeout();
    assert_eq!(end.events, [closed(Reason::IDLE_TIMEOUT)]);
    assert_eq!(end.sent(), [Sent::Bye(Reason::LEAVING)]);
}

#[test]
fn a_talker_who_expects_answers_gives_up_a_silent_server_after_three_seconds() {
    let mut end = End::joined(20);
    let since = end.now;
    let mut pings = 0;
    while end.events.is_empty() {
        end.say(0..1);
        end.client.expect_answers(end.now);
        pings += end
            .sent()
            .iter()
            .filter(|sent| **sent == Sent::Ping)
            .count();
        end.handle_timeout();
    }
    assert_eq!(end.events, [closed(Reason::CONNECTION_LOST)]);
    let after_ms = end.now.duration_since(since).as_millis();
    assert!((3_000..=4_100).contains(&after_ms), "{after_ms} ms");
    assert!((2..=4).contains(&pings), "{pings}");
    // Without that, the idle timeout applies.
    let mut end = End::joined(20);
    let since = end.now;
    while end.events.is_empty() {
        end.say(0..1);
        end.sent();
        end.handle_timeout();
    }
    assert_eq!(end.events, [closed(Reason::IDLE_TIMEOUT)]);
    assert_eq!(end.now.duration_since(since), MS(15_000));
}
