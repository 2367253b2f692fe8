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
}

#[test]
fn whoever_is_replaced_in_mid_word_fades_for_the_others_only() {
    let mut bench = Bench::new(config());
    let [ada, bob, cat] = ["ada", "bob", "cat"].map(|name| bench.join("kitchen", name));
    let (_, token, _) = welcome(&mut bench, ada);
    bench.speak(cat, 100, false);
    for _ in 0..2 {
        bench.speak(ada, 300, false);
        bench.speak(cat, 100, false);
        bench.pass(FRAME);
    }
    bench.forget_received();
    let again = bench.connect();
    resume(&mut bench, again, "ada", token);
    bench.pass(FRAME);
    let (_, _, samples) = bench.voices(bob).last().expect("voice");
    let (first, last) = (samples[0], samples[SAMPLES - 1]);
    assert!(
        first.abs_diff(200) < 5 && last.abs_diff(100) < 5,
        "{first} to {last}"
    );
    let (_, _, samples) = bench.voices(again).last().expect("voice");
    assert_eq!(samples, [100; SAMPLES]);
}

#[test]
fn a_token_is_good_until_something_comes_that_shows_that_the_next_has_arrived() {
    for (is_heard, by_voice) in [(false, false), (true, false), (true, true)] {
        let mut bench = Bench::new(config());
        let [ada, _bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
        let (id, token, _) = welcome(&mut bench, ada);
        // The Welcome of the second is lost, and so is the answer to the Hello that comes again.
        let mut hello = hello("kitchen", "ada", &[0], [200; 8]);
        hello.resume = Some(token);
        let second = bench.connect();
        for _ in 0..2 {
            bench.send(second, &ClientPacket::Hello(hello.clone()));
        }
        // Noise is nothing that was said.
        bench.send_bytes(second, &[7, 7, 0]);
        if by_voice {
            bench.speak(second, 300, true);
        } else if is_heard {
            bench.send(second, &ClientPacket::Ping(1));
        }
        for ended in [false, true] {
            if ended {
                bench.close(second);
            }
            let third = bench.connect();
            resume(&mut bench, third, "ada", token);
            let received = bench.take_received(third);
            let expected = if is_heard && !ended { None } else { Some(id) };
            let granted = received.iter().find_map(|received| match received {
                Received::Welcome { id, .. } => Some(*id),
                _ => None,
            });
            match is_heard && ended {
                true => assert!(granted.is_some_and(|other| other != id)),
                false => assert_eq!(granted, expected, "{received:?}"),
            }
        }
    }
}

#[test]
fn a_session_goes_on_on_its_own_stream_and_the_others_notice_nothing() {
    let mut bench = Bench::new(config());
    let [ada, bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
    let (id, token, _) = welcome(&mut bench, ada);
    bench.speak(ada, 300, false);
    bench.pass(FRAME);
    bench.forget_received();
    resume(&mut bench, ada, "ada", token);
    let (id_again, token_again, _) = welcome(&mut bench, ada);
    assert_eq!((id_again, token_again == token), (id, false));
    assert!(!bench.peers[ada].closed);
    bench.pass(STATE_PASSES);
    let mut told = bench.take_received(bob);
    told.retain(|received| !matches!(received, Received::Voice { .. }));
    assert_eq!(told, [Received::State(id, ParticipantFlags::default())]);
    // Another answer than a Welcome ends it, and so does none before the next tick.
    bench.answers = false;
    resume(&mut bench, ada, "ada", token_again);
    assert_eq!(bench.take_received(bob), []);
    bench.pass(FRAME);
    assert_eq!(
        bench.take_received(bob),
        [Received::Left(id, Reason::REJOINED)]
    );
    bench.answers = true;
    bench.deliver();
    let joined = Received::Joined(id, "ada".to_owned());
    assert_eq!(bench.take_received(bob), [joined]);
}

#[test]
fn a_token_outlives_a_refusal() {
    for on_own_stream in [false, true] {
        let mut bench = Bench::new(config());
        let [ada, bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
        let (id, token, _) = welcome(&mut bench, ada);
        bench.forget_received();
        let stream = if on_own_stream { ada } else { bench.connect() };
        let refused = Hello {
            resume: Some(token),
            credentials: &[7; 65],
            ..hello("kitchen", "ada", &[0], [200; 8])
        };
        bench.send(stream, &ClientPacket::Hello(refused));
        let received = bench.take_received(stream);
        let is_refused = matches!(received[..], [Received::Reject(Reason::BAD_CREDENTIALS, _)]);
        assert!(is_refused, "{received:?}");
        bench.pass(FRAME);
        let told = bench.take_received(bob);
        assert_eq!(
            told.contains(&Received::Left(id, Reason::REJOINED)),
            on_own_stream
        );
        assert_eq!(bench.peers[ada].closed, on_own_stream);
        let again = bench.connect();
        resume(&mut bench, again, "ada", token);
        assert_eq!(welcome(&mut bench, again).0, id);
    }
}

#[test]
fn names_are_compared_in_their_composed_form() {
    let mut bench = Bench::new(config());
    let zoe = bench.join("caf\u{e9}", "Zoe\u{308}");
    let (id, token, _) = welcome(&mut bench, zoe);
    let again = bench.connect();
    let resuming = Hello {
        resume: Some(token),
        ..hello("cafe\u{301}", "Zo\u{eb}", &[0], [200; 8])
    };
    bench.send(again, &ClientPacket::Hello(resuming));
    assert_eq!(welcome(&mut bench, again).0, id);
    assert_eq!(bench.hub.gauges().rooms, 1);
}

#[test]
fn whoever_comes_back_to_a_room_that_had_ended_shares_their_number_with_nobody() {
    let mut bench = Bench::new(config());
    let [_, ada] = ["bob", "ada"].map(|name| bench.join("kitchen", name));
    let (id, token, _) = welcome(&mut bench, ada);
    bench.close(0);
    resume(&mut bench, ada, "ada", token);
    assert_eq!(welcome(&mut bench, ada).0, id);
    for name in ["bob", "cat"] {
        let other = bench.join("kitchen", name);
        assert_ne!(welcome(&mut bench, other).0, id);
    }
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
fn a_token_that_resumed_nothing_is_good_for_nothing_later() {
    let mut bench = Bench::new(config());
    let [ada, again] = [(); 2].map(|()| {
        let peer = bench.connect();
        resume(&mut bench, peer, "ada", [7; 16]);
        peer
    });
    assert!(!bench.peers[ada].closed);
    let received = bench.take_received(again);
    assert!(
        matches!(received[..], [Received::Reject(Reason::NAME_TAKEN, _)]),
        "{received:?}"
    );
}

#[test]
fn a_client_that_lost_the_server_may_come_back_whatever_it_said_at_its_end() {
    for (reason, told, same) in [
        (Reason::IDLE_TIMEOUT, Reason::IDLE_TIMEOUT, true),
        (Reason::DAMAGE, Reason::DAMAGE, true),
        (Reason::MALFORMED, Reason::MALFORMED, false),
        (Reason::STOPPING, Reason::CONNECTION_LOST, true),
        (Reason::REJOINED, Reason::CONNECTION_LOST, true),
        (Reason::RESUMED, Reason::LEAVING, false),
        (Reason(77), Reason::LEAVING, false),
        (Reason(200), Reason::CONNECTION_LOST, true),
    ] {
        let mut bench = Bench::new(config());
        let [ada, bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
        let (id, token, _) = welcome(&mut bench, ada);
        bench.forget_received();
        bench.send(ada, &ClientPacket::Bye(Bye::from(reason)));
        assert_eq!(
            bench.take_received(bob),
            [Received::Left(id, told)],
            "{reason:?}"
        );
        let again = bench.connect();
        resume(&mut bench, again, "ada", token);
        assert_eq!(welcome(&mut bench, again).0 == id, same, "{reason:?}");
    }
}

#[test]
fn those_who_come_and_go_are_not_all_played_out() {
    let mut bench = Bench::new(config());
    let bob = bench.join("kitchen", "bob");
    for nth in 0..50 {
        let guest = bench.join("kitchen", &format!("guest {nth}"));
        bench.speak(guest, 300, false);
        let after = Some(Seq(9_999));
        let bye = Bye::from(Reason::LEAVING);
        bench.send(guest, &ClientPacket::Bye(Bye { after, ..bye }));
    }
    let left = |bench: &mut Bench| {
        let received = bench.take_received(bob);
        let left = received
            .iter()
            .filter(|it| matches!(it, Received::Left(..)));
        left.count()
    };
    assert_eq!(left(&mut bench), 46, "four are still waited for");
    bench.pass(Duration::from_secs(1));
    assert_eq!(left(&mut bench), 4);
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
    let received = bench.take_received(node);
    assert!(
        matches!(&received[..], [Received::Welcome { roster, .. }, Received::Count(1)] if roster.is_empty()),
        "{received:?}"
    );
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
    bench.pass(Duration::from_secs(2));
    bench.close(1);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.take_received(node), [Received::Count(3)]);
}

#[test]
fn a_number_that_was_given_to_another_meanwhile_does_not_come_back() {
    for is_played_out in [false, true] {
        let mut bench = Bench::new(config());
        let ada = bench.join("kitchen", "ada");
        let (id, token, _) = welcome(&mut bench, ada);
        bench.close(ada);
        // The room was over, and counts from 1 again.
        let [bob, _cat] = ["bob", "cat"].map(|name| bench.join("kitchen", name));
        assert_eq!(welcome(&mut bench, bob).0, id);
        if is_played_out {
            bench.speak(bob, 300, true);
            let (after, bye) = (Some(Seq(1)), Bye::from(Reason::LEAVING));
            bench.send(bob, &ClientPacket::Bye(Bye { after, ..bye }));
        }
        let again = bench.connect();
        resume(&mut bench, again, "ada", token);
        assert_ne!(welcome(&mut bench, again).0, id);
    }
}

#[test]
fn whoever_is_out_without_the_others_knowing_is_in_the_roster() {
    let mut bench = Bench::new(config());
    let [ada, bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
    let (_, token, _) = welcome(&mut bench, ada);
    bench.forget_received();
    bench.answers = false;
    resume(&mut bench, ada, "ada", token);
    bench.send(bob, &ClientPacket::RosterRequest);
    let received = bench.take_received(bob);
    let [Received::Roster(all)] = &received[..] else {
        panic!("{received:?}")
    };
    let mut names: Vec<_> = all.iter().map(|(_, name, _)| &name[..]).collect();
    names.sort_unstable();
    assert_eq!(names, ["ada", "bob"]);
    // They are told to have left, and are not listed any more.
    bench.pass(FRAME);
    assert_eq!(
        bench.take_received(bob),
        [Received::Left(1, Reason::REJOINED)]
    );
    bench.send(bob, &ClientPacket::RosterRequest);
    let received = bench.take_received(bob);
    assert!(
        matches!(&received[..], [Received::Roster(all)] if all.len() == 1),
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
            assert!(told.contains(&Received::Left(1, Reason::LEAVING)));
            let again = bench.join("kitchen", "ada");
            assert_eq!(welcome(&mut bench, again).0, 3);
        } else {
            assert!(told.contains(&Received::State(1, ParticipantFlags::MUTED)));
        }
    }
}

#[test]
fn what_waits_of_one_whose_connection_breaks_is_not_heard() {
    let mut bench = Bench::new(config());
    let [ada, bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
    (1..=5).for_each(|n| bench.speak(ada, 100 * n, n == 5));
    bench.close(ada);
    bench.pass(FRAME * 7);
    assert_eq!(bench.heard(bob), []);
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
    // Nor does one who looks like them find it taken.
    bench.join("kitchen", "\u{430}da");
    let told = bench.take_received(bob);
    let expected = [
        Received::Left(1, Reason::LEAVING),
        Received::Joined(3, "\u{430}da".to_owned()),
    ];
    assert_eq!(told, expected);
}

#[test]
fn nothing_is_waited_for_behind_a_bye() {
    let mut bench = Bench::new(config());
    let [ada, bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
    bench.forget_received();
    let after = Some(Seq(7));
    let bye = Bye::from(Reason::LEAVING);
    bench.send(ada, &ClientPacket::Bye(Bye { after, ..bye }));
    let left = Received::Left(1, Reason::LEAVING);
    assert_eq!(bench.take_received(bob), [left]);
}

#[test]
fn whoever_mutes_again_and_again_is_not_heard_for_longer() {
    let mut bench = Bench::new(config());
    let [ada, bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
    let (muted, after) = (true, Some(Seq(99)));
    for _ in 0..6 {
        bench.send(ada, &ClientPacket::SetMuted(SetMuted { muted, after }));
        bench.pass(Duration::from_millis(100));
    }
    let told = bench.take_received(bob);
    let muted = Received::State(1, ParticipantFlags::MUTED);
    assert!(told.contains(&muted), "{told:?}");
}

#[test]
fn whoever_has_not_read_the_roster_gets_no_other() {
    let mut bench = Bench::new(HubConfig {
        max_participants: 1_000,
        room_capacity: 1_000,
        ..config()
    });
    for nth in 0..600 {
        bench.join("kitchen", &format!("{nth:032}"));
    }
    bench.peers[0].reads = false;
    for _ in 0..5 {
        bench.send(0, &ClientPacket::RosterRequest);
    }
    bench.peers[0].reads = true;
    bench.deliver_to(bench.peers[0].link.unwrap());
    assert!(!bench.peers[0].closed);
    let received = bench.take_received(0);
    assert!(matches!(received.last(), Some(Received::Roster(_))));
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
