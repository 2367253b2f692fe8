//! What comes out of lobby and rooms, for those above them.

use std::collections::VecDeque;

use crate::counters::Counters;
use crate::event::Event;
use crate::link::Link;
use crate::ready::Ready;

/// What a worker's lobby and rooms add to, and its driver takes from.
#[derive(Debug, Default)]
pub struct Outbound {
    /// Links that have output.
    pub ready: Ready,
    /// What is worth a log line.
    pub events: VecDeque<Event>,
    /// What was counted.
    pub counters: Counters,
    /// Links that have left a room. The hub takes them to the lobby after each call.
    pub departed: Vec<Box<Link>>,
}
