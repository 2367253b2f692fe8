//! Packets that cannot be read, at every point of a session: both ends end it in order, and nobody
//! panics.

use crate::common::session_pair::{Pair, closed, rejected};
use talkspurt_core::session::ServerEvent;
use talkspurt_core::wire::{Reason, parse};

/// A Hello of this version without the rest of it, and one of another version with more than this
/// one knows.
const BROKEN_HELLO: &[u8] = &[0, 2, 0xff, 0xff];
const FOREIGN_HELLO: &[u8] = &[0, 3, 0xff, 0xff];

#[test]
fn a_participant_that_sends_a_broken_hello_gets_a_bye_and_a_foreign_one_is_refused() {
    for packet in [BROKEN_HELLO, &[0], &[]] {
        let mut pair = Pair::joined();
        assert!(pair.server.handle_packet(pair.now, parse(packet)).is_none());
        pair.assert_server_ends(Reason::MALFORMED);
        assert!(pair.server.is_closed());
    }
    for packet in [FOREIGN_HELLO, &[0, 3]] {
        let mut pair = Pair::joined();
        pair.bytes_to_server(packet);
        let left = ServerEvent::Left(Reason::REJOINED, None);
        let refused = ServerEvent::Refused(Reason::VERSION);
        assert_eq!(pair.server_events(), [left, refused]);
        pair.pump();
        assert_eq!(pair.client_events(), [rejected(Reason::VERSION)]);
    }
}

#[test]
fn a_client_that_sends_one_before_joining_is_refused() {
    for (packet, reason) in [
        (BROKEN_HELLO, Reason::MALFORMED),
        (FOREIGN_HELLO, Reason::VERSION),
    ] {
        let mut pair = Pair::new();
        pair.server.handle_packet(pair.now, parse(packet));
        assert_eq!(pair.server_events(), [ServerEvent::Refused(reason)]);
    }
}

#[test]
fn a_garbled_packet_before_the_welcome_is_no_refusal() {
    // The line may be noisy. Only a Welcome of another version is a reason to give up.
    for (packet, reason) in [
        (&[200, 1, 2][..], Reason::MALFORMED),
        (&[2], Reason::MALFORMED),
        (&[2, 2, 0xff, 0xff], Reason::MALFORMED),
        (&[], Reason::MALFORMED),
        (&[0x20], Reason::UNEXPECTED),
    ] {
        let mut pair = Pair::new();
        pair.client.handle_packet(pair.now, parse(packet));
        assert_eq!(pair.client_events(), [closed(reason)], "{packet:?}");
    }
}

#[test]
fn a_server_says_why_to_those_who_are_not_in_yet() {
    for &reason in Reason::ALL {
        let mut pair = Pair::new();
        pair.server.end(reason, "");
        pair.assert_server_refuses(reason);
    }
}
