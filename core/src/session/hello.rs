//! What the server's end makes of a Hello: a request whose offers are good, or a refusal that says
//! what to do.

use heapless::Vec;

use super::ServerSessionConfig;
use crate::audio::codec::CodecId;
use crate::audio::format::{AudioFormat, SampleRate};
use crate::carrier::stream::PACKET_MAX;
use crate::wire::{
    AROUND_PAYLOAD_BYTES, CREDENTIALS_BYTES_MAX, Hello, Nonce, PACKET_BYTES_LEAST,
    PROTOCOL_VERSION, ParticipantFlags, ParticipantName, Reason, RoomName, Token,
};

/// A Hello whose offers are good. Room, credentials and name are the caller's to judge, in this
/// order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HelloRequest {
    /// Names the attempt; the Welcome repeats it.
    pub nonce: Nonce,
    /// The longest packet that the client takes, and any server sends.
    pub max_packet: u16,
    /// The token of the session that this one resumes.
    pub resume: Option<Token>,
    /// The room to join; empty if it is longer than a room's name can be.
    pub room: RoomName,
    /// The name that the participant wants to have; empty if it is too long.
    pub name: ParticipantName,
    /// The codec of the client's voice: the first of its offers that this build knows.
    pub codec_up: CodecId,
    /// The codec of the voice that it gets, chosen in the same way.
    pub codec_down: CodecId,
    /// Whether the participant joins muted.
    pub muted: bool,
    /// Whether the client wants the roster, and not only how many are in the room.
    pub roster: bool,
    /// What proves that the participant may join; `None` if it is longer than that can be.
    pub credentials: Option<Vec<u8, CREDENTIALS_BYTES_MAX>>,
}

/// What to tell a client whose Hello cannot be granted, whatever the caller thinks of it.
#[derive(Debug)]
pub(super) enum Refusal {
    Version(u8),
    MaxPacket,
    Rate(SampleRate),
    Codecs,
}

impl Refusal {
    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::Version(_) => Reason::VERSION,
            Self::MaxPacket => Reason::MAX_PACKET,
            Self::Rate(_) => Reason::NO_RATE,
            Self::Codecs => Reason::NO_CODEC,
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
            Self::MaxPacket => write!(
                f,
                "packets have up to {PACKET_BYTES_LEAST} bytes at least: take them"
            ),
            Self::Rate(rate) => {
                write!(f, "this server runs at {} Hz: offer that rate", rate.hz())
            }
            Self::Codecs => f.write_str(
                "this server knows the codecs pcm16 (0), for those who take long packets, and \
                 adpcm (1): offer one of them each way",
            ),
        }
    }
}

/// Checks all that does not depend on the room.
pub(super) fn check_hello(
    hello: &Hello<'_>,
    config: &ServerSessionConfig,
) -> Result<HelloRequest, Refusal> {
    let max_packet = usize::from(hello.max_packet).min(PACKET_MAX);
    if max_packet < PACKET_BYTES_LEAST {
        return Err(Refusal::MaxPacket);
    }
    let AudioFormat { rate, .. } = config.format;
    if !hello.rates_hz.contains(&rate.hz()) {
        return Err(Refusal::Rate(rate));
    }
    let payload_max = max_packet - AROUND_PAYLOAD_BYTES;
    let samples = config.format.frame_samples();
    let choose = |offered: &[u8]| {
        let mut known = offered.iter().filter_map(|&id| CodecId::from_id(id));
        known
            .find(|codec| codec.payload_len(samples) <= payload_max)
            .ok_or(Refusal::Codecs)
    };
    Ok(HelloRequest {
        nonce: hello.nonce,
        max_packet: max_packet as u16,
        resume: hello.resume,
        room: RoomName::new(hello.room).unwrap_or_default(),
        name: ParticipantName::new(hello.name).unwrap_or_default(),
        codec_up: choose(hello.codecs_up)?,
        codec_down: choose(hello.codecs_down)?,
        muted: hello.flags.has(ParticipantFlags::MUTED),
        roster: hello.roster > 0,
        credentials: Vec::from_slice(hello.credentials).ok(),
    })
}
