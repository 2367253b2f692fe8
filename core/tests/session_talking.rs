//! A client that talks notices within seconds that nobody is there any more.

mod common;

use common::session_pair::Pair;
use talkspurt_core::session::ClientEvent;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{ByeReason, ENCODED_MAX};

const FRAME: Duration = Duration::from_ms(20);

/// Lets time pass, a frame at a time; the client talks if `talks`, and the server hears it if `line`. Gives the number of Pings.
fn run(pair: &mut Pair, span: Duration, talks: bool, line: bool) -> u32 {
    let (until, mut pings) = (pair.now + span, 0);
    let mut packet = [0; ENCODED_MAX];
    while pair.now < until {
        pair.now += FRAME;
        if talks {
            pair.client.voice_sent(pair.now);
        }
        if pair.client.poll_timeout().is_some_and(|at| at <= pair.now) {
            pair.client.handle_timeout(pair.now);
        }
        while let Some(len) = pair.client.poll_transmit(&mut packet) {
            pings += 1;
            if line {
                pair.bytes_to_server(&packet[..len]);
                pair.pump();
            }
        }
    }
    pings
}

/// When the session ended, in milliseconds after `since`.
fn lost_after_ms(pair: &mut Pair, talks: bool, since: Instant) -> u64 {
    while !pair.client.is_closed() {
        run(pair, FRAME, talks, false);
    }
    pair.now.since(since).as_ms()
}

#[test]
fn a_talker_notices_within_four_seconds_and_says_no_bye() {
    let mut pair = Pair::joined();
    let pings = run(&mut pair, Duration::from_secs(10), true, true);
    assert!((9..=11).contains(&pings), "{pings}: one a second");
    assert!(!pair.client.is_closed());
    let since = pair.now;
    let lost_ms = lost_after_ms(&mut pair, true, since);
    assert!((3_000..=4_000).contains(&lost_ms), "{lost_ms} ms");
    let events = pair.client_events();
    assert_eq!(
        events,
        [ClientEvent::Closed(ByeReason::ConnectionLost)],
        "nothing else happened"
    );
    let mut packet = [0; ENCODED_MAX];
    assert_eq!(pair.client.poll_transmit(&mut packet), None);
}

#[test]
fn a_listener_has_the_idle_timeout_and_pings_as_rarely_as_ever() {
    let mut pair = Pair::joined();
    let pings = run(&mut pair, Duration::from_secs(20), false, true);
    assert_eq!(pings, 4, "every third of 15 s, and on joining");
    let since = pair.now;
    let lost_ms = lost_after_ms(&mut pair, false, since);
    assert!((10_000..=15_000).contains(&lost_ms), "{lost_ms} ms");
    assert_eq!(
        pair.client_events(),
        [ClientEvent::Closed(ByeReason::IdleTimeout)]
    );
}

#[test]
fn any_packet_is_an_answer_however_late_if_not_by_three_seconds() {
    let mut pair = Pair::joined();
    run(&mut pair, Duration::from_secs(2), true, true);
    for _ in 0..10 {
        let pings = run(&mut pair, Duration::from_ms(2_900), true, false);
        assert!((2..=3).contains(&pings), "{pings}");
        pair.send_to_client(&talkspurt_core::wire::ServerPacket::Ping(7));
        pair.client.poll_transmit(&mut [0; ENCODED_MAX]).unwrap();
    }
    assert!(!pair.client.is_closed());
}

#[test]
fn a_server_that_speaks_all_the_time_is_not_asked() {
    let mut pair = Pair::joined();
    run(&mut pair, Duration::from_ms(100), true, true);
    let mut pings = 0;
    for _ in 0..40 {
        pair.send_to_client(&talkspurt_core::wire::ServerPacket::Pong(99));
        pings += run(&mut pair, Duration::from_ms(100), true, false);
    }
    assert_eq!(pings, 0);
}
