//! What the server's end makes of a Hello: a request whose names and offers are good, or a refusal that says what to do.

use heapless::Vec;

use crate::audio::codec::CodecId;
use crate::audio::format::SampleRate;
use crate::wire::{
    CREDENTIALS_BYTES_MAX, Hello, NameError, PROTOCOL_VERSION, ParticipantName, RejectReason,
    RoomName,
};

/// A Hello whose names and offers have been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HelloRequest {
    /// The room that he wants to join.
    pub room: RoomName,
    /// The name that he wants to have.
    pub name: ParticipantName,
    /// The codec of his that this build knows and he likes best.
    pub codec: CodecId,
    /// Whether he joins muted.
    pub muted: bool,
    /// What proves that he may.
    pub credentials: Vec<u8, CREDENTIALS_BYTES_MAX>,
}

/// What to tell a client whose Hello cannot be granted, whatever the caller thinks of it.
#[derive(Debug)]
pub(super) enum Refusal {
    Version(u8),
    Room(NameError),
    Name(NameError),
    Codecs,
    Rate(SampleRate),
    Credentials,
}

impl Refusal {
    pub(super) const fn reason(&self) -> RejectReason {
        match self {
            Self::Version(_) => RejectReason::Version,
            Self::Room(_) => RejectReason::BadRoom,
            Self::Name(_) => RejectReason::BadName,
            Self::Codecs => RejectReason::NoCommonCodec,
            Self::Rate(_) => RejectReason::NoCommonRate,
            Self::Credentials => RejectReason::BadCredentials,
        }
    }
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Version(theirs) => write!(
                f,
                "this server speaks protocol version {PROTOCOL_VERSION}, not {theirs}"
            ),
            Self::Room(error) => write!(f, "the room's name {error}: choose another"),
            Self::Name(error) => write!(f, "the name {error}: choose another"),
            Self::Codecs => f.write_str(
                "this server knows the codecs pcm16 (0) and adpcm (1): offer one of them",
            ),
            Self::Rate(rate) => {
                write!(f, "this server runs at {} Hz: offer that rate", rate.hz())
            }
            Self::Credentials => {
                write!(f, "credentials have at most {CREDENTIALS_BYTES_MAX} bytes")
            }
        }
    }
}

/// Checks all that does not depend on who is in the room, for sessions at `rate`.
pub(super) fn check_hello(hello: &Hello<'_>, rate: SampleRate) -> Result<HelloRequest, Refusal> {
    if hello.version != PROTOCOL_VERSION {
        return Err(Refusal::Version(hello.version));
    }
    if !hello.rates_hz.contains(&rate.hz()) {
        return Err(Refusal::Rate(rate));
    }
    Ok(HelloRequest {
        room: RoomName::new(hello.room).map_err(Refusal::Room)?,
        name: ParticipantName::new(hello.name).map_err(Refusal::Name)?,
        codec: hello
            .codecs
            .iter()
            .find_map(|&id| CodecId::from_id(id))
            .ok_or(Refusal::Codecs)?,
        muted: hello.muted,
        credentials: Vec::from_slice(hello.credentials).map_err(|_| Refusal::Credentials)?,
    })
}
