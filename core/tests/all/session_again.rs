//! A session that follows another one: what it takes over, and what it must not.

use crate::common::session_pair::{Pair, REVISION, bytes_of, reject};
use talkspurt_core::seq::Seq;
use talkspurt_core::session::ServerEvent;
use talkspurt_core::time::Duration;
use talkspurt_core::wire::{
    Bye, ClientPacket, ParticipantFlags, Reason, ServerPacket, ServerPong, SetMuted,
};

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn the_next_session_asks_to_resume_the_last_one() {
    let mut pair = Pair::joined();
    pair.client.begin(MS(5_000), [8; 8], pair.now);
    pair.pump();
    let events = pair.server_events();
    let [ServerEvent::Left(..), ServerEvent::Hello(hello)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(hello.resume, Some([9; 16]));
}

#[test]
fn a_session_that_ended_for_good_is_not_resumed() {
    let leave: fn(&mut Pair) = |pair| pair.client.leave(None);
    let bye: fn(&mut Pair) = |pair| {
        pair.send_to_client(&ServerPacket::Bye(Bye::from(Reason::RESUMED)));
    };
    let passing: fn(&mut Pair) = |pair| {
        pair.send_to_client(&ServerPacket::Bye(Bye::from(Reason::FLOOD)));
    };
    let lost: fn(&mut Pair) = |pair| pair.client.end(Reason::DAMAGE);
    let refused: fn(&mut Pair) = |pair| {
        pair.client.end(Reason::DAMAGE);
        pair.client.begin(MS(5_000), [8; 8], pair.now);
        pair.send_to_client(&reject(Reason::BAD_NAME, [8; 8]));
    };
    for (end, resumes) in [
        (leave, false),
        (bye, false),
        (passing, true),
        (lost, true),
        (refused, true),
    ] {
        let mut pair = Pair::joined();
        end(&mut pair);
        assert!(pair.client.is_closed());
        pair.client.begin(MS(5_000), [9; 8], pair.now);
        let Some(ClientPacket::Hello(hello)) = pair.client.poll_transmit() else {
            panic!("no Hello")
        };
        assert_eq!(hello.resume.is_some(), resumes);
    }
}

#[test]
fn a_pong_from_outside_the_session_tells_the_round_trip_at_most() {
    let mut pair = Pair::joined();
    pair.client.set_muted(true, None);
    pair.client.handle_timeout(pair.now);
    assert!(pair.client.poll_transmit().is_some());
    assert_eq!(pair.client.poll_transmit(), Some(ClientPacket::Ping(1)));
    let pong = |number, revision| {
        ServerPacket::Pong(ServerPong {
            number,
            revision,
            flags: ParticipantFlags::default(),
        })
    };
    pair.now += MS(37);
    pair.send_to_client(&pong(1, 0));
    assert_eq!(pair.client.round_trip(), Some(MS(37)));
    assert_eq!(
        pair.client.poll_transmit(),
        None,
        "it is muted all the same"
    );
    // One to the session before is none to this session's first Ping.
    pair.client.begin(MS(5_000), [7; 8], pair.now);
    pair.welcome(&["ada"]);
    pair.client.handle_timeout(pair.now);
    assert_eq!(pair.client.poll_transmit(), Some(ClientPacket::Ping(2)));
    pair.send_to_client(&pong(1, 300));
    assert_eq!(pair.client.round_trip(), None);
}

#[test]
fn a_welcome_without_a_token_leaves_none() {
    let mut pair = Pair::joined();
    for (token, nonce) in [(Some([3; 16]), [8; 8]), (None, [9; 8])] {
        pair.client.begin(MS(5_000), nonce, pair.now);
        let mut welcome = Pair::welcome_packet(&["ada"]);
        (welcome.resume, welcome.nonce) = (token, nonce);
        pair.send_to_client(&ServerPacket::Welcome(welcome));
        pair.client_events();
        pair.client.begin(MS(5_000), [10; 8], pair.now);
        let Some(ClientPacket::Hello(hello)) = pair.client.poll_transmit() else {
            panic!("no Hello")
        };
        assert_eq!(hello.resume, token);
    }
}

#[test]
fn a_repeated_hello_is_the_same_though_the_microphone_was_muted_meanwhile() {
    let mut pair = Pair::new();
    let hello = |pair: &mut Pair| bytes_of(&pair.client.poll_transmit().expect("a Hello"));
    let first = hello(&mut pair);
    pair.client.set_muted(true, None);
    pair.now += MS(1_000);
    pair.client.handle_timeout(pair.now);
    assert_eq!(hello(&mut pair), first);
    // It is told once there is someone to be told.
    pair.welcome(&["ada"]);
    let (muted, after) = (true, None);
    let set_muted = ClientPacket::SetMuted(SetMuted { muted, after });
    assert_eq!(pair.client.poll_transmit(), Some(set_muted));
}

/// Sends the next Ping of a client that has nothing else to say.
fn ping(pair: &mut Pair) -> u32 {
    pair.now = pair.client.poll_timeout().unwrap();
    pair.client.handle_timeout(pair.now);
    match pair.client.poll_transmit() {
        Some(ClientPacket::Ping(number)) => number,
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_a_pong_that_knows_of_the_last_set_muted_has_it_repeated() {
    let mut pair = Pair::joined();
    let set_muted = |muted, after| ClientPacket::SetMuted(SetMuted { muted, after });
    let pong = |number, revision, muted| {
        let flags = ParticipantFlags::default().with(ParticipantFlags::MUTED, muted);
        ServerPacket::Pong(ServerPong {
            number,
            revision,
            flags,
        })
    };
    let number = ping(&mut pair);
    // That Ping went first.
    pair.client.set_muted(true, Some(Seq(7)));
    let muted = Some(set_muted(true, Some(Seq(7))));
    assert_eq!(pair.client.poll_transmit(), muted);
    pair.send_to_client(&pong(number, REVISION, false));
    assert_eq!(pair.client.poll_transmit(), None);
    let number = ping(&mut pair);
    pair.send_to_client(&pong(number, 0, false));
    assert_eq!(pair.client.poll_transmit(), None, "it is in no room");
    let number = ping(&mut pair);
    pair.send_to_client(&pong(number, REVISION, true));
    assert_eq!(pair.client.poll_transmit(), None, "they agree");
    for _ in 0..2 {
        let number = ping(&mut pair);
        pair.send_to_client(&pong(number, REVISION, false));
        assert_eq!(pair.client.poll_transmit(), muted, "nothing was said since");
    }
}
