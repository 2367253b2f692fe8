//! The log of what happens in the rooms. Its number of lines is bounded, because strangers must not
//! be able to fill a disk.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use talkspurt_core::time::Instant;
use talkspurt_core::token_bucket::TokenBucket;
use talkspurt_core::wire::Reason;
use talkspurt_hub::{Event, LinkId, Presence};

/// The budget for lines about those who join or leave: a burst, and lines a second. A full server
/// of the default size writes the burst when everyone joins at once.
const MEMBERS: (u32, u32) = (1_000, 20);
/// The same for strangers who never join. Together, at about 150 bytes a line, that is three
/// quarters of a gigabyte a day at worst.
const STRANGERS: (u32, u32) = (100, 5);

/// The subject of a line. Each kind has its own budget, so that endless refused strangers never
/// hide those who join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Joined,
    Left,
    Refused,
    TurnedAway,
    Probed,
}

impl Kind {
    fn of(event: &Event) -> Self {
        match event {
            Event::Joined(_) => Self::Joined,
            Event::Left(..) => Self::Left,
            Event::Refused { .. } => Self::Refused,
            Event::Probed { .. } => Self::Probed,
        }
    }

    fn name(self) -> &'static str {
        ["joined", "left", "refused", "turned away", "probed"][self as usize]
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

/// The budget and omissions of one kind of line.
#[derive(Debug)]
struct Lines {
    budget: TokenBucket,
    left_out: u64,
}

/// Writes log lines within a budget, and counts those it leaves out.
#[derive(Debug, Default)]
pub struct Journal(BTreeMap<Kind, Lines>);

impl Journal {
    /// Writes an event's line. `peer` returns the address of a connection.
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

    /// Logs that a connection was not accepted at all.
    pub fn write_turned_away(&mut self, peer: SocketAddr, now: Instant) {
        if self.admit_and_report(Kind::TurnedAway, now) {
            tracing::warn!(
                peer = %peer,
                "refused: the server is stopping, or has no room for another connection"
            );
        }
    }

    /// Returns whether a line may be written. If so, the lines left out before it have been
    /// reported.
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

    /// If a line may be written, returns how many left-out lines before it have to be reported.
    fn admit(&mut self, kind: Kind, now: Instant) -> Option<u64> {
        let lines = self.0.entry(kind).or_insert_with(|| kind.lines());
        if !lines.budget.take(1, now) {
            lines.left_out += 1;
            return None;
        }
        let left_out = std::mem::take(&mut lines.left_out);
        // Probes are logged at debug level, so leaving them out is not worth a warning.
        Some(if kind == Kind::Probed { 0 } else { left_out })
    }
}

fn write(event: &Event, peer: impl Fn(LinkId) -> Option<SocketAddr>) {
    match event {
        Event::Joined(presence) => {
            let (peer, id, name, room, participants) = fields(presence, peer(presence.link));
            tracing::info!(%peer, id, name, room, participants, "joined");
        }
        Event::Left(presence, reason) => {
            let (peer, id, name, room, participants) = fields(presence, peer(presence.link));
            let label = reason.label();
            if is_calm(*reason) {
                tracing::info!(%peer, id, name, room, participants, reason = label, "left");
            } else {
                let said = format_args!("dropped: {reason}");
                tracing::warn!(%peer, id, name, room, participants, reason = label, "{said}");
            }
        }
        Event::Probed { link } => {
            tracing::debug!(peer = %address(peer(*link)), "closed before sending anything");
        }
        Event::Refused { link, reason } => {
            let (peer, label) = (address(peer(*link)), reason.label());
            tracing::warn!(%peer, reason = label, "refused: {reason}");
        }
    }
}

/// Whether someone means to leave, or nobody is at fault.
fn is_calm(reason: Reason) -> bool {
    [
        Reason::LEAVING,
        Reason::REJOINED,
        Reason::STOPPING,
        Reason::RESUMED,
    ]
    .contains(&reason)
}

fn fields(of: &Presence, peer: Option<SocketAddr>) -> (String, u32, &str, &str, usize) {
    (address(peer), of.id.0, &of.name, &of.room, of.participants)
}

/// A broken connection may be gone by the time its line is written.
fn address(peer: Option<SocketAddr>) -> String {
    peer.map_or_else(|| "gone".to_owned(), |peer| peer.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::lines_logged;
    use talkspurt_core::time::Duration;
    use talkspurt_core::wire::{ParticipantId, Reason};

    const KINDS: [Kind; 5] = [
        Kind::Joined,
        Kind::Left,
        Kind::Refused,
        Kind::TurnedAway,
        Kind::Probed,
    ];

    /// Returns how many of 10,000 lines a second were written, and how many were reported as left
    /// out.
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
            assert!(told < left_out, "{kind:?}: some are not reported yet");
            assert_eq!(journal.admit(kind, later), Some(left_out - told));
            assert_eq!(journal.admit(kind, later), Some(0), "reported twice");
        }
    }

    #[test]
    fn left_out_probes_are_not_reported() {
        let mut journal = Journal::default();
        let (written, told) = written(&mut journal, Kind::Probed, 10);
        assert_eq!((written, told), (149, 0));
        let later = Instant::ZERO + Duration::from_secs(100);
        assert_eq!(journal.admit(Kind::Probed, later), Some(0));
    }

    #[test]
    fn strangers_do_not_hide_those_who_join() {
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

    /// Returns the lines that `act` logs.
    fn lines_of(act: impl FnOnce(&mut Journal)) -> Vec<String> {
        lines_logged(|| act(&mut Journal::default()))
    }

    fn ada(participants: usize) -> Presence {
        Presence {
            link: LinkId::default(),
            id: ParticipantId(7),
            name: "ada".parse().unwrap(),
            room: "kitchen".parse().unwrap(),
            participants,
        }
    }

    fn left(reason: Reason) -> Event {
        Event::Left(ada(2), reason)
    }

    #[test]
    fn each_event_has_its_line() {
        let now = Instant::ZERO;
        let peer: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        let link = LinkId::default();
        let joined = Event::Joined(ada(3));
        let reason = Reason::ROOM_FULL;
        let events = [
            joined,
            left(Reason::LEAVING),
            left(Reason::SLOW_READER),
            Event::Probed { link },
            Event::Refused { link, reason },
        ];
        let lines = lines_of(|journal| {
            for event in &events {
                journal.write(event, now, |_| Some(peer));
            }
            journal.write(&left(Reason::CONNECTION_LOST), now, |_| None);
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
            (3, "DEBUG closed before sending", "peer=192.0.2.1:4000"),
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
    fn only_involuntary_leaves_are_warnings() {
        for &reason in Reason::ALL {
            let is_calm = matches!(
                reason,
                Reason::LEAVING | Reason::REJOINED | Reason::STOPPING | Reason::RESUMED
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
        for &reason in Reason::ALL {
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
    fn left_out_lines_are_counted_and_reported() {
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
    fn each_kind_is_reported_by_its_name() {
        let names = KINDS.map(Kind::name);
        assert_eq!(
            names,
            ["joined", "left", "refused", "turned away", "probed"]
        );
    }

    #[test]
    fn every_kind_has_its_own_budget() {
        let mut journal = Journal::default();
        // One after the other: none takes from the next.
        for kind in KINDS {
            let (first, _) = written(&mut journal, kind, 1);
            let budget = if kind < Kind::Refused { 1_019 } else { 104 };
            assert_eq!(first, budget, "{kind:?}");
        }
    }
}
