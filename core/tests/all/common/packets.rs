//! Arbitrary packets for property tests. They are owned, because packets borrow their texts and
//! payloads.

use proptest::collection::vec;
use proptest::prelude::*;
use talkspurt_core::seq::Seq;
use talkspurt_core::wire::{
    ByeReason, ClientPacket, Hello, ParticipantFlags, ParticipantId, RejectReason, RosterEntry,
    ServerPacket, Voice, Welcome,
};

#[derive(Clone, Debug)]
pub struct OwnedHello {
    version: u8,
    room: String,
    name: String,
    codecs: Vec<u8>,
    rates_hz: Vec<u32>,
    muted: bool,
    credentials: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct OwnedVoice {
    seq: u16,
    timestamp_frames: u32,
    terminator: bool,
    payload: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct OwnedEntry {
    id: u16,
    flags: u8,
    name: String,
}

#[derive(Clone, Debug)]
pub enum OwnedClientPacket {
    Hello(OwnedHello),
    Voice(OwnedVoice),
    SetMuted(bool),
    Ping(u32),
    Pong(u32),
    Bye(u8),
}

#[derive(Clone, Debug)]
pub enum OwnedServerPacket {
    Welcome(u8, u16, u8, u32, u8, u32, u16, Vec<OwnedEntry>),
    Reject(u8, String),
    Voice(OwnedVoice),
    Roster(Vec<OwnedEntry>),
    Joined(OwnedEntry),
    Left(u16),
    State(u16, u8),
    Ping(u32),
    Pong(u32),
    Bye(u8),
}

impl OwnedVoice {
    fn borrow(&self) -> Voice<'_> {
        Voice {
            seq: Seq(self.seq),
            timestamp_frames: self.timestamp_frames,
            terminator: self.terminator,
            payload: &self.payload,
        }
    }
}

impl OwnedEntry {
    fn borrow(&self) -> RosterEntry<'_> {
        RosterEntry {
            id: ParticipantId(self.id),
            flags: ParticipantFlags(self.flags),
            name: &self.name,
        }
    }
}

impl OwnedClientPacket {
    pub fn borrow(&self) -> ClientPacket<'_> {
        match self {
            Self::Hello(hello) => ClientPacket::Hello(Hello {
                version: hello.version,
                room: &hello.room,
                name: &hello.name,
                codecs: &hello.codecs,
                rates_hz: hello.rates_hz.iter().copied().collect(),
                muted: hello.muted,
                credentials: &hello.credentials,
            }),
            Self::Voice(voice) => ClientPacket::Voice(voice.borrow()),
            Self::SetMuted(muted) => ClientPacket::SetMuted(*muted),
            Self::Ping(number) => ClientPacket::Ping(*number),
            Self::Pong(number) => ClientPacket::Pong(*number),
            Self::Bye(reason) => ClientPacket::Bye(ByeReason::from(*reason)),
        }
    }
}

impl OwnedServerPacket {
    pub fn borrow(&self) -> ServerPacket<'_> {
        match self {
            Self::Welcome(
                version,
                id,
                codec,
                rate_hz,
                frame_ms,
                idle_timeout_ms,
                roster_len,
                roster,
            ) => ServerPacket::Welcome(Welcome {
                version: *version,
                id: ParticipantId(*id),
                codec: *codec,
                rate_hz: *rate_hz,
                frame_ms: *frame_ms,
                idle_timeout_ms: *idle_timeout_ms,
                roster_len: *roster_len,
                roster: roster.iter().map(OwnedEntry::borrow).collect(),
            }),
            Self::Reject(reason, text) => ServerPacket::Reject(RejectReason::from(*reason), text),
            Self::Voice(voice) => ServerPacket::Voice(voice.borrow()),
            Self::Roster(page) => {
                ServerPacket::Roster(page.iter().map(OwnedEntry::borrow).collect())
            }
            Self::Joined(entry) => ServerPacket::Joined(entry.borrow()),
            Self::Left(id) => ServerPacket::Left(ParticipantId(*id)),
            Self::State(id, flags) => {
                ServerPacket::State(ParticipantId(*id), ParticipantFlags(*flags))
            }
            Self::Ping(number) => ServerPacket::Ping(*number),
            Self::Pong(number) => ServerPacket::Pong(*number),
            Self::Bye(reason) => ServerPacket::Bye(ByeReason::from(*reason)),
        }
    }
}

pub fn client_packet() -> impl Strategy<Value = OwnedClientPacket> {
    prop_oneof![
        hello().prop_map(OwnedClientPacket::Hello),
        voice().prop_map(OwnedClientPacket::Voice),
        any::<bool>().prop_map(OwnedClientPacket::SetMuted),
        any::<u32>().prop_map(OwnedClientPacket::Ping),
        any::<u32>().prop_map(OwnedClientPacket::Pong),
        any::<u8>().prop_map(OwnedClientPacket::Bye),
    ]
}

pub fn server_packet() -> impl Strategy<Value = OwnedServerPacket> {
    prop_oneof![
        welcome(),
        (any::<u8>(), text(160)).prop_map(|(reason, text)| OwnedServerPacket::Reject(reason, text)),
        voice().prop_map(OwnedServerPacket::Voice),
        vec(entry(), 0..=8).prop_map(OwnedServerPacket::Roster),
        entry().prop_map(OwnedServerPacket::Joined),
        any::<u16>().prop_map(OwnedServerPacket::Left),
        (any::<u16>(), any::<u8>()).prop_map(|(id, flags)| OwnedServerPacket::State(id, flags)),
        any::<u32>().prop_map(OwnedServerPacket::Ping),
        any::<u32>().prop_map(OwnedServerPacket::Pong),
        any::<u8>().prop_map(OwnedServerPacket::Bye),
    ]
}

fn hello() -> impl Strategy<Value = OwnedHello> {
    (
        prop_oneof![4 => Just(1u8), 1 => any::<u8>()],
        text(64),
        text(32),
        prop_oneof![Just(vec![1, 0]), vec(any::<u8>(), 0..=8)],
        prop_oneof![Just(vec![16_000]), vec(any::<u32>(), 0..=8)],
        any::<bool>(),
        vec(any::<u8>(), 0..=64),
    )
        .prop_map(
            |(version, room, name, codecs, rates_hz, muted, credentials)| OwnedHello {
                version,
                room,
                name,
                codecs,
                rates_hz,
                muted,
                credentials,
            },
        )
}

/// Payloads of every length, often all zeros: silence, and the bytes that COBS has to replace.
fn voice() -> impl Strategy<Value = OwnedVoice> {
    let payload = prop_oneof![
        vec(any::<u8>(), 0..=640),
        vec(prop_oneof![Just(0u8), any::<u8>()], 0..=640),
        vec(1..=255u8, 500..=640),
    ];
    (any::<u16>(), any::<u32>(), any::<bool>(), payload).prop_map(
        |(seq, timestamp_frames, terminator, payload)| OwnedVoice {
            seq,
            timestamp_frames,
            terminator,
            payload,
        },
    )
}

fn welcome() -> impl Strategy<Value = OwnedServerPacket> {
    let rate_hz = prop_oneof![3 => Just(16_000u32), 1 => any::<u32>()];
    let frame_ms = prop_oneof![3 => Just(20u8), 1 => any::<u8>()];
    (
        prop_oneof![4 => Just(1u8), 1 => any::<u8>()],
        any::<u16>(),
        0..3u8,
        rate_hz,
        frame_ms,
        any::<u32>(),
        0..20u16,
        vec(entry(), 0..=8),
    )
        .prop_map(
            |(version, id, codec, rate_hz, frame_ms, idle_timeout_ms, roster_len, roster)| {
                OwnedServerPacket::Welcome(
                    version,
                    id,
                    codec,
                    rate_hz,
                    frame_ms,
                    idle_timeout_ms,
                    roster_len,
                    roster,
                )
            },
        )
}

fn entry() -> impl Strategy<Value = OwnedEntry> {
    (any::<u16>(), any::<u8>(), text(32)).prop_map(|(id, flags, name)| OwnedEntry {
        id,
        flags,
        name,
    })
}

/// A text of up to `bytes_max` bytes; mostly a plausible name.
fn text(bytes_max: usize) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z]{1,12}".prop_map(|text: String| text),
        1 => any::<String>(),
    ]
    .prop_map(move |mut text| {
        text.truncate(text.floor_char_boundary(bytes_max));
        text
    })
}
