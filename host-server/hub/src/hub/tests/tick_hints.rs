//! Who is told to shift their frames, and when.

use talkspurt_core::wire::FEATURE_TICK_HINT;

use super::*;

impl Bench {
    /// Someone in the kitchen whose client has these features.
    pub(super) fn join_having(&mut self, name: &str, features: u32) -> usize {
        let peer = self.connect();
        self.hellos += 1;
        let nonce = (0xff00 + self.hellos).to_le_bytes();
        let hello = hello("kitchen", name, &[0], nonce);
        self.send(peer, &ClientPacket::Hello(Hello { features, ..hello }));
        peer
    }

    fn hints(&self, peer: usize) -> Vec<TickHint> {
        let received = self.peers[peer].received.iter();
        let hints = received.filter_map(|it| match it {
            Received::TickHint(hint) => Some(*hint),
            _ => None,
        });
        hints.collect()
    }

    /// Ada talks, and bob beside her: for so many frames, each `phase` after hers.
    fn talk(&mut self, [ada, bob]: [usize; 2], frames: u16, phase: Duration, ends: bool) {
        for frame in 0..frames {
            self.speak(ada, 300, false);
            self.pass(phase);
            self.speak(bob, 500, ends && frame + 1 == frames);
            self.pass(FRAME - phase);
        }
    }
}

const PHASE: Duration = Duration::from_millis(13);

/// The tick follows ada by 3 ms, so bob's frames wait for 10 ms; 2 ms would be enough.
const HINT_US: u16 = 8_000;

fn two(features: u32) -> (Bench, [usize; 2]) {
    let mut bench = Bench::new(config());
    let peers = ["ada", "bob"].map(|name| bench.join_having(name, features));
    (bench, peers)
}

#[test]
fn whoever_waits_for_long_is_told_when_the_talkspurt_ends() {
    let (mut bench, peers) = two(FEATURE_TICK_HINT);
    bench.talk(peers, 20, PHASE, true);
    let (seq, shift_us) = (Seq(20), HINT_US);
    assert_eq!(bench.hints(peers[1]), [TickHint { seq, shift_us }]);
    assert_eq!(bench.hints(peers[0]), [], "the tick is hers");
}

#[test]
fn whoever_talks_for_long_is_told_after_a_second_and_once() {
    let (mut bench, peers) = two(FEATURE_TICK_HINT);
    bench.talk(peers, 200, PHASE, true);
    let (seq, shift_us) = (Seq(50), HINT_US);
    assert_eq!(bench.hints(peers[1]), [TickHint { seq, shift_us }]);
}

#[test]
fn whoever_does_not_follow_is_told_again_in_the_next_talkspurt() {
    let (mut bench, peers) = two(FEATURE_TICK_HINT);
    for round in 1..4 {
        bench.talk(peers, 20, PHASE, true);
        assert_eq!(bench.hints(peers[1]).len(), round);
        // She talks on, so that the tick stays where it is.
        for _ in 0..5 {
            bench.speak(peers[0], 300, false);
            bench.pass(FRAME);
        }
    }
}

#[test]
fn whoever_did_not_offer_it_is_never_told() {
    for features in [0, !FEATURE_TICK_HINT] {
        let (mut bench, peers) = two(features);
        bench.talk(peers, 200, PHASE, true);
        assert_eq!(bench.hints(peers[1]), []);
    }
}

#[test]
fn a_mute_in_mid_word_is_an_end_as_well() {
    let (mut bench, peers) = two(FEATURE_TICK_HINT);
    bench.talk(peers, 20, PHASE, false);
    bench.speak_payload(peers[1], &[], true);
    let (seq, shift_us) = (Seq(21), HINT_US);
    assert_eq!(bench.hints(peers[1]), [TickHint { seq, shift_us }]);
}

#[test]
fn voice_of_one_who_is_muted_says_nothing() {
    let (mut bench, peers) = two(FEATURE_TICK_HINT);
    let (muted, after) = (true, None);
    bench.send(peers[1], &ClientPacket::SetMuted(SetMuted { muted, after }));
    bench.talk(peers, 60, PHASE, true);
    assert_eq!(bench.hints(peers[1]), []);
}
