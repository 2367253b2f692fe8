//! Connections that have not joined: bounded, and no harm to those who have.

use super::*;

#[test]
fn connections_that_say_nothing_make_room_for_those_who_do() {
    let mut bench = Bench::new(HubConfig {
        max_participants: 10,
        ..config()
    });
    let places = 10 + config().max_handshakes;
    let silent: Vec<_> = (0..places + 34)
        .map(|_| {
            bench.pass(Duration::from_millis(1));
            bench.connect()
        })
        .collect();
    for (n, peer) in silent.iter().enumerate() {
        assert_eq!(
            bench.peers[*peer].closed,
            n < 34,
            "the oldest, and only they: {n}"
        );
    }
    assert!(matches!(
        bench.take_received(silent[0])[..],
        [Received::Reject(Reason::CROWDED, _)]
    ));
    let ada = bench.join("kitchen", "ada");
    assert!(
        matches!(bench.take_received(ada)[..], [Received::Welcome { .. }]),
        "who says Hello gets in, however many say nothing"
    );
    bench.pass(Duration::from_secs(5));
    assert!(silent.iter().all(|peer| bench.peers[*peer].closed));
    assert_eq!(bench.hub.gauges().handshakes, 0);
}

#[test]
fn nobody_who_is_in_makes_room_for_connections_that_say_nothing() {
    let mut bench = Bench::new(HubConfig {
        max_participants: 10,
        ..config()
    });
    let ada = bench.join("kitchen", "ada");
    // Unheard for so long that their deadline is the earliest of all.
    bench.pass(Duration::from_secs(12));
    let leaving = bench.join("kitchen", "bob");
    bench.peers[leaving].reads = false;
    bench.speak_payload(leaving, &[1, 2, 3], false);
    let silent: Vec<_> = (0..10 + config().max_handshakes + 5)
        .map(|_| bench.connect())
        .collect();
    assert!(!bench.peers[ada].closed);
    let closed = silent.iter().filter(|peer| bench.peers[**peer].closed);
    assert_eq!(closed.count(), 7, "as many as there is no room for");
    assert_eq!(bench.hub.gauges().participants, 1);
}

#[test]
fn with_nobody_to_make_room_a_connection_is_turned_away() {
    let mut bench = Bench::new(HubConfig {
        max_participants: 1,
        ..config()
    });
    // Over, but still to be told why: they can make no room.
    for n in 0..1 + config().max_handshakes {
        let over = bench.connect();
        bench.peers[over].reads = false;
        bench.speak(over, 1, false);
        assert_eq!(bench.hub.gauges().handshakes, n + 1);
    }
    assert_eq!(bench.hub.connect(bench.now), None);
    assert_eq!(bench.hub.counters().handshake_failures["crowded"], 1);
}

#[test]
fn without_descriptors_the_oldest_make_room_but_not_one_that_has_just_come() {
    let mut bench = Bench::new(config());
    let ada = bench.join("kitchen", "ada");
    let old: Vec<_> = (0..3).map(|_| bench.connect()).collect();
    bench.pass(Duration::from_millis(1));
    let almost_old = bench.connect();
    bench.pass(Duration::from_millis(499));
    let new = bench.connect();
    bench.refuse_handshakes(2);
    let closed = |bench: &Bench| old.iter().filter(|peer| bench.peers[**peer].closed).count();
    assert_eq!(closed(&bench), 2, "no more than asked");
    bench.refuse_handshakes(8);
    assert_eq!(closed(&bench), 3);
    assert!(!bench.peers[almost_old].closed, "499 ms old");
    bench.pass(Duration::from_millis(1));
    bench.refuse_handshakes(8);
    assert!(bench.peers[almost_old].closed);
    assert!(!bench.peers[new].closed, "its Hello is on the way");
    assert!(!bench.peers[ada].closed);
}

#[test]
fn a_probe_is_no_failed_handshake() {
    let mut bench = Bench::new(config());
    let probe = bench.connect();
    bench.close(probe);
    assert!(
        matches!(bench.events[..], [Event::Probed { .. }]),
        "{:?}",
        bench.events
    );
    let half = bench.connect();
    bench.send_bytes(half, &[1]);
    bench.close(half);
    let counters = bench.hub.counters();
    assert_eq!(
        (
            counters.probes,
            counters.handshake_failures["connection_lost"]
        ),
        (1, 1)
    );
    assert_eq!(bench.hub.gauges().handshakes, 0);
    // One that was refused already is neither.
    let late = bench.connect();
    bench.peers[late].reads = false;
    bench.pass(Duration::from_millis(5_500));
    bench.close(late);
    assert_eq!(bench.hub.counters().probes, 1);
}

#[test]
fn garbage_is_charged_once_however_it_is_cut() {
    // 16 KiB of garbage are borne at once, and 4 KiB a second.
    for piece_bytes in [100, 1_000, 4_096] {
        let mut bench = Bench::new(config());
        let noise = bench.connect();
        let mut sent = 0;
        while !bench.peers[noise].closed {
            bench.send_bytes(noise, &vec![9; piece_bytes]);
            sent += piece_bytes;
        }
        assert!(
            (16_384..16_384 + 2 * 4_096).contains(&sent),
            "{sent} bytes in pieces of {piece_bytes}"
        );
    }
}

#[test]
fn garbage_that_ends_at_last_is_not_charged_again() {
    for piece_bytes in [100, 1_000, 4_000] {
        let mut bench = Bench::new(config());
        let noise = bench.connect();
        for _ in 0..12_000 / piece_bytes {
            bench.send_bytes(noise, &vec![9; piece_bytes]);
        }
        bench.send_bytes(noise, &[0]);
        assert!(!bench.peers[noise].closed, "pieces of {piece_bytes}");
    }
}
