//! Packets that cannot be read, at every point of a session: both ends end it in order, and nobody
//! panics.

use crate::common::session_pair::Pair;
use talkspurt_core::session::{ClientEvent, ServerEvent};
use talkspurt_core::wire::{ByeReason, RejectReason, parse};

/// A Hello of this version without the rest of it, and one of another version with more than this
/// one knows.
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
fn before_it_is_in_a_client_that_sends_them_is_refused() {
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
fn to_refuse_one_who_is_in_ends_the_session_in_order() {
    let mut pair = Pair::joined();
    pair.server.reject(RejectReason::RoomFull, "too late");
    pair.assert_server_ends(ByeReason::ProtocolError);
    // Once it is over, it stays as it was.
    pair.server.reject(RejectReason::RoomFull, "later still");
    assert_eq!(pair.server_events(), []);
    assert_eq!(pair.server.poll_transmit(), None);
}

#[test]
fn a_garbled_packet_before_the_welcome_is_no_refusal_for_good() {
    // The line may be noisy: the client comes back. Only a Welcome of another version is a reason
    // to give up.
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
fn a_server_that_stops_says_so_to_those_who_are_not_in_yet() {
    for (end, reason) in [
        (ByeReason::Stopping, RejectReason::Stopping),
        (ByeReason::SlowConsumer, RejectReason::Malformed),
    ] {
        let mut pair = Pair::new();
        pair.server.end(end);
        assert_eq!(pair.server_events(), [ServerEvent::Refused(reason)]);
    }
}
