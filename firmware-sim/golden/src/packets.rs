//! Packets as they appear in a stream, and how a damaged stream is read.

use talkspurt_core::audio::codec::PAYLOAD_MAX;
use talkspurt_core::carrier::deframer::{BadReason, Deframer, Feed};
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::seq::Seq;
use talkspurt_core::wire::{
    ByeReason, ClientPacket, Hello, PROTOCOL_VERSION, ParticipantFlags, ParticipantId,
    RejectReason, RosterEntry, RosterPage, ServerPacket, Voice, Welcome, parse,
};

use crate::Out;
use crate::sound::{Numbers, payload};

/// Every packet of both sides.
pub fn run(out: &mut Out<'_>) {
    let hello = |out: &mut Out<'_>| {
        let mut hello = Hello {
            version: PROTOCOL_VERSION,
            room: "kitchen",
            name: "Zoë",
            codecs: &[1, 0],
            rates_hz: Default::default(),
            muted: true,
            credentials: &[0, 255, 7],
        };
        // There is room for eight.
        let _ = hello.rates_hz.push(16_000);
        write(&ClientPacket::Hello(hello), out);
    };
    hello(out);
    voices(out);
    write(&ClientPacket::SetMuted(false), out);
    for number in [0, 127, 128, u32::MAX] {
        write(&ClientPacket::Ping(number), out);
        write(&ServerPacket::Pong(number), out);
    }
    write(&ClientPacket::Bye(ByeReason::Leaving), out);
    write(&ServerPacket::Welcome(welcome()), out);
    write(&ServerPacket::Roster(roster(8)), out);
    write(
        &ServerPacket::Reject(RejectReason::NameTaken, "take another name"),
        out,
    );
    write(&ServerPacket::Left(ParticipantId(300)), out);
    write(
        &ServerPacket::State(ParticipantId(2), ParticipantFlags(3)),
        out,
    );
    write(&ServerPacket::Bye(ByeReason::Other(200)), out);
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
        timestamp_frames: u32::from(seq) * 100_000,
        terminator: payload.is_empty(),
        payload,
    }
}

fn roster(len: u16) -> RosterPage<'static> {
    let names = ["ann", "bob", "cem", "Dörte", "eve", "fay", "gus", "hal"];
    (0..len)
        .zip(names)
        .map(|(id, name)| RosterEntry {
            id: ParticipantId(id * 1_000),
            flags: ParticipantFlags(id as u8 % 4),
            name,
        })
        .collect()
}

fn welcome() -> Welcome<'static> {
    Welcome {
        version: PROTOCOL_VERSION,
        id: ParticipantId(u16::MAX),
        codec: 1,
        rate_hz: 16_000,
        frame_ms: 20,
        idle_timeout_ms: 15_000,
        roster_len: 200,
        roster: roster(3),
    }
}

fn write<P: serde::Serialize>(packet: &P, out: &mut Out<'_>) {
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
