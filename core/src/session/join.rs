//! What a client asks for, what it is given, and what it is told.

use heapless::Vec;

use crate::audio::codec::CodecId;
use crate::audio::format::{AudioFormat, FrameDuration, SampleRate};
use crate::time::Duration;
use crate::wire::{
    AROUND_PAYLOAD_BYTES, CREDENTIALS_BYTES_MAX, FEATURE_DELAY_REPORT, FEATURE_TICK_HINT,
    OFFERS_MAX, PACKET_BYTES_LEAST, ParticipantFlags, ParticipantId, ParticipantName, Reason,
    RoomName, Welcome,
};

/// Who wants to join which room, and what they can send and receive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct JoinRequest {
    /// The room.
    pub room: RoomName,
    /// The name in it.
    pub name: ParticipantName,
    /// Numbers of the codecs, in order of preference, both ways.
    pub codecs: Vec<u8, OFFERS_MAX>,
    /// The longest packet that the client takes, in bytes.
    pub max_packet: u16,
    /// Sample rates, in order of preference: up to [`OFFERS_MAX`].
    pub rates: &'static [SampleRate],
    /// Whether to join muted.
    pub muted: bool,
    /// Whether to be told who is in the room, and not only how many.
    pub roster: bool,
    /// Whether the client can shift its frames
    /// ([`Client::take_tick_shift`](crate::endpoint::Client::take_tick_shift)).
    pub shifts_frames: bool,
    /// Whether the client tells how long its voice takes, and is told how long that of others does
    /// ([`Client::mouth_to_ear`](crate::endpoint::Client::mouth_to_ear)).
    pub reports_delay: bool,
    /// Proof that one may join; empty where none is asked for.
    pub credentials: Vec<u8, CREDENTIALS_BYTES_MAX, u8>,
}

impl JoinRequest {
    /// Creates a request at the default rate, without credentials, unmuted, for the roster, of a
    /// client that does not shift its frames and tells nothing of delays.
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
            max_packet: PACKET_BYTES_LEAST as u16,
            rates: &[AudioFormat::DEFAULT.rate],
            muted: false,
            roster: true,
            shifts_frames: false,
            reports_delay: false,
            credentials: Vec::new(),
        }
    }

    /// The features that a Hello offers, as bits.
    pub(super) const fn features(&self) -> u32 {
        let tick_hint = if self.shifts_frames {
            FEATURE_TICK_HINT
        } else {
            0
        };
        let delay_report = if self.reports_delay {
            FEATURE_DELAY_REPORT
        } else {
            0
        };
        tick_hint | delay_report
    }

    /// Returns what a server decided; `None` if that is not what was asked for, or makes no sense.
    pub(super) fn params(&self, welcome: &Welcome) -> Option<SessionParams> {
        let params = SessionParams {
            id: welcome.id,
            codec_up: CodecId::from_id(welcome.codec_up)?,
            codec_down: CodecId::from_id(welcome.codec_down)?,
            format: AudioFormat {
                rate: SampleRate::from_hz(welcome.rate_hz)?,
                frame: FrameDuration::from_millis(welcome.frame_ms)?,
            },
            idle_timeout: Duration::from_millis(u64::from(welcome.idle_timeout_ms)),
        };
        let fits = |codec: CodecId, max_packet: u16| {
            let payload = codec.payload_len(params.format.frame_samples());
            self.codecs.contains(&codec.id())
                && payload + AROUND_PAYLOAD_BYTES <= usize::from(max_packet)
        };
        let is_good = self.rates.contains(&params.format.rate)
            && fits(params.codec_up, welcome.max_packet)
            && fits(params.codec_down, self.max_packet)
            && usize::from(welcome.max_packet) >= PACKET_BYTES_LEAST
            && welcome.idle_timeout_ms >= IDLE_TIMEOUT_MS_MIN
            && welcome.id.0 > 0
            && welcome.revision > 0
            && welcome.participants > 0;
        is_good.then_some(params)
    }
}

/// The shortest idle timeout that a client agrees to, as docs/PROTOCOL.md bounds it and the
/// server's `--idle-timeout` does. It pings three times in one: at 1 ms that would be all that it
/// did.
const IDLE_TIMEOUT_MS_MIN: u32 = 500;

/// What the server decided for the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SessionParams {
    /// The client's own number.
    pub id: ParticipantId,
    /// The codec of the client's voice.
    pub codec_up: CodecId,
    /// The codec of the server's voice.
    pub codec_down: CodecId,
    /// The format of both directions.
    pub format: AudioFormat,
    /// After how long a silent peer is dropped.
    pub idle_timeout: Duration,
}

/// Someone in the room.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Participant {
    /// Who.
    pub id: ParticipantId,
    /// What they are doing.
    pub flags: ParticipantFlags,
    /// Their name, as the server says it: empty if it says none.
    pub name: ParticipantName,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ClientEvent {
    /// The server let us in, and so many are in the room now, we among them. If we asked for the
    /// roster, it follows.
    Joined(SessionParams, u32),
    /// Someone in the roster (we ourselves among them), which replaces what was known of the room
    /// when it is complete.
    Listed {
        /// Who.
        participant: Participant,
        /// Whether the roster begins here. If that comes before the last one was complete, parts of
        /// that were lost.
        is_first: bool,
    },
    /// All of the roster was listed: from now on it is current.
    RosterComplete,
    /// Someone joined.
    ParticipantJoined(Participant),
    /// Someone left, and why.
    ParticipantLeft(ParticipantId, Reason),
    /// Someone began or ceased to talk, muted or unmuted (we ourselves too).
    State(ParticipantId, ParticipantFlags),
    /// So many are in the room, for those who did not ask for the roster.
    Count(u32),
    /// We may not join, and should not try again before so much time has passed;
    /// [`ClientSession::closing_text`](super::ClientSession::closing_text) says what to do. The
    /// session is over.
    Rejected(Reason, Duration),
    /// The session is over. The same holds for trying again.
    Closed(Reason, Duration),
}
