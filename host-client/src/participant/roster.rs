//! The list of participants in the room, kept current by the session's events.

use crate::events::{EventKind, RosterLine};
use std::collections::BTreeMap;
use talkspurt_core::{
    session::{JoinRequest, Participant, SessionParams},
    wire::{ParticipantFlags, ParticipantId},
};

/// Longest list that is accepted: a server's rooms hold at most 1,000 (its `--room-capacity`). A
/// peer that lists more is not a Talkspurt server.
const LINES_MAX: usize = 1_024;

/// The room's current list, ordered by number.
#[derive(Debug, Default)]
pub(super) struct Roster {
    lines: BTreeMap<u16, RosterLine>,
}

impl Roster {
    /// Clears the list for a new session.
    pub(super) fn clear(&mut self) {
        self.lines.clear();
    }

    /// Adds a participant of the initial list, or a newcomer. Returns `None` if there are too many.
    pub(super) fn add(&mut self, participant: &Participant) -> Option<RosterLine> {
        if self.lines.len() >= LINES_MAX && !self.lines.contains_key(&participant.id.0) {
            return None;
        }
        let line = RosterLine {
            id: participant.id.0,
            name: participant.name.to_string(),
            talking: participant.flags.has(ParticipantFlags::TALKING),
            muted: participant.flags.has(ParticipantFlags::MUTED),
        };
        self.lines.insert(line.id, line.clone());
        Some(line)
    }

    /// Removes a participant. Returns `None` for an unknown one.
    pub(super) fn remove(&mut self, id: ParticipantId) -> Option<EventKind> {
        self.lines
            .remove(&id.0)
            .map(|line| EventKind::ParticipantLeft {
                id: line.id,
                name: line.name,
            })
    }

    /// Returns what changed with a participant: talking, muted, or both.
    pub(super) fn update(&mut self, id: ParticipantId, flags: ParticipantFlags) -> Vec<EventKind> {
        let Some(line) = self.lines.get_mut(&id.0) else {
            return Vec::new();
        };
        let (id, name) = (line.id, &line.name);
        let (talking, muted) = (
            flags.has(ParticipantFlags::TALKING),
            flags.has(ParticipantFlags::MUTED),
        );
        let mut changes = Vec::new();
        if line.talking != talking {
            let name = name.clone();
            changes.push(if talking {
                EventKind::Talking { id, name }
            } else {
                EventKind::Silent { id, name }
            });
        }
        if line.muted != muted {
            changes.push(EventKind::Muted {
                id,
                name: name.clone(),
                muted,
            });
        }
        (line.talking, line.muted) = (talking, muted);
        changes
    }

    /// Returns the event for joining this room.
    pub(super) fn joined(&self, request: &JoinRequest, params: &SessionParams) -> EventKind {
        EventKind::Joined {
            id: params.id.0,
            name: request.name.to_string(),
            room: request.room.to_string(),
            codec: params.codec.name(),
            rate_hz: params.rate.hz(),
            frame_ms: params.frame.ms(),
            roster: self.lines(),
        }
    }

    /// Returns everyone.
    pub(super) fn lines(&self) -> Vec<RosterLine> {
        self.lines.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use talkspurt_core::wire::ParticipantName;

    fn ann(flags: ParticipantFlags) -> Participant {
        Participant {
            id: ParticipantId(4),
            flags,
            name: ParticipantName::new("ann").unwrap(),
        }
    }

    #[test]
    fn changes_are_reported_once() {
        let mut roster = Roster::default();
        assert_eq!(
            roster.update(ParticipantId(4), ParticipantFlags::TALKING),
            []
        );
        roster.add(&ann(ParticipantFlags::default()));
        let both = ParticipantFlags::TALKING.with(ParticipantFlags::MUTED, true);
        let (id, name) = (4, || "ann".to_owned());
        assert_eq!(
            roster.update(ParticipantId(4), both),
            [
                EventKind::Talking { id, name: name() },
                EventKind::Muted {
                    id,
                    name: name(),
                    muted: true
                }
            ]
        );
        assert_eq!(roster.update(ParticipantId(4), both), []);
        assert_eq!(
            roster.update(ParticipantId(4), ParticipantFlags::MUTED),
            [EventKind::Silent { id, name: name() }]
        );
        assert_eq!(
            roster.remove(ParticipantId(4)),
            Some(EventKind::ParticipantLeft { id, name: name() })
        );
        assert_eq!(roster.remove(ParticipantId(4)), None);
        assert!(roster.lines().is_empty());
    }

    #[test]
    fn it_is_bounded() {
        let mut roster = Roster::default();
        let numbered = |number| Participant {
            id: ParticipantId(number),
            ..ann(ParticipantFlags::default())
        };
        assert!((0..1_024).all(|number| roster.add(&numbered(number)).is_some()));
        assert!(roster.add(&numbered(1_024)).is_none());
        assert!(roster.add(&numbered(7)).is_some(), "it is already there");
        assert_eq!(roster.lines().len(), 1_024);
    }
}
