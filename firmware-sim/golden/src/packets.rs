//! Packets as they appear in a stream, and how a damaged stream is read.

use talkspurt_core::audio::codec::PAYLOAD_MAX;
use talkspurt_core::carrier::deframer::{BadReason, Deframer, Feed};
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::wire::{
    Bye, ClientPacket, Encode, Hello, Joined, Left, PROTOCOL_VERSION, ParticipantFlags,
    ParticipantId, Reason, Reject, Roster, RosterEntry, RosterPage, ServerPacket, ServerPong,
    SetMuted, State, Text, Voice, Welcome, parse,
};

use crate::Out;
use crate::sound::{Numbers, payload};

/// Every packet of both sides.
pub fn run(out: &mut Out<'_>) {
    write(&ClientPacket::Hello(hello()), out);
    voices(out);
    for after in [None, Some(Seq(300))] {
        let muted = after.is_some();
        write(&ClientPacket::SetMuted(SetMuted { muted, after }), out);
    }
    write(&ClientPacket::RosterRequest, out);
    for number in [0, 127, 128, u32::MAX] {
        write(&ClientPacket::Ping(number), out);
        let (revision, flags) = (number / 2, ParticipantFlags(3));
        write(
            &ServerPacket::Pong(ServerPong {
                number,
                revision,
                flags,
            }),
            out,
        );
    }
    write(&ClientPacket::Bye(Bye::from(Reason::LEAVING)), out);
    write(&ServerPacket::Welcome(welcome()), out);
    write(&ServerPacket::Roster(roster(8)), out);
    changes(out);
    write(
        &ServerPacket::Reject(Reject {
            reason: Reason::NAME_TAKEN,
            version: PROTOCOL_VERSION,
            nonce: [7; 8],
            retry_ms: 5_000,
            text: Text::from("take another name"),
        }),
        out,
    );
    write(&ServerPacket::Bye(Bye::from(Reason(200))), out);
}

fn changes(out: &mut Out<'_>) {
    let (revision, id) = (300, ParticipantId(70_000));
    let entry = RosterEntry::new(id, ParticipantFlags(2), "Zoë");
    write(&ServerPacket::Joined(Joined { revision, entry }), out);
    let reason = Reason::REJOINED;
    write(
        &ServerPacket::Left(Left {
            revision,
            id,
            reason,
        }),
        out,
    );
    let flags = ParticipantFlags(3);
    write(
        &ServerPacket::State(State {
            revision,
            id,
            flags,
        }),
        out,
    );
    write(&ServerPacket::Count(4_096), out);
}

/// Long payloads, with and without zeros, for every path through COBS.
fn voices(out: &mut Out<'_>) {
    let mut bytes = [0; PAYLOAD_MAX];
    for (fill, len) in [(0, 640), (1, 640), (0, 0), (7, 242), (7, 243), (7, 244)] {
        bytes.fill(fill);
        write(&ClientPacket::Voice(voice(1, &bytes[..len])), out);
    }
    for number in 0..4 {
        write(
            &ServerPacket::Voice(voice(number, &payload(number.into()))),
            out,
        );
    }
}

fn voice(seq: u16, payload: &[u8]) -> Voice<'_> {
    Voice {
        seq: Seq(seq.wrapping_sub(1)),
        timestamp: Timestamp(u32::from(seq) * 100_000),
        level: seq as u8,
        stream: seq as u8 % 16,
        terminator: payload.is_empty(),
        payload,
    }
}

fn roster(len: u32) -> Roster<'static> {
    let names = ["ann", "bob", "cem", "Dörte", "eve", "fay", "gus", "hal"];
    let entry =
        |(id, name)| RosterEntry::new(ParticipantId(id * 1_000), ParticipantFlags(id % 4), name);
    Roster {
        revision: 300,
        first: 0,
        total: len,
        entries: RosterPage::from_iter((0..len).zip(names).map(entry)),
    }
}

fn hello() -> Hello<'static> {
    Hello {
        version: PROTOCOL_VERSION,
        nonce: [1, 0, 3, 4, 5, 6, 7, 8],
        max_packet: 352,
        features: 0,
        resume: Some([9; 16]),
        room: "kitchen",
        name: "Zoë",
        codecs_up: &[1, 0],
        codecs_down: &[1],
        rates_hz: [16_000].into_iter().collect(),
        flags: ParticipantFlags::MUTED,
        roster: 1,
        credentials: &[0, 255, 7],
    }
}

fn welcome() -> Welcome {
    Welcome {
        version: PROTOCOL_VERSION,
        nonce: [1, 0, 3, 4, 5, 6, 7, 8],
        max_packet: 1_280,
        features: 0,
        resume: None,
        id: ParticipantId(u32::MAX),
        codec_up: 1,
        codec_down: 1,
        rate_hz: 16_000,
        frame_ms: 20,
        idle_timeout_ms: 15_000,
        revision: 300,
        participants: 200,
    }
}

fn write<P: Encode>(packet: &P, out: &mut Out<'_>) {
    let mut stream = [0; ENCODED_MAX];
    match write_to_stream(packet, &mut stream) {
        Ok(len) => out(&stream[..len]),
        Err(_) => out(b"refused"),
    }
}

/// What happens to a byte on a noisy line.
#[derive(Clone, Copy)]
enum Damage {
    Changed,
    Lost,
    Zero,
}

/// The stream above, damaged in several ways and in chunks of all sizes: what the deframer and the
/// parser make of it.
pub fn damaged(out: &mut Out<'_>) {
    let mut deframer = Deframer::<ENCODED_MAX>::new();
    let mut numbers = Numbers::new(11);
    for (every, damage) in [
        (97, Damage::Changed),
        (211, Damage::Lost),
        (307, Damage::Zero),
        (13, Damage::Zero),
        (503, Damage::Changed),
        (u32::MAX, Damage::Changed),
    ] {
        let (mut chunk, mut len, mut at) = ([0; 32], 0, 0_u32);
        run(&mut |bytes| {
            for &byte in bytes {
                at += 1;
                chunk[len] = match damage {
                    _ if !at.is_multiple_of(every) => byte,
                    Damage::Changed => byte ^ 0x55,
                    Damage::Zero => 0,
                    Damage::Lost => continue,
                };
                len += 1;
                if len == chunk.len() || numbers.below(9) == 0 {
                    take(&mut deframer, &chunk[..len], out);
                    len = 0;
                }
            }
        });
        take(&mut deframer, &chunk[..len], out);
        out(&deframer.dropped_bytes().to_le_bytes());
    }
}

fn take(deframer: &mut Deframer, mut bytes: &[u8], out: &mut Out<'_>) {
    while !bytes.is_empty() {
        let (feed, rest) = deframer.feed(bytes);
        bytes = rest;
        match feed {
            Feed::NeedMore => {}
            Feed::Packet(packet) => {
                let understood = u8::from(parse::<ClientPacket<'_>>(packet).is_ok())
                    | u8::from(parse::<ServerPacket<'_>>(packet).is_ok()) << 1;
                out(&[b'P', understood]);
                out(&(packet.len() as u16).to_le_bytes());
                out(packet);
            }
            Feed::Bad {
                dropped_bytes,
                reason,
            } => {
                let reason = match reason {
                    BadReason::TooLong => 0,
                    BadReason::Encoding => 1,
                    BadReason::Crc => 2,
                    _ => 3,
                };
                out(&[b'B', reason]);
                out(&(dropped_bytes as u16).to_le_bytes());
            }
        }
    }
}
