//! The bytes of every packet are those that postcard writes for the same fields. Our reader is
//! stricter, but the format is the same.

use crate::common::cases::cases;
use crate::common::packets::{client_packet, server_packet};
use crate::common::session_pair::bytes_of;
use ::postcard::to_allocvec;
use proptest::prelude::*;
use talkspurt_core::seq::Seq;
use talkspurt_core::wire::{Bye, ClientPacket, RosterEntry, ServerPacket, Voice};

type Written = ::postcard::Result<Vec<u8>>;

fn bytes<const N: usize>(bytes: &Option<[u8; N]>) -> &[u8] {
    bytes.as_ref().map_or(&[], |bytes| bytes)
}

fn after(seq: Option<Seq>) -> Option<[u8; 2]> {
    seq.map(|seq| seq.0.to_le_bytes())
}

fn voice(voice: &Voice<'_>) -> Written {
    let (seq, timestamp) = (voice.seq.0.to_le_bytes(), voice.timestamp.0.to_le_bytes());
    let marks = u8::from(voice.terminator) << 7 | voice.stream;
    to_allocvec(&(3u8, seq, timestamp, voice.level, marks, voice.payload))
}

fn bye(bye: &Bye<'_>) -> Written {
    let after = after(bye.after);
    to_allocvec(&(7u8, bye.reason.0, after, bye.retry_ms, bye.text.0))
}

fn entry(entry: &RosterEntry<'_>) -> Vec<u8> {
    let pseudonym = bytes(&entry.pseudonym);
    to_allocvec(&(entry.id.0, entry.flags.0, entry.name.0, pseudonym)).unwrap()
}

fn client(packet: &ClientPacket<'_>) -> Written {
    match packet {
        ClientPacket::Hello(hello) => {
            let whole = (0u8, hello.version, hello.nonce, hello.max_packet);
            let session = (hello.features, bytes(&hello.resume), hello.room, hello.name);
            let offers = (hello.codecs_up, hello.codecs_down, &hello.rates_hz[..]);
            let rest = (hello.flags.0, hello.roster, hello.credentials);
            to_allocvec(&(whole, session, offers, rest))
        }
        ClientPacket::Voice(packet) => voice(packet),
        ClientPacket::SetMuted(muted) => to_allocvec(&(4u8, muted.muted, after(muted.after))),
        ClientPacket::Ping(number) => to_allocvec(&(5u8, number)),
        ClientPacket::Pong(number) => to_allocvec(&(6u8, number)),
        ClientPacket::Bye(packet) => bye(packet),
        ClientPacket::DelayReport(report) => to_allocvec(&(0x48u8, report.delay_ms.to_le_bytes())),
        ClientPacket::RosterRequest => to_allocvec(&8u8),
    }
}

fn server(packet: &ServerPacket<'_>) -> Written {
    match packet {
        ServerPacket::Reject(reject) => {
            let head = (1u8, reject.reason.0, reject.version, reject.nonce);
            to_allocvec(&(head, reject.retry_ms, reject.text.0))
        }
        ServerPacket::Welcome(welcome) => {
            let head = (2u8, welcome.version, welcome.nonce, welcome.max_packet);
            let session = (welcome.features, bytes(&welcome.resume), welcome.id.0);
            let voice = (welcome.codec_up, welcome.codec_down, welcome.rate_hz);
            let times = (welcome.frame_ms, welcome.idle_timeout_ms);
            let room = (welcome.revision, welcome.participants);
            to_allocvec(&(head, session, voice, times, room))
        }
        ServerPacket::Voice(packet) => voice(packet),
        ServerPacket::Ping(number) => to_allocvec(&(5u8, number)),
        ServerPacket::Pong(pong) => to_allocvec(&(6u8, pong.number, pong.revision, pong.flags.0)),
        ServerPacket::Bye(packet) => bye(packet),
        ServerPacket::Roster(page) => {
            let entries: Vec<Vec<u8>> = page.entries.iter().map(entry).collect();
            to_allocvec(&(9u8, page.revision, page.first, page.total, entries))
        }
        ServerPacket::Joined(joined) => to_allocvec(&(10u8, joined.revision, entry(&joined.entry))),
        ServerPacket::Left(left) => to_allocvec(&(11u8, left.revision, left.id.0, left.reason.0)),
        ServerPacket::State(state) => {
            to_allocvec(&(12u8, state.revision, state.id.0, state.flags.0))
        }
        ServerPacket::Count(participants) => to_allocvec(&(13u8, participants)),
        ServerPacket::DelayReport(report) => to_allocvec(&(0x48u8, report.delay_ms.to_le_bytes())),
        ServerPacket::TickHint(hint) => {
            let (seq, shift_us) = (hint.seq.0.to_le_bytes(), hint.shift_us.to_le_bytes());
            to_allocvec(&(0x47u8, seq, shift_us))
        }
    }
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn every_packet_is_written_as_postcard_writes_it(
        of_client in client_packet(),
        of_server in server_packet(),
    ) {
        let packet = of_client.borrow();
        prop_assert_eq!(Ok(bytes_of(&packet)), client(&packet));
        let packet = of_server.borrow();
        prop_assert_eq!(Ok(bytes_of(&packet)), server(&packet));
    }
}
