//! Who talks and who is muted: told at once in a calm room, bounded in one that flickers, and true
//! at last.

use std::collections::HashMap;

use super::*;

const NOTHING: ParticipantFlags = ParticipantFlags(0);
const TALKING: ParticipantFlags = ParticipantFlags::TALKING;
const MUTED: ParticipantFlags = ParticipantFlags::MUTED;

/// Everyone in a room of `size` mutes and unmutes 12 times a second, each at a phase of its own,
/// for `seconds`. The first of the peers that are given only listens.
fn flapping_room(bench: &mut Bench, size: usize, seconds: u64) -> Vec<usize> {
    let peers: Vec<_> = (0..size)
        .map(|n| bench.join("hall", &format!("p{n}")))
        .collect();
    bench.pass(Duration::from_secs(1));
    bench.forget_received();
    let change_us = 1_000_000 / 12 / (size as u64 - 1);
    for change in 0..seconds * 12 {
        for peer in &peers[1..] {
            bench.set_muted(*peer, change % 2 == 0);
            bench.pass(Duration::from_micros(change_us));
        }
        keep_alive(bench, peers[0], change);
    }
    peers
}

fn keep_alive(bench: &mut Bench, peer: usize, change: u64) {
    if change.is_multiple_of(12) {
        bench.send(peer, &ClientPacket::Ping(1));
        bench.peers[peer]
            .received
            .retain(|received| !matches!(received, Received::Pong(_)));
    }
}

/// What a peer was told of each participant last.
fn last_told(states: &[Received]) -> HashMap<u32, ParticipantFlags> {
    let told = states.iter().filter_map(|received| match received {
        Received::State(id, flags) => Some((*id, *flags)),
        _ => None,
    });
    told.collect()
}

fn set_muted(bench: &mut Bench, peer: usize, muted: bool) {
    bench.set_muted(peer, muted);
}

/// The flags that a peer was told since it was asked last, in order.
fn flags_told(bench: &mut Bench, peer: usize) -> Vec<ParticipantFlags> {
    let states = bench.take_states(peer).into_iter();
    states
        .filter_map(|received| match received {
            Received::State(_, flags) => Some(flags),
            _ => None,
        })
        .collect()
}

#[test]
fn a_flickering_room_tells_less_the_larger_it_is_and_the_truth_at_last() {
    const SECONDS: usize = 5;
    // Changes a second that a listener is told: ten of each other at most, and of 1,000 packets to
    // one listener its share.
    for (size, a_second) in [(4, 30), (8, 70), (64, 16), (200, 10)] {
        let mut bench = Bench::new(HubConfig {
            max_participants: 200,
            room_capacity: 200,
            ..config()
        });
        let peers = flapping_room(&mut bench, size, SECONDS as u64);
        let told = bench.peers[peers[0]].received.len();
        let burst = 1_000 / size;
        assert!(
            told <= SECONDS * (a_second + 1) + burst.min(a_second),
            "{told} packets in {SECONDS} s in a room of {size}"
        );
        assert!(told >= SECONDS * a_second / 2, "{told} in a room of {size}");
        for peer in &peers[1..] {
            bench.set_muted(*peer, true);
        }
        for second in 0..25 {
            keep_alive(&mut bench, peers[0], second * 12);
            peers[1..]
                .iter()
                .for_each(|peer| bench.send(*peer, &ClientPacket::Ping(1)));
            bench.pass(Duration::from_secs(1));
        }
        let last = last_told(&bench.take_states(peers[0]));
        assert_eq!(last.len(), size - 1);
        assert!(last.values().all(|flags| *flags == MUTED), "{last:?}");
    }
}

#[test]
fn what_many_change_leaves_in_one_write_for_each_listener() {
    let mut bench = Bench::new(config());
    let peers = flapping_room(&mut bench, 60, 3);
    let told = bench.peers[peers[0]].received.len();
    let writes_before = bench.peers[peers[0]].writes;
    bench.forget_received();
    for second in 0..2 {
        bench.pass(Duration::from_millis(900));
        let writes = bench.peers[peers[0]].writes - writes_before;
        assert!(writes <= 10 * (second + 1), "{writes} writes");
    }
    let rest = bench.take_states(peers[0]).len();
    assert!(told > 40 && rest > 20, "{told}, {rest}");
}

#[test]
fn a_flickering_room_costs_others_nothing() {
    let mut bench = Bench::new(config());
    let (ada, bob) = (bench.join("kitchen", "ada"), bench.join("kitchen", "bob"));
    flapping_room(&mut bench, 60, 2);
    bench.set_muted(ada, true);
    let told = bench.take_states(bob);
    assert!(
        matches!(told[..], [Received::State(_, MUTED)]),
        "at once: {told:?}"
    );
}

#[test]
fn a_short_word_is_shown_for_a_tenth_of_a_second() {
    let mut bench = Bench::new(config());
    let (ada, bob) = (bench.join("kitchen", "ada"), bench.join("kitchen", "bob"));
    bench.forget_received();
    bench.speak(ada, 1, true);
    bench.pass(Duration::from_millis(99));
    let told = bench.take_states(bob);
    assert!(
        matches!(told[..], [Received::State(_, TALKING)]),
        "{told:?}"
    );
    bench.pass(Duration::from_millis(1));
    let told = bench.take_states(bob);
    assert!(
        matches!(told[..], [Received::State(_, NOTHING)]),
        "{told:?}"
    );
}

#[test]
fn who_joins_muted_and_unmutes_is_shown_so() {
    let mut bench = Bench::new(config());
    let bob = bench.join("kitchen", "bob");
    let ada = bench.connect();
    bench.hello_with("kitchen", "ada", true, ada, CodecId::Pcm16);
    bench.forget_received();
    bench.set_muted(ada, false);
    let told = bench.take_states(bob);
    assert!(
        matches!(told[..], [Received::State(_, NOTHING)]),
        "{told:?}"
    );
}

#[test]
fn a_newcomer_knows_the_truth_after_a_change_that_is_undone_before_it_is_told() {
    let mut bench = Bench::new(config());
    let ada = bench.join("kitchen", "ada");
    set_muted(&mut bench, ada, true);
    bench.pass(Duration::from_millis(10));
    set_muted(&mut bench, ada, false);
    let bob = bench.join("kitchen", "bob");
    set_muted(&mut bench, ada, true);
    bench.pass(Duration::from_millis(200));
    let mut known = HashMap::new();
    for received in bench.take_received(bob) {
        match received {
            Received::Welcome { roster, .. } => {
                known.extend(roster.into_iter().map(|(id, _, flags)| (id, flags)));
            }
            Received::State(id, flags) => drop(known.insert(id, flags.0)),
            _ => {}
        }
    }
    assert!(known.values().any(|flags| *flags == MUTED.0), "{known:?}");
}

#[test]
fn who_changes_and_leaves_is_forgotten() {
    let mut bench = Bench::new(config());
    let peers = flapping_room(&mut bench, 60, 2);
    for peer in &peers[1..] {
        bench.close(*peer);
    }
    bench.forget_received();
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.take_received(peers[0]), []);
    bench.close(peers[0]);
    bench.pass(Duration::from_secs(20));
    assert_eq!(bench.hub.poll_timeout(), None);
}

#[test]
fn nobody_is_told_of_again_within_the_interval_because_of_anothers_round() {
    let mut bench = Bench::new(config());
    let [ada, bob, eve] = ["ada", "bob", "eve"].map(|name| bench.join("kitchen", name));
    // Bob is told of at once, and then waits for the round at 100 ms.
    set_muted(&mut bench, bob, true);
    bench.pass(Duration::from_millis(10));
    set_muted(&mut bench, bob, false);
    bench.pass(Duration::from_millis(80));
    set_muted(&mut bench, ada, true);
    bench.pass(Duration::from_millis(5));
    set_muted(&mut bench, ada, false);
    bench.take_states(eve);
    bench.pass(Duration::from_millis(94));
    let told = bench.take_states(eve);
    assert!(
        matches!(told[..], [Received::State(..)]),
        "Bob only: {told:?}"
    );
    bench.pass(Duration::from_millis(20));
    let told = bench.take_states(eve);
    assert!(matches!(told[..], [Received::State(..)]), "{told:?}");
}

/// By muting and unmuting whenever the others may be told, and being silent when they may be told
/// again.
#[test]
fn nobody_is_heard_again_and_again_without_being_shown() {
    let mut bench = Bench::new(config());
    let [ann, lis] = ["ann", "lis"].map(|name| bench.join("kitchen", name));
    for _ in 0..30 {
        bench.set_muted(ann, true);
        bench.set_muted(ann, false);
        for frame in 0..4 {
            bench.speak(ann, 1_000, frame == 3);
            bench.pass(FRAME);
        }
        bench.pass(Duration::from_millis(22));
    }
    let heard = bench.heard(lis).len();
    assert_eq!(heard, 120, "all frames");
    bench.pass(Duration::from_secs(1));
    let states = flags_told(&mut bench, lis);
    let shown = states.iter().filter(|flags| **flags == TALKING).count();
    assert_eq!(shown, 15, "every other time that the others are told");
    assert_eq!(states.last(), Some(&NOTHING), "and silent at last");
}

/// Ann mutes and unmutes, and says a word of one frame before the others may be told of that.
fn ann_speaks_between_two_states() -> (Bench, [usize; 2]) {
    let mut bench = Bench::new(config());
    let [ann, lis] = ["ann", "lis"].map(|name| bench.join("kitchen", name));
    set_muted(&mut bench, ann, true);
    set_muted(&mut bench, ann, false);
    bench.speak(ann, 1_000, true);
    (bench, [ann, lis])
}

#[test]
fn a_short_word_between_two_states_is_shown_and_then_its_end() {
    let (mut bench, [_, lis]) = ann_speaks_between_two_states();
    bench.pass(Duration::from_secs(1));
    assert_eq!(flags_told(&mut bench, lis), [MUTED, TALKING, NOTHING]);
}

#[test]
fn nobody_is_shown_as_talking_and_muted_at_once() {
    let (mut bench, [ann, lis]) = ann_speaks_between_two_states();
    bench.pass(Duration::from_millis(50));
    set_muted(&mut bench, ann, true);
    bench.pass(Duration::from_millis(60));
    let eve = bench.join("kitchen", "eve");
    let welcome = bench.take_received(eve).remove(0);
    assert!(
        matches!(&welcome, Received::Welcome { roster, .. } if roster[0].2 == TALKING.0),
        "as all were told: {welcome:?}"
    );
    bench.pass(Duration::from_secs(1));
    assert_eq!(flags_told(&mut bench, lis), [MUTED, TALKING, MUTED]);
    assert_eq!(flags_told(&mut bench, eve), [MUTED]);
}

#[test]
fn whoever_was_told_of_a_moment_ago_does_not_hold_up_those_behind() {
    let mut bench = Bench::new(config());
    let [ada, bob, eve] = ["ada", "bob", "eve"].map(|name| bench.join("kitchen", name));
    let ms = Duration::from_millis;
    // Both are told of at once. Bob has a round at 100 ms, so that the next one is at 200.
    set_muted(&mut bench, bob, true);
    bench.pass(ms(5));
    set_muted(&mut bench, ada, true);
    bench.pass(ms(5));
    set_muted(&mut bench, bob, false);
    bench.pass(ms(91));
    // Ada's change waits for it, and Bob's behind it.
    set_muted(&mut bench, ada, false);
    set_muted(&mut bench, bob, true);
    bench.pass(ms(50));
    // Everyone is told of Ada at once; then Ada changes again.
    for muted in [true, false, true] {
        set_muted(&mut bench, ada, muted);
    }
    bench.take_states(eve);
    bench.pass(ms(60));
    assert_eq!(flags_told(&mut bench, eve), [MUTED], "Bob, in time");
    bench.pass(ms(100));
    assert_eq!(flags_told(&mut bench, eve), [MUTED], "and then Ada");
}

/// Whoever is told at once may have a change in the queue that was put back in the round before.
#[test]
fn each_stands_once_in_the_queue_of_those_who_change() {
    let mut bench = Bench::new(config());
    let peers = ["ann", "ben", "lis"].map(|name| bench.join("kitchen", name));
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..2_000 {
        let peer = peers[rng.usize(..2)];
        match rng.usize(..3) {
            0 => bench.speak(peer, 1_000, true),
            muted => set_muted(&mut bench, peer, muted == 1),
        }
        bench.pass(Duration::from_millis(rng.u64(..30)));
        keep_alive(&mut bench, peers[2], 0);
        let queued = bench
            .hub
            .rooms()
            .map(|room| room.states.waiting.len())
            .max();
        assert!(queued.is_some_and(|queued| queued <= 2), "{queued:?}");
    }
}

#[test]
fn a_round_that_is_late_does_not_put_off_the_next() {
    let mut bench = Bench::new(config());
    let [ann, lis] = ["ann", "lis"].map(|name| bench.join("kitchen", name));
    let ms = Duration::from_millis;
    set_muted(&mut bench, ann, true);
    bench.pass(ms(10));
    set_muted(&mut bench, ann, false);
    // Due 100 ms after the first, and 50 ms late.
    bench.oversleep(ms(140));
    bench.pass(ms(10));
    set_muted(&mut bench, ann, true);
    bench.pass(ms(41));
    assert_eq!(flags_told(&mut bench, lis), [MUTED, NOTHING, MUTED]);
}
