//! Limits how many events a server may cause. Without them a hostile server could fill the disk of
//! a user who keeps them.

use crate::events::EventKind;
use std::{
    collections::HashMap,
    mem::{Discriminant, discriminant},
};
use talkspurt_core::{time::Instant, token_bucket::TokenBucket};

/// Events of each kind at once: twice a full room of 1,000 whose members all join, talk or leave
/// together.
const BURST: u32 = 2_000;
/// Events of each kind per second. A server reports at most a hundred changes a second, when ten
/// people change as often as allowed, and each change is undone by another kind.
const PER_SECOND: u32 = 50;
/// Joinings at once. Each reports a whole roster, and a session has one.
const JOINED_BURST: u32 = 16;
/// Seconds between joinings. A session that is lost at once is retried at ever longer intervals.
const JOINED_EVERY_SECS: u32 = 10;

/// Budgets for each kind: a flood of one kind does not hide the others.
#[derive(Debug)]
pub(super) struct Floods {
    /// In seconds.
    joined: TokenBucket,
    others: HashMap<Discriminant<EventKind>, TokenBucket>,
}

impl Default for Floods {
    fn default() -> Self {
        Self {
            joined: TokenBucket::new(JOINED_BURST * JOINED_EVERY_SECS, 1, Instant::ZERO),
            others: HashMap::new(),
        }
    }
}

impl Floods {
    /// Returns whether this event may be sent now. Events that a server cannot cause always may.
    pub(super) fn admit(&mut self, kind: &EventKind, now: Instant) -> bool {
        match kind {
            EventKind::Joined { .. } => self.joined.take(JOINED_EVERY_SECS, now),
            EventKind::ParticipantJoined(_)
            | EventKind::ParticipantLeft { .. }
            | EventKind::Talking { .. }
            | EventKind::Silent { .. }
            | EventKind::Muted { .. } => {
                let budget = self.others.entry(discriminant(kind));
                let full = || TokenBucket::new(BURST, PER_SECOND, now);
                budget.or_insert_with(full).take(1, now)
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Event, RosterLine};
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
        let mut floods = Floods::default();
        let mut told = 0;
        for _ in 0..100_000 {
            told += u32::from(floods.admit(&talking(), now));
            now += Duration::from_micros(100);
        }
        assert_eq!(told, BURST + 10 * PER_SECOND - 1, "in 10 s");
        assert!(floods.admit(&silent(), now));
        assert!(floods.admit(&EventKind::InputEnded { problem: None }, now));
    }

    /// What the worst server makes us write in a day.
    #[test]
    fn a_day_of_floods_is_what_the_architecture_says() {
        let name = || "n".repeat(32);
        let line = |id| RosterLine {
            id,
            name: name(),
            talking: false,
            muted: false,
        };
        let json_bytes = |kind| {
            let (t_ms, missed) = (86_400_000, 1_000_000);
            Event { t_ms, missed, kind }.to_json().len() as u64
        };
        let joined = json_bytes(EventKind::Joined {
            id: 1,
            name: name(),
            room: name(),
            codec: "pcm16",
            rate_hz: 16_000,
            frame_ms: 20,
            roster: (10_000..11_024).map(line).collect(),
        });
        let change = json_bytes(EventKind::ParticipantJoined(line(10_000)));
        let per_second = 5 * u64::from(PER_SECOND) * change + joined / u64::from(JOINED_EVERY_SECS);
        let day_bytes = per_second * 86_400;
        assert!(day_bytes < 5_000_000_000, "{day_bytes}");

        let mut now = Instant::ZERO;
        let mut floods = Floods::default();
        let mut told = 0;
        for _ in 0..1_000 {
            let kind = EventKind::Joined {
                id: 1,
                name: name(),
                room: name(),
                codec: "pcm16",
                rate_hz: 16_000,
                frame_ms: 20,
                roster: Vec::new(),
            };
            told += u32::from(floods.admit(&kind, now));
            now += Duration::from_secs(1);
        }
        assert_eq!(told, JOINED_BURST + 999 / JOINED_EVERY_SECS);
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
        let mut floods = Floods::default();
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
        let mut floods = Floods::default();
        assert!((0..1_000).all(|_| floods.admit(&talking(), now)));
        assert!((0..1_000).all(|_| floods.admit(&silent(), now)));
    }
}
