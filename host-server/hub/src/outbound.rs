//! What comes out of lobby and rooms, and when.

use std::collections::VecDeque;

use talkspurt_core::session::ServerEvent;
use talkspurt_core::time::Instant;

use crate::counters::Counters;
use crate::event::Event;
use crate::link::Link;
use crate::ready::Ready;
use crate::resume::Ended;

/// What a worker's lobby and rooms add to, and its driver takes from. It goes down with each call.
#[derive(Debug, Default)]
pub struct Outbound {
    /// The time of the call.
    pub now: Instant,
    /// Links that have output.
    pub ready: Ready,
    /// What is worth a log line.
    pub events: VecDeque<Event>,
    /// What was counted.
    pub counters: Counters,
    /// Sessions that have ended, and may be resumed.
    pub ended: Ended,
    /// Links that have left a room, and the next event of each if it was taken. The hub takes them
    /// to the lobby after each call.
    pub departed: VecDeque<(Box<Link>, Option<ServerEvent>)>,
}

impl Outbound {
    /// Returns it for a call at `now`.
    pub fn at(&mut self, now: Instant) -> &mut Self {
        self.now = now;
        self
    }
}
