//! The log lines of what happens in the rooms.

use std::net::SocketAddr;

use talkspurt_core::wire::ByeReason;

use crate::hub::{ConnId, Event};

/// Writes an event's line. `peer` knows where a connection comes from.
pub fn write(event: &Event, peer: impl Fn(ConnId) -> Option<SocketAddr>) {
    match event {
        Event::Joined {
            conn,
            id,
            name,
            room,
            participants,
        } => {
            tracing::info!(peer = %address(peer(*conn)), id = id.0, name = name.as_str(), room = room.as_str(), participants, "joined");
        }
        Event::Left {
            conn,
            id,
            name,
            room,
            participants,
            reason,
        } => {
            let peer = address(peer(*conn));
            let (id, name, room, label) = (id.0, name.as_str(), room.as_str(), reason.label());
            if matches!(
                reason,
                ByeReason::Leaving | ByeReason::Rejoined | ByeReason::Stopping
            ) {
                tracing::info!(%peer, id, name, room, participants, reason = label, "left");
            } else {
                tracing::warn!(%peer, id, name, room, participants, reason = label, "dropped: {reason}");
            }
        }
        Event::Refused { conn, reason } => {
            tracing::warn!(peer = %address(peer(*conn)), reason = reason.label(), "refused: {reason}");
        }
    }
}

/// A connection that broke may be gone by the time its line is written.
fn address(peer: Option<SocketAddr>) -> String {
    peer.map_or_else(|| "gone".to_owned(), |peer| peer.to_string())
}
