//! What the hub says of itself in figures, for the metrics.

use super::Hub;
use crate::counters::{Counters, FrameCounters, Gauges};
use crate::room::Room;

impl Hub {
    /// Counts since the start. The frames of those who are here are in [`Hub::frame_counters`].
    pub fn counters(&self) -> Counters {
        Counters {
            encodings: self.mixdown.encodings(),
            slow_consumer_drops: self.connections.voice_drops(),
            ..self.counters.clone()
        }
    }

    /// What befell the frames of all talkers, those who have left among them.
    pub fn frame_counters(&self) -> FrameCounters {
        let mut frames = self.counters.frames;
        for participant in self.rooms.values().flat_map(Room::participants) {
            frames.add(&participant.jitter_stats());
        }
        frames
    }

    /// What is true right now.
    pub fn gauges(&self) -> Gauges {
        let talkers = self
            .rooms
            .values()
            .flat_map(Room::participants)
            .filter(|participant| participant.is_talking());
        Gauges {
            rooms: self.rooms.len(),
            participants: self.ids.len(),
            talkers: talkers.count(),
            handshakes: self.handshakes(),
        }
    }
}
