//! What the driver shows of itself: snapshots for the live view, levels and counts for the events.

use super::super::{tell::Snapshot, voice::VoicePath};
use super::{Driver, Phase};
use crate::config::EventsFormat;
use crate::events::{Counts, EventKind};
use std::time::{Duration, Instant};

/// How often the snapshot is renewed: 20 times a second looks live.
const SNAPSHOT_EVERY: Duration = Duration::from_millis(50);
/// How often levels are told when they are asked for.
const LEVELS_EVERY: Duration = Duration::from_secs(1);
/// How long the live view shows that a voice is too quiet, unless it is heard before.
const TOO_QUIET_SHOWN: Duration = Duration::from_secs(15);

impl Driver {
    /// Renews the snapshot, and tells the levels when they are asked for.
    pub(super) fn publish(&mut self, now: Instant) {
        if now < self.snapshot_at {
            return;
        }
        self.snapshot_at = now + SNAPSHOT_EVERY;
        self.teller.log_lost();
        self.tell_too_quiet(now);
        let snapshot = self.current_snapshot(now);
        let levels_asked = self.config.events == EventsFormat::Json { levels: true };
        if levels_asked && snapshot.connected && now >= self.levels_at {
            self.levels_at = now + LEVELS_EVERY;
            self.teller.tell(EventKind::Level(snapshot.levels()));
        }
        self.snapshot.send_replace(snapshot);
    }

    /// Says that a voice is too quiet for the gate, and shows it for a while.
    fn tell_too_quiet(&mut self, now: Instant) {
        let Phase::Open(connection) = &mut self.phase else {
            return;
        };
        let found = connection
            .voice
            .as_mut()
            .and_then(VoicePath::take_too_quiet);
        if let Some(found) = found {
            let open = self.settings.gate.open;
            self.too_quiet_until = Some(now + TOO_QUIET_SHOWN);
            self.teller.tell(EventKind::InputQuiet {
                level_dbfs: found.level_dbfs,
                gate_open_dbfs: open.dbfs(),
                try_gate_open_dbfs: found.open_dbfs(),
            });
        }
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
            snapshot.too_quiet =
                !snapshot.talking && self.too_quiet_until.is_some_and(|until| now < until);
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
