use super::*;
use crate::audio::codec::PAYLOAD_MAX;
use crate::carrier::stream::{ENCODED_MAX, enclose, encoded_len_max};
use crate::seq::{Seq, Timestamp};

fn client(packet: &[u8]) -> Result<ClientPacket<'_>, ParseError> {
    parse(packet)
}

fn server(packet: &[u8]) -> Result<ServerPacket<'_>, ParseError> {
    parse(packet)
}

fn voice(payload: &[u8]) -> Voice<'_> {
    Voice {
        seq: Seq(u16::MAX),
        timestamp: Timestamp(u32::MAX),
        level: 255,
        stream: 15,
        terminator: true,
        payload,
    }
}

#[test]
fn voice_overhead_is_what_the_link_budget_assumes() {
    let mut out = [0; ENCODED_MAX];
    let len = encode(&ClientPacket::Voice(voice(&[1; 163])), &mut out).unwrap();
    let len = enclose(&mut out, len).unwrap();
    // 163 payload + 1 number + 2 seq + 4 timestamp + 1 level + 1 marks + 2 length + 4 CRC + 1 COBS
    // + 1 end
    assert_eq!(len, 180);
    assert_eq!(out[..len].iter().position(|&b| b == 0), Some(len - 1));
}

#[test]
fn the_longest_packets_fit() {
    let longest = encode(
        &ServerPacket::Voice(voice(&[1; PAYLOAD_MAX])),
        &mut [0; 2_000],
    );
    assert_eq!(longest, Ok(PAYLOAD_MAX + AROUND_PAYLOAD_BYTES));
    let name = "n".repeat(NAME_BYTES_MAX);
    let mut entry = RosterEntry::new(ParticipantId(u32::MAX), ParticipantFlags(u32::MAX), &name);
    entry.pseudonym = Some([1; 8]);
    let packet = ServerPacket::Roster(Roster {
        revision: u32::MAX,
        first: u32::MAX,
        total: u32::MAX,
        entries: RosterPage::from_slice(&[entry; 6]).unwrap(),
    });
    let mut small = [0; encoded_len_max(PACKET_BYTES_LEAST)];
    let len = encode(&packet, &mut small).unwrap();
    let entries = 6 * (RosterEntry::BYTES_AROUND_NAME + NAME_BYTES_MAX);
    assert_eq!(len, 1 + 3 * 5 + 1 + entries);
    assert!(enclose(&mut small, len).is_some());
    let too_small = encode(&ServerPacket::Ping(7), &mut [0; 1]);
    assert_eq!(too_small, Err(EncodeError));
    // An entry has a length of one byte.
    for (name_len, encoded) in [
        (123, Ok(2 + 128)),
        (124, Err(EncodeError)),
        (128, Err(EncodeError)),
    ] {
        let name = "n".repeat(name_len);
        let entry = RosterEntry::new(ParticipantId(1), ParticipantFlags(0), &name);
        let packet = ServerPacket::Joined(Joined { revision: 1, entry });
        assert_eq!(encode(&packet, &mut [0; 300]), encoded, "{name_len}");
    }
}

#[test]
fn numbers_have_classes() {
    assert_eq!(client(&[5, 7]), Ok(ClientPacket::Ping(7)));
    assert_eq!(
        client(&[5, 7, 0]),
        Ok(ClientPacket::Ping(7)),
        "a later field"
    );
    assert_eq!(client(&[]), Err(ParseError::Malformed));
    for number in 0..=u8::MAX {
        let class = match number {
            0..=0x3f => ParseError::Unknown,
            0x40..=0x7e => ParseError::Skippable,
            0x7f.. => ParseError::Malformed,
        };
        if !matches!(number, 0 | 3..=8 | 0x48) {
            assert_eq!(client(&[number, 2]).err(), Some(class));
        }
        if !matches!(number, 1..=7 | 9..=0x0d | 0x47 | 0x48) || number == 4 {
            assert_eq!(server(&[number, 2]).err(), Some(class));
        }
    }
}

#[test]
fn a_greeting_of_another_version_is_told_by_it() {
    let nonce = [1, 2, 3, 4, 5, 6, 7, 8];
    let version = |theirs, nonce| Some(ParseError::Version { theirs, nonce });
    let hello = [&[0, 3][..], &nonce, &[99]].concat();
    assert_eq!(client(&hello).err(), version(3, nonce));
    assert_eq!(client(&hello[..9]).err(), version(3, NO_NONCE));
    let old = [&[0, 1][..], &nonce].concat();
    assert_eq!(client(&old).err(), version(1, NO_NONCE), "it has no nonce");
    let malformed = Some(ParseError::Malformed);
    assert_eq!(client(&[0, PROTOCOL_VERSION, 99]).err(), malformed);
    assert_eq!(client(&[0]).err(), malformed);
    assert_eq!(server(&[2, 3]).err(), version(3, NO_NONCE));
    assert_eq!(server(&[0, 3]).err(), Some(ParseError::Unknown), "a Hello");
}

const BARE_HELLO: [u8; 24] = [
    0, 2, 1, 1, 1, 1, 1, 1, 1, 1, 0xe0, 2, 0, 0, 1, b'r', 1, b'n', 0, 0, 0, 0, 0, 0,
];

#[test]
fn an_entry_that_is_cut_short_within_its_length_is_malformed() {
    let joined = |entry: &[u8]| {
        let len = entry.len() as u8;
        [&[0x0a, 1, len], entry].concat()
    };
    let entry = &[7, 0, 1, b'n', 0];
    assert!(server(&joined(entry)).is_ok());
    assert!(
        server(&joined(&[&entry[..], &[9]].concat())).is_ok(),
        "a later field"
    );
    for len in 0..entry.len() {
        let cut = joined(&entry[..len]);
        assert_eq!(server(&cut).err(), Some(ParseError::Malformed), "{len}");
        // What comes behind it is no part of it.
        let page = [&[9, 1, 0, 2, 2][..], &cut[2..], &joined(entry)[2..]].concat();
        assert_eq!(server(&page).err(), Some(ParseError::Malformed), "{len}");
    }
}

#[test]
fn marks_that_are_not_known_are_neither_written_nor_read() {
    let mut out = [0; 64];
    let loud = Voice {
        stream: 0xff,
        terminator: false,
        ..voice(&[1])
    };
    let len = encode(&ClientPacket::Voice(loud), &mut out).unwrap();
    assert_eq!(out[8], 0x0f);
    out[8] = 0x70;
    let Ok(ClientPacket::Voice(read)) = client(&out[..len]) else {
        panic!("voice")
    };
    assert_eq!((read.stream, read.terminator), (0, false));
}

#[test]
fn a_hello_without_a_nonce_and_a_bye_that_says_too_much_are_malformed() {
    let hello = |nonce: Nonce, codecs: &[u8]| {
        let head = [&[0, 2][..], &nonce, &[0xe0, 2, 0, 0, 1, b'r', 1, b'n']].concat();
        let len = codecs.len() as u8;
        [&head[..], &[len], codecs, &[len], codecs, &[0, 0, 0, 0]].concat()
    };
    assert!(client(&hello([1; 8], &[1; 8])).is_ok());
    for (up, down) in [(8, 9), (9, 8)] {
        let Ok(ClientPacket::Hello(mut offers)) = client(&BARE_HELLO) else {
            panic!("a Hello")
        };
        (offers.codecs_up, offers.codecs_down) = (&[1; 9][..up], &[1; 9][..down]);
        let mut out = [0; 64];
        let len = encode(&ClientPacket::Hello(offers), &mut out).unwrap();
        assert_eq!(client(&out[..len]).err(), Some(ParseError::Malformed));
    }
    let malformed = Some(ParseError::Malformed);
    assert_eq!(client(&hello(NO_NONCE, &[1])).err(), malformed);
    assert_eq!(client(&hello([1; 8], &[1; 9])).err(), malformed);
    let bye = |text: &[u8]| {
        let len = match text.len() as u8 {
            len @ 0x80.. => &[len, 1][..],
            len => &[len],
        };
        [&[7, 0, 0, 0][..], len, text].concat()
    };
    for (text, is_good) in [
        (&[b'x'; 160][..], true),
        (&[b'x'; 161], false),
        (&[0xc3, 0x28], false),
    ] {
        assert_eq!(client(&bye(text)).is_ok(), is_good, "{text:?}");
        assert!(server(&bye(text)).is_ok(), "a client cuts and mends it");
    }
}

#[test]
fn flags_are_bits() {
    let both = ParticipantFlags::TALKING.with(ParticipantFlags::MUTED, true);
    assert!(both.has(ParticipantFlags::TALKING) && both.has(ParticipantFlags::MUTED));
    let muted = both.with(ParticipantFlags::TALKING, false);
    assert_eq!(muted, ParticipantFlags::MUTED);
    assert_eq!(both.with(ParticipantFlags::TALKING, true), both);
    assert!(!ParticipantFlags::MUTED.has(ParticipantFlags::TALKING));
    assert!(!ParticipantFlags::MUTED.has(both), "half of them");
}
