//! How much a server may make us tell: without a bound, one that means ill fills the disk of
//! whoever keeps our events.

use crate::events::EventKind;
use talkspurt_core::{session::Budget, time::Instant};

/// Of each kind at once: twice a full room of 1,000 that comes, talks or goes together.
const BURST: u32 = 2_000;
/// Of each kind in a second. A lively room of 1,000 in which a hundred talk by turns makes a tenth
/// of it.
const PER_SECOND: u32 = 500;
/// Joinings at once and in a second: each tells a whole roster, and a session has one.
const JOINED_BURST: u32 = 16;
const JOINED_PER_SECOND: u32 = 1;

/// What may still be told, kind by kind: a flood of one does not hide the others.
#[derive(Debug)]
pub(super) struct Floods {
    joined: Budget,
    came: Budget,
    went: Budget,
    talking: Budget,
    silent: Budget,
    muted: Budget,
}

impl Floods {
    pub(super) fn new(now: Instant) -> Self {
        let budget = || Budget::new(BURST, PER_SECOND, now);
        Self {
            joined: Budget::new(JOINED_BURST, JOINED_PER_SECOND, now),
            came: budget(),
            went: budget(),
            talking: budget(),
            silent: budget(),
            muted: budget(),
        }
    }

    /// Whether this event may be told now. What a server cannot cause always may.
    pub(super) fn admit(&mut self, kind: &EventKind, now: Instant) -> bool {
        let budget = match kind {
            EventKind::Joined { .. } => &mut self.joined,
            EventKind::ParticipantJoined(_) => &mut self.came,
            EventKind::ParticipantLeft { .. } => &mut self.went,
            EventKind::Talking { .. } => &mut self.talking,
            EventKind::Silent { .. } => &mut self.silent,
            EventKind::Muted { .. } => &mut self.muted,
            _ => return true,
        };
        budget.take(1, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::RosterLine;
    use talkspurt_core::time::Duration;

    fn silent() -> EventKind {
        EventKind::Silent {
            id: 1,
            name: "ann".into(),
        }
    }

    fn talking() -> EventKind {
        EventKind::Talking {
            id: 1,
            name: "ann".into(),
        }
    }

    #[test]
    fn a_flood_is_bounded_and_hides_nothing_else() {
        let mut now = Instant::ZERO;
        let mut floods = Floods::new(now);
        let mut told = 0;
        for _ in 0..100_000 {
            told += u32::from(floods.admit(&talking(), now));
            now += Duration::from_micros(100);
        }
        assert_eq!(told, BURST + 10 * PER_SECOND - 1, "in 10 s");
        assert!(floods.admit(&silent(), now));
        assert!(floods.admit(&EventKind::InputEnded { problem: None }, now));
    }

    #[test]
    fn every_kind_that_a_server_can_cause_has_a_bound_of_its_own() {
        let (id, name) = (1, String::new());
        let line = RosterLine {
            id,
            name: name.clone(),
            talking: false,
            muted: false,
        };
        let joined = EventKind::Joined {
            id,
            name: name.clone(),
            room: name.clone(),
            codec: "pcm16",
            rate_hz: 16_000,
            frame_ms: 20,
            roster: Vec::new(),
        };
        let left = EventKind::ParticipantLeft {
            id,
            name: name.clone(),
        };
        let muted = EventKind::Muted {
            id,
            name,
            muted: true,
        };
        let now = Instant::ZERO;
        let mut floods = Floods::new(now);
        // One after the other: none takes from the next.
        for (kind, most) in [
            (joined, JOINED_BURST),
            (EventKind::ParticipantJoined(line), BURST),
            (left, BURST),
            (talking(), BURST),
            (silent(), BURST),
            (muted, BURST),
        ] {
            let told = (0..3 * BURST).filter(|_| floods.admit(&kind, now)).count();
            assert_eq!(told, most as usize, "{kind:?}");
        }
    }

    #[test]
    fn a_full_room_may_talk_at_once() {
        let now = Instant::ZERO;
        let mut floods = Floods::new(now);
        assert!((0..1_000).all(|_| floods.admit(&talking(), now)));
        assert!((0..1_000).all(|_| floods.admit(&silent(), now)));
    }
}
