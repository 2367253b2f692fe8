//! What a client asks for, what it is given, and what it is told.

use heapless::Vec;

use crate::audio::codec::CodecId;
use crate::audio::format::{AudioFormat, SampleRate};
use crate::time::Duration;
use crate::wire::{
    ByeReason, CREDENTIALS_BYTES_MAX, OFFERS_MAX, ParticipantFlags, ParticipantId, ParticipantName,
    RejectReason, RoomName,
};

/// Who wants to join which room, and what he can send and receive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct JoinRequest {
    /// The room.
    pub room: RoomName,
    /// The name in it.
    pub name: ParticipantName,
    /// Numbers of the codecs, in order of preference.
    pub codecs: Vec<u8, OFFERS_MAX>,
    /// Sample rates, in order of preference: up to [`OFFERS_MAX`].
    pub rates: &'static [SampleRate],
    /// Whether to join muted.
    pub muted: bool,
    /// Proof that one may join; empty where none is asked for.
    pub credentials: Vec<u8, CREDENTIALS_BYTES_MAX>,
}

impl JoinRequest {
    /// Creates a request at the default rate, without credentials, unmuted.
    pub fn new(room: RoomName, name: ParticipantName, codecs: &[CodecId]) -> Self {
        let codecs = codecs
            .iter()
            .map(|codec| codec.id())
            .take(OFFERS_MAX)
            .collect();
        Self {
            room,
            name,
            codecs,
            rates: &[AudioFormat::DEFAULT.rate],
            muted: false,
            credentials: Vec::new(),
        }
    }
}

/// What the server decided for the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SessionParams {
    /// The client's own number.
    pub id: ParticipantId,
    /// The codec of both directions.
    pub codec: CodecId,
    /// The format of both directions.
    pub format: AudioFormat,
    /// After how long a silent peer is dropped.
    pub idle_timeout: Duration,
}

/// A line of the roster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Participant {
    /// Who.
    pub id: ParticipantId,
    /// What he is doing.
    pub flags: ParticipantFlags,
    /// His name.
    pub name: ParticipantName,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ClientEvent {
    /// The server let us in; so many [`ClientEvent::Listed`] follow, then [`ClientEvent::RosterComplete`]. A second one in a
    /// session begins all of it anew: number, parameters and roster.
    Joined(SessionParams, u16),
    /// Someone who was in the room when we joined (we ourselves among them).
    Listed(Participant),
    /// All of the roster was listed: from now on it is current.
    RosterComplete,
    /// Someone joined.
    ParticipantJoined(Participant),
    /// Someone left.
    ParticipantLeft(ParticipantId),
    /// Someone began or ceased to talk, muted or unmuted himself (we ourselves too).
    State(ParticipantId, ParticipantFlags),
    /// We may not join; [`ClientSession::reject_text`](super::ClientSession::reject_text) says what to do. The session is over.
    Rejected(RejectReason),
    /// The session is over.
    Closed(ByeReason),
}
