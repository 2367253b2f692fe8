//! Any packet, for property tests: as bytes, from which each is read again as it was written.

use proptest::collection::vec;
use proptest::prelude::*;
use talkspurt_core::carrier::stream::PACKET_MAX;
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::wire::{
    Bye, ClientPacket, DelayReport, Encode, Hello, Joined, Left, NO_NONCE, Nonce, PROTOCOL_VERSION,
    ParticipantFlags, ParticipantId, Reason, Reject, Roster, RosterEntry, ServerPacket, ServerPong,
    SetMuted, State, Text, TickHint, Token, Voice, Welcome, encode, parse,
};

/// A nonce that comes often.
pub const NONCE: Nonce = [7; 8];

#[derive(Clone, Debug)]
pub struct OwnedClientPacket(Vec<u8>);

#[derive(Clone, Debug)]
pub struct OwnedServerPacket(Vec<u8>);

impl OwnedClientPacket {
    fn new(packet: ClientPacket<'_>) -> Self {
        let owned = Self(bytes_of(&packet));
        assert_eq!(owned.borrow(), packet);
        owned
    }

    pub fn borrow(&self) -> ClientPacket<'_> {
        parse(&self.0).unwrap()
    }
}

impl OwnedServerPacket {
    fn new(packet: ServerPacket<'_>) -> Self {
        let owned = Self(bytes_of(&packet));
        assert_eq!(owned.borrow(), packet);
        owned
    }

    pub fn borrow(&self) -> ServerPacket<'_> {
        parse(&self.0).unwrap()
    }
}

fn bytes_of(packet: &impl Encode) -> Vec<u8> {
    let mut bytes = vec![0; PACKET_MAX];
    let len = encode(packet, &mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}

pub fn client_packet() -> impl Strategy<Value = OwnedClientPacket> {
    let muted = (any::<bool>(), after());
    prop_oneof![
        2 => hello(),
        2 => voice(|voice| OwnedClientPacket::new(ClientPacket::Voice(voice))),
        1 => muted.prop_map(|(muted, after)| OwnedClientPacket::new(ClientPacket::SetMuted(
            SetMuted { muted, after }
        ))),
        1 => any::<u32>().prop_map(|number| OwnedClientPacket::new(ClientPacket::Ping(number))),
        1 => any::<u32>().prop_map(|number| OwnedClientPacket::new(ClientPacket::Pong(number))),
        1 => (any::<u8>(), after(), any::<u32>(), text(160)).prop_map(
            |(reason, after, retry_ms, text)| OwnedClientPacket::new(ClientPacket::Bye(Bye {
                reason: Reason(reason),
                after,
                retry_ms,
                text: text.as_str().into(),
            }))
        ),
        1 => Just(OwnedClientPacket::new(ClientPacket::RosterRequest)),
        1 => any::<u16>().prop_map(|delay_ms| OwnedClientPacket::new(ClientPacket::DelayReport(
            DelayReport { delay_ms }
        ))),
    ]
}

pub fn server_packet() -> impl Strategy<Value = OwnedServerPacket> {
    let server = OwnedServerPacket::new;
    let change = || (revision(), any::<u32>());
    prop_oneof![
        2 => welcome(),
        1 => (any::<u8>(), any::<u8>(), nonce(), any::<u32>(), said(160)).prop_map(
            move |(reason, version, nonce, retry_ms, text)| server(ServerPacket::Reject(Reject {
                reason: Reason(reason),
                version,
                nonce,
                retry_ms,
                text: Text(&text),
            }))
        ),
        2 => voice(move |voice| server(ServerPacket::Voice(voice))),
        2 => (revision(), 0..3u32, 0..12u32, vec(entry(), 0..=6)).prop_map(
            move |(revision, first, total, entries)| server(ServerPacket::Roster(Roster {
                revision,
                first: 6 * first,
                total,
                entries: entries.iter().map(OwnedEntry::borrow).collect(),
            }))
        ),
        1 => (revision(), entry()).prop_map(move |(revision, entry)| server(
            ServerPacket::Joined(Joined { revision, entry: entry.borrow() })
        )),
        1 => (change(), any::<u8>()).prop_map(move |((revision, id), reason)| server(
            ServerPacket::Left(Left {
                revision,
                id: ParticipantId(id),
                reason: Reason(reason),
            })
        )),
        1 => (change(), any::<u32>()).prop_map(move |((revision, id), flags)| server(
            ServerPacket::State(State {
                revision,
                id: ParticipantId(id),
                flags: ParticipantFlags(flags),
            })
        )),
        1 => any::<u32>().prop_map(move |number| server(ServerPacket::Ping(number))),
        1 => (0..4u32, revision(), any::<u32>()).prop_map(move |(number, revision, flags)| server(
            ServerPacket::Pong(ServerPong {
                number,
                revision,
                flags: ParticipantFlags(flags),
            })
        )),
        1 => (any::<u8>(), after(), any::<u32>(), said(160)).prop_map(
            move |(reason, after, retry_ms, text)| server(ServerPacket::Bye(Bye {
                reason: Reason(reason),
                after,
                retry_ms,
                text: Text(&text),
            }))
        ),
        1 => any::<u32>().prop_map(move |participants| server(ServerPacket::Count(participants))),
        1 => any::<(u16, u16)>().prop_map(move |(seq, shift_us)| server(ServerPacket::TickHint(
            TickHint { seq: Seq(seq), shift_us }
        ))),
        1 => any::<u16>().prop_map(move |delay_ms| server(ServerPacket::DelayReport(
            DelayReport { delay_ms }
        ))),
    ]
}

fn hello() -> impl Strategy<Value = OwnedClientPacket> {
    let sent = (
        nonce(),
        token(),
        text(64),
        text(32),
        vec(any::<u8>(), 0..=64),
    );
    let offered = (
        prop_oneof![Just(vec![1, 0]), vec(any::<u8>(), 0..=8)],
        prop_oneof![Just(vec![1, 0]), vec(any::<u8>(), 0..=8)],
        prop_oneof![Just(vec![16_000]), vec(any::<u32>(), 0..=8)],
    );
    let numbers = (
        prop_oneof![4 => Just(1_280u16), 1 => any::<u16>()],
        any::<(u32, u32, u8)>(),
    );
    (sent, offered, numbers).prop_map(
        |(
            (nonce, resume, room, name, credentials),
            (codecs_up, codecs_down, rates_hz),
            (max_packet, (features, flags, roster)),
        )| {
            OwnedClientPacket::new(ClientPacket::Hello(Hello {
                version: PROTOCOL_VERSION,
                nonce,
                max_packet,
                features,
                resume,
                room: &room,
                name: &name,
                codecs_up: &codecs_up,
                codecs_down: &codecs_down,
                rates_hz: rates_hz.iter().copied().collect(),
                flags: ParticipantFlags(flags),
                roster,
                credentials: &credentials,
            }))
        },
    )
}

/// Payloads of every length; of zeros often, as silence is, and as COBS likes them least.
fn voice<T: std::fmt::Debug>(packet: impl Fn(Voice<'_>) -> T) -> impl Strategy<Value = T> {
    let payload = prop_oneof![
        vec(any::<u8>(), 0..=640),
        vec(prop_oneof![Just(0u8), any::<u8>()], 0..=640),
        vec(1..=255u8, 500..=640),
    ];
    (any::<(u16, u32, u8, bool)>(), 0..16u8, payload).prop_map(
        move |((seq, timestamp, level, terminator), stream, payload)| {
            packet(Voice {
                seq: Seq(seq),
                timestamp: Timestamp(timestamp),
                level,
                stream,
                terminator,
                payload: &payload,
            })
        },
    )
}

fn welcome() -> impl Strategy<Value = OwnedServerPacket> {
    let rate_hz = prop_oneof![3 => Just(16_000u32), 1 => any::<u32>()];
    let frame_ms = prop_oneof![3 => Just(20u8), 1 => any::<u8>()];
    let idle_timeout_ms = prop_oneof![3 => 500..20_000u32, 1 => any::<u32>()];
    (
        (nonce(), token(), revision(), 0..20u32, any::<(u32, u32)>()),
        prop_oneof![4 => Just(1_280u16), 1 => any::<u16>()],
        (0..3u8, 0..3u8, rate_hz, frame_ms, idle_timeout_ms),
    )
        .prop_map(
            |(
                (nonce, resume, revision, participants, (id, features)),
                max_packet,
                (codec_up, codec_down, rate_hz, frame_ms, idle_timeout_ms),
            )| {
                OwnedServerPacket::new(ServerPacket::Welcome(Welcome {
                    version: PROTOCOL_VERSION,
                    nonce,
                    max_packet,
                    features,
                    resume,
                    id: ParticipantId(id),
                    codec_up,
                    codec_down,
                    rate_hz,
                    frame_ms,
                    idle_timeout_ms,
                    revision,
                    participants,
                }))
            },
        )
}

#[derive(Clone, Debug)]
struct OwnedEntry {
    id: u32,
    flags: u32,
    name: Vec<u8>,
    pseudonym: Option<[u8; 8]>,
}

impl OwnedEntry {
    fn borrow(&self) -> RosterEntry<'_> {
        RosterEntry {
            id: ParticipantId(self.id),
            flags: ParticipantFlags(self.flags),
            name: Text(&self.name),
            pseudonym: self.pseudonym,
        }
    }
}

fn entry() -> impl Strategy<Value = OwnedEntry> {
    (any::<(u32, u32, Option<[u8; 8]>)>(), said(32)).prop_map(|((id, flags, pseudonym), name)| {
        OwnedEntry {
            id,
            flags,
            name,
            pseudonym,
        }
    })
}

fn nonce() -> impl Strategy<Value = Nonce> {
    let other = any::<Nonce>().prop_filter("names nothing", |nonce| *nonce != NO_NONCE);
    prop_oneof![4 => Just(NONCE), 1 => other]
}

fn token() -> impl Strategy<Value = Option<Token>> {
    any::<Option<Token>>()
}

fn after() -> impl Strategy<Value = Option<Seq>> {
    any::<Option<u16>>().prop_map(|seq| seq.map(Seq))
}

/// Mostly close to one another, and at the wrap.
fn revision() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 1..6u32, 1 => u32::MAX - 2..=u32::MAX, 1 => any::<u32>()]
}

/// A text of up to so many bytes; mostly a plausible name.
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

/// What a server says: seldom not even UTF-8.
fn said(bytes_max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => text(bytes_max).prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..=bytes_max),
    ]
}
