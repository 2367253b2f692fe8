//! A peer that takes too little learns why it is dropped.

use super::*;

/// A room in which someone reads nothing, and `changes` joins since. Gives who that is, and the
/// eight others in it.
fn bench_with_deaf(changes: usize) -> (Bench, usize, Vec<usize>) {
    let mut bench = Bench::new(config());
    let deaf = bench.join("kitchen", "deaf");
    let others = (0..8).map(|n| bench.join("kitchen", &format!("p{n}")));
    let others: Vec<usize> = others.collect();
    // So many changes that the last ones wait for a round.
    for change in 0..6 {
        for peer in &others {
            bench.set_muted(*peer, change % 2 == 0);
        }
        bench.pass(Duration::from_millis(if change < 5 { 100 } else { 50 }));
    }
    bench.peers[deaf].reads = false;
    for n in 0..changes {
        let guest = bench.join("kitchen", &format!("{n:031}"));
        bench.close(guest);
    }
    (bench, deaf, others)
}

#[test]
fn who_reads_too_slowly_is_told_so_however_much_is_too_much_at_once() {
    let is_in = |changes: &usize| bench_with_deaf(*changes).0.hub.gauges().participants == 9;
    let full = (1..).find(|changes| !is_in(changes)).unwrap() - 1;
    // A join and a leave each: 300 changes, and a roster of nine.
    assert_eq!(full, 155);
    let (mut bench, deaf, others) = bench_with_deaf(full);
    // All of them change in each round: more than one of them is too many.
    let mut muted = true;
    while bench.hub.gauges().participants == 9 {
        muted = !muted;
        for peer in &others {
            bench.set_muted(*peer, muted);
        }
        bench.pass(Duration::from_millis(100));
    }
    bench.peers[deaf].reads = true;
    if let Some(link) = bench.peers[deaf].link {
        bench.deliver_to(link);
    }
    assert_eq!(
        bench.take_received(deaf).last(),
        Some(&Received::Bye(Reason::SLOW_READER))
    );
}

#[test]
fn a_stall_is_borne_for_the_idle_timeout_and_its_drops_are_counted() {
    let mut bench = Bench::new(config());
    let [ann, lis] = ["ann", "lis"].map(|name| bench.join("kitchen", name));
    bench.peers[lis].reads = false;
    // 14 s of voice that it does not take, and of silence from it.
    for frame in 0..700 {
        bench.speak(ann, 100, frame == 699);
        bench.pass(FRAME);
    }
    assert_eq!(bench.hub.gauges().participants, 2);
    // Ten frames wait.
    let dropped = bench.voice_dropped(lis);
    assert_eq!(dropped, 700 - 10);
    assert_eq!(bench.voice_dropped(ann), 0);
}

#[test]
fn whoever_reads_slowly_hears_nothing_of_a_room_after_leaving_it() {
    for room in ["attic", "kitchen"] {
        let mut bench = Bench::new(config());
        let [ann, lis] = ["ann", "lis"].map(|name| bench.join("kitchen", name));
        bench.peers[lis].reads = false;
        for frame in 0..20 {
            bench.speak(ann, 100, frame == 19);
            bench.pass(FRAME);
        }
        bench.hello(lis, room, "lis", CodecId::Pcm16);
        bench.peers[lis].reads = true;
        bench.deliver_to(bench.peers[lis].link.unwrap());
        bench.speak(ann, 200, true);
        bench.pass(FRAME);
        let received = bench.take_received(lis);
        let is_welcome = |packet: &Received| matches!(packet, Received::Welcome { .. });
        let again = received.iter().rposition(is_welcome).unwrap();
        let heard = received[again..].iter().filter_map(|packet| match packet {
            Received::Voice { samples, .. } => Some(samples[0]),
            _ => None,
        });
        let expected: &[i16] = if room == "kitchen" { &[200] } else { &[] };
        assert_eq!(heard.collect::<Vec<_>>(), expected, "{room}");
    }
}

#[test]
fn a_write_goes_on_until_nothing_waits_and_then_tells_of_the_end() {
    let mut bench = Bench::new(config());
    let lis = bench.join("kitchen", "lis");
    bench.peers[lis].reads = false;
    bench.send(lis, &ClientPacket::Ping(1));
    let (link, now) = (bench.peers[lis].link.unwrap(), bench.now);
    let waiting = |outbox: &Outbox| outbox.packets().map(<[u8]>::len).sum::<usize>();
    // All but a byte, then that byte.
    let mut taken = Vec::new();
    let close = bench.hub.write(link, now, |outbox| {
        taken.push((waiting(outbox) - 1).max(1));
        taken.last().copied()
    });
    assert_eq!((taken.len(), taken[1], close), (2, 1, None));
    // The end follows on the last packet, and is no packet itself.
    bench.speak_payload(lis, &[1, 2, 3], false);
    let mut writes = 0;
    let close = bench.hub.write(link, now, |outbox| {
        writes += 1;
        Some(waiting(outbox))
    });
    assert_eq!((writes, close), (1, Some(Close { unsent: false })));
    let close = bench.hub.write(link, now, |_| panic!("it is gone"));
    assert_eq!(close, None);
}

#[test]
fn a_connection_that_breaks_while_it_is_written_to_is_gone() {
    let mut bench = Bench::new(config());
    let [ann, lis] = ["ann", "lis"].map(|name| bench.join("kitchen", name));
    bench.peers[lis].reads = false;
    bench.send(lis, &ClientPacket::Ping(1));
    bench.forget_received();
    let link = bench.peers[lis].link.unwrap();
    assert_eq!(bench.hub.write(link, bench.now, |_| None), None);
    bench.deliver();
    assert_eq!(
        bench.take_received(ann),
        [Received::Left(2, Reason::CONNECTION_LOST)]
    );
    assert_eq!(bench.hub.gauges().handshakes, 0);
    let lost = &bench.hub.counters().sessions_ended["connection_lost"];
    assert_eq!(*lost, 1);
}

#[test]
fn whoever_has_no_space_left_for_a_newcomer_is_told_so_at_once() {
    let (mut bench, deaf, _) = bench_with_deaf(150);
    let mut joins = 0;
    while bench.hub.gauges().participants == 9 + joins {
        joins += 1;
        bench.join("kitchen", &format!("{joins:032}"));
    }
    bench.peers[deaf].reads = true;
    bench.deliver_to(bench.peers[deaf].link.unwrap());
    assert_eq!(
        bench.take_received(deaf).last(),
        Some(&Received::Bye(Reason::SLOW_READER))
    );
}

#[test]
fn all_who_have_no_space_left_for_a_newcomer_go_at_once() {
    let (mut bench, _, others) = bench_with_deaf(0);
    bench.peers[others[0]].reads = false;
    let gone = |bench: &Bench| bench.hub.counters().sessions_ended["slow_reader"];
    for n in 0..150 {
        let guest = bench.join("kitchen", &format!("{n:032}"));
        bench.close(guest);
    }
    for n in 0..20 {
        bench.join("kitchen", &format!("newcomer {n}"));
        assert!(gone(&bench) != 1, "one of two");
    }
    assert_eq!(gone(&bench), 2);
}

#[test]
fn what_a_peer_had_stalled_for_is_unsent_at_its_end_too() {
    let mut bench = Bench::new(config());
    let slow = bench.join("kitchen", "slow");
    bench.peers[slow].reads = false;
    for seconds in [10, 4] {
        bench.send(slow, &ClientPacket::Ping(1));
        bench.pass(Duration::from_secs(seconds));
    }
    bench.pass(Duration::from_millis(500));
    bench.speak_payload(slow, &[1, 2, 3], false);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.peers[slow].closed_unsent, Some(true));
}

#[test]
fn an_end_that_nobody_writes_is_not_due_again_and_again() {
    let mut bench = Bench::new(config());
    let slow = bench.join("kitchen", "slow");
    bench.peers[slow].reads = false;
    bench.speak_payload(slow, &[1, 2, 3], false);
    bench.oversleep(Duration::from_secs(2));
    let mut rounds = Rounds(0);
    while bench.hub.poll_timeout().is_some_and(|due| due <= bench.now) {
        rounds.next();
        bench.hub.handle_timeout(bench.now);
    }
    bench.deliver();
    assert!(bench.peers[slow].closed);
}
