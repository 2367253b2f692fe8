//! What a node tells its surroundings: events as they happen, and counts.

use talkspurt_core::endpoint::ClientStats;
use talkspurt_core::session::{Participant, SessionParams};
use talkspurt_core::wire::{ParticipantFlags, ParticipantId, Reason};

/// What happened. A board may light a lamp for it; a host prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeEvent<'a> {
    /// A Hello goes out; the first one after a loss is number 1.
    Calling {
        /// Counts the Hellos since the start or the loss.
        attempt: u16,
    },
    /// The server let the node in; the participants (the node among them) will be listed.
    Joined {
        /// What the server decided.
        params: SessionParams,
        /// Participants in the room.
        participants: u32,
    },
    /// Someone in the room, in a list that replaces what was known of it.
    Listed {
        /// Who.
        participant: &'a Participant,
        /// Whether the list begins here.
        is_first: bool,
    },
    /// All were listed.
    RosterComplete,
    /// Someone joined.
    ParticipantJoined(&'a Participant),
    /// Someone left.
    ParticipantLeft(ParticipantId),
    /// Someone began or ceased to talk, was muted or unmuted (the node too).
    State(ParticipantId, ParticipantFlags),
    /// The server does not let the node in; it will ask again.
    Rejected {
        /// Why.
        reason: Reason,
        /// What the server says about it.
        text: &'a str,
    },
    /// The session is over; the node will join again.
    Lost(Reason),
    /// The node has left, as it was told to.
    Left,
}

/// Counts since the node started. All wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeStats {
    /// Sessions that began.
    pub joins: u32,
    /// Bytes read from the serial port.
    pub received_bytes: u64,
    /// Bytes written to the serial port.
    pub transmitted_bytes: u64,
    /// Errors that the serial driver reported.
    pub serial_errors: u32,
    /// What its participant counted.
    pub client: ClientStats,
}
