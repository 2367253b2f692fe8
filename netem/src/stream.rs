//! A stream between the hub and a client or a test.

use talkspurt_core::time::Instant;
use talkspurt_hub::LinkId;

use crate::lost_packets::Losses;
use crate::pipe::Pipe;
use crate::weather::Weather;
use crate::world::ClientId;

/// Both directions of a stream, and what the ends know of each other.
pub struct Stream {
    /// The hub's id for it, while the hub has it.
    pub link: Option<LinkId>,
    /// The direction to the hub.
    pub up: Pipe,
    /// The direction from the hub.
    pub down: Pipe,
    /// The packets that `down` has lost.
    pub losses: Losses,
    /// The weather in both directions.
    pub weather: Weather,
    /// The hub was told to wait with output.
    pub blocked: bool,
    /// So was the client.
    pub client_blocked: bool,
    /// The far end reads nothing.
    pub stalled: bool,
    /// Neither end hears from the other any more, nor learns that the stream ended.
    pub vanished: bool,
    /// The client knows that the server has closed the stream.
    pub told_closed: bool,
    /// The client at the far end, if there is one.
    pub client: Option<ClientId>,
    /// What arrived at a far end without a client.
    pub received: Vec<u8>,
}

impl Stream {
    /// Creates an open stream.
    pub fn new(link: Option<LinkId>, weather: Weather, up_seed: u64, down_seed: u64) -> Self {
        Self {
            link,
            up: Pipe::new(weather, up_seed),
            down: Pipe::new(weather, down_seed),
            losses: Losses::default(),
            weather,
            blocked: false,
            client_blocked: false,
            stalled: false,
            vanished: false,
            told_closed: false,
            client: None,
            received: Vec::new(),
        }
    }

    /// Returns when the far end is to be looked at next: when bytes arrive, or at once if the
    /// stream has ended and the client does not know yet.
    pub fn next_down(&self, now: Instant) -> Option<Instant> {
        if self.stalled {
            return None;
        }
        let tells = self.link.is_none() && !self.vanished && !self.told_closed;
        let ends = (tells && self.client.is_some()).then_some(now);
        self.down.next_arrival().or(ends)
    }
}
