//! A client that talks notices within seconds that the server is gone.

use crate::common::session_pair::{Pair, REVISION, bytes_of, closed, say};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{ParticipantFlags, Reason, ServerPacket, ServerPong};

/// An answer to a Ping.
fn pong(number: u32) -> ServerPacket<'static> {
    ServerPacket::Pong(ServerPong {
        number,
        revision: REVISION,
        flags: ParticipantFlags::default(),
    })
}

const FRAME: Duration = Duration::from_millis(20);

/// Lets time pass, a frame at a time; the client talks if `talks`, and the server hears it if
/// `line`. Gives the number of Pings.
fn run(pair: &mut Pair, span: Duration, talks: bool, line: bool) -> u32 {
    let (until, mut pings) = (pair.now + span, 0);
    while pair.now < until {
        pair.now += FRAME;
        if talks {
            pair.client.voice_sent(pair.now);
        }
        if pair.client.poll_timeout().is_some_and(|at| at <= pair.now) {
            pair.client.handle_timeout(pair.now);
        }
        while let Some(packet) = pair.client.poll_transmit() {
            pings += 1;
            let packet = bytes_of(&packet);
            if line {
                pair.bytes_to_server(&packet);
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
    pair.now.duration_since(since).as_millis()
}

#[test]
fn a_talker_notices_within_four_seconds_and_sends_no_bye() {
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
        [closed(Reason::CONNECTION_LOST)],
        "nothing else happened"
    );
    assert_eq!(pair.client.poll_transmit(), None);
}

#[test]
fn a_listener_has_the_idle_timeout_and_pings_no_more_often() {
    let mut pair = Pair::joined();
    let pings = run(&mut pair, Duration::from_secs(20), false, true);
    assert_eq!(pings, 4, "every third of 15 s, and on joining");
    let since = pair.now;
    let lost_ms = lost_after_ms(&mut pair, false, since);
    assert!((10_000..=15_000).contains(&lost_ms), "{lost_ms} ms");
    assert_eq!(pair.client_events(), [closed(Reason::IDLE_TIMEOUT)]);
}

#[test]
fn any_packet_within_three_seconds_is_an_answer() {
    let mut pair = Pair::joined();
    run(&mut pair, Duration::from_secs(2), true, true);
    for _ in 0..10 {
        let pings = run(&mut pair, Duration::from_millis(2_900), true, false);
        assert!((2..=3).contains(&pings), "{pings}");
        pair.send_to_client(&ServerPacket::Ping(7));
        pair.client.poll_transmit().unwrap();
    }
    assert!(!pair.client.is_closed());
}

#[test]
fn a_server_that_sends_all_the_time_is_not_pinged() {
    let mut pair = Pair::joined();
    run(&mut pair, Duration::from_millis(100), true, true);
    let mut pings = 0;
    for _ in 0..40 {
        pair.send_to_client(&pong(99));
        pings += run(&mut pair, Duration::from_millis(100), true, false);
    }
    assert_eq!(pings, 0);
}

/// Wakes the client when it asks for that, or a little later; gives how long after `since` that is,
/// and whether it has something to send.
fn wake(pair: &mut Pair, since: Instant, late: Duration) -> (u64, bool) {
    pair.now = pair.client.poll_timeout().expect("it waits for something") + late;
    pair.client.handle_timeout(pair.now);
    let sent = pair.client.poll_transmit().is_some();
    (pair.now.duration_since(since).as_millis(), sent)
}

/// A client whose server has said something else than the answer 100 ms after the first Ping; gives
/// when.
fn heard_100_ms_after_the_ping() -> (Pair, Instant) {
    let mut pair = Pair::joined();
    let now = pair.now;
    assert_eq!(wake(&mut pair, now, Duration::ZERO), (0, true));
    pair.now += Duration::from_millis(100);
    pair.send_to_client(&pong(99));
    let heard_at = pair.now;
    (pair, heard_at)
}

#[test]
fn a_talker_pings_after_a_silent_second_and_gives_up_three_seconds_later() {
    let (mut pair, heard_at) = heard_100_ms_after_the_ping();
    let mut asked_ms = Vec::new();
    while !pair.client.is_closed() {
        pair.now += Duration::from_millis(30);
        pair.client.voice_sent(pair.now);
        if pair.client.poll_transmit().is_some() {
            asked_ms.push(pair.now.duration_since(heard_at).as_millis());
        }
    }
    // Three seconds after the first Ping, and without a Bye.
    assert_eq!(asked_ms, [1_020, 2_040, 3_060]);
    assert_eq!(pair.now.duration_since(heard_at).as_millis(), 4_020);
    assert_eq!(pair.client_events(), [closed(Reason::CONNECTION_LOST)]);
}

#[test]
fn a_listener_gives_up_at_the_idle_timeout_and_not_at_the_next_ping() {
    let (mut pair, heard_at) = heard_100_ms_after_the_ping();
    let woken = [0; 4].map(|_| wake(&mut pair, heard_at, Duration::ZERO));
    let bye = (15_000, true);
    assert_eq!(woken, [(4_900, true), (9_900, true), (14_900, true), bye]);
    assert_eq!(pair.client_events(), [closed(Reason::IDLE_TIMEOUT)]);
}

#[test]
fn a_talker_pings_three_times_in_a_short_idle_timeout_too() {
    let mut pair = Pair::new();
    pair.hello();
    pair.server.accept();
    let mut welcome = Pair::welcome_packet(&["ada"]);
    welcome.idle_timeout_ms = 1_000;
    pair.now += Duration::from_millis(500);
    pair.send_to_client(&ServerPacket::Welcome(welcome));
    pair.client_events();
    let welcomed_at = pair.now;
    assert_eq!(wake(&mut pair, welcomed_at, Duration::ZERO), (0, true));
    pair.client.voice_sent(welcomed_at + FRAME);
    let woken = [0; 4].map(|_| wake(&mut pair, welcomed_at, Duration::ZERO));
    let bye = (1_000, true);
    assert_eq!(woken, [(333, true), (666, true), (999, true), bye]);
    assert_eq!(pair.client_events(), [closed(Reason::IDLE_TIMEOUT)]);
}

#[test]
fn only_the_answer_to_the_last_ping_measures_the_round_trip() {
    let mut pair = Pair::joined();
    pair.client.handle_timeout(pair.now);
    pair.now += Duration::from_millis(50);
    pair.send_to_client(&pong(99));
    assert_eq!(pair.client.round_trip(), None);
    pair.now += Duration::from_millis(30);
    pair.send_to_client(&pong(1));
    assert_eq!(pair.client.round_trip(), Some(Duration::from_millis(80)));
}

#[test]
fn voice_is_a_sign_of_life_too() {
    let mut pair = Pair::joined();
    for number in 0..30 {
        pair.now += Duration::from_secs(1);
        pair.send_to_client(&ServerPacket::Voice(say(number, &[0; 640])));
        pair.client.handle_timeout(pair.now);
        while pair.client.poll_transmit().is_some() {}
    }
    assert!(!pair.client.is_closed());
}
