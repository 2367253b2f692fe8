//! Who takes part: room, name, codec and what is said.

use talkspurt_core::codec::Codec;
use talkspurt_core::session::JoinRequest;
use talkspurt_core::time::Duration;
use talkspurt_core::wire::{ParticipantName, RoomName};

/// Who joins where, and what they say.
#[derive(Clone, Debug)]
pub struct Person {
    /// The room to join.
    pub room: String,
    /// The name to join under.
    pub name: String,
    /// The codec to ask for.
    pub codec: Codec,
    /// Whether the gate gates; without it every frame of `says` is sent, and nothing after them.
    pub gate: bool,
    /// What the microphone hears from the moment of joining; silence after it.
    pub says: Vec<i16>,
    /// How much later than the others' these frames begin: less than a frame.
    pub phase: Duration,
    /// Frames that playout keeps in reserve at first.
    pub margin_frames: u16,
    /// Whether to join again when the session was not ended from here.
    pub persistent: bool,
}

impl Person {
    /// Someone who listens, in PCM16 with a gate.
    pub fn new(room: &str, name: &str) -> Self {
        Self {
            room: room.to_owned(),
            name: name.to_owned(),
            codec: Codec::Pcm16,
            gate: true,
            says: Vec::new(),
            phase: Duration::ZERO,
            margin_frames: 1,
            persistent: false,
        }
    }

    /// The same, saying that.
    pub fn saying(self, says: Vec<i16>) -> Self {
        Self { says, ..self }
    }

    pub(crate) fn request(&self) -> JoinRequest {
        let room = RoomName::new(&self.room).expect("tests name rooms well");
        let name = ParticipantName::new(&self.name).expect("tests name people well");
        JoinRequest::new(room, name, &[self.codec])
    }
}
