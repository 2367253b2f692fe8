//! What the hub tells its driver: to close a link, what was done, what is worth a log line.

use talkspurt_core::wire::{ParticipantId, ParticipantName, Reason, RoomName};

use crate::ids::LinkId;

/// A link is over and has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// The peer did not take all that was for it.
    pub unsent: bool,
}

/// What [`Hub::handle_timeout`](crate::Hub::handle_timeout) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It mixed one frame of one room.
    Tick,
    /// Something else, or nothing.
    Other,
}

/// Something worth a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Someone joined a room (and made it, if they are its first).
    Joined(Presence),
    /// Someone left a room (and ended it, if they were its last).
    Left(Presence, Reason),
    /// A link closed before anything came from it.
    Probed {
        /// Which.
        link: LinkId,
    },
    /// A link was refused before it joined.
    Refused {
        /// Which.
        link: LinkId,
        /// Why.
        reason: Reason,
    },
}

/// Someone in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Their link.
    pub link: LinkId,
    /// Their number in the room.
    pub id: ParticipantId,
    /// Their name.
    pub name: ParticipantName,
    /// The room.
    pub room: RoomName,
    /// Those in it now.
    pub participants: usize,
}
