//! A Hello is answered now or later, and nothing that comes before the answer does harm.

use super::*;
use crate::lobby::EARLY_BYTES_MAX;

/// A room with someone in it, and someone else whose Hello waits for an answer.
fn bench_with_waiting() -> (Bench, usize, usize) {
    let mut bench = Bench::new(config());
    let ada = bench.join("kitchen", "ada");
    let bob = bench.connect();
    bench.answers = false;
    // Its answer has as much time as its Hello, and from then on.
    bench.pass(Duration::from_secs(4));
    bench.hello(bob, "kitchen", "bob", CodecId::Pcm16);
    bench.forget_received();
    bench.events.clear();
    (bench, ada, bob)
}

fn answer(bench: &mut Bench) {
    let incoming = bench.hub.poll_incoming().expect("someone waits");
    bench.hub.admit(incoming, [9; 16], bench.now);
    bench.deliver();
}

#[test]
fn what_comes_before_the_answer_waits_for_it() {
    let (mut bench, ada, bob) = bench_with_waiting();
    bench.send(bob, &ClientPacket::Ping(7));
    bench.speak(bob, 300, false);
    bench.speak(bob, 300, true);
    let ping = stream_bytes(&ClientPacket::Ping(8));
    let len = ping.len();
    // In the midst of a packet, and longer than a Hello may take.
    bench.send_bytes(bob, &ping[..len - 3]);
    bench.pass(Duration::from_millis(4_999));
    bench.send(ada, &ClientPacket::Ping(1));
    assert_eq!(bench.take_received(bob), []);
    assert_eq!(bench.take_received(ada), [Received::Pong(1)]);
    let gauges = bench.hub.gauges();
    assert_eq!((gauges.participants, gauges.handshakes), (1, 1));

    let incoming = bench.hub.poll_incoming().unwrap();
    assert_eq!(Some(incoming.link), bench.peers[bob].link);
    assert_eq!(&*incoming.request.name, "bob");
    bench.hub.admit(incoming, [9; 16], bench.now);
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
fn everything_in_one_call_with_a_hello_waits_with_it_for_newcomers_and_members() {
    let mut bench = Bench::new(config());
    let ada = bench.connect();
    for nth in 1..=2 {
        let hello = hello("kitchen", "ada", &[0], [nth; 8]);
        let mut bytes = stream_bytes(&ClientPacket::Hello(hello));
        for number in 1..=10 {
            let voice = Voice {
                seq: Seq(number),
                timestamp: Timestamp(u32::from(number) * 8),
                level: 40,
                stream: 0,
                terminator: number == 10,
                payload: &[1; 2 * SAMPLES],
            };
            bytes.extend(stream_bytes(&ClientPacket::Voice(voice)));
        }
        assert!(bytes.len() > 2 * EARLY_BYTES_MAX);
        bench.send_bytes(ada, &bytes);
        let received = bench.take_received(ada);
        // The room is closed between the two Hellos, and numbers begin again in the next.
        assert!(
            matches!(received[..], [Received::Welcome { id: 1, .. }, ..]),
            "Hello {nth}: {received:?}"
        );
        assert_eq!(bench.hub.gauges().participants, 1);
    }
}

#[test]
fn too_much_before_the_answer_is_refused() {
    for (more, first) in [
        (0, EARLY_BYTES_MAX - 100),
        (1, EARLY_BYTES_MAX - 100),
        (1, 0),
    ] {
        let is_refused = more > 0;
        let (mut bench, _, bob) = bench_with_waiting();
        bench.send_bytes(bob, &vec![0; first]);
        bench.send_bytes(bob, &vec![0; EARLY_BYTES_MAX - first + more]);
        assert_eq!(bench.peers[bob].closed, is_refused, "{more} bytes more");
        bench.answers = true;
        bench.deliver();
        let received = bench.take_received(bob);
        let first = received.first();
        assert_eq!(
            matches!(first, Some(Received::Reject(Reason::FLOOD, _))),
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
        let incoming = bench.hub.poll_incoming().unwrap();
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
        let before = bench.hub.counters().clone();
        bench.hub.admit(incoming, [9; 16], bench.now);
        bench.deliver();
        assert!(
            !bench
                .events
                .iter()
                .any(|event| matches!(event, Event::Joined(_))),
            "{end}"
        );
        assert_eq!(*bench.hub.counters(), before, "{end}");
        let participants = if end < 2 { 1 } else { 0 };
        assert_eq!(bench.hub.gauges().participants, participants, "{end}");
    }
}

#[test]
fn whoever_drives_the_hub_may_refuse() {
    let (mut bench, _, bob) = bench_with_waiting();
    bench.speak(bob, 300, true);
    let incoming = bench.hub.poll_incoming().unwrap();
    let reason = Reason::SERVER_FULL;
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
        [Received::Reject(Reason::NAME_TAKEN, _)]
    ));
}

#[test]
fn a_member_that_says_hello_again_is_out_until_it_is_answered() {
    let (mut bench, ada, bob) = bench_with_waiting();
    answer(&mut bench);
    bench.forget_received();
    bench.hello(bob, "kitchen", "bob", CodecId::Pcm16);
    assert_eq!(
        bench.take_received(ada),
        [Received::Left(2, Reason::REJOINED)]
    );
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
    assert_eq!(told(&mut bench, guest), 65_537, "none comes again so soon");
}

/// Bytes of a Hello to that room.
fn hello_bytes(room: &str, name: &str) -> Vec<u8> {
    let mut nonce = [7; 8];
    nonce[..3].copy_from_slice(&room.as_bytes()[..3]);
    bytes_of(&ClientPacket::Hello(hello(room, name, &[0], nonce)))
}

fn bytes_of(packet: &ClientPacket<'_>) -> Vec<u8> {
    let mut bytes = [0; ENCODED_MAX];
    let len = write_to_stream(packet, &mut bytes).unwrap();
    bytes[..len].to_vec()
}

#[test]
fn one_read_may_bring_a_whole_stay_and_the_next() {
    let mut bench = Bench::new(config());
    let [ada, eve] =
        [("kitchen", "ada"), ("attic", "eve")].map(|(room, name)| bench.join(room, name));
    bench.forget_received();
    bench.events.clear();
    let voice = bytes_of(&ClientPacket::Voice(Voice {
        seq: Seq(1),
        timestamp: Timestamp(8),
        level: 40,
        stream: 0,
        terminator: true,
        payload: &300_i16.to_le_bytes().repeat(SAMPLES),
    }));
    let stay = |room| [hello_bytes(room, "bob"), voice.clone()].concat();
    let bye = bytes_of(&ClientPacket::Bye(Bye::from(Reason::LEAVING)));
    let bob = bench.connect();
    bench.send_bytes(bob, &[stay("kitchen"), stay("attic"), bye].concat());
    bench.pass(FRAME + FRAME);
    assert!(bench.peers[bob].closed);
    let welcomes = bench.take_received(bob);
    let is_welcome = |received: &&Received| matches!(received, Received::Welcome { .. });
    assert_eq!(
        welcomes.iter().filter(is_welcome).count(),
        2,
        "{welcomes:?}"
    );
    for (peer, room, reason) in [
        (ada, "kitchen", Reason::REJOINED),
        (eve, "attic", Reason::LEAVING),
    ] {
        let told = bench.take_received(peer);
        let joined = Received::Joined(2, "bob".to_owned());
        assert_eq!(told.first(), Some(&joined), "{room}");
        assert!(
            told.contains(&Received::Left(2, reason)),
            "{room}: {told:?}"
        );
    }
    let left = bench.events.iter().filter_map(|event| match event {
        Event::Left(who, reason) => Some((who.room.as_str(), *reason)),
        _ => None,
    });
    let expected = [("kitchen", Reason::REJOINED), ("attic", Reason::LEAVING)];
    assert_eq!(left.collect::<Vec<_>>(), expected);
}

#[test]
fn what_comes_with_a_hello_in_one_call_is_never_too_much() {
    for (behind, answers) in [(16 * 1024, true), (100 * 1024, true), (16 * 1024, false)] {
        let mut bench = Bench::new(config());
        bench.answers = answers;
        let bob = bench.connect();
        let pings = bytes_of(&ClientPacket::Ping(1)).repeat(100);
        // Zeros cost nothing but their length, as long as they are not too many to be noise.
        let zeros = vec![0; behind];
        let bytes = [hello_bytes("kitchen", "bob"), pings, zeros].concat();
        bench.send_bytes(bob, &bytes[..bytes.len().min(behind)]);
        bench.answers = true;
        bench.deliver();
        let received = bench.take_received(bob);
        assert!(
            matches!(received[0], Received::Welcome { .. }),
            "{behind}: {received:?}"
        );
    }
}

#[test]
fn a_hello_that_is_not_answered_is_refused_and_not_kept() {
    let (mut bench, _, bob) = bench_with_waiting();
    bench.send_bytes(bob, &[0; 100]);
    bench.pass(Duration::from_millis(4_999));
    assert!(!bench.peers[bob].closed);
    bench.pass(Duration::from_millis(1));
    assert!(matches!(
        bench.take_received(bob)[..],
        [Received::Reject(Reason::SERVER_FULL, _)]
    ));
    assert!(bench.peers[bob].closed);
    for _ in 0..100 {
        let guest = bench.join("kitchen", "guest");
        bench.close(guest);
    }
    assert_eq!(bench.hub.lobby.incoming.len(), 0);
    assert!(bench.deadlines_kept() <= 80);
}

#[test]
fn a_member_that_says_hello_again_is_not_the_oldest_of_those_who_wait() {
    let (mut bench, ada, bob) = bench_with_waiting();
    answer(&mut bench);
    let silent = bench.connect();
    bench.pass(Duration::from_secs(1));
    bench.hello(ada, "attic", "ada", CodecId::Pcm16);
    bench.refuse_handshakes(1);
    let closed = [ada, bob, silent].map(|peer| bench.peers[peer].closed);
    assert_eq!(closed, [false, false, true]);
    bench.refuse_handshakes(1);
    assert!(!bench.peers[ada].closed, "it has its time, too");
}

#[test]
fn whoever_was_refused_hears_why_though_an_answer_comes_late() {
    let (mut bench, _, bob) = bench_with_waiting();
    let incoming = bench.hub.poll_incoming().unwrap();
    bench.peers[bob].reads = false;
    bench.pass(Duration::from_secs(1));
    bench.refuse_handshakes(1);
    bench.hub.admit(incoming, [9; 16], bench.now);
    bench.peers[bob].reads = true;
    bench.deliver_to(bench.peers[bob].link.unwrap());
    assert!(matches!(
        bench.take_received(bob)[..],
        [Received::Reject(Reason::CROWDED, _)]
    ));
}
