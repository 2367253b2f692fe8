//! A peer that takes too little learns why it is dropped.

use super::*;

/// A room in which someone reads nothing, and `changes` joins since. Gives who that is, and two others in it.
fn bench_with_deaf(changes: usize) -> (Bench, usize, [usize; 2]) {
    let mut bench = Bench::new(config());
    let [deaf, ada, bob] = ["deaf", "ada", "bob"].map(|name| bench.join("kitchen", name));
    bench.pass(Duration::from_secs(1));
    bench.peers[deaf].reads = false;
    for n in 0..changes {
        let guest = bench.join("kitchen", &format!("{n:031}"));
        bench.close(guest);
    }
    (bench, deaf, [ada, bob])
}

#[test]
fn who_reads_too_slowly_is_told_so_however_much_is_too_much_at_once() {
    let is_in = |changes: &usize| bench_with_deaf(*changes).0.hub.gauges().participants == 3;
    let full = (1..).find(|changes| !is_in(changes)).unwrap() - 1;
    let (mut bench, deaf, others) = bench_with_deaf(full);
    // Changes of both are told in each round: more than one of them is too many.
    let mut muted = false;
    while bench.hub.gauges().participants == 3 {
        muted = !muted;
        for muted in [muted, !muted, muted] {
            for peer in others {
                bench.send(peer, &ClientPacket::SetMuted(muted));
            }
        }
        bench.pass(Duration::from_ms(100));
    }
    bench.peers[deaf].reads = true;
    if let Some(conn) = bench.peers[deaf].conn {
        bench.deliver_to(conn);
    }
    assert_eq!(
        bench.take_received(deaf).last(),
        Some(&Received::Bye(ByeReason::SlowConsumer))
    );
}
