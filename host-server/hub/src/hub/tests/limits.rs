//! Hostile, broken and slow peers: refused with a reason, and nobody else is disturbed.

use super::*;

/// After whatever happened, `listener` still hears `talker`.
fn assert_room_works(bench: &mut Bench, talker: usize, listener: usize) {
    bench.pass(Duration::from_secs(1));
    bench.take_received(listener);
    bench.speak(talker, 55, true);
    bench.pass(FRAME);
    assert_eq!(bench.heard(listener), [(Some(55), true)]);
}

fn bench_with_room() -> (Bench, usize, usize) {
    let mut bench = Bench::new(config());
    let (ada, bob) = (bench.join("kitchen", "ada"), bench.join("kitchen", "bob"));
    (bench, ada, bob)
}

/// The peer got a Reject and nothing else, and it is counted and told. Gives its text.
fn assert_rejected(bench: &mut Bench, peer: usize, reason: Reason) -> String {
    let received = bench.take_received(peer);
    let [Received::Reject(got, text)] = &received[..] else {
        panic!("{received:?}")
    };
    assert_eq!(*got, reason);
    assert!(!text.is_empty() && bench.peers[peer].closed);
    assert_eq!(bench.hub.counters().handshake_failures[reason.label()], 1);
    assert!(
        bench
            .events
            .iter()
            .any(|event| matches!(event, Event::Refused { reason: r, .. } if *r == reason))
    );
    text.clone()
}

#[test]
fn a_taken_name_is_refused_in_that_room_only() {
    let (mut bench, ada, bob) = bench_with_room();
    let twin = bench.join("kitchen", "bob");
    let text = assert_rejected(&mut bench, twin, Reason::NAME_TAKEN);
    assert!(text.contains("choose another, or wait 15 s"), "{text}");
    let other = bench.join("attic", "bob");
    assert!(matches!(
        bench.take_received(other)[..],
        [Received::Welcome { .. }]
    ));
    assert_room_works(&mut bench, ada, bob);
}

#[test]
fn a_name_that_looks_like_another_is_refused_and_told_which() {
    let (mut bench, ada, bob) = bench_with_room();
    let twin = bench.join("kitchen", "\u{430}da");
    let text = assert_rejected(&mut bench, twin, Reason::NAME_TAKEN);
    assert_eq!(text, "choose another name: \u{430}da looks like ada");
    bench.join("attic", "\u{430}da");
    bench.join("kitchen", "Ada");
    assert_eq!(bench.hub.gauges().participants, 4);
    assert_room_works(&mut bench, ada, bob);
}

#[test]
fn of_all_that_is_wrong_with_a_hello_the_first_is_said() {
    let (long_room, long_credentials) = ("r".repeat(65), [7; 65]);
    let (bad_room, bad_name) = (&long_room[..], " bob");
    for (room, credentials, name, reason) in [
        (bad_room, &long_credentials[..], bad_name, Reason::BAD_ROOM),
        (
            "kitchen",
            &long_credentials,
            bad_name,
            Reason::BAD_CREDENTIALS,
        ),
        ("kitchen", &long_credentials, "bob", Reason::BAD_CREDENTIALS),
        ("kitchen", &[], bad_name, Reason::BAD_NAME),
        ("kitchen", &[], "bob", Reason::NAME_TAKEN),
    ] {
        let (mut bench, ..) = bench_with_room();
        let peer = bench.connect();
        let hello = Hello {
            credentials,
            ..hello(room, name, &[0], [200; 8])
        };
        bench.send(peer, &ClientPacket::Hello(hello));
        assert_rejected(&mut bench, peer, reason);
    }
}

#[test]
fn full_rooms_and_full_servers_say_so() {
    let mut bench = Bench::new(HubConfig {
        room_capacity: 2,
        max_participants: 3,
        ..config()
    });
    for (room, name) in [("a", "1"), ("a", "2"), ("b", "3")] {
        bench.join(room, name);
    }
    let fourth = bench.join("b", "4");
    assert_rejected(&mut bench, fourth, Reason::SERVER_FULL);
    // Of a full server the room says nothing more.
    let fifth = bench.join("a", "5");
    let received = bench.take_received(fifth);
    assert!(
        matches!(received[..], [Received::Reject(Reason::SERVER_FULL, _)]),
        "{received:?}"
    );
    bench.close(2);
    let third = bench.join("a", "3");
    assert_rejected(&mut bench, third, Reason::ROOM_FULL);
    let elsewhere = bench.join("b", "3");
    assert!(matches!(
        bench.take_received(elsewhere)[..],
        [Received::Welcome { .. }]
    ));
}

#[test]
fn who_was_stalled_for_a_moment_gets_all_that_waited() {
    let (mut bench, _, bob) = bench_with_room();
    let slow = bench.join("kitchen", "slow");
    bench.take_received(slow);
    bench.pass(Duration::from_secs(14));
    bench.send(bob, &ClientPacket::Ping(1));
    bench.peers[slow].reads = false;
    let eve = bench.join("kitchen", "eve");
    // Not a byte from it for so long that it is dropped; but it has stalled for a second only.
    bench.pass(Duration::from_secs(1));
    bench.peers[slow].reads = true;
    bench.deliver_to(bench.peers[slow].link.unwrap());
    let received = bench.take_received(slow);
    assert!(
        matches!(
            &received[..],
            [
                Received::Joined(..),
                Received::Left(_, Reason::IDLE_TIMEOUT),
                Received::Bye(Reason::IDLE_TIMEOUT)
            ]
        ),
        "{received:?}"
    );
    assert!(!bench.peers[eve].closed);
}

#[test]
fn a_bye_does_not_overtake_what_waited_unless_it_is_for_that() {
    let (mut bench, _, bob) = bench_with_room();
    bench.take_received(bob);
    bench.peers[bob].reads = false;
    bench.join("kitchen", "eve");
    bench.speak_payload(bob, &[1, 2, 3], false);
    bench.peers[bob].reads = true;
    bench.deliver_to(bench.peers[bob].link.unwrap());
    let received = bench.take_received(bob);
    assert!(
        matches!(
            &received[..],
            [Received::Joined(..), Received::Bye(Reason::UNEXPECTED)]
        ),
        "{received:?}"
    );
}

#[test]
fn hellos_without_end_are_a_flood() {
    let (mut bench, ada, bob) = bench_with_room();
    let churn = bench.join("kitchen", "churn");
    bench.forget_received();
    for n in 0..100 {
        bench.hello(churn, "kitchen", &format!("churn-{n}"), CodecId::Pcm16);
    }
    assert_eq!(
        bench.take_received(churn).last(),
        Some(&Received::Bye(Reason::FLOOD))
    );
    let told = bench.take_received(bob).len();
    assert!(told <= 20, "ten times out and in: {told}");
    assert_room_works(&mut bench, ada, bob);
}

#[test]
fn a_handshake_has_its_time() {
    let (mut bench, ada, bob) = bench_with_room();
    let half = bench.connect();
    bench.send_bytes(half, &[1, 2, 3]);
    bench.pass(Duration::from_millis(4_999));
    assert!(!bench.peers[half].closed);
    bench.pass(Duration::from_millis(1));
    assert_rejected(&mut bench, half, Reason::NO_HELLO);
    assert_room_works(&mut bench, ada, bob);
}

#[test]
fn voice_before_a_hello_is_refused() {
    let (mut bench, ada, bob) = bench_with_room();
    let eager = bench.connect();
    bench.speak(eager, 1, false);
    assert_rejected(&mut bench, eager, Reason::NO_SESSION);
    assert_room_works(&mut bench, ada, bob);
}

#[test]
fn oversized_and_misleading_names_are_refused() {
    let (mut bench, ada, bob) = bench_with_room();
    let long = bench.join("kitchen", &"x".repeat(33));
    assert_rejected(&mut bench, long, Reason::BAD_NAME);
    let long = bench.join(&"x".repeat(65), "eve");
    assert_rejected(&mut bench, long, Reason::BAD_ROOM);
    for (room, name, reason) in [
        ("kitchen", "ada ", Reason::BAD_NAME),
        ("kitchen", "ada\u{200b}", Reason::BAD_NAME),
        ("kit\u{2060}chen", "eve", Reason::BAD_ROOM),
    ] {
        let (mut bench, ..) = bench_with_room();
        let twin = bench.join(room, name);
        assert_rejected(&mut bench, twin, reason);
    }
    assert_room_works(&mut bench, ada, bob);
}

#[test]
fn garbage_is_refused_whether_or_not_it_has_zeros() {
    for byte in [0u8, 1, 0xff] {
        let (mut bench, ada, bob) = bench_with_room();
        let noise = bench.connect();
        (0..10).for_each(|_| bench.send_bytes(noise, &[byte; 4096]));
        if byte > 0 {
            assert_rejected(&mut bench, noise, Reason::DAMAGE);
        } else {
            assert!(!bench.peers[noise].closed, "zeros mean nothing");
        }
        let mixed = bench.connect();
        (0..20).for_each(|_| bench.send_bytes(mixed, &[3, byte, byte, 9, 0].repeat(800)));
        assert!(bench.peers[mixed].closed, "{byte}");
        assert_room_works(&mut bench, ada, bob);
    }
}

#[test]
fn garbage_from_a_participant_ends_the_session_with_a_reason() {
    let (mut bench, ada, bob) = bench_with_room();
    let eve = bench.join("kitchen", "eve");
    bench.take_received(eve);
    (0..10).for_each(|_| bench.send_bytes(eve, &[0x55; 4096]));
    assert_eq!(bench.take_received(eve), [Received::Bye(Reason::DAMAGE)]);
    assert!(bench.peers[eve].closed);
    assert_room_works(&mut bench, ada, bob);
}

#[test]
fn noise_on_a_line_is_borne() {
    let (mut bench, ada, bob) = bench_with_room();
    for _ in 0..60 {
        bench.send_bytes(ada, &[7, 7, 7, 0]);
        bench.pass(Duration::from_millis(100));
        bench.send(bob, &ClientPacket::Ping(1));
        bench.send(ada, &ClientPacket::Ping(1));
    }
    assert_room_works(&mut bench, ada, bob);
}

#[test]
fn a_frame_of_the_wrong_size_ends_the_session() {
    let (mut bench, ada, bob) = bench_with_room();
    let eve = bench.join("kitchen", "eve");
    bench.take_received(eve);
    bench.speak_payload(eve, &[1, 2, 3], false);
    assert_eq!(
        bench.take_received(eve),
        [Received::Bye(Reason::UNEXPECTED)]
    );
    assert_room_works(&mut bench, ada, bob);
}

#[test]
fn a_flood_ends_and_the_room_goes_on() {
    let (mut bench, ada, bob) = bench_with_room();
    let flood = bench.join("kitchen", "flood");
    for _ in 0..100 {
        bench.speak(ada, 10, false);
        (0..100).for_each(|_| bench.speak(flood, 10, false));
        bench.pass(FRAME);
    }
    assert!(bench.peers[flood].closed);
    assert!(
        bench.peers[flood]
            .received
            .contains(&Received::Bye(Reason::FLOOD))
    );
    assert_eq!(bench.hub.counters().sessions_ended["flood"], 1);
    assert_eq!(bench.voices(bob).count(), 100, "every tick was mixed");
    bench.speak(ada, 10, true);
    assert_room_works(&mut bench, ada, bob);
}

#[test]
fn the_silent_are_dropped_and_those_who_ping_stay() {
    let (mut bench, ada, bob) = bench_with_room();
    for number in 0..4 {
        bench.send(bob, &ClientPacket::Ping(number));
        assert!(bench.take_received(bob).contains(&Received::Pong(number)));
        bench.pass(Duration::from_secs(5));
    }
    assert!(
        bench
            .take_received(ada)
            .contains(&Received::Bye(Reason::IDLE_TIMEOUT))
    );
    assert!(bench.peers[ada].closed && !bench.peers[bob].closed);
    assert_eq!(bench.hub.gauges().participants, 1);
}

#[test]
fn a_stalled_listener_loses_old_voice_and_is_dropped_at_last() {
    let (mut bench, ada, bob) = bench_with_room();
    let slow = bench.join("kitchen", "slow");
    bench.peers[slow].reads = false;
    for second in 0..16u64 {
        for _ in 0..50 {
            bench.speak(ada, 5, false);
            bench.pass(FRAME);
        }
        bench.send(bob, &ClientPacket::Ping(1));
        bench.send(slow, &ClientPacket::Ping(1));
        let dropped = bench.hub.counters().slow_consumer_drops;
        assert!(
            second > 13 || dropped >= 50 * second + 38,
            "second {second}: {dropped}"
        );
    }
    assert_eq!(bench.heard(bob).len(), 16 * 50, "nobody else lost anything");
    assert_eq!(bench.hub.counters().sessions_ended["slow_reader"], 1);
    bench.pass(Duration::from_secs(2));
    assert!(
        bench.peers[slow].closed,
        "even its Bye does not wait for ever"
    );
    assert_eq!(bench.hub.gauges().participants, 2);
}

#[test]
fn a_listener_who_comes_back_hears_the_newest() {
    let (mut bench, ada, _) = bench_with_room();
    let slow = bench.join("kitchen", "slow");
    bench.peers[slow].reads = false;
    for frame in 0..100 {
        bench.speak(ada, frame, false);
        bench.pass(FRAME);
    }
    bench.peers[slow].reads = true;
    let link = bench.peers[slow].link.unwrap();
    bench.deliver_to(link);
    let heard = bench.heard(slow);
    assert_eq!(heard.last(), Some(&(Some(99), false)));
    assert!(
        heard.len() <= 11,
        "200 ms and the packet that was being written: {}",
        heard.len()
    );
}

#[test]
fn roster_changes_that_pile_up_end_a_session_and_not_the_memory() {
    let (mut bench, ada, bob) = bench_with_room();
    let slow = bench.join("kitchen", "slow");
    bench.peers[slow].reads = false;
    // Within 4 s: too few to be dropped for having stalled.
    let changes = (CONTROL_BYTES + 64 * ROSTER_ENTRY_BYTES) / PACKET_OVERHEAD_BYTES;
    for _ in 0..changes / 2 {
        let churn = bench.join("kitchen", "churn");
        bench.close(churn);
        bench.pass(Duration::from_millis(15));
    }
    bench.send(bob, &ClientPacket::Ping(1));
    assert_eq!(bench.hub.gauges().participants, 2);
    assert_eq!(bench.hub.counters().sessions_ended["slow_reader"], 1);
    assert_room_works(&mut bench, ada, bob);
}

#[test]
fn shutting_down_says_bye_to_everyone_and_lets_nobody_in() {
    let (mut bench, ada, bob) = bench_with_room();
    let waiting = bench.connect();
    bench.forget_received();
    bench.hub.shut_down(bench.now);
    bench.deliver();
    for peer in [ada, bob] {
        assert_eq!(bench.take_received(peer), [Received::Bye(Reason::STOPPING)]);
        assert!(bench.peers[peer].closed);
    }
    assert_rejected(&mut bench, waiting, Reason::STOPPING);
    assert_eq!(bench.hub.connect(bench.now), None);
    assert_eq!(bench.hub.gauges(), Gauges::default());
}

#[test]
fn shutting_down_empties_every_room_and_tells_nobody_of_the_others() {
    let mut bench = Bench::new(config());
    let members: Vec<_> = [("a", "ann"), ("a", "ben"), ("b", "ann"), ("b", "ben")]
        .map(|(room, name)| bench.join(room, name))
        .into();
    bench.answers = false;
    let waiting = bench.join("a", "cat");
    bench.forget_received();
    bench.events.clear();
    bench.hub.shut_down(bench.now);
    bench.deliver();
    for peer in members {
        let received = bench.take_received(peer);
        assert_eq!(received, [Received::Bye(Reason::STOPPING)]);
    }
    assert_rejected(&mut bench, waiting, Reason::STOPPING);
    let left = bench.events.iter().filter_map(|event| match event {
        Event::Left(who, _) => Some((who.room.as_str(), who.participants)),
        _ => None,
    });
    let mut left: Vec<_> = left.collect();
    left.sort_unstable();
    assert_eq!(left, [("a", 0), ("a", 1), ("b", 0), ("b", 1)]);
    assert_eq!(bench.hub.counters().sessions_ended["stopping"], 4);
    assert_eq!(bench.hub.gauges(), Gauges::default());
    assert!(bench.hub.poll_incoming().is_none());
}

#[test]
fn a_room_from_which_two_go_at_once_is_over_and_its_name_is_free() {
    let (mut bench, ada, bob) = bench_with_room();
    // What waits for Ada fills up with what Bob's going says.
    for peer in [ada, bob] {
        bench.peers[peer].reads = false;
    }
    let mut n = 0;
    while bench.hub.gauges().participants == 2 {
        let churn = bench.join("kitchen", &format!("churn-{n}"));
        bench.close(churn);
        n += 1;
    }
    bench.pass(Duration::from_secs(2));
    assert_eq!(
        (bench.hub.gauges().participants, bench.hub.gauges().rooms),
        (0, 0)
    );
    assert!(bench.peers[ada].closed && bench.peers[bob].closed);
    let eve = bench.join("kitchen", "ada");
    assert!(matches!(
        bench.take_received(eve)[..],
        [Received::Welcome { id: 1, .. }]
    ));
    assert_eq!(bench.hub.gauges().rooms, 1);
}

#[test]
fn who_takes_nothing_for_too_long_is_told_that_and_nothing_old() {
    let (mut bench, _, bob) = bench_with_room();
    bench.take_received(bob);
    bench.peers[bob].reads = false;
    bench.join("kitchen", "eve");
    for _ in 0..3 {
        bench.send(bob, &ClientPacket::Ping(1));
        bench.pass(Duration::from_secs(5));
    }
    bench.peers[bob].reads = true;
    bench.deliver_to(bench.peers[bob].link.unwrap());
    assert_eq!(
        bench.take_received(bob),
        [Received::Bye(Reason::SLOW_READER)]
    );
}

#[test]
fn packets_that_come_in_pieces_are_no_garbage() {
    let (mut bench, ada, bob) = bench_with_room();
    let mut packet = [0; ENCODED_MAX];
    for number in 0..500 {
        let voice = Voice {
            seq: Seq(number),
            timestamp: Timestamp(8 * u32::from(number)),
            level: 40,
            stream: 0,
            terminator: false,
            payload: &[1; 2 * SAMPLES],
        };
        let len = write_to_stream(&ClientPacket::Voice(voice), &mut packet).unwrap();
        for piece in packet[..len].chunks(100) {
            bench.send_bytes(ada, piece);
        }
        bench.pass(FRAME);
    }
    bench.forget_received();
    assert!(!bench.peers[ada].closed && !bench.peers[bob].closed);
}

#[test]
fn whoever_says_nothing_after_the_hello_is_dropped_in_time() {
    let mut bench = Bench::new(config());
    let ada = bench.join("kitchen", "ada");
    bench.pass(Duration::from_millis(14_999));
    assert!(!bench.peers[ada].closed);
    bench.pass(Duration::from_millis(1));
    assert!(bench.peers[ada].closed);
}
