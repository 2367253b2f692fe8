//! Packets: values, and the bytes that stand for them. `docs/PROTOCOL.md` is the specification; its
//! examples are tests.
//!
//! [`encode`] writes a packet's bytes, and [`parse`] turns them into a value that borrows from
//! them. How those bytes travel is the [carrier](crate::carrier)'s business.

pub use crate::wire::names::{
    NAME_BYTES_MAX, Name, NameError, ParticipantName, ROOM_BYTES_MAX, RoomName, TEXT_BYTES_MAX,
    Text, is_hidden,
};
pub use crate::wire::packets::{
    Bye, ClientPacket, DelayReport, Hello, Joined, Left, Reject, Roster, RosterEntry, RosterPage,
    ServerPacket, ServerPong, SetMuted, State, TickHint, Voice, Welcome,
};
pub use crate::wire::reasons::Reason;

use crate::wire::fields::{Reader, Writer};

mod fields;
mod names;
mod packets;
mod reasons;

/// The version of this protocol, in the first packet of each side.
pub const PROTOCOL_VERSION: u8 = 2;

/// Every side takes packets of this many bytes.
pub const PACKET_BYTES_LEAST: usize = 352;

/// Entries in one Roster. Fewer if they would not fit the receiver's packets.
pub const ROSTER_PAGE: usize = 8;

/// Codecs each way, and sample rates, that a Hello can offer.
pub const OFFERS_MAX: usize = 8;

/// The longest credentials in bytes.
pub const CREDENTIALS_BYTES_MAX: usize = 64;

/// The bit of the feature that a client can shift its frames, as [`TickHint`] asks for.
pub const FEATURE_TICK_HINT: u32 = 1 << 5;

/// The bit of the feature that a client tells, and is told, how long voice takes: [`DelayReport`].
pub const FEATURE_DELAY_REPORT: u32 = 1 << 6;

/// A packet with a payload has at most so many bytes around it.
pub const AROUND_PAYLOAD_BYTES: usize = 11;

/// From here on no number is a packet's.
const NO_PACKET: u8 = 0x7f;

/// Names an attempt to join, and the session that it leads to: random, not all zeros.
pub type Nonce = [u8; 8];

/// A nonce where there is none.
pub const NO_NONCE: Nonce = [0; 8];

/// Names a session to a server that is to resume it.
pub type Token = [u8; 16];

/// A participant's number, unique in the room and not given to anybody else while the room exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ParticipantId(pub u32);

/// What a participant is doing, as bits. Bits that this version does not know are kept and ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ParticipantFlags(pub u32);

impl ParticipantFlags {
    /// A talkspurt of theirs is running.
    pub const TALKING: Self = Self(1);
    /// Their microphone is muted.
    pub const MUTED: Self = Self(2);

    /// Returns whether all of `other`'s bits are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the same with `other`'s bits set or cleared.
    #[must_use]
    pub const fn with(self, other: Self, on: bool) -> Self {
        Self(if on {
            self.0 | other.0
        } else {
            self.0 & !other.0
        })
    }
}

/// Why bytes are not a packet to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ParseError {
    /// No packet reads like that: cut short, a list too long, no number of a packet.
    Malformed,
    /// A packet that must be understood, of a number that is not known or is the other side's.
    Unknown,
    /// A packet of a number that is not known, which is to be ignored.
    Skippable,
    /// A Hello or Welcome of another version of the protocol.
    Version {
        /// That version.
        theirs: u8,
        /// Its nonce. Zeros if that version has none.
        nonce: Nonce,
    },
}

impl ParseError {
    /// The side that sent it has no packet of this number. Those with low numbers must be
    /// understood.
    const fn unknown(number: u8) -> Self {
        if number < 0x40 {
            Self::Unknown
        } else {
            Self::Skippable
        }
    }

    /// Returns what is wrong with it, for a person.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Malformed => "not a packet of this protocol",
            Self::Unknown => "not a packet that may come from the other side",
            Self::Skippable => "a packet of a later version that may be ignored",
            Self::Version { .. } => "another version of the protocol than 2, the one spoken here",
        }
    }
}

impl core::fmt::Display for ParseError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for ParseError {}

/// The buffer is too small for the packet, or the packet has more than any packet can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EncodeError;

impl core::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the buffer is too small for the packet")
    }
}

impl core::error::Error for EncodeError {}

/// The packets of one side, [`ClientPacket`] or [`ServerPacket`], out of their bytes.
pub trait Parse<'a>: Sized {
    /// The number of the packet that begins with the version, in all versions.
    #[doc(hidden)]
    const GREETING: u8;

    /// Reads the fields of the packet with this number.
    ///
    /// # Errors
    /// That side has no such packet.
    #[doc(hidden)]
    fn read(number: u8, from: &mut Reader<'a>) -> Result<Self, ParseError>;
}

/// The packets of one side, [`ClientPacket`] or [`ServerPacket`], into their bytes.
pub trait Encode {
    /// Writes number and fields.
    #[doc(hidden)]
    fn write(&self, to: &mut Writer<'_>);
}

/// Reads a packet ([`ClientPacket`] or [`ServerPacket`]) from its bytes; texts and payloads borrow
/// from them. Bytes behind the last field are ignored.
///
/// # Errors
/// [`ParseError`].
// Inlined into a session, it costs a microcontroller more.
#[inline(never)]
pub fn parse<'a, P: Parse<'a>>(packet: &'a [u8]) -> Result<P, ParseError> {
    let (&number, fields) = packet.split_first().ok_or(ParseError::Malformed)?;
    if number >= NO_PACKET {
        return Err(ParseError::Malformed);
    }
    if let [version, nonce @ ..] = fields
        && number == P::GREETING
        && *version != PROTOCOL_VERSION
    {
        // Greetings begin like that in every version, whatever else that version has put in them.
        let nonce = nonce.first_chunk().filter(|_| *version > 1);
        return Err(ParseError::Version {
            theirs: *version,
            nonce: nonce.copied().unwrap_or(NO_NONCE),
        });
    }
    let mut reader = Reader::new(fields);
    let packet = P::read(number, &mut reader);
    if !reader.is_good() {
        return Err(ParseError::Malformed);
    }
    packet
}

/// Writes the bytes of a packet. Returns how many they are.
///
/// # Errors
/// [`EncodeError`] if `out` is too small; [`PACKET_MAX`](crate::carrier::stream::PACKET_MAX) bytes
/// are enough for any packet.
pub fn encode<P: Encode>(packet: &P, out: &mut [u8]) -> Result<usize, EncodeError> {
    let mut writer = Writer::new(out);
    packet.write(&mut writer);
    writer.finish()
}

#[cfg(test)]
mod tests;
