//! A stream between the hub and whoever is at its other end.

use talkspurt_hub::LinkId;

use crate::lost_packets::Losses;
use crate::pipe::Pipe;
use crate::weather::Weather;
use crate::world::ClientId;

/// Both directions, and what the ends know of each other.
pub struct Stream {
    /// The hub's name for it, while the hub has it.
    pub link: Option<LinkId>,
    /// To the hub.
    pub up: Pipe,
    /// From the hub.
    pub down: Pipe,
    /// What `down` has lost.
    pub losses: Losses,
    /// Of both directions.
    pub weather: Weather,
    /// The hub was told to wait.
    pub blocked: bool,
    /// Nobody takes what arrives.
    pub stalled: bool,
    /// Neither end hears of the other any more, nor of its end.
    pub vanished: bool,
    /// The client knows that the server has closed it.
    pub told_closed: bool,
    /// Who is at the other end.
    pub client: Option<ClientId>,
    /// What arrived at an end that is no client.
    pub received: Vec<u8>,
}

impl Stream {
    /// A stream that has just been opened.
    pub fn new(link: Option<LinkId>, weather: Weather, up_seed: u64, down_seed: u64) -> Self {
        Self {
            link,
            up: Pipe::new(weather, up_seed),
            down: Pipe::new(weather, down_seed),
            losses: Losses::default(),
            weather,
            blocked: false,
            stalled: false,
            vanished: false,
            told_closed: false,
            client: None,
            received: Vec::new(),
        }
    }
}
