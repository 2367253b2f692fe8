//! Unreadable packets at every point of a session: both ends end it in order, and nothing panics.

use crate::common::session_pair::Pair;
use talkspurt_core::session::{ClientEvent, ServerEvent};
use talkspurt_core::wire::{ByeReason, RejectReason, parse};

/// A Hello of this version cut short, and one of another version with unknown fields.
const BROKEN_HELLO: &[u8] = &[0, 1, 0xff, 0xff];
const FOREIGN_HELLO: &[u8] = &[0, 2, 0xff, 0xff];

#[test]
fn a_participant_that_sends_a_broken_or_foreign_hello_gets_a_bye() {
    for packet in [BROKEN_HELLO, FOREIGN_HELLO, &[0], &[0, 2], &[]] {
        let mut pair = Pair::joined();
        assert!(pair.server.handle_packet(pair.now, parse(packet)).is_none());
        assert_eq!(
            pair.server_events(),
            [ServerEvent::Left(ByeReason::ProtocolError)],
            "{packet:?}"
        );
        assert!(pair.server.is_closed());
        pair.pump();
        assert_eq!(
            pair.client_events(),
            [ClientEvent::Closed(ByeReason::ProtocolError)],
            "{packet:?}"
        );
    }
}

#[test]
fn a_client_that_sends_one_before_joining_is_refused() {
    for (packet, reason) in [
        (BROKEN_HELLO, RejectReason::Malformed),
        (FOREIGN_HELLO, RejectReason::Version),
    ] {
        let mut pair = Pair::new();
        pair.server.handle_packet(pair.now, parse(packet));
        assert_eq!(pair.server_events(), [ServerEvent::Refused(reason)]);
    }
}

#[test]
fn rejecting_a_participant_ends_the_session_in_order() {
    let mut pair = Pair::joined();
    pair.server.reject(RejectReason::RoomFull, "too late");
    pair.assert_server_ends(ByeReason::ProtocolError);
    // After the end another reject changes nothing.
    pair.server.reject(RejectReason::RoomFull, "later still");
    assert_eq!(pair.server_events(), []);
    assert_eq!(pair.server.poll_transmit(), None);
}

#[test]
fn a_garbled_packet_before_the_welcome_is_no_final_refusal() {
    // The line may be noisy, so the client tries again. Only a Welcome of another version is a
    // reason to give up.
    for packet in [&[200, 1, 2][..], &[0], &[0, 1, 0xff, 0xff], &[]] {
        let mut pair = Pair::new();
        pair.client.handle_packet(pair.now, parse(packet));
        assert_eq!(
            pair.client_events(),
            [ClientEvent::Closed(ByeReason::ProtocolError)],
            "{packet:?}"
        );
    }
}

#[test]
fn a_welcome_of_another_version_within_a_session_ends_it_and_is_no_refusal() {
    let mut pair = Pair::joined();
    pair.client.handle_packet(pair.now, parse(FOREIGN_HELLO));
    assert_eq!(
        pair.client_events(),
        [ClientEvent::Closed(ByeReason::ProtocolError)]
    );
}

#[test]
fn a_stopping_server_tells_those_who_have_not_joined_yet() {
    for (end, reason) in [
        (ByeReason::Stopping, RejectReason::Stopping),
        (ByeReason::SlowConsumer, RejectReason::Malformed),
    ] {
        let mut pair = Pair::new();
        pair.server.end(end);
        assert_eq!(pair.server_events(), [ServerEvent::Refused(reason)]);
    }
}
