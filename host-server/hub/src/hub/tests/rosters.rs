//! Everyone's list is the true one.

use super::*;

const TALKING: ParticipantFlags = ParticipantFlags::TALKING;
const MUTED: ParticipantFlags = ParticipantFlags::MUTED;
const NOTHING: ParticipantFlags = ParticipantFlags(0);

/// A peer's own number, the entries of its Welcome and Roster packets, and how many were announced.
fn welcome(bench: &Bench, peer: usize) -> (u32, Vec<(u32, String, u32)>, u32) {
    let mut entries = Vec::new();
    let mut own = None;
    for received in &bench.peers[peer].received {
        match received {
            Received::Welcome {
                id,
                roster,
                roster_len,
                ..
            } => {
                own = Some((*id, *roster_len));
                entries.extend(roster.clone());
            }
            Received::Roster(page) => entries.extend(page.clone()),
            _ => {}
        }
    }
    let (id, roster_len) = own.expect("a Welcome");
    (id, entries, roster_len)
}

#[test]
fn a_welcome_lists_everyone_in_pages() {
    let mut bench = Bench::new(config());
    let peers: Vec<_> = (0..20)
        .map(|n| bench.join("kitchen", &format!("p{n}")))
        .collect();
    for (n, peer) in peers.iter().enumerate() {
        let (id, entries, roster_len) = welcome(&bench, *peer);
        assert_eq!((entries.len(), roster_len as usize), (n + 1, n + 1));
        let mut names: Vec<_> = entries.iter().map(|(_, name, _)| name.clone()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), n + 1, "everyone once");
        assert!(
            entries
                .iter()
                .any(|(entry, name, _)| *entry == id && *name == format!("p{n}"))
        );
    }
    let last = bench.take_received(peers[19]);
    assert!(matches!(last[..], [Received::Welcome { .. }]));
}

#[test]
fn joins_and_leaves_are_told_to_the_others_at_once() {
    let mut bench = Bench::new(config());
    let ada = bench.join("kitchen", "ada");
    bench.forget_received();
    let bob = bench.join("kitchen", "bob");
    let (bob_id, ..) = welcome(&bench, bob);
    bench.join("attic", "eve");
    assert_eq!(
        bench.take_received(ada),
        [Received::Joined(bob_id, "bob".to_owned())]
    );
    bench.send(bob, &ClientPacket::Bye(Bye::from(Reason::LEAVING)));
    assert_eq!(
        bench.take_received(ada),
        [Received::Left(bob_id, Reason::LEAVING)]
    );
    assert!(bench.peers[bob].closed);
    let eve = bench.join("kitchen", "eve");
    bench.forget_received();
    bench.close(eve);
    assert!(
        matches!(
            bench.take_received(ada)[..],
            [Received::Left(_, Reason::CONNECTION_LOST)]
        ),
        "a broken connection is a leave"
    );
}

#[test]
fn talking_and_silence_follow_the_voice() {
    let mut bench = Bench::new(config());
    let (ada, bob) = (bench.join("kitchen", "ada"), bench.join("kitchen", "bob"));
    let (id, ..) = welcome(&bench, ada);
    bench.forget_received();
    bench.speak(ada, 1, false);
    assert_eq!(
        bench.take_received(bob),
        [Received::State(id, TALKING)],
        "at once, not at the tick"
    );
    assert_eq!(
        bench.take_received(ada),
        [Received::State(id, TALKING)],
        "the one who talks is told, too"
    );
    bench.pass(Duration::from_millis(100));
    bench.forget_received();
    bench.speak(ada, 1, true);
    assert_eq!(
        bench.take_states(bob),
        [],
        "the last frame is not heard yet"
    );
    bench.pass(Duration::from_millis(100));
    assert_eq!(bench.take_states(bob), [Received::State(id, NOTHING)]);
}

#[test]
fn nobody_is_heard_without_being_shown() {
    let mut bench = Bench::new(config());
    let (ada, bob) = (bench.join("kitchen", "ada"), bench.join("kitchen", "bob"));
    let (id, ..) = welcome(&bench, ada);
    bench.forget_received();
    // Every packet says that it is the last one.
    for _ in 0..50 {
        bench.speak(ada, 7, true);
        bench.pass(Duration::from_millis(20));
    }
    assert!(bench.heard(bob).len() >= 40, "Ada is heard");
    assert_eq!(
        bench.take_states(bob)[0],
        Received::State(id, TALKING),
        "and shown"
    );
}

#[test]
fn who_flickers_is_told_ten_times_a_second_and_truly_at_the_end() {
    let mut bench = Bench::new(config());
    let (ada, bob) = (bench.join("kitchen", "ada"), bench.join("kitchen", "bob"));
    let (id, ..) = welcome(&bench, ada);
    bench.forget_received();
    for n in 0..100 {
        bench.set_muted(ada, n % 2 == 0);
        bench.pass(Duration::from_millis(10));
    }
    bench.set_muted(ada, true);
    bench.pass(Duration::from_millis(100));
    let states = bench.take_states(bob);
    assert!(states.len() <= 12, "{} in 1.1 s", states.len());
    assert_eq!(states.last(), Some(&Received::State(id, MUTED)));
    assert_eq!(
        bench.hub.poll_timeout().map(|due| due > bench.now),
        Some(true)
    );
}

#[test]
fn a_talkspurt_that_breaks_off_is_told() {
    let mut bench = Bench::new(config());
    let (ada, bob) = (bench.join("kitchen", "ada"), bench.join("kitchen", "bob"));
    let (id, ..) = welcome(&bench, ada);
    bench.speak(ada, 1, false);
    assert_eq!(bench.hub.gauges().talkers, 1);
    bench.pass(Duration::from_millis(200));
    assert!(
        bench
            .take_received(bob)
            .contains(&Received::State(id, NOTHING))
    );
    assert_eq!(bench.hub.gauges().talkers, 0);
}

#[test]
fn muting_is_told_and_ends_a_talkspurt() {
    let mut bench = Bench::new(config());
    let (ada, bob) = (bench.join("kitchen", "ada"), bench.join("kitchen", "bob"));
    let (id, ..) = welcome(&bench, ada);
    bench.speak(ada, 1, false);
    bench.pass(Duration::from_millis(110));
    bench.forget_received();
    bench.set_muted(ada, true);
    bench.set_muted(ada, true);
    bench.pass(FRAME);
    assert_eq!(bench.take_states(bob), [Received::State(id, MUTED)]);
    bench.set_muted(ada, false);
    bench.pass(Duration::from_millis(100));
    assert_eq!(bench.take_states(bob), [Received::State(id, NOTHING)]);
}

#[test]
fn a_second_hello_leaves_and_joins_anew() {
    let mut bench = Bench::new(config());
    let (ada, bob) = (bench.join("kitchen", "ada"), bench.join("kitchen", "bob"));
    let (old, ..) = welcome(&bench, ada);
    bench.forget_received();
    bench.hello(ada, "kitchen", "ada", CodecId::Pcm16);
    let (new, entries, _) = welcome(&bench, ada);
    assert_eq!(entries.len(), 2);
    assert_eq!(
        bench.take_received(bob),
        [
            Received::Left(old, Reason::REJOINED),
            Received::Joined(new, "ada".to_owned())
        ]
    );
    bench.speak(bob, 9, true);
    bench.pass(FRAME);
    assert_eq!(bench.heard(ada), [(Some(9), true)]);
}

#[test]
fn rooms_come_with_the_first_and_go_with_the_last() {
    let mut bench = Bench::new(config());
    let (ada, bob) = (bench.join("kitchen", "ada"), bench.join("kitchen", "bob"));
    assert_eq!(
        (bench.hub.gauges().rooms, bench.hub.gauges().participants),
        (1, 2)
    );
    bench.close(ada);
    assert_eq!(bench.hub.gauges().rooms, 1);
    bench.close(bob);
    assert_eq!(bench.hub.gauges(), Gauges::default());
    let told = |event: &Event| match event {
        Event::Joined(who) => format!("joined {}", who.participants),
        Event::Left(who, reason) => format!("left {} {}", who.participants, reason.label()),
        Event::Refused { reason, .. } => reason.label().to_owned(),
        Event::Probed { .. } => "probed".to_owned(),
    };
    let events: Vec<_> = bench.events.iter().map(told).collect();
    assert_eq!(
        events,
        [
            "joined 1",
            "joined 2",
            "left 1 connection_lost",
            "left 0 connection_lost"
        ]
    );
}

#[test]
fn everyone_ends_with_the_true_list_after_a_churn() {
    let mut bench = Bench::new(HubConfig {
        room_capacity: 200,
        max_participants: 200,
        ..config()
    });
    let mut random = 7u32;
    let mut present: Vec<usize> = Vec::new();
    for n in 0..600 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let dice = (random >> 16) as usize;
        if !present.is_empty() && (dice.is_multiple_of(3) || present.len() == 200) {
            let gone = present.swap_remove(dice / 3 % present.len());
            if dice.is_multiple_of(2) {
                bench.close(gone);
            } else {
                bench.send(gone, &ClientPacket::Bye(Bye::from(Reason::LEAVING)));
            }
        } else {
            present.push(bench.join("hall", &format!("p{n}")));
        }
        bench.pass(Duration::from_millis(1));
    }
    let mut truth: Vec<u32> = present
        .iter()
        .map(|peer| welcome(&bench, *peer).0)
        .collect();
    truth.sort_unstable();
    for peer in present {
        let (_, entries, _) = welcome(&bench, peer);
        let mut list: Vec<u32> = entries.into_iter().map(|(id, ..)| id).collect();
        for received in &bench.peers[peer].received {
            match received {
                Received::Joined(id, _) => list.push(*id),
                Received::Left(id, _) => list.retain(|entry| entry != id),
                _ => {}
            }
        }
        list.sort_unstable();
        assert_eq!(list, truth, "peer {peer}");
    }
}

#[test]
fn the_order_of_joining_outlives_those_who_leave() {
    let mut bench = Bench::new(config());
    let ada = bench.join("kitchen", "ada");
    bench.join("kitchen", "bob");
    bench.close(ada);
    bench.join("kitchen", "eve");
    let participants = bench.hub.rooms().flat_map(Room::participants);
    let mut order: Vec<_> = participants.map(|it| (it.joined, &*it.name)).collect();
    order.sort_unstable();
    assert_eq!(order, [(2, "bob"), (3, "eve")]);
}
