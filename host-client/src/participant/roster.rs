//! The list of participants in the room, kept current by the session's events.

use crate::events::{EventKind, RosterLine};
use std::collections::BTreeMap;
use talkspurt_core::{
    session::{JoinRequest, Participant, SessionParams},
    wire::{ParticipantFlags, ParticipantId},
};

/// Longest list that is kept: no room has more, as docs/PROTOCOL.md bounds it.
const LINES_MAX: usize = 4_096;

/// The room's current list, ordered by number.
#[derive(Debug, Default)]
pub(super) struct Roster {
    lines: BTreeMap<u32, RosterLine>,
    /// The list that is to replace it when it is complete.
    listed: BTreeMap<u32, RosterLine>,
}

impl Roster {
    /// Clears the list for a new session.
    pub(super) fn clear(&mut self) {
        self.lines.clear();
        self.listed.clear();
    }

    /// Notes a participant of a list that begins or goes on.
    pub(super) fn list(&mut self, participant: &Participant, is_first: bool) {
        if is_first {
            self.listed.clear();
        }
        if self.listed.len() < LINES_MAX {
            self.listed.insert(participant.id.0, line(participant));
        }
    }

    /// Takes the list that was noted. Returns how it differs from what was known.
    pub(super) fn complete(&mut self) -> Vec<EventKind> {
        let listed = std::mem::take(&mut self.listed);
        let gone: Vec<u32> = self.lines.keys().copied().collect();
        let gone = gone.into_iter().filter(|id| !listed.contains_key(id));
        let mut changes: Vec<_> = gone
            .filter_map(|id| self.remove(ParticipantId(id)))
            .collect();
        for line in listed.values() {
            let known = self.lines.get(&line.id);
            if known.is_some_and(|known| known.name == line.name) {
                changes.extend(self.update_line(line.id, line.talking, line.muted));
            } else {
                changes.push(EventKind::ParticipantJoined(line.clone()));
            }
        }
        self.lines = listed;
        changes
    }

    /// Adds a newcomer. Returns `None` if there are too many.
    pub(super) fn add(&mut self, participant: &Participant) -> Option<RosterLine> {
        if self.lines.len() >= LINES_MAX && !self.lines.contains_key(&participant.id.0) {
            return None;
        }
        let line = line(participant);
        self.lines.insert(line.id, line.clone());
        Some(line)
    }

    /// Removes a participant. Returns `None` for an unknown one.
    pub(super) fn remove(&mut self, id: ParticipantId) -> Option<EventKind> {
        let RosterLine { id, name, .. } = self.lines.remove(&id.0)?;
        Some(EventKind::ParticipantLeft { id, name })
    }

    /// Returns what changed with a participant: talking, muted, or both.
    pub(super) fn update(&mut self, id: ParticipantId, flags: ParticipantFlags) -> Vec<EventKind> {
        let is = |flag| flags.has(flag);
        let (talking, muted) = (is(ParticipantFlags::TALKING), is(ParticipantFlags::MUTED));
        self.update_line(id.0, talking, muted)
    }

    fn update_line(&mut self, id: u32, talking: bool, muted: bool) -> Vec<EventKind> {
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        let name = &line.name;
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
            codec: params.codec_up.name(),
            rate_hz: params.format.rate.hz(),
            frame_ms: params.format.frame.ms(),
            roster: self.lines(),
        }
    }

    /// Returns everyone.
    pub(super) fn lines(&self) -> Vec<RosterLine> {
        self.lines.values().cloned().collect()
    }
}

fn line(participant: &Participant) -> RosterLine {
    RosterLine {
        id: participant.id.0,
        name: participant.name.to_string(),
        talking: participant.flags.has(ParticipantFlags::TALKING),
        muted: participant.flags.has(ParticipantFlags::MUTED),
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
    fn a_list_that_comes_again_tells_what_was_missed() {
        let numbered = |number, flags| Participant {
            id: ParticipantId(number),
            ..ann(flags)
        };
        let mut roster = Roster::default();
        let silent = ParticipantFlags::default();
        for number in [1, 2, 3] {
            roster.list(&numbered(number, silent), number == 1);
        }
        assert_eq!(roster.complete().len(), 3);
        // Of this one a part is lost, so that it counts for nothing.
        roster.list(&numbered(9, silent), true);
        roster.list(&numbered(2, ParticipantFlags::TALKING), true);
        roster.list(&numbered(3, silent), false);
        roster.list(&numbered(4, silent), false);
        let (id, name) = (1, "ann".to_owned());
        let changes = roster.complete();
        assert_eq!(changes[0], EventKind::ParticipantLeft { id, name });
        assert!(matches!(changes[1], EventKind::Talking { id: 2, .. }));
        assert!(matches!(&changes[2], EventKind::ParticipantJoined(line) if line.id == 4));
        assert_eq!((changes.len(), roster.lines().len()), (3, 3));
        let was_told = roster.update(ParticipantId(2), silent);
        assert!(matches!(was_told[..], [EventKind::Silent { .. }]));
    }

    #[test]
    fn a_number_that_another_has_now_is_a_newcomers() {
        let mut roster = Roster::default();
        roster.add(&ann(ParticipantFlags::default()));
        let mut bob = ann(ParticipantFlags::default());
        bob.name = ParticipantName::new("bob").unwrap();
        roster.list(&bob, true);
        let joined = EventKind::ParticipantJoined(line(&bob));
        assert_eq!(roster.complete(), [joined]);
    }

    #[test]
    fn it_is_bounded() {
        let mut roster = Roster::default();
        let numbered = |number| Participant {
            id: ParticipantId(number),
            ..ann(ParticipantFlags::default())
        };
        assert!((0..4_096).all(|number| roster.add(&numbered(number)).is_some()));
        assert!(roster.add(&numbered(4_096)).is_none());
        assert!(roster.add(&numbered(7)).is_some(), "it is already there");
        assert_eq!(roster.lines().len(), 4_096);
    }
}
