//! A participant's description: room, name, codec and what they say.

use talkspurt_core::audio::codec::{CodecId, PAYLOAD_MAX};
use talkspurt_core::audio::gate::GateMode;
use talkspurt_core::carrier::stream::TRANSMIT_MAX;
use talkspurt_core::endpoint::{Client, ClientConfig};
use talkspurt_core::session::JoinRequest;
use talkspurt_core::time::Duration;
use talkspurt_core::voice::uplink::HISTORY_SAMPLES_DEFAULT;
use talkspurt_core::wire::{ParticipantName, RoomName};

/// The most packets that may wait to be played.
const SLOTS: usize = 64;
/// Bytes of voice that may wait for the stream.
const QUEUE_BYTES: usize = 8 * 1024;

/// The endpoint that every participant runs.
pub(crate) type Endpoint =
    Client<PAYLOAD_MAX, TRANSMIT_MAX, SLOTS, QUEUE_BYTES, HISTORY_SAMPLES_DEFAULT>;

/// Who joins which room, and what they say.
#[derive(Clone, Debug)]
pub struct Person {
    /// The room to join.
    pub room: String,
    /// The name to join under.
    pub name: String,
    /// The codec to ask for.
    pub codec: CodecId,
    /// Whether there is a gate, with fixed thresholds. Without it every frame of `says` is sent,
    /// and nothing after them.
    pub gate: bool,
    /// What the microphone hears from the moment of joining, followed by silence.
    pub says: Vec<i16>,
    /// By how much these frames are shifted against those of others: less than a frame.
    pub phase: Duration,
    /// Whether they are shifted as the server asks for.
    pub shifts_frames: bool,
    /// Whether its client tells how long its voice takes, and is told of others'.
    pub reports_delay: bool,
    /// How much sound waits initially before it is played, in milliseconds.
    pub margin_ms: u16,
    /// Whether to join again after a session that the client did not end itself.
    pub persistent: bool,
}

impl Person {
    /// Describes a listener, with PCM16 and a gate.
    pub fn new(room: &str, name: &str) -> Self {
        Self {
            room: room.to_owned(),
            name: name.to_owned(),
            codec: CodecId::Pcm16,
            gate: true,
            says: Vec::new(),
            phase: Duration::ZERO,
            shifts_frames: true,
            reports_delay: false,
            margin_ms: 20,
            persistent: false,
        }
    }

    /// Sets what the person says.
    pub fn saying(self, says: Vec<i16>) -> Self {
        Self { says, ..self }
    }

    pub(crate) fn endpoint(&self) -> Box<Endpoint> {
        let room = RoomName::new(&self.room).expect("tests name rooms well");
        let name = ParticipantName::new(&self.name).expect("tests name people well");
        let mut request = JoinRequest::new(room, name, &[self.codec]);
        request.shifts_frames = self.shifts_frames;
        request.reports_delay = self.reports_delay;
        let mut config = ClientConfig::new(request);
        config.gate.mode = match self.gate {
            true => GateMode::ORIGINAL,
            false => GateMode::Off,
        };
        config.playout_margin_ms = self.margin_ms;
        Box::new(Endpoint::new(config).expect("the defaults are valid"))
    }
}
