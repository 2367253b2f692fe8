//! The handshake: the two ends of a session against each other, on virtual time.

use crate::common::session_pair::{Pair, room_of, say};
use talkspurt_core::audio::codec::CodecId;
use talkspurt_core::session::{ClientEvent, ServerEvent};
use talkspurt_core::time::Duration;
use talkspurt_core::wire::{
    ByeReason, ClientPacket, Hello, ParticipantFlags, ParticipantId, RejectReason, ServerPacket,
    parse,
};

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn a_client_joins_and_is_told_who_is_there() {
    let mut pair = Pair::new();
    let hello = pair.hello();
    assert_eq!((&*hello.room, &*hello.name), ("kitchen", "ada"));
    assert_eq!((hello.codec, hello.muted), (CodecId::Pcm16, false));
    assert!(!pair.server.is_joined(), "the caller has not decided yet");
    pair.server.accept();
    pair.welcome(&["ada", "bob"]);
    let events = pair.client_events();
    let [
        ClientEvent::Joined(params, 2),
        ClientEvent::Listed(ada),
        ClientEvent::Listed(bob),
        ClientEvent::RosterComplete,
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((&*ada.name, &*bob.name), ("ada", "bob"));
    assert_eq!(
        (params.codec, params.format.frame_samples()),
        (CodecId::Pcm16, 320)
    );
    assert_eq!(params.idle_timeout, MS(15_000));
    assert_eq!(pair.client.params(), Some(*params));
}

#[test]
fn a_long_roster_comes_in_pages_and_is_complete_once() {
    let names: Vec<String> = (0..21).map(|n| format!("talker {n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut pair = Pair::new();
    pair.hello();
    pair.server.accept();
    pair.welcome(&names);
    let events = pair.client_events();
    assert_eq!(events.len(), 1 + 21 + 1);
    assert_eq!(events.last(), Some(&ClientEvent::RosterComplete));
    let listed: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            ClientEvent::Listed(participant) => Some(&*participant.name),
            _ => None,
        })
        .collect();
    assert_eq!(listed, names);
}

#[test]
fn roster_changes_become_events() {
    let mut pair = Pair::joined();
    let entries = room_of(&["ada", "eve"]);
    pair.send_to_client(&ServerPacket::Joined(entries[1]));
    pair.send_to_client(&ServerPacket::State(
        entries[1].id,
        ParticipantFlags::TALKING,
    ));
    pair.send_to_client(&ServerPacket::Left(entries[1].id));
    let events = pair.client_events();
    let [
        ClientEvent::ParticipantJoined(eve),
        ClientEvent::State(talker, ParticipantFlags::TALKING),
        ClientEvent::ParticipantLeft(gone),
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(&*eve.name, "eve");
    assert_eq!((*talker, *gone), (entries[1].id, entries[1].id));
}

#[test]
fn voice_passes_both_ways_once_joined() {
    let mut pair = Pair::joined();
    let heard = pair.send_to_server(&ClientPacket::Voice(say(7, &[1, 2])));
    assert_eq!(heard.map(|(seq, len)| (seq.0, len)), Some((7, 2)));
    let heard = pair.send_to_client(&ServerPacket::Voice(say(9, &[1, 2, 3])));
    assert_eq!(heard.map(|(seq, len)| (seq.0, len)), Some((9, 3)));
}

#[test]
fn voice_before_the_welcome_is_not_played_and_does_no_harm() {
    let mut pair = Pair::new();
    // Still under way from an earlier session on the same serial line.
    assert_eq!(
        pair.send_to_client(&ServerPacket::Voice(say(1, &[1; 640]))),
        None
    );
    pair.send_to_client(&ServerPacket::State(
        ParticipantId(4),
        ParticipantFlags::TALKING,
    ));
    pair.send_to_client(&ServerPacket::Left(ParticipantId(4)));
    pair.send_to_client(&ServerPacket::Joined(room_of(&["old"])[0]));
    assert_eq!(pair.client_events(), []);
    pair.hello();
    pair.server.accept();
    pair.welcome(&["ada"]);
    assert_eq!(pair.client_events().len(), 3);
}

#[test]
fn every_refusal_by_the_caller_reaches_the_client_with_its_text() {
    for reason in RejectReason::ALL {
        let mut pair = Pair::new();
        pair.hello();
        pair.server
            .reject(*reason, format_args!("because of {}", reason.label()));
        pair.pump();
        assert_eq!(pair.client_events(), [ClientEvent::Rejected(*reason)]);
        assert_eq!(
            pair.client.reject_text(),
            format!("because of {}", reason.label())
        );
        assert_eq!(pair.server_events(), [ServerEvent::Refused(*reason)]);
        assert!(pair.client.is_closed() && pair.server.is_closed());
    }
}

#[test]
fn every_hello_that_cannot_be_granted_is_refused_with_its_reason() {
    let good = Hello {
        version: 1,
        room: "kitchen",
        name: "ada",
        codecs: &[0],
        rates_hz: heapless::Vec::from_slice(&[48_000, 16_000]).unwrap(),
        muted: false,
        credentials: &[],
    };
    let (long_name, long_room) = ("n".repeat(33), "r".repeat(65));
    let hello = || good.clone();
    let rates_hz = heapless::Vec::from_slice(&[8_000]).unwrap();
    let credentials = &[7; 65];
    let mut bad = vec![
        (
            RejectReason::Version,
            Hello {
                version: 2,
                ..hello()
            },
        ),
        (
            RejectReason::NoCommonRate,
            Hello {
                rates_hz,
                ..hello()
            },
        ),
        (
            RejectReason::BadCredentials,
            Hello {
                credentials,
                ..hello()
            },
        ),
    ];
    for name in ["", &long_name, "a\x1b[2Jb"] {
        bad.push((RejectReason::BadName, Hello { name, ..hello() }));
    }
    for room in [" ", &long_room] {
        bad.push((RejectReason::BadRoom, Hello { room, ..hello() }));
    }
    for codecs in [&[2, 255][..], &[]] {
        bad.push((RejectReason::NoCommonCodec, Hello { codecs, ..hello() }));
    }
    for (reason, hello) in bad {
        let mut pair = Pair::new();
        pair.send_to_server(&ClientPacket::Hello(hello.clone()));
        assert_eq!(
            pair.server_events(),
            [ServerEvent::Refused(reason)],
            "{hello:?}"
        );
        pair.pump();
        assert_eq!(
            pair.client_events(),
            [ClientEvent::Rejected(reason)],
            "{hello:?}"
        );
        assert!(!pair.client.reject_text().is_empty());
    }
    let mut pair = Pair::new();
    pair.send_to_server(&ClientPacket::Hello(good));
    assert!(matches!(pair.server_events()[..], [ServerEvent::Hello(_)]));
}

#[test]
fn the_first_known_codec_of_the_offer_is_taken() {
    for (codecs, expected) in [
        (&[9, 1, 0][..], CodecId::ImaAdpcm),
        (&[0, 1], CodecId::Pcm16),
        (&[1], CodecId::ImaAdpcm),
    ] {
        let mut pair = Pair::new();
        pair.send_to_server(&ClientPacket::Hello(Hello {
            version: 1,
            room: "r",
            name: "n",
            codecs,
            rates_hz: heapless::Vec::from_slice(&[16_000]).unwrap(),
            muted: true,
            credentials: &[],
        }));
        let [ServerEvent::Hello(hello)] = &pair.server_events()[..] else {
            panic!("no Hello")
        };
        assert_eq!((hello.codec, hello.muted), (expected, true));
    }
}

#[test]
fn a_greeting_of_another_version_is_refused_by_version_even_if_unreadable() {
    // A Hello and a Welcome of version 2 whose further fields this version cannot know.
    let mut pair = Pair::new();
    pair.server
        .handle_packet(pair.now, parse(&[0, 2, 0xff, 0xff]));
    assert_eq!(
        pair.server_events(),
        [ServerEvent::Refused(RejectReason::Version)]
    );
    let mut pair = Pair::new();
    pair.client
        .handle_packet(pair.now, parse(&[0, 2, 0xff, 0xff]));
    assert_eq!(
        pair.client_events(),
        [ClientEvent::Rejected(RejectReason::Version)]
    );
    // A Welcome of version 2 that happens to read like one of version 1.
    let mut pair = Pair::new();
    let mut welcome = Pair::welcome_packet(&["ada"]);
    welcome.version = 2;
    pair.send_to_client(&ServerPacket::Welcome(welcome));
    assert_eq!(
        pair.client_events(),
        [ClientEvent::Rejected(RejectReason::Version)]
    );
}

#[test]
fn a_welcome_that_does_not_match_the_hello_ends_the_session() {
    let good = Pair::welcome_packet(&["ada"]);
    let mut bad = vec![good.clone(); 8];
    bad[0].codec = 1; // Not offered.
    bad[1].codec = 9; // Unknown.
    bad[2].rate_hz = 8_000;
    bad[3].frame_ms = 15;
    bad[4].idle_timeout_ms = 499;
    bad[5].roster_len = 0; // The client itself is in the room.
    bad[5].roster.clear();
    bad[6].roster[0].name = "";
    bad[7].idle_timeout_ms = 499; // That asks for too many Pings.
    for welcome in bad {
        let mut pair = Pair::new();
        pair.send_to_client(&ServerPacket::Welcome(welcome.clone()));
        let events = pair.client_events();
        assert_eq!(
            events.last(),
            Some(&ClientEvent::Closed(ByeReason::ProtocolError)),
            "{welcome:?}"
        );
    }
    let mut hasty = good.clone();
    hasty.idle_timeout_ms = 500;
    for welcome in [good, hasty] {
        let mut pair = Pair::new();
        pair.send_to_client(&ServerPacket::Welcome(welcome));
        assert_eq!(
            pair.client_events().last(),
            Some(&ClientEvent::RosterComplete)
        );
    }
}

#[test]
fn more_roster_than_announced_ends_the_session() {
    let mut pair = Pair::joined();
    let page = heapless::Vec::from_slice(&room_of(&["one more"])).unwrap();
    pair.send_to_client(&ServerPacket::Roster(page));
    assert_eq!(
        pair.client_events(),
        [ClientEvent::Closed(ByeReason::ProtocolError)]
    );
}

#[test]
fn a_second_welcome_starts_afresh() {
    let mut pair = Pair::joined();
    let mut welcome = Pair::welcome_packet(&["bob", "ada"]);
    welcome.id = ParticipantId(99);
    pair.send_to_client(&ServerPacket::Welcome(welcome));
    let events = pair.client_events();
    assert!(
        matches!(events[0], ClientEvent::Joined(params, 2) if params.id == ParticipantId(99)),
        "{events:?}"
    );
    assert_eq!(events.last(), Some(&ClientEvent::RosterComplete));
    assert_eq!(pair.client.params().unwrap().id, ParticipantId(99));
}

#[test]
fn a_hello_in_a_running_session_leaves_and_asks_again() {
    let mut pair = Pair::joined();
    pair.restart_client();
    pair.pump();
    let events = pair.server_events();
    assert!(
        matches!(
            &events[..],
            [
                ServerEvent::Left(ByeReason::Rejoined),
                ServerEvent::Hello(_)
            ]
        ),
        "{events:?}"
    );
    pair.server.accept();
    assert!(pair.server.is_joined());
}

#[test]
fn a_bad_hello_in_a_running_session_leaves_and_is_refused() {
    let mut pair = Pair::joined();
    pair.send_to_server(&ClientPacket::Hello(Hello {
        version: 1,
        room: "r",
        name: "",
        codecs: &[0],
        rates_hz: heapless::Vec::from_slice(&[16_000]).unwrap(),
        muted: false,
        credentials: &[],
    }));
    assert_eq!(
        pair.server_events(),
        [
            ServerEvent::Left(ByeReason::Rejoined),
            ServerEvent::Refused(RejectReason::BadName)
        ]
    );
    assert!(pair.server.is_closed());
}
