//! The handshake: the two ends of a session against each other, on virtual time.

use crate::common::session_pair::{
    NONCE, Pair, REVISION, bytes_of, closed, pages, reject, rejected, room_of, say,
};
use talkspurt_core::audio::codec::CodecId;
use talkspurt_core::seq::Seq;
use talkspurt_core::session::{ClientEvent, ServerEvent};
use talkspurt_core::time::Duration;
use talkspurt_core::wire::{
    Bye, ClientPacket, Hello, Joined, Left, NO_NONCE, PROTOCOL_VERSION, ParticipantFlags,
    ParticipantId, Reason, ServerPacket, State, Text, parse,
};

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn a_client_joins_and_is_told_who_is_there() {
    let mut pair = Pair::new();
    let hello = pair.hello();
    assert_eq!((&*hello.room, &*hello.name), ("kitchen", "ada"));
    assert_eq!(
        (hello.codec_up, hello.codec_down),
        (CodecId::Pcm16, CodecId::Pcm16)
    );
    assert_eq!((hello.muted, hello.roster), (false, true));
    assert_eq!(
        (hello.nonce, hello.max_packet, hello.resume),
        (NONCE, 1_280, None)
    );
    assert!(!pair.server.is_joined(), "the caller has not decided yet");
    pair.server.accept();
    pair.welcome(&["ada", "bob"]);
    let events = pair.client_events();
    let [
        ClientEvent::Joined(params, 2),
        ClientEvent::Listed {
            participant: ada,
            is_first: true,
        },
        ClientEvent::Listed {
            participant: bob,
            is_first: false,
        },
        ClientEvent::RosterComplete,
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((&*ada.name, &*bob.name), ("ada", "bob"));
    assert_eq!(
        (params.codec_up, params.format.frame_samples()),
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
            ClientEvent::Listed { participant, .. } => Some(&*participant.name),
            _ => None,
        })
        .collect();
    assert_eq!(listed, names);
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
    let (revision, id) = (REVISION + 1, ParticipantId(4));
    let (flags, reason) = (ParticipantFlags::TALKING, Reason::LEAVING);
    for packet in [
        ServerPacket::State(State {
            revision,
            id,
            flags,
        }),
        ServerPacket::Left(Left {
            revision,
            id,
            reason,
        }),
        ServerPacket::Joined(Joined {
            revision,
            entry: room_of(&["old"])[0],
        }),
        ServerPacket::Roster(pages(&["old"], revision).remove(0)),
        ServerPacket::Count(1),
        ServerPacket::Bye(Bye::from(Reason::FLOOD)),
        reject(Reason::ROOM_FULL, [9; 8]),
    ] {
        pair.send_to_client(&packet);
    }
    let mut welcome = Pair::welcome_packet(&["old"]);
    welcome.nonce = [9; 8];
    pair.send_to_client(&ServerPacket::Welcome(welcome));
    assert_eq!(pair.client_events(), []);
    pair.hello();
    pair.server.accept();
    pair.welcome(&["ada"]);
    assert_eq!(pair.client_events().len(), 3);
}

#[test]
fn every_refusal_of_the_caller_reaches_the_client_with_its_text() {
    for &reason in Reason::ALL {
        let mut pair = Pair::new();
        pair.hello();
        pair.server
            .end(reason, &format!("because of {}", reason.label()));
        pair.pump();
        assert_eq!(pair.client_events(), [rejected(reason)]);
        assert_eq!(
            pair.client.closing_text(),
            format!("because of {}", reason.label())
        );
        assert_eq!(pair.server_events(), [ServerEvent::Refused(reason)]);
        assert!(pair.client.is_closed() && pair.server.is_closed());
    }
}

fn good_hello() -> Hello<'static> {
    Hello {
        version: PROTOCOL_VERSION,
        nonce: NONCE,
        max_packet: 1_280,
        features: 0,
        resume: None,
        room: "kitchen",
        name: "ada",
        codecs_up: &[0],
        codecs_down: &[0],
        rates_hz: heapless::Vec::from_slice(&[48_000, 16_000]).unwrap(),
        flags: ParticipantFlags::MUTED,
        roster: 1,
        credentials: &[],
    }
}

#[test]
fn every_hello_that_cannot_be_granted_is_refused_with_its_reason() {
    // What comes first in docs/PROTOCOL.md is the answer: each lacks all that those behind it do.
    let mut bad = Vec::new();
    let mut hello = good_hello();
    for codecs in [&[2, 255][..], &[]] {
        (hello.codecs_up, hello.codecs_down) = (&[0], codecs);
        bad.push((Reason::NO_CODEC, hello.clone()));
        (hello.codecs_up, hello.codecs_down) = (codecs, &[0]);
        bad.push((Reason::NO_CODEC, hello.clone()));
    }
    hello.rates_hz = heapless::Vec::from_slice(&[8_000]).unwrap();
    bad.push((Reason::NO_RATE, hello.clone()));
    hello.max_packet = 351;
    bad.push((Reason::MAX_PACKET, hello.clone()));
    hello.version = 3;
    bad.push((Reason::VERSION, hello));
    for (reason, hello) in bad {
        let mut pair = Pair::new();
        pair.send_to_server(&ClientPacket::Hello(hello.clone()));
        let refused = [ServerEvent::Refused(reason)];
        assert_eq!(pair.server_events(), refused, "{hello:?}");
        pair.pump();
        assert_eq!(pair.client_events(), [rejected(reason)], "{hello:?}");
        assert!(!pair.client.closing_text().is_empty());
    }
    let mut pair = Pair::new();
    pair.send_to_server(&ClientPacket::Hello(good_hello()));
    assert!(matches!(pair.server_events()[..], [ServerEvent::Hello(_)]));
}

#[test]
fn any_roster_but_0_is_the_list() {
    for (roster, wants_list) in [(0, false), (1, true), (2, true), (255, true)] {
        let mut pair = Pair::new();
        let hello = Hello {
            roster,
            ..good_hello()
        };
        pair.send_to_server(&ClientPacket::Hello(hello));
        let [ServerEvent::Hello(hello)] = &pair.server_events()[..] else {
            panic!("no Hello")
        };
        assert_eq!(hello.roster, wants_list, "{roster}");
    }
}

#[test]
fn a_server_that_takes_less_than_352_bytes_is_none() {
    for (max_packet, is_taken) in [(351, false), (352, true)] {
        let mut pair = Pair::new();
        let mut welcome = Pair::welcome_packet(&["ada"]);
        // A frame of 5 ms would fit either.
        (welcome.frame_ms, welcome.max_packet) = (5, max_packet);
        pair.client.poll_transmit();
        pair.send_to_client(&ServerPacket::Welcome(welcome));
        assert_eq!(pair.client.params().is_some(), is_taken, "{max_packet}");
    }
}

#[test]
fn what_is_too_long_is_left_to_the_caller_to_refuse_in_its_turn() {
    let mut pair = Pair::new();
    let (room, name) = ("r".repeat(65), "n".repeat(33));
    pair.send_to_server(&ClientPacket::Hello(Hello {
        room: &room,
        name: &name,
        credentials: &[7; 65],
        ..good_hello()
    }));
    let [ServerEvent::Hello(hello)] = &pair.server_events()[..] else {
        panic!("no Hello")
    };
    assert_eq!((&*hello.room, &*hello.name), ("", ""));
    assert_eq!(hello.credentials, None);
}

#[test]
fn the_first_known_codec_of_each_offer_that_fits_is_taken() {
    let (adpcm, pcm16) = (CodecId::ImaAdpcm, CodecId::Pcm16);
    for (up, down, max_packet, expected) in [
        (&[9, 1, 0][..], &[0, 1][..], 1_280, (adpcm, pcm16)),
        (&[0, 1], &[1], 1_280, (pcm16, adpcm)),
        // 651 bytes are a frame of PCM16.
        (&[0, 1], &[0, 1], 651, (pcm16, pcm16)),
        (&[0, 1], &[0, 1], 650, (adpcm, adpcm)),
    ] {
        let mut pair = Pair::new();
        pair.send_to_server(&ClientPacket::Hello(Hello {
            codecs_up: up,
            codecs_down: down,
            max_packet,
            ..good_hello()
        }));
        let [ServerEvent::Hello(hello)] = &pair.server_events()[..] else {
            panic!("no Hello")
        };
        assert_eq!((hello.codec_up, hello.codec_down), expected);
        assert_eq!((hello.max_packet, hello.muted), (max_packet, true));
    }
}

#[test]
fn rates_that_the_server_does_not_know_are_ignored() {
    for (rates, is_good) in [
        (&[44_100, 0, 16_001, 96_000, 16_000][..], true),
        (&[44_100, 15_999, u32::MAX], false),
        (&[], false),
    ] {
        let mut pair = Pair::new();
        pair.send_to_server(&ClientPacket::Hello(Hello {
            rates_hz: rates.iter().copied().collect(),
            ..good_hello()
        }));
        let events = pair.server_events();
        assert_eq!(
            matches!(events[..], [ServerEvent::Hello(_)]),
            is_good,
            "{rates:?}"
        );
    }
}

#[test]
fn a_greeting_of_another_version_is_refused_by_version_even_if_unreadable() {
    // A Hello and a Welcome of version 3 whose further fields this version cannot know.
    let mut pair = Pair::new();
    let hello = [&[0, 3][..], &NONCE, &[0xff; 4]].concat();
    pair.server.handle_packet(pair.now, parse(&hello));
    assert_eq!(
        pair.server_events(),
        [ServerEvent::Refused(Reason::VERSION)]
    );
    // The answer names the Hello.
    pair.pump();
    assert_eq!(pair.client_events(), [rejected(Reason::VERSION)]);
    let mut pair = Pair::new();
    let welcome = [&[2, 3][..], &NONCE, &[0xff; 4]].concat();
    pair.client.handle_packet(pair.now, parse(&welcome));
    assert_eq!(pair.client_events(), [rejected(Reason::VERSION)]);
    // Those that answer no Hello of this client's mean nothing, in a session neither.
    for nonce in [[9; 8], NO_NONCE, NONCE] {
        for mut pair in [Pair::new(), Pair::joined()] {
            if nonce != NONCE || pair.client.params().is_some() {
                let welcome = [&[2, 3][..], &nonce, &[0xff; 4]].concat();
                pair.client.handle_packet(pair.now, parse(&welcome));
                assert_eq!(pair.client_events(), []);
                assert!(!pair.client.is_closed());
            }
        }
    }
    // A Welcome of version 3 that happens to read like one of version 2.
    let mut pair = Pair::new();
    let mut welcome = Pair::welcome_packet(&["ada"]);
    welcome.version = 3;
    pair.send_to_client(&ServerPacket::Welcome(welcome));
    assert_eq!(pair.client_events(), [rejected(Reason::VERSION)]);
}

#[test]
fn a_welcome_that_does_not_match_the_hello_ends_the_session() {
    let good = Pair::welcome_packet(&["ada"]);
    let mut bad = vec![good; 12];
    bad[0].codec_up = 1; // Not offered.
    bad[1].codec_down = 1;
    bad[2].codec_down = 9; // Unknown.
    bad[3].rate_hz = 8_000;
    bad[4].frame_ms = 15;
    bad[5].idle_timeout_ms = 499; // It would be pinged away.
    bad[6].participants = 0; // One is in the room oneself.
    bad[7].revision = 0;
    bad[8].max_packet = 351;
    bad[9].max_packet = 650; // PCM16 does not fit.
    bad[10].idle_timeout_ms = 0;
    bad[11].id = ParticipantId(0); // Nobody.
    for welcome in bad {
        let mut pair = Pair::new();
        pair.send_to_client(&ServerPacket::Welcome(welcome));
        assert_eq!(
            pair.client_events(),
            [closed(Reason::UNEXPECTED)],
            "{welcome:?}"
        );
    }
    let mut hasty = good;
    hasty.idle_timeout_ms = 500;
    for welcome in [good, hasty] {
        let mut pair = Pair::new();
        pair.send_to_client(&ServerPacket::Welcome(welcome));
        assert!(matches!(
            pair.client_events()[..],
            [ClientEvent::Joined(_, 1)]
        ));
    }
}

#[test]
fn a_reject_counts_if_it_names_this_hello_or_none() {
    for (nonce, counts) in [(NONCE, true), (NO_NONCE, true), ([9; 8], false)] {
        for mut pair in [Pair::new(), Pair::joined()] {
            pair.send_to_client(&reject(Reason::NO_SESSION, nonce));
            let expected = counts.then(|| rejected(Reason::NO_SESSION));
            assert_eq!(pair.client_events(), Vec::from_iter(expected));
            assert_eq!(pair.client.is_closed(), counts);
        }
    }
}

#[test]
fn nobody_is_asked_to_wait_for_more_than_a_minute() {
    let mut pair = Pair::new();
    let ServerPacket::Reject(reject) = reject(Reason::ROOM_FULL, NONCE) else {
        unreachable!()
    };
    let text = Text(b"come next year");
    let retry_ms = u32::MAX;
    let reject = talkspurt_core::wire::Reject {
        retry_ms,
        text,
        ..reject
    };
    pair.send_to_client(&ServerPacket::Reject(reject));
    let expected = ClientEvent::Rejected(Reason::ROOM_FULL, MS(60_000));
    assert_eq!(pair.client_events(), [expected]);
    assert_eq!(pair.client.closing_text(), "come next year");
}

#[test]
fn a_hello_without_an_answer_goes_again_and_is_the_same_one() {
    let mut pair = Pair::new();
    let first = pair.hello();
    pair.server.accept();
    for _ in 0..3 {
        // The Welcome is lost.
        assert_eq!(pair.client.poll_timeout(), Some(pair.now + MS(1_000)));
        pair.now += MS(1_000);
        pair.client.handle_timeout(pair.now);
        pair.pump();
        assert_eq!(pair.server_events(), [ServerEvent::Repeated]);
    }
    assert_eq!(first.nonce, NONCE);
    pair.welcome(&["ada"]);
    assert_eq!(pair.client_events().len(), 3);
}

#[test]
fn a_second_welcome_of_the_session_only_brings_the_roster_again() {
    let mut pair = Pair::joined();
    let mut welcome = Pair::welcome_packet(&["ada", "bob"]);
    (welcome.id, welcome.revision) = (ParticipantId(99), REVISION + 9);
    pair.send_to_client(&ServerPacket::Welcome(welcome));
    assert_eq!(pair.client_events(), []);
    for page in pages(&["ada", "bob"], REVISION + 9) {
        pair.send_to_client(&ServerPacket::Roster(page));
    }
    assert_eq!(
        pair.client_events().last(),
        Some(&ClientEvent::RosterComplete)
    );
    assert_eq!(pair.client.params().unwrap().id, ParticipantId(1));
    // One that answers another Hello changes nothing at all.
    welcome.nonce = [9; 8];
    pair.send_to_client(&ServerPacket::Welcome(welcome));
    assert_eq!(pair.client_events(), []);
}

#[test]
fn another_hello_on_a_running_session_leaves_and_asks_anew() {
    let mut pair = Pair::joined();
    pair.restart_client();
    pair.pump();
    let events = pair.server_events();
    let [
        ServerEvent::Left(Reason::REJOINED, None),
        ServerEvent::Hello(hello),
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(hello.nonce, [8; 8]);
    pair.server.accept();
    assert!(pair.server.is_joined());
}

#[test]
fn a_bad_hello_on_a_running_session_leaves_and_is_refused() {
    let mut pair = Pair::joined();
    pair.send_to_server(&ClientPacket::Hello(Hello {
        nonce: [8; 8],
        codecs_up: &[],
        ..good_hello()
    }));
    assert_eq!(
        pair.server_events(),
        [
            ServerEvent::Left(Reason::REJOINED, None),
            ServerEvent::Refused(Reason::NO_CODEC)
        ]
    );
    assert!(pair.server.is_closed());
}

#[test]
fn a_hello_of_another_version_in_a_session_is_refused_by_its_nonce() {
    let mut pair = Pair::joined();
    pair.bytes_to_server(&[&[0, 3][..], &[8; 8], &[0xff; 4]].concat());
    let left = ServerEvent::Left(Reason::REJOINED, None);
    let refused = ServerEvent::Refused(Reason::VERSION);
    assert_eq!(pair.server_events(), [left, refused]);
    let Some(ServerPacket::Reject(reject)) = pair.next_of_server() else {
        panic!("no Reject")
    };
    assert_eq!((reject.reason, reject.nonce), (Reason::VERSION, [8; 8]));
    assert_eq!(pair.next_of_server(), None);
}

#[test]
fn a_pong_outside_a_session_says_nothing_of_a_room() {
    let mut pair = Pair::new();
    pair.send_to_server(&ClientPacket::Ping(7));
    let Some(ServerPacket::Pong(pong)) = pair.next_of_server() else {
        panic!("no Pong")
    };
    assert_eq!((pong.number, pong.revision, pong.flags.0), (7, 0, 0));
    let mut pair = Pair::joined();
    let (muted, after) = (true, Some(Seq(7)));
    let set_muted = talkspurt_core::wire::SetMuted { muted, after };
    pair.send_to_server(&ClientPacket::SetMuted(set_muted));
    pair.send_to_server(&ClientPacket::Ping(7));
    let Some(ServerPacket::Pong(pong)) = pair.next_of_server() else {
        panic!("no Pong")
    };
    // The roster may still say otherwise, while what was said before is played out.
    assert_eq!(
        (pong.revision, pong.flags),
        (REVISION, ParticipantFlags::MUTED)
    );
}

#[test]
fn a_pong_tells_what_the_server_was_told_of_the_microphone_last() {
    let mut pair = Pair::new();
    pair.client.set_muted(true, None);
    pair.client.begin(Duration::from_secs(5), NONCE, pair.now);
    let Some(ClientPacket::Hello(hello)) = pair.client.poll_transmit() else {
        panic!("no Hello")
    };
    let (hello, mut repeated) = (hello.clone(), hello);
    repeated.flags = ParticipantFlags::default();
    let mute = |muted| {
        let after = None;
        ClientPacket::SetMuted(talkspurt_core::wire::SetMuted { muted, after })
    };
    let mut again = repeated.clone();
    again.nonce = [8; 8];
    let packets = [
        (ClientPacket::Hello(hello), true),
        (ClientPacket::Hello(repeated), true),
        (mute(false), false),
        (mute(true), true),
        (ClientPacket::Hello(again), false),
    ]
    .map(|(packet, muted)| (bytes_of(&packet), muted));
    for (packet, muted) in packets {
        pair.bytes_to_server(&packet);
        if let Some(ServerEvent::Hello(_)) = pair.server_events().last() {
            pair.server.accept();
        }
        pair.send_to_server(&ClientPacket::Ping(1));
        let Some(ServerPacket::Pong(pong)) = pair.next_of_server() else {
            panic!("no Pong")
        };
        assert_eq!(pong.flags.has(ParticipantFlags::MUTED), muted);
    }
}
