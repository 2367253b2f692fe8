//! What the driver shows of itself: snapshots for the live view, levels and counts for the events.

use super::super::tell::Snapshot;
use super::{Driver, Phase};
use crate::config::EventsFormat;
use crate::events::{Counts, EventKind};
use std::time::{Duration, Instant};

/// How often the snapshot is renewed: 20 times a second looks live.
const SNAPSHOT_EVERY: Duration = Duration::from_millis(50);
/// How often levels are told when they are asked for.
const LEVELS_EVERY: Duration = Duration::from_secs(1);

impl Driver {
    /// Renews the snapshot, and tells the levels when they are asked for.
    pub(super) fn publish(&mut self, now: Instant) {
        if now < self.snapshot_at {
            return;
        }
        self.snapshot_at = now + SNAPSHOT_EVERY;
        self.teller.log_lost();
        let snapshot = self.current_snapshot(now);
        let levels_asked = self.config.events == EventsFormat::Json { levels: true };
        if levels_asked && snapshot.connected && now >= self.levels_at {
            self.levels_at = now + LEVELS_EVERY;
            self.teller.tell(EventKind::Level(snapshot.levels()));
        }
        self.snapshot.send_replace(snapshot);
    }

    fn current_snapshot(&self, now: Instant) -> Snapshot {
        let mut snapshot = Snapshot {
            deafened: self.deafened,
            roster: self.roster.lines(),
            counts: self.counts_now(now),
            ..Snapshot::before_joining(&self.settings)
        };
        if let Phase::Open(connection) = &self.phase
            && let Some(voice) = &connection.voice
        {
            let sink_ms = self
                .stay
                .as_ref()
                .map_or(0, |stay| stay.ends.sink.delay_ms());
            snapshot.show(voice, connection.session.round_trip(), sink_ms);
        }
        snapshot
    }

    pub(super) fn counts_now(&self, now: Instant) -> Counts {
        let mut counts = self.counts;
        if let Phase::Open(connection) = &self.phase {
            connection.add_counts(&mut counts);
        }
        counts.stayed_ms = self
            .stay
            .as_ref()
            .map_or(0, |stay| (now - stay.joined_at).as_millis() as u64);
        counts
    }
}
