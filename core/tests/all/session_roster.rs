//! A client's roster is the server's, whatever is lost on the way: gaps show, and are asked about.

use crate::common::session_pair::{Pair, REVISION, pages, room_of};
use proptest::prelude::*;
use std::collections::BTreeMap;
use talkspurt_core::session::ClientEvent;
use talkspurt_core::time::Duration;
use talkspurt_core::wire::{
    ClientPacket, Joined, Left, ParticipantFlags, ParticipantId, ROSTER_PAGE, Reason, Roster,
    RosterEntry, ServerPacket, ServerPong, State,
};

const MS: fn(u64) -> Duration = Duration::from_millis;

const SOMEONE: ParticipantId = ParticipantId(1);

fn state(revision: u32) -> ServerPacket<'static> {
    ServerPacket::State(State {
        revision,
        id: SOMEONE,
        flags: ParticipantFlags::TALKING,
    })
}

fn pong(number: u32, revision: u32) -> ServerPacket<'static> {
    ServerPacket::Pong(ServerPong {
        number,
        revision,
        flags: ParticipantFlags::default(),
    })
}

/// Sends the roster at `revision`.
fn send_roster(pair: &mut Pair, names: &[&str], revision: u32) {
    for page in pages(names, revision) {
        pair.send_to_client(&ServerPacket::Roster(page));
    }
}

/// Whether the client asks for the roster now.
fn asks(pair: &mut Pair) -> bool {
    let mut asks = false;
    while let Some(packet) = pair.client.poll_transmit() {
        asks |= packet == ClientPacket::RosterRequest;
    }
    asks
}

/// Lets time pass up to the next request; gives how long that was.
fn asks_after_ms(pair: &mut Pair) -> u64 {
    let since = pair.now;
    while !asks(pair) {
        pair.now += MS(100);
        pair.client.handle_timeout(pair.now);
        pair.send_to_client(&ServerPacket::Ping(1));
    }
    pair.now.duration_since(since).as_millis()
}

#[test]
fn changes_in_order_become_events() {
    let mut pair = Pair::joined();
    let entry = room_of(&["ada", "eve"])[1];
    let (id, flags) = (entry.id, ParticipantFlags::TALKING);
    let (joined, state, left) = (REVISION + 1, REVISION + 2, REVISION + 3);
    for packet in [
        ServerPacket::Joined(Joined {
            revision: joined,
            entry,
        }),
        ServerPacket::State(State {
            revision: state,
            id,
            flags,
        }),
        ServerPacket::Left(Left {
            revision: left,
            id,
            reason: Reason::REJOINED,
        }),
    ] {
        pair.send_to_client(&packet);
    }
    let events = pair.client_events();
    let [
        ClientEvent::ParticipantJoined(eve),
        ClientEvent::State(talker, ParticipantFlags::TALKING),
        ClientEvent::ParticipantLeft(gone, Reason::REJOINED),
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(&*eve.name, "eve");
    assert_eq!((*talker, *gone), (id, id));
    assert!(!asks(&mut pair));
}

#[test]
fn what_is_old_is_ignored_and_what_is_missing_is_asked_about_once() {
    let mut pair = Pair::joined();
    for old in [REVISION, REVISION - 1, REVISION.wrapping_sub(1 << 31)] {
        pair.send_to_client(&state(old));
        assert_eq!(pair.client_events(), []);
        assert!(!asks(&mut pair));
    }
    pair.send_to_client(&state(REVISION + 3));
    assert_eq!(pair.client_events().len(), 1, "it is news");
    assert!(asks(&mut pair));
    // What was missed is old by now, should it still come.
    for old in [REVISION + 1, REVISION + 3] {
        pair.send_to_client(&state(old));
        assert_eq!(pair.client_events(), []);
    }
    // What follows is in order again.
    pair.send_to_client(&state(REVISION + 4));
    assert_eq!(pair.client_events().len(), 1);
    assert!(!asks(&mut pair));
    send_roster(&mut pair, &["ada", "bob"], REVISION + 4);
    let events = pair.client_events();
    assert!(matches!(
        events[0],
        ClientEvent::Listed { is_first: true, .. }
    ));
    assert_eq!(events.last(), Some(&ClientEvent::RosterComplete));
    pair.now += MS(60_000);
    pair.client.handle_timeout(pair.now);
    assert!(!asks(&mut pair), "it has come");
}

#[test]
fn a_pong_tells_of_a_change_that_was_the_last() {
    let mut pair = Pair::joined();
    pair.client.handle_timeout(pair.now);
    assert!(!asks(&mut pair));
    pair.send_to_client(&pong(1, REVISION));
    assert!(!asks(&mut pair));
    pair.now += MS(5_000);
    pair.client.handle_timeout(pair.now);
    assert!(!asks(&mut pair));
    pair.send_to_client(&pong(2, REVISION + 1));
    assert!(asks(&mut pair));
}

#[test]
fn it_asks_once_a_second_at_most_and_ever_more_rarely_without_an_answer() {
    let mut pair = Pair::joined();
    pair.send_to_client(&state(REVISION + 2));
    assert!(asks(&mut pair));
    pair.now += MS(300);
    send_roster(&mut pair, &["ada", "bob"], REVISION + 2);
    let page = pages(&["n"; 9], REVISION + 2).remove(1);
    pair.send_to_client(&ServerPacket::Roster(page));
    assert_eq!(asks_after_ms(&mut pair), 700);
    let waits = [(); 6].map(|()| asks_after_ms(&mut pair));
    assert_eq!(waits, [2_000, 4_000, 8_000, 16_000, 16_000, 16_000]);
    // Nothing comes behind a Welcome.
    let mut pair = Pair::new();
    pair.hello();
    pair.server.accept();
    pair.send_to_client(&ServerPacket::Welcome(Pair::welcome_packet(&["ada"])));
    let waits = [(); 5].map(|()| asks_after_ms(&mut pair));
    assert_eq!(waits, [2_000, 4_000, 8_000, 16_000, 16_000]);
}

#[test]
fn while_pages_are_expected_a_gap_alone_is_no_reason_to_ask_again() {
    let mut pair = Pair::joined();
    pair.send_to_client(&state(REVISION + 2));
    assert!(asks(&mut pair));
    pair.now += MS(1_500);
    pair.client.handle_timeout(pair.now);
    pair.send_to_client(&state(REVISION + 9));
    assert_eq!(pair.client_events().len(), 2, "both are news");
    assert!(!asks(&mut pair));
    assert_eq!(asks_after_ms(&mut pair), 500);
}

#[test]
fn a_request_that_may_have_to_be_made_again_is_waited_for() {
    let mut pair = Pair::joined();
    // The first Ping is due at once.
    pair.client.handle_timeout(pair.now);
    pair.send_to_client(&state(REVISION + 2));
    assert!(asks(&mut pair));
    assert_eq!(pair.client.poll_timeout(), Some(pair.now + MS(2_000)));
}

#[test]
fn a_change_between_pages_ends_collecting() {
    let mut pair = Pair::joined();
    let pages = pages(&["n"; 9], REVISION);
    pair.send_to_client(&ServerPacket::Roster(pages[0].clone()));
    pair.send_to_client(&state(REVISION + 1));
    assert!(asks(&mut pair), "the rest was lost");
    pair.send_to_client(&ServerPacket::Roster(pages[1].clone()));
    assert!(!pair.client_events().contains(&ClientEvent::RosterComplete));
}

#[test]
fn a_page_must_bring_someone_unless_the_roster_is_empty_and_nobody_is_left_out() {
    let mut pair = Pair::joined();
    let page = |first, total, ids: &[u32]| {
        let flags = ParticipantFlags::default();
        let entry = |id: &u32| RosterEntry::new(ParticipantId(*id), flags, "someone");
        ServerPacket::Roster(Roster {
            revision: REVISION,
            first,
            total,
            entries: ids.iter().map(entry).collect(),
        })
    };
    pair.send_to_client(&page(0, 2, &[7]));
    pair.send_to_client(&page(1, 2, &[]));
    assert!(asks(&mut pair), "it might go on like that for ever");
    pair.client_events();
    pair.send_to_client(&page(0, 3, &[7, 0, 8]));
    let events = pair.client_events();
    let [
        ClientEvent::Listed { participant: a, .. },
        ClientEvent::Listed { participant: b, .. },
        ClientEvent::RosterComplete,
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((a.id.0, b.id.0), (7, 8));
    pair.send_to_client(&page(0, 2, &[0, 7]));
    let events = pair.client_events();
    assert!(
        matches!(&events[..], [ClientEvent::Listed { is_first: true, .. }, _]),
        "{events:?}"
    );
    pair.send_to_client(&page(0, 0, &[]));
    assert_eq!(pair.client_events(), [ClientEvent::RosterComplete]);
}

#[test]
fn a_count_is_for_those_without_the_roster() {
    let mut pair = Pair::joined();
    pair.send_to_client(&ServerPacket::Count(3));
    assert_eq!(pair.client_events(), []);
}

#[test]
fn a_second_welcome_tells_those_without_the_roster_how_many_there_are() {
    let mut pair = Pair::without_roster();
    pair.hello();
    pair.server.accept();
    let mut welcome = Pair::welcome_packet(&["ada", "bob"]);
    pair.send_to_client(&ServerPacket::Welcome(welcome));
    pair.client_events();
    welcome.participants = 3;
    pair.send_to_client(&ServerPacket::Welcome(welcome));
    assert_eq!(pair.client_events(), [ClientEvent::Count(3)]);
}

#[test]
fn a_second_welcome_begins_the_list_anew_whatever_was_known() {
    for revision in [REVISION - 9, REVISION, REVISION + 9] {
        let mut pair = Pair::joined();
        let names = ["n"; 9];
        let first_page = pages(&names, revision).remove(0);
        pair.send_to_client(&ServerPacket::Roster(first_page));
        let mut welcome = Pair::welcome_packet(&names);
        welcome.revision = revision;
        pair.send_to_client(&ServerPacket::Welcome(welcome));
        pair.client_events();
        // The next change is news, and says nothing of a gap; the pages are missed in time.
        pair.send_to_client(&state(revision + 1));
        assert_eq!(pair.client_events().len(), 1, "{revision}");
        assert_eq!(asks_after_ms(&mut pair), 2_000, "{revision}");
        // What was collected before does not count.
        let mut pair = Pair::joined();
        let [first, second] = &pages(&names, revision)[..] else {
            panic!("two pages")
        };
        pair.send_to_client(&ServerPacket::Roster(first.clone()));
        pair.send_to_client(&ServerPacket::Welcome(welcome));
        pair.send_to_client(&ServerPacket::Roster(second.clone()));
        let events = pair.client_events();
        assert!(!events.contains(&ClientEvent::RosterComplete));
        assert!(asks(&mut pair));
    }
}

#[test]
fn pages_that_do_not_continue_one_another_are_dropped_and_asked_for_again() {
    let names: Vec<String> = (0..20).map(|n| format!("talker {n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for lost in 0..3 {
        let mut pair = Pair::new();
        pair.hello();
        pair.server.accept();
        let welcome = Pair::welcome_packet(&names);
        pair.send_to_client(&ServerPacket::Welcome(welcome));
        for (n, page) in pages(&names, REVISION).into_iter().enumerate() {
            if n != lost {
                pair.send_to_client(&ServerPacket::Roster(page));
            }
        }
        assert!(!pair.client_events().contains(&ClientEvent::RosterComplete));
        let waited_ms = asks_after_ms(&mut pair);
        // Nobody knows that a last page was lost.
        assert_eq!(waited_ms, if lost == 2 { 2_000 } else { 0 }, "{lost}");
        send_roster(&mut pair, &names, REVISION);
        let events = pair.client_events();
        assert_eq!(events.len(), names.len() + 1);
        assert_eq!(events.last(), Some(&ClientEvent::RosterComplete));
    }
}

#[test]
fn pages_of_different_rosters_make_none() {
    let mut pair = Pair::joined();
    let page = |revision, first, total, names: &[&'static str]| {
        ServerPacket::Roster(Roster {
            revision,
            first,
            total,
            entries: room_of(names).into_iter().collect(),
        })
    };
    for (first, second) in [
        (page(310, 0, 2, &["ada"]), page(311, 1, 2, &["bob"])),
        (page(310, 0, 2, &["ada"]), page(310, 1, 3, &["bob"])),
        (page(310, 0, 3, &["ada"]), page(310, 1, 2, &["bob"])),
        (page(310, 0, 2, &["ada"]), page(310, 2, 2, &[])),
        (page(310, 0, 2, &["ada"]), page(310, 1, 2, &["bob", "eve"])),
        (page(310, 0, 0, &["ada"]), page(310, u32::MAX, 0, &["bob"])),
    ] {
        pair.now += MS(2_000);
        pair.send_to_client(&first);
        pair.send_to_client(&second);
        assert!(!pair.client_events().contains(&ClientEvent::RosterComplete));
        assert!(asks(&mut pair));
    }
}

#[test]
fn the_revision_of_a_complete_roster_becomes_its_own() {
    for revision in [REVISION - 5, REVISION + 5] {
        let mut pair = Pair::joined();
        send_roster(&mut pair, &["ada", "bob"], revision);
        pair.client_events();
        pair.send_to_client(&state(revision));
        assert_eq!(pair.client_events(), [], "{revision}: it is in the list");
        pair.send_to_client(&state(revision + 1));
        assert_eq!(pair.client_events().len(), 1, "{revision}");
        assert!(!asks(&mut pair), "{revision}");
    }
}

#[test]
fn a_second_welcome_is_no_reason_to_ask_sooner_than_a_second_later() {
    let mut pair = Pair::joined();
    pair.send_to_client(&state(REVISION + 2));
    assert!(asks(&mut pair));
    pair.now += MS(100);
    let names = ["n"; 9];
    let welcome = Pair::welcome_packet(&names);
    pair.send_to_client(&ServerPacket::Welcome(welcome));
    // Of its pages the first is lost.
    let page = pages(&names, REVISION).remove(1);
    pair.send_to_client(&ServerPacket::Roster(page));
    assert_eq!(asks_after_ms(&mut pair), 900);
}

#[test]
fn revisions_wrap_and_leave_out_0() {
    let mut pair = Pair::new();
    pair.hello();
    pair.server.accept();
    let mut welcome = Pair::welcome_packet(&["ada"]);
    welcome.revision = u32::MAX - 1;
    pair.send_to_client(&ServerPacket::Welcome(welcome));
    send_roster(&mut pair, &["ada"], u32::MAX - 1);
    pair.client_events();
    for revision in [u32::MAX, 1, 2] {
        pair.send_to_client(&state(revision));
        assert_eq!(pair.client_events().len(), 1, "{revision}");
    }
    assert!(!asks(&mut pair));
}

#[test]
fn who_asked_for_the_number_only_gets_that() {
    let mut pair = Pair::without_roster();
    assert!(!pair.hello().roster);
    pair.server.accept();
    let welcome = Pair::welcome_packet(&["ada", "bob"]);
    pair.send_to_client(&ServerPacket::Welcome(welcome));
    let events = pair.client_events();
    assert!(
        matches!(events[..], [ClientEvent::Joined(_, 2)]),
        "{events:?}"
    );
    pair.send_to_client(&ServerPacket::Count(3));
    assert_eq!(pair.client_events(), [ClientEvent::Count(3)]);
    // None of this is for it.
    pair.client.handle_timeout(pair.now);
    assert!(!asks(&mut pair));
    pair.send_to_client(&pong(1, REVISION + 9));
    pair.send_to_client(&state(REVISION + 9));
    send_roster(&mut pair, &["ada"], REVISION);
    pair.now += MS(3_000);
    pair.client.handle_timeout(pair.now);
    assert_eq!(pair.client_events(), []);
    assert!(!asks(&mut pair));
}

/// What a server does to its room.
#[derive(Clone, Copy, Debug)]
enum Change {
    Join(u32),
    Leave(u32),
    Flags(u32, u32),
    Wait,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (2..20u32).prop_map(Change::Join),
        2 => (2..20u32).prop_map(Change::Leave),
        3 => (1..20u32, 0..4u32).prop_map(|(id, flags)| Change::Flags(id, flags)),
        3 => Just(Change::Wait),
    ]
}

fn names(room: &BTreeMap<u32, u32>) -> Vec<(u32, u32)> {
    room.iter().map(|(id, flags)| (*id, *flags)).collect()
}

/// A roster of people whose names are all the same: only numbers and flags matter here.
fn send_room(pair: &mut Pair, room: &BTreeMap<u32, u32>, revision: u32, lost: impl Fn() -> bool) {
    let entries: Vec<RosterEntry<'_>> = room
        .iter()
        .map(|(id, flags)| {
            RosterEntry::new(ParticipantId(*id), ParticipantFlags(*flags), "someone")
        })
        .collect();
    for (n, page) in entries.chunks(ROSTER_PAGE).enumerate() {
        if !lost() {
            pair.send_to_client(&ServerPacket::Roster(Roster {
                revision,
                first: (n * ROSTER_PAGE) as u32,
                total: entries.len() as u32,
                entries: page.iter().copied().collect(),
            }));
        }
    }
}

proptest! {
    #![proptest_config(crate::common::cases::cases(300))]

    /// However many packets are lost, both ways, in the end the client has the list.
    #[test]
    fn every_list_is_true_in_the_end(
        changes in proptest::collection::vec((change(), any::<bool>()), 1..80),
        lost in proptest::collection::vec(any::<bool>(), 1..50),
    ) {
        let mut pair = Pair::joined();
        let mut room = BTreeMap::from([(1u32, 0u32)]);
        let (mut list, mut listing) = (room.clone(), BTreeMap::new());
        let mut revision = REVISION;
        let coin = std::cell::Cell::new(0);
        let is_lost = || {
            coin.set(coin.get() + 1);
            lost[coin.get() % lost.len()]
        };
        // In the end nothing is lost any more.
        let calm = [(Change::Wait, false); 12];
        let last = changes.len();
        for (n, (change, lose)) in changes.into_iter().chain(calm).enumerate() {
            let is_calm = n >= last;
            let next = revision + 1;
            let packet = match change {
                Change::Join(id) if !room.contains_key(&id) => {
                    room.insert(id, 0);
                    let flags = ParticipantFlags::default();
                    let entry = RosterEntry::new(ParticipantId(id), flags, "someone");
                    Some(ServerPacket::Joined(Joined { revision: next, entry }))
                }
                Change::Leave(id) if room.remove(&id).is_some() => {
                    let (id, reason) = (ParticipantId(id), Reason::LEAVING);
                    Some(ServerPacket::Left(Left { revision: next, id, reason }))
                }
                Change::Flags(id, flags) if room.contains_key(&id) => {
                    room.insert(id, flags);
                    let (id, flags) = (ParticipantId(id), ParticipantFlags(flags));
                    Some(ServerPacket::State(State { revision: next, id, flags }))
                }
                _ => None,
            };
            if let Some(packet) = packet {
                revision = next;
                if !lose {
                    pair.send_to_client(&packet);
                }
            }
            if matches!(change, Change::Wait) {
                pair.now += MS(5_000);
                // A sign of life.
                pair.send_to_client(&ServerPacket::Count(1));
                pair.client.handle_timeout(pair.now);
            }
            loop {
                let asked = match pair.client.poll_transmit() {
                    None => break,
                    Some(ClientPacket::Ping(number)) => Some(number),
                    Some(ClientPacket::RosterRequest) => None,
                    Some(other) => panic!("{other:?}"),
                };
                match asked {
                    _ if !is_calm && is_lost() => {}
                    Some(number) => drop(pair.send_to_client(&pong(number, revision))),
                    None => send_room(&mut pair, &room, revision, || !is_calm && is_lost()),
                }
            }
            for event in pair.client_events() {
                match event {
                    ClientEvent::Listed { participant, is_first } => {
                        if is_first {
                            listing.clear();
                        }
                        listing.insert(participant.id.0, participant.flags.0);
                    }
                    ClientEvent::RosterComplete => list = std::mem::take(&mut listing),
                    ClientEvent::ParticipantJoined(someone) => {
                        list.insert(someone.id.0, someone.flags.0);
                    }
                    ClientEvent::ParticipantLeft(id, _) => drop(list.remove(&id.0)),
                    ClientEvent::State(id, flags) => {
                        list.entry(id.0).and_modify(|own| *own = flags.0);
                    }
                    ClientEvent::Count(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
        prop_assert_eq!(names(&list), names(&room));
    }
}
