//! A Hello is answered now or later, and nothing that comes before the answer does harm.

use super::*;
use crate::lobby::EARLY_BYTES_MAX;

/// A room with someone in it, and someone else whose Hello waits for an answer.
fn bench_with_waiting() -> (Bench, usize, usize) {
    let mut bench = Bench::new(config());
    let ada = bench.join("kitchen", "ada");
    bench.answers = false;
    let bob = bench.join("kitchen", "bob");
    bench.forget_received();
    bench.events.clear();
    (bench, ada, bob)
}

fn answer(bench: &mut Bench) {
    let incoming = bench.hub.poll_incoming().expect("someone waits");
    bench.hub.admit(incoming, bench.now);
    bench.deliver();
}

#[test]
fn what_comes_before_the_answer_waits_for_it() {
    let (mut bench, ada, bob) = bench_with_waiting();
    bench.send(bob, &ClientPacket::Ping(7));
    bench.speak(bob, 300, false);
    bench.speak(bob, 300, true);
    let mut ping = [0; ENCODED_MAX];
    let len = write_to_stream(&ClientPacket::Ping(8), &mut ping).unwrap();
    // In the midst of a packet, and longer than a Hello may take.
    bench.send_bytes(bob, &ping[..len - 3]);
    for _ in 0..2 {
        bench.pass(Duration::from_secs(4));
        bench.send(ada, &ClientPacket::Ping(1));
    }
    assert_eq!(bench.take_received(bob), []);
    assert!(matches!(
        bench.take_received(ada)[..],
        [Received::Pong(1), Received::Pong(1)]
    ));
    let gauges = bench.hub.gauges();
    assert_eq!((gauges.participants, gauges.handshakes), (1, 1));

    let incoming = bench.hub.poll_incoming().unwrap();
    assert_eq!(Some(incoming.link()), bench.peers[bob].link);
    assert_eq!(&*incoming.request().name, "bob");
    bench.hub.admit(incoming, bench.now);
    bench.deliver();
    bench.send_bytes(bob, &ping[len - 3..]);
    bench.pass(FRAME + FRAME);
    let received = bench.take_received(bob);
    assert!(matches!(received[0], Received::Welcome { id: 2, .. }));
    assert!(received.contains(&Received::Pong(7)) && received.contains(&Received::Pong(8)));
    assert_eq!(bench.heard(ada), [(Some(300), false), (Some(300), true)]);
    assert!(bench.hub.poll_incoming().is_none(), "one answer is enough");
}

#[test]
fn too_much_before_the_answer_is_refused() {
    for (more, is_refused) in [(0, false), (1, true)] {
        let (mut bench, _, bob) = bench_with_waiting();
        bench.send_bytes(bob, &[0; EARLY_BYTES_MAX - 100]);
        bench.send_bytes(bob, &vec![0; 100 + more]);
        assert_eq!(bench.peers[bob].closed, is_refused, "{more} bytes more");
        answer(&mut bench);
        let received = bench.take_received(bob);
        let first = received.first();
        assert_eq!(
            matches!(first, Some(Received::Reject(RejectReason::Malformed, _))),
            is_refused,
            "{received:?}"
        );
        assert_eq!(bench.hub.gauges().participants, 2 - more);
    }
}

#[test]
fn an_answer_that_comes_too_late_changes_nothing() {
    for end in 0..3 {
        let (mut bench, _, bob) = bench_with_waiting();
        match end {
            0 => bench.close(bob),
            1 => {
                bench.pass(Duration::from_secs(1));
                bench.refuse_handshakes(1);
            }
            _ => {
                bench.peers[bob].reads = false;
                bench.hub.shut_down(bench.now);
            }
        }
        bench.deliver();
        let before = bench.hub.counters();
        answer(&mut bench);
        assert!(
            !bench
                .events
                .iter()
                .any(|event| matches!(event, Event::Joined { .. })),
            "{end}"
        );
        assert_eq!(bench.hub.counters(), before, "{end}");
        let participants = if end < 2 { 1 } else { 0 };
        assert_eq!(bench.hub.gauges().participants, participants, "{end}");
    }
}

#[test]
fn whoever_drives_the_hub_may_refuse() {
    let (mut bench, _, bob) = bench_with_waiting();
    bench.speak(bob, 300, true);
    let incoming = bench.hub.poll_incoming().unwrap();
    let reason = RejectReason::ServerFull;
    bench
        .hub
        .refuse(incoming, reason, "come back later", bench.now);
    bench.deliver();
    let text = "come back later".to_owned();
    assert_eq!(bench.take_received(bob), [Received::Reject(reason, text)]);
    assert!(bench.peers[bob].closed);
}

#[test]
fn a_name_is_judged_when_the_answer_is_given() {
    let (mut bench, _, bob) = bench_with_waiting();
    let twin = bench.join("kitchen", "bob");
    answer(&mut bench);
    answer(&mut bench);
    assert!(matches!(
        bench.take_received(bob)[..],
        [Received::Welcome { .. }]
    ));
    assert!(matches!(
        bench.take_received(twin)[..],
        [Received::Reject(RejectReason::NameTaken, _)]
    ));
}

#[test]
fn a_member_that_says_hello_again_is_out_until_it_is_answered() {
    let (mut bench, ada, bob) = bench_with_waiting();
    answer(&mut bench);
    bench.forget_received();
    bench.hello(bob, "kitchen", "bob", CodecId::Pcm16);
    assert_eq!(bench.take_received(ada), [Received::Left(2)]);
    bench.speak(ada, 9, true);
    bench.pass(FRAME);
    assert_eq!(bench.take_received(bob), []);
    answer(&mut bench);
    assert!(matches!(
        bench.take_received(bob)[..],
        [Received::Welcome { id: 3, .. }]
    ));
}

#[test]
fn numbers_are_the_rooms_own_and_come_back_as_late_as_possible() {
    let mut bench = Bench::new(config());
    let told = |bench: &mut Bench, peer| match bench.take_received(peer)[..] {
        [Received::Welcome { id, .. }] => id,
        ref received => panic!("{received:?}"),
    };
    let ada = bench.join("kitchen", "ada");
    let bob = bench.join("attic", "bob");
    assert_eq!((told(&mut bench, ada), told(&mut bench, bob)), (1, 1));
    let mut seen = std::collections::HashSet::from([1]);
    for _ in 0..u16::MAX {
        let guest = bench.join("kitchen", "guest");
        assert!(seen.insert(told(&mut bench, guest)));
        bench.close(guest);
        bench.peers.pop();
        bench.forget_received();
        bench.events.clear();
    }
    let guest = bench.join("kitchen", "guest");
    assert_eq!(told(&mut bench, guest), 2, "one is taken");
}
