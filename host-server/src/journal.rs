//! The log lines of what happens in the rooms: bounded in number, as what strangers do must not fill a disk.

use std::net::SocketAddr;

use talkspurt_core::session::Budget;
use talkspurt_core::time::Instant;
use talkspurt_core::wire::ByeReason;

use crate::hub::{ConnId, Event};

/// Lines at once: as many as a full server of the default size writes when everyone joins; and lines a second after that, at about
/// 150 bytes a quarter of a gigabyte a day.
const LINES_BURST: u32 = 1_000;
const LINES_PER_SECOND: u32 = 20;

/// Writes lines while they are not too many, then counts what it leaves out.
#[derive(Debug)]
pub struct Journal {
    lines: Budget,
    left_out: u64,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            lines: Budget::new(LINES_BURST, LINES_PER_SECOND, Instant::ZERO),
            left_out: 0,
        }
    }
}

impl Journal {
    /// Writes an event's line. `peer` knows where a connection comes from.
    pub fn write(
        &mut self,
        event: &Event,
        now: Instant,
        peer: impl Fn(ConnId) -> Option<SocketAddr>,
    ) {
        if self.may_write(now) {
            write(event, peer);
        }
    }

    /// Writes that a connection was not let in at all.
    pub fn write_turned_away(&mut self, peer: SocketAddr, now: Instant) {
        if self.may_write(now) {
            tracing::warn!(%peer, "refused: the server is stopping, or has no room for another connection");
        }
    }

    fn may_write(&mut self, now: Instant) -> bool {
        if !self.lines.take(1, now) {
            self.left_out += 1;
            return false;
        }
        if self.left_out > 0 {
            tracing::warn!(
                lines = self.left_out,
                "left out lines: too much happened at once"
            );
            self.left_out = 0;
        }
        true
    }
}

fn write(event: &Event, peer: impl Fn(ConnId) -> Option<SocketAddr>) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use talkspurt_core::time::Duration;

    #[test]
    fn a_flood_of_events_is_a_trickle_of_lines() {
        let mut journal = Journal::default();
        let written = (0..100_000u64)
            .filter(|n| journal.may_write(Instant::ZERO + Duration::from_micros(n * 100)))
            .count();
        assert!(
            (1_190..=1_200).contains(&written),
            "{written} lines in 10 s"
        );
        assert!(journal.left_out > 0);
        assert!(journal.may_write(Instant::ZERO + Duration::from_secs(100)));
        assert_eq!(journal.left_out, 0, "it was said what is missing");
    }
}
