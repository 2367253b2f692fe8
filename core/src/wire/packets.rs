//! The packets of both sides, field by field as docs/PROTOCOL.md has them.

use heapless::Vec;

use super::fields::{Field, Reader, Writer};
use super::{
    Encode, NO_NONCE, Nonce, OFFERS_MAX, Parse, ParseError, ParticipantFlags, ParticipantId,
    ROSTER_PAGE, Reason, Text, Token,
};
use crate::seq::{Seq, Timestamp};

/// Packets whose fields stand one after the other, in the order in which they are declared.
macro_rules! layouts {
    ($($(#[$meta:meta])* pub struct $name:ident$(<$life:lifetime>)? {
        $($(#[$doc:meta])* pub $field:ident: $type:ty,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        pub struct $name$(<$life>)? {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl<'a> Field<'a> for $name$(<$life>)? {
            fn read(from: &mut Reader<'a>) -> Self {
                Self { $($field: Field::read(from)),* }
            }

            fn write(&self, to: &mut Writer<'_>) {
                $(self.$field.write(to);)*
            }
        }
    )*};
}

layouts! {
    /// A request to join a room: the first packet of a client.
    pub struct Hello<'a> {
        /// [`PROTOCOL_VERSION`](super::PROTOCOL_VERSION) of the client.
        pub version: u8,
        /// Names this attempt to join.
        pub nonce: Nonce,
        /// The longest packet that the client takes, in bytes.
        pub max_packet: u16,
        /// The features that the client has, as bits, like [`FEATURE_TICK_HINT`].
        ///
        /// [`FEATURE_TICK_HINT`]: super::FEATURE_TICK_HINT
        pub features: u32,
        /// The token of the session that this one resumes.
        pub resume: Option<Token>,
        /// The room: 1..=64 bytes, or it is refused.
        pub room: &'a str,
        /// The name: 1..=32 bytes, or it is refused.
        pub name: &'a str,
        /// Numbers of the codecs that the client can send, in order of preference.
        pub codecs_up: &'a [u8],
        /// Numbers of the codecs that the client can receive, in order of preference.
        pub codecs_down: &'a [u8],
        /// Sample rates that the client can send and receive, in Hz, in order of preference.
        pub rates_hz: Vec<u32, OFFERS_MAX>,
        /// How the participant joins: only [`ParticipantFlags::MUTED`] means something.
        pub flags: ParticipantFlags,
        /// 1: the client wants the roster; 0: only how many are in the room.
        pub roster: u8,
        /// What proves that the participant may join: up to 64 bytes, or it is refused.
        pub credentials: &'a [u8],
    }

    /// Tells a client that it may not join, or has no session. The same in all versions.
    #[derive(Copy)]
    pub struct Reject<'a> {
        /// Why.
        pub reason: Reason,
        /// The highest version that the server speaks.
        pub version: u8,
        /// The nonce of the Hello that is refused, or zeros.
        pub nonce: Nonce,
        /// How long to wait before trying again, if that may help.
        pub retry_ms: u32,
        /// What to do about it, for a person.
        pub text: Text<'a>,
    }

    /// Tells a client that it has joined.
    #[derive(Copy)]
    pub struct Welcome {
        /// [`PROTOCOL_VERSION`](super::PROTOCOL_VERSION) of the server.
        pub version: u8,
        /// The nonce of the Hello that this answers.
        pub nonce: Nonce,
        /// The longest packet that the server takes, in bytes.
        pub max_packet: u16,
        /// The features that both sides have.
        pub features: u32,
        /// With this the session can be resumed.
        pub resume: Option<Token>,
        /// The newcomer's own number.
        pub id: ParticipantId,
        /// The number of the codec of the client's voice.
        pub codec_up: u8,
        /// The number of the codec of the server's voice.
        pub codec_down: u8,
        /// Samples per second of both directions.
        pub rate_hz: u32,
        /// Milliseconds in a frame: 5, 10 or 20.
        pub frame_ms: u8,
        /// Either side drops the other after this long in silence.
        pub idle_timeout_ms: u32,
        /// The revision of the roster, the newcomer included.
        pub revision: u32,
        /// How many are in the room, the newcomer included.
        pub participants: u32,
    }

    /// Says that the microphone was muted or unmuted.
    #[derive(Copy)]
    pub struct SetMuted {
        /// Whether it is muted now.
        pub muted: bool,
        /// The last voice packet before this.
        pub after: Option<Seq>,
    }

    /// Answers a client's Ping.
    #[derive(Copy)]
    pub struct ServerPong {
        /// That of the Ping.
        pub number: u32,
        /// The revision of the roster.
        pub revision: u32,
        /// What the client itself is doing.
        pub flags: ParticipantFlags,
    }

    /// Ends a session.
    #[derive(Copy)]
    pub struct Bye<'a> {
        /// Why.
        pub reason: Reason,
        /// The last voice packet before this.
        pub after: Option<Seq>,
        /// From a server: how long to wait before trying again, if that may help.
        pub retry_ms: u32,
        /// For a person: up to 160 bytes.
        pub text: Text<'a>,
    }

    /// A page of the roster.
    pub struct Roster<'a> {
        /// The revision that this roster has; the same in all of its pages.
        pub revision: u32,
        /// How many entries the pages before this one had.
        pub first: u32,
        /// Entries in all pages together.
        pub total: u32,
        /// Those of this page.
        pub entries: RosterPage<'a>,
    }

    /// Someone has left.
    #[derive(Copy)]
    pub struct Left {
        /// The revision that the roster has by this.
        pub revision: u32,
        /// Who.
        pub id: ParticipantId,
        /// Why.
        pub reason: Reason,
    }

    /// Someone has joined.
    #[derive(Copy)]
    pub struct Joined<'a> {
        /// The revision that the roster has by this.
        pub revision: u32,
        /// Who.
        pub entry: RosterEntry<'a>,
    }

    /// Someone began or ceased to talk, muted or unmuted.
    #[derive(Copy)]
    pub struct State {
        /// The revision that the roster has by this.
        pub revision: u32,
        /// Who.
        pub id: ParticipantId,
        /// All of their flags.
        pub flags: ParticipantFlags,
    }
}

/// A frame of voice, or the end of a talkspurt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Voice<'a> {
    /// Counts the packets of a talkspurt, by one.
    pub seq: Seq,
    /// When the frame starts, on the sender's session clock.
    pub timestamp: Timestamp,
    /// How loud the frame is, in half decibels below full scale. 255 is silence.
    pub level: u8,
    /// Names the encoder behind the payload: 0..=15.
    pub stream: u8,
    /// Whether it is the last of its talkspurt.
    pub terminator: bool,
    /// The frame in the session's codec. Empty only with a terminator: the talkspurt ended with the
    /// packet before.
    pub payload: &'a [u8],
}

/// Tells a talker by how much its frames should begin later, so that they wait less for the room's
/// tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TickHint {
    /// The newest voice packet that had come.
    pub seq: Seq,
    /// By so many microseconds: less than a frame.
    pub shift_us: u16,
}

impl<'a> Field<'a> for TickHint {
    fn read(from: &mut Reader<'a>) -> Self {
        let [s0, s1, u0, u1] = Field::read(from);
        Self {
            seq: Seq(u16::from_le_bytes([s0, s1])),
            shift_us: u16::from_le_bytes([u0, u1]),
        }
    }

    fn write(&self, to: &mut Writer<'_>) {
        let [s0, s1] = self.seq.0.to_le_bytes();
        let [u0, u1] = self.shift_us.to_le_bytes();
        to.put(&[s0, s1, u0, u1]);
    }
}

/// Tells how long voice has taken so far: a talker the server how long its voice takes from the
/// microphone to it, the server a listener how old the voice is that it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DelayReport {
    /// So many milliseconds; 0 if that is not known.
    pub delay_ms: u16,
}

impl<'a> Field<'a> for DelayReport {
    fn read(from: &mut Reader<'a>) -> Self {
        Self {
            delay_ms: u16::from_le_bytes(Field::read(from)),
        }
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.put(&self.delay_ms.to_le_bytes());
    }
}

/// In the byte of a stream's number.
const TERMINATOR: u8 = 0x80;
const STREAM: u8 = 0x0f;

impl<'a> Field<'a> for Voice<'a> {
    fn read(from: &mut Reader<'a>) -> Self {
        let [s0, s1, t0, t1, t2, t3, level, marks] = Field::read(from);
        Self {
            seq: Seq(u16::from_le_bytes([s0, s1])),
            timestamp: Timestamp(u32::from_le_bytes([t0, t1, t2, t3])),
            level,
            stream: marks & STREAM,
            terminator: marks & TERMINATOR != 0,
            payload: Field::read(from),
        }
    }

    fn write(&self, to: &mut Writer<'_>) {
        let [s0, s1] = self.seq.0.to_le_bytes();
        let [t0, t1, t2, t3] = self.timestamp.0.to_le_bytes();
        let terminator = if self.terminator { TERMINATOR } else { 0 };
        let marks = terminator | self.stream & STREAM;
        to.put(&[s0, s1, t0, t1, t2, t3, self.level, marks]);
        self.payload.write(to);
    }
}

impl From<Reason> for Bye<'_> {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            after: None,
            retry_ms: 0,
            text: Text::default(),
        }
    }
}

impl Hello<'_> {
    fn is_well_formed(&self) -> bool {
        let offers = self.codecs_up.len().max(self.codecs_down.len());
        self.nonce != NO_NONCE && offers <= OFFERS_MAX
    }
}

/// Someone in the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RosterEntry<'a> {
    /// Who.
    pub id: ParticipantId,
    /// What they are doing.
    pub flags: ParticipantFlags,
    /// Their name: up to 32 bytes.
    pub name: Text<'a>,
    /// Who they are in this room, whatever their name. Always absent today.
    pub pseudonym: Option<[u8; 8]>,
}

impl<'a> RosterEntry<'a> {
    /// The length, and the fields with the longest numbers, apart from the name.
    pub const BYTES_AROUND_NAME: usize = 1 + 5 + 5 + 1 + 1 + 8;

    /// Creates an entry without a pseudonym.
    pub fn new(id: ParticipantId, flags: ParticipantFlags, name: &'a str) -> Self {
        Self {
            id,
            flags,
            name: name.into(),
            pseudonym: None,
        }
    }
}

impl<'a> Field<'a> for RosterEntry<'a> {
    fn read(from: &mut Reader<'a>) -> Self {
        from.sized(|from| Self {
            id: Field::read(from),
            flags: Field::read(from),
            name: Field::read(from),
            pseudonym: Field::read(from),
        })
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.sized(|to| {
            self.id.write(to);
            self.flags.write(to);
            self.name.write(to);
            self.pseudonym.write(to);
        });
    }
}

/// The entries of one Roster.
pub type RosterPage<'a> = Vec<RosterEntry<'a>, ROSTER_PAGE>;

/// Names for a value that stands there as it is.
macro_rules! newtypes {
    ($($name:ty),*) => {$(
        impl<'a> Field<'a> for $name {
            fn read(from: &mut Reader<'a>) -> Self {
                Self(Field::read(from))
            }

            fn write(&self, to: &mut Writer<'_>) {
                self.0.write(to);
            }
        }
    )*};
}

newtypes!(ParticipantId, ParticipantFlags, Reason, Text<'a>);

/// The packets of one side and their numbers. Skippable ones stand apart: in one match with the
/// others, whose numbers are far from theirs, they cost a microcontroller 100 bytes more.
macro_rules! packets {
    ($(#[$doc:meta])* $side:ident greets with $greeting:literal {
        $($(#[$packet_doc:meta])* $number:literal = $packet:ident$((
            $fields:ident: $type:ty $(, if $is_good:expr)?
        ))?,)*
    } skippable {
        $($(#[$skippable_doc:meta])* $skippable_number:literal = $skippable:ident($skipped:ty),)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        pub enum $side<'a> {
            $($(#[$packet_doc])* $packet$(($type))?,)*
            $($(#[$skippable_doc])* $skippable($skipped),)*
        }

        impl<'a> $side<'a> {
            #[inline(always)]
            fn read_skippable(number: u8, _from: &mut Reader<'a>) -> Result<Self, ParseError> {
                match number {
                    $($skippable_number => Ok(Self::$skippable(<$skipped>::read(_from))),)*
                    _ => Err(ParseError::unknown(number)),
                }
            }
        }

        impl<'a> Parse<'a> for $side<'a> {
            const GREETING: u8 = $greeting;

            fn read(number: u8, from: &mut Reader<'a>) -> Result<Self, ParseError> {
                Ok(match number {
                    $($number => Self::$packet$(({
                        let $fields = <$type>::read(from);
                        $(from.require($is_good);)?
                        $fields
                    }))?,)*
                    _ => return Self::read_skippable(number, from),
                })
            }
        }

        impl Encode for $side<'_> {
            fn write(&self, to: &mut Writer<'_>) {
                match self {
                    $(Self::$packet$(($fields))? => {
                        to.put(&[$number]);
                        $($fields.write(to);)?
                    })*
                    $(Self::$skippable(fields) => {
                        to.put(&[$skippable_number]);
                        fields.write(to);
                    })*
                }
            }
        }
    };
}

packets! {
    /// What clients send.
    ClientPacket greets with 0x00 {
        /// Asks to join a room.
        0x00 = Hello(fields: Hello<'a>, if fields.is_well_formed()),
        /// The client's own voice.
        0x03 = Voice(fields: Voice<'a>),
        /// The microphone was muted or unmuted.
        0x04 = SetMuted(fields: SetMuted),
        /// Asks for a Pong with the same number.
        0x05 = Ping(number: u32),
        /// Answers a Ping.
        0x06 = Pong(number: u32),
        /// Leaves.
        0x07 = Bye(fields: Bye<'a>, if fields.text.is_well_formed()),
        /// Asks for the whole roster again.
        0x08 = RosterRequest,
    } skippable {
        /// How long the client's voice takes to the server.
        0x48 = DelayReport(DelayReport),
    }
}

packets! {
    /// What servers send.
    #[expect(
        clippy::large_enum_variant,
        reason = "a page of the roster cannot be boxed without an allocator"
    )]
    ServerPacket greets with 0x02 {
        /// The client may not join.
        0x01 = Reject(fields: Reject<'a>),
        /// The client has joined.
        0x02 = Welcome(fields: Welcome),
        /// The voices of the others, mixed.
        0x03 = Voice(fields: Voice<'a>),
        /// Asks for a Pong with the same number.
        0x05 = Ping(number: u32),
        /// Answers a Ping.
        0x06 = Pong(fields: ServerPong),
        /// The server ends the session.
        0x07 = Bye(fields: Bye<'a>),
        /// A page of the roster.
        0x09 = Roster(fields: Roster<'a>),
        /// Someone has joined.
        0x0a = Joined(fields: Joined<'a>),
        /// Someone has left.
        0x0b = Left(fields: Left),
        /// Someone began or ceased to talk, muted or unmuted.
        0x0c = State(fields: State),
        /// How many are in the room, for clients without a roster.
        0x0d = Count(participants: u32),
    } skippable {
        /// By how much the client's frames should begin later.
        0x47 = TickHint(TickHint),
        /// How long the voice that the client hears takes until the server sends it.
        0x48 = DelayReport(DelayReport),
    }
}
