//! Who is told how long voice takes, and when.

use talkspurt_core::wire::{DelayReport, FEATURE_DELAY_REPORT};

use super::*;

impl Bench {
    fn report(&mut self, peer: usize, delay_ms: u16) {
        self.send(peer, &ClientPacket::DelayReport(DelayReport { delay_ms }));
    }

    /// What a client was told of how long takes what it hears.
    fn delays(&self, peer: usize) -> Vec<u16> {
        let received = self.peers[peer].received.iter();
        let delays = received.filter_map(|it| match it {
            Received::DelayReport(delay_ms) => Some(*delay_ms),
            _ => None,
        });
        delays.collect()
    }

    fn talk_for(&mut self, peer: usize, frames: u16) {
        for _ in 0..frames {
            self.speak(peer, 300, false);
            self.pass(FRAME);
        }
    }
}

/// The tick is 3 ms behind the first frame.
const WAIT_MS: u16 = 3;

fn of_three(features: u32) -> (Bench, [usize; 3]) {
    let mut bench = Bench::new(config());
    let peers = ["ada", "bob", "cem"].map(|name| bench.join_having(name, features));
    (bench, peers)
}

#[test]
fn listeners_are_told_what_the_talker_says_and_what_it_waits_here() {
    let (mut bench, [ada, bob, cem]) = of_three(FEATURE_DELAY_REPORT);
    bench.report(ada, 40);
    bench.talk_for(ada, 100);
    for listener in [bob, cem] {
        assert_eq!(bench.delays(listener), [40 + WAIT_MS]);
    }
    assert!(
        bench.delays(ada).is_empty(),
        "nobody is told of its own voice"
    );
    bench.report(ada, 90);
    bench.talk_for(ada, 5);
    assert_eq!(bench.delays(bob), [40 + WAIT_MS, 90 + WAIT_MS]);
}

#[test]
fn a_flood_of_reports_reaches_nobody() {
    let (mut bench, [ada, bob, _]) = of_three(FEATURE_DELAY_REPORT);
    for n in 0..200u16 {
        for more in 0..2 {
            bench.report(ada, 10 + 50 * (n % 7) + 9 * more);
        }
        bench.speak(ada, 300, false);
        bench.pass(FRAME);
    }
    let told = bench.delays(bob).len();
    assert!((6..=9).contains(&told), "{told} in 4 s");
}

#[test]
fn hostile_values_are_bounded() {
    let (mut bench, [ada, bob, _]) = of_three(FEATURE_DELAY_REPORT);
    bench.report(ada, u16::MAX);
    bench.talk_for(ada, 5);
    assert_eq!(bench.delays(bob), [5_000]);
}

#[test]
fn a_talker_who_says_nothing_makes_it_unknown() {
    let (mut bench, [ada, bob, cem]) = of_three(FEATURE_DELAY_REPORT);
    bench.report(ada, 40);
    bench.talk_for(ada, 20);
    bench.speak(ada, 300, true);
    bench.pass(Duration::from_secs(1));
    bench.talk_for(bob, 20);
    assert_eq!(bench.delays(cem), [40 + WAIT_MS, 0]);
    assert!(bench.delays(ada).is_empty(), "it never was known to her");
    // Beside one who does, that one counts.
    bench.pass(Duration::from_secs(1));
    for _ in 0..30 {
        bench.speak(ada, 300, false);
        bench.speak(bob, 500, false);
        bench.pass(FRAME);
    }
    assert_eq!(bench.delays(cem)[2..].len(), 1);
}

#[test]
fn whoever_did_not_offer_it_is_never_told_and_nothing_that_it_says_counts() {
    let mut bench = Bench::new(config());
    let ada = bench.join_having("ada", FEATURE_DELAY_REPORT);
    let old = bench.join_having("old", !FEATURE_DELAY_REPORT);
    let bob = bench.join_having("bob", FEATURE_DELAY_REPORT);
    bench.report(ada, 40);
    bench.talk_for(ada, 50);
    assert!(bench.delays(old).is_empty());
    bench.speak(ada, 300, true);
    bench.pass(Duration::from_secs(1));
    bench.report(old, 70);
    bench.talk_for(old, 20);
    assert_eq!(bench.delays(bob), [40 + WAIT_MS, 0]);
}

#[test]
fn nothing_is_told_while_nobody_talks() {
    let (mut bench, peers) = of_three(FEATURE_DELAY_REPORT);
    for peer in peers {
        bench.report(peer, 40);
    }
    bench.pass(Duration::from_secs(5));
    assert!(peers.iter().all(|peer| bench.delays(*peer).is_empty()));
    assert_eq!(bench.hub.counters().ticks, 0);
}

#[test]
fn whoever_is_silent_is_not_heard_and_its_delay_is_nobodys() {
    let (mut bench, [ada, bob, cem]) = of_three(FEATURE_DELAY_REPORT);
    bench.report(ada, 40);
    bench.report(bob, 5_000);
    for _ in 0..50 {
        bench.speak(ada, 300, false);
        bench.speak(bob, 0, false);
        bench.pass(FRAME);
    }
    assert_eq!(bench.delays(cem), [40 + WAIT_MS]);
}
