//! The log lines of what happens in the rooms: bounded in number, as what strangers do must not
//! fill a disk.

use std::net::SocketAddr;

use talkspurt_core::time::Instant;
use talkspurt_core::token_bucket::TokenBucket;
use talkspurt_core::wire::ByeReason;
use talkspurt_hub::{Event, LinkId};

/// Lines about those who join or leave: at once as many as a full server of the default size writes
/// when everyone joins, and a second after that.
const MEMBERS: (u32, u32) = (1_000, 20);
/// The same about strangers who never join. Together with the others, at about 150 bytes a line,
/// three quarters of a gigabyte a day at worst.
const STRANGERS: (u32, u32) = (100, 5);

/// What a line is about. Each kind has a budget of its own, so that strangers who are refused
/// without end hide nobody who joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Joined,
    Left,
    Refused,
    TurnedAway,
    Probed,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Joined,
        Self::Left,
        Self::Refused,
        Self::TurnedAway,
        Self::Probed,
    ];

    fn of(event: &Event) -> Self {
        match event {
            Event::Joined { .. } => Self::Joined,
            Event::Left { .. } => Self::Left,
            Event::Refused { .. } => Self::Refused,
            Event::Probed { .. } => Self::Probed,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Left => "left",
            Self::Refused => "refused",
            Self::TurnedAway => "turned away",
            Self::Probed => "probed",
        }
    }

    fn lines(self) -> Lines {
        let (burst, per_second) = match self {
            Self::Joined | Self::Left => MEMBERS,
            _ => STRANGERS,
        };
        Lines {
            budget: TokenBucket::new(burst, per_second, Instant::ZERO),
            left_out: 0,
        }
    }
}

/// The lines of one kind.
#[derive(Debug)]
struct Lines {
    budget: TokenBucket,
    left_out: u64,
}

/// Writes lines while they are not too many, then counts what it leaves out.
#[derive(Debug)]
pub struct Journal {
    lines: [Lines; Kind::ALL.len()],
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            lines: Kind::ALL.map(Kind::lines),
        }
    }
}

impl Journal {
    /// Writes an event's line. `peer` knows where a connection comes from.
    pub fn write(
        &mut self,
        event: &Event,
        now: Instant,
        peer: impl Fn(LinkId) -> Option<SocketAddr>,
    ) {
        if self.admit_and_report(Kind::of(event), now) {
            write(event, peer);
        }
    }

    /// Writes that a connection was not let in at all.
    pub fn write_turned_away(&mut self, peer: SocketAddr, now: Instant) {
        if self.admit_and_report(Kind::TurnedAway, now) {
            tracing::warn!(peer = %peer, "refused: the server is stopping, or has no room for another connection");
        }
    }

    /// Whether a line may be written; if so, what was left out before it has been said.
    fn admit_and_report(&mut self, kind: Kind, now: Instant) -> bool {
        let Some(left_out) = self.admit(kind, now) else {
            return false;
        };
        if left_out > 0 {
            tracing::warn!(
                lines = left_out,
                about = kind.name(),
                "left out lines: too much happened at once"
            );
        }
        true
    }

    /// If a line may be written: how many were left out before it of which somebody should know.
    fn admit(&mut self, kind: Kind, now: Instant) -> Option<u64> {
        let lines = &mut self.lines[kind as usize];
        if !lines.budget.take(1, now) {
            lines.left_out += 1;
            return None;
        }
        let left_out = std::mem::take(&mut lines.left_out);
        // Probes are logged at debug level: what is left out of them is not worth a warning.
        Some(if kind == Kind::Probed { 0 } else { left_out })
    }
}

fn write(event: &Event, peer: impl Fn(LinkId) -> Option<SocketAddr>) {
    match event {
        Event::Joined {
            link,
            id,
            name,
            room,
            participants,
        } => {
            tracing::info!(peer = %address(peer(*link)), id = id.0, name = name.as_str(), room = room.as_str(), participants, "joined");
        }
        Event::Left {
            link,
            id,
            name,
            room,
            participants,
            reason,
        } => {
            let peer = address(peer(*link));
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
        Event::Probed { link } => {
            tracing::debug!(peer = %address(peer(*link)), "closed before anything came from it");
        }
        Event::Refused { link, reason } => {
            tracing::warn!(peer = %address(peer(*link)), reason = reason.label(), "refused: {reason}");
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
    use crate::testing::lines_logged;
    use talkspurt_core::time::Duration;
    use talkspurt_core::wire::{ParticipantId, RejectReason};

    /// Lines written out of 10,000 a second, and how many were said to be left out before them.
    fn written(journal: &mut Journal, kind: Kind, seconds: u64) -> (usize, u64) {
        let admitted: Vec<u64> = (0..seconds * 10_000)
            .filter_map(|n| journal.admit(kind, Instant::ZERO + Duration::from_micros(n * 100)))
            .collect();
        (admitted.len(), admitted.iter().sum())
    }

    #[test]
    fn a_flood_of_events_is_a_trickle_of_lines() {
        let mut journal = Journal::default();
        for (kind, lines) in [
            (Kind::Joined, 1_199),
            (Kind::Left, 1_199),
            (Kind::Refused, 149),
        ] {
            let (written, told) = written(&mut journal, kind, 10);
            assert_eq!(written, lines, "about {kind:?} in 10 s");
            let later = Instant::ZERO + Duration::from_secs(100);
            let left_out = 100_000 - written as u64;
            assert!(told < left_out, "{kind:?}: some are still untold");
            assert_eq!(journal.admit(kind, later), Some(left_out - told));
            assert_eq!(journal.admit(kind, later), Some(0), "it was said once");
        }
    }

    #[test]
    fn of_probes_that_are_left_out_nobody_is_told() {
        let mut journal = Journal::default();
        let (written, told) = written(&mut journal, Kind::Probed, 10);
        assert_eq!((written, told), (149, 0));
        let later = Instant::ZERO + Duration::from_secs(100);
        assert_eq!(journal.admit(Kind::Probed, later), Some(0));
    }

    #[test]
    fn strangers_hide_nobody_who_joins() {
        let mut journal = Journal::default();
        let now = Instant::ZERO + Duration::from_secs(10);
        let probed = Kind::of(&Event::Probed {
            link: LinkId::default(),
        });
        written(&mut journal, probed, 10);
        assert!((0..100).all(|_| journal.admit(Kind::Refused, now).is_some()));
        for kind in [Kind::Refused, Kind::TurnedAway, Kind::Left] {
            written(&mut journal, kind, 10);
        }
        assert!((0..1_000).all(|_| journal.admit(Kind::Joined, now).is_some()));
    }

    /// The lines that `act` makes.
    fn lines_of(act: impl FnOnce(&mut Journal)) -> Vec<String> {
        lines_logged(|| act(&mut Journal::default()))
    }

    fn left(reason: ByeReason) -> Event {
        Event::Left {
            link: LinkId::default(),
            id: ParticipantId(7),
            name: "ada".parse().unwrap(),
            room: "kitchen".parse().unwrap(),
            participants: 2,
            reason,
        }
    }

    #[test]
    fn each_event_has_its_line() {
        let now = Instant::ZERO;
        let peer: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        let link = LinkId::default();
        let joined = Event::Joined {
            link,
            id: ParticipantId(7),
            name: "ada".parse().unwrap(),
            room: "kitchen".parse().unwrap(),
            participants: 3,
        };
        let reason = RejectReason::RoomFull;
        let events = [
            joined,
            left(ByeReason::Leaving),
            left(ByeReason::SlowConsumer),
            Event::Probed { link },
            Event::Refused { link, reason },
        ];
        let lines = lines_of(|journal| {
            for event in &events {
                journal.write(event, now, |_| Some(peer));
            }
            journal.write(&left(ByeReason::ConnectionLost), now, |_| None);
            journal.write_turned_away(peer, now);
        });
        for (line, starts, has) in [
            (
                0,
                "INFO joined",
                "peer=192.0.2.1:4000 id=7 name=\"ada\" room=\"kitchen\" participants=3",
            ),
            (1, "INFO left", "participants=2"),
            (2, "WARN dropped: ", "room=\"kitchen\""),
            (3, "DEBUG closed before anything", "peer=192.0.2.1:4000"),
            (4, "WARN refused: ", "peer=192.0.2.1:4000"),
            (5, "WARN dropped: ", "peer=gone"),
            (
                6,
                "WARN refused: the server is stopping",
                "peer=192.0.2.1:4000",
            ),
        ] {
            let line = &lines[line];
            assert!(line.starts_with(starts) && line.contains(has), "{line}");
        }
        assert_eq!(lines.len(), 7);
    }

    #[test]
    fn only_those_who_do_not_go_of_their_own_accord_are_a_warning() {
        for &reason in ByeReason::ALL {
            let is_calm = matches!(
                reason,
                ByeReason::Leaving | ByeReason::Rejoined | ByeReason::Stopping
            );
            let lines = lines_of(|journal| journal.write(&left(reason), Instant::ZERO, |_| None));
            let starts = if is_calm {
                "INFO left peer=".to_owned()
            } else {
                format!("WARN dropped: {reason} peer=")
            };
            let fields = "id=7 name=\"ada\" room=\"kitchen\" participants=2";
            let label = format!("reason=\"{}\"", reason.label());
            assert!(lines[0].starts_with(&starts), "{lines:?}");
            assert!(
                lines[0].contains(fields) && lines[0].contains(&label),
                "{lines:?}"
            );
        }
        for &reason in RejectReason::ALL {
            let link = LinkId::default();
            let event = Event::Refused { link, reason };
            let lines = lines_of(|journal| journal.write(&event, Instant::ZERO, |_| None));
            let label = format!("reason=\"{}\"", reason.label());
            assert!(
                lines[0].starts_with(&format!("WARN refused: {reason}")),
                "{lines:?}"
            );
            assert!(lines[0].contains(&label), "{lines:?}");
        }
    }

    #[test]
    fn what_is_left_out_is_counted_and_told() {
        let peer: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        let lines = lines_of(|journal| {
            for _ in 0..150 {
                journal.write_turned_away(peer, Instant::ZERO);
            }
            let later = Instant::ZERO + Duration::from_secs(1);
            journal.write_turned_away(peer, later);
            journal.write_turned_away(peer, later);
        });
        assert_eq!(lines.len(), 100 + 1 + 2);
        let told = &lines[100];
        assert!(
            told.contains("lines=50") && told.contains("about=\"turned away\""),
            "{told}"
        );
        assert!(lines[101..].iter().all(|line| line.contains("refused")));
    }

    #[test]
    fn each_kind_is_told_by_its_name() {
        let names = Kind::ALL.map(Kind::name);
        assert_eq!(
            names,
            ["joined", "left", "refused", "turned away", "probed"]
        );
    }

    #[test]
    fn every_kind_has_its_place() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
        }
    }
}
