//! What a node reports: events as they happen, and counts.

use talkspurt_core::endpoint::ClientStats;
use talkspurt_core::session::{ClientEvent, SessionParams};
use talkspurt_core::wire::Reason;

/// An event. A board may show it with an LED, or log it; a host prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
    /// What the server tells of the room: who is in it, who comes and goes, and what they do.
    /// Never `Joined`, `Rejected` or `Closed`, which are events of the node.
    Room(&'a ClientEvent),
    /// The server refuses the node, which will ask again.
    Rejected {
        /// Why.
        reason: Reason,
        /// What the server says about it.
        text: &'a str,
    },
    /// The session is over; the node will join again.
    Lost {
        /// Why.
        reason: Reason,
        /// What the server says about it; empty if it said nothing, or the node ended it.
        text: &'a str,
    },
    /// The node has left, as it was told to.
    Left,
}

/// Counts since the node started. All wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeStats {
    /// Sessions joined.
    pub joins: u32,
    /// Bytes read from the serial port.
    pub received_bytes: u64,
    /// Bytes written to the serial port.
    pub transmitted_bytes: u64,
    /// Errors that the serial driver reported.
    pub serial_errors: u32,
    /// Counts of its client.
    pub client: ClientStats,
}
