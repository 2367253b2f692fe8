//! Packets: values, and the bytes that stand for them. `docs/PROTOCOL.md` is the specification; its
//! examples are tests.
//!
//! A packet is a postcard-encoded enum: [`encode`] writes its bytes, and [`parse`] turns them into
//! a value that borrows from them. How those bytes travel is the [carrier](crate::carrier)'s
//! business.

use heapless::Vec;
use serde::{Deserialize, Serialize, Serializer};

use crate::audio::codec::PAYLOAD_MAX;
use crate::carrier::stream::PACKET_MAX;
use crate::seq::Seq;

pub use crate::wire::names::{
    NAME_BYTES_MAX, NameError, ParticipantName, ROOM_BYTES_MAX, RoomName, is_hidden,
};
pub use crate::wire::reasons::{ByeReason, REJECT_TEXT_BYTES_MAX, RejectReason};

mod names;
mod reasons;

/// The version of this protocol, in the first packet of each side.
pub const PROTOCOL_VERSION: u8 = 1;

/// Roster entries in one packet: keeps every packet that is not PCM16 voice below 352 bytes, so that a node needs no more buffer.
pub const ROSTER_PAGE: usize = 8;

/// Codecs and sample rates that a Hello can offer.
pub const OFFERS_MAX: usize = 8;

/// The longest credentials in bytes.
pub const CREDENTIALS_BYTES_MAX: usize = 64;

const _: () = assert!(
    PAYLOAD_MAX + 12 <= PACKET_MAX,
    "the longest packet is PCM16 voice"
);

/// A participant's number, unique in the room for as long as they are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ParticipantId(pub u16);

/// What a participant is doing, as bits. Bits that this version does not know are kept and ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ParticipantFlags(pub u8);

impl ParticipantFlags {
    /// A talkspurt of his is running.
    pub const TALKING: Self = Self(1);
    /// He has muted his microphone.
    pub const MUTED: Self = Self(2);

    /// Whether all of `other`'s bits are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The same with `other`'s bits set or cleared.
    #[must_use]
    pub const fn with(self, other: Self, on: bool) -> Self {
        Self(if on {
            self.0 | other.0
        } else {
            self.0 & !other.0
        })
    }
}

/// One line of a roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RosterEntry<'a> {
    /// Who.
    pub id: ParticipantId,
    /// What he is doing.
    pub flags: ParticipantFlags,
    /// His name: 1..=32 bytes, unique in the room.
    pub name: &'a str,
}

/// Up to [`ROSTER_PAGE`] lines of a roster.
pub type RosterPage<'a> = Vec<RosterEntry<'a>, ROSTER_PAGE>;

/// A request to join a room: the first packet of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Hello<'a> {
    /// [`PROTOCOL_VERSION`] of the client. It is the first field in all versions.
    pub version: u8,
    /// The room: 1..=64 bytes.
    pub room: &'a str,
    /// The name: 1..=32 bytes.
    pub name: &'a str,
    /// Numbers of the codecs that the client can send and receive, the best liked first; unknown numbers are passed over.
    pub codecs: &'a [u8],
    /// Sample rates that the client can send and receive, in Hz, the best liked first; unknown ones are passed over.
    pub rates_hz: Vec<u32, OFFERS_MAX>,
    /// Whether he joins muted.
    pub muted: bool,
    /// What proves that he may join: up to 64 bytes; empty where the server asks for none.
    pub credentials: &'a [u8],
}

/// A frame of voice, or the end of a talkspurt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Voice<'a> {
    /// Counts the packets of this stream within a talkspurt, by one.
    pub seq: Seq,
    /// The frame period that it belongs to, counted by the sender since its session began; jumps between talkspurts.
    pub timestamp_frames: u32,
    /// Whether it is the last of its talkspurt.
    pub terminator: bool,
    /// The frame in the session's codec; empty only with a terminator: the talkspurt ended with the packet before.
    #[serde(serialize_with = "in_one_piece")]
    pub payload: &'a [u8],
}

/// What a server tells a client who may join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Welcome<'a> {
    /// [`PROTOCOL_VERSION`] of the server. It is the first field in all versions.
    pub version: u8,
    /// The newcomer's own number.
    pub id: ParticipantId,
    /// The number of the codec of both directions.
    pub codec: u8,
    /// Samples per second.
    pub rate_hz: u32,
    /// Milliseconds in a frame: 5, 10 or 20.
    pub frame_ms: u8,
    /// Either side drops the other after this long without a packet.
    pub idle_timeout_ms: u32,
    /// Participants in the room, the newcomer among them; what this packet does not hold follows in Roster packets.
    pub roster_len: u16,
    /// The first of them.
    #[serde(borrow)]
    pub roster: RosterPage<'a>,
}

/// What clients send. The numbers in the stream are the variants' places, from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ClientPacket<'a> {
    /// 0: asks to join a room. A second one on the same stream leaves the room and joins anew (a node that was reset).
    Hello(#[serde(borrow)] Hello<'a>),
    /// 1: the client's own voice.
    Voice(#[serde(borrow)] Voice<'a>),
    /// 2: the microphone was muted or unmuted.
    SetMuted(bool),
    /// 3: asks for a Pong with the same number.
    Ping(u32),
    /// 4: answers a Ping.
    Pong(u32),
    /// 5: leaves.
    Bye(ByeReason),
}

/// What servers send. The numbers in the stream are the variants' places, from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ServerPacket<'a> {
    /// 0: the client has joined.
    Welcome(#[serde(borrow)] Welcome<'a>),
    /// 1: the client may not join, why, and what to do about it in a sentence (up to 160 bytes).
    Reject(RejectReason, &'a str),
    /// 2: the voices of the others, mixed.
    Voice(#[serde(borrow)] Voice<'a>),
    /// 3: more of the roster that a Welcome began.
    Roster(#[serde(borrow)] RosterPage<'a>),
    /// 4: someone has joined.
    Joined(#[serde(borrow)] RosterEntry<'a>),
    /// 5: someone has left.
    Left(ParticipantId),
    /// 6: someone began or ceased to talk, muted or unmuted himself.
    State(ParticipantId, ParticipantFlags),
    /// 7: asks for a Pong with the same number.
    Ping(u32),
    /// 8: answers a Ping.
    Pong(u32),
    /// 9: the server ends the session.
    Bye(ByeReason),
}

/// Why bytes are not a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ParseError {
    /// No packet of this version reads like that: unknown number, cut short, a text that is not UTF-8, a list too long.
    Malformed,
    /// A packet, and then more bytes.
    TrailingBytes,
    /// A Hello or Welcome of this other version of the protocol.
    Version(u8),
}

impl core::fmt::Display for ParseError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Malformed => f.write_str("not a packet of this protocol version"),
            Self::TrailingBytes => f.write_str("more bytes follow the packet"),
            Self::Version(theirs) => write!(f, "a packet of protocol version {theirs}"),
        }
    }
}

impl core::error::Error for ParseError {}

/// The buffer is too small for the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EncodeError;

impl core::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the buffer is too small for the packet")
    }
}

impl core::error::Error for EncodeError {}

/// Reads a packet ([`ClientPacket`] or [`ServerPacket`]) from its bytes; texts and payloads borrow
/// from them.
///
/// # Errors
/// [`ParseError`], for any bytes that are not exactly one packet.
// Inlined into a session, it costs a microcontroller 500 bytes more.
#[inline(never)]
pub fn parse<'a, P: Deserialize<'a>>(packet: &'a [u8]) -> Result<P, ParseError> {
    let error = match postcard::take_from_bytes(packet) {
        Ok((value, [])) => return Ok(value),
        Ok(_) => ParseError::TrailingBytes,
        Err(_) => ParseError::Malformed,
    };
    match packet {
        // Hello and Welcome begin like that in every version, whatever else that version has put in
        // them.
        [0, version, ..] if *version != PROTOCOL_VERSION => Err(ParseError::Version(*version)),
        _ => Err(error),
    }
}

/// Writes the bytes of a packet. Returns how many they are.
///
/// # Errors
/// [`EncodeError`] if `out` is too small; [`PACKET_MAX`] bytes are enough for any packet.
pub fn encode<P: Serialize>(packet: &P, out: &mut [u8]) -> Result<usize, EncodeError> {
    match postcard::to_slice(packet, out) {
        Ok(bytes) => Ok(bytes.len()),
        Err(_) => Err(EncodeError),
    }
}

/// Reads as it always did, but is copied in one piece, where a list of bytes is written one by one.
fn in_one_piece<S: Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::stream::{ENCODED_MAX, encoded_len_max};
    use crate::endpoint::write_to_stream;

    #[test]
    fn voice_overhead_is_what_the_link_budget_assumes() {
        let voice = Voice {
            seq: Seq(u16::MAX),
            timestamp_frames: 1 << 20,
            terminator: false,
            payload: &[1; 163],
        };
        let mut out = [0; ENCODED_MAX];
        let len = write_to_stream(&ClientPacket::Voice(voice), &mut out).unwrap();
        // 163 payload + 1 number + 3 seq + 3 timestamp + 1 terminator + 2 length + 4 CRC + 1 COBS + 1 end
        assert_eq!(len, 179);
        assert_eq!(out[..len].iter().position(|&b| b == 0), Some(len - 1));
    }

    #[test]
    fn the_longest_packets_fit() {
        let mut out = [0; ENCODED_MAX];
        let voice = Voice {
            seq: Seq(u16::MAX),
            timestamp_frames: u32::MAX,
            terminator: true,
            payload: &[1; PAYLOAD_MAX],
        };
        assert!(write_to_stream(&ServerPacket::Voice(voice), &mut out).is_ok());
        let name = "n".repeat(NAME_BYTES_MAX);
        let entry = RosterEntry {
            id: ParticipantId(u16::MAX),
            flags: ParticipantFlags(3),
            name: &name,
        };
        let welcome = Welcome {
            version: PROTOCOL_VERSION,
            id: ParticipantId(u16::MAX),
            codec: 1,
            rate_hz: u32::MAX,
            frame_ms: 20,
            idle_timeout_ms: u32::MAX,
            roster_len: u16::MAX,
            roster: RosterPage::from_slice(&[entry; ROSTER_PAGE]).unwrap(),
        };
        let mut small = [0; encoded_len_max(352)];
        assert!(write_to_stream(&ServerPacket::Welcome(welcome), &mut small).is_ok());
        assert_eq!(
            write_to_stream(&ServerPacket::Ping(7), &mut [0; 4]),
            Err(EncodeError)
        );
    }

    #[test]
    fn trailing_bytes_are_an_error() {
        assert_eq!(
            parse::<ClientPacket<'_>>(&[3, 7]),
            Ok(ClientPacket::Ping(7))
        );
        assert_eq!(
            parse::<ClientPacket<'_>>(&[3, 7, 0]),
            Err(ParseError::TrailingBytes)
        );
        assert_eq!(parse::<ClientPacket<'_>>(&[]), Err(ParseError::Malformed));
        assert_eq!(parse::<ClientPacket<'_>>(&[99]), Err(ParseError::Malformed));
    }

    #[test]
    fn a_greeting_of_another_version_is_told_by_it() {
        let other = PROTOCOL_VERSION + 1;
        let client = |packet: &[u8]| parse::<ClientPacket<'_>>(packet).map(drop).unwrap_err();
        let server = |packet: &[u8]| parse::<ServerPacket<'_>>(packet).map(drop).unwrap_err();
        assert_eq!(client(&[0, other, 99]), ParseError::Version(other));
        assert_eq!(server(&[0, other]), ParseError::Version(other));
        assert_eq!(server(&[0, 0]), ParseError::Version(0), "an older one, too");
        assert_eq!(client(&[0, PROTOCOL_VERSION, 99]), ParseError::Malformed);
        assert_eq!(client(&[1, other]), ParseError::Malformed, "no greeting");
    }

    #[test]
    fn flags_are_bits() {
        let both = ParticipantFlags::TALKING.with(ParticipantFlags::MUTED, true);
        assert!(both.has(ParticipantFlags::TALKING) && both.has(ParticipantFlags::MUTED));
        assert_eq!(
            both.with(ParticipantFlags::TALKING, false),
            ParticipantFlags::MUTED
        );
        assert_eq!(both.with(ParticipantFlags::TALKING, true), both);
        assert!(!ParticipantFlags::MUTED.has(ParticipantFlags::TALKING));
        assert!(!ParticipantFlags::MUTED.has(both), "half of them");
    }
}
