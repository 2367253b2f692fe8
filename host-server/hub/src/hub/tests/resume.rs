//! Sessions that are resumed, Hellos that come again, and last words.

use super::*;

/// What the last Welcome of a peer said.
fn welcome(bench: &mut Bench, peer: usize) -> (u32, Token, u32) {
    let received = bench.take_received(peer);
    let told = received.iter().rev().find_map(|received| match received {
        Received::Welcome {
            id,
            token: Some(token),
            revision,
            ..
        } => Some((*id, *token, *revision)),
        _ => None,
    });
    told.unwrap_or_else(|| panic!("no Welcome: {received:?}"))
}

fn resume(bench: &mut Bench, peer: usize, name: &str, token: Token) {
    bench.hellos += 1;
    let hello = Hello {
        resume: Some(token),
        ..hello("kitchen", name, &[0], bench.hellos.to_le_bytes())
    };
    bench.send(peer, &ClientPacket::Hello(hello));
}

#[test]
fn a_session_that_still_runs_is_replaced_and_the_others_notice_nothing() {
    let mut bench = Bench::new(config());
    let [ada, bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
    let (id, token, revision) = welcome(&mut bench, ada);
    bench.forget_received();
    bench.speak(ada, 300, false);
    bench.forget_received();
    let again = bench.connect();
    resume(&mut bench, again, "ada", token);
    let (id_again, token_again, _) = welcome(&mut bench, again);
    assert_eq!(id_again, id);
    assert_ne!(token_again, token, "good for once");
    assert_eq!(bench.take_received(ada), [Received::Bye(Reason::RESUMED)]);
    assert!(bench.peers[ada].closed);
    // They were talking, and are silent now.
    bench.pass(STATE_PASSES);
    let told = bench.take_received(bob);
    let silent = Received::State(id, ParticipantFlags::default());
    assert_eq!(told, [silent]);
    assert_eq!(bench.hub.gauges().participants, 2);
    assert!(revision > 0);
    // The old token is nothing any more.
    let third = bench.connect();
    resume(&mut bench, third, "ada", token);
    let received = bench.take_received(third);
    assert!(
        matches!(received[..], [Received::Reject(Reason::NAME_TAKEN, _)]),
        "{received:?}"
    );
}

/// Long enough for a change to be told.
const STATE_PASSES: Duration = Duration::from_millis(200);

#[test]
fn a_session_that_broke_off_comes_back_with_its_number_for_a_minute() {
    for (ms, same) in [(0, true), (60_000, true), (60_001, false)] {
        let mut bench = Bench::new(HubConfig {
            idle_timeout: Duration::from_secs(1_000),
            ..config()
        });
        let [ada, bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
        let (id, token, _) = welcome(&mut bench, ada);
        bench.close(ada);
        bench.pass(Duration::from_millis(ms));
        bench.forget_received();
        let again = bench.connect();
        resume(&mut bench, again, "ada", token);
        let (id_again, ..) = welcome(&mut bench, again);
        assert_eq!(id_again == id, same, "{ms} ms");
        let joined = Received::Joined(id_again, "ada".to_owned());
        assert_eq!(bench.take_received(bob), [joined]);
    }
}

#[test]
fn whoever_has_said_bye_or_has_another_name_resumes_nothing() {
    let mut bench = Bench::new(config());
    let [ada, _bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
    let (id, token, _) = welcome(&mut bench, ada);
    let eve = bench.connect();
    resume(&mut bench, eve, "eve", token);
    assert_ne!(welcome(&mut bench, eve).0, id);
    assert!(!bench.peers[ada].closed);
    bench.send(ada, &ClientPacket::Bye(Bye::from(Reason::LEAVING)));
    let again = bench.connect();
    resume(&mut bench, again, "ada", token);
    assert_ne!(welcome(&mut bench, again).0, id);
}

#[test]
fn a_hello_that_comes_again_is_answered_in_the_same_way() {
    let mut bench = Bench::new(config());
    let bob = bench.join("kitchen", "bob");
    let ada = bench.connect();
    let repeated = hello("kitchen", "ada", &[0], [5; 8]);
    bench.send(ada, &ClientPacket::Hello(repeated.clone()));
    let first = welcome(&mut bench, ada);
    bench.forget_received();
    bench.send(ada, &ClientPacket::Hello(repeated));
    assert_eq!(welcome(&mut bench, ada), first);
    assert_eq!(bench.take_received(bob), []);
}

#[test]
fn whoever_wants_only_the_number_gets_that_once_a_second() {
    let mut bench = Bench::new(config());
    let node = bench.connect();
    let hello = Hello {
        roster: 0,
        ..hello("kitchen", "node", &[0], [5; 8])
    };
    bench.send(node, &ClientPacket::Hello(hello));
    bench.pass(Duration::from_secs(2));
    bench.forget_received();
    for name in ["ada", "bob", "eve"] {
        bench.join("kitchen", name);
    }
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.take_received(node), [Received::Count(4)]);
    let gus = bench.join("kitchen", "gus");
    bench.pass(Duration::from_millis(990));
    assert_eq!(bench.take_received(node), []);
    bench.close(gus);
    bench.pass(Duration::from_millis(20));
    assert_eq!(bench.take_received(node), [Received::Count(4)]);
    // It gets the list when it asks for it.
    bench.send(node, &ClientPacket::RosterRequest);
    let received = bench.take_received(node);
    assert!(
        matches!(&received[..], [Received::Roster(all)] if all.len() == 4),
        "{received:?}"
    );
}

#[test]
fn what_was_said_before_a_mute_or_a_bye_is_heard() {
    for is_bye in [false, true] {
        let mut bench = Bench::new(config());
        let [ada, bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
        bench.forget_received();
        for value in 1..=5 {
            bench.speak(ada, 100 * value, value == 5);
        }
        let after = Some(Seq(5));
        if is_bye {
            let bye = Bye::from(Reason::LEAVING);
            bench.send(ada, &ClientPacket::Bye(Bye { after, ..bye }));
            bench.close(ada);
        } else {
            bench.set_muted(ada, true);
            // What comes behind it is not heard.
            bench.speak(ada, 9_000, false);
        }
        bench.pass(FRAME * 7);
        let heard = bench.heard(bob);
        let expected: Vec<_> = (1..=5).map(|n| (Some(100 * n), n == 5)).collect();
        assert_eq!(heard, expected);
        let told = bench.take_received(bob);
        if is_bye {
            assert!(told.contains(&Received::Left(1)));
            let again = bench.join("kitchen", "ada");
            assert_eq!(welcome(&mut bench, again).0, 3);
        } else {
            assert!(told.contains(&Received::State(1, ParticipantFlags::MUTED)));
        }
    }
}

#[test]
fn the_name_of_one_who_is_only_played_out_is_free() {
    let mut bench = Bench::new(config());
    let [ada, bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
    for value in 1..=5 {
        bench.speak(ada, 100 * value, value == 5);
    }
    let after = Some(Seq(5));
    let bye = Bye::from(Reason::LEAVING);
    bench.send(ada, &ClientPacket::Bye(Bye { after, ..bye }));
    bench.forget_received();
    bench.join("kitchen", "ada");
    let told = bench.take_received(bob);
    let expected = [Received::Left(1), Received::Joined(3, "ada".to_owned())];
    assert_eq!(told, expected);
}

#[test]
fn what_never_comes_is_waited_for_half_a_second() {
    let mut bench = Bench::new(config());
    let [ada, bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
    bench.forget_received();
    let (muted, after) = (true, Some(Seq(7)));
    bench.send(ada, &ClientPacket::SetMuted(SetMuted { muted, after }));
    bench.pass(Duration::from_millis(480));
    assert_eq!(bench.take_received(bob), []);
    bench.pass(Duration::from_millis(60));
    let muted = Received::State(1, ParticipantFlags::MUTED);
    assert_eq!(bench.take_received(bob), [muted]);
}
